"""Each constraint allows what its formula says, for names that may move."""

from typing import Any

import numpy as np
import pytest

from components.optimizers.constraints.benchmark_band import BenchmarkBand
from components.optimizers.constraints.beta import Beta
from components.optimizers.constraints.box import WeightBox
from components.optimizers.constraints.budget import Budget
from components.optimizers.constraints.cardinality import Cardinality
from components.optimizers.constraints.exposures import Exposures
from components.optimizers.constraints.gross import Gross
from components.optimizers.constraints.group import Group
from components.optimizers.constraints.listed import Listed
from components.optimizers.constraints.long_only import LongOnly
from components.optimizers.constraints.max_trade import MaxTrade
from components.optimizers.constraints.no_trade_zone import NoTradeZone
from components.optimizers.constraints.participation import Participation
from components.optimizers.constraints.risk_limit import RiskLimit
from components.optimizers.constraints.sectors import Sectors
from components.optimizers.constraints.turnover import Turnover
from components.optimizers.methods.composed import Composed
from components.optimizers.problem import Constraint, Situation
from components.optimizers.stating import broken, objective, stated
from components.optimizers.terms.variance import RiskOf
from tests.components.optimizers.placed import covariance, situation


def breaks(constraint: Constraint, at: Situation, w: Any) -> dict[str, float]:
    return broken(stated(constraint.allows(at), at), np.asarray(w, float))


def test_bounds() -> None:
    at = situation(3, w0=np.array([0.5, 0.2, 0.1]))
    assert breaks(LongOnly(), at, [0.1, -0.02, 0]) == {"long_only": pytest.approx(0.02)}
    assert breaks(WeightBox(min=-0.1, max=0.3), at, [0.4, 0, 0]) == {"box": pytest.approx(0.1)}
    assert breaks(BenchmarkBand(deviation=0.1), at, [1 / 3 + 0.15, 0.3, 0.3]) == {"benchmark_band": pytest.approx(0.05)}
    assert breaks(MaxTrade(max=0.05), at, [0.44, 0.2, 0.1]) == {"max_trade": pytest.approx(0.01)}


def test_a_name_that_cannot_move_is_bound_by_nothing_but_its_place() -> None:
    at = situation(3, free=np.array([True, False, True]), w0=np.array([0.1, 0.9, 0.0]))
    for constraint in (WeightBox(max=0.3), BenchmarkBand(deviation=0.1), LongOnly(), MaxTrade(max=0.01)):
        problem = stated(constraint.allows(at), at)
        assert problem.lower[1] == -np.inf, constraint
        assert problem.upper[1] == np.inf, constraint


def test_sums() -> None:
    at = situation(4, invest=0.8)
    assert breaks(Budget(), at, [0.3, 0.3, 0.3, 0.0]) == {"budget": pytest.approx(0.1)}
    assert breaks(Budget(), at, [0.1, 0.1, 0.0, 0.0]) == {}
    assert breaks(Budget(full=True), at, [0.1, 0.1, 0.0, 0.0]) == {"budget": pytest.approx(0.6)}
    assert breaks(Budget(min=0, max=0), at, [0.3, -0.2, 0.0, 0.0]) == {"budget": pytest.approx(0.1)}
    assert breaks(Gross(max=1.0), at, [0.8, -0.4, 0.0, 0.0]) == {"gross": pytest.approx(0.2)}


def test_a_budget_is_never_less_than_what_cannot_be_sold() -> None:
    at = situation(3, invest=0.2, w0=np.array([0.6, 0.1, 0.1]), free=np.array([False, True, True]))
    assert breaks(Budget(full=True), at, [0.6, 0.0, 0.0]) == {}


def test_groups() -> None:
    at = situation(4)
    assert breaks(Sectors(max=0.5), at, [0.4, 0.1, 0.2, 0.1]) == {"sectors": pytest.approx(0.1)}
    assert breaks(Sectors(deviation=0.05), at, [0.4, 0.1, 0.2, 0.1]) == {"sectors": pytest.approx(0.25)}
    assert stated(Sectors(max=0.5).allows(at), at).labels == ("Energy", "Tech")
    group = Group(universe=at.universe, label="duo", symbols=("S000", "S003"), max=0.3)
    assert breaks(group, at, [0.2, 5.0, 0.0, 0.2]) == {"group duo": pytest.approx(0.1)}


