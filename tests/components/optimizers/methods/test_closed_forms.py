"""Methods against closed forms and the tables of the papers they come from."""

import numpy as np
import pytest

from components.optimizers.methods.black_litterman import BlackLitterman, View
from components.optimizers.methods.hrp import Hrp
from components.optimizers.methods.inverse_volatility import InverseVolatility
from components.optimizers.methods.max_diversification import MaxDiversification
from components.optimizers.methods.max_sharpe import MaxSharpe
from components.optimizers.methods.minimum_variance import MinimumVariance
from components.optimizers.methods.risk_parity import RiskParity
from tests.components.optimizers.methods.made import correlated, dense, factor_risk, risk_of, situation, solved

MAILLARD = correlated([0.1, 0.2, 0.3, 0.4], [[1, 0.8, 0, 0], [0.8, 1, 0, 0], [0, 0, 1, -0.5], [0, 0, -0.5, 1]])
RONCALLI = correlated([0.30, 0.20, 0.15], [[1, 0.8, 0.5], [0.8, 1, 0.3], [0.5, 0.3, 1]])


def percent(w: object, digits: int = 1) -> list[float]:
    return (np.asarray(w) * 100).round(digits).tolist()


def test_maillard_roncalli_teiletche_four_assets() -> None:
    at = situation(risk_of(MAILLARD))
    assert percent(solved(RiskParity(universe=at.universe), at)) == [38.4, 19.2, 24.3, 18.2]
    w = solved(MinimumVariance(), at)
    assert percent(w) == [74.5, 0.0, 15.2, 10.3]
    assert w[1] == 0.0
    assert percent(np.sqrt(w @ MAILLARD @ w)) == 8.6


def test_roncalli_three_assets_equal_and_given_budgets() -> None:
    at = situation(risk_of(RONCALLI), names=["A", "B", "C"])
    assert percent(solved(RiskParity(universe=at.universe), at)) == [19.7, 32.4, 47.9]
    budgets = {"A": 50.0, "B": 20.0, "C": 30.0}
    assert percent(solved(RiskParity(universe=at.universe, budgets=budgets), at), 2) == [31.15, 21.90, 46.96]


COUNTRIES = ["AUS", "CAN", "FRA", "DEU", "JPN", "GBR", "USA"]
HE_LITTERMAN = correlated(
    [0.160, 0.203, 0.248, 0.271, 0.210, 0.200, 0.187],
    [
        [1.000, 0.488, 0.478, 0.515, 0.439, 0.512, 0.491],
        [0.488, 1.000, 0.664, 0.655, 0.310, 0.608, 0.779],
        [0.478, 0.664, 1.000, 0.861, 0.355, 0.783, 0.668],
        [0.515, 0.655, 0.861, 1.000, 0.354, 0.777, 0.653],
        [0.439, 0.310, 0.355, 0.354, 1.000, 0.405, 0.306],
        [0.512, 0.608, 0.783, 0.777, 0.405, 1.000, 0.652],
        [0.491, 0.779, 0.668, 0.653, 0.306, 0.652, 1.000],
    ],
)
CAPS = dict(zip(COUNTRIES, [0.016, 0.022, 0.052, 0.055, 0.116, 0.124, 0.615], strict=True))
GERMANY = View({"DEU": 1.0, "FRA": -0.052 / 0.176, "GBR": -0.124 / 0.176}, expected=0.05)


def test_he_litterman_table_of_one_view() -> None:
    at = situation(risk_of(HE_LITTERMAN), names=COUNTRIES)
    method = BlackLitterman(universe=at.universe, views=(GERMANY,), market=CAPS, long_only=False)
    assert at.risk is not None
    mu, _ = method._posterior(at, at.risk, np.array(list(CAPS.values())))
    assert percent(mu) == [4.3, 7.6, 9.3, 11.0, 4.5, 7.0, 8.1]
    w = solved(method, at)
    assert percent(w) == [1.5, 2.1, -4.0, 35.4, 11.0, -9.5, 58.6]
    assert percent(w, 2) == [1.52, 2.10, -3.97, 35.43, 11.05, -9.46, 58.57]


