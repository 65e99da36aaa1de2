"""Risk budgets beside what cannot be traded, by sector, and where none can be met."""

import numpy as np
import pytest

from components.optimizers.methods.risk_parity import RiskParity
from engine.protocols import Risk
from tests.components.optimizers.methods.made import correlated, dense, factor_risk, risk_of, situation, solved


def test_names_that_cannot_be_traded_count_in_the_risk_that_is_shared() -> None:
    risk = factor_risk(20, 4)
    free = np.arange(20) >= 3
    w0 = np.where(free, 0.0, 0.08)
    at = situation(risk, free=free, w0=w0)
    w = solved(RiskParity(universe=at.universe), at)
    whole = np.where(free, w, w0)
    own = (whole * (dense(risk) @ whole))[free]
    assert whole.sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(own / own.sum(), 1 / 17, atol=1e-10)
    alone = situation(risk, free=free, invest=0.76)
    assert np.abs(solved(RiskParity(universe=at.universe), alone)[free] - w[free]).max() > 1e-3


def test_sectors_share_risk_as_budgeted_and_their_names_evenly() -> None:
    risk = factor_risk(12, 3)
    sector = np.array([0, 0, 0, 0, 0, 1, 1, 2, 2, 2, -1, -1])
    at = situation(risk, sector=sector, sectors=("banks", "mines", "shops"))
    method = RiskParity(universe=at.universe, by="sector", budgets={"banks": 3.0, "none": 2.0, "shops": 0.0})
    w = solved(method, at)
    share = w * (dense(risk) @ w) / (w @ dense(risk) @ w)
    np.testing.assert_allclose([share[sector == s].sum() for s in (0, 1, 2, -1)], [1 / 2, 1 / 6, 0, 1 / 3], atol=1e-12)
    np.testing.assert_allclose(share[:5], 0.1, atol=1e-12)
    assert (w[7:10] == 0).all()
    unknown = RiskParity(universe=at.universe, by="sector", budgets={"bank": 1.0}).weights(at)
    assert unknown.reason == "budgets name the sector 'bank', which is none of banks, mines, shops, none"


def test_a_hedge_too_large_to_share_risk_beside_is_told() -> None:
    """Half the equity is short and stays so: a small long position lowers risk, so no contribution is above 0."""
    risk = risk_of(correlated([0.2, 0.2, 0.2], [[1, 0.9, 0.9], [0.9, 1, 0.9], [0.9, 0.9, 1]]))
    free = np.array([True, True, False])
    at = situation(risk, free=free, w0=np.where(free, 0.0, -0.5), invest=-0.4)
    decision = RiskParity(universe=at.universe).weights(at)
    assert decision.weights is not None
    np.testing.assert_allclose(decision.weights[:2], 0.05, atol=1e-9)
    assert [(r.kind, r.symbol.tolist(), r.value.tolist()) for r in decision.remarks] == [("pinned_apart", [2], [-0.5])]


def test_names_that_offset_each_other_wholly_have_no_risk_to_share() -> None:
    at = situation(risk_of(correlated([0.2, 0.2], [[1, -1], [-1, 1]])))
    decision = RiskParity(universe=at.universe).weights(at)
    assert decision.weights is None
    assert decision.reason == "names offset each other wholly: there is no risk to share"


def test_names_without_variance_are_left_out_and_told() -> None:
    at = situation(risk_of(np.diag([0.04, 0.0, 0.01])))
    decision = RiskParity(universe=at.universe).weights(at)
    assert decision.weights is not None
    np.testing.assert_allclose(decision.weights, [1 / 3, 0, 2 / 3], atol=1e-14)
    assert [(r.kind, r.symbol.tolist()) for r in decision.remarks] == [("no_variance", [1])]


@pytest.mark.parametrize(("n", "K"), [(50, 20), (500, 30), (120, 200), (400, 500)])
def test_every_route_to_the_newton_step_gives_the_same_weights(n: int, K: int) -> None:
    """Factors by Woodbury, few names by a dense matrix, many names of a sample by conjugate gradients."""
    rng = np.random.default_rng(n)
    X = 0.01 * rng.normal(size=(K, n)) + 0.01 * rng.normal(size=(K, 1))
    specific = np.full(n, 1e-5)
    risk = Risk(factors=X.T / np.sqrt(K), covariance=np.eye(K), specific=specific)
    at = situation(risk)
    w = solved(RiskParity(universe=at.universe), at)
    S = dense(risk)
    np.testing.assert_allclose(w * (S @ w) / (w @ S @ w), 1 / n, atol=1e-13)
