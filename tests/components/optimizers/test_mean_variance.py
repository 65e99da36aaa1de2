"""Mean-variance decisions: what is taken from the strategy, and what happens when there is no answer."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.costs.bps import Bps
from components.optimizers.mean_variance import MeanVariance
from components.risk_models.given_factors import GivenFactors
from components.risk_models.ledoit_wolf import LedoitWolf
from engine.events import ActionKind, Actions, Bars, Note, Orders, Reference, TargetKind
from engine.ids import OrderIds
from engine.protocols import Risk
from engine.universe import universe_of
from tests.make import bars, book, day, target

NAN = np.nan
MARK = np.array([10.0, 20.0, 25.0, 50.0])


class Given:
    """A risk model whose answer is known: one factor and given variances, or none while it is cold."""

    def __init__(self, factor: Any, specific: Any, *, warm: bool) -> None:
        self.warm = warm
        self.factor, self.specific = np.array(factor, float), np.array(specific, float)
        self.seen: list[int] = []

    def on_bars(self, bars: Bars, /) -> None:
        self.seen.append(bars.ts)

    def risk(self) -> Risk | None:
        if not self.warm:
            return None
        return Risk(factors=self.factor[:, None], covariance=np.array([[0.25]]), specific=self.specific)


def optimizer(
    *, factor: Any = (0.0,) * 4, specific: Any = (4e-4,) * 4, warm: bool = True, **options: Any
) -> MeanVariance:
    universe = universe_of(tuple("ABCD"))
    costs = options.pop("costs", Bps())
    chosen = {"alpha": "raw", "turnover_cost_bps": 0.0, "reserve_bps": 0.0} | options
    made = MeanVariance(
        universe=universe,
        ids=OrderIds("s", "opt"),
        costs=costs,
        name="opt",
        risk_model=Given(factor, specific, warm=warm),
        **chosen,
    )
    made.on_bars(bars(day(0), MARK))
    return made


def after(answer: tuple[Note | Orders, ...], where: Any) -> np.ndarray:
    """Weights once the orders are filled at the marks."""
    qty = np.array(where.qty)
    for event in answer:
        if isinstance(event, Orders):
            qty[event.symbol] += event.qty
    return qty * where.mark / where.equity


def orders_of(answer: tuple[Note | Orders, ...]) -> list[Orders]:
    return [event for event in answer if isinstance(event, Orders)]


def test_a_worked_example_is_the_closed_form() -> None:
    """w_i = a_i / (risk_aversion * variance_i) where nothing binds: 0.0004 / (5 * 0.0004) = 0.2."""
    where = book(day(0), MARK, cash=1e6)
    wish = target(day(0), [0.25] * 4, alpha=[4e-4, 2e-4, 6e-4, 1e-4])
    weights = after(optimizer().on_targets((wish,), where), where)
    np.testing.assert_allclose(weights, [0.2, 0.1, 0.3, 0.05], atol=1e-4)


def test_factor_risk_enters() -> None:
    """Sigma = 0.25 f f' + D, solved by hand for the names that may be held."""
    f, d = np.array([0.04, 0.02, 0.03, 0.01]), np.array([4e-4, 9e-4, 4e-4, 1e-4])
    sigma = 0.25 * np.outer(f, f) + np.diag(d)
    wanted = np.array([0.1, 0.2, 0.15, 0.3])
    where = book(day(0), MARK, cash=1e6)
    wish = target(day(0), [0.25] * 4, alpha=5 * sigma @ wanted)
    np.testing.assert_allclose(
        after(optimizer(factor=f, specific=d).on_targets((wish,), where), where), wanted, atol=1e-4
    )


def test_the_strategy_names_what_may_be_held_and_how_much_in_all() -> None:
    where = book(day(0), MARK, cash=1e6)
    wish = target(day(0), [0.4, 0.1, 0.0, 0.0], alpha=[5e-3, 5e-3, 9e-3, 9e-3])
    weights = after(optimizer().on_targets((wish,), where), where)
    np.testing.assert_allclose(weights, [0.25, 0.25, 0, 0], atol=1e-4)


