"""Feeds from files that name the calendar of their exchange."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.calendars.compiled import sessions_of
from adapters.files.csv_folder import CsvFeed
from adapters.files.parquet import ParquetFeed
from adapters.files.table import checked_table
from engine.errors import ConfigError, DataError
from engine.events import DAY_NS, MINUTE_NS, Bars, Event, Timer
from tests.adapters.files.made import CLOSE, Row, intraday, parquet, plains, slices


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def text(ts: int) -> str:
    return str(np.datetime64(ts, "ns").astype("datetime64[m]"))


def dated(*dates: str, symbol: str = "AAA") -> list[Row]:
    return [(dt.date.fromisoformat(date), symbol, 10.0, 11.0, 9.0, 10.0, 100.0) for date in dates]


def daily(path: Path, *dates: str, **options: Any) -> ParquetFeed:
    return ParquetFeed(path=parquet(path / "a.parquet", dated(*dates)), **({"calendar": "XNYS"} | options))


def timed(path: Path, *stamps: str, **options: Any) -> ParquetFeed:
    file = intraday(path / "a.parquet", stamps)
    return ParquetFeed(path=file, **({"calendar": "XNYS", "stamped": "open", "interval": "1h"} | options))


def told(events: list[Event]) -> list[tuple[str, str]]:
    return [(e.name if isinstance(e, Timer) else "bars", text(e.ts)) for e in events]


def counted(feed: Any) -> dict[str, int]:
    return {issue.kind: issue.count for issue in feed.issues()}


# ---- bars with a date ------------------------------------------------------------------------------------------------


def test_rule_11_a_daily_bar_is_known_at_the_close_of_its_own_session(tmp_path: Path) -> None:
    """Half days close at 13:00; the clocks went forward on 2018-03-11."""
    feed = daily(tmp_path, "2017-11-22", "2017-11-24", "2018-03-09", "2018-03-12")
    assert [(text(bars.opened), text(bars.ts)) for bars in slices(feed)] == [
        ("2017-11-22T14:30", "2017-11-22T21:00"),
        ("2017-11-24T14:30", "2017-11-24T18:00"),
        ("2018-03-09T14:30", "2018-03-09T21:00"),
        ("2018-03-12T13:30", "2018-03-12T20:00"),
    ]
    assert feed.sessions is not None
    assert feed.sessions.name == "XNYS"


def test_rule_11_the_day_of_an_overnight_session_is_its_label(tmp_path: Path) -> None:
    (bars,) = slices(daily(tmp_path, "2018-03-12", calendar="CMES"))
    assert (text(bars.opened), text(bars.ts)) == ("2018-03-11T22:00", "2018-03-12T22:00")


@pytest.mark.parametrize("start", ["2018-03-30", "2018-03-31", "2018-04-02"])
def test_rule_11_days_of_a_run_are_trading_days(tmp_path: Path, start: str) -> None:
    """Good Friday and the week-end lie between; days that are none are allowed as bounds."""
    feed = daily(tmp_path, "2018-03-29", "2018-04-02", "2018-04-03")
    low, high = feed.bounds(dt.date.fromisoformat(start), dt.date(2018, 4, 2))
    assert [text(bars.ts) for bars in feed.events(low, high)] == ["2018-04-02T20:00"]
    assert feed.bounds(None, None) == (None, None)
    low, _ = feed.bounds(dt.date(2019, 1, 2), None)
    with pytest.raises(DataError, match="has no bar"):
        list(feed.events(low, None))
    assert feed.bounds(None, dt.date(2001, 1, 1))[1] <= feed.span[0]  # type: ignore[operator]


def test_a_row_on_a_day_that_is_no_session_is_not_used_and_counted(tmp_path: Path) -> None:
    feed = daily(tmp_path, "2018-07-03", "2018-07-04", "2018-07-05", "2018-07-07")
    assert [text(bars.ts) for bars in slices(feed)] == ["2018-07-03T17:00", "2018-07-05T20:00"]
    (issue,) = feed.issues()
    assert (issue.kind, issue.count) == ("no_trading_day", 2)
    assert "no session on its date" in issue.rule
    assert issue.examples[0] == "AAA 2018-07-04: open 10 high 11 low 9 close 10 volume 100"


def test_a_row_of_a_holiday_never_becomes_the_bar_of_the_next_session(tmp_path: Path) -> None:
    rows = [*dated("2018-07-03"), (dt.date(2018, 7, 4), "AAA", 99.0, 99.0, 99.0, 99.0, 1.0), *dated("2018-07-05")]
    got = slices(ParquetFeed(path=parquet(tmp_path / "a.parquet", rows), calendar="XNYS"))
    assert [float(bars.close[0]) for bars in got] == [10.0, 10.0]


def test_in_strict_mode_a_row_on_a_day_that_is_no_session_stops_the_walk_at_its_place(tmp_path: Path) -> None:
    feed = daily(tmp_path, "2018-07-03", "2018-07-04", "2018-07-05", bad_rows="error")
    got: list[Event] = []
    with pytest.raises(DataError, match="no_trading_day: AAA 2018-07-04: open 10 .*; remove the row, or set bad_rows"):
        got.extend(feed.events())
    walk = feed.events()
    assert text(next(walk).ts) == "2018-07-03T17:00"
    with pytest.raises(DataError, match="no_trading_day"):
        next(walk)


def test_sessions_without_any_bar_are_counted_between_the_first_and_the_last_slice(tmp_path: Path) -> None:
    feed = daily(tmp_path, "2018-07-02", "2018-07-06")
    slices(feed)
    (issue,) = feed.issues()
    assert (issue.kind, issue.count, issue.examples) == ("session_without_bar", 2, ("2018-07-03", "2018-07-05"))
    complete = daily(tmp_path / "b", "2018-07-03", "2018-07-05", "2018-07-06")
    slices(complete)
    assert complete.issues() == ()


def test_daily_bars_with_the_right_sessions_are_the_bars_of_a_declared_close(tmp_path: Path) -> None:
    rows = dated("2018-03-08", "2018-03-09", "2018-03-12")
    path = parquet(tmp_path / "a.parquet", rows)
    declared = ParquetFeed(path=path, close=CLOSE, open="09:30")
    assert plains(ParquetFeed(path=path, calendar="XNYS").events()) == plains(declared.events())


def test_midnight_stamps_are_dates_where_a_calendar_is_named(tmp_path: Path) -> None:
    file = intraday(tmp_path / "a.parquet", ["2018-07-03", "2018-07-05"])
    assert [text(bars.ts) for bars in slices(ParquetFeed(path=file, calendar="XNYS"))] == [
        "2018-07-03T17:00",
        "2018-07-05T20:00",
    ]


def test_csv_takes_a_calendar_too(tmp_path: Path) -> None:
    (tmp_path / "AAA.csv").write_text("date,open,high,low,close,volume\n2018-07-03,1,1,1,1,5\n2018-07-05,1,1,1,1,5\n")
    feed = CsvFeed(path=tmp_path, calendar="NYSE")
    assert [text(bars.ts) for bars in slices(feed)] == ["2018-07-03T17:00", "2018-07-05T20:00"]
    assert feed.sessions is not None


# ---- what is declared ------------------------------------------------------------------------------------------------


def test_a_close_beside_a_calendar_must_say_the_same_of_every_session(tmp_path: Path) -> None:
    both = daily(tmp_path / "a", "2018-03-08", "2018-03-12", close=CLOSE, open="09:30")
    assert [text(bars.ts) for bars in slices(both)] == ["2018-03-08T21:00", "2018-03-12T20:00"]
    with pytest.raises(
        ConfigError,
        match="close and calendar XNYS are both declared and differ: on 2018-07-03 the calendar has 2018-07-03",
    ):
        daily(tmp_path / "b", "2018-06-29", "2018-07-05", close=CLOSE)
    with pytest.raises(ConfigError, match="open and calendar XNYS are both declared and differ"):
        daily(tmp_path / "c", "2018-03-08", close=CLOSE, open="09:00")


def test_neither_close_nor_calendar_is_refused_with_both_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="add the close of the trading day, .* or the calendar of the exchange"):
        daily(tmp_path, "2018-07-03", calendar=None)


def test_a_name_that_is_none_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="calendar names 'XNYZ', .* did you mean XNZE, XNYS"):
        daily(tmp_path, "2018-07-03", calendar="XNYZ")


def test_outside_without_a_calendar_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="outside: keep .* no calendar names these; add e.g. calendar: XNYS"):
        timed(tmp_path, "2018-07-03T14:00", calendar=None, outside="keep")


def test_bars_longer_than_a_day_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"its stamps stand 7d apart as a rule, from 2018-06-29 to 2018-07-13, .* make longer bars of daily "
        "ones with use: aggregate",
    ):
        daily(tmp_path, "2018-06-29", "2018-07-06", "2018-07-13")


def test_a_single_date_far_off_is_named_with_its_gap_and_taken_where_the_interval_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"parquet: its stamps stand 3655d apart .* 2008-07-02 to 2018-07-05.*interval: 1d"
    ):
        daily(tmp_path / "a", "2008-07-02", "2018-07-05")
    assert daily(tmp_path / "b", "2008-07-02", "2018-07-05", interval="1d").interval_ns == DAY_NS


# ---- bars with a time ------------------------------------------------------------------------------------------------


def test_bars_outside_of_the_session_are_dropped_and_counted_or_kept_and_counted(tmp_path: Path) -> None:
    stamps = ("2018-07-03T12:30", "2018-07-03T13:30", "2018-07-03T16:00", "2018-07-03T17:00", "2018-07-04T15:00")
    feed = timed(tmp_path, *stamps)
    assert [text(bars.ts) for bars in slices(feed)] == ["2018-07-03T14:30", "2018-07-03T17:00"]
    assert counted(feed) == {"outside_session": 3}
    assert "is not used; outside: keep uses such bars" in feed.issues()[0].rule
    kept = timed(tmp_path, *stamps, outside="keep")
    assert len(slices(kept)) == 5
    assert counted(kept) == {"outside_session": 3}
    assert "is used, as outside: keep says" in kept.issues()[0].rule


def test_rule_02_what_closes_with_the_open_is_outside_and_what_closes_with_the_close_is_inside(tmp_path: Path) -> None:
    stamps = [f"2018-07-05T{minute}" for minute in ("13:30", "13:31", "20:00", "20:01")]
    feed = timed(tmp_path, *stamps, stamped="close", interval="1m")
    assert [text(bars.ts) for bars in slices(feed)] == ["2018-07-05T13:31", "2018-07-05T20:00"]


def test_rule_11_bars_of_the_lunch_break_are_told_apart_from_those_outside(tmp_path: Path) -> None:
    """Hong Kong trades from 9:30 to 12:00 and from 13:00 to 16:00; the afternoon of New Year's Eve is free."""
    stamps = [f"2018-12-{day}T{hour:02}:00" for day in (28, 31) for hour in range(1, 10)]
    feed = timed(tmp_path, *stamps, calendar="XHKG", stamped="close")
    assert [text(bars.ts)[8:] for bars in slices(feed)] == [
        *("28T02:00", "28T03:00", "28T04:00", "28T06:00", "28T07:00", "28T08:00"),
        *("31T02:00", "31T03:00", "31T04:00"),
    ]
    assert counted(feed) == {"outside_session": 1 + 1 + 1 + 5, "in_break": 1}


