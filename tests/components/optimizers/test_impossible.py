"""Constraints that never can be met together are told at start, those that may be are not."""

from typing import Any

import pytest

from components.optimizers.constraints.box import WeightBox
from components.optimizers.constraints.budget import Budget
from components.optimizers.constraints.gross import Gross
from components.optimizers.constraints.long_only import LongOnly
from components.optimizers.constraints.sectors import Sectors
from components.optimizers.constraints.turnover import Turnover
from components.optimizers.methods.composed import Composed
from components.optimizers.terms.cvar import Shortfall
from components.optimizers.terms.expected_return import ExpectedReturn
from components.optimizers.terms.impact import ImpactCost
from components.optimizers.terms.linear_cost import LinearCost
from components.optimizers.terms.variance import RiskOf
from engine.universe import universe_of


def made(*constraints: Any) -> Composed:
    return Composed(universe=universe_of(("A", "B")), objective=(RiskOf(aversion=5.0),), constraints=constraints)


@pytest.mark.parametrize(
    ("constraints", "said"),
    [
        ((LongOnly(), WeightBox(max=-0.1)), "long_only wants weights of at least 0, box of at most -0.1"),
        ((WeightBox(min=0.2), WeightBox(max=0.1)), "box wants weights of at least 0.2, box of at most 0.1"),
        ((LongOnly(), Budget(max=-0.5)), "budget wants weights to add up to at most -0.5, the others to at least 0"),
        (
            (WeightBox(max=0.0), Budget(min=0.5)),
            "budget wants weights to add up to at least 0.5, the others to at most 0",
        ),
        ((Gross(max=1.5), Budget(min=2.0)), "budget wants weights to add up to at least 2, the others to at most 1.5"),
        ((Gross(max=1.5), Budget(max=-2.0)), "at most -2, the others to at least -1.5"),
    ],
)
def test_a_contradiction_that_no_market_changes_is_refused_at_start(constraints: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"constraints must not contradict each other: .*{said}"):
        made(*constraints)


def test_what_may_be_met_or_has_a_price_is_accepted() -> None:
    made(LongOnly(), WeightBox(max=0.01), Budget(min=1.0, max=1.0))  # of a hundred names
    made(Gross(max=1.0), Budget(min=1.0, max=1.0), Sectors(max=0.2))
    made(LongOnly(), Budget(max=-0.5, soft=0.01))
    made(LongOnly(), WeightBox(max=-0.1, soft=0.01))


STRAIGHT = (ExpectedReturn(universe=universe_of(("A", "B"))), LinearCost(buy_bps=5))


@pytest.mark.parametrize(
    ("constraints", "said"),
    [
        ((), "from below or above"),
        ((LongOnly(),), "from above"),
        ((Budget(full=True),), "from below"),
        ((LongOnly(), Budget(min=1)), "from above"),
        ((WeightBox(max=0.1), Turnover(max=0.1)), "from below"),
        ((WeightBox(min=0.0, max=0.1, soft=1e-5),), "from below or above"),
        ((Gross(max=1.0, soft=1e-5),), "from below or above"),
        ((LongOnly(), Budget(full=True, soft=1e-5)), "from above"),
    ],
)
def test_straight_lines_without_bounds_are_refused_at_start(constraints: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"no term bends .ExpectedReturn, LinearCost. and nothing .* {said}"):
        Composed(universe=universe_of(("A", "B")), objective=STRAIGHT, constraints=constraints)


@pytest.mark.parametrize(
    "constraints",
    [(LongOnly(), Budget()), (WeightBox(min=-0.1, max=0.1),), (Gross(max=1),), (Turnover(max=0.1, build_up=False),)],
)
def test_straight_lines_within_bounds_are_a_problem(constraints: Any) -> None:
    u = universe_of(("A", "B"))
    Composed(universe=u, objective=STRAIGHT, constraints=constraints)
    Composed(universe=u, objective=(*STRAIGHT, RiskOf()))


def test_a_solver_that_lacks_a_piece_is_refused_at_start() -> None:
    u = universe_of(("A", "B"))
    with pytest.raises(ValueError, match="solver piqp has no ImpactCost; say auto or clarabel"):
        Composed(universe=u, objective=(RiskOf(), ImpactCost()), solver="piqp")
    with pytest.raises(ValueError, match="solver kernel has no Shortfall; say auto or clarabel"):
        Composed(universe=u, objective=(RiskOf(), Shortfall(universe=u)), solver="kernel")
    Composed(universe=u, objective=(RiskOf(), ImpactCost()), solver="kernel")
