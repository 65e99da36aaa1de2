"""The residual of the optimality conditions: near 0 at optima of any route, large at anything else."""

from dataclasses import replace

import numpy as np
import pytest

from components.optimizers.certificate import certified, residual
from components.optimizers.kernel import Kernel
from components.optimizers.problem import Counted, RiskCap, Solution
from components.optimizers.stating import objective
from tests.components.optimizers.drawn import by_cvxpy, covariance, drawn, problem, spread_risk, trading


def test_moved_weights_and_multipliers_of_the_wrong_sign_are_rejected() -> None:
    told = 0
    for seed in range(200):
        p = drawn(seed)
        answer = Kernel().solve(p)
        assert answer.w is not None
        assert answer.rows is not None
        assert residual(p, answer) <= 1e-9
        i = seed % len(p)
        for by in (1e-4, -1e-4):
            moved = answer.w + by * (np.arange(len(p)) == i)
            assert residual(p, replace(answer, w=moved)) >= 1e-6, seed
        j = int(np.argmax(np.abs(answer.rows))) if len(answer.rows) else 0
        if len(answer.rows) and abs(answer.rows[j]) > 1e-6:
            flipped = answer.rows * np.where(np.arange(len(answer.rows)) == j, -1.0, 1.0)
            assert residual(p, replace(answer, rows=flipped)) >= 1e-6, seed
            told += 1
        assert answer.box is not None
        if np.abs(answer.box).max() > 1e-5:
            assert residual(p, replace(answer, box=-answer.box)) >= 1e-6, seed
    assert told > 100


def test_it_grows_with_the_error() -> None:
    p = drawn(17)
    answer = Kernel().solve(p)
    assert answer.w is not None
    free = np.argmin(np.abs(answer.box)) if answer.box is not None else 0
    step = np.arange(len(p)) == free
    found = [residual(p, replace(answer, w=answer.w + by * step)) for by in (1e-9, 1e-7, 1e-5, 1e-3)]
    assert all(b > 10 * a for a, b in zip(found, found[1:], strict=False))
    assert found[0] < 1e-7


def test_a_multiplier_above_its_price_is_rejected() -> None:
    rows = {"A": np.ones((1, 5)), "low": [1.0], "high": [1.0]}
    p = problem(np.zeros(5), risk=spread_risk(5), aversion=5.0, **rows)
    answer = Kernel().solve(p)
    assert answer.rows is not None
    assert residual(p, answer) <= 1e-12
    price = abs(float(answer.rows[0]))
    assert residual(replace(p, row_soft=np.array([0.9 * price])), answer) > 1e-3
    assert residual(replace(p, row_soft=np.array([1.1 * price])), answer) <= 1e-12


def test_a_multiplier_of_a_row_with_slack_is_rejected() -> None:
    p = problem(np.zeros(5), risk=spread_risk(5), aversion=5.0, A=np.ones((1, 5)), low=[-1.0], high=[1.0])
    zero = Solution(status="optimal", route="x", w=np.zeros(5), box=np.zeros(5), rows=np.zeros(1))
    assert residual(p, zero) == 0.0
    assert residual(p, replace(zero, rows=np.array([1e-4]))) > 1e-3


def test_multipliers_that_are_missing_are_recovered() -> None:
    told = 0
    for seed in range(80):
        p = drawn(seed)
        answer = Kernel().solve(p)
        bare = Solution(status="optimal", route="x", w=answer.w, iterations=0)
        found = residual(p, bare)
        free = (answer.w > p.lower + 1e-5) & (answer.w < p.upper - 1e-5)
        for kink in p.kinks:
            free &= np.abs(answer.w - kink.at) > 1e-5
        if (
            np.linalg.matrix_rank(p.A[:, free]) == len(p.A) and not p.turnover and not p.gross
        ):  # else others fit as well
            assert found <= 1e-6, seed
            told += 1
        assert residual(p, replace(bare, w=answer.w + 1e-3 * (np.arange(len(p)) == 0))) > 1e-7, seed
    assert told > 20


def test_the_answer_of_an_interior_point_method_passes_too() -> None:
    w0 = np.random.default_rng(1).dirichlet(np.ones(12))
    rows = {"A": np.ones((1, 12)), "low": [1.0], "high": [1.0]}
    bounds = {"lower": np.zeros(12), "upper": np.full(12, 0.2)}
    q = np.random.default_rng(2).normal(size=12) * 1e-3
    p = problem(q, risk=spread_risk(12), aversion=5.0, kinks=(trading(1e-4, w0),), w0=w0, **rows, **bounds)
    w = by_cvxpy(p)
    assert residual(p, Solution(status="optimal", route="CLARABEL", w=w)) < 1e-5


def test_a_cap_on_risk_has_its_own_multiplier() -> None:
    """x = T / sqrt(m'S^-1 m) S^-1 m spends a budget T of standard deviation; its multiplier is sqrt(m'S^-1 m)."""
    risk, m = spread_risk(8), np.random.default_rng(3).normal(size=8) * 1e-3
    ratio = float(np.sqrt(m @ np.linalg.solve(covariance(risk), m)))
    x = 0.01 / ratio * np.linalg.solve(covariance(risk), m)
    p = replace(problem(-m), risk=risk, risk_caps=(RiskCap(name="te", limit=0.01, about=np.zeros(8)),))
    answer = Solution(status="optimal", route="x", w=x, box=np.zeros(8), rows=np.zeros(0), risk_caps=(ratio,))
    assert residual(p, answer) < 1e-9
    assert residual(p, replace(answer, w=1.01 * x)) > 1e-5
    assert residual(p, replace(answer, risk_caps=(0.9 * ratio,))) > 1e-5
    assert residual(p, replace(answer, risk_caps=())) < 1e-9
    assert objective(p, x) == pytest.approx(-0.01 * ratio)


def test_what_cannot_be_judged_is_infinitely_far() -> None:
    p = problem(np.zeros(3), risk=spread_risk(3), aversion=1.0)
    good = Solution(status="optimal", route="x", w=np.zeros(3))
    assert residual(p, good) == 0.0
    assert certified(p, good).residual == 0.0
    assert residual(p, replace(good, w=None)) == np.inf
    assert residual(p, replace(good, w=np.full(3, np.nan))) == np.inf
    assert residual(replace(p, counted=(Counted(name="few", most=2),)), good) == np.inf
