"""Once a week."""

import datetime as dt
from typing import Literal

from components.strategies.guards import View
from components.strategies.schedules.trading_dates import TradingDates
from engine.calendar import Sessions

_DAYS = ("mon", "tue", "wed", "thu", "fri")


class Weekly:
    """Due on `weekday` of each week; where that is a holiday on the last session before it in the week, else the first.

    Holidays are those of the feed's calendar. Without one they are not known beforehand: a week whose day has no slice
    is due in the first slice after it, which may be in the week that follows. Of several slices of a day it is the
    first.
    """

    def __init__(
        self, *, weekday: Literal["mon", "tue", "wed", "thu", "fri"] = "fri", sessions: Sessions | None = None
    ) -> None:
        if weekday not in _DAYS:
            raise ValueError(f"weekday must be one of {', '.join(_DAYS)}, got {weekday!r}")
        self._weekday, self._dates = _DAYS.index(weekday), TradingDates(sessions)

    def due(self, view: View, /) -> bool:
        today = self._dates.of(view.ts)
        monday = today - dt.timedelta(days=today.weekday())
        days = [day for week in (7, 0) for day in self._of_week(monday - dt.timedelta(days=week))]
        return self._dates.reached(days, today, view.decided)

    def _of_week(self, monday: dt.date) -> list[dt.date]:
        days = self._dates.between(monday, monday + dt.timedelta(days=6))
        before = [day for day in days if day.weekday() <= self._weekday]
        return before[-1:] or days[:1]
