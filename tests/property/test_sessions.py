"""Any session, step by step: books, orders and limits hold after each event and after restarts anywhere."""

import asyncio
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from components.financing.borrow_fee import BorrowFee
from components.financing.margin_interest import MarginInterest
from components.gates.limits import Limits
from components.models.momentum import Momentum
from engine.barrier import Named
from engine.bus import Bus
from engine.cuts import CutRules
from engine.events import (
    DAY_NS,
    ActionKind,
    Actions,
    Bars,
    Book,
    Control,
    ControlAction,
    LegAction,
    OrderKind,
    Orders,
    Out,
    Signal,
    Target,
    TargetKind,
    TimeInForce,
)
from engine.ids import OrderIds
from engine.slice_ends import Clock
from engine.universe import Universe
from engine.wiring import ModelPart, Parts, Wiring
from tests.chaos.auditor import Auditor
from tests.chaos.worlds import World
from tests.make import bars, day

N = 3
_UNIVERSE = Universe(
    symbols=("A", "B", "C"),
    currencies=("USD",),
    currency=np.zeros(N, np.int32),
    multiplier=np.array([1.0, 1.0, 10.0]),
    lot=np.array([1.0, 10.0, 1.0]),
    tick=np.array([0.0, 0.01, 0.05]),
)
_LEG = st.fixed_dictionaries(
    {
        "symbol": st.integers(0, N - 1),
        "lots": st.integers(-30, 30).filter(bool),
        "action": st.sampled_from([LegAction.NEW, LegAction.NEW, LegAction.NEW, LegAction.CANCEL]),
        "which": st.integers(0, 9),
        "kind": st.sampled_from(list(OrderKind)),
        "tif": st.sampled_from(list(TimeInForce)),
        "away": st.integers(-60, 60),  # of limit and stop from the mark, in thousandths
        "days": st.integers(1, 4),
    }
)


class Desk:
    """Strategy and optimizer in one: sends the legs that the next slice was given."""

    interval_ns = 0

    def __init__(self) -> None:
        self.legs: list[dict[str, Any]] = []
        self._ids = OrderIds("property", "desk")

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        none = np.full(N, np.nan)
        return Target(ts=book.ts, source="desk", kind=TargetKind.WEIGHT, value=none, alpha=none, limit=none, stop=none)

    def on_bars(self, event: Bars, /) -> None:
        return None

    def on_targets(self, targets: tuple[Target, ...], book: Book, /) -> Out:
        legs, self.legs = self.legs, []
        if not legs:
            return None
        symbol = np.array([leg["symbol"] for leg in legs], np.int32)
        action = np.array([leg["action"] for leg in legs], np.int32)
        opened = book.open_orders.ids.tolist() or [77]
        price = book.mark[symbol] * (1 + np.array([leg["away"] for leg in legs]) / 1000)
        tick = _UNIVERSE.tick[symbol]
        price = np.where(tick > 0, np.rint(price / np.where(tick > 0, tick, 1.0)) * tick, price)
        lots = np.array([leg["lots"] for leg in legs]) * _UNIVERSE.lot[symbol]
        cancels = action == LegAction.CANCEL
        ref = [opened[leg["which"] % len(opened)] for leg in legs]
        return Orders(
            ts=book.ts,
            action=action,
            ids=self._ids(ts=book.ts, count=len(legs)),
            ref=np.where(cancels, np.array(ref, np.uint64), np.uint64(0)),
            symbol=symbol,
            qty=np.where(cancels, 0.0, lots),
            kind=np.array([leg["kind"] for leg in legs], np.int32),
            limit=price,
            stop=price,
            trail=np.where(tick > 0, 4 * tick, 0.5),
            tif=np.array([leg["tif"] for leg in legs], np.int32),
            expires=book.ts + np.array([leg["days"] for leg in legs]) * DAY_NS,
        )


def _wiring(desk: Desk, options: dict[str, Any]) -> Wiring:
    u, costs = _UNIVERSE, Bps(commission_bps=5, slippage_bps=10, min_commission=1, tax_bps_sell=3)
    financing = (BorrowFee(universe=u, annual_bps=400), MarginInterest(universe=u, annual_bps=700))
    broker = Simulated(universe=u, costs=costs, name="broker", financing=financing, **options)
    gate = Limits(universe=u, ids=OrderIds("property", "gate"), name="gate", max_order_value=30_000, max_weight=0.6)
    return Wiring(
        Parts(
            universe=u,
            interval_ns=DAY_NS,
            cash=50_000.0,
            broker=Named("broker", broker),
            models=(ModelPart(name="trend", model=Momentum(universe=u, name="trend", window=1)),),
            strategies=(Named("desk", desk),),
            optimizer=Named("optimizer", desk),
            gate=Named("gate", gate),
        )
    )