def test_he_litterman_without_views_holds_the_market_less_what_is_unsure() -> None:
    at = situation(risk_of(HE_LITTERMAN), names=COUNTRIES)
    method = BlackLitterman(universe=at.universe, market=CAPS, long_only=False)
    assert at.risk is not None
    pi, _ = method._posterior(at, at.risk, np.array(list(CAPS.values())))
    assert percent(pi) == [3.9, 6.9, 8.4, 9.0, 4.3, 6.8, 7.6]
    np.testing.assert_allclose(solved(method, at), np.array(list(CAPS.values())) / 1.05, atol=1e-12)


def test_a_certain_view_comes_true_and_a_doubted_one_moves_nothing() -> None:
    at = situation(risk_of(HE_LITTERMAN), names=COUNTRIES)
    market = np.array(list(CAPS.values()))
    assert at.risk is not None
    expected = {}
    for confidence in (1e-9, 0.5, 1.0):
        view = View(GERMANY.weights, 0.05, confidence)
        method = BlackLitterman(universe=at.universe, views=(view,), market=CAPS, long_only=False)
        expected[confidence] = method._posterior(at, at.risk, market)[0] @ method._P[0]
    none = 2.5 * HE_LITTERMAN @ market @ method._P[0]
    assert expected[1e-9] == pytest.approx(none, abs=1e-9)
    assert expected[0.5] == pytest.approx((none + 0.05) / 2, abs=1e-12)  # half way between market and view
    assert expected[1.0] == pytest.approx(0.05, abs=1e-10)


def test_alphas_are_absolute_views() -> None:
    at = situation(risk_of(HE_LITTERMAN), names=COUNTRIES, alpha=[0.1, np.nan, np.nan, 0.02, np.nan, np.nan, np.nan])
    listed = (View({"AUS": 1.0}, 0.1, 0.3), View({"DEU": 1.0}, 0.02, 0.3))
    one = BlackLitterman(universe=at.universe, market=CAPS, alpha="raw", alpha_confidence=0.3)
    other = BlackLitterman(universe=at.universe, market=CAPS, views=listed)
    np.testing.assert_allclose(solved(one, at), solved(other, at), atol=1e-12)


@pytest.mark.parametrize("confidence", [0.3, 1.0])
def test_alphas_beside_a_listed_view_are_as_if_all_were_listed(confidence: float) -> None:
    """Views of names go by the structure of the factors, listed ones by a matrix of all of them."""
    risk = factor_risk(9, 3)
    alpha = np.where(np.arange(9) % 3 == 1, np.nan, np.linspace(-0.002, 0.003, 9))
    at = situation(risk, alpha=alpha, benchmark=np.full(9, 1 / 9))
    names = at.universe.symbols
    pair = View({names[1]: 1.0, names[4]: -1.0, names[5]: 0.5}, 0.001, 0.6)
    listed = tuple(View({names[i]: 1.0}, float(alpha[i]), confidence) for i in range(9) if np.isfinite(alpha[i]))
    one = BlackLitterman(universe=at.universe, views=(pair,), alpha="raw", alpha_confidence=confidence, long_only=False)
    other = BlackLitterman(universe=at.universe, views=(pair, *listed), long_only=False)
    (mu, one_risk), (nu, other_risk) = (method._posterior(at, risk, at.benchmark) for method in (one, other))
    S, T = one_risk.curve(), other_risk.curve()
    np.testing.assert_allclose(mu, nu, atol=1e-12)
    np.testing.assert_allclose(S.times_all(np.eye(9)), T.times_all(np.eye(9)), atol=1e-12)


def test_the_posterior_is_that_of_the_precision_form() -> None:
    """mu = [(tau S)^-1 + P' Omega^-1 P]^-1 [(tau S)^-1 pi + P' Omega^-1 Q], by dense inverses."""
    risk = factor_risk(12, 4)
    S, rng = dense(risk), np.random.default_rng(1)
    market = rng.uniform(0.01, 0.2, 12)
    at = situation(risk, benchmark=market, names=[f"N{i}" for i in range(12)])
    views = tuple(
        View({"N1": 1.0, f"N{k}": -0.5}, expected=0.001 * k, confidence=c) for k, c in ((3, 0.2), (5, 0.9), (7, 0.5))
    )
    method = BlackLitterman(universe=at.universe, views=views, long_only=False, max_invest=5.0, tau=0.1)
    at = situation(risk, benchmark=market, names=at.universe.symbols, invest=1e9)
    P, Q, c = method._P, method._Q, method._confidence
    omega = np.diag(np.diag(0.1 * P @ S @ P.T) * (1 - c) / c)
    M = np.linalg.inv(np.linalg.inv(0.1 * S) + P.T @ np.linalg.inv(omega) @ P)
    mu = M @ (np.linalg.inv(0.1 * S) @ (2.5 * S @ market) + P.T @ np.linalg.inv(omega) @ Q)
    w = np.linalg.solve(2.5 * (S + M), mu)
    assert w.sum() < 5
    np.testing.assert_allclose(solved(method, at), w, rtol=1e-8)


