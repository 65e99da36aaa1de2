"""Random problems of every piece, and the same stated in cvxpy the plain way: what routes are compared with."""

from typing import Any

import cvxpy as cp
import numpy as np

from components.optimizers.problem import (
    HARD,
    Box,
    GrossCap,
    Impact,
    Kink,
    Linear,
    Piece,
    Problem,
    Ridge,
    RiskCap,
    Rows,
    Situation,
    Tail,
    TurnoverCap,
    Variance,
)
from components.optimizers.stating import stated
from engine.protocols import Risk
from engine.universe import universe_of

PIECES = ("ridge", "kink", "impact", "tail", "soft_box", "rows", "soft_rows", "factors", "turnover", "gross", "risk")
PRICED = ("soft_turnover", "soft_gross", "soft_risk", "soft_factors", "soft_rows", "soft_box")


def situation(n: int, rng: np.random.Generator, factors: int = 3) -> Situation:
    """A book of n names with daily figures: returns of a few basis points, a volatility of 1 to 3 %."""
    none = np.full(n, np.nan)
    held = rng.random(n) < 0.6
    w0 = np.where(held, rng.random(n), 0.0)
    root = rng.normal(0, 0.3, (factors, factors)) + np.eye(factors)
    return Situation(
        ts=0,
        universe=universe_of(tuple(f"S{i:04d}" for i in range(n))),
        equity=1e6,
        unit=np.full(n, 10.0),
        w0=w0 / max(w0.sum(), 1.0),
        wanted=none,
        alpha=none,
        free=np.ones(n, bool),
        leaving=np.zeros(n, bool),
        risk=Risk(
            factors=rng.normal(0, 1, (n, factors)),
            covariance=root @ root.T * 0.008**2,
            specific=rng.uniform(0.008, 0.03, n) ** 2,
        ),
        benchmark=np.full(n, 1.0 / n),
        sector=(np.arange(n) % 3).astype(np.int32),
        sectors=("A", "B", "C"),
        traded=none,
        half_spread=none,
        references={},
        columns={},
        invest=1.0,
        rate=0.0,
    )


def pieces(at: Situation, rng: np.random.Generator, kinds: tuple[str, ...]) -> list[Piece]:
    """A budget, bounds and a return, and a piece of each kind: all can be met at once, most bind."""
    n = len(at.w0)
    short = "gross" in kinds
    lower, upper = np.full(n, -0.3 if short else 0.0), np.full(n, max(0.4, 3.0 / n))
    alpha = rng.normal(0, 0.002, n)
    sectors = np.stack([(at.sector == s).astype(float) for s in range(3)])
    everyone = np.ones((1, n))
    assert at.risk is not None
    wide = 0.5 + 1.0 * (rng.random() < 0.3)
    of_kind: dict[str, Any] = {
        "variance": Variance(name="risk", aversion=rng.uniform(1, 20), about=at.benchmark),
        "ridge": Ridge(name="ridge", weight=rng.uniform(0, 0.02, n), about=at.benchmark),
        "kink": Kink(name="costs", up=rng.uniform(0, 1e-3, n), down=rng.uniform(0, 1e-3, n), at=at.w0),
        "impact": Impact(name="impact", k=rng.uniform(0, 2e-3, n) * (rng.random(n) < 0.7)),
        "tail": Tail(name="tail", returns=rng.normal(0, 0.02, (20, n)), level=0.9, weight=rng.uniform(0.01, 0.1)),
        "soft_box": Box(name="wished", lower=np.full(n, 0.2 / n), upper=np.full(n, 2.0 / n), soft=0.001),
        "rows": Rows(name="sectors", A=sectors, low=np.full(3, 0.2), high=np.full(3, wide), labels=("A", "B", "C")),
        "soft_rows": Rows(
            name="beta",
            A=rng.normal(1, 0.3, (2, n)),
            low=np.full(2, 1.02),
            high=np.full(2, 1.03),
            labels=("x", "y"),
            soft=0.002,
        ),
        "factors": Rows(
            name="exposures",
            A=at.risk.factors.T[:2].copy(),
            low=np.full(2, -0.1),
            high=np.array([0.1, 0.15]),
            labels=("f", "g"),
        ),
        "turnover": TurnoverCap(name="turnover", limit=float(abs(1.0 - at.w0.sum()) + rng.uniform(0.3, 0.8))),
        "gross": GrossCap(name="gross", limit=1.6),
        "risk": RiskCap(name="volatility", limit=0.025, about=at.benchmark),
        "soft_turnover": TurnoverCap(name="churn", limit=float(abs(1.0 - at.w0.sum()) + 0.1), soft=5e-4),
        "soft_gross": GrossCap(name="leverage", limit=1.1, soft=5e-4),
        "soft_risk": RiskCap(name="tracking", limit=0.005, about=at.benchmark, soft=0.05),
        "soft_factors": Rows(
            name="tilts",
            A=at.risk.factors.T[2:].copy(),
            low=np.full(1, -0.02),
            high=np.full(1, 0.02),
            labels=("h",),
            soft=0.001,
        ),
    }
    budget = Rows(name="budget", A=everyone, low=np.ones(1), high=np.ones(1), labels=("all",))
    stated_always: list[Piece] = [
        Linear(name="return", cost=-alpha),
        Box(name="bounds", lower=lower, upper=upper),
        budget,
    ]
    return stated_always + [of_kind[kind] for kind in kinds]


