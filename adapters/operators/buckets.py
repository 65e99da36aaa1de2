"""The stretches of time that longer bars cover: by the sessions of an exchange where they are known, else by a clock.

A bucket is (begin, end]: a bar belongs to the one that its close lies in, so what ends exactly at a boundary belongs to
the bucket that ends there.
"""

import re
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import msgspec
import numpy as np

from adapters.files.when import LocalTime
from engine.calendar import Sessions
from engine.events import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, Stamps

WEEK_NS = 7 * DAY_NS
_INTERVAL = re.compile(r"(\d+)\s*(s|min|m|h|d|w)")
_UNITS = {"s": SECOND_NS, "min": MINUTE_NS, "m": MINUTE_NS, "h": HOUR_NS, "d": DAY_NS, "w": WEEK_NS}
_MONDAY = 3  # 1970-01-01 was a Thursday: days since then plus 3 count from a Monday


def parse_longer(text: str) -> int:
    """Nanoseconds of an interval that bars can be aggregated to: part of a day, 1d or 1w.

    >>> parse_longer("5min") == parse_longer("5m") == 5 * MINUTE_NS
    True
    """
    found = _INTERVAL.fullmatch(text.strip())
    length = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < length <= DAY_NS and length != WEEK_NS:
        raise ValueError(f"to must name intervals such as 5min, 1h, 1d or 1w, got {text!r}")
    return length


def longer_text(interval_ns: int) -> str:
    """The written form of an interval: 5min, 1h, 1d, 1w.

    >>> longer_text(5 * MINUTE_NS), longer_text(7 * DAY_NS)
    ('5min', '1w')
    """
    unit = next((unit for unit in ("w", "d", "h", "min", "s") if interval_ns % _UNITS[unit] == 0), None)
    return f"{interval_ns} ns" if unit is None else f"{interval_ns // _UNITS[unit]}{unit}"


class Bucket(NamedTuple):
    """The instants (begin, end] in UTC ns.

    What closes in (low, high] is in it for certain; a week of sessions leaves the nights between them out. `opening`:
    it begins with a session, so a bar that begins before it may be its first.
    """

    begin: int
    end: int
    low: int
    high: int
    opening: bool = False


