"""What is known of a live session beforehand: where its slices end, and what files and calendars say will happen."""

import heapq
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np

from adapters.files import by_calendar
from adapters.files.when import SESSION_NS, LocalTime, parse_close
from adapters.operators.buckets import Grid
from engine.calendar import Sessions
from engine.course import Known
from engine.errors import ConfigError
from engine.events import (
    DAY_NS,
    INPUT_ORDER,
    SECOND_NS,
    SESSION_CLOSED,
    SESSION_OPENED,
    Bars,
    Event,
    Reference,
    Timer,
    Watermark,
)
from engine.membership import Membership
from engine.protocols import Feed
from engine.slice_ends import Clock, Ends, TradingDays

_RANK = {kind: rank for rank, kind in enumerate(INPUT_ORDER)}
_DAYS_AHEAD = 4_000  # how far opens and closes are asked of a calendar at most


class LocalCloses:
    """Days that end at a time of day in a zone, on every date: a feed with dates and no calendar.

    They begin at `open_seconds` of their date where that is declared.

    >>> ends = LocalCloses(parse_close("16:00 America/New_York"))
    >>> _, close = ends.after(1_514_900_000 * SECOND_NS)
    >>> close // SECOND_NS, ends.begin(close) == close - SESSION_NS, ends.begin(close + 1)
    (1514926800, True, None)
    """

    empty = False

    def __init__(self, close: LocalTime, open_seconds: int | None = None) -> None:
        self._close, self._length = close, min(SESSION_NS, close.seconds * SECOND_NS)
        self._opens = None if open_seconds is None else LocalTime(open_seconds, close.zone)

    def after(self, ts: int) -> tuple[int, int]:
        day = self._close.day(ts) - 1
        while (end := self._close.instant(day)) <= ts:
            day += 1
        return (end - self._length if self._opens is None else self._opens.instant(day)), end

    def begin(self, ts: int) -> int | None:
        begin, end = self.after(ts - 1)
        return begin if end == ts else None


class Longer:
    """Ends of the longer bars that an aggregate makes: only those with bars are slices."""

    empty = False

    def __init__(self, grid: Grid, sessions: Sessions | None) -> None:
        self._grid, self._sessions = grid, sessions

    def after(self, ts: int) -> tuple[int, int]:
        bucket = self._grid.around(ts + 1)
        while bucket is None and self._sessions is not None:  # at night, or in a break
            bucket = self._grid.around(self._sessions.next_close(ts + 1))
        if bucket is None:
            raise ConfigError(f"feed: no longer bar ends after {ts}")
        return bucket.begin, bucket.end

    def begin(self, ts: int) -> int | None:
        bucket = self._grid.around(ts)
        return bucket.begin if bucket is not None and bucket.end == ts else None


def ends_of(feed: Feed, interval_ns: int) -> Ends:
    """Where slices of an interval end: by the feed's calendar, else by its close, else on the clock.

    As in a feed from files only instants at which a symbol has a bar are slices.
    """
    sessions: Sessions | None = getattr(feed, "sessions", None)
    grid: Grid | None = feed.grid(interval_ns) if hasattr(feed, "grid") else None
    if grid is not None and (sessions is None or interval_ns > DAY_NS):
        return Longer(grid, sessions)
    if sessions is not None and interval_ns <= DAY_NS:
        return TradingDays(interval_ns, sessions, empty=False)
    close = getattr(feed, "close", None)
    if interval_ns == DAY_NS and close is not None:
        opens = getattr(getattr(feed, "beforehand", None), "open_seconds", None)
        return LocalCloses(parse_close(close) if isinstance(close, str) else close, opens)
    if interval_ns > DAY_NS:
        raise ConfigError(
            f"feed: slices of {interval_ns / DAY_NS:g} days cannot be cut from a stream; a live session goes by days "
            "or parts of a day, and makes longer bars of those with use: aggregate"
        )
    return Clock(interval_ns)


def day_ends(feed: Feed) -> Callable[[int], int] | None:
    """When the day of a slice ends where only a declared close says so; None where a calendar does, or slices are days.

    Without a close days end at UTC midnight.
    """
    if getattr(feed, "sessions", None) is not None or feed.interval_ns >= DAY_NS:
        return None
    said: Any = getattr(feed, "close", None) or "24:00 UTC"
    close = parse_close(said) if isinstance(said, str) else said

    def end(ts: int) -> int:
        day = close.day(ts)
        return int(next(at for k in (-1, 0, 1, 2) if (at := close.instant(day + k)) >= ts))

    return end


def membership_of(feed: Feed, start: int) -> Membership | None:
    """Who is a member when the session begins, and becomes one; None for a feed that does not say: all are."""
    beforehand: Any = getattr(feed, "beforehand", None)
    if beforehand is None:
        return None
    return Membership(np.asarray(beforehand.listed) <= start, beforehand.standing())


def known_of(feed: Feed, start: int, end: int | None) -> Known:
    """What is known beforehand from an instant on: actions and references from files, opens and closes by calendar.

    References that hold when the session begins are known as of then.
    """
    sessions: Sessions | None = getattr(feed, "sessions", None)
    timed = sessions is not None and feed.interval_ns < DAY_NS
    span = getattr(feed, "span", None)
    behind = span is not None and span[1] <= start  # the files end before the session begins

    def said(since: int) -> Iterator[Event]:
        if behind and span is not None:
            found: Iterator[Event] = iter(_standing(feed, span[1], start + 1))
        else:  # from the beginning: what holds then is told there
            found = (each for each in feed.events(start + 1, end) if not _of_the_stream(each, feed.interval_ns))
        yield from (each for each in found if each.ts >= since)

    def opens(since: int) -> Iterator[Event]:
        if sessions is None or not timed:
            return
        last = int(sessions.closes[-1])
        horizon = min(last, since + _DAYS_AHEAD * DAY_NS) if end is None else min(last, end)
        for timer in by_calendar.timers(sessions, since, horizon):
            if since <= timer.ts and (end is None or timer.ts < end):
                yield timer

    def known(since: int) -> Iterator[Event]:
        return heapq.merge(said(since), opens(since), key=lambda event: (event.ts, _RANK[event.__class__]))

    return known


def _of_the_stream(event: Event, interval_ns: int) -> bool:
    """Whether a live session makes it itself: bars, and the ends of days within which there are slices."""
    ends = isinstance(event, Timer) and event.name in (SESSION_OPENED, SESSION_CLOSED)
    return isinstance(event, Bars | Watermark) or (ends and interval_ns < DAY_NS)


def _standing(feed: Feed, last: int, ts: int) -> list[Event]:
    """The references that hold behind the feed's last slice, as of an instant."""
    found: dict[str, Reference] = {}
    for event in feed.events(last, None):
        if isinstance(event, Reference):
            found[event.name] = event
    return [msgspec.structs.replace(each, ts=ts) for each in found.values()]