def test_rule_46_max_weight_holds_after_rounding() -> None:
    where = book(day(0), MARK, cash=1e4)
    wish = target(day(0), [0.25] * 4, alpha=[9e-3, 1e-3, 2e-3, 1e-3])
    weights = after(optimizer(max_weight=0.15).on_targets((wish,), where), where)
    assert (weights <= 0.15).all()
    assert weights.sum() > 0.55


def test_a_name_not_wanted_is_sold_whole() -> None:
    where = book(day(0), MARK, cash=1e6, qty=[0, 0, 0, 37.0])
    wish = target(day(0), [0.5, 0.5, 0, 0], alpha=[1e-3] * 4)
    assert after(optimizer().on_targets((wish,), where), where)[3] == 0


def test_rule_17_nan_and_names_that_cannot_be_traded_keep_their_weight_and_count() -> None:
    made = optimizer()
    made.on_bars(bars(day(1), [10.0, NAN, 25.0, 50.0]))
    where = book(day(1), MARK, cash=6e5, qty=[0, 10_000, 8_000, 0])  # 20 % each in B and C
    wish = target(day(1), [0.3, 0.3, NAN, 0.1], alpha=[1e-2, 1e-2, 1e-2, 1e-5])
    weights = after(made.on_targets((wish,), where), where)
    np.testing.assert_allclose(weights, [0.3, 0.2, 0.2, 0.0], atol=1e-4)  # invest 0.7, of which 0.4 cannot move


def test_pinned_risk_pushes_correlated_names_down() -> None:
    where = book(day(0), MARK, cash=8e5, qty=[0, 10_000, 0, 0])
    wish = target(day(0), [0.4, NAN, 0.4, 0], alpha=[1e-3, 0, 1e-3, 0])
    weights = after(optimizer(factor=[0.05, 0.05, 0.0, 0.0]).on_targets((wish,), where), where)
    assert weights[0] < weights[2] - 0.05


def test_rule_17_without_alpha_a_wanted_name_is_not_increased() -> None:
    """Rule 17: NaN alpha means do not buy."""
    where = book(day(0), MARK, cash=1e6)
    wish = target(day(0), [0.5, 0.5, 0, 0], alpha=[NAN, 1e-3, 0, 0])
    weights = after(optimizer().on_targets((wish,), where), where)
    assert weights[0] == 0
    assert weights[1] > 0.3


def test_turnover_cost_makes_a_zone_without_trades() -> None:
    where = book(day(0), MARK, cash=8e5, qty=[20_000, 0, 0, 0])  # 20 %, the best is 22 %
    wish = target(day(0), [1.0, 0, 0, 0], alpha=[4.4e-4, 0, 0, 0])
    assert after(optimizer().on_targets((wish,), where), where)[0] == pytest.approx(0.22, abs=1e-3)
    for options in ({"turnover_cost_bps": 10.0}, {"turnover_cost_bps": None, "costs": Bps(commission_bps=10)}):
        assert orders_of(optimizer(**options).on_targets((wish,), where)) == []


def test_the_cost_is_spread_over_the_slices_a_position_is_held() -> None:
    where = book(day(0), MARK, cash=1e6)
    wish = target(day(0), [1.0, 0, 0, 0], alpha=[6e-4, 0, 0, 0])
    short = optimizer(turnover_cost_bps=10.0, holding_slices=1.0).on_targets((wish,), where)
    long = optimizer(turnover_cost_bps=10.0, holding_slices=5.0).on_targets((wish,), where)
    assert orders_of(short) == []
    assert after(long, where)[0] == pytest.approx(0.2, abs=1e-3)  # (6e-4 - 1e-3 / 5) / (5 * 4e-4)


