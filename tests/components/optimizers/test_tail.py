"""Expected shortfall as a term: the same answer as the method, certified from its scenarios' multipliers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from components.optimizers.certificate import residual
from components.optimizers.constraints.box import WeightBox
from components.optimizers.constraints.budget import Budget
from components.optimizers.constraints.long_only import LongOnly
from components.optimizers.methods.composed import Composed
from components.optimizers.methods.mean_cvar import MeanCvar
from components.optimizers.methods.routes import Routes
from components.optimizers.problem import Box, Linear, Problem, Rows, Solution, Tail, Variance
from components.optimizers.stating import expected_shortfall, objective, stated
from components.optimizers.terms.cvar import Shortfall
from components.optimizers.terms.expected_return import ExpectedReturn
from components.optimizers.terms.variance import RiskOf
from engine.universe import universe_of
from tests.components.optimizers.placed import situation
from tests.make import market

N = 8
U = universe_of(tuple(f"S{i:03d}" for i in range(N)))


def taught(method: Any, slices: int = 60) -> Any:
    for bars in market(N, slices, seed=3, holes=0.0, late=0):
        method.on_bars(bars)
    return method


def problem(*pieces: Any, n: int = 3) -> Problem:
    bounds = Box(name="long_only", lower=np.zeros(n), upper=np.ones(n))
    row = Rows(name="budget", A=np.ones((1, n)), low=np.ones(1), high=np.ones(1), labels=("sum",))
    return stated([bounds, row, *pieces], situation(n))


def solved(given: Problem) -> Solution:
    found, remarks = Routes(solver="auto", tolerance=1e-7, nodes=0).solve(given)
    assert found.w is not None, (found.status, remarks)
    return found


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_it_is_the_answer_of_the_method(level: float) -> None:
    limits = (LongOnly(), Budget(full=True), WeightBox(max=0.4))
    term = Shortfall(universe=U, window=50, min_slices=20, level=level)
    composed = taught(Composed(universe=U, objective=(term,), constraints=limits))
    method = taught(MeanCvar(universe=U, window=50, min_slices=20, level=level, max_weight=0.4))
    one, other = composed.weights(situation(N)), method.weights(situation(N))
    R = method._returns.scenarios()
    loss = [expected_shortfall(-R @ decision.weights, level) for decision in (one, other)]
    assert loss[0] == pytest.approx(loss[1], abs=1e-9)
    assert one.weights.sum() == pytest.approx(1.0, abs=1e-8)


def test_two_names_that_lose_by_turns_are_held_half_and_half() -> None:
    R = np.array([[-0.04, 0.02], [0.02, -0.04], [0.01, 0.01], [0.01, 0.01]])
    found = solved(problem(Tail(name="cvar", returns=R, level=0.75, weight=1.0), n=2))
    np.testing.assert_allclose(found.w, [0.5, 0.5], atol=1e-7)
    np.testing.assert_allclose(found.tails[0], [0.5, 0.5, 0.0, 0.0], atol=1e-7)


def test_one_that_loses_less_whatever_happens_is_held_alone() -> None:
    rng = np.random.default_rng(0)
    worse = rng.normal(0, 0.02, (40, 1))
    found = solved(problem(Tail(name="cvar", returns=np.hstack([worse, worse + 0.01, worse]), level=0.9, weight=2.0)))
    np.testing.assert_allclose(found.w, [0.0, 1.0, 0.0], atol=1e-7)


@pytest.mark.parametrize("curved", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_certificate_knows_an_optimum_from_what_is_near_it(seed: int, curved: bool) -> None:
    rng = np.random.default_rng(seed)
    tail = Tail(name="cvar", returns=rng.normal(0, 0.02, (60, 6)), level=0.9, weight=1.0)
    pieces: list[Any] = [tail, Linear(name="expected_return", cost=rng.normal(0, 2e-3, 6))]
    pieces += [Variance(name="variance", aversion=20.0, about=np.zeros(6))] if curved else []
    given = problem(*pieces, n=6)
    found = solved(given)
    assert found.residual <= 1e-7
    assert found.tails[0].sum() == pytest.approx(1.0, abs=1e-7)
    w = np.clip(found.w + 0.02 * rng.normal(size=6), 0, 1)
    w /= w.sum()
    assert objective(given, w) > objective(given, found.w)
    assert residual(given, replace(found, w=w)) > 1e-5
    shifted = found.tails[0] + np.where(np.arange(60) == int(found.tails[0].argmin()), 0.01, -0.01 / 59)
    assert residual(given, replace(found, tails=(shifted,))) > 1e-5
    assert residual(given, replace(found, tails=())) == np.inf
    assert found.box is not None
    assert residual(given, replace(found, box=found.box + 1e-3)) > 1e-5


def test_with_returns_and_risk_it_is_one_problem_and_waits_for_its_window() -> None:
    terms = (ExpectedReturn(universe=U), RiskOf(), Shortfall(universe=U, window=50, min_slices=20, weight=0.5))
    method = Composed(universe=U, objective=terms, constraints=(LongOnly(), Budget(full=True)))
    assert method.weights(situation(N)).reason == "cvar: no symbol has enough returns yet"
    assert method.lookback == 51
    decision = taught(method).weights(situation(N))
    assert decision.weights is not None
    assert "solved by piqp" in next(remark.text for remark in decision.remarks if remark.kind == "weights")
