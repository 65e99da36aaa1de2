"""Orders worked by the desk of a session, and the figures that the benchmark has of whatever was filled.

What the environment traded and what a session did become the same table of trades; one function makes figures of it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.brokers.beside import Beside
from components.brokers.simulated import Simulated
from components.execution.desk import Desk
from components.execution.pace import Pace
from components.gates.limits import Limits
from components.rl.days import Days
from components.rl.env import OrderEnv
from components.rl.episodes import Orders as Parents
from components.rl.rewards import advantage
from components.rl.trainer_evaluate import Figures
from components.rl.trainer_rest import Rest
from engine.barrier import Named
from engine.events import (
    Bars,
    Book,
    Children,
    Fills,
    LegAction,
    OrderKind,
    Orders,
    Signal,
    Target,
    TargetKind,
    TimeInForce,
    Vector,
)
from engine.ids import OrderIds
from engine.session import Replay, Session
from engine.wiring import ModelPart, Parts, Wiring

CASH = 1e13  # money is no limit here, as in the environment
Places = NDArray[np.intp]


class Trades(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What was filled, in time: columns of one row a fill."""

    order: Places
    shares: Vector  # unsigned
    price: Vector
    fees: Vector


def trades_of(rows: list[tuple[Any, Any, Any, Any]]) -> Trades:
    """Of arrays of orders, shares, prices and fees."""
    order, shares, price, fees = (np.concatenate([row[k] for row in rows] or [np.zeros(0)]) for k in range(4))
    return Trades(order=order.astype(np.intp), shares=shares, price=price, fees=fees)


def figures_of(env: OrderEnv, market: Beside, trades: Trades) -> Figures:
    """By order of the environment, whoever worked it; what nobody filled is counted as `Rest` counts it."""
    orders, known, count = env.orders, env.floor.known, len(env.orders)
    filled, price, fees = (
        np.bincount(trades.order, weights, count)
        for weights in (trades.shares, trades.shares * trades.price, trades.fees)
    )
    multiplier = env.days.universe.multiplier[orders.symbol]

    def over(paid: Vector, benchmark: Vector) -> Vector:
        return advantage(orders.side, paid, filled, benchmark)

    found = Figures(
        episode=np.arange(count),
        pa=over(price, known.twap),
        pa_vwap=over(price, known.vwap),
        ffr=filled / orders.quantity,
        reward=np.full(count, np.nan),
        slippage=-over(price, known.arrival),
        net=over(price + orders.side * fees / multiplier, known.twap),
    )
    return Rest(env, market).counted(found)


# ---- the environment -------------------------------------------------------------------------------------------------


def played(env: OrderEnv, choose: Callable[[OrderEnv, dict[str, Any]], NDArray[Any]]) -> Trades:
    """All orders of an environment, worked by choices."""
    seen, rows = env.reset(), []
    while env.active.any():
        episode = env.episode
        seen = env.step(choose(env, seen)).observation
        for traded in env.traded:
            at = np.flatnonzero((traded.qty != 0) & (episode >= 0))
            rows.append((episode[at], np.abs(traded.qty[at]), traded.price[at], traded.fees[at].sum(axis=1)))
    return trades_of(rows)


# ---- a session -------------------------------------------------------------------------------------------------------


class Silent:
    """A model without an opinion."""

    lookback = 0

    def __init__(self, count: int) -> None:
        self._none = np.zeros(count)

    def on_bars(self, bars: Bars, /) -> Signal:
        return Signal(ts=bars.ts, asof=bars.ts, source="none", value=self._none.copy(), horizon_ns=0)


class Asks:
    """A strategy that wakes whoever sends orders where there are some."""

    interval_ns = 0

    def __init__(self, count: int, at: dict[int, Places]) -> None:
        self._none, self._zero, self._at = np.full(count, np.nan), np.zeros(count), at

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        if book.ts not in self._at:
            return None
        none = {"alpha": self._none, "limit": self._none, "stop": self._none}
        return Target(ts=book.ts, source="asks", kind=TargetKind.QUANTITY, value=self._zero, **none)


