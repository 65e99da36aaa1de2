"""Trading days against answers that were written by hand from the rules that the exchanges publish."""

import datetime as dt

import numpy as np
import pytest

from adapters.calendars.compiled import sessions_of, version
from adapters.calendars.names import CALENDARS, checked_name
from engine.calendar import Sessions
from engine.errors import ConfigError
from engine.events import DAY_NS

# Calendar, label, open, close and lunch break in UTC; an hour beyond 24 is the next day, one below 0 the day before.
OPEN = [
    # New York, 9:30 to 16:00 by the clocks there: both change-over week-ends.
    ("XNYS", "2018-03-09", "14:30", "21:00", ""),
    ("XNYS", "2018-03-12", "13:30", "20:00", ""),
    ("XNYS", "2018-11-02", "13:30", "20:00", ""),
    ("XNYS", "2018-11-05", "14:30", "21:00", ""),
    # The days around Hurricane Sandy, the day of mourning for George Bush, and the Friday before the first Juneteenth.
    ("XNYS", "2012-10-26", "13:30", "20:00", ""),
    ("XNYS", "2012-10-31", "13:30", "20:00", ""),
    ("XNYS", "2018-12-04", "14:30", "21:00", ""),
    ("XNYS", "2018-12-06", "14:30", "21:00", ""),
    ("XNYS", "2021-06-18", "13:30", "20:00", ""),
    # London, 8:00 to 16:30; half a day on Christmas Eve.
    ("XLON", "2018-03-23", "08:00", "16:30", ""),
    ("XLON", "2018-03-26", "07:00", "15:30", ""),
    ("XLON", "2018-10-26", "07:00", "15:30", ""),
    ("XLON", "2018-10-29", "08:00", "16:30", ""),
    ("XLON", "2018-12-24", "08:00", "12:30", ""),
    # Sydney, 10:00 to 16:00: summer time ends in April and begins in October.
    ("XASX", "2018-03-29", "-1:00", "05:00", ""),
    ("XASX", "2018-04-03", "00:00", "06:00", ""),
    ("XASX", "2018-10-05", "00:00", "06:00", ""),
    ("XASX", "2018-10-08", "-1:00", "05:00", ""),
    # Tokyo knows no summer time: 9:00 to 15:00, lunch 11:30 to 12:30; half an hour longer since November 2024.
    ("XTKS", "2018-03-12", "00:00", "06:00", "02:30 03:30"),
    ("XTKS", "2018-11-05", "00:00", "06:00", "02:30 03:30"),
    ("XTKS", "2024-11-01", "00:00", "06:00", "02:30 03:30"),
    ("XTKS", "2024-11-05", "00:00", "06:30", "02:30 03:30"),
    # Hong Kong, 9:30 to 16:00, lunch 12:00 to 13:00; the eve of the lunar new year is the morning only.
    ("XHKG", "2018-02-14", "01:30", "08:00", "04:00 05:00"),
    ("XHKG", "2018-02-15", "01:30", "04:00", ""),
    ("XHKG", "2018-12-24", "01:30", "04:00", ""),
    # Shanghai, 9:30 to 15:00, lunch 11:30 to 13:00.
    ("XSHG", "2018-02-14", "01:30", "07:00", "03:30 05:00"),
    ("XSHG", "2018-02-22", "01:30", "07:00", "03:30 05:00"),
    # Chicago futures trade from 17:00 of the day before: Monday begins on Sunday.
    ("CMES", "2018-03-09", "-1:00", "23:00", ""),
    ("CMES", "2018-03-12", "-2:00", "22:00", ""),
    ("us_futures", "2018-03-12", "-2:00", "22:00", ""),
    ("24/7", "2018-12-25", "00:00", "24:00", ""),
]
SHUT = [
    ("XNYS", "2012-10-29"),
    ("XNYS", "2012-10-30"),
    ("XNYS", "2018-12-05"),
    ("XNYS", "2018-03-30"),
    ("XNYS", "2022-06-20"),
    ("XNYS", "2025-01-09"),
    ("XNYS", "2018-03-10"),
    ("XLON", "2018-12-25"),
    ("XASX", "2018-03-30"),
    ("XASX", "2018-04-02"),
    ("XTKS", "2018-11-23"),
    ("XHKG", "2018-02-16"),
    ("XSHG", "2018-02-15"),
    ("CMES", "2018-03-11"),
    ("CMES", "2018-03-30"),
]
HALF_DAYS = (  # New York closes at 13:00 on these days of 2015 to 2018
    *("2015-11-27", "2015-12-24", "2016-11-25", "2017-07-03", "2017-11-24"),
    *("2018-07-03", "2018-11-23", "2018-12-24"),
)


def around(name: str, date: str) -> tuple[Sessions, int]:
    """The calendar around a date, and the row of that date or -1."""
    day = dt.date.fromisoformat(date)
    sessions = sessions_of(name, day, day)
    label = np.datetime64(date, "ns").astype(np.int64)
    found = np.flatnonzero(sessions.label == label)
    return sessions, int(found[0]) if len(found) else -1


def clock(date: str, text: str) -> int:
    hours, minutes = (int(part) for part in text.split(":"))
    return int(np.datetime64(date, "ns").astype(np.int64)) + (hours * 60 + minutes) * 60 * 10**9


@pytest.mark.parametrize(("name", "date", "opens", "closes", "lunch"), OPEN)
def test_rule_11_sessions_open_and_close_when_the_exchange_says(
    name: str, date: str, opens: str, closes: str, lunch: str
) -> None:
    sessions, row = around(name, date)
    found = [int(getattr(sessions, column)[row]) for column in ("opens", "closes", "break_from", "break_to")]
    expected = [clock(date, opens), clock(date, closes), *(clock(date, text) for text in lunch.split())]
    assert row >= 0
    assert found == expected + [0] * (4 - len(expected))