class ClockGrid(msgspec.Struct, frozen=True, kw_only=True):
    """Buckets where no sessions are known.

    Parts of a day count from UTC midnight and divide the day. A day ends at `close`, a week with the day of its Sunday.
    """

    interval_ns: int
    close: LocalTime = LocalTime(86_400, "UTC")

    def around(self, ts: int) -> Bucket | None:
        """The bucket of a bar that closed at `ts`."""
        length = self.interval_ns
        if length < DAY_NS:
            end = -(-ts // length) * length
            return Bucket(end - length, end, end - length, end)
        day = self.close.day(ts)
        day = next(day + k for k in (-1, 0, 1, 2) if self.close.instant(day + k) >= ts)
        sunday = day + 6 - (day + _MONDAY) % 7
        first, last = (day, day) if length == DAY_NS else (sunday - 6, sunday)
        begin, end = self.close.instant(first - 1), self.close.instant(last)
        return Bucket(begin, end, begin, end, opening=True)

    def begin_for(self, ts: int) -> int:
        """Where the first bucket begins that ends at `ts` or later."""
        bucket = self.around(ts)
        return ts if bucket is None else bucket.begin

    def known_from(self, opened: int, ts: int, finest: int) -> int:
        """From when on data whose first bar is (opened, ts] has everything.

        Bars of a day have the whole of theirs. Where a close by day is declared nobody said when days open: then that
        of the first bar is taken for whole.
        """
        if self.interval_ns < DAY_NS or (finest < DAY_NS and self.close.seconds == 86_400):
            return opened
        day = next(d for d in (self.close.day(ts) + k for k in (-1, 0, 1, 2)) if self.close.instant(d) >= ts)
        return min(opened, self.close.instant(day - 1))


class SessionGrid(msgspec.Struct, frozen=True, dict=True, kw_only=True):
    """Buckets by trading days.

    Parts of a day count from the open, and after a lunch break from its end; the close and the beginning of the break
    end the last one early. A day is (open, close]; a week goes from its first open to its last close, and is never
    complete where the calendar ends within it. What closes outside of all sessions, or in a break,
    has no bucket.
    """

    interval_ns: int
    sessions: Sessions

    @cached_property
    def _weeks(self) -> Stamps:
        """The number of the week, from Monday to Sunday, that each trading day is of by its label."""
        return (self.sessions.label // DAY_NS + _MONDAY) // 7

    def around(self, ts: int) -> Bucket | None:
        """The bucket of a bar that closed at `ts`, None where that is in no session."""
        row = self.sessions.day_of(ts)
        if row < 0:
            return None
        part = next(((begin, end) for begin, end in self._parts(row) if begin < ts <= end), None)
        if part is None:
            return None
        low, high = part
        if self.interval_ns >= DAY_NS:
            return Bucket(*self._days(row), low, high, opening=True)
        k = (ts - low - 1) // self.interval_ns
        begin = low + k * self.interval_ns
        end = min(begin + self.interval_ns, high)
        return Bucket(begin, end, begin, end, opening=not k)

    def begin_for(self, ts: int) -> int:
        """Where the first bucket begins that ends at `ts` or later."""
        sessions = self.sessions
        row = int(np.searchsorted(sessions.closes, ts))
        if row == len(sessions):
            return ts
        if self.interval_ns >= DAY_NS:
            return min(ts, self._days(row)[0])
        bucket = self.around(ts)
        return ts if bucket is None else bucket.begin

    def known_from(self, opened: int, ts: int, finest: int) -> int:
        """From when on data whose first bar is (opened, ts] has everything."""
        return opened

    def _parts(self, row: int) -> tuple[tuple[int, int], ...]:
        s = self.sessions
        whole = int(s.opens[row]), int(s.closes[row])
        if not s.break_from[row]:
            return (whole,)
        return (whole[0], int(s.break_from[row])), (int(s.break_to[row]), whole[1])

    def _days(self, row: int) -> tuple[int, int]:
        """Begin and end of the day or the week of this trading day."""
        s = self.sessions
        if self.interval_ns == DAY_NS:
            return int(s.opens[row]), int(s.closes[row])
        week = int(self._weeks[row])
        first, after = (int(np.searchsorted(self._weeks, week + k)) for k in (0, 1))
        end = int(s.closes[after - 1])
        if after == len(s):  # the calendar may end in the middle of this week
            end = max(end, (7 * (week + 1) - _MONDAY) * DAY_NS)
        return int(s.opens[first]), end


Grid = ClockGrid | SessionGrid


def grids_for(to: tuple[int, ...], finest: int, sessions: Sessions | None, close: LocalTime | None) -> tuple[Grid, ...]:
    """A grid for each interval. ValueError for one that bars of the finest interval cannot fill.

    >>> grids_for((7 * MINUTE_NS,), MINUTE_NS, None, None)
    Traceback (most recent call last):
    ValueError: 7min does not divide a day, so without sessions its bars would begin anywhere; name the feed's calendar
    or take an interval such as 5min or 1h
    """
    for shorter, longer in pairwise((finest, *to)):
        if longer == shorter:
            raise ValueError(f"to names {longer_text(longer)} twice, or the feed makes it already; name others")
    for length in to:
        if length < finest:
            raise ValueError(f"the feed makes bars of {longer_text(finest)}; {longer_text(length)} is shorter")
        if length < DAY_NS and length % finest:
            raise ValueError(f"{longer_text(length)} is no multiple of {longer_text(finest)}, which the feed makes")
        if length < DAY_NS and sessions is None and DAY_NS % length:
            raise ValueError(
                f"{longer_text(length)} does not divide a day, so without sessions its bars would begin anywhere; "
                "name the feed's calendar or take an interval such as 5min or 1h"
            )
    if sessions is not None:
        return tuple(SessionGrid(interval_ns=length, sessions=sessions) for length in to)
    day = close or LocalTime(86_400, "UTC")
    return tuple(ClockGrid(interval_ns=length, close=day) for length in to)
