"""Each term costs what its formula says."""

from typing import Any

import numpy as np
import pytest

from components.optimizers.problem import Situation, Term
from components.optimizers.stating import objective, stated, volatilities
from components.optimizers.terms.distance import Distance
from components.optimizers.terms.expected_return import ExpectedReturn
from components.optimizers.terms.half_spread import HalfSpreadCost
from components.optimizers.terms.holding_cost import HoldingCost
from components.optimizers.terms.impact import ImpactCost
from components.optimizers.terms.linear_cost import LinearCost
from components.optimizers.terms.variance import RiskOf
from tests.components.optimizers.placed import covariance, situation


def cost(term: Term, at: Situation, w: np.ndarray) -> float:
    return objective(stated(term.cost(at), at), w)


def returns(n: int = 8, **options: Any) -> ExpectedReturn:
    return ExpectedReturn(universe=situation(n).universe, **options)


def some_weights(n: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, n)


def test_grinold_alpha_is_ic_times_volatility_times_score() -> None:
    at = situation(8)
    z = (at.alpha - at.alpha.mean()) / at.alpha.std()
    a = 0.03 * np.sqrt(np.diag(covariance(at.risk))) * z
    w = some_weights(8)
    assert cost(returns(ic=0.03), at, w) == pytest.approx(-a @ w, rel=1e-12)


def test_raw_alpha_is_taken_as_it_is() -> None:
    at, w = situation(8), some_weights(8)
    assert cost(returns(alpha="raw", weight=2.0), at, w) == pytest.approx(-2.0 * at.alpha @ w)


def test_an_opinion_that_fades_earns_its_mean_over_the_time_held() -> None:
    at, w = situation(8), some_weights(8)
    whole = cost(returns(), at, w)
    faded = cost(returns(half_life=3.0, holding_slices=12.0), at, w)
    grid = np.linspace(0, 12, 200_001)
    assert faded / whole == pytest.approx(np.mean(2.0 ** (-grid / 3.0)), rel=1e-5)


def test_a_name_without_an_opinion_has_no_return_and_is_not_increased() -> None:
    at = situation(4, alpha=np.array([1.0, np.nan, -1.0, np.inf]))
    problem = stated(returns().cost(at), at)
    assert problem.q[1] == 0.0
    assert problem.upper.tolist() == pytest.approx([np.inf, at.w0[1], np.inf, at.w0[3]])
    assert problem.names[problem.upper_by[1]] == "no_alpha"


@pytest.mark.parametrize("alpha", [np.full(4, np.nan), np.full(4, 2.0), np.zeros(4), np.array([1.0, *[np.nan] * 3])])
def test_no_two_opinions_are_no_opinion(alpha: np.ndarray) -> None:
    at = situation(4, alpha=alpha)
    assert (stated(returns().cost(at), at).q == 0).all()


def test_an_exploded_score_is_a_rank_and_no_explosion() -> None:
    at = situation(4, alpha=np.array([1e300, 0.0, -1e300, 1.0]))
    q = stated(returns(ic=0.05).cost(at), at).q
    assert np.isfinite(q).all()
    assert (np.abs(q) <= 0.05 * 2 * volatilities(at.risk)).all()


@pytest.mark.parametrize("about", ["zero", "benchmark", "targets"])
def test_variance_is_half_the_aversion_times_that_of_the_difference(about: str) -> None:
    at, w = situation(6, wanted=np.array([0.5, np.nan, 0.0, 0.1, 0.1, 0.3])), some_weights(6)
    centre = {
        "zero": np.zeros(6),
        "benchmark": at.benchmark,
        "targets": np.where(np.isnan(at.wanted), at.w0, at.wanted),
    }
    x = w - centre[about]
    term = RiskOf(aversion=7.0, about=about)  # type: ignore[arg-type]
    assert cost(term, at, w) == pytest.approx(3.5 * x @ covariance(at.risk) @ x, rel=1e-12)


def test_two_variances_about_two_points_are_both_counted_up_to_a_constant() -> None:
    at = situation(6)
    pieces = (*RiskOf(aversion=2.0).cost(at), *RiskOf(aversion=6.0, about="benchmark").cost(at))
    both = stated(pieces, at)
    S = covariance(at.risk)

    def plain(w: np.ndarray) -> float:
        x = w - at.benchmark
        return float(1.0 * w @ S @ w + 3.0 * x @ S @ x)

    one, other = some_weights(6, 1), some_weights(6, 2)
    assert objective(both, one) - objective(both, other) == pytest.approx(plain(one) - plain(other), rel=1e-10)