class Sends:
    """Sends the orders of a list where an optimizer stands."""

    def __init__(self, parents: Parents, at: dict[int, Places]) -> None:
        self._parents, self._at, self._ids = parents, at, OrderIds("benchmark", "optimizer")

    def on_bars(self, bars: Bars, /) -> None: ...

    def on_targets(self, targets: tuple[Target, ...], book: Book, /) -> tuple[Orders, ...]:
        rows = self._at.get(book.ts)
        if rows is None:
            return ()
        count, none, of = len(rows), np.full(len(rows), np.nan), self._parents
        kinds = {"action": LegAction.NEW, "kind": OrderKind.MARKET, "tif": TimeInForce.DAY}
        sent = Orders(
            ts=book.ts,
            ids=self._ids(ts=book.ts, count=count),
            symbol=of.symbol[rows].astype(np.int32),
            qty=(of.side * of.quantity)[rows],
            ref=np.zeros(count, np.uint64),
            **{name: none for name in ("limit", "stop", "trail")},
            expires=np.zeros(count, np.int64),
            **{name: np.full(count, value, np.int32) for name, value in kinds.items()},
        )
        return (sent,)


class Keeps:
    """What a session filled of its parents."""

    def __init__(self, at: dict[int, Places]) -> None:
        self._at = at
        self._order: dict[int, int] = {}  # by id, of parents and of children
        self.rows: list[tuple[Any, Any, Any, Any]] = []

    def append(self, origins: Sequence[str], events: Sequence[Any], /) -> None:
        for event in events:
            if isinstance(event, Orders):
                self._order.update(zip(event.ids.tolist(), self._at[event.ts].tolist(), strict=True))
            elif isinstance(event, Children):
                parents = [self._order[parent] for parent in event.parent.tolist()]
                self._order.update(zip(event.ids.tolist(), parents, strict=True))
            elif isinstance(event, Fills):
                order = np.array([self._order[child] for child in event.order_ids.tolist()], np.intp)
                self.rows.append((order, np.abs(event.qty), event.price, event.fees.sum(axis=1)))


class Span(msgspec.Struct, frozen=True):
    """Instants of UTC: a pace hears of bars from `warms` on, the session begins with `begins`. None = the first bar."""

    warms: int | None
    begins: int | None


def at_the_desk(
    feed: Any, days: Days, orders: Parents, *, span: Span, broker: dict[str, Any], pace: Callable[[], Pace]
) -> Trades:
    """What a session fills of these orders when a desk works them at this pace.

    Purchases and sales are sessions of their own: an account has one order of a symbol at a time, and in the
    environment none takes volume from another.
    """
    rows: list[tuple[Any, Any, Any, Any]] = []
    for side in (1, -1):
        at = _at_once(days, orders, np.flatnonzero(orders.side == side))
        rows += _session(feed, span, orders, at, broker=broker, pace=pace())
    return trades_of(rows)


def _at_once(days: Days, orders: Parents, rows: Places) -> dict[int, Places]:
    """The rows by the instant of their decision. ValueError for two of a symbol at once."""
    ts = days.ts[orders.day[rows], orders.start[rows]]
    found = {int(each): rows[ts == each] for each in np.unique(ts)}
    for each in found.values():
        if len(np.unique(orders.symbol[each])) < len(each):
            raise ValueError("two orders of one symbol and side begin at once, and a desk works one")
    return found


def _session(
    feed: Any, span: Span, orders: Parents, at: dict[int, Places], *, broker: dict[str, Any], pace: Any
) -> list[Any]:
    universe = feed.universe
    ids = {name: OrderIds("benchmark", name) for name in ("execution", "gate")}
    sessions = getattr(feed, "sessions", None)
    if hasattr(pace, "check_session"):
        pace.check_session(feed.interval_ns, sessions)
    if hasattr(pace, "on_bars") and span.begins is not None:
        for event in feed.events(span.warms, span.begins):
            if isinstance(event, Bars):
                pace.on_bars(event)
    desk = Desk(universe=universe, ids=ids["execution"], name="execution", pace=pace, sessions=sessions)
    keeps = Keeps(at)
    wiring = Wiring(
        Parts(
            universe=universe,
            interval_ns=feed.interval_ns,
            cash=CASH,
            broker=Named("broker", Simulated(universe=universe, name="broker", short=True, **broker)),
            models=(ModelPart(name="none", model=Silent(len(universe))),),
            strategies=(Named("asks", Asks(len(universe), at)),),
            optimizer=Named("optimizer", Sends(orders, at)),
            execution=Named("execution", desk),
            gate=Named("gate", Limits(universe=universe, ids=ids["gate"], name="gate")),
        )
    )
    asyncio.run(Session(wiring, recorders=(keeps,)).run(Replay(lambda: feed.events(span.begins))))
    return keeps.rows
