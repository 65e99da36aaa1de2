"""Days, orders and environments for tests: small, and of every kind of trouble."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import numpy as np

from components.brokers.beside import Beside
from components.costs.bps import Bps
from components.rl.acting import Categorical
from components.rl.days import Days, days_of
from components.rl.env import OrderEnv, Transition, twap_action
from components.rl.episodes import Orders
from components.rl.observing import Compact
from components.rl.rewards import PAPenalty
from engine.calendar import Sessions
from engine.events import DAY_NS, MINUTE_NS, Actions, Bars, Event, Status
from engine.protocols import Issue
from engine.universe import Universe, universe_of

FIRST = dt.date(2019, 1, 7)
_BEGIN = (FIRST - dt.date(1970, 1, 1)).days * DAY_NS + 14 * 60 * MINUTE_NS


class Minutes:
    """A feed of five-minute bars of random walks; `lengths` are the bars of each day.

    A share of `holes` of the bars is missing; `idle` days have no volume; of `halted` (day, symbol) the middle third of
    the day is halted. With `quotes` there are bids and asks, some of them unknown. `calendar` are the bars of sessions;
    of a day (key) the bars of `unseen` are no slices: nobody traded. So many bars `outside` come before each day and
    behind it, at other prices, and change none of the others.
    """

    def __init__(
        self,
        *,
        symbols: int = 2,
        lengths: tuple[int, ...] = (12, 12, 12, 12),
        seed: int = 0,
        holes: float = 0.0,
        idle: tuple[int, ...] = (),
        halted: tuple[tuple[int, int], ...] = (),
        lot: float = 1.0,
        multiplier: float = 1.0,
        splits: dict[tuple[int, int], float] | None = None,
        quotes: bool = False,
        calendar: tuple[int, ...] | None = None,
        unseen: dict[int, tuple[int, ...]] | None = None,
        outside: int = 0,
    ) -> None:
        self._outside = outside
        universe = universe_of(tuple(f"S{k}" for k in range(symbols)), lot=lot)
        self.universe = Universe(
            symbols=universe.symbols,
            currencies=universe.currencies,
            currency=universe.currency,
            multiplier=np.full(symbols, multiplier),
            lot=universe.lot,
            tick=universe.tick,
            extra=("bid", "ask", "bid_open", "ask_open") if quotes else (),
        )
        self.interval_ns, self.sectors = 5 * MINUTE_NS, ()
        self._lengths, self._seed, self._holes = lengths, seed, holes
        self._idle, self._halted, self._splits = idle, halted, splits or {}
        self.span, self._unseen = None, unseen or {}
        self.sessions = None if calendar is None else _sessions(calendar)

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        rng, n = np.random.default_rng(self._seed), len(self.universe)
        close = 50.0 * np.arange(1, n + 1)
        for day, length in enumerate(self._lengths):
            opens = _BEGIN + day * DAY_NS
            split = [(s, ratio) for (d, s), ratio in self._splits.items() if d == day]
            if split:
                yield _splits(opens - DAY_NS // 4, split)
            yield from self._beside(day, -self._outside, 0)
            for t in range(length):
                bar = self._bar(day, t, close, rng)
                close = np.where(np.isnan(bar.close), close, bar.close)
                if t in self._unseen.get(day, ()):
                    continue
                if (start is None or bar.ts >= start) and (end is None or bar.ts < end):
                    yield bar
            yield from self._beside(day, length, length + self._outside)

    def _beside(self, day: int, first: int, after: int) -> Iterator[Bars]:
        """Bars out of hours."""
        for t in range(first, after):
            rng = np.random.default_rng((self._seed, day, t + self._outside))
            yield self._bar(day, t, 70.0 * np.arange(1, len(self.universe) + 1), rng)

    def _bar(self, day: int, t: int, before: Any, rng: np.random.Generator) -> Bars:
        n, opens = len(before), _BEGIN + day * DAY_NS + t * self.interval_ns
        opened = before * np.exp(rng.normal(0, 5e-4, n))
        close = opened * np.exp(rng.normal(0, 1e-3, n))
        high, low = np.maximum(opened, close) * 1.0005, np.minimum(opened, close) * 0.9995
        volume = np.zeros(n) if day in self._idle else np.round(rng.lognormal(9, 0.5, n))
        vwap = (opened + close) / 2
        status = np.where(rng.random(n) < self._holes, Status.MISSING, Status.FRESH).astype(np.int32)
        third = self._lengths[day] // 3
        for d, s in self._halted:
            if d == day and third <= t < 2 * third:
                status[s] = Status.HALTED
        columns = {"open": opened, "high": high, "low": low, "close": close, "vwap": vwap, "volume": volume}
        for column in columns.values():
            column[status != Status.FRESH] = np.nan
        member = np.ones(n, bool)
        step = self.interval_ns
        extra: tuple[Any, ...] = ()
        if self.universe.extra:
            extra = (
                close * 0.9997,
                close * 1.0004,
                opened * 0.9996,
                np.where(opened % 1 < 0.5, opened * 1.0003, np.nan),
            )
        fixed = {"ts": opens + step, "interval_ns": step, "opened": opens, "extra": extra}
        return Bars(status=status, member=member, **fixed, **columns)

    def issues(self) -> tuple[Issue, ...]:
        return ()

    def hashes(self) -> dict[str, str]:
        return {}


def _sessions(lengths: tuple[int, ...]) -> Sessions:
    opens = _BEGIN + np.arange(len(lengths)) * DAY_NS
    zero = np.zeros(len(lengths), np.int64)
    return Sessions(
        name="MADE",
        label=opens // DAY_NS * DAY_NS,
        opens=opens,
        closes=opens + np.array(lengths) * 5 * MINUTE_NS,
        break_from=zero,
        break_to=zero,
    )


def _splits(ts: int, legs: list[tuple[int, float]]) -> Actions:
    n = len(legs)
    return Actions(
        ts=ts,
        kind=np.zeros(n, np.int32),
        symbol=np.array([s for s, _ in legs], np.int32),
        ratio=np.array([ratio for _, ratio in legs]),
        amount=np.zeros(n),
        pay_at=np.zeros(n, np.int64),
        successor=np.full(n, -1, np.int32),
    )


def minutes(**options: Any) -> Days:
    return days_of(Minutes(**options))


def orders(*rows: tuple[int, int, int, float, int, int]) -> Orders:
    """(day, symbol, side, quantity, start, horizon) each."""
    day, symbol, side, quantity, start, horizon = (np.array(column) for column in zip(*rows, strict=True))
    return Orders(
        day=day.astype(np.intp),
        symbol=symbol.astype(np.intp),
        side=side.astype(np.int32),
        quantity=quantity.astype(float),
        start=start.astype(np.intp),
        horizon=horizon.astype(np.intp),
    )


def market(days: Days, **options: Any) -> Beside:
    return Beside(universe=days.universe, **({"costs": Bps(commission_bps=1, slippage_bps=2)} | options))


def env(days: Days, of: Orders, **options: Any) -> OrderEnv:
    given: dict[str, Any] = {
        "market": market(days),
        "observation": Compact(),
        "action": Categorical(4),
        "reward": PAPenalty(penalty=4.0, scale=0.01),
        "width": len(of),
    }
    return OrderEnv(days=days, orders=of, **(given | options))


def whole(game: OrderEnv, choose: object = None) -> list[Transition]:
    """A pass over all orders; `choose` is an action for every step, or TWAP."""
    seen = []
    game.reset()
    while game.active.any():
        action = twap_action(Categorical(4), game.own) if choose is None else np.full(game.width, choose)
        seen.append(game.step(action))
    return seen
