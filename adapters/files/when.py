"""From the stamps of a file to instants: close and open of a bar, end of a session, interval."""

import datetime as dt
import difflib
import re
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec
import numpy as np

from adapters.files import by_calendar
from adapters.files.by_calendar import Outside
from engine.calendar import Sessions
from engine.errors import DataError
from engine.events import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, Mask, Stamps
from engine.instants import instant_text

Stamped = Literal["open", "close"]
_EPOCH = dt.date(1970, 1, 1).toordinal()
_CLOCK = re.compile(r"(\d\d):(\d\d)(?::(\d\d))?")
_INTERVAL = re.compile(r"(\d+)\s*(s|min|m|h|d)")
_UNITS = {"s": SECOND_NS, "m": MINUTE_NS, "h": HOUR_NS, "d": DAY_NS}
_READ = _UNITS | {"min": MINUTE_NS}
# The days whose instants fit into 64 bits of ns, whatever the zone; no bar lies outside.
_FIRST_DAY, _LAST_DAY = dt.date(1678, 1, 1), dt.date(2261, 12, 31)
SESSION_NS = 6 * HOUR_NS + 30 * MINUTE_NS  # of a dated bar whose open is not declared: the New York trading day


class LocalTime(msgspec.Struct, frozen=True):
    """A time of day in a zone. `seconds` after local midnight; 86,400 is the midnight that ends the day."""

    seconds: int
    zone: str

    def instant(self, day: int) -> int:
        """UTC ns of this time on a day (days since 1970), by the zone's rules of that day.

        >>> parse_close("16:00 America/New_York").instant(17_598) == START_NS  # 2018-03-08, winter time
        False
        >>> parse_close("16:00 America/New_York").instant(17_533) == START_NS  # 2018-01-02
        True
        """
        whole, rest = divmod(self.seconds, 86_400)
        date = dt.date.fromordinal(_EPOCH + day + whole)
        clock = dt.time(rest // 3600, rest // 60 % 60, rest % 60, tzinfo=ZoneInfo(self.zone))
        return int(dt.datetime.combine(date, clock).timestamp()) * SECOND_NS

    def day(self, ts: int) -> int:
        """The local date of an instant, in days since 1970."""
        return dt.datetime.fromtimestamp(ts // SECOND_NS, ZoneInfo(self.zone)).date().toordinal() - _EPOCH


def day_number(date: dt.date) -> int:
    """Days since 1970-01-01."""
    return date.toordinal() - _EPOCH


def parse_clock(text: str, name: str) -> int:
    """Seconds after midnight of HH:MM or HH:MM:SS; 24:00 is the end of the day."""
    found = _CLOCK.fullmatch(text)
    hour, minute, second = (int(part or 0) for part in found.groups()) if found else (99, 0, 0)
    seconds = hour * 3600 + minute * 60 + second
    if minute > 59 or second > 59 or seconds > 86_400:
        raise ValueError(f'{name} must be a time of day such as "16:00", got {text!r}')
    return seconds


def parse_close(text: str) -> LocalTime:
    """The close of a trading day: a time and an IANA zone.

    >>> parse_close("16:00 America/New_York")
    LocalTime(seconds=57600, zone='America/New_York')
    >>> parse_close("16:00 America/NewYork")
    Traceback (most recent call last):
    ValueError: close names the zone 'America/NewYork', which is not an IANA zone; did you mean 'America/New_York'?
    >>> parse_close("00:00 UTC")
    Traceback (most recent call last):
    ValueError: close 00:00 would end a trading day where it begins; write "24:00 UTC" for the midnight that ends it
    """
    clock, _, zone = text.strip().partition(" ")
    seconds, zone = parse_clock(clock, "close"), zone.strip()
    if not zone:
        raise ValueError(f'close must name its zone, got {text!r}; write e.g. "{text} America/New_York"')
    if seconds == 0:
        raise ValueError(
            f'close 00:00 would end a trading day where it begins; write "24:00 {zone}" for the midnight that ends it'
        )
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = difflib.get_close_matches(zone, sorted(available_timezones()), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "write e.g. America/New_York or UTC"
        raise ValueError(f"close names the zone {zone!r}, which is not an IANA zone; {hint}") from None
    return LocalTime(seconds, zone)


def parse_interval(text: str) -> int:
    """Nanoseconds of 30s, 5m or 5min, 1h or 1d.

    >>> parse_interval("5m") == parse_interval("5min") == 5 * MINUTE_NS
    True
    """
    found = _INTERVAL.fullmatch(text.strip())
    if found is None or int(found[1]) == 0:
        raise ValueError(f"interval must be a count and a unit such as 5min, 1h or 1d, got {text!r}")
    return int(found[1]) * _READ[found[2]]


def interval_text(interval_ns: int) -> str:
    """The written form of an interval: 5m, 1h, 1d."""
    unit = next((unit for unit in "dhms" if interval_ns % _UNITS[unit] == 0), None)
    return f"{interval_ns} ns" if unit is None else f"{interval_ns // _UNITS[unit]}{unit}"


_DAYS_MAX = 106_650  # from 1970, either way: what 64-bit ns can hold


def _within_ns(days: Stamps) -> None:
    """Days that 64-bit nanoseconds cannot hold are refused."""
    far = days[np.abs(days) > _DAYS_MAX]
    if len(far):
        said = np.datetime64(int(far[0]), "D")
        raise DataError(f"the date {said} lies outside 1678 to 2261; check the date column")


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """How the stamps of a file become instants. A bar covers (opened, ts]: open on the left, closed on the right.

    `dated` rows carry days since 1970, others UTC ns. `close` and `open_seconds` are declared by the user, or
    `sessions` tell when each trading day opens and closes. `outside` says what becomes of bars with a time that close
    in none of them.
    """

    dated: bool
    midnight: bool = False  # the stamps are UTC midnights that stand for dates
    stamped: Stamped = "close"
    interval_ns: int
    close: LocalTime | None = None
    open_seconds: int | None = None
    sessions: Sessions | None = None
    outside: Outside = "drop"

    def day(self, stamp: int) -> int:
        return stamp // DAY_NS if self.midnight else stamp

    def closes(self, stamps: Stamps) -> Stamps:
        """When each bar became knowable: UTC ns, for stamps in non-decreasing order."""
        if not self.dated:
            ts = self._ends(stamps)
            if self.sessions is None or self.outside != "cut":
                return ts
            return by_calendar.cut_closes(self.sessions, ts - self.interval_ns, ts)
        if self.sessions is not None:
            return by_calendar.closes_of(self.sessions, self._days(stamps))
        assert self.close is not None
        new = np.concatenate(([True], stamps[1:] != stamps[:-1])) if len(stamps) else np.empty(0, np.bool_)
        later = self._span - 1 if self.stamped == "open" else 0
        if not self.midnight:
            _within_ns(stamps)
        known = [self.close.instant(self.day(stamp) + later) for stamp in stamps[new].tolist()]
        each: Stamps = np.array(known, np.int64)[np.cumsum(new) - 1]
        return each

    def opens(self, closes: Stamps) -> Stamps:
        """The instant each of these bars began: UTC ns, shape of `closes`."""
        if not self.dated:
            opened = closes - self.interval_ns
            if self.sessions is None or self.outside != "cut":
                return opened
            return by_calendar.cut_opens(self.sessions, opened, closes)
        if self.sessions is not None:
            return by_calendar.opens_of(self.sessions, closes)
        assert self.close is not None
        if self.open_seconds is None:
            return closes - min(SESSION_NS, self.close.seconds * SECOND_NS) - (self._span - 1) * DAY_NS
        local = LocalTime(self.open_seconds, self.close.zone)
        # One second earlier: a close at 24:00 belongs to the day that it ends.
        days = [self.close.day(ts - SECOND_NS) - self._span + 1 for ts in closes.tolist()]
        return np.array([local.instant(day) for day in days], np.int64)

    def session_end(self, ts: int) -> int:
        """The first declared close at or after an instant; the next UTC midnight where none is declared."""
        close = self.close or LocalTime(86_400, "UTC")
        day = close.day(ts)
        return next(end for k in (-1, 0, 1, 2) if (end := close.instant(day + k)) >= ts)

    def bounds(self, start: dt.date | None, end: dt.date | None) -> tuple[int | None, int | None]:
        """The ns range [low, high) of the bars whose own local trading date lies between two days, both counting.

        A dated bar is of the date that it closes on. Any other is of the local day (midnight, next midnight] that holds
        its close, in the zone of the declared close, else UTC. With a calendar days are trading days. None = open on
        that side.
        """
        if self.sessions is not None:
            return by_calendar.bounds_of(self.sessions, start, end, dated=self.dated)
        close = self.close or LocalTime(86_400, "UTC")
        if self.dated:
            low, high = close, close
        else:
            low, high = LocalTime(0, close.zone), LocalTime(86_400, close.zone)
        left_open = 0 if self.dated else 1
        first, last = (None if day is None else min(max(day, _FIRST_DAY), _LAST_DAY) for day in (start, end))
        return (
            None if first is None else low.instant(day_number(first)) + left_open,
            None if last is None else high.instant(day_number(last)) + 1,
        )

    def stamps_around(self, start: int | None, end: int | None) -> tuple[int | None, int | None]:
        """Bounds between which the stamps of all bars with start <= ts < end lie, never too narrow."""
        scale, room = (1, 0) if not self.dated or self.midnight else (DAY_NS, 1)
        reach = self.interval_ns + (3 * DAY_NS if self.dated else 0)
        low = None if start is None else (start - reach) // scale - room
        high = None if end is None else (end + reach) // scale + room
        return low, high

    def label(self, ts: int) -> str:
        """An instant as people write it: the local date of a dated bar, else UTC to the second."""
        if self.dated and self.sessions is not None:
            return by_calendar.label_of(self.sessions, ts).isoformat()
        if self.dated and self.close is not None:
            return dt.date.fromordinal(_EPOCH + self.close.day(ts - SECOND_NS)).isoformat()
        return instant_text(ts)

    def strays(self, stamps: Stamps, ts: Stamps) -> dict[str, Mask]:
        """Rows that lie in no session of the calendar, by the kind of defect; empty where there is no calendar."""
        if self.sessions is None:
            return {}
        if self.dated:
            return {"no_trading_day": by_calendar.no_days(self.sessions, self._days(stamps))}
        return by_calendar.strays(self.sessions, ts)

    def unknown(self, stamps: Stamps) -> Mask:
        """Rows before the calendar begins or after it ends: whether they lie in a session nobody knows."""
        assert self.sessions is not None
        known, ts = self.sessions, self._ends(stamps)
        before, after = ts <= known.opens[0], ts - self.interval_ns >= known.closes[-1]
        if self.dated:
            label = self._days(stamps) * DAY_NS
            before, after = label < known.label[0], label > known.label[-1]
        outside: Mask = np.logical_or(before, after)
        return outside

    def cut_rows(self, stamps: Stamps, ts: Stamps) -> dict[int, int]:
        """End -> beginning of bars that a session or its break cut short; not where a whole bar ends too."""
        if self.dated or self.sessions is None or self.outside != "cut":
            return {}
        whole = self._ends(stamps)
        cut = whole != ts
        cut &= ~np.isin(ts, ts[~cut])
        opened = by_calendar.cut_opens(self.sessions, whole[cut] - self.interval_ns, ts[cut])
        return dict(zip(ts[cut].tolist(), opened.tolist(), strict=True))

    def stamp_text(self, stamp: int) -> str:
        """A stamp of the file as people write it."""
        return str(np.datetime64(self.day(stamp), "D")) if self.dated else instant_text(stamp)

    def _ends(self, stamps: Stamps) -> Stamps:
        return stamps + self.interval_ns if self.stamped == "open" else stamps

    def _days(self, stamps: Stamps) -> Stamps:
        """Days since 1970."""
        if self.midnight:
            return stamps // DAY_NS
        _within_ns(stamps)
        return stamps

    @property
    def _span(self) -> int:
        return max(1, self.interval_ns // DAY_NS)
