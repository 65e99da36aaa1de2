"""Where slices end: on a clock that never stops, or by the trading days of an exchange. Pure lookups."""

from bisect import bisect_left
from typing import Protocol

from engine.calendar import Sessions
from engine.errors import ConfigError
from engine.events import DAY_NS


class Ends(Protocol):
    """The instants at which slices of one interval end, each with the instant at which its bars begin."""

    empty: bool  # whether there is a slice even where no symbol has a bar

    def after(self, ts: int) -> tuple[int, int]:
        """(begin, end) of the first slice that ends after `ts`."""
        ...

    def begin(self, ts: int) -> int | None:
        """Where the slice that ends at this very instant begins, None where none does."""
        ...


class Clock:
    """Ends at every multiple of the interval, counted from `phase_ns`: markets that never close.

    >>> Clock(60).after(59), Clock(60).after(60), Clock(60).begin(61)
    ((0, 60), (60, 120), None)
    """

    def __init__(self, interval_ns: int, *, phase_ns: int = 0, empty: bool = False) -> None:
        self._interval_ns, self._phase_ns, self.empty = interval_ns, phase_ns, empty

    def after(self, ts: int) -> tuple[int, int]:
        begin = ts - (ts - self._phase_ns) % self._interval_ns
        return begin, begin + self._interval_ns

    def begin(self, ts: int) -> int | None:
        return None if (ts - self._phase_ns) % self._interval_ns else ts - self._interval_ns


class TradingDays:
    """Ends by a calendar: a day at its close; parts of a day counted from its open and, after a break, from its end.

    The close and the beginning of a break end the last part early. Every one of them is a slice, with bars or without,
    unless not `empty`: then only one with bars is. Behind the end of the calendar it raises ConfigError.
    """

    def __init__(self, interval_ns: int, sessions: Sessions, *, empty: bool = True) -> None:
        self.empty = empty
        if interval_ns > DAY_NS:
            raise ConfigError(
                f"slicer: slices of {interval_ns / DAY_NS:g} days cannot be cut from a stream; make them of days"
            )
        self._interval_ns, self._sessions = interval_ns, sessions
        self._closes: list[int] = sessions.closes.tolist()

    def after(self, ts: int) -> tuple[int, int]:
        parts = self._parts(bisect_left(self._closes, ts + 1))
        low, high = next(part for part in parts if ts < part[1])
        return self._within(low, high, max(ts, low) + 1)

    def begin(self, ts: int) -> int | None:
        row = self._sessions.day_of(ts)
        for low, high in () if row < 0 else self._parts(row):
            if low < ts <= high:
                begin, end = self._within(low, high, ts)
                return begin if end == ts else None
        return None

    def _within(self, low: int, high: int, ts: int) -> tuple[int, int]:
        """The part of (low, high] that holds `ts`."""
        if self._interval_ns == DAY_NS:
            return low, high
        begin = low + (ts - low - 1) // self._interval_ns * self._interval_ns
        return begin, min(begin + self._interval_ns, high)

    def _parts(self, row: int) -> tuple[tuple[int, int], ...]:
        s = self._sessions
        if row == len(self._closes):
            s.next_close(self._closes[-1] + 1)  # says that the calendar ends here
        whole = int(s.opens[row]), self._closes[row]
        if not s.break_from[row] or self._interval_ns == DAY_NS:
            return (whole,)
        return (whole[0], int(s.break_from[row])), (int(s.break_to[row]), whole[1])
