"""Bars of single symbols in any order, slices out: what is promised of the slicer, event by event."""

import msgspec
import numpy as np
import pytest

from engine.cuts import Bar, CutRule, CutRules
from engine.errors import DataError
from engine.events import Bars, Late, Watermark
from engine.slice_ends import Clock
from engine.slicer import Slicer
from engine.universe import universe_of
from tests.conformance.streams import same
from tests.engine.slicing import FIVE, FRESH, HALTED, MIN, MISSING, N, bar, fed, kinds, slicer

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