def test_costs_of_trading_are_spread_over_the_time_held() -> None:
    at = situation(3, w0=np.array([0.1, 0.2, 0.3]), half_spread=np.array([1e-3, np.nan, 2e-3]))
    w = np.array([0.2, 0.2, 0.1])
    assert cost(LinearCost(buy_bps=5, sell_bps=15, holding_slices=4), at, w) == pytest.approx(
        (0.1 * 5e-4 + 0.2 * 15e-4) / 4
    )
    assert cost(LinearCost(), at, w) == pytest.approx(0.3 * at.rate / 5)
    assert cost(HalfSpreadCost(bps=7, holding_slices=1), at, w) == pytest.approx(0.1 * 1e-3 + 0.2 * 2e-3)


def test_impact_of_a_whole_slice_s_volume_costs_a_volatility_of_its_value() -> None:
    at = situation(3, w0=np.zeros(3), traded=np.array([1e5, 2e5, np.nan]))
    w = np.array([0.1, 0.0, 0.0])  # a million of equity: just what a slice of the first trades
    sigma = volatilities(at.risk)
    assert cost(ImpactCost(coefficient=1.0, holding_slices=1), at, w) == pytest.approx(0.1 * sigma[0])
    unknown = cost(ImpactCost(holding_slices=1), at, np.array([0.0, 0.0, 0.1]))
    assert unknown == pytest.approx(0.1 * sigma[2])  # as thinly traded as the thinnest


def test_holding_costs_what_its_side_costs() -> None:
    rates = np.array([[0.10], [np.nan], [0.03]])
    at = situation(3, references={"borrow": rates}, columns={"borrow": ("rate",)})
    w = np.array([-0.2, -0.1, 0.4])
    term = HoldingCost(long_bps=20, short_bps=50, reference="borrow")
    assert cost(term, at, w) == pytest.approx((0.2 * 0.10 + 0.1 * 50e-4 + 0.4 * 20e-4) / 252)


def test_distance_pulls_toward_the_targets() -> None:
    at, w = situation(4), some_weights(4)
    assert cost(Distance(weight=3.0), at, w) == pytest.approx(1.5 * ((w - at.wanted) ** 2).sum())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: returns(ic=0), "ic must be finite and above 0, got 0"),
        (lambda: returns(alpha="guess"), "alpha must be grinold or raw, got 'guess'"),
        (lambda: RiskOf(aversion=-1), "aversion must be finite and above 0, got -1"),
        (lambda: RiskOf(about="mars"), "about must be one of zero, benchmark, targets, got 'mars'"),  # type: ignore[arg-type]
        (lambda: LinearCost(buy_bps=-1), "buy_bps must be finite and at least 0, got -1"),
        (lambda: LinearCost(holding_slices=0), "holding_slices must be finite and above 0, got 0"),
        (lambda: ImpactCost(coefficient=float("nan")), "coefficient must be finite and above 0, got nan"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(make: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()  # type: ignore[operator]


def test_smoothed_scores_are_an_exponential_mean_made_a_score_again() -> None:
    rng = np.random.default_rng(7)
    alphas = rng.normal(0, 1, (5, 8))
    term, ema = returns(ic=0.1, smooth=2.0), np.zeros(8)
    for alpha in alphas:
        at = situation(8, alpha=alpha)
        ema = ema * 0.5**0.5 + (1 - 0.5**0.5) * (alpha - alpha.mean()) / alpha.std()
        q = stated(term.cost(at), at).q
    expected = 0.1 * volatilities(at.risk) * (ema - ema.mean()) / ema.std()
    np.testing.assert_allclose(q, -expected, atol=1e-15)


def test_smoothed_scores_go_on_where_they_were_saved() -> None:
    whole, first, second = (returns(smooth=3.0) for _ in range(3))
    early, late = situation(8, seed=1), situation(8, seed=2)
    whole.cost(early)
    first.cost(early)
    second.load(first.save())
    assert stated(whole.cost(late), late).q.tobytes() == stated(second.cost(late), late).q.tobytes()
