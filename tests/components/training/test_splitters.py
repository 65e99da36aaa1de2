"""Splits over dates: brute force over intervals, numbers of two other libraries, each slice as often as it should."""

import json
from itertools import combinations, pairwise
from math import comb
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.features.rolling import Rolling
from components.training.panel import walk
from components.training.splitters import Combinatorial, PurgedKFold, WalkForward, recombined
from engine.errors import DataError
from engine.universe import universe_of
from tests.make import day, market

PEERS = json.loads((Path(__file__).parents[2] / "peers" / "evaluation.json").read_text())
DAY = 86_400 * 10**9


def slices(count, horizon):
    """(ts, label_from, label_to) of daily slices: decided at the close, held from the next open to an open later."""
    place = np.arange(count, dtype=np.int64)
    opened = place * DAY
    return opened + DAY // 4, opened + DAY, opened + DAY * (1 + horizon)


def both(fold):
    return np.flatnonzero(fold.train).tolist(), np.flatnonzero(fold.test).tolist()


uneven = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def drawn(rng, count):
    """Slices at uneven instants; labels begin at or after the decision, end when they like, in any order."""
    ts = np.cumsum(rng.integers(1, 5, count)).astype(np.int64)
    start = ts + rng.integers(0, 4, count)
    return ts, start, start + rng.integers(0, 9, count)


def splitters(rng):
    lookback = int(rng.integers(0, 4))
    return [
        WalkForward(first=20, test=int(rng.integers(1, 9))),
        WalkForward(first=20, test=int(rng.integers(1, 9)), train=int(rng.integers(1, 12))),
        PurgedKFold(folds=int(rng.integers(2, 5)), lookback=lookback),
        Combinatorial(groups=4, tested=int(rng.integers(1, 3)), lookback=lookback),
    ]


@settings(deadline=None, max_examples=40)
@given(uneven)
def test_rule_18_no_interval_that_is_learned_from_touches_one_that_is_tested(rng):
    """Brute force, pair by pair, from the decision to the end of the label."""
    ts, start, end = drawn(rng, 60)
    for splitter in splitters(rng):
        for fold in splitter.folds(ts, start, end):
            for s in np.flatnonzero(fold.train):
                for t in np.flatnonzero(fold.test):
                    assert end[s] < ts[t] or ts[s] > end[t]


@settings(deadline=None, max_examples=40)
@given(uneven)
def test_nothing_is_left_out_without_a_reason(rng):
    """What is in neither part touches a tested interval, or its features look back at one."""
    ts, start, end = drawn(rng, 60)
    lookback = int(rng.integers(0, 4))
    for splitter in (PurgedKFold(folds=3, lookback=lookback), Combinatorial(groups=4, tested=2, lookback=lookback)):
        for fold in splitter.folds(ts, start, end):
            tested = np.flatnonzero(fold.test)
            for s in np.flatnonzero(~fold.train & ~fold.test):
                touches = any(ts[t] <= end[s] and end[t] >= ts[s] for t in tested)
                since = ts[s - lookback] if s >= lookback else -1
                looks_back = lookback > 0 and any(t < s and since < end[t] for t in tested)
                assert touches or looks_back


@settings(deadline=None, max_examples=40)
@given(uneven, st.integers(1, 6))
def test_no_feature_that_is_learned_from_after_a_test_saw_a_tested_label(rng, lookback):
    ts, start, end = drawn(rng, 60)
    for fold in PurgedKFold(folds=3, lookback=lookback).folds(ts, start, end):
        for s in np.flatnonzero(fold.train):
            for t in np.flatnonzero(fold.test):
                if t < s:
                    assert s >= lookback
                    assert ts[s - lookback] >= end[t]  # its oldest bar came after the one that had closed by then


def test_walk_forward_never_learns_from_later_and_tests_each_slice_once():
    ts, start, end = slices(100, 5)
    tested = np.zeros(100, int)
    for fold in WalkForward(first=30, test=9).folds(ts, start, end):
        learned, test = np.flatnonzero(fold.train), np.flatnonzero(fold.test)
        assert end[learned].max() < ts[test[0]]  # known by the first decision
        assert learned.tolist() == list(range(test[0] - 5))
        tested += fold.test
    assert tested.tolist() == [0] * 30 + [1] * 70


