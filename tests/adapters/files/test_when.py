"""Stamps into instants."""

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.files.when import LocalTime, Timing, day_number, interval_text, parse_clock, parse_close, parse_interval
from engine.events import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


# One line a case: close, date, UTC. Both change-over days of zones with opposite seasons, and a zone without any.
DST = [
    ("16:00 America/New_York", "2018-03-09", "2018-03-09T21:00"),
    ("16:00 America/New_York", "2018-03-12", "2018-03-12T20:00"),
    ("16:00 America/New_York", "2018-11-02", "2018-11-02T20:00"),
    ("16:00 America/New_York", "2018-11-05", "2018-11-05T21:00"),
    ("17:30 Europe/Berlin", "2018-03-23", "2018-03-23T16:30"),
    ("17:30 Europe/Berlin", "2018-03-26", "2018-03-26T15:30"),
    ("16:00 Australia/Sydney", "2018-03-30", "2018-03-30T05:00"),
    ("16:00 Australia/Sydney", "2018-04-02", "2018-04-02T06:00"),
    ("15:00 Asia/Tokyo", "2018-03-12", "2018-03-12T06:00"),
    ("24:00 UTC", "2018-03-12", "2018-03-13T00:00"),
    ("24:00 America/New_York", "2018-03-10", "2018-03-11T05:00"),
    ("24:00 America/New_York", "2018-03-11", "2018-03-12T04:00"),
]


@pytest.mark.parametrize(("close", "date", "utc"), DST)
def test_dst_follows_the_rules_of_the_zone(close: str, date: str, utc: str) -> None:
    timing = Timing(dated=True, interval_ns=DAY_NS, close=parse_close(close))
    day = day_number(dt.date.fromisoformat(date))
    assert timing.closes(np.array([day])).tolist() == [ns(utc)]
    assert timing.label(ns(utc)) == date


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Asia/Tokyo", "UTC"])
@given(day=st.integers(10_000, 25_000), hour=st.integers(4, 24))
def test_an_instant_reads_back_as_its_date_and_time(zone: str, day: int, hour: int) -> None:
    ts = LocalTime(hour * 3600, zone).instant(day)
    local = dt.datetime.fromtimestamp(ts // SECOND_NS, ZoneInfo(zone))
    assert (local.hour, local.minute) == (hour % 24, 0)
    assert day_number(local.date()) == day + hour // 24


@given(ts=st.integers(0, 2**60))
def test_session_end_is_the_first_declared_close_at_or_after(ts: int) -> None:
    for close in (None, parse_close("16:00 America/New_York"), parse_close("24:00 UTC")):
        timing = Timing(dated=False, interval_ns=MINUTE_NS, close=close)
        end = timing.session_end(ts)
        assert ts <= end <= ts + 25 * HOUR_NS
        assert timing.session_end(end) == end
        assert timing.session_end(end + 1) > end


def test_weekly_bars_open_on_the_first_day_and_close_on_the_last() -> None:
    timing = Timing(
        dated=True, interval_ns=7 * DAY_NS, close=parse_close("16:00 America/New_York"), open_seconds=34_200
    )
    friday = np.array([day_number(dt.date(2018, 3, 9))])
    closes = timing.closes(friday)
    assert closes.tolist() == [ns("2018-03-09T21:00")]
    assert timing.opens(closes).tolist() == [ns("2018-03-03T14:30")]


@pytest.mark.parametrize("text", ["16", "1600", "16:60", "25:00", "24:01", "4:00", "16:00:61", ""])
def test_times_of_day_are_read_strictly(text: str) -> None:
    with pytest.raises(ValueError, match="must be a time of day"):
        parse_clock(text, "open")


@pytest.mark.parametrize("text", ["16:00", "16:00 Nowhere/Land", "00:00 UTC", "16:00 ../../etc", "soon UTC"])
def test_a_close_that_is_not_one_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="close"):
        parse_close(text)