def test_rule_11_bars_cut_short_by_the_session_end_with_it_when_regular_hours_are_declared(tmp_path: Path) -> None:
    """Hourly bars from the open on: the last of a day has half an hour, and of a half day too."""
    hours = [f"2018-07-03T{hour}:30" for hour in range(13, 17)] + [f"2018-07-05T{hour}:30" for hour in range(13, 20)]
    cut = timed(tmp_path, *hours, outside="cut")
    assert [(text(b.opened)[8:], text(b.ts)[8:]) for b in slices(cut)][3:5] == [
        ("03T16:30", "03T17:00"),
        ("05T13:30", "05T14:30"),
    ]
    assert (text(slices(cut)[-1].opened), text(slices(cut)[-1].ts)) == ("2018-07-05T19:30", "2018-07-05T20:00")
    assert counted(cut) == {}
    plain = timed(tmp_path, *hours)
    assert len(slices(plain)) == len(hours) - 2  # they may hold trades after the close: nobody said that they do not
    assert counted(plain) == {"outside_session": 2}


def test_rule_11_bars_that_begin_before_the_open_begin_with_it_when_regular_hours_are_declared(tmp_path: Path) -> None:
    stamps = ("2018-07-05T13:00", "2018-07-05T14:00")
    assert [text(b.opened)[11:] for b in slices(timed(tmp_path, *stamps, outside="cut"))] == ["13:30", "14:00"]
    assert [text(b.opened)[11:] for b in slices(timed(tmp_path, *stamps))] == ["13:00", "14:00"]


