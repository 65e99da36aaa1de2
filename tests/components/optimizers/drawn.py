"""Problems of a rebalance for tests, their pieces drawn at random, and cvxpy's answer to them."""

import warnings
from typing import Any

import numpy as np

from components.optimizers.problem import GrossCap, Kink, Problem, TurnoverCap
from components.optimizers.stating import exposures
from engine.protocols import Risk

HARD = np.inf


def problem(q: Any, **given: Any) -> Problem:
    """A problem with these fields; whatever is not given is not there. `soft` = prices of rows."""
    q = np.asarray(q, np.float64)
    n, m = len(q), len(given.get("low", ()))
    zero, none = np.zeros(n), np.full(n, -1, np.int32)
    empty: dict[str, Any] = {
        "risk": None,
        "aversion": 0.0,
        **{name: zero for name in ("about", "ridge", "rest", "impact", "w0")},
        "lower": np.full(n, -np.inf),
        "upper": np.full(n, np.inf),
        **{name: np.zeros(0) for name in ("low", "high")},
        "A": np.zeros((0, n)),
        "row_soft": np.full(m, HARD),
        "row_by": np.zeros(m, np.int32),
        "labels": tuple(map(str, range(m))),
        "lower_by": none,
        "upper_by": none,
        **dict.fromkeys(("kinks", "turnover", "gross", "risk_caps", "tails", "counted"), ()),
        "names": ("rows",),
    }
    arrays = {name: np.asarray(x, np.float64) if isinstance(x, list) else x for name, x in given.items()}
    return Problem(**(empty | {"q": q} | arrays))


def trading(rate: Any, w0: Any) -> Kink:
    n = len(w0)
    return Kink(name="cost", up=np.full(n, rate), down=np.full(n, rate), at=np.asarray(w0, np.float64))


def spread_risk(n: int, seed: int = 0, k: int = 3) -> Risk:
    rng = np.random.default_rng(seed)
    return Risk(factors=rng.normal(0, 0.01, (n, k)), covariance=np.eye(k), specific=rng.uniform(1, 4, n) * 1e-4)


def covariance(risk: Risk) -> Any:
    return risk.factors @ risk.covariance @ risk.factors.T + np.diag(risk.specific)


def drawn(seed: int, most: int = 30) -> Problem:
    """Every piece the kernel has, each there or not; feasible by a point drawn first."""
    rng = np.random.default_rng(seed)

    def chance(p: float) -> bool:
        return bool(rng.random() < p)

    n, k = int(rng.integers(1, most)), int(rng.choice([1, 3, 8, 60]))
    long_only, w0 = chance(0.6), rng.dirichlet(np.ones(n))
    w0 = w0 if long_only else rng.normal(size=n) / n
    w0 = np.where(rng.random(n) < 0.5, 0.0, w0) if chance(0.3) else w0
    omega = np.eye(k) if chance(0.5) else np.cov(rng.normal(size=(k, 3 * k + 2))).reshape(k, k)
    specific = rng.uniform(0.5, 3, n) ** 2 * 1e-4 * 10 ** rng.uniform(-2, 0)
    risk = Risk(factors=rng.normal(size=(n, k)) * 0.02 / np.sqrt(k), covariance=omega, specific=specific)
    lower = np.zeros(n) if long_only else -rng.uniform(0.5, 4, n) / n
    upper = rng.uniform(1, 5, n) / n
    if chance(0.1):
        lower, upper = np.full(n, -np.inf), np.full(n, np.inf)
    pinned = rng.random(n) < (0.2 if chance(0.3) else 0.0)
    place = np.clip(w0, lower, upper)
    lower, upper = np.where(pinned, place, lower), np.where(pinned, place, upper)
    inside = np.clip(rng.uniform(0, 2, n) / n, lower, upper)
    fields: dict[str, Any] = {"kinks": _kinks(rng, n, w0)}
    if chance(0.3):
        fields |= {"ridge": rng.uniform(0, 1e-3, n), "rest": w0}
    if chance(0.3):
        fields["impact"] = rng.uniform(0, 2e-3, n) * (rng.random(n) < 0.8)
    for name, kind, centre in (("turnover", TurnoverCap, w0), ("gross", GrossCap, np.zeros(n))):
        if chance(0.3):
            limit = float(np.abs(inside - centre).sum() * rng.uniform(1, 1.3) + 1e-3)
            fields[name] = (kind(name=name, limit=limit, soft=HARD if chance(0.6) else 1e-3),)
    fields |= _rows(rng, n, inside)
    about = np.zeros(n) if chance(0.5) else rng.dirichlet(np.ones(n))
    aversion = 10 ** rng.uniform(-0.5, 2)
    bounds = {"w0": w0, "lower": lower, "upper": upper}
    return problem(rng.normal(size=n) * 1e-3, risk=risk, aversion=aversion, about=about, **bounds, **fields)


