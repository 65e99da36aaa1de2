"""Schedules one by one: on which dates each is due, with a calendar and without, and that none knows what comes."""

import datetime as dt
from typing import Any

import msgspec
import numpy as np
import pytest

from adapters.calendars.compiled import sessions_of
from components.strategies.schedules.drift_band import DriftBand
from components.strategies.schedules.every import Every
from components.strategies.schedules.month_end import MonthEnd
from components.strategies.schedules.month_start import MonthStart
from components.strategies.schedules.weekly import Weekly
from engine.calendar import Sessions
from tests.components.strategies.seen import view
from tests.make import vector

NYSE = sessions_of("XNYS", dt.date(2019, 1, 1), dt.date(2021, 12, 31))
PLAIN = view([1.0])


def close_of(day: dt.date) -> int:
    label = int(np.datetime64(day, "ns").astype(np.int64))
    rows = np.flatnonzero(NYSE.label == label)
    return int(NYSE.closes[rows[0]]) if rows.size else label + 20 * 3600 * 10**9


def trading_days(first: str, last: str) -> list[dt.date]:
    low, high = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
    days = [dt.date.fromisoformat(str(np.datetime64(int(each), "ns"))[:10]) for each in NYSE.label]
    return [day for day in days if low <= day <= high]


def due(schedule: Any, days: list[dt.date], *, from_: str) -> list[str]:
    """The days on which it is due, having been decided at the close of `from_`."""
    decided, slices, found = close_of(dt.date.fromisoformat(from_)), 0, []
    for day in days:
        slices += 1
        if schedule.due(msgspec.structs.replace(PLAIN, ts=close_of(day), decided=decided, slices=slices)):
            decided, slices = close_of(day), 0
            found.append(str(day))
    return found


def test_weekly_moves_to_the_last_session_before_a_holiday() -> None:
    # Good Friday was on 2020-04-10.
    days = trading_days("2020-03-31", "2020-04-20")
    assert due(Weekly(sessions=NYSE), days, from_="2020-03-30") == ["2020-04-03", "2020-04-09", "2020-04-17"]


def test_weekly_on_a_monday_that_is_a_holiday_is_the_first_session_of_the_week() -> None:
    days = trading_days("2020-01-14", "2020-01-28")  # the 20th was Martin Luther King's
    assert due(Weekly(weekday="mon", sessions=NYSE), days, from_="2020-01-13") == ["2020-01-21", "2020-01-27"]


def test_weekly_without_a_calendar_is_due_late_where_its_day_has_no_slice() -> None:
    days = trading_days("2020-03-31", "2020-04-20")
    assert due(Weekly(), days, from_="2020-03-30") == ["2020-04-03", "2020-04-13", "2020-04-17"]


def test_month_end_is_the_last_session_of_the_calendar() -> None:
    days = trading_days("2020-01-02", "2020-06-30")
    assert due(MonthEnd(sessions=NYSE), days, from_="2019-12-31") == [
        *("2020-01-31", "2020-02-28", "2020-03-31", "2020-04-30", "2020-05-29", "2020-06-30")
    ]
    third = due(MonthEnd(session=3, sessions=NYSE), days, from_="2019-12-31")
    assert third[:3] == ["2020-01-29", "2020-02-26", "2020-03-27"]


def test_month_end_without_a_calendar_takes_the_last_weekday_or_what_comes_after_it() -> None:
    # The last weekday of May 2021 was Memorial Day: known only with a calendar.
    days = trading_days("2021-04-01", "2021-07-02")
    assert due(MonthEnd(), days, from_="2021-03-31") == ["2021-04-30", "2021-06-01", "2021-06-30"]
    assert due(MonthEnd(sessions=NYSE), days, from_="2021-03-31") == ["2021-04-30", "2021-05-28", "2021-06-30"]


def test_month_start_counts_sessions() -> None:
    days = trading_days("2020-12-01", "2021-03-31")
    assert due(MonthStart(sessions=NYSE), days, from_="2020-11-30") == [
        *("2020-12-01", "2021-01-04", "2021-02-01", "2021-03-01")
    ]
    assert due(MonthStart(session=2, sessions=NYSE), days, from_="2020-11-30")[1] == "2021-01-05"
    assert due(MonthStart(), days, from_="2020-11-30")[1] == "2021-01-04"  # the 1st was a Friday without a slice


def test_a_session_that_no_month_has_is_its_last_or_its_first() -> None:
    days = trading_days("2020-02-01", "2020-02-29")
    assert due(MonthStart(session=23, sessions=NYSE), days, from_="2020-01-31") == ["2020-02-28"]
    assert due(MonthEnd(session=23, sessions=NYSE), days, from_="2020-01-31") == ["2020-02-03"]