def test_grinold_scales_alpha_by_volatility_ic_and_score() -> None:
    """a = ic * sigma * z: z of 1, 2, 3, 4 are -1.34, -0.45, 0.45, 1.34."""
    specific = np.array([1e-4, 4e-4, 1e-4, 4e-4])
    where = book(day(0), MARK, cash=1e6)
    wish = target(day(0), [0.25] * 4, alpha=[1.0, 2.0, 3.0, 4.0])
    made = optimizer(specific=specific, alpha="grinold", ic=0.02, risk_aversion=20.0)
    z = (np.arange(1, 5) - 2.5) / np.std(np.arange(1, 5))
    expected = np.maximum(0.02 * np.sqrt(specific) * z / (20 * specific), 0)
    np.testing.assert_allclose(after(made.on_targets((wish,), where), where), expected, atol=1e-4)


def test_fully_invested_reaches_the_level_even_at_a_loss() -> None:
    where = book(day(0), MARK, cash=1e6)
    wish = target(day(0), [0.3, 0.3, 0.3, 0], alpha=[-1e-3, -2e-3, -3e-3, 0])
    assert orders_of(optimizer().on_targets((wish,), where)) == []
    weights = after(optimizer(fully_invested=True).on_targets((wish,), where), where)
    assert weights.sum() == pytest.approx(0.9, abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    max_weight=st.floats(0.05, 1.0),
    level=st.floats(0.05, 1.0),
    full=st.booleans(),
)
def test_rule_46_bounds_and_level_hold_after_rounding(seed: int, max_weight: float, level: float, full: bool) -> None:
    rng = np.random.default_rng(seed)
    where = book(day(0), MARK, cash=float(rng.uniform(1e3, 1e5)), qty=np.round(rng.uniform(0, 200, 4)))
    made = optimizer(
        factor=rng.normal(0, 0.03, 4), specific=rng.uniform(1e-5, 1e-3, 4), max_weight=max_weight, fully_invested=full
    )
    value = rng.dirichlet(np.ones(4)) * level * (rng.random(4) < 0.8)
    answer = made.on_targets((target(day(0), value, alpha=rng.normal(0, 2e-3, 4)),), where)
    assert not reasons(answer)
    weights = after(answer, where)
    one_share = MARK / where.equity  # a sale is rounded toward zero, so it may leave a part of a share too much
    assert (weights >= 0).all()
    assert (weights <= max_weight + one_share).all()
    assert weights.sum() <= value.sum() + one_share.sum()
    assert not weights[value == 0].any()


def reasons(answer: tuple[Note | Orders, ...]) -> list[str]:
    return [e.text for e in answer if isinstance(e, Note) and e.kind == "fallback"]


@pytest.mark.parametrize(
    ("options", "alpha", "reason"),
    [
        ({"warm": False}, [1e-3, 2e-3, 3e-3, 0], "the risk model has too little history"),
        ({"alpha": "grinold"}, [1e-3] * 4, "fewer than two different alphas"),
        ({}, [NAN] * 4, "fewer than two different alphas"),
        ({"specific": [np.inf] * 4}, [1e-3, 2e-3, 3e-3, 0], "a figure of the problem is not finite"),
    ],
)
def test_rule_47_without_an_answer_positions_are_held_and_exits_sold(
    options: dict[str, Any], alpha: Any, reason: str
) -> None:
    """Rule 47: optimiser failure."""
    made = optimizer(**options)
    where = book(day(0), MARK, cash=1e6, qty=[100, 0, 0, 37])
    answer = made.on_targets((target(day(0), [0.5, 0.5, 0, 0], alpha=alpha),), where)
    assert reasons(answer) == [f"{reason}; positions are held, exits are sold (1 times so far)"]
    orders = answer[-1]
    assert isinstance(orders, Orders)
    assert (orders.symbol.tolist(), orders.qty.tolist()) == ([3], [-37.0])
    again = made.on_targets((target(day(0), [0.5, 0.5, 0, 0], alpha=alpha),), where)
    assert reasons(again)[0].endswith("(2 times so far)")


