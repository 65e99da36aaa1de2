"""When the dates of files beside the bars begin and end: by the calendar where there is one, else by the clock."""

from collections.abc import Callable

import numpy as np

from adapters.files.sheet import NEVER
from adapters.files.when import LocalTime
from engine.calendar import Sessions
from engine.errors import DataError
from engine.events import DAY_NS, Stamps

_MIDNIGHT = 86_400
_DAYS_MAX = 106_000  # from 1970, either way: what 64-bit ns can hold


class TradingDays:
    """Instants of dates (days since 1970) in the zone of the declared close, of the calendar, else UTC.

    A date begins at its local midnight, or at the open of its trading day where that is earlier: what takes effect on
    a date comes after the trading day before and before its own open. A date ends with its trading day; one without a
    trading day ends at the declared close, or at midnight.
    """

    def __init__(self, close: LocalTime | None, sessions: Sessions | None = None) -> None:
        self._close = close or LocalTime(_MIDNIGHT, "UTC" if sessions is None else sessions.zone)
        self._midnight = LocalTime(0, self._close.zone)
        self._sessions = sessions
        self._label = np.empty(0, np.int64) if sessions is None else sessions.label // DAY_NS

    def begin(self, day: int) -> int:
        """When what is dated so takes effect."""
        midnight = self._midnight.instant(day)
        row = int(np.searchsorted(self._label, day))
        if self._sessions is None or row == len(self._label):
            return midnight
        return min(midnight, int(self._sessions.opens[row]))

    def end(self, day: int) -> int:
        """When what is dated so has become known."""
        row = int(np.searchsorted(self._label, day))
        if self._sessions is not None and row < len(self._label) and self._label[row] == day:
            return int(self._sessions.closes[row])
        return self._close.instant(day)

    def begins(self, stamps: Stamps, *, dated: bool) -> Stamps:
        """(R,) UTC ns; NEVER stays."""
        return self._each(stamps, self.begin) if dated else stamps

    def ends(self, stamps: Stamps, *, dated: bool) -> Stamps:
        """(R,) UTC ns; NEVER stays."""
        return self._each(stamps, self.end) if dated else stamps

    @staticmethod
    def _each(stamps: Stamps, instant: Callable[[int], int]) -> Stamps:
        known, place = np.unique(stamps, return_inverse=True)
        far = known[(known != NEVER) & (np.abs(known) > _DAYS_MAX)]
        if len(far):
            raise DataError(f"the date {np.datetime64(int(far[0]), 'D')} lies outside 1678 to 2261; mend the row")
        found = [day if day == NEVER else instant(day) for day in known.tolist()]
        return np.array(found, np.int64)[place]
