"""When the money of a sale may be spent."""

from typing import Any

import msgspec
import numpy as np

from engine.calendar import Sessions
from engine.errors import ConfigError
from engine.events import DAY_NS, Fills

_WEEK = np.arange(7) < 5  # Monday to Friday
_MOST = 10


def settles_at(ts: int, interval_ns: int, days: int, sessions: Sessions | None) -> int:
    """The instant from which the money of a sale in the slice `ts` counts as settled, `days` trading days later.

    It is the close before the trading day on which the money may be spent, so that what is decided at that close can
    count on it: with `days` 1 a sale pays for purchases of the next trading day, never for those of its own.

        settles = close of trading day (d + days - 1),   d = the trading day that holds the slice

    Without a calendar trading days are Monday to Friday in UTC and closes are not known. Then it is the first instant
    of day d + days - 1 for daily bars (so that its one slice shows it), and of day d + days for shorter ones.

    >>> friday = int(np.datetime64("2024-01-05T21:00", "ns").astype(int))
    >>> np.datetime64(settles_at(friday, DAY_NS, 2, None), "ns").astype("M8[D]")
    np.datetime64('2024-01-08')
    >>> np.datetime64(settles_at(friday, DAY_NS // 24, 2, None), "ns").astype("M8[D]")
    np.datetime64('2024-01-09')
    """
    if sessions is not None:
        return _in_calendar(ts, days, sessions)
    today = np.datetime64(int((ts - 1) // DAY_NS), "D")  # a bar that ends at midnight is one of the day before
    later = days - 1 if interval_ns >= DAY_NS else days
    day = np.busday_offset(today, later, roll="backward", weekmask=_WEEK)
    return int(day.astype(np.int64)) * DAY_NS + 1


def _in_calendar(ts: int, days: int, sessions: Sessions) -> int:
    """Raises ConfigError for a slice behind the calendar; money that settles behind it stays unsettled to its end."""
    row, count = int(np.searchsorted(sessions.closes, ts)), len(sessions)
    if row == count:
        last = np.datetime64(int(sessions.label[-1]) // DAY_NS, "D")
        then = np.datetime64(ts, "ns").astype("M8[s]")
        raise ConfigError(
            f"settlement: a slice of {then} lies behind the calendar {sessions.name}, which ends with {last}; "
            "compile it further"
        )
    row += days - 1
    return int(sessions.closes[min(row, count - 1)]) + max(row - count + 1, 0) * DAY_NS


class Settlement:
    """Stamps fills with the instant from which what they brought may be spent; `days` 0 = at once."""

    def __init__(self, *, days: int, sessions: Sessions | None) -> None:
        if not 0 <= days <= _MOST:
            raise ValueError(f"settlement_days must be between 0 and {_MOST} trading days, got {days}")
        self.days, self._sessions = days, sessions

    def stamped(self, out: tuple[Any, ...], interval_ns: int) -> tuple[Any, ...]:
        """The same answer, with `settles` in its Fills: of sales their own instant, of purchases that of the fill."""
        if not out or not isinstance(fills := out[-1], Fills) or not len(fills.qty):
            return out
        settles = settles_at(fills.ts, interval_ns, self.days, self._sessions)
        each = np.where(fills.qty < 0, settles, fills.at)
        each.setflags(write=False)
        return (*out[:-1], msgspec.structs.replace(fills, settles=each))
