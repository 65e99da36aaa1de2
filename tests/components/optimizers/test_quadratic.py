"""The compiled problem against closed forms and another solver."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.optimizers.program_matrices import narrowed, size_for
from components.optimizers.quadratic import Problem, Quadratic
from components.optimizers.stating import exposures
from engine.protocols import Risk

PIQP = Quadratic(slots=8, columns=8)
CLARABEL = Quadratic(slots=8, columns=8, solver="CLARABEL")


def problem(seed: int, *, n: int = 6, k: int = 3, **changes: object) -> Problem:
    rng = np.random.default_rng(seed)
    fields: dict[str, object] = {
        "a": rng.normal(0.0, 0.002, n),
        "L": rng.normal(0.0, 0.02, (n, k)),
        "d": rng.uniform(0.02, 0.06, n),
        "w0": rng.dirichlet(np.ones(n)) * 0.9,
        "ub": np.full(n, 0.4),
        "c": 2e-4,
        "lo": 0.0,
        "hi": 0.95,
    }
    return Problem(**(fields | changes))  # type: ignore[arg-type]


def objective(p: Problem, w: np.ndarray) -> float:
    risk = float(((p.L.T @ w) ** 2).sum() + ((p.d * w) ** 2).sum())
    return float(p.a @ w) - risk / 2 - p.c * float(np.abs(w - p.w0).sum())


def weights(program: Quadratic, p: Problem) -> np.ndarray:
    answer = program.solve(p)
    assert answer.weights is not None, answer.status
    return answer.weights


@pytest.mark.parametrize("seed", range(8))
def test_without_bounds_and_costs_it_is_the_closed_form(seed: int) -> None:
    """w = Sigma^-1 a."""
    p = problem(seed)
    sigma = p.L @ p.L.T + np.diag(p.d**2)
    a = sigma @ p.w0  # so that the answer is positive and w >= 0 does not bind
    free = problem(seed, a=a, c=0.0, ub=np.full(6, 10.0), hi=10.0)
    np.testing.assert_allclose(weights(PIQP, free), np.linalg.solve(sigma, a), atol=1e-6)


def test_one_asset_with_linear_cost_is_a_soft_threshold() -> None:
    """w = w0 + soft(a - g s2 w0, c) / (g s2): no trade inside the cost."""
    for a, expected in ((0.004, (0.004 - 0.0008) / 0.008), (0.0009, 0.1), (0.0001, 0.1), (-0.002, 0.0)):
        p = Problem(np.array([a]), np.zeros((1, 1)), np.sqrt([0.008]), np.array([0.1]), np.ones(1), 0.0008, 0.0, 1.0)
        assert weights(PIQP, p)[0] == pytest.approx(expected, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000), st.integers(1, 8), st.floats(0, 1e-3), st.floats(0.05, 1.0), st.booleans())
def test_another_solver_finds_nothing_better(seed: int, n: int, c: float, cap: float, full: bool) -> None:
    hi = 0.9 * min(n * cap, 1.0)
    p = problem(seed, n=n, c=c, ub=np.full(n, cap), hi=hi, lo=hi if full else 0.0, w0=np.full(n, 0.5 / n))
    w = weights(PIQP, p)
    assert (w >= 0).all()
    assert (w <= p.ub).all()
    assert p.lo - 1e-6 <= w.sum() <= p.hi + 1e-6
    assert objective(p, w) >= objective(p, weights(CLARABEL, p)) - 1e-8


def test_the_answer_does_not_depend_on_what_was_solved_before() -> None:
    fresh = Quadratic(slots=8, columns=8).solve(problem(1)).weights
    used = Quadratic(slots=8, columns=8)
    for seed in (5, 6, 7):
        used.solve(problem(seed))
    again = used.solve(problem(1)).weights
    assert fresh is not None
    assert again is not None
    assert fresh.tolist() == again.tolist()


def test_scaling_all_terms_together_changes_nothing() -> None:
    p = problem(2)
    q = problem(2, a=p.a * 3, L=p.L * np.sqrt(3), d=p.d * np.sqrt(3), c=p.c * 3)
    np.testing.assert_allclose(weights(PIQP, p), weights(PIQP, q), atol=1e-5)


def test_variance_falls_as_risk_aversion_grows_and_turnover_as_cost_grows() -> None:
    def variance(gamma: float) -> float:
        p = problem(3, c=0.0)
        w = weights(PIQP, problem(3, c=0.0, L=p.L * np.sqrt(gamma), d=p.d * np.sqrt(gamma)))
        return float(((p.L.T @ w) ** 2).sum() + ((p.d * w) ** 2).sum())

    def turnover(c: float) -> float:
        p = problem(3, c=c)
        return float(np.abs(weights(PIQP, p) - p.w0).sum())

    assert np.all(np.diff([variance(g) for g in (0.5, 1, 2, 4, 8)]) <= 1e-9)
    assert np.all(np.diff([turnover(c) for c in (0, 1e-4, 4e-4, 2e-3, 1e-1)]) <= 1e-6)


def test_rule_47_an_infeasible_problem_has_no_weights_but_a_reason() -> None:
    answer = Quadratic(slots=8, columns=8).solve(problem(4, lo=5.0, hi=6.0))
    assert answer.weights is None
    assert "infeasible" in answer.status


def test_a_figure_that_is_not_finite_is_not_solved() -> None:
    answer = PIQP.solve(problem(4, a=np.full(6, np.nan)))
    assert (answer.weights, answer.status) == (None, "a figure of the problem is not finite")


def test_a_solver_that_fails_is_named_in_the_reason() -> None:
    answer = Quadratic(slots=8, columns=8, solver="MOSEK").solve(problem(4))
    assert answer.weights is None
    assert answer.status.startswith("solver failed: ")


def test_too_many_names_for_the_slots_is_an_error() -> None:
    with pytest.raises(ValueError, match="9 names, 3 factors exceed 8, 8"):
        PIQP.solve(problem(4, n=9))


def test_roots_reproduce_the_covariance() -> None:
    rng = np.random.default_rng(0)
    F, half = rng.normal(size=(7, 4)), rng.normal(size=(4, 2))
    for om in (np.eye(4), half @ half.T):
        R = exposures(Risk(factors=F, covariance=om, specific=np.zeros(len(F))))
        np.testing.assert_allclose(R @ R.T, F @ om @ F.T, atol=1e-12)
    wide = rng.normal(size=(3, 20))
    narrow = narrowed(wide, 8)
    assert narrow.shape == (3, 3)
    np.testing.assert_allclose(narrow @ narrow.T, wide @ wide.T, atol=1e-12)
    assert narrowed(narrow, 8) is narrow


def test_few_sizes_are_ever_compiled() -> None:
    assert {size_for(n) for n in range(1, 501)} == {8, 16, 32, 64, 128, 256, 512}
