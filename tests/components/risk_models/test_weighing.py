"""Weights by age, missing returns and serial correlation, against sums written out."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.risk_models.ewma import Ewma
from components.risk_models.history import Window
from components.risk_models.sample import Sample
from components.risk_models.weighing import Memory, centred, decay, memory, summed
from tests.components.risk_models.made import NAN, closes, dense, fed, names, returns


def test_a_weight_halves_every_half_life() -> None:
    w = decay(31, 10.0)
    assert w.sum() == pytest.approx(1)
    np.testing.assert_allclose(w[10:] / w[:-10], 2.0)
    np.testing.assert_allclose(decay(8, None), 1 / 8)


@pytest.mark.parametrize("demean", [True, False])
def test_ewma_is_the_weighted_sum_that_its_formula_says(demean: bool) -> None:
    r = returns(25, 4)
    found = dense(fed(Ewma(universe=names(4), window=20, min_slices=5, half_life=6, demean=demean), closes(r)).risk())
    expected, total = np.zeros((4, 4)), 0.0
    window = r[-20:]
    weights = [2.0 ** (-(19 - t) / 6) for t in range(20)]
    mean = [sum(w * x[i] for w, x in zip(weights, window, strict=True)) / sum(weights) * demean for i in range(4)]
    for w, x in zip(weights, window, strict=True):
        total += w
        for i in range(4):
            for j in range(4):
                expected[i, j] += w * (x[i] - mean[i]) * (x[j] - mean[j])
    np.testing.assert_allclose(found, expected / total, rtol=1e-9)


def test_volatilities_and_correlations_have_half_lives_of_their_own() -> None:
    r = returns(60, 5)
    how: dict[str, Any] = {"universe": names(5), "window": 60, "min_slices": 5}
    fast, slow = (dense(fed(Ewma(**how, half_life=h), closes(r)).risk()) for h in (5, 40))
    both = dense(fed(Ewma(**how, half_life=5, correlation_half_life=40), closes(r)).risk())
    np.testing.assert_allclose(np.diag(both), np.diag(fast), rtol=1e-12)
    s = [np.sqrt(np.diag(m)) for m in (both, slow)]
    np.testing.assert_allclose(both / np.outer(s[0], s[0]), slow / np.outer(s[1], s[1]), rtol=1e-10)


def test_the_sample_covariance_has_divisor_t() -> None:
    r = returns(30, 4)
    found = dense(fed(Sample(universe=names(4), window=20, min_slices=5), closes(r)).risk())
    np.testing.assert_allclose(found, np.cov(r[-20:].T, ddof=0), rtol=1e-9)


def test_a_missing_return_counts_as_the_mean_and_the_variance_stays() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 5))
    rows[rng.random(rows.shape) < 0.3] = NAN
    y = centred(rows, decay(40, 12.0))
    for i in range(5):
        known = np.isfinite(rows[:, i])
        w = decay(40, 12.0)[known] / decay(40, 12.0)[known].sum()
        x = rows[known, i]
        assert y[:, i] @ y[:, i] == pytest.approx(w @ (x - w @ x) ** 2)
        assert (y[~known, i] == 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9999), st.integers(0, 6), st.integers(2, 20), st.integers(1, 4))
def test_sums_of_neighbours_are_newey_and_wests_sum(seed: int, lags: int, slices: int, n: int) -> None:
    y = np.random.default_rng(seed).normal(size=(slices, n))
    z = summed(y, lags)
    expected = y.T @ y
    for lag in range(1, min(lags, slices - 1) + 1):
        gamma = sum(np.outer(y[t], y[t - lag]) for t in range(lag, slices))
        expected = expected + (1 - lag / (lags + 1)) * (gamma + gamma.T)
    np.testing.assert_allclose(z.T @ z, expected, atol=1e-10)


@pytest.mark.parametrize("phi", [0.4, -0.4])
def test_lags_find_the_long_run_variance_of_autocorrelated_returns(phi: float) -> None:
    rng = np.random.default_rng(4)
    r = np.zeros(60_000)
    for t in range(1, len(r)):
        r[t] = phi * r[t - 1] + rng.normal()
    short, long = 1 / (1 - phi**2), 1 / (1 - phi) ** 2
    assert Memory().variances(r[:, None])[0] == pytest.approx(short, rel=0.03)
    assert Memory(lags=60).variances(r[:, None])[0] == pytest.approx(long, rel=0.06)
    assert Memory(lags=60).covariance(np.stack([r, r], axis=1))[0, 1] == pytest.approx(long, rel=0.06)


def test_a_model_with_lags_sees_what_a_slice_does_to_the_next() -> None:
    rng = np.random.default_rng(1)
    shock = rng.normal(0, 0.01, (400, 3))
    r = shock[1:] + 0.6 * shock[:-1]  # the long-run variance is (1 + 0.6)^2, that of a slice 1 + 0.6^2
    plain, lagged = (
        np.diag(dense(fed(Sample(universe=names(3), window=399, lags=lags), closes(r)).risk())).mean()
        for lags in (0, 10)
    )
    assert plain == pytest.approx(1.36e-4, rel=0.15)
    assert lagged == pytest.approx(2.56e-4, rel=0.25)


def test_a_window_keeps_the_last_rows_in_order_however_long_it_runs() -> None:
    window = Window(3, 2)
    for k in range(20):
        window.push(np.array([k, NAN if k % 5 < 2 else -k], float))
        assert window.counts.tolist() == np.isfinite(window.rows()).sum(axis=0).tolist()
        assert window.rows()[:, 0].tolist() == [float(j) for j in range(max(0, k - 2), k + 1)]
        again = Window(3, 2)
        again.restore(window.rows())
        again.push(np.array([99.0, 0]))
        assert again.rows()[-1, 0] == 99
        np.testing.assert_array_equal(again.rows()[:-1], window.rows()[-2:])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: memory("factor_", 0.0), "factor_half_life must be above 0 slices, got 0.0; leave it out to weigh"),
        (lambda: memory("", 3.0, NAN), "correlation_half_life must be above 0 slices, got nan"),
        (lambda: Ewma(universe=names(2), half_life=-1), "half_life must be above 0 slices, got -1"),
        (
            lambda: Sample(universe=names(2), window=50, lags=50),
            r"lags must be between 0 and window - 1 \(49\), got 50",
        ),
        (lambda: Ewma(universe=names(2), lags=-1), "lags must be between 0 and window - 1"),
    ],
)
def test_bounds_are_checked(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
