"""The trading days of a calendar in the walk over a feed: what they are, their timers, and the days that had no bar."""

from collections.abc import Callable, Iterator
from itertools import chain

import msgspec
import numpy as np

from adapters.files.by_calendar import date_of, timers
from adapters.files.rows import Survey
from adapters.files.when import LocalTime, Timing, interval_text
from engine.calendar import Sessions
from engine.errors import ConfigError
from engine.events import DAY_NS, Bars, Event


def compiled(name: str, survey: Survey) -> Sessions:
    """The trading days over the span of a table, and some around them."""
    from adapters.calendars.compiled import sessions_of

    unit = 1 if survey.dated else DAY_NS
    return sessions_of(name, *(date_of(stamp // unit * DAY_NS) for stamp in (survey.low, survey.high)))


def agreed(timing: Timing, sessions: Sessions, survey: Survey, where: str) -> Timing:
    """The timing with its trading days, once what else was declared of time is known to say the same."""
    if timing.interval_ns > DAY_NS or (timing.dated and timing.interval_ns != DAY_NS):
        raise ConfigError(
            f"{where}: its stamps stand {interval_text(timing.interval_ns)} apart as a rule, from "
            f"{timing.stamp_text(survey.low)} to {timing.stamp_text(survey.high)}, so its bars are taken to be that "
            "long, and a calendar tells when those of a day or less are known; mend a date that lies far off, or add "
            "interval: 1d where they are of a day, declare close: instead, or make longer bars of daily ones with "
            "use: aggregate"
        )
    if timing.close is not None:
        _same(timing.close, sessions, sessions.closes, f"{where}: close")
    if timing.close is not None and timing.open_seconds is not None:
        _same(LocalTime(timing.open_seconds, timing.close.zone), sessions, sessions.opens, f"{where}: open")
    return msgspec.structs.replace(timing, close=None, open_seconds=None, sessions=sessions)


def _same(
    declared: LocalTime, sessions: Sessions, known: np.ndarray[tuple[int], np.dtype[np.int64]], what: str
) -> None:
    """A time that is declared beside a calendar must be that of every trading day."""
    for label, instant in zip(sessions.label.tolist(), known.tolist(), strict=True):
        if declared.instant(label // DAY_NS) != instant:
            said = np.datetime_as_string(np.datetime64(instant, "ns"), unit="m", timezone="UTC")
            raise ConfigError(
                f"{what} and calendar {sessions.name} are both declared and differ: on {date_of(label)} the calendar "
                f"has {said}; keep one of them, calendar: knows half days"
            )


def with_sessions(
    slices: Iterator[Bars],
    timing: Timing,
    span: tuple[int, int],
    bounds: tuple[int | None, int | None],
    empty: Callable[[str], None],
) -> Iterator[Event]:
    """Slices with the timers of their sessions; days of a calendar between two slices that had none are told.

    Below a day a timer enters at each open and each close between the first and the last bar of the feed, behind the
    bars of that instant and whether the day had a bar or not. A daily bar is its own session and needs none.
    """
    assert timing.sessions is not None
    told = _complete(slices, timing.sessions, empty)
    first = next(told, None)
    if first is None:
        return
    if timing.interval_ns >= DAY_NS:
        yield from chain((first,), told)
        return
    start, end = bounds
    due = (
        timer
        for timer in timers(timing.sessions, *span)
        if (start is None or timer.ts >= start) and (end is None or timer.ts < end)
    )
    timer = next(due, None)
    for bars in chain((first,), told):
        while timer is not None and timer.ts < bars.ts:
            yield timer
            timer = next(due, None)
        yield bars
    if timer is not None:
        yield from chain((timer,), due)


def _complete(slices: Iterator[Bars], sessions: Sessions, empty: Callable[[str], None]) -> Iterator[Bars]:
    """The slices as they are; tells the dates of trading days between them that have no slice."""
    before = -1
    for bars in slices:
        row = sessions.day_of(bars.ts)
        if row > before >= 0:
            for missed in sessions.label[before + 1 : row].tolist():
                empty(date_of(missed).isoformat())
        before = row if row >= 0 else before
        yield bars
