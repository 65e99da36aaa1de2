"""Rules one by one: where exactly each acts, for longs and shorts, after splits, without prices, after a restart."""

from typing import Any

import numpy as np
import pytest

from components.risk_models.ledoit_wolf import LedoitWolf
from components.strategies.rules.cool_down import CoolDown
from components.strategies.rules.drawdown_brake import DrawdownBrake
from components.strategies.rules.max_holding import MaxHolding
from components.strategies.rules.stop_loss import StopLoss
from components.strategies.rules.take_profit import TakeProfit
from components.strategies.rules.trailing_stop import TrailingStop
from components.strategies.rules.volatility_target import VolatilityTarget
from engine.events import ActionKind, Fills
from engine.ledger import Ledger
from engine.universe import universe_of
from tests.components.strategies.seen import actions, view
from tests.make import bars, day, vector

NAN = np.nan
Table = list[tuple[str, float, float, bool]]


def stays(value: Any) -> list[bool]:
    return np.isnan(value).tolist()


# ---- prices ----------------------------------------------------------------------------------------------------------

STOPS: Table = [
    # what, shares, mark, whether a stop of 8 % below (above, of a short) an entry of 100 has it closed
    ("a cent above", 10, 92.01, False),
    ("exactly there", 10, 92.0, True),
    ("below", 10, 91.99, True),
    ("through it in a gap", 10, 40.0, True),
    ("a gain", 10, 200.0, False),
    ("a short a cent below", -10, 107.99, False),
    ("a short exactly there", -10, 108.0, True),
    ("a short squeezed in a gap", -10, 250.0, True),
    ("a short that gains", -10, 50.0, False),
    ("flat", 0, 40.0, False),
    ("never priced", 10, NAN, False),
]


@pytest.mark.parametrize(("what", "qty", "mark", "closes"), STOPS, ids=[case[0] for case in STOPS])
def test_a_stop_loss_closes_at_its_price_and_beyond(what: str, qty: float, mark: float, closes: bool) -> None:
    value = StopLoss(loss=0.08).exits(view([mark], qty=[qty], entry=vector([100.0 if qty else NAN])))
    assert stays(value) == [not closes]
    if closes:
        np.testing.assert_allclose(value, np.sign(qty) * (mark / 100 - 1), atol=1e-12)


PROFITS: Table = [
    ("below", 10, 119.99, False),
    ("exactly there", 10, 120.0, True),
    ("a short exactly there", -10, 80.0, True),
    ("a short not yet", -10, 80.01, False),
    ("a short that loses", -10, 300.0, False),
]


@pytest.mark.parametrize(("what", "qty", "mark", "closes"), PROFITS, ids=[case[0] for case in PROFITS])
def test_a_profit_is_taken_at_its_price_and_beyond(what: str, qty: float, mark: float, closes: bool) -> None:
    value = TakeProfit(gain=0.2).exits(view([mark], qty=[qty], entry=vector([100.0])))
    assert stays(value) == [not closes]


@pytest.mark.parametrize(("qty", "best", "mark", "closes"), [(1, 150, 135, True), (1, 150, 135.01, False)])
def test_a_trailing_stop_measures_from_the_best(qty: float, best: float, mark: float, closes: bool) -> None:
    seen = view([mark, mark], qty=[qty, 0], entry=vector([100, NAN]), best=vector([best, NAN]))
    assert stays(TrailingStop(drop=0.1).exits(seen)) == [not closes, True]


def test_a_trailing_stop_of_a_short_measures_from_its_lowest() -> None:
    seen = view([66.0, 65.9], qty=[-1, -1], entry=vector([100, 100]), best=vector([60, 60]))
    assert stays(TrailingStop(drop=0.1).exits(seen)) == [False, True]


def test_a_trailing_stop_may_wait_for_a_gain() -> None:
    seen = view([90.0, 90.0, 90.0], qty=[1, 1, -1], entry=vector([100, 100, 100]), best=vector([104, 105, 80]))
    assert stays(TrailingStop(drop=0.1, after=0.05).exits(seen)) == [True, False, False]