def test_a_sliding_window_keeps_its_length_whatever_is_purged():
    ts, start, end = slices(100, 5)
    for fold in WalkForward(first=30, test=10, train=20).folds(ts, start, end):
        first = np.flatnonzero(fold.test)[0]
        assert np.flatnonzero(fold.train).tolist() == list(range(first - 25, first - 5))


@pytest.mark.parametrize(("count", "folds"), [(10, 2), (11, 3), (29, 4)])
def test_k_folds_test_each_slice_once_in_blocks_that_differ_by_one(count, folds):
    found = list(PurgedKFold(folds=folds, lookback=0).folds(*slices(count, 1)))
    assert sum(fold.test for fold in found).tolist() == [1] * count
    sizes = [int(fold.test.sum()) for fold in found]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)
    assert all(np.ptp(np.flatnonzero(fold.test)) == fold.test.sum() - 1 for fold in found)


@pytest.mark.parametrize(("groups", "tested"), [(4, 1), (4, 2), (5, 3), (6, 2), (6, 3)])
def test_combinations_make_the_paths_of_the_formula_and_each_covers_every_slice_once(groups, tested):
    splitter = Combinatorial(groups=groups, tested=tested, lookback=0)
    folds = list(splitter.folds(*slices(5 * groups + 2, 1)))
    assert len(folds) == comb(groups, tested)
    assert splitter.paths == comb(groups, tested) * tested // groups
    number = [np.full((5 * groups + 2, 3), float(k)) for k in range(len(folds))]
    paths = recombined(folds, number)
    assert paths.shape == (splitter.paths, 5 * groups + 2, 3)
    assert np.isfinite(paths).all()
    for one, other in combinations(paths, 2):
        assert (one != other).all()  # no prediction serves two paths
    for k, fold in enumerate(folds):  # and each that was made serves one
        assert ((paths == k).any(axis=(0, 2)) == fold.test).all()


def test_folds_without_paths_are_put_together_as_one():
    folds = list(WalkForward(first=4, test=2).folds(*slices(8, 1)))
    path = recombined(folds, [np.full(8, 1.0), np.full(8, 2.0)])
    np.testing.assert_array_equal(path, [[np.nan] * 4 + [1, 1, 2, 2]])
    with pytest.raises(ValueError, match="fold 1 tests a slice again"):
        recombined([folds[0], folds[0]], [np.zeros(8), np.zeros(8)])


# ---- other libraries -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", PEERS["purged"])
def test_purging_over_uneven_labels_equals_purgedcv(case):
    ts, end = np.array(case["ts"]), np.array(case["ends"])
    count = len(ts)
    first = count - 12
    for splitter, key in (
        (PurgedKFold(folds=case["folds"], lookback=0), "k_fold"),
        (WalkForward(first=first, test=4), "walk"),
        (WalkForward(first=first, test=4, train=5), "slide"),
        (Combinatorial(groups=4, tested=2, lookback=0), "combinatorial"),
    ):
        assert [list(both(fold)) for fold in splitter.folds(ts, ts, end)] == case[key]
    folds = list(Combinatorial(groups=4, tested=2, lookback=0).folds(ts, ts, end))
    numbered = [np.full(count, float(k)) for k in range(len(folds))]
    assert recombined(folds, numbered).astype(int).tolist() == case["paths"]


