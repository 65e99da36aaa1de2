"""Situations for tests: short to write, right in shape."""

from typing import Any

import numpy as np

from components.optimizers.problem import Situation
from engine.protocols import Risk
from engine.universe import universe_of


def risk_of(n: int, k: int = 2, seed: int = 0) -> Risk:
    rng = np.random.default_rng(seed)
    root = rng.normal(0, 1.0, (k, k)) * 0.3 + np.eye(k)
    return Risk(factors=rng.normal(0, 0.01, (n, k)), covariance=root @ root.T, specific=rng.uniform(5e-5, 4e-4, n))


def covariance(risk: Risk) -> np.ndarray:
    return risk.factors @ risk.covariance @ risk.factors.T + np.diag(risk.specific)


def situation(n: int = 6, seed: int = 0, **fields: Any) -> Situation:
    """Equal positions, a wish for all names, an opinion of each; two sectors by turns."""
    rng = np.random.default_rng(seed)
    given: dict[str, Any] = {
        "ts": 1,
        "universe": universe_of(tuple(f"S{i:03d}" for i in range(n))),
        "equity": 1e6,
        "unit": rng.uniform(10.0, 100.0, n),
        "w0": np.full(n, 0.9 / n),
        "wanted": np.full(n, 1.0 / n),
        "alpha": rng.normal(0, 1.0, n),
        "free": np.ones(n, bool),
        "leaving": np.zeros(n, bool),
        "risk": risk_of(n, seed=seed),
        "benchmark": np.full(n, 1.0 / n),
        "sector": (np.arange(n) % 2).astype(np.int32),
        "sectors": ("Energy", "Tech"),
        "traded": rng.uniform(1e6, 1e8, n),
        "half_spread": np.full(n, np.nan),
        "references": {},
        "columns": {},
        "invest": 1.0,
        "rate": 10e-4,
    }
    return Situation(**(given | fields))
