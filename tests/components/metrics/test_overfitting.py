"""Probabilistic and deflated Sharpe ratio and CSCV against the papers' examples and purgedcv 0.1.11."""

import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from components.metrics.overfitting import (
    Track,
    deflated_sharpe,
    expected_best,
    minimum_track,
    overfitting,
    probabilistic_sharpe,
    track_of,
)

PEERS = json.loads((Path(__file__).parents[2] / "peers" / "evaluation.json").read_text())


def test_the_fund_of_the_paper_is_less_certain_than_a_normal_one():
    """24 months, yearly Sharpe ratio 1.59, skewness -2.448, kurtosis 10.164: 0.982 if normal, 0.913 as it is."""
    assert probabilistic_sharpe(Track(sharpe=0.458, slices=24)) == pytest.approx(0.982, abs=5e-4)
    shaped = Track(sharpe=0.458, slices=24, skew=-2.448, kurtosis=10.164 - 3)
    assert probabilistic_sharpe(shaped) == pytest.approx(0.913, abs=5e-4)


@pytest.mark.parametrize(("slices_a_year", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_years_to_tell_a_sharpe_ratio_of_two_from_one(slices_a_year, years):
    root = math.sqrt(slices_a_year)
    found = minimum_track(Track(sharpe=2 / root, slices=0), 1 / root, 0.95) / slices_a_year
    assert found == pytest.approx(years, abs=0.005)


@pytest.mark.parametrize(("trials", "deflated"), [(46, 0.9505), (100, 0.9004)])
def test_the_strategy_of_the_paper_is_deflated_by_its_trials(trials, deflated):
    """Yearly Sharpe ratio 2.5 over 1250 days, skewness -3, kurtosis 10; yearly variance of the trials 1/2."""
    track = Track(sharpe=2.5 / math.sqrt(250), slices=1250, skew=-3, kurtosis=7)
    assert deflated_sharpe(track, trials, 0.5 / 250) == pytest.approx(deflated, abs=2e-4)


def test_the_best_of_a_hundred_worthless_trials_is_what_the_paper_says():
    assert expected_best(100, 0.5 / 250) == pytest.approx(0.1132, abs=5e-5)


@pytest.mark.parametrize("case", PEERS["sharpe"])
def test_figures_equal_purgedcv(case):
    track = Track(sharpe=case["sharpe"], slices=case["slices"], skew=case["skew"], kurtosis=case["kurtosis"] - 3)
    assert probabilistic_sharpe(track, case["benchmark"]) == pytest.approx(case["probabilistic"], rel=1e-9)
    assert expected_best(case["trials"], case["variance"]) == pytest.approx(case["expected"], rel=1e-9)
    assert deflated_sharpe(track, case["trials"], case["variance"]) == pytest.approx(case["deflated"], rel=1e-9)
    better = Track(sharpe=abs(track.sharpe) + 0.03, slices=0, skew=track.skew, kurtosis=track.kurtosis)
    assert 1 + math.ceil(minimum_track(better, case["benchmark"]) - 1) == case["minimum"]


def test_the_expected_best_is_that_of_simulated_trials():
    rng = np.random.default_rng(0)
    best = rng.normal(0, 0.03, (4000, 50)).max(axis=1).mean()
    assert expected_best(50, 0.03**2) == pytest.approx(best, rel=0.02)


def test_a_track_as_long_as_the_minimum_reaches_the_confidence():
    track = Track(sharpe=0.08, slices=0, skew=-0.5, kurtosis=2.0)
    needed = minimum_track(track, 0.01, 0.95)
    long = Track(sharpe=0.08, slices=math.ceil(needed), skew=-0.5, kurtosis=2.0)
    short = Track(sharpe=0.08, slices=math.ceil(needed) - 1, skew=-0.5, kurtosis=2.0)
    assert probabilistic_sharpe(short, 0.01) < 0.95 <= probabilistic_sharpe(long, 0.01)
    assert minimum_track(track, 0.08) == math.inf


def test_more_trials_or_wilder_ones_never_raise_the_deflated_ratio():
    track = Track(sharpe=0.1, slices=1000)
    by_trials = [deflated_sharpe(track, n, 0.001) for n in (1, 2, 10, 100, 1000)]
    assert by_trials == sorted(by_trials, reverse=True)
    assert by_trials[0] == probabilistic_sharpe(track)
    assert deflated_sharpe(track, 10, 0.004) < deflated_sharpe(track, 10, 0.001)


def test_moments_are_those_of_scipy():
    from scipy.stats import kurtosis, skew

    r = np.random.default_rng(1).standard_t(5, 300)
    found = track_of(np.append(r, np.nan))
    assert found.skew == pytest.approx(skew(r))
    assert found.kurtosis == pytest.approx(kurtosis(r))
    assert found.sharpe == pytest.approx(r.mean() / r.std(ddof=1))
    assert found.slices == 300
    assert math.isnan(track_of(np.full(9, 0.01)).sharpe)


@pytest.mark.parametrize(("trials", "variance"), [(0, 0.1), (5, -0.1), (5, math.nan)])
def test_a_search_that_cannot_have_been_is_refused(trials, variance):
    with pytest.raises(ValueError, match="count every run"):
        expected_best(trials, variance)


# ---- overfitting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", PEERS["overfitting"])
def test_cscv_equals_purgedcv(case):
    found = overfitting(np.array(case["returns"]).T, case["blocks"])
    assert found.choices == case["choices"]
    assert found.probability == case["probability"]
    np.testing.assert_allclose(found.logits, case["logits"], rtol=1e-9, atol=1e-12)
    assert found.slope == pytest.approx(case["slope"], rel=1e-8)


def test_cscv_equals_a_plain_loop_over_a_thousand_choices():
    """More choices than are looked at together."""
    returns = np.random.default_rng(5).normal(0.001, 0.01, (60, 5))
    blocks = np.array_split(np.arange(60), 14)
    wanted = []
    for chosen in combinations(range(14), 7):
        out = np.concatenate([blocks[k] for k in chosen])
        inside = np.delete(returns, out, axis=0)
        outside = returns[out]
        best = np.argmax(inside.mean(axis=0) / inside.std(axis=0, ddof=1))
        ratio = outside.mean(axis=0) / outside.std(axis=0, ddof=1)
        wanted.append((np.sum(ratio <= ratio[best]) / 6, ratio[best]))
    rank, best_out = np.array(wanted).T
    found = overfitting(returns, 14)
    assert found.choices == 3432
    np.testing.assert_allclose(found.logits, np.log(rank / (1 - rank)), atol=1e-12)
    assert found.loss == (best_out < 0).mean()


def test_skill_is_told_from_search():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.01, (400, 20))
    skilled = noise.copy()
    skilled[:, 3] += 0.003
    assert overfitting(skilled, 8).probability == 0.0
    assert overfitting(noise, 8).probability > 0.3


def test_a_trial_that_never_trades_wins_nothing():
    returns = np.random.default_rng(0).normal(-0.01, 0.01, (64, 3))
    returns[:, 1] = 0.0
    found = overfitting(returns, 4)
    assert found.loss == 0.0  # zero is best in sample, and zero out of sample
    assert found.probability == 0.0


@pytest.mark.parametrize(
    ("shape", "blocks", "said"),
    [((40, 1), 4, "at least two trials"), ((40, 3), 5, "even"), ((7, 3), 4, "too few"), ((40, 3), 22, "from 2 to 20")],
)
def test_what_cannot_be_cut_is_refused(shape, blocks, said):
    with pytest.raises(ValueError, match=said):
        overfitting(np.zeros(shape), blocks)


def test_an_unknown_return_is_named():
    returns = np.zeros((40, 3))
    returns[7, 2] = np.nan
    with pytest.raises(ValueError, match="trial 2 in slice 7"):
        overfitting(returns, 4)