def test_rule_12_sessions_open_and_close_behind_the_bars_of_that_instant_though_no_bar_came_that_day(
    tmp_path: Path,
) -> None:
    feed = timed(tmp_path, "2018-07-02T19:00", "2018-07-02T13:00", "2018-07-06T18:00")
    assert told(list(feed.events())) == [
        ("session_opened", "2018-07-02T13:30"),
        ("bars", "2018-07-02T14:00"),
        ("bars", "2018-07-02T20:00"),
        ("session_closed", "2018-07-02T20:00"),
        ("session_opened", "2018-07-03T13:30"),
        ("session_closed", "2018-07-03T17:00"),
        ("session_opened", "2018-07-05T13:30"),
        ("session_closed", "2018-07-05T20:00"),
        ("session_opened", "2018-07-06T13:30"),
        ("bars", "2018-07-06T19:00"),
        ("session_closed", "2018-07-06T20:00"),
    ]
    assert counted(feed)["session_without_bar"] == 2


def test_rule_12_an_overnight_session_closes_before_the_next_opens_at_the_same_instant(tmp_path: Path) -> None:
    feed = timed(tmp_path, "2018-03-13T21:00", "2018-03-13T22:00", calendar="CMES")
    assert told(list(feed.events())) == [
        ("session_opened", "2018-03-12T22:00"),
        ("bars", "2018-03-13T22:00"),
        ("session_closed", "2018-03-13T22:00"),
        ("session_opened", "2018-03-13T22:00"),
        ("bars", "2018-03-13T23:00"),
        ("session_closed", "2018-03-14T22:00"),
    ]


