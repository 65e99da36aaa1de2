"""A slicer by a calendar, after a restart, and what is refused of both."""

from typing import Any

import numpy as np
import pytest

from engine.cuts import Counts, Cut, CutRule, CutRules
from engine.errors import ConfigError, DataError, StateError
from engine.events import DAY_NS, HOUR_NS, Bars
from engine.slice_ends import TradingDays
from engine.slicer import Slicer
from engine.universe import universe_of
from tests.engine.slicing import FIVE, FRESH, MIN, MISSING, N, bar, fed, slicer
from tests.engine.trading_days import DAY, hour, table

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
    with pytest.raises(DataError, match="from 0 on or later"):
        slicer().expect(np.ones(N, bool), since=-1)


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
