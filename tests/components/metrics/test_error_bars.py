"""Newey-West errors against statsmodels and arch, closed forms, and against what repeating the experiment shows."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from components.metrics.error_bars import automatic_lags, long_run_variance, mean_of, ratio_of
from components.metrics.signal import coefficient

CASES = json.loads((Path(__file__).parents[2] / "peers" / "evaluation.json").read_text())["newey_west"]


@pytest.mark.parametrize("case", CASES)
def test_errors_with_given_lags_equal_statsmodels(case):
    found = mean_of(np.array(case["x"]), lags=case["lags"])
    assert found.error == pytest.approx(case["error"], rel=1e-10)
    assert found.t == pytest.approx(case["t"], rel=1e-10)
    same = coefficient(np.array(case["x"]), overlap=case["lags"] + 1)
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
    alike = np.tile([0.1, -0.1], 100) + 0.01  # asks for none
    assert mean_of(alike, overlap=6).error == mean_of(alike, lags=max(5, automatic_lags(alike - 0.01))).error


def test_bars_cover_the_truth_as_often_as_they_say():
    """300 series whose neighbours share labels; a plain error bar of two would miss the mean in every third."""
    rng = np.random.default_rng(11)
    missed = plain = 0
    for _ in range(300):
        x = 0.03 + np.convolve(rng.normal(0, 0.1, 504), np.ones(5) / 5, "valid")
        found, naive = mean_of(x, overlap=5), mean_of(x, lags=0)
        missed += abs(found.value - 0.03) > 2 * found.error
        plain += abs(naive.value - 0.03) > 2 * naive.error
    assert missed / 300 < 0.10
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