def test_a_split_is_no_loss() -> None:
    """The ledger's entry and best follow it: half the price after two for one is where the position was."""
    ledger = Ledger(universe=universe_of(("S0",)), cash=1e6)
    ledger.on_bars(bars(day(0), [100.0]))
    one = np.array([1], np.uint64)
    fill = {"price": np.array([100.0]), "reference": np.array([100.0]), "fees": np.zeros((1, 3))}
    at = {"ts": day(0), "at": np.array([day(0)]), "symbol": np.array([0], np.int32)}
    ledger.on_fills(Fills(exec_ids=one, order_ids=one, qty=np.array([10.0]), **fill, **at))
    ledger.on_actions(actions(ActionKind.SPLIT, ratio=2.0))
    ledger.on_bars(bars(day(1), [49.0]))
    book = ledger.book(day(1))
    seen = view([49.0], k=1, qty=book.qty, entry=book.entry, best=book.best)
    assert stays(StopLoss(loss=0.08).exits(seen)) == [True]
    assert stays(TrailingStop(drop=0.08).exits(seen)) == [True]
    assert not stays(StopLoss(loss=0.02).exits(seen))[0]


# ---- time ------------------------------------------------------------------------------------------------------------


def test_slices_held_count_from_the_slice_of_the_fill() -> None:
    rule, answers = MaxHolding(slices=3), []
    for k in range(6):
        rule.on_bars(bars(day(k), [1.0, 1.0]))
        opened = np.array([day(2) - 1000, 0])  # filled within the bar of slice 2
        held = k >= 2
        answers.append(stays(rule.exits(view([1.0, 1.0], k=k, qty=[1.0 * held, 0], opened=opened * held)))[0])
    assert answers == [True, True, True, True, False, False]  # slices 2, 3 and 4 are three


def test_days_held_are_calendar_days_to_the_instant() -> None:
    seen = view([1.0, 1.0], k=10, qty=[1, -1], opened=np.array([day(3), day(3) + 1]))
    assert stays(MaxHolding(days=7).exits(seen)) == [False, True]
    assert MaxHolding(days=7).exits(seen)[0] == 7.0


def test_holding_is_counted_on_over_a_restart() -> None:
    rule = MaxHolding(slices=3)
    for k in range(3):
        fresh = MaxHolding(slices=3)
        fresh.load(rule.save())
        rule = fresh
        rule.on_bars(bars(day(k), [1.0]))
    assert not stays(rule.exits(view([1.0], k=2, qty=[1.0], opened=np.array([day(0)]))))[0]


# ---- coming back -----------------------------------------------------------------------------------------------------


def cooled(after: str, leaving: list[int], held: list[int], slices: int = 8, n: int = 2) -> list[bool]:
    """Whether S0 is blocked in each slice, held in `held` and being closed by a rule in `leaving`; saved in between."""
    made = [CoolDown(slices=n, universe=universe_of(("S0", "S1")), after=after) for _ in range(slices + 1)]  # type: ignore[arg-type]
    found = []
    for k in range(slices):
        seen = view([1.0, 1.0], k=k, qty=[float(k in held), 1.0])
        blocked = made[k].blocks(seen, np.array([k in leaving, False]))
        assert not blocked[1]
        found.append(bool(blocked[0]))
        made[k + 1].load(made[k].save())
    return found


def test_a_cool_down_ends_at_an_exact_slice() -> None:
    # Stopped at slice 1, sold at the next open, seen flat at 2: blocked at 2 and 3, free at 4.
    assert cooled("rule", leaving=[1], held=[0, 1]) == [False, False, True, True, False, False, False, False]


def test_a_cool_down_waits_for_a_position_that_cannot_be_sold() -> None:
    assert cooled("rule", leaving=[1, 2, 3], held=[0, 1, 2, 3])[3:7] == [False, True, True, False]


def test_a_cool_down_after_rules_lets_the_strategy_come_and_go() -> None:
    assert cooled("rule", leaving=[], held=[0, 1]) == [False] * 8


def test_a_cool_down_after_any_exit_counts_those_of_the_strategy() -> None:
    assert cooled("any", leaving=[], held=[0, 1])[2:5] == [True, True, False]


def test_a_second_exit_begins_a_cool_down_anew() -> None:
    assert cooled("any", leaving=[], held=[0, 1, 3])[2:7] == [True, True, True, True, False]


def test_a_successor_is_blocked_for_what_it_was_called_before() -> None:
    rule = CoolDown(slices=3, universe=universe_of(("S0", "S1")), after="any")
    none = np.zeros(2, bool)
    rule.blocks(view([1.0, 1.0], qty=[1, 0]), none)
    rule.blocks(view([1.0, 1.0], k=1, qty=[0, 0]), none)
    rule.on_actions(actions(ActionKind.SYMBOL_CHANGE, 0, successor=1))
    assert rule.blocks(view([1.0, 1.0], k=2, qty=[0, 0]), none).tolist() == [False, True]


# ---- size ------------------------------------------------------------------------------------------------------------


def factors(rule: DrawdownBrake, equity: list[float]) -> list[float]:
    return [rule.scale(view([1.0], k=k, equity=each), np.ones(1)) for k, each in enumerate(equity)]


