"""10,000 limit orders that rest far from the market under a session that trades. Goal: at most 3 times the CPU of none.

The session is the top-k dropout of 50 names out of 500 of `topk.py`. The resting orders are half purchases far below
and half sales far above the market, so that what is working in each name is nothing on balance. `near` in the detail is
the same with limits from 30 to 90 % away from the market, many of which it meets within five years.
"""

import asyncio
from typing import Any

import numpy as np
from measure import Outcome, arguments, conclude, cpu_seconds, peak_mb
from msgspec.structs import replace
from topk import NAMES, history

from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from components.gates.limits import Limits
from components.models.scores import Scores
from components.optimizers.direct import Direct
from components.strategies.topk_dropout import TopkDropout
from engine.barrier import Named
from engine.events import DAY_NS, Book, OpenOrders, OrderKind, Orders, Target, TimeInForce
from engine.ids import OrderIds
from engine.protocols import Table
from engine.session import Replay, Session
from engine.universe import Universe, universe_of
from engine.wiring import ModelPart, Parts, Wiring

ORDERS, GOAL = 10_000, 3.0
_EMPTY, _IDS, _CODES = np.empty(0), np.empty(0, np.uint64), np.empty(0, np.int32)
_NONE = OpenOrders(ids=_IDS, parent=_IDS, symbol=_CODES, left=_EMPTY, kind=_CODES, limit=_EMPTY, stop=_EMPTY)


class Resting:
    """An optimizer that sends so many resting limit orders with the first target, and else does what another does.

    The other one is shown a book without them, or it would cancel what no target asks for.
    """

    def __init__(self, inner: Direct, universe: Universe, count: int, near: bool) -> None:
        self._inner, self._universe, self._count, self._near = inner, universe, count, near
        self.on_bars = inner.on_bars

    def on_targets(self, targets: tuple[Target, ...], book: Book, /) -> Any:
        out = self._inner.on_targets(targets, replace(book, open_orders=_NONE))
        if not self._count:
            return out
        count, self._count = self._count, 0
        symbol = np.arange(count) // 2 % NAMES
        buys = np.arange(count) % 2 == 0
        none, mark, away = np.full(count, np.nan), book.mark[symbol], np.linspace(0.3, 0.9, count)
        low, high = (mark * (1 - away), mark * (1 + away)) if self._near else (0.01, 1e6)
        orders = Orders(
            ts=book.ts,
            action=np.zeros(count, np.int32),
            ids=OrderIds("bench", "resting")(ts=book.ts, count=count),
            ref=np.zeros(count, np.uint64),
            symbol=symbol.astype(np.int32),
            qty=np.where(buys, 1.0, -1.0),
            kind=np.full(count, OrderKind.LIMIT, np.int32),
            limit=np.where(buys, low, high),
            stop=none,
            trail=none,
            tif=np.full(count, TimeInForce.GOOD_TILL_CANCELLED, np.int32),
            expires=np.zeros(count, np.int64),
        )
        return (orders, *out)


def wiring(table: Table, count: int, near: bool) -> Wiring:
    universe = universe_of(tuple(f"S{i:03d}" for i in range(NAMES)))
    costs = Bps(commission_bps=5, slippage_bps=5)
    ids = {name: OrderIds("bench", name) for name in ("optimizer", "gate")}
    strategy = TopkDropout(topk=50, n_drop=5, universe=universe, name="strategy")
    direct = Direct(universe=universe, ids=ids["optimizer"], costs=costs, name="optimizer")
    broker = Simulated(universe=universe, costs=costs, name="broker", fill="next_open", short=True)
    return Wiring(
        Parts(
            universe=universe,
            interval_ns=DAY_NS,
            cash=1e8,
            broker=Named("broker", broker),
            models=(ModelPart(name="scores", model=Scores(table=table, universe=universe, name="scores")),),
            strategies=(Named("strategy", strategy),),
            optimizer=Named("optimizer", Resting(direct, universe, count, near)),
            gate=Named("gate", Limits(universe=universe, ids=ids["gate"], name="gate", max_weight=0.1)),
        )
    )


def main() -> None:
    args = arguments(__doc__ or "")
    days, rounds = 1258, 2 if args.quick else 7
    slices, table = history(days)
    last: dict[tuple[int, bool], Book] = {}

    def replay(count: int, near: bool = False) -> None:
        run = wiring(table, count, near)
        asyncio.run(Session(run, recorders=()).run(Replay(lambda: iter(slices))))
        last[count, near] = run.ledger.book(0)

    # In turns, so that a busy moment of the machine meets both.
    pairs = [tuple(cpu_seconds(lambda c=count: replay(c)) for count in (0, ORDERS)) for _ in range(rounds)]
    none, resting = (min(seconds) for seconds in zip(*pairs, strict=True))
    kinds = last[ORDERS, False].open_orders.kind
    rest = np.count_nonzero(kinds == OrderKind.LIMIT)
    assert rest == ORDERS, f"{ORDERS - rest} orders that should rest have gone"
    assert np.array_equal(last[0, False].qty, last[ORDERS, False].qty), (
        "orders that never trade changed what was traded"
    )
    met = min(cpu_seconds(lambda: replay(ORDERS, near=True)) for _ in range(rounds))
    still = int(np.count_nonzero(last[ORDERS, True].open_orders.kind == OrderKind.LIMIT))
    detail = {
        "none_s": round(none, 4),
        "resting_s": round(resting, 4),
        "us_per_slice_more": round((resting - none) / days * 1e6, 1),
        "near": {"times": round(met / none, 2), "filled": ORDERS - still, "resting_at_the_end": still},
        "peak_mb": round(peak_mb()),
    }
    outcome = Outcome(
        work=f"{ORDERS:,} resting limit orders, {NAMES} names x {days} days of top-k dropout",
        value=resting / none,
        unit="times the CPU of no resting order",
        goal=GOAL,
        met=resting <= GOAL * none,
        detail=detail,
    )
    conclude(args, "orders", outcome)


if __name__ == "__main__":
    main()
