"""Methods beside PyPortfolioOpt, skfolio and cvxportfolio, whose weights tests/oracles/peer_weights.py wrote down.

What is compared is what is minimised; weights only where both are exact enough.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.optimizers.methods.black_litterman import BlackLitterman, View
from components.optimizers.methods.hrp import Hrp
from components.optimizers.methods.max_diversification import MaxDiversification
from components.optimizers.methods.max_sharpe import MaxSharpe
from components.optimizers.methods.mean_cvar import MeanCvar
from components.optimizers.methods.minimum_variance import MinimumVariance
from components.optimizers.methods.multi_period import MultiPeriod
from components.optimizers.methods.risk_parity import RiskParity
from components.optimizers.problem import Situation
from components.optimizers.stating import expected_shortfall
from engine.events import Vector
from engine.universe import universe_of
from tests.components.optimizers.methods.made import risk_of, situation, solved
from tests.make import bars

FOLDER = Path(__file__).parents[3] / "oracles"
POOLED = json.loads((FOLDER / "peer_weights_pooled.json").read_text())
PLANS = json.loads((FOLDER / "peer_weights_multi_period.json").read_text())
S, X, MU = (np.array(POOLED[key]) for key in ("S", "X", "mu"))
N, CAP, LEVEL = len(MU), 0.25, 0.9
NAMES = [f"A{i:02d}" for i in range(N)]
UNIVERSE = universe_of(tuple(NAMES))


def peer(name: str) -> Vector:
    return np.array(POOLED[name])


def at(**given: Any) -> Situation:
    return situation(risk_of(S), names=NAMES, **given)


def variance(w: Vector) -> float:
    return float(w @ S @ w)


@pytest.mark.parametrize(("name", "long_only"), [("minimum_variance", True), ("minimum_variance_short", False)])
def test_minimum_variance(name: str, long_only: bool) -> None:
    """The peer hands daily variances to its solver as they are, which stops a thousandth of a weight away."""
    w = solved(MinimumVariance(max_weight=CAP, long_only=long_only), at())
    other = peer(f"pypfopt_{name}")
    assert variance(w) <= variance(other) <= variance(w) * (1 + 1e-3)
    np.testing.assert_allclose(w, other, atol=2e-3)


def test_max_sharpe() -> None:
    w = solved(MaxSharpe(max_weight=CAP), at(alpha=MU))
    other = peer("pypfopt_max_sharpe")
    assert MU @ w / variance(w) ** 0.5 >= MU @ other / variance(other) ** 0.5 - 1e-9
    np.testing.assert_allclose(w, other, atol=1e-4)
    history = X.mean(axis=0)
    w = solved(MaxSharpe(max_weight=CAP), at(alpha=history))
    other = peer("skfolio_max_sharpe_of_history")
    assert history @ w / variance(w) ** 0.5 >= history @ other / variance(other) ** 0.5 - 1e-9
    np.testing.assert_allclose(w, other, atol=1e-4)


@pytest.mark.parametrize("linkage", ["single", "average", "ward"])
def test_hierarchical_risk_parity_of_pairs(linkage: Any) -> None:
    w = solved(Hrp(universe=UNIVERSE, linkage=linkage, of="pairs"), at())
    np.testing.assert_allclose(w, peer(f"pypfopt_hrp_{linkage}"), atol=1e-12)


def test_risk_parity_and_budgets() -> None:
    w = solved(RiskParity(universe=UNIVERSE), at())
    np.testing.assert_allclose(w, peer("skfolio_risk_parity"), atol=1e-4)
    share = w * (S @ w) / variance(w)
    np.testing.assert_allclose(share, 1 / N, atol=1e-13)
    budgets = {symbol: float(1 + i % 3) for i, symbol in enumerate(NAMES)}
    w = solved(RiskParity(universe=UNIVERSE, budgets=budgets), at())
    np.testing.assert_allclose(w, peer("skfolio_risk_budgets"), atol=1e-4)


def test_max_diversification() -> None:
    vol = np.sqrt(np.diag(S))
    w = solved(MaxDiversification(max_weight=CAP), at())
    other = peer("skfolio_max_diversification")
    assert vol @ w / variance(w) ** 0.5 >= vol @ other / variance(other) ** 0.5 - 1e-9
    np.testing.assert_allclose(w, other, atol=1e-4)


def taught(method: MeanCvar) -> MeanCvar:
    """Having seen the returns."""
    close = np.concatenate([np.ones((1, N)), np.cumprod(1 + X, axis=0)]) * 100
    for k, row in enumerate(close):
        method.on_bars(bars(ts=k, close=row))
    return method


def shortfall(w: Vector) -> float:
    return expected_shortfall(-(X @ w), LEVEL)


@pytest.mark.parametrize("other", ["pypfopt_min_cvar", "skfolio_min_cvar"])
def test_minimum_cvar(other: str) -> None:
    w = solved(taught(MeanCvar(universe=UNIVERSE, window=120, level=LEVEL, max_weight=CAP)), at())
    assert shortfall(w) <= shortfall(peer(other)) + 1e-9
    np.testing.assert_allclose(w, peer(other), atol=1e-6)


def test_the_frontier_of_cvar_holds_what_asks_for_a_return() -> None:
    """Whoever minimises CVaR with a least return lies on the frontier that a reward walks along."""
    other = peer("pypfopt_cvar_of_return")
    for reward in (0.0, 0.5, 2.0, 10.0, 100.0):
        method = MeanCvar(universe=UNIVERSE, window=120, level=LEVEL, max_weight=CAP, expected="alpha", reward=reward)
        w = solved(taught(method), at(alpha=MU))
        assert shortfall(w) - reward * MU @ w <= shortfall(other) - reward * MU @ other + 1e-9


def test_black_litterman_posterior() -> None:
    views = (View({"A01": 1.0, "A04": -1.0}, 0.002, 0.3), View({"A07": 1.0}, 0.001, 0.8))
    method = BlackLitterman(universe=UNIVERSE, views=views, market=dict.fromkeys(NAMES, 1 / N))
    now = at()
    assert now.risk is not None
    mu, posterior = method._posterior(now, now.risk, np.full(N, 1 / N))
    risk = posterior.curve()
    np.testing.assert_allclose(mu, peer("pypfopt_black_litterman_returns"), atol=1e-14)
    np.testing.assert_allclose(risk.diagonal(), peer("pypfopt_black_litterman_risk"), rtol=1e-10)


@pytest.mark.parametrize("case", PLANS["cases"], ids=lambda case: f"horizon {case['horizon']}")
def test_multi_period_beside_cvxportfolio(case: dict[str, Any]) -> None:
    method = MultiPeriod(
        horizon=case["horizon"],
        half_life=case["half_life"],
        turnover_cost_bps=case["cost"] * 1e4,
        risk_aversion=case["gamma"],
        alpha="raw",
        max_weight=CAP,
    )
    w0 = np.array(PLANS["w0"])
    w = solved(method, at(alpha=np.array(PLANS["mu"]), w0=w0))
    np.testing.assert_allclose(w, case["w"], atol=1e-6)
    if case["horizon"] > 1 and case["cost"]:  # else nothing would be compared but a single period
        once = MultiPeriod(
            horizon=1,
            turnover_cost_bps=case["cost"] * 1e4,
            risk_aversion=case["gamma"],
            alpha="raw",
            max_weight=CAP,
        )
        alone = solved(once, at(alpha=np.array(PLANS["mu"]), w0=w0))
        assert np.abs(alone - np.array(case["w"])).max() > 0.01