def test_minimum_variance_and_tangency_without_binding_bounds() -> None:
    risk = factor_risk(30, 5)
    S = dense(risk)
    closed = np.linalg.solve(S, np.ones(30))
    at = situation(risk)
    np.testing.assert_allclose(solved(MinimumVariance(long_only=False), at), closed / closed.sum(), atol=1e-12)
    alpha = S @ np.random.default_rng(2).uniform(0.5, 1.5, 30)  # its tangency portfolio is long everywhere
    closed = np.linalg.solve(S, alpha)
    w = solved(MaxSharpe(), situation(risk, alpha=alpha))
    np.testing.assert_allclose(w, closed / closed.sum(), atol=1e-10)
    assert alpha @ w / np.sqrt(w @ S @ w) == pytest.approx(np.sqrt(alpha @ closed), rel=1e-12)


def test_a_diagonal_covariance_makes_three_methods_one() -> None:
    S = np.diag([0.01, 0.04, 0.02, 0.09, 0.03])
    at = situation(risk_of(S))
    inverse = 1 / np.diag(S) / (1 / np.diag(S)).sum()
    for method in (MinimumVariance(), Hrp(universe=at.universe), InverseVolatility(of="variance")):
        np.testing.assert_allclose(solved(method, at), inverse, atol=1e-12)


@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.5, 0.99])
def test_risk_parity_of_two_is_inverse_volatility_whatever_their_correlation(rho: float) -> None:
    at = situation(risk_of(correlated([0.1, 0.3], [[1, rho], [rho, 1]])))
    np.testing.assert_allclose(solved(RiskParity(universe=at.universe), at), [0.75, 0.25], atol=1e-14)


@pytest.mark.parametrize(("n", "rho"), [(5, 0.3), (40, 0.7), (3, -0.3)])
def test_at_equal_correlations_risk_parity_diversification_and_inverse_volatility_agree(n: int, rho: float) -> None:
    vol = np.random.default_rng(3).uniform(0.1, 0.5, n)
    at = situation(risk_of(correlated(vol, np.full((n, n), rho) + (1 - rho) * np.eye(n))))
    closed = 1 / vol / (1 / vol).sum()
    for method in (RiskParity(universe=at.universe), MaxDiversification(), InverseVolatility()):
        np.testing.assert_allclose(solved(method, at), closed, atol=1e-13)


def test_views_that_make_no_sense_are_refused_by_name() -> None:
    universe = situation(risk_of(HE_LITTERMAN), names=COUNTRIES).universe
    for options, said in (
        ({"market": {"ITA": 1.0}}, "market: 'ITA' is no symbol of the universe"),
        ({"views": (View({"ITA": 1.0}, 0.01),)}, "views: 'ITA' is no symbol of the universe"),
        ({"views": (View({"USA": 0.0}, 0.01),)}, "views must each have weights and a finite expected"),
        ({"views": (View({"USA": 1.0}, 0.01, 0.0),)}, "views confidence must be above 0 and at most 1, got 0.0"),
        ({"tau": 0.0}, "tau must be finite and above 0, got 0.0"),
    ):
        with pytest.raises(ValueError, match=said):
            BlackLitterman(universe=universe, **options)  # type: ignore[arg-type]


def test_without_a_market_there_is_no_equilibrium() -> None:
    at = situation(risk_of(HE_LITTERMAN), names=COUNTRIES)
    decision = BlackLitterman(universe=at.universe, views=(GERMANY,)).weights(at)
    assert decision.weights is None
    assert decision.reason.startswith("the benchmark has no weights: give `market` weights")
