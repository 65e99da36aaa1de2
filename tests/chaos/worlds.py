"""A market, an account and the components that trade it, all drawn from one seed."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from engine.calendar import Sessions
from engine.cuts import Bar, CutRules
from engine.events import (
    DAY_NS,
    HOUR_NS,
    MINUTE_NS,
    SECOND_NS,
    ActionKind,
    Actions,
    Control,
    ControlAction,
    Reference,
)
from engine.slice_ends import Clock, Ends, TradingDays
from engine.universe import Universe
from engine.wiring import Wiring
from tests.chaos.traders import changed_parts, drawn_options, maybe, parts_of
from tests.engine.trading_days import DAY


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of a run but what happens to the bars on their way. `wiring` makes all components afresh."""

    seed: int
    universe: Universe
    ends: dict[int, Ends]
    start: int
    rules: CutRules
    bars: tuple[Bar, ...]  # as they should arrive, by end and symbol
    others: tuple[Any, ...]  # actions, references and controls, in order
    cash: float
    max_order_value: float | None
    max_weight: float | None
    wiring: Callable[..., Wiring]
    facts: dict[str, Any]  # what was drawn, for whoever looks at a failure


def world(seed: int) -> World:
    rng = np.random.default_rng(seed)
    universe = _universe(rng)
    sessions, ends, start = _ends(rng)
    bars = _bars(rng, universe, ends, start, int(rng.integers(12, 40)))
    finest = min(ends)
    stamps = sorted({bar.ts for bar in bars if bar.interval_ns == finest})
    cash = float(10 ** rng.uniform(4.5, 6.5))
    limits = {
        "max_order_value": maybe(rng, cash * rng.uniform(0.1, 0.6)),
        "max_weight": maybe(rng, rng.uniform(0.2, 0.9)),
        "max_gross": maybe(rng, rng.uniform(0.5, 1.6)),
        "max_net": maybe(rng, rng.uniform(0.5, 1.2)),
    }
    drawn = {name: drawn_options(rng, name, universe, ends) for name in ("broker", "costs", "deciding", "models")}
    facts = {"n": len(universe), "slices": len(stamps), "intervals": list(ends), "cash": cash} | drawn | limits

    def wiring(failing: tuple[str, str, int] | None = None, slow: bool = False) -> Wiring:
        parts = parts_of(seed, universe, cash, sessions, finest, (drawn, limits))
        return Wiring(changed_parts(parts, failing, slow))

    rules = CutRules(
        deadline_ns=2 * SECOND_NS,
        quorum=float(rng.choice([0.0, 0.5, 0.9])),
        patience_ns=6 * SECOND_NS,
        absent_after=int(rng.integers(0, 4)),
        early=bool(rng.random() < 0.8),
        late_max=int(rng.choice([3, 1000])),
    )
    return World(
        seed=seed,
        universe=universe,
        ends=ends,
        start=start,
        rules=rules,
        bars=tuple(bars),
        others=_others(rng, universe, stamps),
        cash=cash,
        max_order_value=limits["max_order_value"],
        max_weight=limits["max_weight"],
        wiring=wiring,
        facts=facts,
    )


def _universe(rng: np.random.Generator) -> Universe:
    n, two = int(rng.integers(1, 9)), rng.random() < 0.4
    return Universe(
        symbols=tuple(f"S{i}" for i in range(n)),
        currencies=("USD", "EUR") if two else ("USD",),
        currency=rng.integers(0, 2 if two else 1, n).astype(np.int32),
        multiplier=rng.choice([1.0, 1.0, 1.0, 10.0], n),
        lot=rng.choice([1.0, 1.0, 10.0, 0.01], n),
        tick=rng.choice([0.0, 0.01, 0.05], n),
    )


def _ends(rng: np.random.Generator) -> tuple[Sessions | None, dict[int, Ends], int]:
    """A market that never closes, or one with sessions, half days and lunch breaks; sometimes two intervals."""
    if rng.random() < 0.3:
        interval = int(rng.choice([MINUTE_NS, 15 * MINUTE_NS]))
        intervals = [interval, 4 * interval] if rng.random() < 0.3 else [interval]
        return None, {each: Clock(each) for each in intervals}, DAY
    days = np.array([k for k in range(80) if k % 7 not in (5, 6)])
    label = DAY + days * DAY_NS
    opens = label + int(14.5 * HOUR_NS)
    closes = label + np.where(rng.random(len(days)) < 0.1, 18, 21) * HOUR_NS
    lunch = np.where(rng.random(len(days)) < 0.3, label + 16 * HOUR_NS, 0)
    sessions = Sessions(
        name="CHAOS",
        label=label,
        opens=opens,
        closes=closes,
        break_from=lunch,
        break_to=np.where(lunch > 0, lunch + HOUR_NS, 0),
    )
    shapes = ([DAY_NS], [DAY_NS], [HOUR_NS], [HOUR_NS, DAY_NS], [30 * MINUTE_NS, 2 * HOUR_NS])
    intervals = shapes[int(rng.integers(len(shapes)))]
    return sessions, {each: TradingDays(each, sessions) for each in intervals}, DAY


