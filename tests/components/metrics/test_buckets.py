"""Buckets, their returns and their turnover, against plain loops and pandas."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from components.metrics.buckets import (
    bucket_means,
    buckets,
    forward,
    less_mean,
    monotonicity,
    rank_autocorrelation,
    share_of,
    turnover,
)


def noisy(rows, names, *, holes=0.2, ties=False, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(rows, names)), rng.normal(size=(rows, names))
    x = x.round(0) if ties else x
    x[rng.random(x.shape) < holes] = np.nan
    y[rng.random(y.shape) < holes] = np.nan
    return x, y


def plain_bucket(row, count):
    """The bucket of each name, one by one."""
    known = [i for i in range(len(row)) if math.isfinite(row[i])]
    place = [-1] * len(row)
    if len(known) >= count:
        for i, rank in zip(known, rankdata([row[i] for i in known]), strict=True):
            place[i] = math.floor((rank - 0.5) * count / len(known) + 1e-9)
    return place


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_buckets_and_their_means_equal_plain_loops(count, ties):
    x, y = noisy(40, 23, ties=ties)
    found = buckets(x, count)
    assert found.tolist() == [plain_bucket(row, count) for row in x]
    means = bucket_means(found, y, count)
    for t in range(40):
        for b in range(count):
            inside = [y[t, i] for i in range(23) if found[t, i] == b and math.isfinite(y[t, i])]
            assert means[t, b] == pytest.approx(np.mean(inside) if inside else math.nan, nan_ok=True)


def test_buckets_of_different_scores_equal_those_of_pandas():
    """Where the names divide evenly there is one way to cut them."""
    x, _ = noisy(20, 30, holes=0.0)
    for row, found in zip(x, buckets(x, 5), strict=True):
        assert found.tolist() == pd.qcut(row, 5, labels=False).tolist()


@given(st.lists(st.integers(0, 3), min_size=5, max_size=12), st.integers(2, 5))
def test_the_order_of_the_universe_decides_nothing(values, count):
    x = np.array([values], float)
    found = buckets(x, count)[0]
    order = np.random.default_rng(0).permutation(len(values))
    assert buckets(x[:, order], count)[0].tolist() == found[order].tolist()
    for a in range(len(values)):  # equal scores together, higher ones never lower
        for b in range(len(values)):
            assert found[a] == found[b] or values[a] != values[b]
            assert found[a] <= found[b] or values[a] > values[b]


def test_a_score_that_says_nothing_has_neither_top_nor_bottom():
    x = np.ones((1, 20))
    assert set(buckets(x, 5)[0].tolist()) == {2}
    means = bucket_means(buckets(x, 5), np.arange(20.0)[None], 5)
    assert np.isnan(means[0, [0, 4]]).all()


def test_whether_a_label_will_be_known_moves_no_name():
    """Names that later vanish were ranked with the others when the scores were made."""
    x, y = noisy(5, 20, holes=0.0)
    y[:, :8] = np.nan
    assert (np.bincount(buckets(x, 5).ravel(), minlength=5) == 20).all()
    assert np.isfinite(bucket_means(buckets(x, 2), y, 2)).all()


def test_fewer_names_than_buckets_have_none():
    x = np.full((1, 9), np.nan)
    x[0, :4] = range(4)
    assert buckets(x, 5).max() == -1
    assert buckets(x, 4)[0, :4].tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="at least 2"):
        buckets(x, 1)


def test_infinite_scores_are_no_opinion():
    assert buckets(np.array([[1.0, np.inf, -np.inf, 2.0]]), 2).tolist() == [[0, -1, -1, 1]]


@pytest.mark.parametrize("means", [[0.0, 0.1, 0.2], [0.3, 0.2, 0.1], [0.1, 0.3, 0.2, 0.3]])
def test_monotonicity_is_scipys_rank_correlation(means):
    assert monotonicity(np.array(means)) == pytest.approx(spearmanr(means, range(len(means)))[0])


def test_monotonicity_of_two_buckets_or_of_an_unknown_one_is_unknown():
    assert math.isnan(monotonicity(np.array([0.0, 0.1])))
    assert math.isnan(monotonicity(np.array([0.0, np.nan, 0.1])))


@pytest.mark.parametrize("lag", [1, 3])
def test_turnover_and_autocorrelation_equal_plain_loops(lag):
    x, _ = noisy(30, 15)
    top = buckets(x, 5) == 4
    went, same = turnover(top, lag), rank_autocorrelation(x, lag)
    assert len(went) == len(same) == 30 - lag
    for t in range(lag, 30):
        now, before = set(np.flatnonzero(top[t])), set(np.flatnonzero(top[t - lag]))
        assert went[t - lag] == pytest.approx(len(now - before) / len(now))
        known = np.isfinite(x[t]) & np.isfinite(x[t - lag])
        assert same[t - lag] == pytest.approx(spearmanr(x[t][known], x[t - lag][known])[0])


def test_turnover_from_or_to_nothing_is_unknown():
    inside = np.array([[False, False], [True, False], [False, False], [True, True], [True, False]])
    np.testing.assert_array_equal(turnover(inside), [np.nan, np.nan, np.nan, 0.0])
    assert len(turnover(inside[:1])) == 0


def test_labels_over_more_slices_compound_those_over_one():
    rng = np.random.default_rng(0)
    opens = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (40, 4)), axis=0))
    one = opens[1:] / opens[:-1] - 1
    for horizon in (1, 2, 7):
        found = forward(one, horizon)
        np.testing.assert_allclose(found[: 40 - horizon], opens[horizon:] / opens[:-horizon] - 1)
        assert np.isnan(found[40 - horizon :]).all()
    one[10, 2] = np.nan
    assert np.flatnonzero(np.isnan(forward(one, 3)[:30, 2])).tolist() == [8, 9, 10]
    assert np.isnan(forward(one, 99)).all()


def test_what_a_slice_lacks_is_in_no_mean_and_no_share():
    x = np.array([[1.0, np.nan, 3.0], [np.nan, np.inf, np.nan]])
    np.testing.assert_array_equal(less_mean(x), [[-1, np.nan, 1], [np.nan] * 3])
    np.testing.assert_array_equal(share_of(x > 1, np.isfinite(x)), [0.5, np.nan])
