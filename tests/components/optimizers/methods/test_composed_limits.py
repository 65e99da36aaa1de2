"""A solver that reaches its count of iterations takes the declared steps; a term without figures says so once."""

from typing import Any

import numpy as np
import pytest

from components.optimizers.constraints.budget import Budget
from components.optimizers.constraints.long_only import LongOnly
from components.optimizers.constraints.turnover import Turnover
from components.optimizers.methods.composed import Composed
from components.optimizers.program_drive import MAX_ITERATIONS
from components.optimizers.terms.impact import ImpactCost
from components.optimizers.terms.variance import RiskOf
from engine.universe import universe_of
from tests.components.optimizers.placed import situation

N = 8
U = universe_of(tuple(f"S{i:03d}" for i in range(N)))
LIMITS: tuple[Any, ...] = (LongOnly(), Budget(full=True))


@pytest.mark.parametrize(
    ("solved_before", "step"), [(False, "fallback:hold"), (True, "fallback:shrink")], ids=["at first", "later"]
)
def test_a_count_of_iterations_that_is_reached_takes_the_declared_steps(
    monkeypatch: pytest.MonkeyPatch, solved_before: bool, step: str
) -> None:
    method = Composed(
        universe=U, objective=(RiskOf(aversion=5.0),), constraints=(*LIMITS, Turnover(max=0.3)), solver="piqp"
    )
    before = method.weights(situation(N)).weights if solved_before else None
    method._routes._solvers.clear()  # what is compiled has its count
    monkeypatch.setitem(MAX_ITERATIONS, "piqp", 1)
    decision = method.weights(situation(N, seed=1))
    said = {remark.kind: remark for remark in decision.remarks}
    assert said["route"].text == "piqp did not answer: iteration_limit"
    assert said["route"].value.tolist() == [1.0]
    assert step in said
    assert said[step].text.startswith("iteration_limit; ")
    if before is None:
        assert (decision.weights, decision.reason) == (None, "iteration_limit")
    else:
        np.testing.assert_allclose(decision.weights, before, atol=1e-12)


def test_impact_without_traded_money_is_told_once_a_session_and_not_again_after_a_stop() -> None:
    def made() -> Composed:
        return Composed(universe=U, objective=(RiskOf(), ImpactCost()), constraints=LIMITS)

    def told(method: Composed, **given: Any) -> list[str]:
        return [remark.text for remark in method.weights(situation(N, **given)).remarks if remark.kind == "silent"]

    first, none = made(), np.full(N, np.nan)
    assert told(first) == []
    assert told(first, traded=none) == ["impact: no name's traded money is known, so trades are taken to move no price"]
    assert told(first, traded=none) == []
    second = made()
    second.load(first.save())
    assert told(second, traded=none) == []
