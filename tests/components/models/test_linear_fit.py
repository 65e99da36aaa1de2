"""Linear regression from sums, against scikit-learn on the rows themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso, LinearRegression, Ridge

from components.models.linear_fit import plane, summed


def rows(count: int = 300, width: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Correlated features of several sizes, labels, weights."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, width)) @ rng.normal(size=(width, width)) * 10.0 ** rng.integers(-2, 3, width)
    x = (x + rng.normal(size=width)).astype(np.float32)
    z = (x - x.mean(0)) / x.std(0)
    y = z @ rng.normal(size=width) + rng.normal(size=count) + 3.0
    return x, y, rng.random(count) + 0.1


def standardised(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    mean = np.average(x, axis=0, weights=w)
    return (x - mean) / np.sqrt(np.average((x - mean) ** 2, axis=0, weights=w))


ORACLES = {
    "ols": lambda count, alpha: LinearRegression(),
    "nnls": lambda count, alpha: LinearRegression(positive=True),
    "ridge": lambda count, alpha: Ridge(alpha=alpha * count),
    "lasso": lambda count, alpha: Lasso(alpha=alpha, tol=1e-12, max_iter=100_000),
}


@settings(max_examples=25, deadline=None)
@given(kind=st.sampled_from(list(ORACLES)), seed=st.integers(0, 10**6), alpha=st.sampled_from([0.01, 0.1, 1.0]))
def test_answers_are_those_of_scikit_learn_on_standardised_features(kind, seed, alpha):
    x, y, w = rows(seed=seed)
    z, even = standardised(x, w), w / w.mean()
    oracle = ORACLES[kind](len(x), alpha).fit(z, y, sample_weight=even)
    found = plane(summed(x, y, w, True), kind, alpha).answers(x)
    np.testing.assert_allclose(found, oracle.predict(z), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["ridge", "lasso"])
def test_features_are_taken_as_they_are_where_they_are_not_to_be_scaled(kind):
    x, y, _ = rows()
    oracle = ORACLES[kind](len(x), 0.05).fit(x.astype(float), y)
    found = plane(summed(x, y, None, False), kind, 0.05).answers(x)
    np.testing.assert_allclose(found, oracle.predict(x.astype(float)), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", list(ORACLES))
def test_a_weight_of_two_is_the_row_twice(kind):
    x, y, _ = rows(120)
    twice = np.arange(120) % 3 == 0
    weighed = plane(summed(x, y, 1.0 + twice, True), kind, 0.1)
    repeated = plane(summed(np.concatenate([x, x[twice]]), np.concatenate([y, y[twice]]), None, True), kind, 0.1)
    np.testing.assert_allclose(weighed.answers(x), repeated.answers(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", list(ORACLES))
def test_a_row_has_the_same_bits_in_whatever_company_it_comes(kind):
    x, y, _ = rows(400, 40)
    x[np.random.default_rng(1).random(x.shape) < 0.1] = np.nan
    found = plane(summed(x, y, None, True), kind, 0.1)
    whole = found.answers(x)
    for part in (slice(0, 1), slice(3, 10), slice(100, 317)):
        np.testing.assert_array_equal(found.answers(x[part]).view(np.int64), whole[part].view(np.int64))
    np.testing.assert_array_equal(found.answers(np.asfortranarray(x)), whole)


@pytest.mark.parametrize("kind", list(ORACLES))
def test_columns_that_say_nothing_change_nothing(kind):
    """Constant, never known, and infinite ones."""
    x, y, _ = rows()
    more = np.column_stack([x, np.full(len(x), 0.1), np.full(len(x), np.nan), np.full(len(x), np.inf)]).astype(
        np.float32
    )
    plain, with_more = plane(summed(x, y, None, True), kind, 0.1), plane(summed(more, y, None, True), kind, 0.1)
    np.testing.assert_array_equal(with_more.slope[-3:], 0.0)
    np.testing.assert_allclose(with_more.answers(more), plain.answers(x), rtol=1e-6)


def test_a_column_given_twice_shares_its_slope():
    x, y, _ = rows(width=2)
    once, twice = (plane(summed(c, y, None, True), "ols", 0.0) for c in (x, np.column_stack([x, x[:, 0]])))
    np.testing.assert_allclose(twice.slope[[0, 2]], once.slope[0] / 2, rtol=1e-6)


def test_a_missing_value_stands_at_the_mean():
    x, y, _ = rows()
    found = plane(summed(x, y, None, True), "ols", 0.0)
    holed, meant = x[:1].copy(), x[:1].astype(np.float64)
    holed[0, 2], meant[0, 2] = np.nan, found.mean[2]
    np.testing.assert_allclose(found.answers(holed), found.answers(meant), rtol=1e-12)


@pytest.mark.parametrize("kind", list(ORACLES))
def test_labels_and_features_that_never_move_give_the_mean(kind):
    x, y, _ = rows()
    assert not plane(summed(x, np.full(len(x), 2.0), None, True), kind, 0.1).slope.any()
    still = plane(summed(np.ones_like(x), y, None, True), kind, 0.1)
    np.testing.assert_allclose(still.answers(x), y.mean())