def test_a_brake_falls_in_a_line_between_two_drawdowns() -> None:
    rule = DrawdownBrake(start=0.1, full=0.3, band=0.0)
    found = factors(rule, [100, 90, 85, 80, 70, 60, 85, 90, 110, 99])
    np.testing.assert_allclose(found, [1, 1, 0.75, 0.5, 0, 0, 0.75, 1, 1, 1], atol=1e-12)


def test_a_latched_brake_waits_for_a_new_peak() -> None:
    rule = DrawdownBrake(start=0.1, full=0.3, floor=0.2, latch=True, band=0.0)
    np.testing.assert_allclose(factors(rule, [100, 80, 95, 70, 99.9, 100, 100.1]), [1, 0.6, 0.6, 0.2, 0.2, 0.2, 1])


def test_a_brake_moves_in_steps_and_takes_the_ends_at_once() -> None:
    rule = DrawdownBrake(start=0.0, full=0.5, band=0.2)
    assert factors(rule, [100, 95, 89, 80, 76, 50, 100]) == pytest.approx([1, 1, 0.78, 0.6, 0.6, 0, 1])


def test_a_brake_remembers_its_peak_over_a_restart() -> None:
    rule = DrawdownBrake(start=0.0, full=0.5, band=0.0, latch=True)
    factors(rule, [200, 150])
    fresh = DrawdownBrake(start=0.0, full=0.5, band=0.0, latch=True)
    fresh.load(rule.save())
    assert factors(fresh, [180]) == pytest.approx([0.5])


def test_equity_below_zero_is_the_floor() -> None:
    assert factors(DrawdownBrake(start=0.1, full=0.3, floor=0.1), [100, -5]) == [1, 0.1]


def test_a_volatility_target_is_met_ex_ante() -> None:
    """Against the covariance that numpy makes of the same returns."""
    rng = np.random.default_rng(3)
    close = 50 * np.exp(np.cumsum(rng.normal(0, [0.01, 0.03], (41, 2)), axis=0))
    u = universe_of(("S0", "S1"))
    rule = VolatilityTarget(target=0.1, risk_model=LedoitWolf(universe=u, window=40, min_slices=20), band=0.0)
    for k in range(41):
        rule.on_bars(bars(day(k), close[k]))
    weights = np.array([0.5, -0.25])
    factor = rule.scale(view(close[-1], k=40), weights)
    model = LedoitWolf(universe=u, window=40, min_slices=20)
    for k in range(41):
        model.on_bars(bars(day(k), close[k]))
    risk = model.risk()
    assert risk is not None
    sigma = risk.factors @ risk.covariance @ risk.factors.T + np.diag(risk.specific)
    assert factor * np.sqrt(weights @ sigma @ weights * 252) == pytest.approx(0.1)
    sample = np.cov(np.diff(close, axis=0).T / close[:-1].T, ddof=0)
    assert factor * np.sqrt(weights @ sample @ weights * 252) == pytest.approx(0.1, rel=0.15)  # but for the shrinkage


class Known:
    """A risk model of one name with this volatility a slice; None = not known."""

    lookback = 0

    def __init__(self, sigma: float | None) -> None:
        self.sigma = sigma

    def on_bars(self, bars: Any, /) -> None: ...

    def risk(self) -> Any:
        from engine.protocols import Risk

        none = np.zeros((1, 1))
        return None if self.sigma is None else Risk(factors=none, covariance=none, specific=np.array([self.sigma**2]))


@pytest.mark.parametrize(
    ("sigma", "weight", "leverage", "factor"),
    [
        (0.02, 1.0, 1.0, 0.5),
        (0.005, 1.0, 1.0, 1.0),  # calm: all it may, and no more
        (0.005, 1.0, 3.0, 2.0),
        (0.005, -1.0, 1.5, 1.5),
        (None, 1.0, 3.0, 1.0),  # nothing known yet: as wanted
        (None, 2.0, 1.0, 0.5),  # but within the leverage
        (0.0, 1.0, 3.0, 1.0),
    ],
)
def test_a_volatility_target_stays_within_its_leverage(
    sigma: float | None, weight: float, leverage: float, factor: float
) -> None:
    rule = VolatilityTarget(target=0.01, risk_model=Known(sigma), max_leverage=leverage, slices_per_year=1, band=0.0)
    assert rule.scale(view([1.0]), np.array([weight])) == pytest.approx(factor)


