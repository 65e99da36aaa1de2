"""Episodes of the environment, replayed as sessions of the engine: the same fills to the bit."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.files.parquet import ParquetFeed
from components.brokers.beside import Beside
from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from components.costs.by_side import BySide
from components.costs.dated import Dated, DatedFee
from components.costs.half_spread import HalfSpread
from components.costs.per_share import PerShare
from components.costs.quadratic_impact import QuadraticImpact
from components.costs.together import Together
from components.costs.volume_share import VolumeShare
from components.gates.limits import Limits
from components.rl.acting import Categorical, TwapRelative, Working, children
from components.rl.days import Days, days_of
from components.rl.env import OrderEnv
from components.rl.episodes import Orders as Parents
from components.rl.generated import GeneratedDays
from components.rl.observing import CurrentStep
from components.rl.rewards import PAPenalty
from engine.barrier import Named
from engine.events import Bars, Book, Children, Fills, Orders, Signal, Target, TargetKind, TimeInForce
from engine.ids import OrderIds
from engine.session import Replay, Session
from engine.universe import Universe
from engine.wiring import ModelPart, Parts, Wiring
from tests.components.rl.made import Minutes
from tests.make import legs

Bit = tuple[int, int, float, float, tuple[float, ...]]  # instant of the bar, symbol, quantity, price, fees


class Silent:
    """A model without an opinion."""

    lookback = 0

    def __init__(self, universe: Universe) -> None:
        self._none = np.zeros(len(universe))

    def on_bars(self, bars: Bars, /) -> Signal:
        return Signal(ts=bars.ts, asof=bars.ts, source="none", value=self._none.copy(), horizon_ns=0)


class Asks:
    """A strategy that wakes the optimizer in every slice."""

    interval_ns = 0

    def __init__(self, n: int) -> None:
        self._n = n

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        none = np.full(self._n, np.nan)
        zero = np.zeros(self._n)
        return Target(
            ts=book.ts, source="asks", kind=TargetKind.QUANTITY, value=zero, alpha=none, limit=none, stop=none
        )


class Sends:
    """An optimizer that sends the parents of a list."""

    def __init__(self, parents: Parents, at: dict[int, list[int]]) -> None:
        self._parents, self._at, self._ids = parents, at, OrderIds("episodes", "optimizer")

    def on_bars(self, bars: Bars, /) -> None: ...

    def on_targets(self, targets: tuple[Target, ...], book: Book, /) -> tuple[Orders, ...]:
        rows = self._at.get(book.ts, [])
        if not rows:
            return ()
        symbol, qty = self._parents.symbol[rows], (self._parents.side * self._parents.quantity)[rows]
        ids = self._ids(ts=book.ts, count=len(rows))
        return (
            legs(Orders, book.ts, symbol=symbol, qty=qty, ids=ids, tif=np.full(len(rows), TimeInForce.DAY, np.int32)),
        )


class Desk:
    """Works each parent by a list of actions with the functions of `acting`, from the fills that it hears of."""

    def __init__(self, game: OrderEnv, actions: NDArray[Any], at: dict[int, list[int]]) -> None:
        self._game, self._actions, self._at = game, actions, at
        self._open: dict[
            int, tuple[int, Working, float, int]
        ] = {}  # by symbol: episode, working, amount, bar of the step
        self._parent: dict[int, int] = {}
        self._ids = OrderIds("episodes", "desk")

    def on_bars(self, bars: Bars, /) -> None:
        self._fresh = bars.status == 0

    def on_fills(self, fills: Fills, /) -> None:
        for s, qty in zip(fills.symbol.tolist(), fills.qty.tolist(), strict=True):
            self._open[s][1].remaining[0] -= abs(qty)

    def on_orders(self, orders: Orders, /) -> Children | None:
        for e in self._at[orders.ts]:
            self._open[int(self._game.orders.symbol[e])] = (e, self._working(e), 0.0, 0)
        self._parent |= dict(zip(orders.symbol.tolist(), orders.ids.tolist(), strict=True))
        return self._send(orders.ts, [int(s) for s in orders.symbol])

    def on_book(self, book: Book, /) -> Children | None:
        for s in list(self._open):
            e, own, amount, bar = self._open[s]
            own.now[0] += 1
            over = self._game.days.length[self._game.orders.day[e]] - 1
            done = own.remaining[0] <= 0 or own.now[0] >= min(own.end[0], over)
            if done:
                del self._open[s]
            elif own.now[0] == own.next[0]:
                own.step[0] += 1
                own.next[0] = min(own.now[0] + self._game.bars_per_step, own.end[0])
                self._open[s] = (e, own, 0.0, 0)
            else:
                self._open[s] = (e, own, amount, bar + 1)
        return self._send(book.ts, list(self._open))

    def _send(self, ts: int, symbols: list[int]) -> Children | None:
        qty = {}
        for s in symbols:
            e, own, amount, bar = self._open[s]
            if bar == 0:
                action = self._actions[e, own.step]
                amount = float(self._game.action.amounts(action, own)[0])
                self._open[s] = (e, own, amount, 0)
            began = Working(**{name: getattr(own, name) for name in Working.__struct_fields__})
            began.now = own.now - bar  # children are counted from the decision
            child = float(children(np.array([amount]), began, own.remaining, bar)[0])
            if child > 0 and (self._fresh[s] or own.now[0] + 1 >= own.end[0]):
                qty[s] = child * own.side[0]
        if not qty:
            return None
        count = len(qty)
        return legs(
            Children,
            ts,
            symbol=list(qty),
            qty=list(qty.values()),
            ids=self._ids.following(ts=ts, count=count),
            parent=np.array([self._parent[s] for s in qty], np.uint64),
            tif=np.full(count, TimeInForce.IMMEDIATE_OR_CANCEL, np.int32),
        )

    def _working(self, e: int) -> Working:
        game, of = self._game, self._game.orders
        end = min(of.start[e] + of.horizon[e], game.days.bars - 1)
        columns = {
            "side": of.side[e],
            "quantity": of.quantity[e],
            "remaining": of.quantity[e],
            "lot": game.days.universe.lot[of.symbol[e]],
            "start": of.start[e],
            "now": of.start[e],
            "next": min(of.start[e] + game.bars_per_step, end),
            "end": end,
            "step": 0,
            "steps": -(-(end - of.start[e]) // game.bars_per_step),
        }
        return Working(**{name: np.array([column]) for name, column in columns.items()}, history=np.zeros((1, 1)))


def of_engine(feed: Any, game: OrderEnv, actions: NDArray[Any], broker: dict[str, Any]) -> list[Bit]:
    """The fills of a replay of the whole feed, every episode of the game among them."""
    of, days, universe = game.orders, game.days, feed.universe
    at: dict[int, list[int]] = {}
    for e in range(len(of)):
        at.setdefault(int(days.ts[of.day[e], of.start[e]]), []).append(e)
    gate = Limits(universe=universe, ids=OrderIds("episodes", "gate"), name="gate")
    wiring = Wiring(
        Parts(
            universe=universe,
            interval_ns=feed.interval_ns,
            cash=1e13,
            broker=Named("broker", Simulated(universe=universe, name="broker", short=True, **broker)),
            models=(ModelPart(name="none", model=Silent(universe)),),
            strategies=(Named("asks", Asks(len(universe))),),
            optimizer=Named("optimizer", Sends(of, at)),
            execution=Named("desk", Desk(game, actions, at)),
            gate=Named("gate", gate),
        )
    )
    found: list[Bit] = []

    class Keeps:
        def append(self, origins: Sequence[str], events: Sequence[Any], /) -> None:
            for event in events:
                if isinstance(event, Fills):
                    rows = zip(event.symbol, event.qty, event.price, event.fees, strict=True)
                    found.extend((event.ts, int(s), float(q), float(p), tuple(f.tolist())) for s, q, p, f in rows)

    asyncio.run(Session(wiring, recorders=(Keeps(),)).run(Replay(feed.events)))
    return sorted(found)


def of_episodes(game: OrderEnv, actions: NDArray[Any]) -> list[Bit]:
    """The fills of all episodes, worked side by side."""
    found: list[Bit] = []
    game.reset()
    while game.active.any():
        episode, now, step = game.episode, game.own.now.copy(), game.own.step.copy()
        game.step(actions[episode, step])
        for bar, traded in enumerate(game.traded):
            for row in np.flatnonzero(traded.qty):
                e = episode[row]
                ts = int(game.days.ts[game.orders.day[e], now[row] + 1 + bar])
                fees = tuple(traded.fees[row].tolist())
                found.append((ts, int(game.orders.symbol[e]), float(traded.qty[row]), float(traded.price[row]), fees))
    return sorted(found)


def one_each(days: Days, rng: np.random.Generator) -> Parents:
    """An order of each symbol on each day: orders of a symbol would share the volume of a bar."""
    d, s = (grid.ravel() for grid in np.meshgrid(np.arange(len(days)), np.arange(len(days.universe)), indexing="ij"))
    count, lot = len(d), days.universe.lot[s]
    length = days.length[d]
    return Parents(
        day=d,
        symbol=s,
        side=rng.choice(np.array([1, -1], np.int32), count),
        quantity=np.round(rng.lognormal(8, 1, count)) * lot,
        start=rng.integers(0, length - 1),
        horizon=rng.integers(1, 12, count),
    )


COSTS = {
    "bps": lambda: Bps(commission_bps=3, slippage_bps=2, min_commission=1.0, tax_bps_sell=5),
    "impact": lambda: QuadraticImpact(impact=0.1),
    "several": lambda: Together(parts=(PerShare(rate=0.005, minimum=1.0), VolumeShare(), HalfSpread(bps=1))),
    "by_side": lambda: BySide(buy_bps=1, sell_bps=2, impact=0.1),
}


@pytest.mark.parametrize("fill", ["next_open", "next_close", "next_vwap"])
@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize("participation", [None, 0.05])
def test_episodes_replayed_through_the_wiring_fill_alike(fill: str, costs: str, participation: float | None) -> None:
    feed = Minutes(symbols=3, lengths=(12, 7, 12, 12, 12), holes=0.15, idle=(3,), halted=((2, 1),), seed=5, lot=10.0)
    compare(feed, fill, COSTS[costs](), participation, bars_per_step=2 if participation else 3)


def test_the_same_on_generated_days() -> None:
    compare(GeneratedDays(days=20, symbols=4), "next_open", QuadraticImpact(impact=0.05), None, bars_per_step=1)


def test_the_same_where_fees_change_on_a_day() -> None:
    feed = Minutes(symbols=2, lengths=(12,) * 4)
    first = days_of(feed).date(2)
    costs = Dated(rates=(DatedFee(first, bps_sell=8, per_share_buy=0.001),))
    compare(feed, "next_open", costs, 0.5, bars_per_step=2)


def test_the_same_with_a_multiplier_and_continuous_actions() -> None:
    feed = Minutes(symbols=2, lengths=(12,) * 4, multiplier=50.0)
    compare(feed, "next_open", PerShare(rate=0.5), 0.2, bars_per_step=2, action=TwapRelative())


def compare(
    feed: Any, fill: str, costs: Any, participation: float | None, *, bars_per_step: int, action: Any = None
) -> None:
    days, rng = days_of(feed), np.random.default_rng(11)
    of = one_each(days, rng)
    action = action or Categorical(4)
    broker = {"fill": fill, "costs": costs, "participation": participation}
    game = OrderEnv(
        days=days,
        orders=of,
        market=Beside(universe=feed.universe, **broker),
        observation=CurrentStep(),
        action=action,
        reward=PAPenalty(),
        width=7,
        bars_per_step=bars_per_step,
    )
    shape = (len(of), game.steps)
    actions = rng.integers(0, action.count, shape) if action.count else rng.uniform(0, 2, shape)
    episodes = of_episodes(game, actions)
    assert len(episodes) > len(of)  # it is no comparison of nothing
    assert of_engine(feed, game, actions, broker) == episodes


@pytest.mark.parametrize("fill", ["next_open", "next_close", "next_vwap"])
def test_the_same_at_bids_and_asks(fill: str) -> None:
    feed = Minutes(symbols=3, lengths=(12,) * 4, quotes=True, holes=0.1)
    compare(feed, fill, HalfSpread(bps=5), 0.3, bars_per_step=2)


@pytest.mark.data
def test_the_same_on_real_minutes_of_which_some_are_missing(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMEWIRE_CACHE", str(tmp_path))
    path = data_dir / "intraday" / "us_equity_1min_2019_02.parquet"
    feed = ParquetFeed(path=path, stamped="close", interval="1m", calendar="XNYS")
    days = days_of(feed)
    assert (len(days), set(days.length.tolist()), (days.status != 0).any()) == (5, {390}, True)
    compare(feed, "next_open", COSTS["several"](), 0.1, bars_per_step=3)
