"""From scores to weights: sums, caps, invariances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.strategies.weights import (
    capped,
    checked_cap,
    checked_gross,
    scaled,
    softmax,
    standard,
    two_legs,
)

POSITIVE = st.lists(st.floats(0.0, 100.0), min_size=1, max_size=12).map(np.array)
SIGNED = st.lists(st.floats(-100.0, 100.0), min_size=1, max_size=12).map(np.array)


@given(weight=POSITIVE, cap=st.floats(0.01, 1.0))
def test_a_cap_holds_and_loses_nothing_that_still_fits(weight: np.ndarray, cap: float) -> None:
    total = weight.sum()
    weight = weight / total if total > 0 else weight
    out = capped(weight, cap)
    assert (out <= cap * (1 + 1e-12)).all()
    assert (out[weight == 0] == 0).all()
    assert out.sum() == pytest.approx(min(weight.sum(), cap * np.count_nonzero(weight)), abs=1e-9)
    order = np.argsort(weight, kind="stable")
    assert (np.diff(out[order]) >= -1e-12).all()  # a larger weight stays no smaller


def test_a_cap_that_no_name_meets_changes_nothing() -> None:
    weight = np.array([0.2, 0.5, 0.3])
    assert capped(weight, 0.5).tolist() == weight.tolist()


@given(raw=SIGNED, long=st.floats(0.1, 2.0), short=st.floats(0.0, 2.0), cap=st.floats(0.02, 3.0))
def test_legs_have_their_sums_or_shrink_together(raw: np.ndarray, long: float, short: float, cap: float) -> None:
    out = two_legs(raw, long, short, cap)
    up, down = np.maximum(out, 0).sum(), np.maximum(-out, 0).sum()
    assert np.isfinite(out).all()
    assert (np.abs(out) <= cap * (1 + 1e-9)).all()
    assert up <= long * (1 + 1e-9)
    if short > 0:
        assert up * short == pytest.approx(down * long, rel=1e-9, abs=1e-9)
    if (raw > 0).any() and (short == 0 or (raw < 0).any()) and cap == 3.0:
        assert up == pytest.approx(long)
    assert (out * raw >= 0).all()


def test_legs_without_names_on_one_side_are_empty() -> None:
    assert two_legs(np.array([1.0, 2.0]), 0.5, 0.5, np.inf).tolist() == [0.0, 0.0]
    assert two_legs(np.array([1.0, 1.0]), 1.0, 0.0, np.inf).tolist() == [0.5, 0.5]


def test_exploded_scores_stay_in_proportion() -> None:
    out = two_legs(np.array([1e300, 1e300, -1e305, 5e-324]), 0.5, 0.5, np.inf)
    np.testing.assert_allclose(out, [0.25, 0.25, -0.5, 0.0])
    np.testing.assert_allclose(standard(np.array([1e308, -1e308, 0.0])), [1.0, -1.0, 0.0])
    assert scaled(np.zeros(2)).tolist() == [0.0, 0.0]
    assert softmax(np.array([1e308, -1e308]), 1.0).tolist() == [1.0, 0.0]


@given(score=st.lists(st.integers(-50, 50), min_size=3, max_size=9).map(lambda x: np.array(x, float)))
def test_z_scores_know_neither_unit_nor_level_and_softmax_no_level(score: np.ndarray) -> None:
    np.testing.assert_allclose(standard(score * 7.0 + 3.0), standard(score), atol=1e-9)
    np.testing.assert_allclose(softmax(score + 11.0, 3.0), softmax(score, 3.0), rtol=1e-9)
    assert softmax(score, 3.0).sum() == pytest.approx(1.0)


def test_z_scores_equal_those_of_pandas() -> None:
    import pandas as pd

    score = np.array([0.3, -1.0, 2.0, 0.7])
    series = pd.Series(score)
    np.testing.assert_allclose(standard(score), (series - series.mean()) / series.std())
    assert standard(np.array([2.0, 2.0])).tolist() == [0.0, 0.0]
    assert standard(np.array([2.0])).tolist() == [0.0]


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="gross must be above 0 and at most 10"):
        checked_gross(0.0)
    with pytest.raises(ValueError, match=r"net must be between -gross and gross \(1\), got 2"):
        checked_gross(1.0, 2.0)
    with pytest.raises(ValueError, match="max_weight must be above 0"):
        checked_cap(-0.1)
    assert checked_cap(None) == np.inf
