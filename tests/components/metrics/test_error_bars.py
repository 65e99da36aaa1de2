"""Newey-West errors against statsmodels and arch, closed forms, and against what repeating the experiment shows."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from components.metrics.error_bars import automatic_lags, long_run_variance, mean_of, ratio_of, shared_variance
from components.metrics.signal import coefficient

CASES = json.loads((Path(__file__).parents[2] / "peers" / "evaluation.json").read_text())["newey_west"]


@pytest.mark.parametrize("case", CASES)
def test_errors_with_given_lags_equal_statsmodels(case):
    found = mean_of(np.array(case["x"]), lags=case["lags"])
    assert found.error == pytest.approx(case["error"], rel=1e-10)
    assert found.t == pytest.approx(case["t"], rel=1e-10)


@pytest.mark.parametrize("overlap", [2, 5, 20])
def test_both_tables_tell_the_same_t(overlap):
    x = np.random.default_rng(overlap).normal(0.02, 0.1, 300)
    same, found = coefficient(x, overlap=overlap), mean_of(x, overlap=overlap)
    assert (same.mean, same.t) == (found.value, found.t)


@pytest.mark.parametrize("case", CASES)
def test_automatic_lags_equal_archs_up_to_the_bound(case):
    x = np.array(case["x"])
    assert automatic_lags(x - x.mean()) == min(int(case["automatic"]), int(12 * (len(x) / 100) ** 0.25))


def test_the_cases_ask_for_different_lags():
    assert len({int(case["automatic"]) for case in CASES}) > 3
    assert max(case["lags"] for case in CASES) > 5


def test_overlapping_labels_widen_the_bar_at_least_by_what_they_share():
    x = np.random.default_rng(3).normal(0.02, 0.1, 400)
    smooth = np.convolve(x, np.ones(10) / 10, "valid")
    assert mean_of(smooth, overlap=10).error > 2 * mean_of(smooth, lags=0).error


def test_the_variance_of_shared_labels_counts_every_lag_in_full():
    d = np.random.default_rng(5).normal(size=100)
    d -= d.mean()
    wanted = sum(d[i] * d[j] for i in range(100) for j in range(100) if abs(i - j) < 4) / 100 / (1 - 7 / 100)
    asked = long_run_variance(d, automatic_lags(d))
    assert shared_variance(d, 4) == pytest.approx(max(wanted, asked))
    smooth = np.convolve(d, np.ones(4), "valid")
    smooth -= smooth.mean()
    n = len(smooth)
    wanted = sum(smooth[i] * smooth[j] for i in range(n) for j in range(n) if abs(i - j) < 4) / n / (1 - 7 / n)
    assert shared_variance(smooth, 4) == pytest.approx(wanted)
    assert wanted > long_run_variance(smooth, 3)
    assert shared_variance(d, 1) == asked


def test_a_series_that_asks_for_more_than_its_labels_share_gets_it():
    shocks = np.random.default_rng(6).normal(size=1030)
    slow = np.convolve(shocks, np.ones(30), "valid")  # what the model says stays good or bad for weeks
    slow -= slow.mean()
    assert shared_variance(slow, 2) == long_run_variance(slow, automatic_lags(slow))
    assert shared_variance(slow, 2) > 5 * long_run_variance(slow, 1)


def test_where_nothing_can_be_estimated_labels_count_as_sums_of_independent_returns():
    few = np.array([0.1, -0.2, 0.3, 0.0, -0.1, 0.2])
    d = few - few.mean()
    assert mean_of(few, overlap=3).error == pytest.approx(math.sqrt(3 * (d @ d) / 6 / (1 - 3 / 6) / 5))
    swinging = np.tile([0.1, -0.1], 100)  # whose lags come to less than nothing
    assert shared_variance(swinging, 6) == pytest.approx(6 * 0.01 / (1 - 6 / 200))


@pytest.mark.parametrize("slices", [2, 5])
def test_fewer_slices_than_a_label_spans_have_no_error(slices):
    found = mean_of(np.arange(slices) / 10, overlap=5)
    assert found.slices == slices
    assert math.isnan(found.error)
    assert math.isnan(found.t)
    assert math.isnan(ratio_of(np.arange(slices) / 10, overlap=5).error)


@pytest.mark.parametrize(("overlap", "slices"), [(5, 20), (5, 60), (5, 250), (20, 120), (20, 500)])
def test_bars_of_overlapping_labels_are_as_wide_as_they_say(overlap, slices):
    """Of 400 series whose mean is zero 4.6 in 100 should have a t beyond two; Newey and West's lags give 7 to 20."""
    rng = np.random.default_rng(overlap * slices)
    series = rng.normal(size=(400, slices + overlap - 1))
    beyond = [abs(mean_of(np.convolve(x, np.ones(overlap), "valid"), overlap=overlap).t) > 2 for x in series]
    assert 0.02 < np.mean(beyond) < 0.11


def test_bars_cover_the_truth_as_often_as_they_say():
    """300 series whose neighbours share labels; a plain error bar of two would miss the mean in every third."""
    rng = np.random.default_rng(11)
    missed = plain = 0
    for _ in range(300):
        x = 0.03 + np.convolve(rng.normal(0, 0.1, 504), np.ones(5) / 5, "valid")
        found, naive = mean_of(x, overlap=5), mean_of(x, lags=0)
        missed += abs(found.value - 0.03) > 2 * found.error
        plain += abs(naive.value - 0.03) > 2 * naive.error
    assert missed / 300 < 0.08
    assert plain / 300 > 0.25


def test_the_ratio_of_independent_numbers_has_los_error():
    x = np.random.default_rng(0).normal(0.1, 1, 500)
    found = ratio_of(x, lags=0)
    assert found.value == pytest.approx(x.mean() / x.std(ddof=1))
    assert found.error == pytest.approx(math.sqrt((1 + found.value**2 / 2) / 500))


def test_slices_without_a_value_are_left_out():
    x = np.array([0.1, np.nan, 0.3, np.inf, 0.2])
    assert mean_of(x, lags=1) == mean_of(np.array([0.1, 0.3, 0.2]), lags=1)


@pytest.mark.parametrize("x", [[], [np.nan], [0.5], [0.5, 0.5, 0.5]])
def test_too_little_to_say_has_no_bar_and_no_t(x):
    found = mean_of(np.array(x, float))
    assert math.isnan(found.t)
    assert not found.error > 0
    assert math.isnan(ratio_of(np.array(x, float)).value)
    assert found.slices == np.isfinite(np.array(x, float)).sum()


def test_luck_moves_the_t_and_nothing_else():
    x = np.array([0.0, 1.0, 1.0, 1.0])
    plain, even = mean_of(x, lags=0), mean_of(x, lags=0, luck=0.5)
    assert (plain.value, plain.error) == (even.value, even.error)
    assert even.t == pytest.approx(0.25 / even.error)


def test_the_variance_is_that_of_a_plain_double_sum():
    d = np.random.default_rng(2).normal(size=30)
    wanted = sum((1 - abs(i - j) / 4) * d[i] * d[j] for i in range(30) for j in range(30) if abs(i - j) < 4) / 30
    assert long_run_variance(d, 3) == pytest.approx(wanted)
