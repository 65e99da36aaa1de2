"""Bars for a slicer of three symbols, short to write."""

from collections.abc import Iterable, Sequence
from typing import Any

from engine.cuts import Bar, CutRules
from engine.events import Status
from engine.slice_ends import Clock
from engine.slicer import Slicer
from engine.universe import universe_of

MIN, FIVE = 60, 300  # ns: only their order matters
N = 3
FRESH, MISSING, HALTED = Status.FRESH, Status.MISSING, Status.HALTED


def bar(symbol: int, ts: int, close: float = 10.0, **columns: Any) -> Bar:
    row = {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 100.0, "vwap": close}
    return Bar(symbol=symbol, ts=ts, **({"interval_ns": MIN} | row | columns))


def slicer(n: int = N, intervals: Sequence[int] = (MIN,), **rules: Any) -> Slicer:
    ends = {interval: Clock(interval) for interval in intervals}
    names = tuple(f"S{i}" for i in range(n))
    return Slicer(universe=universe_of(names), ends=ends, start=0, rules=CutRules(**({"deadline_ns": 10} | rules)))


def fed(into: Slicer, *arrivals: tuple[Bar, int]) -> list[Any]:
    return [event for each, now in arrivals for event in into.offer(each, now)]


def kinds(events: Iterable[Any]) -> list[str]:
    return [type(event).__name__ for event in events]