@pytest.mark.parametrize(("text", "length"), [("30s", 30 * SECOND_NS), ("5m", 5 * MINUTE_NS), ("4h", 4 * HOUR_NS)])
def test_intervals_read_and_write(text: str, length: int) -> None:
    assert parse_interval(text) == length
    assert interval_text(length) == text


@pytest.mark.parametrize(("text", "length"), [("5min", 5 * MINUTE_NS), ("5 min", 5 * MINUTE_NS), ("1 h", HOUR_NS)])
def test_intervals_may_be_written_as_durations_are_elsewhere(text: str, length: int) -> None:
    assert parse_interval(text) == length


@pytest.mark.parametrize("text", ["", "5", "m", "0m", "-5m", "1.5h", "5 minutes", "1w"])
def test_an_interval_that_is_not_one_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as 5min, 1h or 1d"):
        parse_interval(text)


@pytest.mark.parametrize(
    ("close", "first", "last"),
    [
        ("24:00 UTC", "2018-03-06T00:00", "2018-03-10T00:00"),
        ("20:00 America/New_York", "2018-03-06T01:00", "2018-03-10T01:00"),
        ("16:00 Pacific/Honolulu", "2018-03-06T02:00", "2018-03-10T02:00"),
        ("15:00 Asia/Shanghai", "2018-03-05T07:00", "2018-03-09T07:00"),
    ],
)
def test_a_span_of_days_runs_from_the_close_of_its_first_to_the_close_of_its_last(
    close: str, first: str, last: str
) -> None:
    timing = Timing(dated=True, interval_ns=DAY_NS, close=parse_close(close))
    assert timing.bounds(dt.date(2018, 3, 5), dt.date(2018, 3, 9)) == (ns(first), ns(last) + 1)


@pytest.mark.parametrize(
    ("close", "first", "last"),
    [
        (None, "2018-03-09T00:00", "2018-03-12T00:00"),
        ("16:00 America/New_York", "2018-03-09T05:00", "2018-03-12T04:00"),  # clocks go forward on the 11th
        ("15:00 Asia/Shanghai", "2018-03-08T16:00", "2018-03-11T16:00"),
    ],
)
def test_a_span_of_days_within_the_day_runs_from_local_midnight_to_local_midnight(
    close: str | None, first: str, last: str
) -> None:
    timing = Timing(dated=False, interval_ns=MINUTE_NS, close=None if close is None else parse_close(close))
    low, high = timing.bounds(dt.date(2018, 3, 9), dt.date(2018, 3, 11))
    # A bar that closes at midnight covers the day that ends there: left open, right closed.
    assert (low, high) == (ns(first) + 1, ns(last) + 1)


@pytest.mark.parametrize("zone", ["America/Havana", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia", "UTC"])
@pytest.mark.parametrize("dated", [True, False])
def test_spans_of_days_tile_time_whatever_the_clocks_do(zone: str, dated: bool) -> None:
    timing = Timing(dated=dated, interval_ns=DAY_NS, close=parse_close(f"16:00 {zone}"))
    day = dt.date(2011, 1, 1)
    while day.year == 2011:
        (low, high), after = timing.bounds(day, day), timing.bounds(day + dt.timedelta(days=1), None)[0]
        day += dt.timedelta(days=1)
        if (zone, day) == ("Pacific/Apia", dt.date(2011, 12, 31)):
            continue  # the day before never was
        assert low is not None
        assert high is not None
        assert after is not None
        assert low < high <= after
        assert dated or high == after


@given(days=st.lists(st.integers(17_000, 19_000), min_size=1, max_size=20).map(sorted), low=st.integers(0, 19))
def test_bounds_on_stamps_are_never_too_narrow(days: list[int], low: int) -> None:
    timing = Timing(dated=True, interval_ns=DAY_NS, close=parse_close("16:00 Australia/Sydney"))
    closes = timing.closes(np.array(days))
    start, end = int(closes[low % len(days)]), int(closes[-1]) + 1
    first, last = timing.stamps_around(start, end)
    assert first is not None
    assert last is not None
    for day, ts in zip(days, closes.tolist(), strict=True):
        assert not start <= ts < end or first <= day <= last
