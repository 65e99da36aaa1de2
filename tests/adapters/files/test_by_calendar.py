"""Arrays of stamps against a calendar: the same as asking the calendar one by one."""

import datetime as dt

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adapters.files.by_calendar import bounds_of, closes_of, cut_closes, cut_opens, no_days, opens_of, strays, timers
from engine.calendar import Sessions
from engine.events import DAY_NS, HOUR_NS, MINUTE_NS, SESSION_CLOSED
from tests.engine.trading_days import DAY, hour, tables

stamps = st.lists(st.integers(0, 200), min_size=1, max_size=8).map(lambda hours: DAY + np.sort(hours) * (HOUR_NS // 2))
EPOCH = dt.date(1970, 1, 1)


@given(sessions=tables(), ts=stamps)
def test_what_closes_in_no_session_or_in_a_break_is_told_apart(sessions: Sessions, ts: np.ndarray) -> None:
    found = strays(sessions, ts)
    for k, at in enumerate(ts.tolist()):
        row = sessions.day_of(at)
        in_break = row >= 0 and sessions.break_from[row] < at <= sessions.break_to[row]
        assert (bool(found["outside_session"][k]), bool(found["in_break"][k])) == (row < 0, in_break)


@given(sessions=tables(), opened=stamps, halves=st.integers(1, 5))
def test_a_bar_that_is_cut_ends_within_the_session_it_began_in_and_never_later_than_before(
    sessions: Sessions, opened: np.ndarray, halves: int
) -> None:
    ts = opened + halves * (HOUR_NS // 2)
    cut = cut_closes(sessions, opened, ts)
    begins = cut_opens(sessions, opened, cut)
    assert (np.diff(cut) >= 0).all()
    for begin, whole, end, start in zip(opened.tolist(), ts.tolist(), cut.tolist(), begins.tolist(), strict=True):
        moments = range(begin + MINUTE_NS, whole + 1, MINUTE_NS)
        trading = [at for at in moments if sessions.trades_at(at - MINUTE_NS)]
        assert begin <= start < end <= whole
        if end < whole:  # nothing traded in what was cut off, but for a session that opens in it
            assert end == max(at for at in trading if at <= end)
            assert sessions.closes_at(end) or not sessions.trades_at(end)
        row = sessions.day_of(end)
        before = [at for at in range(begin, start, MINUTE_NS) if sessions.trades_at(at)]
        if row >= 0 and sessions.opens[row] <= begin:  # of its own session nothing is left out but the break
            assert before == [] or max(before) < sessions.break_from[row]


@given(sessions=tables(), days=st.lists(st.integers(0, 20), min_size=1, max_size=8).map(np.sort))
def test_days_are_found_by_their_label_and_others_never_come_early(sessions: Sessions, days: np.ndarray) -> None:
    day = DAY // DAY_NS + days
    found, missing = closes_of(sessions, day), no_days(sessions, day)
    known = {int(label): k for k, label in enumerate(sessions.label.tolist())}
    assert (np.diff(found) >= 0).all()
    for k, each in enumerate(day.tolist()):
        row = known.get(each * DAY_NS)
        assert bool(missing[k]) == (row is None)
        if row is not None:
            assert found[k] == sessions.closes[row]
            assert opens_of(sessions, found[k : k + 1])[0] == sessions.opens[row]
        elif each * DAY_NS < sessions.label[-1]:
            assert found[k] == min(sessions.closes[sessions.label > each * DAY_NS])


@given(sessions=tables(), first=st.integers(-1, 20), days=st.integers(0, 5), dated=st.booleans())
def test_spans_of_days_hold_their_own_sessions_and_tile_time(
    sessions: Sessions, first: int, days: int, dated: bool
) -> None:
    start = EPOCH + dt.timedelta(days=DAY // DAY_NS + first)
    end = start + dt.timedelta(days=days)
    low, high = bounds_of(sessions, start, end, dated=dated)
    assert low is not None
    assert high is not None
    inside = [k for k, label in enumerate(sessions.label) if start <= EPOCH + dt.timedelta(int(label) // DAY_NS) <= end]
    for k, (opens, closes) in enumerate(zip(sessions.opens.tolist(), sessions.closes.tolist(), strict=True)):
        assert (low <= closes < high) == (k in inside)
        if not dated and k in inside:
            assert low <= opens + 1
    if not dated and inside:
        assert (
            bounds_of(sessions, end + dt.timedelta(days=1), None, dated=False)[0] == high
            or inside[-1] == len(sessions) - 1
        )


@given(sessions=tables(), low=st.integers(0, 100), length=st.integers(0, 100))
def test_timers_are_those_of_the_sessions_that_bars_can_lie_in(sessions: Sessions, low: int, length: int) -> None:
    found = list(timers(sessions, hour(low), hour(low + length)))
    rows = [
        (opens, closes)
        for opens, closes in zip(sessions.opens.tolist(), sessions.closes.tolist(), strict=True)
        if closes >= hour(low) and opens < hour(low + length)
    ]
    assert [timer.ts for timer in found] == [instant for row in rows for instant in row]
    assert [timer.name for timer in found[1::2]] == [SESSION_CLOSED] * len(rows)
    assert [timer.ts for timer in found] == sorted(timer.ts for timer in found)