def test_a_step_of_a_volatility_target_is_no_reason_to_borrow() -> None:
    rule = VolatilityTarget(target=0.01, risk_model=Known(0.01), slices_per_year=1, band=0.5)
    assert rule.scale(view([1.0]), np.array([0.8])) == 1.0
    assert rule.scale(view([1.0]), np.array([1.25])) == pytest.approx(0.8)


class Broken(Known):
    """Its estimate of a second name is no number, or none that a covariance has."""

    def risk(self) -> Any:
        from engine.protocols import Risk

        assert self.sigma is not None
        covariance = np.array([[self.sigma**2]]) if self.sigma >= 0 else np.array([[-1.0]])
        return Risk(factors=np.ones((1, 1)), covariance=covariance, specific=np.zeros(1))


@pytest.mark.parametrize("sigma", [np.nan, np.inf, -1.0])
def test_where_a_variance_is_none_the_last_factor_stands_and_is_told_once(sigma: float) -> None:
    model = Broken(0.02)
    rule = VolatilityTarget(target=0.01, risk_model=model, max_leverage=2.0, slices_per_year=1, band=0.0)
    one = np.array([1.0])
    assert (rule.scale(view([1.0]), one), rule.remark) == (0.5, "")
    model.sigma = sigma
    assert rule.scale(view([1.0]), one) == 0.5
    assert "the estimated variance of what is wanted is" in rule.remark
    assert (rule.scale(view([1.0]), one), rule.remark) == (0.5, "")
    assert rule.scale(view([1.0]), 8 * one) == 0.25  # its leverage holds all the same
    fresh = VolatilityTarget(target=0.01, risk_model=model, max_leverage=2.0, slices_per_year=1, band=0.0)
    fresh.load(rule.save())
    assert (fresh.scale(view([1.0]), one), fresh.remark) == (0.25, "")
    model.sigma = 0.01
    assert (rule.scale(view([1.0]), one), rule.remark) == (1.0, "")


def test_a_variance_that_is_negative_by_rounding_is_no_risk() -> None:
    class Rounded(Known):
        def risk(self) -> Any:
            from engine.protocols import Risk

            covariance = np.array([[1.0, 1.0], [1.0, 1.0 - 1e-15]])
            return Risk(factors=np.array([[1.0, -1.0]]), covariance=covariance, specific=np.zeros(1))

    rule = VolatilityTarget(target=0.01, risk_model=Rounded(0.0), slices_per_year=1)
    assert (rule.scale(view([1.0]), np.array([1.0])), rule.remark) == (1.0, "")


def test_nothing_wanted_moves_no_factor() -> None:
    rule = VolatilityTarget(target=0.01, risk_model=Known(0.02), slices_per_year=1)
    assert rule.scale(view([1.0]), np.array([1.0])) == 0.5
    assert rule.scale(view([1.0]), np.array([0.0])) == 0.5


# ---- options ---------------------------------------------------------------------------------------------------------

U = universe_of(("S0",))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: StopLoss(loss=8), "loss must be above 0 and at most 1"),
        (lambda: StopLoss(loss=0), "loss must be above 0"),
        (lambda: TrailingStop(drop=float("nan")), "drop must be above 0"),
        (lambda: TrailingStop(drop=0.1, after=-1), "after must be at least 0"),
        (lambda: TakeProfit(gain=float("inf")), "gain must be above 0 and a finite number"),
        (lambda: MaxHolding(), "slices or days must be given"),
        (lambda: MaxHolding(slices=1, days=2), "slices or days must be given"),
        (lambda: MaxHolding(slices=0), "slices must be at least 1"),
        (lambda: MaxHolding(days=-1), "days must be above 0"),
        (lambda: CoolDown(slices=0, universe=U), "slices must be at least 1"),
        (lambda: CoolDown(slices=1, universe=U, after="all"), "after must be rule or any"),  # type: ignore[arg-type]
        (lambda: DrawdownBrake(start=0.3, full=0.3), "start must be at least 0 and below full"),
        (lambda: DrawdownBrake(start=0.1, full=1.2), "full must be above 0 and at most 1"),
        (lambda: DrawdownBrake(start=0.1, full=0.3, floor=1), "floor must be at least 0 and below 1"),
        (lambda: DrawdownBrake(start=0.1, full=0.3, band=1), "band must be at least 0 and below 1"),
        (lambda: VolatilityTarget(target=0, risk_model=Known(None)), "target must be above 0"),
        (lambda: VolatilityTarget(target=1, risk_model=Known(None), max_leverage=11), "max_leverage must be above 0"),
        (lambda: VolatilityTarget(target=1, risk_model=Known(None), slices_per_year=0), "slices_per_year"),
    ],
)
def test_options_out_of_bounds_are_told(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
