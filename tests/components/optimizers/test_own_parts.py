"""A user's own methods, terms and constraints: what they are handed, and that what is wrong is told in their name."""

from typing import Any

import numpy as np
import pytest

from components.costs.bps import Bps
from components.optimizers.methods.composed import Composed
from components.optimizers.portfolio import Portfolio
from components.optimizers.problem import Box, Decision, Linear, Remark, Rows, Situation
from components.optimizers.terms.variance import RiskOf
from engine.errors import ComponentError
from engine.events import Note
from engine.ids import OrderIds
from engine.universe import universe_of
from tests.components.optimizers.placed import situation
from tests.make import bars, book, target

N = 4
NONE = np.empty(0, np.int32)


class Says:
    """A method, term or constraint that answers what it was made with, or raises it."""

    soft: float | None = None

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def weights(self, at: Situation, /) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer(at) if callable(self.answer) else self.answer

    cost = allows = weights


def decided(answer: Any) -> tuple[Any, ...]:
    u = universe_of(tuple("ABCD"))
    optimizer = Portfolio(universe=u, ids=OrderIds("s", "o"), name="o", costs=Bps(), method=Says(answer))
    close = [10.0, 20.0, 30.0, 40.0]
    optimizer.on_bars(bars(ts=1, close=close))
    return optimizer.on_targets((target(1, [0.25] * N),), book(1, close, cash=1e4))


def remark(**changed: Any) -> Remark:
    given: dict[str, Any] = {"kind": "k", "text": "t", "symbol": NONE, "value": np.ones(1)}
    return Remark(**(given | changed))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (RuntimeError("boom"), "method Says: failed on weights .* RuntimeError: boom"),
        (5, "it answered a int, not a Decision"),
        (Decision(weights=np.zeros(2)), r"it answered shape \(2,\), not \(4\): a weight for each symbol"),
        (Decision(weights=[0.1] * N), "it answered a list, not an array of float64"),  # type: ignore[arg-type]
        (Decision(weights=None, remarks=("hm",)), "a remark is a str, not a Remark"),  # type: ignore[arg-type]
        (Decision(weights=None, remarks=(remark(symbol=np.array([4])),)), "of symbol 4; there are 0 to 3"),
    ],
)
def test_a_method_that_goes_wrong_is_told_in_its_own_name(answer: Any, said: str) -> None:
    with pytest.raises(ComponentError, match=said) as error:
        decided(answer)
    assert error.value.component == "method Says"


def test_a_method_cannot_write_into_what_others_read() -> None:
    def writes(at: Situation) -> Decision:
        at.w0[:] = 1.0
        return Decision(weights=at.w0)

    with pytest.raises(ComponentError, match="method Says.* read-only"):
        decided(writes)


def test_what_a_method_keeps_and_changes_later_does_not_change_what_was_said() -> None:
    kept = np.array([0.5])
    answer = decided(Decision(weights=np.full(N, np.nan), remarks=(remark(value=kept),)))
    kept[0] = 7.0
    assert [event.value.tolist() for event in answer if isinstance(event, Note)] == [[0.5]]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        (Linear(name="x", cost=np.zeros(N)), "it answered a Linear, not a tuple of pieces"),
        ((3.0,), "a piece is a float; pieces are Linear, Variance"),
        ((Linear(name="x", cost=np.zeros(2)),), r"cost of 'x' .* shape \(2,\), not \(4\)"),
        ((Box(name="x", lower=0.0, upper=np.ones(N)),), "lower of 'x' .* a float, not an array"),  # type: ignore[arg-type]
        (
            (Rows(name="x", A=np.ones((1, 3)), low=np.zeros(1), high=np.ones(1), labels=("a",)),),
            r"A of 'x' .* shape \(1, 3\), not \(1, 4\)",
        ),
    ],
)
@pytest.mark.parametrize("group", ["term", "constraint"])
def test_pieces_that_are_none_are_told_in_the_name_of_who_said_them(group: str, answer: Any, said: str) -> None:
    at, mine = situation(N), Says(answer)
    terms: tuple[Any, ...] = (RiskOf(aversion=5.0), *((mine,) if group == "term" else ()))
    constraints: tuple[Any, ...] = (mine,) if group == "constraint" else ()
    method = Composed(universe=at.universe, objective=terms, constraints=constraints)
    with pytest.raises(ComponentError, match=f"{group} Says: failed on .*{said}"):
        method.weights(at)


def test_a_constraint_of_a_user_s_own_binds_and_is_named() -> None:
    at = situation(N)
    mine = Says(lambda at: (Box(name="mine", lower=np.full(N, 0.3), upper=np.full(N, np.inf)),))
    decision = Composed(universe=at.universe, objective=(RiskOf(aversion=5.0),), constraints=(mine,)).weights(at)
    assert decision.weights is not None
    assert decision.weights.min() == pytest.approx(0.3)
    assert "binds:mine" in [remark.kind for remark in decision.remarks]


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        ((Box(name="mine", lower=np.full(N, np.nan), upper=np.ones(N)),), "mine: lower has 4 figures that are no"),
        ((Linear(name="mine", cost=np.array([0.0, np.nan, 0.0, 0.0])),), "mine: cost has 1 figures that are no"),
    ],
)
def test_figures_that_are_no_numbers_are_a_reason_and_no_bound_is_lost(pieces: Any, said: str) -> None:
    at = situation(N)
    method = Composed(universe=at.universe, objective=(RiskOf(aversion=5.0), Says(pieces)))
    decision = method.weights(at)
    assert decision.weights is None
    assert said in decision.reason


class Divides:
    """A constraint that fails, as a run file may name it."""

    soft: float | None = None

    def allows(self, at: Situation, /) -> tuple[Any, ...]:
        return (at.equity / 0,)
