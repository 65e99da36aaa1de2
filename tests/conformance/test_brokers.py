"""What every broker of ours keeps: one list of brokers, one battery."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from components.financing.borrow_fee import BorrowFee
from components.financing.cash_interest import CashInterest
from components.financing.margin_interest import MarginInterest
from engine.events import FEE_KINDS, Approved, Bars, Fills, OrderState, Refusals, Reports
from tests.conformance.driving import drive, resumed_everywhere, trading
from tests.conformance.streams import N, arrays, grown, refuses_moved, same, universe

COSTS = Bps(commission_bps=5, slippage_bps=5, min_commission=1, tax_bps_sell=3)
Make = Callable[..., Any]
STOCKS = universe()


def simulated(**options: Any) -> Make:
    given = {"costs": COSTS, "name": "b", "fill": "next_open"} | options
    return lambda u=STOCKS: Simulated(universe=u, **given)


CASES: dict[str, Make] = {
    "simulated": simulated(),
    "simulated_short": simulated(short=True),
    "simulated_leveraged": simulated(short=True, leverage=2.0),
    "simulated_share": simulated(participation=1e-4),
    "simulated_limits": simulated(price_limit=0.01, touch=True),
    "simulated_close": simulated(fill="next_close"),
    "simulated_opening": simulated(fill="open_auction", short=True, participation=1e-4),
    "simulated_closing": simulated(fill="close_auction"),
    "simulated_same": simulated(fill="same_close", participation=1e-4, price_limit=0.01),
    "simulated_settling": simulated(settlement_days=2),
    "simulated_financed": lambda u=STOCKS: Simulated(
        universe=u,
        costs=COSTS,
        name="b",
        fill="next_open",
        short=True,
        leverage=2.0,
        maintenance=0.49,
        financing=(
            BorrowFee(universe=u, annual_bps=300),
            MarginInterest(universe=u, annual_bps=500),
            CashInterest(universe=u, annual_bps=100),
        ),
    ),
    "simulated_shut": simulated(fill="same_close", when_closed="next_open", short=True),
}
pytestmark = [
    pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys()),
    pytest.mark.parametrize("seed", range(4)),
]
_ENDED = (OrderState.CANCELLED, OrderState.EXPIRED, OrderState.FINISHED)


@cache
def told(make: Make, seed: int) -> tuple[tuple[Any, Any], ...]:
    """Each event of a market and what the broker answers: the same for all that only look at it."""
    events = trading(seed)
    return tuple(zip(events, drive(make(), events), strict=True))


def answers(make: Make, seed: int) -> list[Any]:
    return [answer for _, answer in told(make, seed)]


def parts(answer: Any) -> tuple[Any, ...]:
    return () if answer is None else answer if isinstance(answer, tuple) else (answer,)


def test_each_slice_is_answered_by_exactly_one_fills_which_stands_last(make: Make, seed: int) -> None:
    for event, answer in told(make, seed):
        if isinstance(event, Bars):
            assert [isinstance(part, Fills) for part in answer].count(True) == 1
            assert isinstance(answer[-1], Fills)
            assert all(part.ts == event.ts for part in answer)


def test_columns_of_an_answer_have_one_length_and_their_types(make: Make, seed: int) -> None:
    for event, answer in told(make, seed):
        for part in parts(answer):
            assert part.ts == event.ts
            length = len(part.symbol)
            for column in arrays(part):
                assert column.shape[0] == length
            assert part.symbol.dtype == np.int32
            if isinstance(part, Fills):
                assert part.fees.shape == (length, len(FEE_KINDS))
                assert part.exec_ids.dtype == part.order_ids.dtype == np.uint64
                assert part.at.dtype == np.int64
            if isinstance(part, Reports):
                assert (part.ids.dtype, part.state.dtype) == (np.uint64, np.int32)


def test_fills_have_finite_prices_of_the_bar_and_whole_quantities(make: Make, seed: int) -> None:
    seen, bar = 0, None
    for event, answer in told(make, seed):
        bar = event if isinstance(event, Bars) else bar
        for part in parts(answer):
            if isinstance(part, Fills) and len(part.qty):
                assert bar is not None
                seen += len(part.qty)
                assert (part.price > 0).all()
                assert np.isfinite(part.fees).all()
                assert (part.fees >= 0).all()
                assert (part.qty == np.rint(part.qty)).all()
                assert (part.qty != 0).all()
                assert (bar.status[part.symbol] == 0).all()
                low, high = bar.low[part.symbol], bar.high[part.symbol]
                assert ((part.reference >= low) & (part.reference <= high)).all()
                opened = part.at == bar.opened
                assert (opened | (part.at == bar.ts)).all()
                np.testing.assert_array_equal(part.reference[opened], bar.open[part.symbol][opened])
    assert seen > 5


def rows_of(answer: Any, kind: type[Any], columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Rows of these columns, of all events of one type in an answer."""
    found = [part for part in parts(answer) if isinstance(part, kind)]
    return [row for part in found for row in zip(*(getattr(part, c).tolist() for c in columns), strict=True)]


