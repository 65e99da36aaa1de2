"""What compiled loops say of usual problems is what arrays say of any."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from components.optimizers import figures
from components.optimizers.certificate import curvature, curved, residual
from components.optimizers.kernel import Kernel
from components.optimizers.problem import Problem, Solution
from components.optimizers.shadow import binding
from tests.components.optimizers.drawn import drawn, problem, spread_risk, trading
from tests.components.optimizers.placed import situation


def usual(seed: int) -> tuple[Problem, Solution]:
    """A problem without caps and tails, and its answer, at times with errors in it."""
    p = replace(drawn(seed), turnover=(), gross=(), risk_caps=(), tails=())
    answer = Kernel().solve(p)
    assert answer.w is not None
    rng = np.random.default_rng(seed)
    if seed % 2:
        answer = replace(answer, w=answer.w + 10.0 ** -rng.integers(2, 9) * rng.normal(size=len(p)))
    return p, answer


def most_of(n: int, seed: int) -> Any:
    free: Any = np.random.default_rng(seed).random(n) < 0.9
    return free


@pytest.mark.parametrize("seed", range(60))
def test_the_residual_and_what_binds_are_the_same_by_loops_and_by_arrays(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    p, answer = usual(seed)
    at = situation(len(p), w0=p.w0, free=most_of(len(p), seed))
    left, told = residual(p, answer), binding(p, answer, at)
    monkeypatch.setattr(figures, "usual", lambda problem: False)
    assert left == pytest.approx(residual(replace(p), answer), rel=1e-9, abs=1e-17)
    again = binding(replace(p), answer, at)
    assert [(one.kind, one.text) for one in told] == [(one.kind, one.text) for one in again]
    for one, other in zip(told, again, strict=True):
        assert one.symbol.dtype == other.symbol.dtype == np.int32
        assert np.array_equal(one.symbol, other.symbol)
        assert np.array_equal(one.value, other.value)


def test_what_was_made_of_a_problem_is_not_that_of_one_with_other_arrays() -> None:
    p = problem(np.array([0.01, -0.02]), risk=spread_risk(2), aversion=5.0, kinks=(trading(1e-3, [0.5, 0.5]),))
    assert figures.vectors(p) is figures.vectors(p)
    other = replace(p, q=np.zeros(2), lower=np.zeros(2))
    assert figures.vectors(other)[figures.Q].tolist() == [0.0, 0.0]
    assert figures.bounds(p)[0].tolist() == [-np.inf, -np.inf]
    assert figures.bounds(other)[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("specific", [0.0, 1e-4])
def test_second_derivatives_are_kept_only_where_the_risk_alone_decides(specific: float) -> None:
    risk: Any = spread_risk(3)
    risk = type(risk)(factors=0.0 * risk.factors, covariance=risk.covariance, specific=np.full(3, specific))
    for scale in (1.0, 10.0):
        for ridge in (0.0, 0.3):
            p = problem(np.full(3, 0.01 * scale), risk=risk, aversion=5.0 * scale, ridge=np.full(3, ridge))
            assert np.array_equal(curved(p)[0], curvature(p))
            same = problem(np.full(3, 0.5), risk=risk, aversion=5.0 * scale, ridge=np.full(3, ridge))
            assert np.array_equal(curved(same)[0], curvature(same))