def test_exposures_are_counted_from_the_benchmark_unless_said() -> None:
    X = np.array([[1.0, 2.0], [np.nan, 1.0], [0.5, 0.0]])
    at = situation(3, references={"exposures": X}, columns={"exposures": ("size", "value")})
    w = np.array([0.5, 0.2, 0.3])
    known = np.nan_to_num(X)
    active = known.T @ (w - at.benchmark)
    assert breaks(Exposures(min=-0.1, max=0.1), at, w) == {"exposures": pytest.approx(max(abs(active)) - 0.1)}
    only = Exposures(min=0, max=0, factors=("value",), active=False)
    assert breaks(only, at, w) == {"exposures": pytest.approx(known[:, 1] @ w)}


def test_beta_of_the_benchmark_is_one() -> None:
    at = situation(5)
    assert breaks(Beta(min=1, max=1), at, at.benchmark).get("beta", 0.0) < 1e-14
    S = covariance(at.risk)
    w = np.array([0.5, 0.1, 0.1, 0.2, 0.1])
    beta = (S @ at.benchmark) @ w / (at.benchmark @ S @ at.benchmark)
    assert breaks(Beta(min=0, max=0), at, w) == {"beta": pytest.approx(beta)}


def test_turnover_says_which_it_counts_and_lets_an_empty_account_build_up() -> None:
    at = situation(3, w0=np.array([0.5, 0.5, 0.0]))
    w = [0.3, 0.5, 0.2]
    assert breaks(Turnover(max=0.3), at, w) == {"turnover": pytest.approx(0.1)}
    assert breaks(Turnover(max=0.15, count="one_way"), at, w) == {"turnover": pytest.approx(0.1)}
    assert breaks(Turnover(max=0.3), situation(3, w0=np.zeros(3)), w) == {}
    assert breaks(Turnover(max=0.3, build_up=False), situation(3, w0=np.zeros(3)), w) == {
        "turnover": pytest.approx(0.7)
    }


def test_exits_and_what_they_bring_come_on_top_of_the_cap_on_turnover() -> None:
    at = situation(3, w0=np.array([0.5, 0.3, 0.2]), free=np.array([True, True, False]), leaving=np.arange(3) == 2)
    assert breaks(Turnover(max=0.1), at, [0.6, 0.4, 0.0]) == {}
    assert breaks(Turnover(max=0.1), at, [0.8, 0.2, 0.0]) == {"turnover": pytest.approx(0.1)}


def test_participation_is_a_share_of_the_money_that_is_traded() -> None:
    at = situation(3, w0=np.array([0.1, 0.1, -0.1]), traded=np.array([1e6, np.nan, np.nan]))
    constraint = Participation(share=0.05)  # of a million traded and a million of equity
    assert breaks(constraint, at, [0.2, 0.1, -0.1]) == {"participation": pytest.approx(0.05)}
    assert breaks(constraint, at, [0.1, 0.0, 0.0]) == {}  # what is not known may shrink
    assert breaks(constraint, at, [0.1, 0.11, -0.1]) == {"participation": pytest.approx(0.01)}
    assert breaks(constraint, at, [0.1, 0.1, -0.12]) == {"participation": pytest.approx(0.02)}


def test_risk_is_limited_a_year() -> None:
    at = situation(4)
    w = np.array([0.7, 0.1, 0.1, 0.1])
    x = w - at.benchmark
    tracking = np.sqrt(x @ covariance(at.risk) @ x * 252)
    over = breaks(RiskLimit(max=float(tracking) - 0.01), at, w)
    assert over == {"risk_limit": pytest.approx(0.01 / np.sqrt(252))}
    assert breaks(RiskLimit(max=float(tracking) + 0.01), at, w) == {}


def test_lists() -> None:
    at = situation(3, w0=np.array([0.3, 0.3, 0.0]))

    def listed(rule: Any) -> Constraint:
        return Listed(universe=at.universe, symbols=("S001",), rule=rule)

    assert breaks(listed("sell"), at, [1, 0.3, 1]) == {"listed sell": pytest.approx(0.3)}
    assert breaks(listed("hold"), at, [1, 0.2, 1]) == {"listed hold": pytest.approx(0.1)}
    assert breaks(listed("no_buy"), at, [1, 0.2, 1]) == {}
    assert breaks(listed("no_buy"), at, [1, 0.4, 1]) == {"listed no_buy": pytest.approx(0.1)}