def test_without_equity_nothing_is_bought() -> None:
    where = book(day(0), MARK, cash=-5.0)
    wish = target(day(0), [5, 5, 0, 0], kind=TargetKind.QUANTITY, alpha=[1e-3, 2e-3, 0, 0])
    answer = optimizer().on_targets((wish,), where)
    assert reasons(answer) == ["equity is -5.0; positions are held, exits are sold (1 times so far)"]
    assert not any(isinstance(e, Orders) for e in answer)


def test_all_exits_need_no_solve() -> None:
    where = book(day(0), MARK, cash=0.0, qty=[5, 0, 0, 0])
    (orders,) = optimizer().on_targets((target(day(0), [0.0] * 4),), where)
    assert isinstance(orders, Orders)
    assert orders.qty.tolist() == [-5]


def test_it_hands_bars_and_actions_to_its_risk_model() -> None:
    universe = universe_of(tuple("ABCD"))
    alone, held = (LedoitWolf(universe=universe, window=5, min_slices=2) for _ in range(2))
    made = MeanVariance(universe=universe, ids=OrderIds("s", "o"), costs=Bps(), name="opt", risk_model=held)
    one = np.array([0])
    split = Actions(
        ts=1,
        kind=one + ActionKind.SPLIT,
        symbol=one,
        ratio=one + 2.0,
        amount=one * NAN,
        pay_at=one,
        successor=one,
    )
    for k in range(4):
        for component in (alone, made):
            component.on_bars(bars(day(k), MARK * (1 + 0.01 * k)))
            component.on_actions(split)
    assert held.save() == alone.save()


def test_it_hands_references_to_a_risk_model_that_wants_them() -> None:
    universe = universe_of(tuple("ABCD"))
    alone, held = (GivenFactors(universe=universe, window=5, min_slices=2) for _ in range(2))
    made = MeanVariance(universe=universe, ids=OrderIds("s", "o"), costs=Bps(), name="opt", risk_model=held)
    exposures = Reference(ts=0, name="exposures", rows="symbol", value=np.ones((4, 1)), columns=("market",))
    for component in (alone, made, optimizer()):  # the last has a risk model that wants none
        component.on_reference(exposures)
    assert held.save() == alone.save()


def test_a_risk_model_without_memory_of_its_own_needs_none() -> None:
    made = optimizer()
    one = np.array([0])
    nothing = Actions(ts=1, kind=one, symbol=one, ratio=one + 2.0, amount=one * NAN, pay_at=one, successor=one)
    made.on_actions(nothing)
    fresh = optimizer()
    fresh.load(made.save())
    assert fresh.save() == made.save()


def test_its_lookback_is_that_of_its_risk_model() -> None:
    universe = universe_of(tuple("ABCD"))
    model = LedoitWolf(universe=universe, window=12, min_slices=4)
    assert model.lookback == 13
    made = MeanVariance(universe=universe, ids=OrderIds("s", "opt"), costs=Bps(), name="opt", risk_model=model)
    assert made.lookback == 13
    assert optimizer().lookback == 0


def test_the_slow_handler_is_named() -> None:
    assert MeanVariance.slow_handlers == ("on_targets",)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"risk_aversion": 0.0}, "risk_aversion must be above 0, got 0"),
        ({"holding_slices": -1.0}, "holding_slices must be above 0, got -1"),
        ({"ic": NAN}, "ic must be above 0, got nan"),
        ({"max_weight": 0.0}, "max_weight must be above 0"),
        ({"max_invest": 0.0}, "max_invest must be above 0"),
        ({"turnover_cost_bps": -1.0}, "turnover_cost_bps must be at least 0, got -1"),
        ({"alpha": "z"}, "alpha must be grinold or raw, got 'z'"),
    ],
)
def test_bounds_are_checked(option: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optimizer(**option)
