"""Labels across the names of a slice, against scipy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, zscore

from components.models.labels import ranked, standardised

rows = st.lists(st.one_of(st.integers(-3, 3).map(float), st.just(float("nan"))), min_size=1, max_size=12)


@given(row=rows)
def test_ranks_equal_scipy_and_stay_within_half(row):
    label = np.array([row])
    known = np.isfinite(label[0])
    got = ranked(label)[0]
    assert np.isnan(got[~known]).all()
    if known.sum() > 1:
        wanted = (rankdata(label[0, known]) - 1) / (known.sum() - 1) - 0.5
        np.testing.assert_allclose(got[known], wanted, atol=1e-12)
        assert abs(got[known].mean()) < 1e-12


@given(row=rows)
def test_standard_scores_equal_scipy(row):
    label = np.array([row])
    known = np.isfinite(label[0])
    got = standardised(label)[0]
    assert np.isnan(got[~known]).all()
    if known.any() and np.ptp(label[0, known]) > 0:
        np.testing.assert_allclose(got[known], zscore(label[0, known]), atol=1e-12)
    else:
        assert (got[known] == 0).all()


def test_a_lone_name_is_neither_high_nor_low():
    np.testing.assert_array_equal(ranked(np.array([[np.nan, 7.0]])), [[np.nan, 0.0]])


def test_labels_are_not_changed():
    label = np.array([[3.0, 1.0]])
    label.flags.writeable = False
    ranked(label)
    standardised(label)