def test_counts_are_stated_as_such() -> None:
    at = situation(4)
    counted = stated(
        [*Cardinality(most=3, least_weight=0.05).allows(at), *NoTradeZone(value=2e4).allows(at)], at
    ).counted
    assert counted[0].most == 3
    assert counted[0].least_weight.tolist() == [0.05] * 4
    assert counted[1].least_trade.tolist() == pytest.approx([0.02] * 4)


def test_a_soft_constraint_costs_its_price_for_each_unit_beyond() -> None:
    at = situation(4)
    w = np.array([0.6, 0.2, 0.2, 0.2])
    for constraint, over in (
        (WeightBox(max=0.5, soft=0.01), 0.1),
        (Budget(max=1.0, soft=0.01), 0.2),
        (Gross(max=1.0, soft=0.01), 0.2),
        (Sectors(max=0.5, soft=0.01), 0.3),
        (Turnover(max=0.0, soft=0.01), float(np.abs(w - at.w0).sum())),
    ):
        problem = stated(constraint.allows(at), at)
        assert broken(problem, w) == {}, constraint
        assert objective(problem, w) == pytest.approx(0.01 * over), constraint


@pytest.mark.parametrize(
    ("part", "fields", "said"),
    [
        (Sectors(max=0.5), {"sectors": ()}, "the feed has told no sectors: name a file under feed.sectors"),
        (Sectors(deviation=0.1), {"benchmark": np.zeros(3)}, "there is no benchmark: set optimizer.benchmark"),
        (BenchmarkBand(deviation=0.1), {"benchmark": np.zeros(3)}, "there is no benchmark"),
        (Beta(min=0, max=1), {"benchmark": np.zeros(3)}, "there is no benchmark"),
        (Beta(min=0, max=1, reference="beta"), {}, "no Reference 'beta' has come: name a file under feed.reference"),
        (Exposures(min=0, max=0), {}, "no Reference 'exposures' has come"),
        (
            Exposures(min=0, max=0, factors=("moment",)),
            {"references": {"exposures": np.zeros((3, 1))}, "columns": {"exposures": ("momentum",)}},
            "has no column 'moment', it has momentum",
        ),
    ],
)
def test_a_limit_that_cannot_exist_is_told_and_nothing_is_solved(part: Any, fields: Any, said: str) -> None:
    at = situation(3, **fields)
    decision = Composed(universe=at.universe, objective=(RiskOf(),), constraints=(part,)).weights(at)
    assert decision.weights is None
    assert said in decision.reason


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: WeightBox(min=0.2, max=0.1), "min must not be above max, got 0.2 and 0.1"),
        (lambda: Sectors(), "a limit must be given"),
        (lambda: Sectors(max=1, soft=0), "soft must be finite and above 0, got 0"),
        (lambda: Turnover(max=-1), "max must be finite and at least 0, got -1"),
        (lambda: Turnover(max=1, count="half"), "count must be l1 or one_way, got 'half'"),  # type: ignore[arg-type]
        (lambda: Budget(min=1, full=True), "full belongs to a budget without min and max"),
        (lambda: Cardinality(), "most or least_weight must be given"),
        (lambda: NoTradeZone(), "width must be finite and above 0"),
        (
            lambda: Group(universe=situation(2).universe, label="g", symbols=("X",), max=1),
            "symbols of group 'g': no symbol 'X' in the universe",
        ),
        (
            lambda: Listed(universe=situation(2).universe, symbols=("X",), rule="sell"),
            "no 'X' in the universe",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


def test_a_factor_that_the_reference_lacks_is_no_limit_lost_in_silence() -> None:
    at = situation(4, references={"exposures": np.ones((4, 2))}, columns={"exposures": ("size", "value")})
    with pytest.raises(ValueError, match="factors: no 'beta' in the Reference exposures; it has size, value"):
        Exposures(min=0.0, max=0.0, factors=("beta",)).allows(at)


def test_a_sector_with_no_name_left_is_a_conflict_where_it_must_have_weight() -> None:
    from components.optimizers.methods.composed import Composed
    from components.optimizers.terms.variance import RiskOf

    at = situation(4, sectors=("Energy", "Tech", "Gone"))
    limits = (LongOnly(), Budget(full=True), Sectors(max=0.9))
    assert Composed(universe=at.universe, objective=(RiskOf(),), constraints=limits).weights(at).weights is not None
    must = (LongOnly(), Budget(full=True), Sectors(min=0.1))
    decision = Composed(universe=at.universe, objective=(RiskOf(),), constraints=must, fallback=("hold",)).weights(at)
    assert decision.weights is None
    assert "sectors[Gone]" in decision.reason