def random_problem(n: int, rng: np.random.Generator, kinds: tuple[str, ...]) -> Problem:
    at = situation(n, rng)
    return stated(pieces(at, rng, kinds), at)


def plain(problem: Problem) -> tuple[str, float]:
    """Status and optimum by cvxpy as a textbook would state it, dense, with Clarabel at 1e-10."""
    w = cp.Variable(len(problem))
    cost: Any = problem.q @ w
    rules = [w >= problem.lower, w <= problem.upper]
    if problem.risk is not None:
        S = problem.risk.factors @ problem.risk.covariance @ problem.risk.factors.T + np.diag(problem.risk.specific)
        cost += problem.aversion / 2 * cp.quad_form(w - problem.about, cp.psd_wrap(S))
        root = np.linalg.cholesky(S + 1e-18 * np.eye(len(S)))
        for cap in problem.risk_caps:
            beyond = cp.pos(cp.norm(root.T @ (w - cap.about)) - cap.limit)
            if cap.soft == HARD:
                rules.append(cp.norm(root.T @ (w - cap.about)) <= cap.limit)
            else:
                cost += cap.soft * beyond
    cost += 0.5 * cp.sum(cp.multiply(problem.ridge, cp.square(w - problem.rest)))
    for kink in problem.kinks:
        cost += kink.up @ cp.pos(w - kink.at) + kink.down @ cp.pos(kink.at - w)
    if problem.impact.any():
        cost += problem.impact @ cp.power(cp.abs(w - problem.w0), 1.5)
    for tail in problem.tails:
        edge = cp.Variable()
        share = (1 - tail.level) * len(tail.returns)
        cost += tail.weight * (edge + cp.sum(cp.pos(-(tail.returns @ w) - edge)) / share)
    rows_rules, rows_cost = _plain_rows(problem, w)
    rules, cost = rules + rows_rules, cost + rows_cost
    for cap, used in [(cap, cp.norm1(w - problem.w0)) for cap in problem.turnover] + [
        (cap, cp.norm1(w)) for cap in problem.gross
    ]:
        rules += [used <= cap.limit] if cap.soft == HARD else []
        cost += 0 if cap.soft == HARD else cap.soft * cp.pos(used - cap.limit)
    program = cp.Problem(cp.Minimize(100.0 * cost), rules)
    program.solve(solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10, max_iter=300)
    return program.status, float(program.value) / 100.0 if program.value is not None else np.nan


def _plain_rows(problem: Problem, w: Any) -> tuple[list[Any], Any]:
    rules: list[Any] = []
    cost: Any = 0.0
    for i in range(len(problem.low)):
        value = problem.A[i] @ w
        if problem.row_soft[i] == HARD:
            rules += [value >= problem.low[i]] if np.isfinite(problem.low[i]) else []
            rules += [value <= problem.high[i]] if np.isfinite(problem.high[i]) else []
        else:
            cost += problem.row_soft[i] * cp.pos(cp.maximum(value - problem.high[i], problem.low[i] - value))
    return rules, cost