def _bars(rng: np.random.Generator, universe: Universe, ends: dict[int, Ends], start: int, count: int) -> list[Bar]:
    """A random walk a symbol in the finest interval, longer bars made of it; some bars never exist, some are halted."""
    n, finest, at = len(universe), min(ends), start
    spans = []
    for _ in range(count):
        begin, at = ends[finest].after(at)
        spans.append((begin, at))
    walk = np.exp(np.cumsum(rng.normal(0, 0.02, (count, n)), axis=0)) * rng.uniform(5, 200, n)
    rows: dict[tuple[int, int], Bar] = {}
    for k, (_, end) in enumerate(spans):
        for s in range(n):
            close, opening = float(walk[k, s]), float(walk[max(k - 1, 0), s] * np.exp(rng.normal(0, 0.005)))
            high, low = (
                max(close, opening) * (1 + rng.uniform(0, 0.01)),
                min(close, opening) * (1 - rng.uniform(0, 0.01)),
            )
            volume = float(np.round(rng.lognormal(9, 1.5))) if rng.random() > 0.03 else 0.0
            fate = rng.random()
            if fate < 0.04:
                continue
            columns: dict[str, Any] = {"open": opening, "high": high, "low": low, "close": close, "volume": volume}
            rows[end, s] = Bar(
                symbol=s, ts=end, interval_ns=finest, vwap=(high + low) / 2, halted=fate < 0.06, **columns
            )
    bars = list(rows.values())
    for interval in sorted(ends)[1:]:
        bars += _longer(rows, spans, interval, ends[interval], n)
    return sorted(bars, key=lambda bar: (bar.ts, bar.interval_ns, bar.symbol))


def _longer(rows: dict[tuple[int, int], Bar], spans: Any, interval: int, ends: Ends, n: int) -> list[Bar]:
    made, at, last = [], spans[0][0] - 1, spans[-1][1]
    while True:
        begin, at = ends.after(at)
        if at > last:
            return made
        for s in range(n):
            found = [rows[end, s] for _, end in spans if begin < end <= at and (end, s) in rows]
            if not found:
                continue
            columns = {"open": found[0].open, "close": found[-1].close, "volume": sum(bar.volume for bar in found)}
            columns |= {"high": max(bar.high for bar in found), "low": min(bar.low for bar in found)}
            made.append(Bar(symbol=s, ts=at, interval_ns=interval, **columns))


def _others(rng: np.random.Generator, universe: Universe, stamps: list[int]) -> tuple[Any, ...]:
    """Corporate actions, exchange rates, what can be borrowed, and an operator's commands."""
    n, found, halted = len(universe), list[Any](), False
    for ts in stamps:
        if rng.random() < 0.05:
            found.append(_action(rng, ts, n))
        if len(universe.currencies) > 1 and rng.random() < 0.3:
            rate = np.array([[1.0], [float(rng.uniform(0.8, 1.4))]])
            found.append(Reference(ts=ts, name="rates", rows="currency", value=rate))
        if rng.random() < 0.03:
            shares = np.where(rng.random((n, 1)) < 0.5, np.inf, rng.integers(0, 500, (n, 1)).astype(float))
            found.append(Reference(ts=ts, name="shortable", rows="symbol", value=shares))
        if rng.random() < 0.06:
            odds = {ControlAction.HALT: 0.15, ControlAction.REDUCE_ONLY: 0.2, ControlAction.RESUME: 0.5}
            action = ControlAction(str(rng.choice([*odds, ControlAction.FLATTEN], p=[*odds.values(), 0.15])))
            if halted and action is ControlAction.REDUCE_ONLY:  # nothing looser than what holds, without a resume
                action = ControlAction.RESUME
            halted = action in (ControlAction.HALT, ControlAction.FLATTEN)
            found.append(Control(ts=ts, action=action, actor="operator", reason="chaos"))
    rank = {Control: 0, Reference: 1, Actions: 4}
    return tuple(sorted(found, key=lambda event: (event.ts, rank[type(event)])))


def _action(rng: np.random.Generator, ts: int, n: int) -> Actions:
    kinds = [ActionKind.SPLIT, ActionKind.CASH_DIVIDEND, ActionKind.DELISTING]
    kind, symbol = rng.choice(kinds, p=[0.4, 0.5, 0.1]), int(rng.integers(n))
    return Actions(
        ts=ts + 1,
        kind=np.array([kind], np.int32),
        symbol=np.array([symbol], np.int32),
        ratio=np.array([rng.choice([2.0, 3.0, 0.5, 0.1, 1.5])]),
        amount=np.array([float(rng.uniform(0.0, 3.0))]),
        pay_at=np.array([ts + int(rng.integers(1, 10)) * DAY_NS // 4]),
        successor=np.array([-1], np.int32),
    )