@pytest.mark.parametrize(("name", "date"), SHUT)
def test_rule_11_there_is_no_session_when_the_exchange_is_shut(name: str, date: str) -> None:
    assert around(name, date)[1] == -1


def test_rule_11_the_half_days_are_these_and_no_others() -> None:
    sessions = sessions_of("XNYS", dt.date(2015, 1, 1), dt.date(2018, 12, 31))
    inside = (sessions.label >= clock("2015-01-01", "00:00")) & (sessions.label < clock("2019-01-01", "00:00"))
    short = inside & (sessions.closes - sessions.opens != 6 * 3600 * 10**9 + 1800 * 10**9)
    labels = (sessions.label[short] // DAY_NS).astype("datetime64[D]").astype(str)
    assert labels.tolist() == list(HALF_DAYS)
    assert set((sessions.closes - sessions.opens)[short].tolist()) == {3 * 3600 * 10**9 + 1800 * 10**9}


def test_rule_10_local_hours_stay_while_utc_moves_and_a_zone_without_summer_time_stays_in_utc() -> None:
    from zoneinfo import ZoneInfo

    for name, zone, hours in (
        ("XNYS", "America/New_York", (9.5, 16.0)),
        ("XLON", "Europe/London", (8.0, 16.5)),
        ("XASX", "Australia/Sydney", (10.0, 16.0)),
        ("XTKS", "Asia/Tokyo", (9.0, 15.0)),
    ):
        sessions = sessions_of(name, dt.date(2018, 1, 1), dt.date(2018, 12, 20))
        assert sessions.zone == zone
        offsets = set()
        for label, opens, closes in zip(sessions.label, sessions.opens, sessions.closes, strict=True):
            local = [dt.datetime.fromtimestamp(int(ts) / 1e9, ZoneInfo(zone)) for ts in (opens, closes)]
            assert str(local[0].date()) == str((label // DAY_NS).astype("datetime64[D]"))
            assert local[0].hour + local[0].minute / 60 == hours[0]
            assert local[1].hour + local[1].minute / 60 in (hours[1], 12.5, 13.0, 14.0, 14.1 + 1 / 15)
            offsets.add(local[0].utcoffset())
        assert len(offsets) == (1 if name == "XTKS" else 2)


@pytest.mark.parametrize("year", [1975, 2017, 2060])
def test_the_table_reaches_from_15_days_before_to_45_days_after_whatever_today_is(year: int) -> None:
    sessions = sessions_of("XNYS", dt.date(year, 3, 1), dt.date(year, 9, 1))
    first, last = clock(f"{year}-02-14", "00:00"), clock(f"{year}-10-16", "00:00")
    assert first <= sessions.label[0] < first + 5 * DAY_NS
    assert last - 5 * DAY_NS < sessions.label[-1] <= last


def test_a_table_cannot_be_written_to_and_says_where_it_is_from() -> None:
    sessions = sessions_of("NYSE", dt.date(2018, 1, 2), dt.date(2018, 1, 5))
    assert (sessions.name, sessions.source) == ("XNYS", version())
    with pytest.raises(ValueError, match="read-only"):
        sessions.opens[0] = 0


def test_what_comes_after_the_last_day_is_known_for_weeks() -> None:
    last = dt.date(2018, 12, 31)
    sessions = sessions_of("XNYS", dt.date(2018, 1, 2), last)
    assert sessions.after(clock("2018-12-31", "21:00"), 5) == clock("2019-01-08", "14:30")


def test_a_calendar_that_is_known_for_some_years_ends_where_it_ends() -> None:
    import exchange_calendars

    with pytest.warns():
        known = type(exchange_calendars.get_calendar("XSHG", start="2024-01-01", end="2024-01-31"))
    last = known.bound_max().date()
    sessions = sessions_of("XSHG", dt.date(2024, 1, 2), last - dt.timedelta(days=1))
    assert sessions.label[-1] <= clock(last.isoformat(), "00:00")
    with pytest.raises(ConfigError, match=f"calendar XSHG: {version()} knows it from 1990-12-03 to {last}, the bars"):
        sessions_of("XSHG", last + dt.timedelta(days=1), last + dt.timedelta(days=9))


def test_the_names_are_those_of_the_library() -> None:
    from exchange_calendars import get_calendar_names

    assert sorted(CALENDARS) == sorted(get_calendar_names(include_aliases=True))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("XNYZ", "did you mean XNZE, XNYS or XZAG"),
        ("xnys", "did you mean XNYS, "),
        ("NEW YORK", "did you mean|there are"),
        ("", "there are"),
        ("../../etc", "there are|did you mean"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_nearest(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checked_name(name)


@pytest.mark.slow
def test_every_calendar_gives_a_table_or_one_clear_error() -> None:
    """A calendar that the library itself cannot make with these versions is told by name and never half made."""
    from exchange_calendars import get_calendar_names

    names, made = get_calendar_names(include_aliases=False), []
    for name in names:
        try:
            sessions = sessions_of(name, dt.date(2023, 1, 1), dt.date(2023, 12, 31))
        except ConfigError as error:
            assert f"calendar {name}: {version()} cannot make it" in str(error)  # noqa: PT017 - most are made
        else:
            made.append(name)
            assert len(sessions) > 200
    assert {"XNYS", "XLON", "XTKS", "XHKG", "XSHG", "XASX", "XETR", "CMES", "24/7"} <= {*made}
    assert len(made) >= len(names) - 10