def test_no_order_fills_before_it_was_accepted_nor_more_than_it_may(make: Make, seed: int) -> None:
    left: dict[int, float] = {}
    for _, answer in told(make, seed):
        reports = rows_of(answer, Reports, ("ids", "state", "left"))
        left |= {order: rest for order, state, rest in reports if state not in _ENDED}
        for order, qty in rows_of(answer, Fills, ("order_ids", "qty")):
            assert left[order] * qty > 0
            assert abs(qty) <= abs(left[order])
            left[order] -= qty
        ended = [(order, state, rest) for order, state, rest in reports if state in _ENDED]
        assert all(rest == 0 for _, _, rest in ended)
        assert all(left[order] == 0 for order, state, _ in ended if state == OrderState.FINISHED)
        left = {order: rest for order, rest in left.items() if order not in {o for o, _, _ in ended}}


def test_exec_ids_are_never_used_twice(make: Make, seed: int) -> None:
    ids = [i for _, answer in told(make, seed) for p in parts(answer) if isinstance(p, Fills) for i in p.exec_ids]
    assert len(set(map(int, ids))) == len(ids)


def test_each_new_leg_is_accepted_or_refused_unless_it_was_sent_before(make: Make, seed: int) -> None:
    known: set[int] = set()
    for event, answer in told(make, seed):
        if not isinstance(event, Approved):
            continue
        accepted = [
            int(i)
            for part in parts(answer)
            if isinstance(part, Reports)
            for i, s in zip(part.ids, part.state, strict=True)
            if s == OrderState.ACCEPTED
        ]
        refused = {int(i) for part in parts(answer) if isinstance(part, Refusals) for i in part.ids}
        new = {int(i) for i, a in zip(event.ids, event.action, strict=True) if a == 0}
        assert len(set(accepted)) == len(accepted)
        assert not known & set(accepted)
        known |= set(accepted)
        assert new <= known | refused


def test_a_refusal_names_a_rule(make: Make, seed: int) -> None:
    for _, answer in told(make, seed):
        for part in parts(answer):
            if isinstance(part, Refusals):
                assert part.by == "b"
                assert len(part.rule) == len(part.ids)
                assert all(part.rule)


def test_inputs_are_not_changed(make: Make, seed: int) -> None:
    events = trading(seed)
    before = [arrays(event) for event in events]
    drive(make(), events)
    assert same(before, [arrays(event) for event in events])


def test_two_fresh_copies_agree(make: Make, seed: int) -> None:
    assert same(answers(make, seed), drive(make(), trading(seed)))


def test_state_saved_and_loaded_at_every_point_decides_the_same(make: Make, seed: int) -> None:
    assert same(answers(make, seed), resumed_everywhere(make, trading(seed)))


@pytest.mark.parametrize("cut", [3, 20, 50])
def test_state_goes_on_in_a_universe_with_names_appended(make: Make, seed: int, cut: int) -> None:
    events = trading(seed)
    short, longer = make(), make(universe(N + 2))
    drive(short, events[:cut])
    longer.load(short.save())
    assert same(drive(longer, [grown(event) for event in events[cut:]]), drive(short, events[cut:]))


def test_state_of_a_symbol_that_is_gone_or_moved_is_refused(make: Make, seed: int) -> None:
    refuses_moved(make)


def test_answers_up_to_a_slice_do_not_depend_on_later_ones(make: Make, seed: int) -> None:
    events, other = trading(seed), trading(seed + 100)
    cut = len(events) // 2
    mixed = events[:cut] + [event for event in other if event.ts > events[cut - 1].ts]
    assert same(answers(make, seed)[:cut], drive(make(), mixed)[:cut])