def test_daily_bars_have_no_timers_each_is_its_session(tmp_path: Path) -> None:
    assert [name for name, _ in told(list(daily(tmp_path, "2018-07-03", "2018-07-05").events()))] == ["bars", "bars"]


@pytest.mark.parametrize("cut", ["2018-07-03T13:30", "2018-07-03T14:00", "2018-07-03T17:00", "2018-07-04T12:00"])
def test_a_walk_in_two_parts_is_the_whole(tmp_path: Path, cut: str) -> None:
    stamps = [f"2018-07-0{day}T{hour}:00" for day in (2, 3, 5, 6) for hour in range(12, 21)]
    feed = timed(tmp_path, *stamps)
    whole = plains(feed.events())
    assert plains(feed.events(None, ns(cut))) + plains(feed.events(ns(cut), None)) == whole


def test_rule_11_days_of_a_run_hold_their_sessions_and_what_comes_before_them(tmp_path: Path) -> None:
    """The evening before belongs to the trading day that it opens; what comes after a close to the next day."""
    feed = timed(tmp_path, "2018-03-11T22:00", "2018-03-12T21:00", "2018-03-12T22:00", calendar="CMES")
    low, high = feed.bounds(dt.date(2018, 3, 12), dt.date(2018, 3, 12))
    assert [text(e.ts) for e in feed.events(low, high) if isinstance(e, Bars)] == [
        "2018-03-11T23:00",
        "2018-03-12T22:00",
    ]
    low, high = feed.bounds(dt.date(2018, 3, 13), None)
    assert [text(e.ts) for e in feed.events(low, high) if isinstance(e, Bars)] == ["2018-03-12T23:00"]


def test_a_range_without_a_bar_is_refused_though_sessions_lie_in_it(tmp_path: Path) -> None:
    feed = timed(tmp_path, "2018-07-02T15:00", "2018-07-06T15:00")
    with pytest.raises(DataError, match="has no bar"):
        list(feed.events(ns("2018-07-03"), ns("2018-07-04")))


def test_bars_behind_the_end_of_a_calendar_are_an_error_in_their_place(tmp_path: Path) -> None:
    import exchange_calendars

    with pytest.warns():
        known = type(exchange_calendars.get_calendar("XSHG", start="2024-01-01", end="2024-01-31")).bound_max().date()
    shortly = known - dt.timedelta(days=10)
    sessions = sessions_of("XSHG", shortly, shortly)
    last = int(sessions.label[-1])
    final = dt.date(1970, 1, 1) + dt.timedelta(days=last // DAY_NS)
    behind = known + dt.timedelta(days=30)
    feed = daily(tmp_path, str(final), str(behind), calendar="XSHG", interval="1d")
    walk = feed.events()
    assert next(walk).ts == last + 7 * 60 * MINUTE_NS
    with pytest.raises(DataError, match=f"the calendar XSHG is known from .* to {final}; keep the run within it"):
        next(walk)


# ---- a user's own table ----------------------------------------------------------------------------------------------


def test_scores_with_a_date_are_known_at_the_close_of_that_session(tmp_path: Path) -> None:
    feed = daily(tmp_path, "2018-07-03", "2018-07-05")
    (tmp_path / "s.csv").write_text("date,symbol,score\n2018-07-03,AAA,1\n2018-07-04,AAA,2\n2018-07-05,AAA,3\n")
    table, _ = checked_table(tmp_path / "s.csv", feed.universe, sessions=feed.sessions)
    known = [text(ts) for ts in table.ts.tolist()]
    assert known == ["2018-07-03T17:00", "2018-07-05T04:00", "2018-07-05T20:00"]  # the holiday's is of no slice
