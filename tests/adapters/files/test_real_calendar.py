"""Real bars against the calendars of their exchanges."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from adapters.files.parquet import ParquetFeed
from engine.calendar import Sessions
from engine.events import DAY_NS, HOUR_NS, MINUTE_NS, Bars, Timer
from tests.adapters.files.made import slices

pytestmark = pytest.mark.data


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


def known(feed: ParquetFeed) -> Sessions:
    assert feed.sessions is not None
    return feed.sessions


def counted(feed: ParquetFeed) -> dict[str, int]:
    return {issue.kind: issue.count for issue in feed.issues()}


def length(sessions: Sessions, row: int) -> int:
    return int(sessions.closes[row] - sessions.opens[row])


def test_rule_11_five_years_of_daily_bars_have_the_sessions_of_new_york_and_no_others(data_dir: Path) -> None:
    feed = ParquetFeed(path=data_dir / "sp500_daily_2013_2018.parquet", calendar="XNYS")
    got = slices(feed)
    sessions = known(feed).between(feed.span[0], feed.span[1])
    assert [bars.ts for bars in got] == sessions.closes.tolist()
    assert [bars.opened for bars in got] == sessions.opens.tolist()
    assert len(got) == 1259
    assert not {"no_trading_day", "session_without_bar"} & counted(feed).keys()
    short = [bars.ts for bars in got if bars.ts - bars.opened != 6 * HOUR_NS + 30 * MINUTE_NS]
    assert [str(np.datetime64(ts, "ns").astype("datetime64[D]")) for ts in short] == [
        *("2013-07-03", "2013-11-29", "2013-12-24", "2014-07-03", "2014-11-28", "2014-12-24"),
        *("2015-11-27", "2015-12-24", "2016-11-25", "2017-07-03", "2017-11-24"),
    ]


def test_rule_11_minutes_of_spy_are_390_on_each_of_63_sessions_and_the_rest_is_outside(data_dir: Path) -> None:
    """The file goes from 4:00 to 20:00 in New York and over the change of the clocks in March."""
    feed = ParquetFeed(path=data_dir / "intraday" / "spy_1min_2024_02_05.parquet", calendar="XNYS", stamped="open")
    events = list(feed.events())
    days = Counter(known(feed).day_of(event.ts) for event in events if isinstance(event, Bars))
    assert sorted(days.values()) == [390] * 63
    assert counted(feed) == {"outside_session": 49_720 - 390 * 63}
    timers = [event for event in events if isinstance(event, Timer)]
    assert [timer.name for timer in timers] == ["session_opened", "session_closed"] * 63
    at = {event.ts: k for k, event in enumerate(events) if isinstance(event, Bars)}
    closed = [k for k, event in enumerate(events) if isinstance(event, Timer) and event.name == "session_closed"]
    assert all(at[events[k].ts] == k - 1 for k in closed)  # each right behind the last minute


def test_rule_11_hours_of_spy_are_seven_a_day_and_four_on_half_days(data_dir: Path) -> None:
    """23 years; the first hour of the file holds half an hour. Funds traded on a little after an early close."""
    path = data_dir / "oracles" / "lean" / "equity_hour.parquet"
    feed = ParquetFeed(path=path, calendar="XNYS", stamped="open", symbols=["SPY"], outside="keep")
    sessions = known(feed)
    stamps = [bars.ts for bars in slices(feed)]
    days = Counter(sessions.day_of(ts) for ts in stamps)
    late = [ts for ts in stamps if sessions.day_of(ts) < 0]
    assert days.pop(-1) == len(late) == counted(feed)["outside_session"] == 47
    for ts in late:
        row = int(np.searchsorted(sessions.closes, ts)) - 1
        assert length(sessions, row) == 210 * MINUTE_NS
        assert ts - sessions.closes[row] <= 3 * HOUR_NS
    odd = [row for row, count in days.items() if count != {390: 7, 210: 4}[length(sessions, row) // MINUTE_NS]]
    dates = [str((sessions.label[row] // DAY_NS).astype("datetime64[D]")) for row in odd]
    assert len(days) == 5849
    assert dates == ["2002-09-11"]  # New York opened late that morning, which the calendar does not know


def test_rule_11_a_currency_future_trades_around_the_clock_on_days_that_begin_the_evening_before(
    data_dir: Path,
) -> None:
    """The calendar has no pause at 22:00 UTC, the exchange has one: no bar of the file lies in it."""
    path = data_dir / "intraday" / "fut_6EH4_1min_2024_01.parquet"
    feed = ParquetFeed(path=path, calendar="CMES", stamped="close", outside="keep")
    sessions = known(feed)
    stamps = [event.ts for event in feed.events() if isinstance(event, Bars)]
    days = Counter(sessions.day_of(ts) for ts in stamps)
    days.pop(-1)
    assert all(not 22 * HOUR_NS < ts % DAY_NS <= 23 * HOUR_NS for ts in stamps)
    labels = [(sessions.label[row] // DAY_NS).astype("datetime64[D]") for row in sorted(days)]
    assert labels[0] == np.datetime64("2024-01-02")  # it began on the evening of New Year's Day
    assert all(np.is_busday(label) for label in labels)
    sunday = [ts for ts in stamps if ns("2024-01-07") < ts <= ns("2024-01-08")]
    assert len(sunday) > 30
    assert {sessions.day_of(ts) for ts in sunday} == {sessions.day_of(ns("2024-01-08T12:00"))}
    # The calendar shuts at noon of Martin Luther King's day, this future traded on until 16:00 in Chicago.
    stray = [ts for ts in stamps if sessions.day_of(ts) < 0]
    assert counted(feed)["outside_session"] == len(stray) == 155
    assert all(ns("2024-01-15T18:00") < ts <= ns("2024-01-15T22:00") for ts in stray)


@pytest.mark.parametrize(
    ("file", "bars", "sessions"), [("us_equity_1min_2019_02", 390, 5), ("us_equity_15min_2019_01_02", 26, 30)]
)
def test_rule_11_bars_of_regular_hours_are_all_inside(data_dir: Path, file: str, bars: int, sessions: int) -> None:
    feed = ParquetFeed(path=data_dir / "intraday" / f"{file}.parquet", calendar="XNYS", stamped="close")
    days = Counter(known(feed).day_of(each.ts) for each in slices(feed))
    assert sorted(days.values()) == [bars] * sessions
    assert set(counted(feed)) <= {"zero_volume", "close_jump", "one_day_glitch"}
