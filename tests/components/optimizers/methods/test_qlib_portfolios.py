"""Qlib's portfolio optimizers on the same numbers: what they minimise, minimised here at least as well.

Qlib 0.9.7, contrib/strategy/optimizer/optimizer.py: long only, fully invested, by SLSQP from equal weights, which stops
early. Its golden weights are those it printed; its objectives are written out below.
"""

import numpy as np
import pytest

from components.optimizers.methods.boxed import curve_of, least
from components.optimizers.methods.inverse_volatility import InverseVolatility
from components.optimizers.methods.minimum_variance import MinimumVariance
from components.optimizers.methods.risk_parity import RiskParity
from engine.events import Vector
from tests.components.optimizers.methods.made import dense, factor_risk, risk_of, situation, solved

S = np.array([[0.04, 0.006, 0.01, 0], [0.006, 0.09, 0.012, 0.002], [0.01, 0.012, 0.16, 0], [0, 0.002, 0, 0.0225]])
R = np.array([0.05, 0.08, 0.12, 0.03])
INV = [0.285714, 0.190476, 0.142857, 0.380952]
GMV = [0.288626, 0.102379, 0.053649, 0.555346]
RP = [0.277352, 0.182897, 0.138678, 0.401074]
MVO = [0.215451, 0.371743, 0.412806, 0.0]
MVO_RAW = [0.283212, 0.136536, 0.097852, 0.4824]


def spread(w: Vector, covariance: Vector = S) -> float:
    """What Qlib's risk parity minimises: sum over i of (w_i - w'Sw / (N (Sw)_i))^2."""
    marginal = covariance @ w
    total = float(w @ marginal)
    return float(sum((w[i] - total / (len(w) * marginal[i])) ** 2 for i in range(len(w))))


def scaled(r: Vector, covariance: Vector) -> Vector:
    """Qlib's scale_return: r over its deviation, times the root of the mean variance."""
    return r / r.std() * np.sqrt(np.diag(covariance).mean())


def test_inverse_volatility() -> None:
    np.testing.assert_allclose(solved(InverseVolatility(), situation(risk_of(S))), INV, atol=5e-7)


def test_minimum_variance_is_at_least_as_low() -> None:
    w = solved(MinimumVariance(), situation(risk_of(S)))
    assert w @ S @ w <= np.array(GMV) @ S @ np.array(GMV) + 1e-12
    np.testing.assert_allclose(w, GMV, atol=5e-4)


def test_risk_parity_is_at_least_as_even() -> None:
    at = situation(risk_of(S))
    w = solved(RiskParity(universe=at.universe), at)
    assert spread(w) <= spread(np.array(RP) / np.sum(RP))
    assert spread(w) < 1e-25
    np.testing.assert_allclose(w, RP, atol=5e-4)


@pytest.mark.parametrize(("r", "golden"), [(scaled(R, S), MVO), (R, MVO_RAW)], ids=["scale_return", "raw"])
def test_mean_variance_is_at_least_as_good(r: Vector, golden: list[float]) -> None:
    """min -w'r + 5 w'Sw, the step from terms to an answer that the methods share."""
    w = least(curve_of(np.linalg.cholesky(S), np.zeros(4)), -r / 10, (np.zeros(4), np.ones(4)), 1.0)
    other = np.array(golden) / np.sum(golden)
    assert -w @ r + 5 * w @ S @ w <= -other @ r + 5 * other @ S @ other + 1e-12
    np.testing.assert_allclose(w, golden, atol=1e-3)


def test_slsqp_as_qlib_calls_it_never_does_better() -> None:
    from scipy.optimize import minimize

    risk = factor_risk(30, 5, seed=3)
    C = dense(risk)
    at = situation(risk)
    ours = {"gmv": solved(MinimumVariance(), at), "rp": solved(RiskParity(universe=at.universe), at)}
    for name, cost in (("gmv", lambda w: float(w @ C @ w)), ("rp", lambda w: spread(w, C))):
        found = minimize(
            cost,
            np.full(30, 1 / 30),
            method="SLSQP",
            bounds=[(0, 1)] * 30,
            constraints={"type": "eq", "fun": lambda w: 1 - w.sum()},
            tol=1e-8,
        )
        w = np.clip(found.x, 0, None) / np.clip(found.x, 0, None).sum()
        assert cost(ours[name]) <= cost(w)