@pytest.mark.parametrize("case", PEERS["embargoed"])
def test_purge_embargo_and_paths_equal_skfolio_and_purgedcv(case):
    count, horizon = case["slices"], case["horizon"]
    splitter = Combinatorial(groups=case["groups"], tested=2, lookback=99, embargo=case["embargo"])
    folds = list(splitter.folds(*slices(count, horizon)))
    assert [list(both(fold)) for fold in folds] == case["purgedcv"] == case["skfolio"]
    size = count // case["groups"]
    for fold, paths in zip(folds, case["skfolio_paths"], strict=True):
        assert fold.path is not None
        assert fold.path[fold.test][::size].tolist() == paths
    walks = list(WalkForward(first=6 + horizon, test=4, train=6).folds(*slices(count, horizon)))
    walks = [fold for fold in walks if fold.test.sum() == 4]  # skfolio leaves a shorter last one out
    assert [list(both(fold)) for fold in walks] == case["skfolio_walk"]


def test_the_cases_of_the_other_libraries_are_not_all_alike():
    """They purge somewhere, and the embargo matters somewhere."""
    assert {(case["horizon"], case["embargo"]) for case in PEERS["embargoed"]} > {(1, 0)}
    assert any(case["embargo"] > 1 for case in PEERS["embargoed"])
    lost = [len(case["ts"]) - len(train) - len(test) for case in PEERS["purged"] for train, test in case["k_fold"]]
    assert max(lost) > 3


# ---- what is lost, and what is refused -------------------------------------------------------------------------------


def test_the_label_is_lost_before_a_block_and_horizon_and_lookback_behind_it():
    data = walk(iter(market(3, 80)), Rolling(universe=universe_of(("A", "B", "C")), windows=(4,)), 3, day(99))
    fold = list(PurgedKFold(folds=4, lookback=5).folds(data.ts, data.label_from, data.label_to))[1]
    first, last = np.flatnonzero(fold.test)[[0, -1]]
    learned = np.flatnonzero(fold.train)
    assert learned[learned < first].max() == first - 1 - (3 + 1)  # the bar with its last price ends later
    assert learned[learned > last].min() == last + 1 + 3 + 5


def test_an_embargo_of_ones_own_replaces_the_look_back():
    counts = [
        [int(fold.train.sum()) for fold in PurgedKFold(folds=4, lookback=10, embargo=k).folds(*slices(80, 1))]
        for k in (0, 3, 10, None)
    ]
    assert counts[2] == counts[3]
    for less, more in pairwise(counts[:3]):
        assert less[:3] > more[:3]
        assert less[3] == more[3]  # nothing follows the last block


@pytest.mark.parametrize(
    ("make", "count", "said"),
    [
        (lambda: PurgedKFold(folds=3, lookback=60), 60, "fold 0.*no slice left.*embargo"),
        (lambda: PurgedKFold(folds=9, lookback=0), 8, "8 slices cannot be cut into 9"),
        (lambda: WalkForward(first=30, test=5), 30, "30 slices leave nothing to test"),
        (lambda: WalkForward(first=1, test=5), 30, "fold 0.*no slice left"),
    ],
)
def test_a_plan_that_cannot_be_kept_says_why(make, count, said):
    with pytest.raises(DataError, match=said):
        list(make().folds(*slices(count, 2)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: WalkForward(first=0, test=5),
        lambda: WalkForward(first=5, test=5, train=0),
        lambda: PurgedKFold(folds=1, lookback=0),
        lambda: PurgedKFold(lookback=-1),
        lambda: PurgedKFold(lookback=3, embargo=-1),
        lambda: Combinatorial(groups=4, tested=4, lookback=0),
        lambda: Combinatorial(groups=30, tested=15, lookback=0),
    ],
)
def test_options_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="must be|the limit is"):
        make()


def test_labels_that_lie_in_the_past_or_slices_out_of_order_are_refused():
    ts, start, end = slices(20, 1)
    with pytest.raises(ValueError, match="slice 7 .*before"):
        list(PurgedKFold(folds=2, lookback=0).folds(ts, start, np.where(np.arange(20) == 7, ts - 1, end)))
    with pytest.raises(ValueError, match="ts must rise, but slice 1 "):
        list(PurgedKFold(folds=2, lookback=0).folds(ts[::-1], start, end + 99 * DAY))
    with pytest.raises(ValueError, match="of one length, got 20, 20 and 19"):
        list(PurgedKFold(folds=2, lookback=0).folds(ts, start, end[:-1]))
