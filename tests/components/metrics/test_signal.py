"""Information coefficients against SciPy, plain loops and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr

from components.metrics.signal import PAIRS_MIN, both, coefficient, pearson, ranks, spearman


def noisy(rows: int, names: int, *, ties: bool, holes: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(rows, names)), rng.normal(size=(rows, names))
    if ties:
        x, y = x.round(0), y.round(1)
    x[rng.random(x.shape) < holes] = np.nan
    y[rng.random(y.shape) < holes] = np.nan
    return x, y


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_both_coefficients_equal_scipy_row_by_row(ties: bool, holes: float) -> None:
    x, y = noisy(40, 25, ties=ties, holes=holes)
    ic, rank_ic, names = both(x, y)
    for t in range(len(x)):
        known = np.isfinite(x[t]) & np.isfinite(y[t])
        assert names[t] == known.sum()
        assert ic[t] == pytest.approx(pearsonr(x[t][known], y[t][known])[0], abs=1e-12)
        assert rank_ic[t] == pytest.approx(spearmanr(x[t][known], y[t][known])[0], abs=1e-12)
    np.testing.assert_array_equal(ic, pearson(x, y))
    np.testing.assert_array_equal(rank_ic, spearman(x, y))


@given(st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=1, max_size=5))
def test_equal_values_share_the_mean_of_their_ranks(rows: list[list[int]]) -> None:
    x = np.array(rows, float)
    np.testing.assert_array_equal(ranks(x), np.array([rankdata(row) for row in x]))


@given(st.integers(0, 2**32 - 1))
def test_shuffling_the_names_changes_no_coefficient(seed: int) -> None:
    x, y = noisy(3, 12, ties=True, holes=0.2, seed=seed)
    order = np.random.default_rng(seed).permutation(12)
    np.testing.assert_allclose(both(x, y), both(x[:, order], y[:, order]), atol=1e-12)


def test_a_monotone_change_of_the_signal_leaves_the_rank_coefficient() -> None:
    x, y = noisy(10, 30, ties=False, holes=0.1)
    np.testing.assert_allclose(spearman(x, y), spearman(np.exp(3 * x), y), atol=1e-14)


@pytest.mark.parametrize("constant", [0.1, 0.0, 1e9])
def test_a_constant_side_has_no_coefficient(constant: float) -> None:
    x = np.full((1, 10), constant)
    y = np.arange(10.0)[None]
    assert np.isnan(pearson(x, y)).all()
    assert np.isnan(spearman(y, x)).all()


def test_too_few_pairs_have_no_coefficient() -> None:
    x = np.full((1, 8), np.nan)
    x[0, : PAIRS_MIN - 1] = np.arange(PAIRS_MIN - 1)
    ic, rank_ic, names = both(x, np.arange(8.0)[None])
    assert np.isnan(ic[0])
    assert np.isnan(rank_ic[0])
    assert names[0] == PAIRS_MIN - 1


def test_infinite_values_are_no_opinion() -> None:
    x = np.array([[1.0, 2.0, 3.0, np.inf]])
    assert pearson(x, np.array([[1.0, 2.0, 3.0, -9.0]]))[0] == pytest.approx(1.0)


def test_no_slice_and_no_name_give_no_coefficient() -> None:
    assert len(both(np.empty((0, 5)), np.empty((0, 5)))[0]) == 0
    assert np.isnan(both(np.empty((2, 0)), np.empty((2, 0)))[1]).all()


def test_the_t_statistic_of_a_horizon_of_one_is_the_plain_one() -> None:
    ic = np.random.default_rng(1).normal(0.05, 0.1, 300)
    ic[::7] = np.nan
    known = ic[~np.isnan(ic)]
    found = coefficient(ic)
    assert found.slices == len(known)
    assert found.t == pytest.approx(known.mean() / (known.std(ddof=1) / math.sqrt(len(known))))
    assert found.ratio == pytest.approx(known.mean() / known.std(ddof=1))


def test_overlapping_horizons_make_the_same_mean_worth_less() -> None:
    shocks = np.random.default_rng(2).normal(size=2004)
    ic = 0.3 + np.convolve(shocks, np.ones(5) / 5, "valid")  # labels of five slices share four of them
    plain, aware = coefficient(ic).t, coefficient(ic, overlap=5).t
    assert plain / aware == pytest.approx(math.sqrt(5), rel=0.05)


def test_the_error_of_shared_labels_equals_the_plain_loop() -> None:
    ic = np.random.default_rng(3).normal(0.1, 1, 50)
    ic[1:] += ic[:-1].copy()
    n, lags, d = len(ic), 3, ic - ic.mean()
    spread = sum(d[t] ** 2 for t in range(n)) / n
    for lag in range(1, lags):
        spread += 2 * sum(d[t] * d[t - lag] for t in range(lag, n)) / n
    spread /= 1 - (2 * lags - 1) / n
    assert coefficient(ic, overlap=lags).t == pytest.approx(ic.mean() / math.sqrt(spread / (n - 1)))


def test_nothing_is_said_of_fewer_than_two_slices() -> None:
    assert math.isnan(coefficient(np.array([np.nan])).mean)
    assert coefficient(np.array([0.2, np.nan])).mean == 0.2
    assert math.isnan(coefficient(np.array([0.2])).t)
    assert math.isnan(coefficient(np.array([0.2, 0.2])).t)
