"""What is known of a live session beforehand: where its slices end, and what files and calendars say will happen."""

import heapq
from collections.abc import Iterator

from adapters.files import by_calendar
from adapters.files.when import SESSION_NS, LocalTime, parse_close
from engine.calendar import Sessions
from engine.course import Known
from engine.errors import ConfigError
from engine.events import DAY_NS, INPUT_ORDER, SECOND_NS, SESSION_CLOSED, SESSION_OPENED, Bars, Event, Timer, Watermark
from engine.protocols import Feed
from engine.slice_ends import Clock, Ends, TradingDays

_RANK = {kind: rank for rank, kind in enumerate(INPUT_ORDER)}
_DAYS_AHEAD = 4_000  # how far opens and closes are asked of a calendar at most


class LocalCloses:
    """Days that end at a time of day in a zone, on every date: a feed with dates and no calendar.

    >>> ends = LocalCloses(parse_close("16:00 America/New_York"))
    >>> _, close = ends.after(1_514_900_000 * SECOND_NS)
    >>> close // SECOND_NS, ends.begin(close) == close - SESSION_NS, ends.begin(close + 1)
    (1514926800, True, None)
    """

    empty = False

    def __init__(self, close: LocalTime) -> None:
        self._close, self._length = close, min(SESSION_NS, close.seconds * SECOND_NS)

    def after(self, ts: int) -> tuple[int, int]:
        day = self._close.day(ts) - 1
        while (end := self._close.instant(day)) <= ts:
            day += 1
        return end - self._length, end

    def begin(self, ts: int) -> int | None:
        begin, end = self.after(ts - 1)
        return begin if end == ts else None


def ends_of(feed: Feed, interval_ns: int) -> Ends:
    """Where slices of an interval end: by the feed's calendar, else by its close, else on the clock."""
    sessions: Sessions | None = getattr(feed, "sessions", None)
    if sessions is not None and interval_ns <= DAY_NS:
        return TradingDays(interval_ns, sessions)
    close = getattr(feed, "close", None)
    if interval_ns == DAY_NS and close is not None:
        return LocalCloses(parse_close(close) if isinstance(close, str) else close)
    if interval_ns > DAY_NS:
        raise ConfigError(
            f"feed: slices of {interval_ns / DAY_NS:g} days cannot be cut from a stream; a live session goes by days "
            "or parts of a day"
        )
    return Clock(interval_ns)


def known_of(feed: Feed, end: int | None) -> Known:
    """What is known beforehand from an instant on: actions and references from files, opens and closes by calendar."""
    sessions: Sessions | None = getattr(feed, "sessions", None)
    timed = sessions is not None and feed.interval_ns < DAY_NS

    def said(since: int) -> Iterator[Event]:
        span = getattr(feed, "span", None)
        if span is not None and span[1] < since:
            return
        for event in feed.events(since, end):
            own = isinstance(event, Timer) and timed and event.name in (SESSION_OPENED, SESSION_CLOSED)
            if not isinstance(event, Bars | Watermark) and not own:
                yield event

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