def _kinks(rng: np.random.Generator, n: int, w0: Any) -> tuple[Kink, ...]:
    kinks = []
    if rng.random() < 0.7:
        kinks.append(Kink(name="trading", up=rng.uniform(0, 1e-3, n), down=rng.uniform(0, 1e-3, n), at=w0))
    if rng.random() < 0.3:
        kinks.append(Kink(name="holding", up=np.full(n, 1e-4), down=rng.uniform(0, 1e-3, n), at=np.zeros(n)))
    if rng.random() < 0.2:
        kinks.append(Kink(name="bound", up=np.full(n, 1e-3), down=np.zeros(n), at=np.full(n, 0.5 / n)))
    return tuple(kinks)


def _rows(rng: np.random.Generator, n: int, inside: Any) -> dict[str, Any]:
    budget = int(rng.random() < 0.8)
    count = int(rng.integers(0, 7))
    A = np.where(rng.random((count, 1)) < 0.5, rng.normal(size=(count, n)), rng.random((count, n)) < 0.3)
    width = rng.uniform(0, 0.05, count)
    low = np.where(rng.random(count) < 0.7, A @ inside - width, -np.inf)
    high = np.where(rng.random(count) < 0.7, A @ inside + width, np.inf)
    soft = np.where(rng.random(count) < 0.7, HARD, 10 ** rng.uniform(-5, -2, count))
    A, total = np.concatenate((np.ones((budget, n)), A)), np.full(budget, inside.sum())
    low, high = np.concatenate((total, low)), np.concatenate((total, high))
    return {"A": A, "low": low, "high": high, "row_soft": np.concatenate((np.full(budget, HARD), soft))}


def by_cvxpy(p: Problem) -> Any:
    """Weights (N,) by cvxpy and Clarabel at a tight tolerance, None = it finds no optimum."""
    import cvxpy as cp

    w = cp.Variable(len(p))
    cost = p.q @ w + 0.5 * cp.sum_squares(cp.multiply(np.sqrt(p.ridge), w - p.rest))
    if p.risk is not None:
        x = w - p.about
        own = cp.sum_squares(cp.multiply(np.sqrt(p.risk.specific), x))
        cost += 0.5 * p.aversion * (cp.sum_squares(exposures(p.risk).T @ x) + own)
    for kink in p.kinks:
        cost += kink.down @ (kink.at - w) + (kink.up + kink.down) @ cp.pos(w - kink.at)
    if p.impact.any():
        cost += p.impact @ cp.power(cp.abs(w - p.w0), 1.5)
    limits = [(p.A[j] @ w, p.low[j], p.high[j], p.row_soft[j]) for j in range(len(p.low))]
    limits += [(cp.norm1(w - p.w0), -np.inf, cap.limit, cap.soft) for cap in p.turnover]
    limits += [(cp.norm1(w), -np.inf, cap.limit, cap.soft) for cap in p.gross]
    rules = []
    if np.isfinite(p.lower).any():
        rules.append(w[np.isfinite(p.lower)] >= p.lower[np.isfinite(p.lower)])
    if np.isfinite(p.upper).any():
        rules.append(w[np.isfinite(p.upper)] <= p.upper[np.isfinite(p.upper)])
    for value, low, high, price in limits:
        if low == high:
            rules.append(value == low)
            continue
        for gap in ([low - value] if np.isfinite(low) else []) + ([value - high] if np.isfinite(high) else []):
            if np.isinf(price):
                rules.append(gap <= 0)
            else:
                cost += price * cp.pos(gap)
    program = cp.Problem(cp.Minimize(cost / max(float(np.abs(p.q).max()), 1e-12)), rules)
    tight = {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # at this tolerance it often says that it may be inaccurate
        program.solve(solver=cp.CLARABEL, **tight)
    return w.value if program.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE) else None
