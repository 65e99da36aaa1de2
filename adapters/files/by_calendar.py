"""Stamps of bars against the trading days of a calendar: pure functions over arrays of instants."""

import datetime as dt
from collections.abc import Iterator
from typing import Literal

import numpy as np

from engine.calendar import Sessions
from engine.events import DAY_NS, SESSION_CLOSED, SESSION_OPENED, Mask, Stamps, Timer

Outside = Literal["drop", "keep", "cut"]  # what becomes of bars with a time that close in no session
_EPOCH = dt.date(1970, 1, 1)


def date_of(label: int) -> dt.date:
    """The date that a trading day is labelled by."""
    return _EPOCH + dt.timedelta(days=label // DAY_NS)


# ---- bars with a date ------------------------------------------------------------------------------------------------


def closes_of(sessions: Sessions, days: Stamps) -> Stamps:
    """(D,) UTC ns at which bars of these days (since 1970) are known: the close of the trading day of that label.

    A day that is none is taken to the next close, never to one before it; behind the calendar to the end of the day.
    """
    label = days * DAY_NS
    row = np.searchsorted(sessions.label, label)
    inside = row < len(sessions)
    return np.where(inside, sessions.closes[np.minimum(row, len(sessions) - 1)], label + 2 * DAY_NS)


def opens_of(sessions: Sessions, closes: Stamps) -> Stamps:
    """(D,) UTC ns at which the trading days open that close at these instants."""
    row = np.minimum(np.searchsorted(sessions.closes, closes), len(sessions) - 1)
    return sessions.opens[row]


def label_of(sessions: Sessions, ts: int) -> dt.date:
    """The date of the trading day that closes at an instant, or next after it."""
    row = min(int(np.searchsorted(sessions.closes, ts)), len(sessions) - 1)
    return date_of(int(sessions.label[row]))


def no_days(sessions: Sessions, days: Stamps) -> Mask:
    """(D,) True where the calendar has no trading day of this label."""
    label = days * DAY_NS
    row = np.minimum(np.searchsorted(sessions.label, label), len(sessions) - 1)
    unlike: Mask = sessions.label[row] != label
    return unlike


# ---- bars with a time ------------------------------------------------------------------------------------------------


def strays(sessions: Sessions, ts: Stamps) -> dict[str, Mask]:
    """Bars by where they close: `outside_session`, or `in_break` with break_from < ts <= break_to."""
    row = np.minimum(np.searchsorted(sessions.closes, ts), len(sessions) - 1)
    outside = (ts <= sessions.opens[row]) | (ts > sessions.closes[row])
    in_break = ~outside & (sessions.break_from[row] < ts) & (ts <= sessions.break_to[row])
    return {"outside_session": outside, "in_break": in_break}


def cut_closes(sessions: Sessions, opened: Stamps, ts: Stamps) -> Stamps:
    """(R,) where bars (opened, ts] of regular hours end: with the session or its break, where that comes first.

    >>> day = 17_532 * DAY_NS
    >>> one = Sessions(name="X", label=np.array([day]), opens=np.array([day + 9]), closes=np.array([day + 16]),
    ...                break_from=np.array([day + 12]), break_to=np.array([day + 13]))
    >>> cut_closes(one, day + np.array([8, 10, 15]), day + np.array([10, 13, 17])) - day
    array([10, 12, 16])
    """
    row = np.minimum(np.searchsorted(sessions.closes, opened, "right"), len(sessions) - 1)
    close, begun, over = sessions.closes[row], sessions.break_from[row], sessions.break_to[row]
    ends = np.where((opened < close) & (close < ts), close, ts)
    return np.where((opened < begun) & (begun < ts) & (ts <= over), begun, ends)


def cut_opens(sessions: Sessions, opened: Stamps, ts: Stamps) -> Stamps:
    """(R,) where bars (opened, ts] of regular hours begin: with the session or behind its break, whichever is later."""
    row = np.minimum(np.searchsorted(sessions.closes, ts), len(sessions) - 1)
    begins = opened
    for opens in (sessions.opens[row], sessions.break_to[row]):
        begins = np.where((begins < opens) & (opens < ts), opens, begins)
    return begins


# ---- ranges and timers -----------------------------------------------------------------------------------------------


def bounds_of(
    sessions: Sessions, start: dt.date | None, end: dt.date | None, *, dated: bool
) -> tuple[int | None, int | None]:
    """The ns range [low, high) of the trading days from `start` to `end`, both counting. None = open on that side.

    An instant is of the trading day that closes next; bars with a date begin with the close of the first of the days.
    """
    low = high = None
    if start is not None:
        label = (start - _EPOCH).days * DAY_NS
        row = int(np.searchsorted(sessions.label, label))
        if row == len(sessions):
            low = max(int(sessions.closes[-1]) + 1, label)
        elif dated:
            low = int(sessions.closes[row])
        else:
            low = int(sessions.closes[row - 1]) + 1 if row else min(label, int(sessions.opens[0]))
    if end is not None:
        label = (end - _EPOCH).days * DAY_NS
        row = int(np.searchsorted(sessions.label, label, "right")) - 1
        high = min(label, int(sessions.opens[0])) if row < 0 else int(sessions.closes[row]) + 1
    return low, high


def timers(sessions: Sessions, low: int, high: int) -> Iterator[Timer]:
    """A timer at the open and the close of each trading day between two instants of bars, whether it had a bar or not.

    Where one trading day closes and the next opens at the same instant the close comes first.
    """
    first, last = int(np.searchsorted(sessions.closes, low)), int(np.searchsorted(sessions.opens, high))
    for opens, closes in zip(sessions.opens[first:last].tolist(), sessions.closes[first:last].tolist(), strict=True):
        yield Timer(ts=opens, name=SESSION_OPENED, due=opens)
        yield Timer(ts=closes, name=SESSION_CLOSED, due=closes)
