"""Where longer bars begin and end."""

import datetime as dt

import pytest

from adapters.files.when import LocalTime, parse_close
from adapters.operators.buckets import WEEK_NS, Bucket, ClockGrid, SessionGrid, grids_for, longer_text, parse_longer
from engine.events import DAY_NS, HOUR_NS, MINUTE_NS
from tests.adapters.operators.listed import at, sessions

WEEK = sessions(
    ("2018-07-02", "09:30", "16:00"),
    ("2018-07-03", "09:30", "13:00"),  # half a day
    ("2018-07-05", "09:30", "16:00"),
    ("2018-07-06", "09:30", "16:00"),
    ("2018-07-09", "09:30", "16:00"),
)


def ends(bucket: Bucket | None) -> tuple[str, str] | None:
    if bucket is None:
        return None
    zone = dt.timezone(dt.timedelta(hours=-4))
    begin, end = (dt.datetime.fromtimestamp(ts // 10**9, zone).strftime("%d %H:%M") for ts in bucket[:2])
    return begin, end


@pytest.mark.parametrize(
    ("interval", "closes", "expected"),
    [
        (5 * MINUTE_NS, "2018-07-02 09:31", ("02 09:30", "02 09:35")),
        (5 * MINUTE_NS, "2018-07-02 09:35", ("02 09:30", "02 09:35")),
        (HOUR_NS, "2018-07-02 10:31", ("02 10:30", "02 11:30")),
        (HOUR_NS, "2018-07-02 15:31", ("02 15:30", "02 16:00")),  # the last one is shorter
        (HOUR_NS, "2018-07-03 12:45", ("03 12:30", "03 13:00")),
        (7 * HOUR_NS, "2018-07-02 15:31", ("02 09:30", "02 16:00")),
        (HOUR_NS, "2018-07-02 09:30", None),  # what closes at the open was before it
        (HOUR_NS, "2018-07-02 16:01", None),
        (HOUR_NS, "2018-07-04 10:30", None),
        (DAY_NS, "2018-07-03 09:31", ("03 09:30", "03 13:00")),
        (DAY_NS, "2018-07-03 13:01", None),
        (WEEK_NS, "2018-07-03 09:31", ("02 09:30", "06 16:00")),
        (WEEK_NS, "2018-07-06 16:00", ("02 09:30", "06 16:00")),
        (WEEK_NS, "2018-07-05 20:00", None),  # the night is in no week
        (WEEK_NS, "2018-07-09 10:00", ("09 09:30", "15 20:00")),  # the calendar ends: nobody knows when the week does
    ],
)
def test_rule_11_with_sessions_buckets_count_from_the_open_and_end_with_the_session(
    interval: int, closes: str, expected: tuple[str, str] | None
) -> None:
    assert ends(SessionGrid(interval_ns=interval, sessions=WEEK).around(at(closes))) == expected


def test_rule_11_a_lunch_break_ends_a_bucket_and_the_next_counts_from_its_end() -> None:
    days = sessions(("2018-07-02", "09:30", "16:00"), lunch=("12:00", "13:00"))
    grid = SessionGrid(interval_ns=HOUR_NS, sessions=days)
    found = [ends(grid.around(at(f"2018-07-02 {clock}"))) for clock in ("11:45", "12:00", "12:30", "13:00", "13:01")]
    assert found == [("02 11:30", "02 12:00"), ("02 11:30", "02 12:00"), None, None, ("02 13:00", "02 14:00")]


def test_rule_11_an_overnight_session_is_one_day_of_its_label() -> None:
    days = sessions(("2018-07-02", "2018-07-01 18:00", "17:00"), ("2018-07-03", "2018-07-02 18:00", "17:00"))
    day = SessionGrid(interval_ns=DAY_NS, sessions=days)
    assert (
        ends(day.around(at("2018-07-01 23:59"))) == ends(day.around(at("2018-07-02 16:00"))) == ("01 18:00", "02 17:00")
    )
    assert ends(day.around(at("2018-07-02 18:01"))) == ("02 18:00", "03 17:00")
    week = SessionGrid(interval_ns=WEEK_NS, sessions=days)
    assert ends(week.around(at("2018-07-01 18:30"))) is not None  # Sunday evening belongs to the week of Monday's label


@pytest.mark.parametrize(
    ("interval", "closes", "expected"),
    [
        (5 * MINUTE_NS, "2018-07-02 09:31", ("2018-07-02 09:30", "2018-07-02 09:35")),
        (5 * MINUTE_NS, "2018-07-02 09:30", ("2018-07-02 09:25", "2018-07-02 09:30")),
        (DAY_NS, "2018-07-02 00:00", ("2018-07-01 00:00", "2018-07-02 00:00")),
        (DAY_NS, "2018-07-02 00:01", ("2018-07-02 00:00", "2018-07-03 00:00")),
        (WEEK_NS, "2018-07-02 00:00", ("2018-06-25 00:00", "2018-07-02 00:00")),
        (WEEK_NS, "2018-07-02 00:01", ("2018-07-02 00:00", "2018-07-09 00:00")),
    ],
)
def test_without_sessions_buckets_count_from_utc_midnight(
    interval: int, closes: str, expected: tuple[str, str]
) -> None:
    bucket = ClockGrid(interval_ns=interval).around(at(closes, "UTC"))
    assert bucket is not None
    assert bucket[:2] == tuple(at(text, "UTC") for text in expected)


def test_rule_10_a_day_ends_at_the_declared_close_whatever_the_clocks_do() -> None:
    grid = ClockGrid(interval_ns=DAY_NS, close=parse_close("16:00 America/New_York"))
    bucket = grid.around(at("2018-03-11 12:00"))  # the Sunday that the clocks go forward
    assert bucket is not None
    assert bucket[:2] == (at("2018-03-10 16:00"), at("2018-03-11 16:00"))
    assert bucket.end - bucket.begin == 23 * HOUR_NS
    assert grid.around(bucket.end) == bucket
    after = grid.around(bucket.end + 1)
    assert after is not None
    assert after.begin == bucket.end


@pytest.mark.parametrize("interval", [5 * MINUTE_NS, DAY_NS, WEEK_NS])
def test_rule_02_buckets_of_a_clock_tile_time(interval: int) -> None:
    grid = ClockGrid(interval_ns=interval, close=LocalTime(57_600, "Europe/Berlin"))
    ts = at("2018-03-20 11:11")
    for _ in range(12):
        bucket = grid.around(ts)
        assert bucket is not None
        assert bucket.begin < ts <= bucket.end
        assert grid.around(bucket.end) == bucket
        assert grid.begin_for(ts) == bucket.begin
        ts = bucket.end + 1
        following = grid.around(ts)
        assert following is not None
        assert following.begin == bucket.end


@pytest.mark.parametrize(("text", "length"), [("5m", 5 * MINUTE_NS), ("5min", 5 * MINUTE_NS), ("90s", 90 * 10**9)])
def test_intervals_are_read_as_they_are_written_elsewhere(text: str, length: int) -> None:
    assert parse_longer(text) == length


@pytest.mark.parametrize("text", ["", "5", "m", "0m", "-5m", "2d", "2w", "25h", "1month"])
def test_other_intervals_are_refused_with_what_may_stand_there(text: str) -> None:
    with pytest.raises(ValueError, match="to must name intervals such as 5min, 1h, 1d or 1w"):
        parse_longer(text)


@pytest.mark.parametrize(
    ("to", "finest", "said"),
    [
        ((5 * MINUTE_NS, 5 * MINUTE_NS), MINUTE_NS, "5min twice"),
        ((5 * MINUTE_NS,), 5 * MINUTE_NS, "5min twice, or the feed makes it already"),
        ((MINUTE_NS,), 5 * MINUTE_NS, "makes bars of 5min; 1min is shorter"),
        ((7 * MINUTE_NS,), 2 * MINUTE_NS, "7min is no multiple of 2min"),
        ((7 * MINUTE_NS,), MINUTE_NS, "7min does not divide a day"),
        ((DAY_NS,), WEEK_NS, "makes bars of 1w; 1d is shorter"),
    ],
)
def test_intervals_that_the_bars_cannot_fill_are_refused(to: tuple[int, ...], finest: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        grids_for(to, finest, None, None)


def test_with_sessions_an_interval_need_not_divide_the_day() -> None:
    (grid,) = grids_for((7 * MINUTE_NS,), MINUTE_NS, WEEK, None)
    assert ends(grid.around(at("2018-07-02 15:59"))) == ("02 15:55", "02 16:00")
    assert [longer_text(each) for each in (90 * 10**9, HOUR_NS, DAY_NS, WEEK_NS)] == ["90s", "1h", "1d", "1w"]
