"""Bars of several slices as one bar, against a loop over single numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.operators.longer_bars import Rule, adjusted, combined, rule_for
from engine.events import MINUTE_NS, ActionKind, Bars, Status
from tests.adapters.operators.listed import plain_bar, random_minutes
from tests.engine.test_ledger import action
from tests.make import bars, day

COLUMNS = ("open", "high", "low", "close", "volume", "vwap")


def same(got: Bars, slices: list[Bars]) -> None:
    for s in range(len(got.close)):
        expected = plain_bar(slices, s)
        if isinstance(expected, int):
            assert got.status[s] == expected
            assert np.isnan([getattr(got, name)[s] for name in COLUMNS]).all()
        else:
            assert got.status[s] == Status.FRESH
            assert tuple(getattr(got, name)[s] for name in COLUMNS[:5]) == expected[:5]
            np.testing.assert_allclose(got.vwap[s], expected[5], rtol=1e-12)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.integers(1, 6), st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 0.95]))
def test_every_number_is_that_of_a_plain_loop(k: int, n: int, seed: int, holes: float) -> None:
    slices = random_minutes([day(0) + i * MINUTE_NS for i in range(k)], n, seed, holes=holes)
    same(combined(slices), slices)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 12), st.data(), st.integers(0, 10_000))
def test_to_combine_a_part_first_changes_no_bit_of_prices_and_volumes(k: int, data: st.DataObject, seed: int) -> None:
    slices = random_minutes([day(0) + i * MINUTE_NS for i in range(k)], 4, seed, holes=0.4)
    cut = data.draw(st.integers(1, k - 1))
    whole, parts = combined(slices), combined([combined(slices[:cut]), *slices[cut:]])
    for name in (*COLUMNS[:5], "status", "member"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    np.testing.assert_allclose(parts.vwap, whole.vwap, rtol=1e-12)


def test_missing_and_halted_slices_count_for_nothing_and_a_halt_shows_only_where_nothing_traded() -> None:
    nan, halted, missing = np.nan, Status.HALTED, Status.MISSING
    first = bars(1, [10.0, nan, nan, nan], status=[0, halted, missing, missing])
    then = bars(2, [nan, 11.0, nan, nan], status=[halted, 0, halted, missing])
    got = combined([first, then])
    assert got.status.tolist() == [Status.FRESH, Status.FRESH, halted, missing]
    np.testing.assert_array_equal(got.close, [10.0, 11.0, nan, nan])


def test_vwap_is_unknown_where_that_of_a_bar_with_volume_is() -> None:
    first = bars(1, [10.0, 10.0, 10.0], vwap=[10.0, np.nan, np.nan], volume=[100.0, 100.0, 0.0])
    then = bars(2, [20.0, 20.0, 20.0], vwap=[20.0, 20.0, 20.0], volume=[300.0, 300.0, 300.0])
    np.testing.assert_array_equal(combined([first, then]).vwap, [17.5, np.nan, 20.0])
    nothing = bars(3, [1.0], vwap=[1.0], volume=[0.0])
    assert np.isnan(combined([nothing, nothing]).vwap[0])


def test_membership_is_that_of_the_last_slice() -> None:
    got = combined([bars(1, [1.0, 1.0], member=[True, True]), bars(2, [1.0, 1.0], member=[True, False])])
    assert got.member.tolist() == [True, False]


def test_extra_columns_follow_their_names() -> None:
    names = ("bid", "close_volume", "ask_high", "bid_low", "mid_open", "trades", "limit_up")
    rules = tuple(map(rule_for, names))
    assert rules == (Rule.LAST, Rule.TOTAL, Rule.HIGHEST, Rule.LOWEST, Rule.FIRST, Rule.TOTAL, Rule.LAST)
    rows = [[1.0, np.nan, 5.0, 3.0, np.nan, 2.0, np.nan], [2.0, 7.0, 4.0, 2.0, 6.0, 3.0, np.nan]]
    slices = [bars(ts, [1.0], extra=tuple(np.array([v]) for v in row)) for ts, row in enumerate(rows, 1)]
    got = np.array([column[0] for column in combined(slices, rules).extra])
    np.testing.assert_array_equal(got, [2.0, 7.0, 5.0, 2.0, 6.0, 5.0, np.nan])


def test_what_is_handed_out_cannot_be_written_to_and_holds_no_other_arrays() -> None:
    slices = random_minutes([day(0), day(0) + MINUTE_NS], 3, 1)
    got = combined(slices)
    for name in (*COLUMNS, "status"):
        array = getattr(got, name)
        assert not array.flags.writeable
        assert array.base is None or array.base.size == array.size


@pytest.mark.parametrize("ratio", [2.0, 0.25])
def test_rule_25_a_split_within_a_longer_bar_brings_its_earlier_part_into_new_shares(ratio: float) -> None:
    names = ("bid", "open_volume", "borrow_rate", "trades")
    extra = tuple(np.array([v, v]) for v in (10.0, 100.0, 0.05, 7.0))
    before = bars(1, [10.0, 10.0], volume=[100.0, 100.0], vwap=[10.0, 10.0], extra=extra)
    split = action(day(0), ActionKind.SPLIT, 1, ratio=ratio)
    got = adjusted(before, split, names)
    np.testing.assert_allclose(got.close, [10.0, 10.0 / ratio])
    np.testing.assert_allclose(got.open * got.volume, before.open * before.volume)  # money stays
    np.testing.assert_allclose(got.vwap, [10.0, 10.0 / ratio])
    np.testing.assert_allclose([e[1] for e in got.extra], [10.0 / ratio, 100.0 * ratio, 0.05, 7.0])
    np.testing.assert_allclose([e[0] for e in got.extra], [10.0, 100.0, 0.05, 7.0])
    assert adjusted(before, action(day(0), ActionKind.CASH_DIVIDEND, 1, amount=1.0), names) is before
