"""Once a month, near its end."""

from components.strategies.guards import View
from components.strategies.schedules.trading_dates import TradingDates, month_of
from engine.calendar import Sessions


class MonthEnd:
    """Due on the `session`-th last trading day of each month, 1 = the last one.

    Trading days are those of the feed's calendar. Without one it is not known beforehand which day will be the last:
    weekdays are taken for trading days, and a month whose day has no slice is due in the first slice after it, which
    may be in the month that follows. Of several slices of a day it is the first. A month with fewer days takes its
    first.
    """

    def __init__(self, *, session: int = 1, sessions: Sessions | None = None) -> None:
        if not 1 <= session <= 23:
            raise ValueError(f"session must be between 1 and 23, counted from the end of the month, got {session}")
        self._session, self._dates = session, TradingDates(sessions)

    def due(self, view: View, /) -> bool:
        today, session = self._dates.of(view.ts), self._session
        months = [self._dates.between(*month_of(today, back)) for back in (1, 0)]
        days = [month[-session] if session <= len(month) else month[0] for month in months if month]
        return self._dates.reached(days, today, view.decided)
