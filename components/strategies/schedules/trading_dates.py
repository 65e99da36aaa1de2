"""The trading days of a week or a month, as far as they are known beforehand."""

import datetime as dt

from engine.calendar import Sessions
from engine.events import DAY_NS

_EPOCH = dt.date(1970, 1, 1).toordinal()


class TradingDates:
    """Dates of slices and of sessions: those of the calendar, else every weekday of UTC.

    A calendar is published years ahead, so its days are known before they come. Where it does not reach over both ends
    of a stretch, as at the end of a file, weekdays are taken there too: where history ends is not known beforehand.
    """

    def __init__(self, sessions: Sessions | None) -> None:
        self._sessions = sessions
        labels = [] if sessions is None else [_date(int(label)) for label in sessions.label]
        self._first, self._last = (labels[0], labels[-1]) if labels else (dt.date.max, dt.date.min)
        self._days = frozenset(labels)

    def of(self, ts: int) -> dt.date:
        """The trading day of a slice that ends at this instant."""
        row = -1 if self._sessions is None else self._sessions.day_of(ts)
        return _date(ts) if row < 0 or self._sessions is None else _date(int(self._sessions.label[row]))

    def between(self, first: dt.date, last: dt.date) -> list[dt.date]:
        """The trading days from `first` to `last`, both counting."""
        days = [first + dt.timedelta(days=k) for k in range((last - first).days + 1)]
        if self._first < first and last < self._last:
            return [day for day in days if day in self._days]
        return [day for day in days if day.weekday() < 5]

    def reached(self, due: list[dt.date], today: dt.date, decided: int) -> bool:
        """Whether one of these days has come that lies after the one of the slice `decided`."""
        return any(self.of(decided) < day <= today for day in due)


def month_of(day: dt.date, back: int = 0) -> tuple[dt.date, dt.date]:
    """First and last day of the month of a day, or of one so many months before.

    >>> month_of(dt.date(2020, 3, 31), 1)
    (datetime.date(2020, 2, 1), datetime.date(2020, 2, 29))
    """
    first = day.replace(day=1)
    for _ in range(back):
        first = (first - dt.timedelta(days=1)).replace(day=1)
    return first, (first + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1)


def _date(ts: int) -> dt.date:
    return dt.date.fromordinal(_EPOCH + ts // DAY_NS)
