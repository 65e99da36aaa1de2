"""Answers that solvers leave at a few digits are made exact, so that expected shortfall beside risk is certified."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from components.optimizers.certificate import certified
from components.optimizers.methods.routes import Routes
from components.optimizers.polish import polished
from components.optimizers.problem import (
    Box,
    GrossCap,
    Impact,
    Kink,
    Linear,
    Problem,
    RiskCap,
    Rows,
    Situation,
    Solution,
    Tail,
    TurnoverCap,
    Variance,
)
from components.optimizers.program import Compiled
from components.optimizers.stating import objective, stated, used_of_caps
from tests.components.optimizers.placed import covariance, situation

T, TOLERANCE = 250, 1e-7


def problem(n: int, seed: int, *more: Any, lower: float = 0.0) -> Problem:
    """Expected shortfall of a year of days less returns, fully invested, with these pieces beside."""
    rng, at = np.random.default_rng(seed), situation(n, seed=seed)
    returns = rng.normal(0, 0.01, (T, 1)) + rng.normal(0, 0.015, (T, n))
    row = Rows(name="budget", A=np.ones((1, n)), low=np.ones(1), high=np.ones(1), labels=("sum",))
    pieces = [
        Tail(name="cvar", returns=returns, level=0.95, weight=1.0),
        Linear(name="expected_return", cost=-rng.normal(0, 3e-4, n)),
        Box(name="box", lower=np.full(n, lower), upper=np.full(n, max(0.1, 3 / n))),
        row,
    ]
    return stated([*pieces, *(piece(at, n) for piece in more)], at)


def variance(at: Situation, n: int) -> Variance:
    return Variance(name="variance", aversion=10.0, about=np.zeros(n))


def risk_limit(at: Situation, n: int) -> RiskCap:
    """Below what the least shortfall alone would take, above what can be."""
    assert at.risk is not None
    S = covariance(at.risk)
    w = np.maximum(np.linalg.solve(S, np.ones(n)), 0.0)
    w /= w.sum()
    return RiskCap(name="risk_limit", limit=1.15 * float(w @ S @ w) ** 0.5, about=np.zeros(n))


def spread(at: Situation, n: int) -> Kink:
    return Kink(name="cost", up=np.full(n, 5e-4), down=np.full(n, 5e-4), at=at.w0)


def turnover(at: Situation, n: int) -> TurnoverCap:
    return TurnoverCap(name="turnover", limit=0.3)


def gross(at: Situation, n: int) -> GrossCap:
    return GrossCap(name="gross", limit=1.5)


def impact(at: Situation, n: int) -> Impact:
    return Impact(name="impact", k=np.linspace(1e-3, 1e-2, n))


def solved(given: Problem) -> Solution:
    found, remarks = Routes(solver="auto", tolerance=TOLERANCE, nodes=0).solve(given)
    assert found.w is not None, (found.status, [remark.text for remark in remarks])
    assert found.residual <= TOLERANCE
    return found


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("n", [20, 50])
def test_shortfall_beside_variance_is_certified_by_the_first_solver(n: int, seed: int) -> None:
    found = solved(problem(n, seed, variance))
    assert found.route == "piqp"


@pytest.mark.parametrize("n", [20, 50, 120])
def test_shortfall_beside_a_risk_limit_that_binds_is_certified(n: int) -> None:
    given = problem(n, 1, risk_limit)
    found = solved(given)
    ((cap, used),) = used_of_caps(given, found.w)  # type: ignore[arg-type]
    assert used == pytest.approx(cap.limit, abs=1e-10)
    assert found.risk_caps[0] > 0


@pytest.mark.parametrize(
    ("more", "lower"),
    [((spread, turnover), 0.0), ((variance, spread, turnover), 0.0), ((gross, variance), -0.05), ((impact,), 0.0)],
)
@pytest.mark.parametrize("seed", range(3))
def test_so_it_is_with_costs_and_caps_beside(more: Any, lower: float, seed: int) -> None:
    solved(problem(20, seed, *more, lower=lower))


@pytest.mark.parametrize("seed", range(3))
def test_a_rough_answer_becomes_the_exact_one_and_costs_no_more(seed: int) -> None:
    given, rng = problem(30, seed, variance, spread), np.random.default_rng(seed)
    exact = solved(given)
    assert exact.w is not None
    rough = certified(given, replace(exact, w=np.clip(exact.w + 1e-6 * rng.normal(size=30), 0.0, 0.1)))
    assert rough.residual > TOLERANCE
    again = polished(given, rough, TOLERANCE)
    assert again.residual <= 1e-3 * TOLERANCE
    np.testing.assert_allclose(again.w, exact.w, atol=1e-7)
    assert objective(given, again.w) <= objective(given, exact.w) + 1e-10  # type: ignore[arg-type]


def test_what_it_cannot_better_it_leaves_as_it_is() -> None:
    given = problem(20, 0, variance)
    found = Compiled().solve(given)
    assert found.w is not None
    without = replace(found, rows=None)
    assert polished(given, without, TOLERANCE) is without
    far = certified(given, replace(found, w=np.full(20, 0.05), tails=(np.full(T, 1 / T),)))
    assert polished(given, far, TOLERANCE).residual <= far.residual
