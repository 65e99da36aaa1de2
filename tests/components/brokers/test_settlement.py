"""When the money of a sale may be spent, day by day."""

import datetime as dt

import numpy as np
import pytest

from components.brokers.settlement import settles_at
from engine.calendar import Sessions
from engine.errors import ConfigError
from engine.events import DAY_NS, HOUR_NS, MINUTE_NS


def at(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def calendar(*days: str) -> Sessions:
    label = np.array([at(day) for day in days])
    none = np.zeros(len(label), np.int64)
    return Sessions(
        name="XXXX",
        label=label,
        opens=label + 14 * HOUR_NS,
        closes=label + 21 * HOUR_NS,
        break_from=none,
        break_to=none,
    )


WEEK = calendar("2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09", "2024-01-10")


@pytest.mark.parametrize(
    ("sold", "days", "settles"),
    [
        ("2024-01-04T21:00", 1, "2024-01-04T21:00"),  # seen at that day's close, spent on the next day
        ("2024-01-04T21:00", 2, "2024-01-05T21:00"),
        ("2024-01-05T21:00", 2, "2024-01-08T21:00"),
        ("2024-01-05T14:30", 2, "2024-01-08T21:00"),
        ("2024-01-05T03:00", 1, "2024-01-05T21:00"),  # before the open: of the day that comes
    ],
)
def test_with_a_calendar_it_is_the_close_before_the_trading_day_of_spending(sold, days, settles):
    for interval in (MINUTE_NS, DAY_NS):
        assert settles_at(at(sold), interval, days, WEEK) == at(settles)


def test_what_settles_behind_the_calendar_stays_unsettled_to_its_end():
    assert settles_at(at("2024-01-10T21:00"), DAY_NS, 2, WEEK) > WEEK.closes[-1]


def test_a_slice_behind_the_calendar_is_an_error_that_names_the_day():
    with pytest.raises(ConfigError, match="2024-01-11T21:00:00 lies behind the calendar XXXX.* with 2024-01-10"):
        settles_at(at("2024-01-11T21:00"), DAY_NS, 1, WEEK)


def test_without_a_calendar_weekdays_are_counted_as_a_plain_loop_counts_them():
    for start in range(14):
        first = dt.date(2024, 1, 1) + dt.timedelta(days=start)
        sold = at(f"{first}T21:00")
        for days in (1, 2, 3, 5):
            spent = first
            while spent.weekday() > 4:  # of a weekend: as on the Friday before
                spent -= dt.timedelta(days=1)
            before = spent
            for _ in range(days):
                before, spent = spent, spent + dt.timedelta(days=1)
                while spent.weekday() > 4:
                    spent += dt.timedelta(days=1)
            assert settles_at(sold, DAY_NS, days, None) == at(str(before)) + 1
            assert settles_at(sold, HOUR_NS, days, None) == at(str(spent)) + 1


def test_a_daily_bar_that_ends_at_midnight_is_of_the_day_before():
    assert settles_at(at("2024-01-05T00:00"), DAY_NS, 2, None) == at("2024-01-05") + 1