def test_of_several_slices_of_a_day_the_first_is_due() -> None:
    friday = close_of(dt.date(2020, 4, 3))
    decided = close_of(dt.date(2020, 4, 2))
    hours = [friday - k * 3600 * 10**9 for k in (5, 4, 3)]
    found = []
    for ts in hours:
        found.append(Weekly(sessions=NYSE).due(msgspec.structs.replace(PLAIN, ts=ts, decided=decided)))
        decided = ts if found[-1] else decided
    assert found == [True, False, False]


@pytest.mark.parametrize("make", [Weekly, MonthEnd, MonthStart])
def test_a_day_that_was_missed_is_made_up_for_once(make: Any) -> None:
    days = [dt.date(2020, 3, 18), dt.date(2020, 4, 6), dt.date(2020, 4, 7)]
    assert due(make(sessions=NYSE), days, from_="2020-03-17") == ["2020-04-06"]


@pytest.mark.parametrize("make", [Weekly, MonthEnd, MonthStart])
def test_where_a_file_ends_says_nothing_of_where_a_month_does(make: Any) -> None:
    """The same decisions while the table of trading days, which reaches 45 days beyond the file, grows."""
    days = trading_days("2020-04-01", "2020-04-09")
    short, long = (sessions_of("XNYS", dt.date(2020, 1, 2), last) for last in (days[-1], dt.date(2021, 1, 4)))
    assert due(make(sessions=short), days, from_="2020-03-31") == due(make(sessions=long), days, from_="2020-03-31")


def test_a_table_that_ends_within_a_month_does_not_end_it() -> None:
    rows = NYSE.label <= int(np.datetime64("2020-04-15", "ns").astype(np.int64))
    columns = {name: getattr(NYSE, name)[rows] for name in ("label", "opens", "closes", "break_from", "break_to")}
    cut = Sessions(name="XNYS", **columns)
    assert due(MonthEnd(sessions=cut), trading_days("2020-04-01", "2020-04-15"), from_="2020-03-31") == []


def test_every_counts_slices_from_the_last_that_was_due() -> None:
    days = trading_days("2020-04-01", "2020-04-09")
    assert due(Every(slices=3), days, from_="2020-03-31") == ["2020-04-03", "2020-04-08"]


NAN = np.nan


@pytest.mark.parametrize(
    ("band", "qty", "wanted", "expected"),
    [
        ({"single": 0.05}, [100, 100], [0.10, 0.15], False),  # weights are 0.1 and 0.1 of 1,000
        ({"single": 0.05}, [100, 100], [0.10, 0.1501], True),
        ({"single": 0.05}, [100, 100], [0.10, 0.0499], True),
        ({"total": 0.1}, [100, 100], [0.15, 0.05], False),
        ({"total": 0.0999}, [100, 100], [0.15, 0.05], True),
        ({"single": 0.05}, [100, -100], [0.10, 0.10], True),
        ({"single": 0.05}, [100, 0], [0.10, NAN], False),  # left as it is
        ({"single": 0.05, "every": 4}, [100, 100], [0.10, 0.10], True),
    ],
)
def test_drift_is_measured_in_weights(band: Any, qty: Any, wanted: Any, expected: bool) -> None:
    seen = view([1.0, 1.0], qty=qty, equity=1000.0, wanted=vector(wanted), slices=4)
    assert DriftBand(**band).due(seen) is expected


def test_what_works_counts_as_held() -> None:
    seen = view([1.0], qty=[0], working=np.array([100.0]), equity=1000.0, wanted=vector([0.1]))
    assert not DriftBand(single=0.01).due(seen)


def test_without_a_price_or_equity_there_is_no_drift() -> None:
    assert not DriftBand(single=0.01).due(view([NAN], qty=[0], equity=1000.0, wanted=vector([NAN])))
    assert not DriftBand(single=0.01).due(view([1.0], qty=[5], equity=-1.0, wanted=vector([0.5])))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Every(slices=0), "slices must be at least 1"),
        (lambda: Weekly(weekday="sun"), "weekday must be one of"),  # type: ignore[arg-type]
        (lambda: MonthEnd(session=0), "session must be between 1 and 23"),
        (lambda: MonthStart(session=24), "session must be between 1 and 23"),
        (lambda: DriftBand(), "single or total must be given"),
        (lambda: DriftBand(single=0), "single must be above 0"),
        (lambda: DriftBand(total=0.1, every=0), "every must be at least 1"),
    ],
)
def test_options_out_of_bounds_are_told(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
