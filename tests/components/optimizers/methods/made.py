"""Situations for tests of methods: short to write, right in shape."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.optimizers.problem import Situation
from engine.events import Matrix, Vector
from engine.protocols import Risk
from engine.universe import universe_of


def risk_of(S: Any) -> Risk:
    """A dense covariance as factors."""
    S = np.array(S, dtype=np.float64)
    return frozen_risk(Risk(factors=np.eye(len(S)), covariance=S, specific=np.zeros(len(S))))


def correlated(vol: Sequence[float], rho: Any) -> Matrix:
    return np.asarray(np.outer(vol, vol) * np.asarray(rho))


def factor_risk(n: int, K: int, seed: int = 0) -> Risk:
    """Betas around 1, K - 1 styles, daily volatilities near two per cent."""
    rng = np.random.default_rng(seed)
    F = np.concatenate([1 + 0.3 * rng.normal(size=(n, 1)), rng.normal(size=(n, K - 1))], axis=1)
    variance = np.concatenate([[1e-4], np.full(K - 1, 9e-6)])
    return frozen_risk(Risk(factors=F, covariance=np.diag(variance), specific=rng.uniform(1e-4, 4e-4, n)))


def frozen_risk(risk: Risk) -> Risk:
    for array in (risk.factors, risk.covariance, risk.specific):
        array.flags.writeable = False
    return risk


def dense(risk: Risk) -> Matrix:
    S: Matrix = risk.factors @ risk.covariance @ risk.factors.T + np.diag(risk.specific)
    return S


def situation(risk: Risk | None, n: int | None = None, **given: Any) -> Situation:
    """Everything wanted equally, free and flat, unless `given` says else."""
    n = len(risk.specific) if risk is not None else n
    assert n is not None
    names = given.pop("names", [f"S{i:04d}" for i in range(n)])
    sector = given.pop("sector", np.full(n, -1))
    plain: dict[str, Any] = {
        "ts": 1,
        "universe": universe_of(tuple(names)),
        "equity": 1e6,
        "unit": np.full(n, 10.0),
        "w0": np.zeros(n),
        "wanted": np.full(n, 1.0 / n),
        "alpha": np.full(n, np.nan),
        "free": np.ones(n, bool),
        "leaving": np.zeros(n, bool),
        "risk": risk,
        "benchmark": np.zeros(n),
        "sector": np.asarray(sector, np.int32),
        "sectors": (),
        "traded": np.full(n, np.nan),
        "half_spread": np.full(n, np.nan),
        "references": {},
        "columns": {},
        "invest": 1.0,
        "rate": 0.001,
    }
    plain |= given
    for name, value in plain.items():
        if isinstance(value, list) or (isinstance(value, np.ndarray) and value.flags.writeable):
            plain[name] = np.array(value)
            plain[name].flags.writeable = False
    return Situation(**plain)


def solved(method: Any, at: Situation) -> Vector:
    """The weights, which there must be."""
    decision = method.weights(at)
    assert decision.weights is not None, decision.reason
    return np.asarray(decision.weights)
