"""Broker and ledger together: they agree on cash, positions and open orders after every event."""

from typing import Any

import numpy as np
import pytest

from components.brokers.kinds import TAKES
from components.brokers.resting import Resting, terms_of
from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from engine.events import ActionKind, Actions, Approved, Bars, Fills, Reference, Refusals, Reports, Timer
from engine.ledger import Ledger
from tests.components.brokers.scripted import TIMINGS, account, script
from tests.conformance.driving import trading
from tests.conformance.streams import N, universe

COSTS = Bps(commission_bps=5, slippage_bps=5, min_commission=1)


class Pair:
    """Routes events between the two in the order of the wiring."""

    def __init__(self, **options: Any) -> None:
        self.broker = Simulated(universe=universe(), costs=COSTS, name="b", **({"fill": "next_open"} | options))
        self.ledger = Ledger(universe=universe(), cash=20_000.0)

    def feed(self, event: Any) -> None:
        if isinstance(event, Bars):
            out: Any = self.broker.on_bars(event)
            self.ledger.on_bars(event)
            self.answer(out)
        elif isinstance(event, Actions):
            out = self.broker.on_actions(event)
            self.broker.on_book(self.ledger.on_actions(event))
            self.answer(out)
        elif isinstance(event, Approved):
            self.ledger.on_approved(event)
            self.answer(self.broker.on_orders(event))
        elif isinstance(event, Timer):
            self.answer(self.broker.on_timer(event))

    def answer(self, out: Any) -> None:
        for event in out if isinstance(out, tuple) else () if out is None else (out,):
            if isinstance(event, Fills):
                self.broker.on_book(self.ledger.on_fills(event))
            elif isinstance(event, Reports):
                self.ledger.on_reports(event)
            elif isinstance(event, Refusals):
                self.ledger.on_refusals(event)


def once(event: Any, known: set[int]) -> Any:
    """The legs that were not sent before: what a session sends."""
    if not isinstance(event, Approved):
        return event
    keep = [i for i, leg in enumerate(event.ids.tolist()) if leg not in known and leg not in event.ids[:i]]
    known.update(event.ids.tolist())
    return Approved(ts=event.ts, **{c: getattr(event, c)[keep] for c in event.__struct_fields__ if c != "ts"})


def prices(orders: Any) -> dict[int, tuple[float, ...]]:
    """Kind, limit and stop of each open order, where its kind has such a price."""
    if isinstance(orders, Resting):
        rows = (orders.ids, terms_of(orders).kind, terms_of(orders).limit, terms_of(orders).stop)
    else:
        rows = (orders.ids, orders.kind, orders.limit, orders.stop)
    found = {}
    for order, kind, limit, stop in zip(*(column.tolist() for column in rows), strict=True):
        takes = [TAKES["limit"][kind], TAKES["stop"][kind]]
        known = [p if t else np.nan for p, t in zip((limit, stop), takes, strict=True)]
        found[order] = (kind, *(round(float(np.nan_to_num(p, nan=-1.0)), 9) for p in known))
    return found


OPTIONS: list[dict[str, Any]] = [
    {},
    {"short": True, "leverage": 1.5},
    {"participation": 1e-4, "fill": "next_close"},
    {"fill": "same_close", "price_limit": 0.02, "participation": 1e-4},
    {"fill": "same_close", "when_closed": "next_open"},
    {"fill": "open_auction", "short": True},
]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_partial_fills_and_all_else_leave_both_with_the_same_open_orders(seed: int, options: dict[str, Any]) -> None:
    pair, known, traded = Pair(**options), set[int](), 0
    for event in trading(seed):
        pair.feed(once(event, known))
        book, resting = pair.ledger.book(event.ts), pair.broker._dealing.blotter.all()
        assert dict(zip(book.open_orders.ids.tolist(), book.open_orders.left.tolist(), strict=True)) == dict(
            zip(resting.ids.tolist(), resting.left.tolist(), strict=True)
        )
        assert prices(book.open_orders) == prices(resting)
        traded = max(traded, int(np.count_nonzero(book.qty)))
        if not isinstance(event, Approved | Timer):
            np.testing.assert_array_equal(pair.broker._account.qty, book.qty)
            assert pair.broker._account.cash[0] == pytest.approx(book.cash[0])
        if not options.get("short"):
            assert (book.qty >= 0).all()
            assert book.cash[0] >= -1e-6 - 2.0 * N  # a minimum commission may exceed what a sale brings
    assert traded > 1


@pytest.mark.parametrize("short", [False, True])
def test_both_hold_the_same_open_orders_where_prices_move_in_ticks(short: bool) -> None:
    splits = 0
    for seed in range(6 * len(TIMINGS)):
        rng = np.random.default_rng([seed, short])
        pair = account(rng, TIMINGS[seed % len(TIMINGS)] | {"short": short}, intraday=False)()
        for event in script(rng, intraday=False):
            if isinstance(event, Reference) and event.name == "shortable":
                continue  # the orders of the broker's own stand in no book
            book, resting = pair.feed(event).open_orders, pair.broker._dealing.blotter.all()
            assert dict(zip(book.ids.tolist(), book.left.tolist(), strict=True)) == dict(
                zip(resting.ids.tolist(), resting.left.tolist(), strict=True)
            )
            assert prices(book) == prices(resting)
            if isinstance(event, Actions) and event.kind[0] == ActionKind.SPLIT:
                splits += int(np.count_nonzero(book.symbol == event.symbol[0]))
    assert splits > 20