class Sessions(RuleBasedStateMachine):
    """Slices, orders, corporate actions, commands and restarts in any order."""

    @initialize(
        fill=st.sampled_from(["next_open", "next_close", "open_auction", "close_auction", "same_close"]),
        short=st.booleans(),
        participation=st.sampled_from([None, 0.01]),
        fractions=st.sampled_from(["cash", "lost"]),
    )
    def begin(self, fill: str, short: bool, participation: float | None, fractions: str) -> None:
        self.options = {"fill": fill, "short": short, "participation": participation, "fractions": fractions}
        self.options |= {"leverage": 2.0, "maintenance": 0.3} if short else {}
        self.k, self.acted, self.close = 0, 0, np.array([50.0, 20.0, 5.0])
        self.desk, self.halted = Desk(), False
        self.wiring = _wiring(self.desk, self.options)
        world = World(
            seed=0,
            universe=_UNIVERSE,
            ends={DAY_NS: Clock(DAY_NS)},
            start=0,
            rules=CutRules(deadline_ns=0),
            bars=(),
            others=(),
            cash=50_000.0,
            max_order_value=30_000,
            max_weight=0.6,
            wiring=lambda **_: self.wiring,
            facts={},
        )
        self.auditor = Auditor(world, fractions=fractions)
        self.bus = Bus(self.wiring.routes, recorders=(self.auditor,))

    def feed(self, event: Any) -> None:
        asyncio.run(self.bus.feed(event))

    @rule(
        moves=st.lists(st.integers(-150, 150), min_size=N, max_size=N),
        gaps=st.lists(st.integers(-100, 100), min_size=N, max_size=N),
        missing=st.sets(st.integers(0, N - 1), max_size=2),
        volume=st.sampled_from([0.0, 50.0, 1e6]),
        legs=st.lists(_LEG, max_size=4),
    )
    def slice_(self, moves: list[int], gaps: list[int], missing: set[int], volume: float, legs: Any) -> None:
        opening = self.close * (1 + np.array(gaps) / 1000)
        self.close = opening * (1 + np.array(moves) / 1000)
        high, low = np.maximum(opening, self.close) * 1.004, np.minimum(opening, self.close) * 0.996
        columns = {"open": opening, "high": high, "low": low, "close": self.close.copy()}
        for column in columns.values():
            column[list(missing)] = np.nan
        self.desk.legs = legs
        self.k += 1
        close = columns.pop("close")
        self.feed(bars(day(self.k), close, volume=np.where(np.isnan(close), np.nan, volume), **columns))

    @rule(
        kind=st.sampled_from([ActionKind.SPLIT, ActionKind.SPLIT, ActionKind.CASH_DIVIDEND, ActionKind.DELISTING]),
        symbol=st.integers(0, N - 1),
        ratio=st.sampled_from([2.0, 3.0, 0.5, 0.3]),
        amount=st.sampled_from([0.0, 0.37, 2.0]),
    )
    def act(self, kind: ActionKind, symbol: int, ratio: float, amount: float) -> None:
        if kind is ActionKind.SPLIT:
            self.close[symbol] /= ratio
        self.acted += 1
        self.feed(
            Actions(
                ts=day(self.k) + self.acted,
                kind=np.array([kind], np.int32),
                symbol=np.array([symbol], np.int32),
                ratio=np.array([ratio]),
                amount=np.array([amount]),
                pay_at=np.array([day(self.k + 2)]),
                successor=np.array([-1], np.int32),
            )
        )

    @rule(
        action=st.sampled_from(
            [ControlAction.HALT, ControlAction.REDUCE_ONLY, *[ControlAction.RESUME] * 3, ControlAction.FLATTEN]
        )
    )
    def command(self, action: ControlAction) -> None:
        if self.halted and action is ControlAction.REDUCE_ONLY:  # nothing looser than what holds, without a resume
            action = ControlAction.RESUME
        self.halted = action in (ControlAction.HALT, ControlAction.FLATTEN)
        self.feed(Control(ts=day(self.k) + self.acted, action=action, actor="operator", reason="property"))

    @rule()
    def restart(self) -> None:
        self.desk = Desk()
        fresh = _wiring(self.desk, self.options)
        fresh.load(self.wiring.save())
        assert fresh.save() == self.wiring.save()
        self.wiring = fresh
        self.bus = Bus(fresh.routes, recorders=(self.auditor,))

    @invariant()
    def equity_is_that_of_the_book(self) -> None:
        if hasattr(self, "wiring"):
            book = self.wiring.ledger.book(day(self.k))
            assert abs(book.equity - self.auditor.equity()) <= 1e-6 * max(1.0, abs(book.equity))


Sessions.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestSessions = Sessions.TestCase
