"""Longer bars in the stream: what is handed out, when, and in which order."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.files.parquet import ParquetFeed
from adapters.operators.aggregate import Aggregate
from engine.calendar import Sessions
from engine.errors import DataError
from engine.events import (
    DAY_NS,
    HOUR_NS,
    MINUTE_NS,
    SESSION_CLOSED,
    ActionKind,
    Bars,
    Event,
    Reference,
    Status,
    Timer,
)
from tests.adapters.files.made import intraday, plains
from tests.adapters.operators.listed import Listed, at, minute, plain_bar, random_minutes, sessions
from tests.engine.test_ledger import action
from tests.make import bars, day

FIVE_NS = 5 * MINUTE_NS
DAYS = sessions(("2018-07-02", "09:30", "16:00"), ("2018-07-03", "09:30", "13:00"), ("2018-07-05", "09:30", "16:00"))


def shown(events: Sequence[Event] | Any) -> list[tuple[str, int]]:
    """What came, as (New York time, minutes of the bar); timers have 0 minutes."""
    zone = dt.timezone(dt.timedelta(hours=-4))
    return [
        (dt.datetime.fromtimestamp(e.ts // 10**9, zone).strftime("%d %H:%M"), getattr(e, "interval_ns", 0) // MINUTE_NS)
        for e in events
    ]


def closed(text: str) -> Timer:
    return Timer(ts=at(text), name=SESSION_CLOSED, due=at(text))


def aggregate(events: Sequence[Event], *to: str, keep: bool = True, n: int = 1, **known: Any) -> Aggregate:
    return Aggregate(of=Listed(events, n=n, **known), to=list(to), keep=keep)


def test_at_one_instant_the_shorter_bars_come_first_and_timers_after_them() -> None:
    days = sessions(("2018-07-02", "09:30", "09:35"))
    events = [minute(f"2018-07-02 09:{m}", [10.0]) for m in range(31, 36)] + [closed("2018-07-02 09:35")]
    got = shown(aggregate(events, "1d", "5min", sessions=days).events())
    assert got[-4:] == [("02 09:35", 1), ("02 09:35", 5), ("02 09:35", 1440), ("02 09:35", 0)]
    assert len(got) == 5 + 3


def test_rule_02_a_bar_that_closes_on_the_boundary_is_the_last_of_its_bucket_and_not_the_first_of_the_next() -> None:
    prices = {"09:31": 1.0, "09:35": 2.0, "09:36": 3.0, "09:40": 4.0}
    events = [minute(f"2018-07-02 {clock}", [price]) for clock, price in prices.items()]
    first, second = aggregate(events, "5min", keep=False).events()
    assert isinstance(first, Bars)
    assert isinstance(second, Bars)
    assert (first.open[0], first.close[0], second.open[0], second.close[0]) == (1.0, 2.0, 3.0, 4.0)
    assert (first.opened, first.ts) == (at("2018-07-02 09:30"), at("2018-07-02 09:35"))
    assert (first.interval_ns, second.opened) == (FIVE_NS, first.ts)


def test_rule_13_a_longer_bar_comes_when_time_has_come_to_its_end_though_its_last_bars_are_missing() -> None:
    events = [minute(f"2018-07-02 {clock}", [1.0]) for clock in ("09:31", "09:33", "09:42")]
    got = shown(aggregate(events, "5min").events())
    assert got == [("02 09:31", 1), ("02 09:33", 1), ("02 09:35", 5), ("02 09:42", 1)]


def test_a_longer_bar_in_which_the_data_breaks_off_is_never_handed_out() -> None:
    events = [minute(f"2018-07-02 {clock}", [1.0]) for clock in ("09:31", "09:35", "09:36", "09:39")]
    assert shown(aggregate(events, "5min", "1d", keep=False).events()) == [("02 09:35", 5)]
    # A midnight that a feed tells of without a calendar is no sign that its data went on until then.
    midnight = Timer(ts=at("2018-07-02 20:00"), name=SESSION_CLOSED, due=at("2018-07-02 20:00"))
    assert shown(aggregate([*events, midnight], "1d", keep=False).events()) == [("02 20:00", 0)]


def test_with_a_calendar_the_close_completes_the_day_though_the_last_minutes_are_missing() -> None:
    events = [minute("2018-07-02 09:31", [1.0]), minute("2018-07-02 15:57", [1.0]), closed("2018-07-02 16:00")]
    got = shown(aggregate(events, "1h", "1d", sessions=DAYS).events())
    assert got[:3] == [("02 09:31", 1), ("02 10:30", 60), ("02 15:57", 1)]
    assert got[3:] == [("02 16:00", 60), ("02 16:00", 1440), ("02 16:00", 0)]


def test_a_longer_bar_in_which_the_data_begins_is_not_handed_out_and_counted() -> None:
    events = [minute(f"2018-07-02 {clock}", [1.0]) for clock in ("09:33", "09:34", "09:36", "09:41")]
    feed = aggregate(events, "5min", "10min", keep=False)
    assert shown(feed.events()) == [("02 09:40", 5)]
    (issue,) = feed.issues()
    assert (issue.kind, issue.count) == ("partial_bar", 2)
    assert issue.examples == ("5min from 2018-07-02T13:30:00Z", "10min from 2018-07-02T13:30:00Z")
    # From within the data on, nothing begins but the walk.
    assert shown(feed.events(at("2018-07-02 09:36"))) == [("02 09:40", 5)]
    assert feed.issues() == () or feed.issues()[0].kind == "partial_bar"


def test_where_the_calendar_says_that_the_session_began_there_the_first_day_is_whole() -> None:
    stamps = ("02 09:31", "02 15:00", "03 09:31", "03 12:59", "05 09:31")
    events = [minute(f"2018-07-{stamp}", [1.0]) for stamp in stamps]
    assert shown(aggregate(events, "1d", keep=False, sessions=DAYS).events()) == [
        ("02 16:00", 1440),
        ("03 13:00", 1440),
    ]
    late = aggregate(events[1:], "1d", keep=False, sessions=DAYS)
    assert shown(late.events()) == [("03 13:00", 1440)]
    assert [issue.examples for issue in late.issues()] == [("1d from 2018-07-02T13:30:00Z",)]


def test_a_day_of_the_clock_is_partial_and_one_with_a_declared_close_is_taken_for_whole() -> None:
    stamps = ("02 09:31", "02 15:00", "03 09:31", "03 15:59", "05 09:31")
    events = [minute(f"2018-07-{stamp}", [1.0]) for stamp in stamps]
    clock = aggregate(events, "1d", keep=False)
    assert shown(clock.events()) == [("03 20:00", 1440)]
    assert [issue.kind for issue in clock.issues()] == ["partial_bar"]
    declared = aggregate(events, "1d", keep=False, close="16:00 America/New_York")
    assert shown(declared.events()) == [("02 16:00", 1440), ("03 16:00", 1440)]


@pytest.mark.parametrize(("first", "weeks"), [(-1, 1), (0, 0)])
def test_a_week_that_the_days_of_the_data_begin_in_is_partial(first: int, weeks: int) -> None:
    """day(0) is a Tuesday."""
    feed = aggregate([bars(day(k), [1.0]) for k in (first, 2, 6)], "1w", keep=False, close="16:00 America/New_York")
    assert len(list(feed.events())) == weeks


def test_rule_11_half_a_day_ends_early_and_bars_between_sessions_are_counted_and_left_out() -> None:
    clocks = ("02 09:29", "02 09:31", "02 15:59", "02 16:30", "03 09:31", "03 13:00", "03 13:30", "05 09:31")
    events = [minute(f"2018-07-{clock}", [float(k), np.nan]) for k, clock in enumerate(clocks)]
    feed = aggregate(events, "1d", keep=False, n=2, sessions=DAYS)
    got = [event for event in feed.events() if isinstance(event, Bars)]
    assert shown(got) == [("02 16:00", 1440), ("03 13:00", 1440)]
    assert [(b.open[0], b.close[0]) for b in got] == [(1.0, 2.0), (4.0, 5.0)]
    (issue,) = feed.issues()
    assert (issue.kind, issue.count) == ("not_aggregated", 3)
    assert issue.examples[0] == "S0 2018-07-02T13:29:00Z"
    list(feed.events(at("2018-07-03 00:00")))
    assert feed.issues()[0].count == 1  # of this walk


def test_a_bar_that_lies_across_a_boundary_is_an_error_that_says_where() -> None:
    odd = bars(at("2018-07-02 09:32"), [1.0], interval_ns=FIVE_NS, opened=at("2018-07-02 09:27"))
    with pytest.raises(DataError, match="5min that ends at 2018-07-02T13:32:00Z lies across 2018-07-02T13:30:00Z"):
        list(aggregate([odd], "10min").events())


def test_an_action_of_no_symbol_is_told_as_bad_data() -> None:
    wrong = action(minute("2018-03-05T09:31", [10.0]).ts + 1, ActionKind.SPLIT, 7, ratio=2.0)
    events = [minute("2018-03-05T09:31", [10.0]), wrong, minute("2018-03-05T09:32", [10.0])]
    with pytest.raises(
        DataError, match="aggregate: action 0 of .* is of symbol 7; positions in the universe go from 0 to"
    ):
        list(aggregate(events, "5min").events())


def test_the_first_hour_of_a_session_may_begin_before_it() -> None:
    """Hours of a clock: what is stamped 09:00 holds what traded from 09:30."""
    hours = [bars(at(f"2018-07-02 {h}:00"), [float(h)], interval_ns=HOUR_NS, opened=at(f"2018-07-02 {h}:00") - HOUR_NS)
             for h in range(10, 17)]  # fmt: skip
    (day_bar,) = aggregate(hours, "1d", keep=False, sessions=DAYS).events()
    assert isinstance(day_bar, Bars)
    assert (day_bar.open[0], day_bar.close[0], day_bar.opened) == (10.0, 16.0, at("2018-07-02 09:30"))


@pytest.mark.parametrize(("stamped", "first"), [("open", "09:30"), ("close", "09:31")])
def test_rule_01_bars_stamped_at_either_end_give_the_same_longer_bars(tmp_path: Path, stamped: Any, first: str) -> None:
    begin = np.datetime64(f"2018-07-02T{first}") + np.timedelta64(4, "h")
    stamps = [str(begin + np.timedelta64(k, "m")) for k in range(20)]
    feed = ParquetFeed(path=intraday(tmp_path / "a.parquet", stamps, ("A", "B")), stamped=stamped)
    got = [event for event in Aggregate(of=feed, to=["5min"], keep=False).events() if isinstance(event, Bars)]
    assert shown(got) == [(f"02 09:{m}", 5) for m in (35, 40, 45, 50)]
    assert [b.open[0] for b in got] == pytest.approx([10.0, 10.1, 10.2, 10.3])
    assert [b.volume[1] for b in got] == [25.0] * 4


def test_rule_25_a_split_within_a_week_is_taken_out_of_its_earlier_part() -> None:
    split = action(day(2) - HOUR_NS, ActionKind.SPLIT, 0, ratio=2.0)
    events = [
        bars(day(-4), [20.0, 5.0]),  # the data begins in the week before
        *(bars(day(k), [20.0, 5.0], volume=[100.0, 10.0]) for k in (0, 1)),  # Tuesday, Wednesday
        split,
        bars(day(2), [11.0, 5.0], volume=[100.0, 10.0]),
        bars(day(6), [12.0, 5.0]),
        bars(day(13), [12.0, 5.0]),
    ]
    feed = aggregate(events, "1w", n=2, close="16:00 America/New_York")
    week = next(event for event in feed.events() if isinstance(event, Bars) and event.interval_ns > DAY_NS)
    assert (week.open[0], week.high[0], week.low[0], week.close[0], week.volume[0]) == (10.0, 11.0, 10.0, 11.0, 500.0)
    assert (week.open[1], week.volume[1]) == (5.0, 30.0)
    kinds = [type(event).__name__ for event in feed.events()]
    assert kinds == ["Bars", "Bars", "Bars", "Actions", *["Bars"] * 5]


def test_a_walk_that_begins_within_a_longer_bar_has_it_whole() -> None:
    events = [minute(f"2018-07-02 09:{m}", [float(m)]) for m in range(31, 41)]
    sectors = Reference(ts=events[0].ts, name="sectors", rows="symbol", value=np.zeros((1, 1)))
    feed = aggregate([sectors, *events], "5min")
    got = list(feed.events(at("2018-07-02 09:34"), at("2018-07-02 09:41")))
    assert isinstance(got[0], Reference)
    assert got[0].ts == got[1].ts == at("2018-07-02 09:34")
    first = next(event for event in got if isinstance(event, Bars) and event.interval_ns == FIVE_NS)
    assert (first.open[0], first.close[0]) == (31.0, 35.0)


# ---- against a plain loop, and never early ---------------------------------------------------------------------------


def plain_buckets(slices: Sequence[Bars], length: int, days: Sessions | None) -> dict[int, list[Bars]]:
    """Slices by the end of their bucket, found by counting boundaries one after the other."""
    found: dict[int, list[Bars]] = {}
    if days is None:
        for b in slices:
            end = 0
            while end < b.ts % DAY_NS:
                end += length
            found.setdefault(b.ts - b.ts % DAY_NS + end, []).append(b)
        return found
    for opened, ends in zip(days.opens.tolist(), days.closes.tolist(), strict=True):
        for b in slices:
            if opened < b.ts <= ends:
                end = opened
                while end < b.ts:
                    end += length
                found.setdefault(min(end, ends), []).append(b)
    return found


def sparse(seed: int, *, full: bool = False) -> list[Bars]:
    """Minutes of three days, some of them without any bar."""
    rng = np.random.default_rng(seed)
    stamps = [
        opened + k * MINUTE_NS
        for opened, ends in zip(DAYS.opens.tolist(), DAYS.closes.tolist(), strict=True)
        for k in range(1, (ends - opened) // MINUTE_NS + 1)
        if full or rng.random() > 0.3
    ]
    return random_minutes(stamps, 3, seed, holes=0.3)


@pytest.mark.parametrize("days", [None, DAYS], ids=["clock", "sessions"])
@pytest.mark.parametrize("length", [5, 60, 1440])
def test_every_longer_bar_is_that_of_a_plain_loop(days: Sessions | None, length: int) -> None:
    slices = sparse(length)
    feed = aggregate(slices, f"{length}min" if length < 1440 else "1d", keep=False, n=3, sessions=days)
    got = {event.ts: event for event in feed.events() if isinstance(event, Bars)}
    expected = plain_buckets(slices, length * MINUTE_NS, days)
    first = min(expected)
    begin = first - length * MINUTE_NS if days is None else max(first - length * MINUTE_NS, int(days.opens[0]))
    ends = sorted(expected)[slices[0].opened > begin :]  # without the one that the data begins in
    assert sorted(got) == [end for end in ends if end <= slices[-1].ts]
    for end, bar in got.items():
        for s in range(3):
            plain = plain_bar(expected[end], s)
            if isinstance(plain, int):
                assert bar.status[s] == plain
            else:
                assert (bar.open[s], bar.high[s], bar.low[s], bar.close[s], bar.volume[s]) == plain[:5]
                assert bar.vwap[s] == pytest.approx(plain[5], rel=1e-12, nan_ok=True)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.data(), st.sampled_from([None, DAYS]))
def test_rule_13_cutting_or_changing_what_comes_later_changes_nothing_up_to_then(
    seed: int, data: st.DataObject, days: Sessions | None
) -> None:
    slices = sparse(seed)[:300]
    k = data.draw(st.integers(1, len(slices) - 1))
    other = random_minutes([b.ts for b in slices[k:]], 3, seed + 1)
    to = ("5min", "15min", "1d")

    def until(events: Sequence[Bars]) -> list[Any]:
        feed = aggregate(events, *to, n=3, sessions=days)
        return plains(event for event in feed.events() if event.ts <= slices[k - 1].ts)

    whole = until(slices)
    assert until(slices[:k]) == whole
    assert until([*slices[:k], *other]) == whole


@pytest.mark.parametrize("days", [None, DAYS], ids=["clock", "sessions"])
def test_any_range_is_the_slice_of_the_whole(days: Sessions | None) -> None:
    events = sparse(3)[::7]
    feed = aggregate(events, "15min", "1d", n=3, sessions=days)
    whole = list(feed.events())
    rng = np.random.default_rng(1)
    for _ in range(40):
        low, high = sorted(rng.integers(events[0].ts - HOUR_NS, events[-1].ts + HOUR_NS, 2).tolist())
        expected = [event for event in whole if low <= event.ts < high]
        assert plains(feed.events(low, high)) == plains(expected)


def test_memory_is_bounded_whatever_a_longer_bar_spans() -> None:
    slices = sparse(1, full=True)
    (whole,) = [
        b for b in aggregate(slices[:390], "1d", keep=False, n=3, sessions=DAYS).events() if isinstance(b, Bars)
    ]
    for s in range(3):
        plain = plain_bar(slices[:390], s)
        assert not isinstance(plain, int)
        assert (whole.open[s], whole.high[s], whole.low[s], whole.close[s], whole.volume[s]) == plain[:5]


# ---- the feed as a whole ---------------------------------------------------------------------------------------------


def test_the_feed_says_which_intervals_it_makes_and_what_its_own_feed_says() -> None:
    events = [minute(f"2018-07-02 09:{m}", [1.0]) for m in range(31, 59)]
    feed = aggregate(events, "1d", "5min", sessions=DAYS, close="16:00 America/New_York")
    assert (feed.interval_ns, feed.intervals) == (MINUTE_NS, (FIVE_NS, DAY_NS))
    assert (feed.span, feed.sessions, feed.close) == ((events[0].ts, events[-1].ts), DAYS, "16:00 America/New_York")
    assert feed.hashes() == {"list": "0" * 64}
    only = aggregate(events, "1d", "5min", keep=False)
    assert (only.interval_ns, only.intervals) == (FIVE_NS, (DAY_NS,))
    assert only.span == (at("2018-07-02 09:35"), at("2018-07-02 09:55"))
    got = [event.ts for event in only.events()]
    assert (got[0], got[-1]) == only.span


def test_a_feed_of_several_intervals_is_not_aggregated_again() -> None:
    feed = aggregate([minute("2018-07-02 09:31", [1.0]), minute("2018-07-02 09:32", [1.0])], "5min")
    with pytest.raises(ValueError, match="several intervals already"):
        Aggregate(of=feed, to=["1d"])
    with pytest.raises(ValueError, match="at least one interval"):
        Aggregate(of=Listed([minute("2018-07-02 09:31", [1.0])]), to=[])


def test_statuses_of_a_longer_bar_without_a_fresh_one() -> None:
    gone = minute("2018-07-02 09:35", [np.nan], status=[Status.HALTED])
    events = [minute("2018-07-02 09:31", [np.nan]), gone, minute("2018-07-02 09:36", [1.0])]
    first = next(event for event in aggregate(events, "5min", keep=False).events() if isinstance(event, Bars))
    assert first.status.tolist() == [Status.HALTED]
