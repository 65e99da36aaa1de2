"""Bars of single symbols in any order, slices out: what is promised of the slicer, event by event."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cuts import Bar, Counts, Cut, CutRule, CutRules
from engine.errors import ConfigError, DataError, StateError
from engine.events import DAY_NS, HOUR_NS, Bars, Late, Status, Watermark
from engine.slice_ends import Clock, TradingDays
from engine.slicer import Slicer
from engine.universe import universe_of
from tests.conformance.streams import same
from tests.engine.trading_days import DAY, hour, table

MIN, FIVE = 60, 300  # ns: only their order matters
N = 3
FRESH, MISSING, HALTED = Status.FRESH, Status.MISSING, Status.HALTED


def bar(symbol: int, ts: int, close: float = 10.0, **columns: Any) -> Bar:
    row = {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 100.0, "vwap": close}
    return Bar(symbol=symbol, ts=ts, **({"interval_ns": MIN} | row | columns))


def slicer(n: int = N, intervals: Sequence[int] = (MIN,), **rules: Any) -> Slicer:
    ends = {interval: Clock(interval) for interval in intervals}
    names = tuple(f"S{i}" for i in range(n))
    return Slicer(universe=universe_of(names), ends=ends, start=0, rules=CutRules(**({"deadline_ns": 10} | rules)))


def fed(into: Slicer, *arrivals: tuple[Bar, int]) -> list[Any]:
    return [event for each, now in arrivals for event in into.offer(each, now)]


def kinds(events: Iterable[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


# ---- when a slice is cut ---------------------------------------------------------------------------------------------


def test_a_slice_is_cut_as_soon_as_it_is_complete() -> None:
    s = slicer()
    assert fed(s, (bar(2, 60, 12.0), 61), (bar(0, 60, 10.0), 62)) == []
    bars, mark = s.offer(bar(1, 60, 11.0), 63)
    assert isinstance(bars, Bars)
    assert (bars.ts, bars.interval_ns, bars.opened) == (60, MIN, 0)
    assert bars.close.tolist() == [10.0, 11.0, 12.0]
    assert bars.high.tolist() == [11.0, 12.0, 13.0]
    assert bars.status.tolist() == [FRESH] * 3
    assert bars.member.all()
    assert isinstance(mark, Watermark)
    assert mark.ts == 60
    assert (s.cuts[0].rule, s.cuts[0].missing.tolist(), s.cuts[0].counts.placed) == (CutRule.COMPLETE, [], 3)


def test_rule_06_at_its_deadline_what_is_absent_is_missing_and_never_invented() -> None:
    s = slicer()
    fed(s, (bar(1, 60), 61))
    assert s.due == 70
    assert s.advance(69) == []
    (bars, _) = s.advance(70)
    assert bars.status.tolist() == [MISSING, FRESH, MISSING]
    for column in (bars.open, bars.high, bars.low, bars.close, bars.volume, bars.vwap):
        assert np.isnan(column).tolist() == [True, False, True]
    assert s.cuts[0].rule is CutRule.DEADLINE
    assert s.cuts[0].missing.tolist() == [0, 2]


def test_without_a_quorum_a_slice_waits_longer_than_its_deadline() -> None:
    s = slicer(quorum=0.6, patience_ns=40)
    fed(s, (bar(0, 60), 61))
    assert s.advance(s.due) == []
    assert s.due == 100
    (bars, _) = s.offer(bar(1, 60), 80)  # two of three are the quorum
    assert bars.status.tolist() == [FRESH, FRESH, MISSING]
    assert s.cuts[0].rule is CutRule.DEADLINE
    fed(s, (bar(0, 120), 121))
    assert s.advance(159) == []
    assert kinds(s.advance(160)) == ["Bars", "Watermark"]
    assert s.cuts[0].rule is CutRule.PATIENCE


def test_a_quorum_is_of_the_members_alone() -> None:
    s = slicer(quorum=1.0, patience_ns=40)
    s.expect(np.array([True, True, False]), since=60)
    fed(s, (bar(2, 60), 61), (bar(0, 60), 62))
    assert s.advance(70) == []  # two bars, but one of them is of a name that does not count


def test_a_promise_of_the_source_cuts_what_is_older() -> None:
    s = slicer()
    fed(s, (bar(0, 60), 61), (bar(0, 120), 62))
    (bars, _) = s.promised(120, 63)
    assert (bars.ts, s.cuts[0].rule) == (60, CutRule.PASSED)
    assert kinds(s.promised(121, 64)) == ["Bars", "Watermark"]
    assert s.promised(100, 65) == []  # it may be said again, and late


def test_a_slice_that_is_complete_waits_for_the_one_before_it() -> None:
    s = slicer(deadline_ns=100)
    fed(s, (bar(0, 60), 61))
    assert fed(s, *((bar(i, 120), 121 + i) for i in range(N))) == []
    later = fed(s, (bar(1, 60), 130), (bar(2, 60), 131))
    assert [(type(e).__name__, e.ts) for e in later] == [
        ("Bars", 60),
        ("Watermark", 60),
        ("Bars", 120),
        ("Watermark", 120),
    ]
    assert [cut.rule for cut in s.cuts] == [CutRule.COMPLETE] * 2


def test_even_for_one_of_which_no_bar_has_come_yet_while_one_may_come_in_time() -> None:
    s = slicer(deadline_ns=70)
    assert fed(s, *((bar(i, 120), 121) for i in range(N))) == []
    assert [e.ts for e in fed(s, *((bar(i, 60), 122) for i in range(N)))] == [60, 60, 120, 120]
    assert fed(s, *((bar(i, 240), 241) for i in range(N))) == []
    assert [e.ts for e in s.advance(250)] == [240, 240]  # 180 + 70: none of 180 can come in time now


def test_without_early_a_slice_waits_for_its_deadline_so_that_corrections_count() -> None:
    s = slicer(early=False)
    fed(s, *((bar(i, 60), 61) for i in range(N)))
    assert fed(s, (bar(1, 60, 99.0, version=1), 65)) == []
    (bars, _) = s.advance(70)
    assert bars.close.tolist() == [10.0, 99.0, 10.0]
    assert (s.cuts[0].rule, s.cuts[0].counts.revised) == (CutRule.COMPLETE, 1)


def test_a_symbol_that_is_missing_again_and_again_is_waited_for_no_longer_until_it_is_back() -> None:
    s = slicer(absent_after=2, quorum=0.5)
    for k in (1, 2):
        fed(s, (bar(0, 60 * k), 60 * k + 1), (bar(1, 60 * k), 60 * k + 2))
        s.advance(60 * k + 10)
        assert s.cuts[0].absent == 0
    assert kinds(fed(s, (bar(0, 180), 181), (bar(1, 180), 182))) == ["Bars", "Watermark"]
    assert (s.cuts[0].rule, s.cuts[0].missing.tolist(), s.cuts[0].absent) == (CutRule.COMPLETE, [2], 1)
    fed(s, (bar(2, 240), 241), (bar(0, 240), 242), (bar(1, 240), 243))
    assert s.cuts[0].missing.tolist() == []
    assert fed(s, (bar(0, 300), 301), (bar(1, 300), 302)) == []  # it is waited for again


def test_an_open_slice_hears_at_once_that_a_symbol_is_waited_for_no_longer() -> None:
    s = slicer(absent_after=1, quorum=0.5, deadline_ns=100)
    fed(s, (bar(0, 60), 61), (bar(1, 60), 62), (bar(0, 120), 121), (bar(1, 120), 122))
    assert [(cut.ts, cut.rule) for cut in (s.advance(160), s.cuts)[1]] == [
        (60, CutRule.DEADLINE),
        (120, CutRule.COMPLETE),
    ]


def test_an_outage_of_the_feed_is_no_reason_to_stop_waiting_for_anybody() -> None:
    s = slicer(absent_after=1, quorum=0.9)
    fed(s, (bar(0, 60), 61))
    s.advance(200)
    assert s.cuts[0].rule is CutRule.PATIENCE
    assert fed(s, (bar(0, 240), 241)) == []


def test_zero_absent_after_waits_for_everybody_for_ever() -> None:
    s = slicer(absent_after=0)
    for k in range(1, 9):
        assert fed(s, (bar(0, 60 * k), 60 * k + 1)) == []
        assert kinds(s.advance(60 * k + 10)) == ["Bars", "Watermark"]


def test_rule_22_members_count_from_the_slice_on_that_they_are_said_to_count_from() -> None:
    s = slicer()
    fed(s, (bar(0, 60), 61), (bar(1, 60), 62), (bar(0, 120), 62))
    s.expect(np.array([True, False, False]), since=120)
    first, _, second, _ = s.advance(70)  # the second needs no more than it has
    assert first.member.all()
    assert second.member.tolist() == [True, False, False]
    assert [cut.missing.tolist() for cut in s.cuts] == [[2], []]
    assert second.status.tolist() == [FRESH, MISSING, MISSING]


# ---- order, late bars, corrections -----------------------------------------------------------------------------------


def test_rule_07_slices_of_one_instant_come_finest_first() -> None:
    s = slicer(1, (MIN, FIVE), deadline_ns=1000)
    slow = (bar(0, 300, interval_ns=FIVE), 301)
    events = fed(s, slow, *((bar(0, 60 * k), 302) for k in (5, 3, 1, 2, 4)))
    seen = [(e.ts, e.interval_ns) for e in events if isinstance(e, Bars)]
    assert seen == [(60, 60), (120, 60), (180, 60), (240, 60), (300, 60), (300, 300)]
    assert isinstance(events[-1], Watermark)


def test_the_watermark_of_an_instant_follows_all_of_its_slices() -> None:
    s = slicer(1, (MIN, FIVE))
    events = fed(s, *((bar(0, 60 * k), 60 * k + 1) for k in range(1, 6)))
    assert [e.ts for e in events if isinstance(e, Watermark)] == [60, 120, 180, 240]
    (slow, mark) = s.offer(bar(0, 300, interval_ns=FIVE), 302)
    assert (slow.interval_ns, mark.ts) == (FIVE, 300)


def test_rule_04_a_late_bar_is_told_before_the_next_slice_and_changes_no_past_one() -> None:
    s = slicer()
    fed(s, (bar(0, 60), 61))
    (cut, _) = s.advance(70)
    before = cut.close.tobytes()
    assert s.offer(bar(2, 60, 7.0), 75) == []
    assert s.counts.late == 1
    late, bars, _ = fed(s, *((bar(i, 120), 121) for i in range(N)))
    assert isinstance(late, Late)
    assert (late.ts, late.slice_ts, late.interval_ns) == (120, 60, MIN)
    assert (late.symbol.tolist(), late.close.tolist(), late.volume.tolist()) == ([2], [7.0], [100.0])
    assert isinstance(bars, Bars)
    assert cut.close.tobytes() == before
    assert s.cuts[0].counts.late == 1


def test_late_bars_stand_by_slice_and_symbol_whatever_order_they_came_in() -> None:
    arrivals = [bar(2, 60, 5.0), bar(1, 120, 6.0), bar(0, 60, 7.0), bar(0, 60, 8.0, version=1)]
    told = []
    for order in (arrivals, [arrivals[i] for i in (2, 1, 3, 0)]):
        s = slicer()
        s.advance(10)
        fed(s, (bar(1, 60), 61), (bar(0, 120), 121))
        s.advance(130)
        fed(s, *((each, 135) for each in order))
        told.append(fed(s, *((bar(i, 180), 181) for i in range(N))))
    assert same(told[0], told[1])
    first, second = told[0][:2]
    assert (first.slice_ts, first.symbol.tolist(), first.close.tolist()) == (60, [0, 0, 2], [7.0, 8.0, 5.0])
    assert (second.slice_ts, second.symbol.tolist()) == (120, [1])


def test_a_duplicate_is_dropped_and_counted_before_and_after_the_cut() -> None:
    s = slicer()
    fed(s, (bar(0, 60), 61), (bar(0, 60), 62), (bar(1, 60), 63))
    s.advance(70)
    fed(s, (bar(0, 60), 71), (bar(2, 60), 72), (bar(2, 60), 73))
    assert (s.counts.duplicates, s.counts.late) == (3, 1)


def test_the_same_version_with_other_values_is_a_conflict_and_the_first_counts() -> None:
    s = slicer()
    (bars, _) = fed(s, (bar(0, 60, 10.0), 61), (bar(0, 60, 20.0), 62), (bar(1, 60), 63), (bar(2, 60), 64))
    assert bars.close[0] == 10.0
    assert (s.counts.conflicts, s.counts.duplicates) == (1, 0)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_rule_05_of_two_versions_the_higher_counts_in_either_order(order: tuple[int, int]) -> None:
    s = slicer()
    versions = [bar(0, 60, 10.0), bar(0, 60, 20.0, version=1)]
    (bars, _) = fed(s, *((versions[i], 61) for i in order), (bar(1, 60), 62), (bar(2, 60), 63))
    assert bars.close[0] == 20.0
    assert s.counts.revised == 1


def test_a_correction_after_the_cut_is_late_and_an_old_version_is_not() -> None:
    s = slicer()
    fed(s, *((bar(i, 60, version=2), 61) for i in range(N)))
    fed(s, (bar(0, 60, 9.0, version=3), 62), (bar(1, 60, 9.0, version=1), 62))
    (late, *_) = fed(s, *((bar(i, 120), 121) for i in range(N)))
    assert late.symbol.tolist() == [0]
    assert (s.counts.late, s.counts.revised) == (1, 1)


def test_a_halt_is_an_answer_and_has_no_prices() -> None:
    s = slicer()
    halt = bar(1, 60, halted=True)
    (bars, _) = fed(s, (halt, 61), (halt, 61), (bar(0, 60), 62), (bar(2, 60), 63))
    assert bars.status.tolist() == [FRESH, HALTED, FRESH]
    assert np.isnan(bars.close).tolist() == [False, True, False]
    assert np.isnan(bars.volume[1])
    assert s.counts.duplicates == 1
    fed(s, (bar(0, 120, halted=True), 121))
    s.advance(130)
    fed(s, (bar(1, 120, halted=True), 131), (bar(0, 120, version=0), 131))
    assert (s.counts.unfit, s.counts.late) == (1, 0)


def test_a_halt_and_a_bar_of_one_version_contradict_each_other() -> None:
    s = slicer()
    fed(s, (bar(0, 60, halted=True), 61), (bar(0, 60), 62), (bar(1, 60), 62), (bar(1, 60, halted=True), 62))
    assert s.counts.conflicts == 2


def test_a_corrected_halt_is_a_bar() -> None:
    s = slicer(1, early=False)
    fed(s, (bar(0, 60, halted=True), 61), (bar(0, 60, 5.0, version=1), 62))
    (bars, _) = s.advance(70)
    assert (bars.status[0], bars.close[0]) == (FRESH, 5.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"high": 9.0},
        {"low": 10.5},
        {"low": 0.0},
        {"low": -1.0},
        {"close": float("nan")},
        {"open": 12.0},
        {"high": float("inf")},
        {"volume": -1.0},
        {"volume": float("inf")},
    ],
)
def test_a_bar_that_cannot_be_is_counted_and_its_symbol_stays_missing(wrong: dict[str, float]) -> None:
    s = slicer(1)
    assert fed(s, (bar(0, 60, **wrong), 61)) == []
    assert s.counts.unfit == 1
    assert s.advance(70) == []  # nothing came


def test_an_unknown_volume_is_no_reason_to_drop_a_bar() -> None:
    (bars, _) = fed(slicer(1), (bar(0, 60, volume=float("nan")), 61))
    assert np.isnan(bars.volume[0])
    assert bars.status[0] == FRESH


def test_extra_columns_are_those_of_the_universe() -> None:
    universe = msgspec.structs.replace(universe_of(("A", "B")), extra=("bid", "ask"))
    s = Slicer(universe=universe, ends={MIN: Clock(MIN)}, start=0, rules=CutRules(deadline_ns=5))
    fed(s, (bar(1, 60, extra=(9.0, 11.0)), 61))
    (bars, _) = s.advance(65)
    assert np.array_equal(np.array(bars.extra), [[np.nan, 9.0], [np.nan, 11.0]], equal_nan=True)
    with pytest.raises(DataError, match="has 1 extra columns; the universe names 2"):
        s.offer(bar(0, 120, extra=(9.0,)), 121)


def test_a_bar_from_the_future_or_of_no_slice_is_counted_and_opens_nothing() -> None:
    s = slicer(skew_ns=5)
    fed(s, (bar(0, 61), 60), (bar(0, 120), 60), (bar(0, 60), 55))
    assert (s.counts.outside, s.counts.ahead, s.held) == (1, 1, 1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (bar(3, 60), "symbol 3 and 60 ns"),
        (bar(-1, 60), "symbol -1"),
        (bar(0, 60, interval_ns=61), "60 ns came|and 61 ns"),
        (bar(0, 60, version=-1), "count from 0"),
    ],
)
def test_what_nobody_declared_is_refused(wrong: Bar, said: str) -> None:
    with pytest.raises(DataError, match=said):
        slicer().offer(wrong, 61)


def test_time_never_goes_back() -> None:
    s = slicer(skew_ns=0)
    s.advance(200)
    assert fed(s, (bar(0, 180), 10), (bar(0, 240), 10)) == []
    assert (s.counts.late, s.counts.ahead) == (1, 1)  # as of 200
    assert s.advance(5) == []
    assert s.due == 250


# ---- calendars -------------------------------------------------------------------------------------------------------

TWO_DAYS = table((0, 9, 12, 0, 0), (1, 33, 36, 34, 35))  # the second one with a break from 34 to 35


def by_days(interval: int, **rules: Any) -> Slicer:
    given = CutRules(**({"deadline_ns": HOUR_NS // 60} | rules))
    ends = {interval: TradingDays(interval, TWO_DAYS)}
    return Slicer(universe=universe_of(("A",)), ends=ends, start=DAY, rules=given)


def test_rule_11_by_a_calendar_there_are_slices_without_any_bar_and_none_while_it_is_shut() -> None:
    s = by_days(HOUR_NS)
    events = s.offer(bar(0, hour(11), interval_ns=HOUR_NS), hour(11))
    assert [cut.missing.tolist() for cut in s.cuts] == [[0], []]
    events += s.advance(hour(36) + HOUR_NS)
    ends = [hour(h) for h in (10, 11, 12, 34, 36)]
    assert [e.ts for e in events if isinstance(e, Bars)] == ends
    assert [e.status[0] for e in events if isinstance(e, Bars)] == [MISSING, FRESH, MISSING, MISSING, MISSING]


def test_a_day_is_one_slice_from_its_open_to_its_close() -> None:
    s = by_days(DAY_NS)
    bars = [e for e in s.advance(hour(40)) if isinstance(e, Bars)]
    assert [(b.opened, b.ts) for b in bars] == [(hour(9), hour(12)), (hour(33), hour(36))]


def test_parts_of_a_day_count_from_its_open_and_the_close_ends_the_last_early() -> None:
    ends = TradingDays(2 * HOUR_NS, TWO_DAYS)
    found, at = [], DAY
    for _ in range(4):
        begin, at = ends.after(at)
        found.append((begin, at))
        assert ends.begin(at) == begin
    assert found == [
        (hour(9), hour(11)),
        (hour(11), hour(12)),
        (hour(33), hour(34)),
        (hour(35), hour(36)),
    ]
    assert [ends.begin(hour(h)) for h in (9, 10, 20, 35)] == [None] * 4


def test_the_end_of_the_calendar_is_said_by_the_first_bar_behind_it_after_the_last_slice() -> None:
    s = by_days(DAY_NS)
    assert len(s.advance(hour(40))) == 4
    assert s.advance(hour(100)) == []
    assert fed(s, (bar(0, hour(12), interval_ns=DAY_NS), hour(100))) == []
    assert s.counts.late == 1
    with pytest.raises(ConfigError, match="compile it further"):
        s.offer(bar(0, hour(60), interval_ns=DAY_NS), hour(100))
    with pytest.raises(ConfigError, match="made of days|make them of days"):
        TradingDays(7 * DAY_NS, TWO_DAYS)


def test_symbols_that_all_left_do_not_make_empty_slices_complete() -> None:
    s = by_days(HOUR_NS, absent_after=1)
    assert [e.ts for e in s.advance(hour(10) + HOUR_NS // 60)] == [hour(10)] * 2
    assert s.advance(hour(11)) == []


# ---- restart ---------------------------------------------------------------------------------------------------------


def test_state_of_other_intervals_columns_or_symbols_is_refused() -> None:
    state = slicer().save()
    with pytest.raises(StateError, match="start it as it was saved"):
        slicer(intervals=(FIVE,)).load(state)
    with pytest.raises(StateError, match="symbol 'S2'"):
        slicer(2).load(state)


@pytest.mark.parametrize(("ts", "taken"), [(120, 1), (60, 3)])
def test_a_recorded_cut_that_does_not_fit_is_refused(ts: int, taken: int) -> None:
    s = slicer()
    none = np.empty(0, np.int32)
    cut = Cut(ts=ts, interval_ns=MIN, rule=CutRule.DEADLINE, taken=taken, missing=none, absent=0, counts=Counts())
    fed(s, (bar(0, 60), 61))
    with pytest.raises(StateError, match="feed all cuts and bars"):
        s.follow(cut, [(bar(1, 60), 62)] if taken == 3 else [])


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"deadline_ns": -1}, "deadline_ns"),
        ({"patience_ns": 5}, "patience_ns is 5"),
        ({"quorum": 1.5}, "quorum must be a share"),
        ({"kept": 0}, "kept must be at least 1"),
        ({"late_max": 0}, "late_max"),
        ({"skew_ns": -1}, "skew_ns"),
    ],
)
def test_rules_that_cannot_be_are_refused(rules: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        slicer(**rules)


def test_no_interval_and_members_of_the_past_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least one interval"):
        slicer(intervals=())
    with pytest.raises(DataError, match="from later than 0 on"):
        slicer().expect(np.ones(N, bool), since=0)


def test_late_bars_that_are_too_many_are_told_at_once() -> None:
    s = slicer(late_max=2)
    fed(s, *((bar(i, 60), 61) for i in range(N)))
    s.advance(600)
    (late,) = fed(s, (bar(0, 120), 601), (bar(1, 120), 601))
    assert (late.ts, late.slice_ts, late.symbol.tolist()) == (60, 120, [0, 1])


def test_what_is_older_than_what_is_remembered_is_late_again() -> None:
    s = slicer(1, kept=1)
    fed(s, (bar(0, 60), 61), (bar(0, 120), 121), (bar(0, 60), 122), (bar(0, 120), 122))
    assert (s.counts.late, s.counts.duplicates) == (1, 1)


# ---- properties ------------------------------------------------------------------------------------------------------


@st.composite
def arrivals(draw: st.DrawFn, *, in_time: bool) -> list[tuple[Bar, int]]:
    """Bars of a few slices with holes and copies, each with the instant at which it arrives, in that order."""
    found: list[tuple[int, int, Bar]] = []
    for ts in range(60, 60 * draw(st.integers(2, 6)), 60):
        for symbol in range(N):
            if draw(st.integers(0, 9)) == 0:
                continue
            for version in range(1 if in_time else draw(st.integers(1, 2))):
                each = bar(symbol, ts, float(draw(st.integers(5, 20))), version=version)
                for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
                    delay = draw(st.integers(0, 9 if in_time else 150))
                    found.append((ts + delay, draw(st.integers(0, 99)), each))
    found.sort(key=lambda row: row[:2])
    return [(each, now) for now, _, each in found]


def run_of(into: Slicer, stream: Sequence[tuple[Bar, int]], end: int = 1000) -> list[Any]:
    """All events, with the timer that a live process would set at `due`."""
    out: list[Any] = []
    for each, now in stream:
        while into.due <= now:
            out += into.advance(into.due)
        out += into.offer(each, now)
    while into.due <= end:
        out += into.advance(into.due)
    return out


@given(stream=arrivals(in_time=True), order=st.randoms(use_true_random=False), deadline=st.sampled_from([10, 70, 200]))
@settings(max_examples=150, deadline=None)
def test_any_interleaving_in_time_gives_the_same_slices(stream: Any, order: Any, deadline: int) -> None:
    bars = [each for each, _ in stream]
    order.shuffle(bars)
    other = sorted(((each, each.ts + order.randrange(deadline)) for each in bars), key=lambda row: row[1])
    one, two = (
        [e for e in run_of(slicer(deadline_ns=deadline, absent_after=0), rows) if isinstance(e, Bars)]
        for rows in (stream, other)
    )
    assert same(one, two)
    assert sum(int((e.status == FRESH).sum()) for e in one) == len({(each.symbol, each.ts) for each in bars})


@given(stream=arrivals(in_time=False), absent=st.integers(0, 2), quorum=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost(stream: Any, absent: int, quorum: float) -> None:
    s = slicer(absent_after=absent, quorum=quorum, patience_ns=30)
    events = run_of(s, stream)
    assert all(e.ts <= 1000 for e in events)
    flushed = fed(s, (bar(0, 6000), 6000)) + s.advance(7000)
    placed = sum(int((e.status != MISSING).sum()) for e in [*events, *flushed] if isinstance(e, Bars))
    late = sum(len(e.symbol) for e in [*events, *flushed] if isinstance(e, Late))
    counts = s.counts
    assert (counts.placed, counts.late, s.held) == (placed, late, 0)
    dropped = counts.duplicates + counts.revised + counts.conflicts + counts.unfit + counts.outside + counts.ahead
    assert placed + late + dropped == len(stream) + 1


@given(stream=arrivals(in_time=False), quorum=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=100, deadline=None)
def test_events_are_in_order_and_of_each_end_there_is_one_slice(stream: Any, quorum: float) -> None:
    s = slicer(intervals=(MIN, 120), quorum=quorum, patience_ns=30)
    double = [(msgspec.structs.replace(each, interval_ns=120), now) for each, now in stream if each.ts % 120 == 0]
    events = run_of(s, sorted(stream + double, key=lambda row: row[1]))
    rank = {Late: 0, Bars: 1, Watermark: 2}
    assert [e.ts for e in events] == sorted(e.ts for e in events)
    keys = [(e.ts, e.interval_ns) for e in events if isinstance(e, Bars)]
    assert keys == sorted(set(keys))
    ends = [(e.ts, rank[type(e)] == 2) for e in events]
    assert ends == sorted(ends)  # a watermark stands last of its instant


@given(stream=arrivals(in_time=False), cut=st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_prefix_what_comes_later_changes_nothing_before(stream: Any, cut: int) -> None:
    whole, part = slicer(), slicer()
    told = [whole.offer(each, now) for each, now in stream]
    assert same(told[:cut], [part.offer(each, now) for each, now in stream[:cut]])


@given(stream=arrivals(in_time=False), late_max=st.integers(1, 4), quorum=st.sampled_from([0.0, 1.0]))
@settings(max_examples=60, deadline=None)
def test_state_saved_and_loaded_at_every_point_goes_on_the_same(stream: Any, late_max: int, quorum: float) -> None:
    def fresh() -> Slicer:
        return slicer(intervals=(MIN, 120), late_max=late_max, quorum=quorum, absent_after=1, patience_ns=30)

    straight, broken = fresh(), fresh()
    straight.expect(np.array([True, True, False]), since=180)
    broken.expect(np.array([True, True, False]), since=180)
    for each, now in stream:
        again = fresh()
        again.load(broken.save())
        assert again.save() == broken.save()
        broken = again
        assert same(broken.offer(each, now), straight.offer(each, now))
        assert broken.due == straight.due
        assert same(broken.cuts, straight.cuts)
        assert broken.counts.__class__ is Counts
        assert msgspec.structs.astuple(broken.counts) == msgspec.structs.astuple(straight.counts)


@given(stream=arrivals(in_time=False), late_max=st.integers(2, 4))
@settings(max_examples=100, deadline=None)
def test_recorded_cuts_give_the_same_events_without_a_clock(stream: Any, late_max: int) -> None:
    """What a restart does: bars up to each recorded cut, then the cut."""
    rules: dict[str, Any] = {"intervals": (MIN, 120), "quorum": 0.5, "patience_ns": 30, "late_max": late_max}
    live, again = slicer(**rules), slicer(**rules)
    told: list[Any] = []
    cuts: list[Cut] = []
    for each, now in stream:
        while live.due <= now:
            told += live.advance(live.due)
            cuts += live.cuts
        told += live.offer(each, now)
        cuts += live.cuts
    repeated: list[Any] = []
    for before, cut in zip([0, *(cut.taken for cut in cuts)], cuts, strict=False):
        repeated += again.follow(cut, stream[before : cut.taken])
        assert msgspec.structs.astuple(again.cuts[0].counts) == msgspec.structs.astuple(cut.counts)
    last = max((k + 1 for k, e in enumerate(told) if isinstance(e, Bars)), default=0)
    assert same(*([e for e in each if isinstance(e, Bars | Late)] for each in (repeated, told[:last])))
    marks = [{e.ts for e in each if isinstance(e, Watermark)} for each in (told[:last], repeated)]
    assert marks[0] <= marks[1]


def test_names_appended_at_a_restart_are_members_without_a_bar() -> None:
    s = slicer(2, (MIN,))
    fed(s, (bar(0, 60), 61))
    s.advance(70)
    fed(s, (bar(0, 120), 121))
    longer = slicer(3, (MIN,))
    longer.load(s.save())
    (bars, _) = fed(longer, (bar(2, 120), 122), (bar(1, 120), 123))
    assert bars.status.tolist() == [FRESH] * 3
    assert bars.member.tolist() == [True] * 3


def test_memory_stays_what_it_is_however_long_it_runs() -> None:
    s, rng = slicer(quorum=0.9, patience_ns=200, late_max=50), np.random.default_rng(0)
    sizes = []
    for k in range(1, 3000):
        symbol, back = int(rng.integers(N)), int(rng.integers(0, 8))
        s.offer(bar(symbol, 60 * max(1, k - back), version=int(rng.integers(0, 3))), 60 * k)
        sizes.append(len(s.save()))
    assert max(sizes[1500:]) <= 1.1 * max(sizes[:1500])
