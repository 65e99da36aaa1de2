"""Weights leave room for what their trades cost, so that cutting a purchase is the exception."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.costs.bps import Bps
from components.optimizers.constraints.benchmark_band import BenchmarkBand
from components.optimizers.constraints.box import WeightBox
from components.optimizers.constraints.budget import Budget
from components.optimizers.constraints.exposures import Exposures
from components.optimizers.constraints.long_only import LongOnly
from components.optimizers.constraints.sectors import Sectors
from components.optimizers.constraints.turnover import Turnover
from components.optimizers.methods.composed import Composed
from components.optimizers.methods.equal_weight import EqualWeight
from components.optimizers.portfolio import Portfolio
from components.optimizers.purse import Purse
from components.optimizers.terms.expected_return import ExpectedReturn
from components.optimizers.terms.linear_cost import LinearCost
from components.optimizers.terms.variance import RiskOf
from engine.events import Note, Orders, Reference
from engine.ids import OrderIds
from engine.universe import universe_of
from tests.components.optimizers.placed import risk_of, situation
from tests.components.optimizers.test_bad_input import Estimated
from tests.make import bars, book, target

N, COSTS = 12, {"commission_bps": 5.0, "slippage_bps": 5.0}
U = universe_of(tuple(f"S{i:02d}" for i in range(N)))
FULL: dict[str, Any] = {
    "wanted": lambda: composed(Budget(full=True)),
    "one": lambda: composed(Budget(min=1, max=1)),
    "turned over little": lambda: composed(Budget(full=True), Turnover(max=0.1)),
    "equal": EqualWeight,
}


def composed(*limits: Any) -> Composed:
    terms = (ExpectedReturn(universe=U), RiskOf(aversion=8.0), LinearCost(buy_bps=5, sell_bps=15))
    return Composed(universe=U, objective=terms, constraints=(LongOnly(), *limits))


def walked(method: Any, slices: int, **options: Any) -> tuple[list[Note], list[float]]:
    """Notes and the share of equity that is invested after each of the slices, of books that fill at the mark."""
    rng, price, cash, qty = np.random.default_rng(4), np.full(N, 40.0), 1e6, np.zeros(N)
    made = Portfolio(
        universe=U, ids=OrderIds("s", "o"), costs=Bps(**COSTS), name="o", method=method,
        risk_model=Estimated(risk_of(N)), **options,
    )  # fmt: skip
    notes: list[Note] = []
    invested = []
    score = rng.normal(size=N)
    for ts in range(1, slices + 1):
        price, score = price * np.exp(0.01 * rng.normal(size=N)), 0.8 * score + 0.6 * rng.normal(size=N)
        made.on_bars(bars(ts, close=price))
        wanted = np.where(np.argsort(np.argsort(score)) >= 4, 1 / 8, 0.0)
        for event in made.on_targets((target(ts, wanted, alpha=score),), book(ts, price, cash=cash, qty=qty)):
            if isinstance(event, Orders):
                traded = event.qty * price[event.symbol]
                qty = qty + np.bincount(event.symbol, event.qty, N)
                cash -= float(traded.sum() + 10e-4 * np.abs(traded).sum())
            else:
                notes.append(event)
        assert cash >= 0
        invested.append(float(qty @ price) / (cash + float(qty @ price)))
    return notes, invested


@pytest.mark.parametrize("make", FULL.values(), ids=FULL.keys())
def test_a_full_budget_is_invested_and_no_purchase_is_cut(make: Any) -> None:
    notes, invested = walked(make(), 30)
    assert [note.text for note in notes if note.kind == "cut"] == []
    assert min(invested[1:]) > 0.97  # at most 2 of equity are traded, of which 1.1 % is kept back
    assert max(invested) < 1.0


def test_without_reserve_and_cost_all_is_invested() -> None:
    at = situation(N, rate=0.0)
    (piece,) = Budget(min=1, max=1).allows(at)
    assert (piece.low, piece.high) == (1.0, 1.0)  # type: ignore[union-attr]
    purse = Purse(money=0.1, room=0.0, trades=0.5)
    assert purse.payable(at.w0, 1.0, at.leaving) == pytest.approx(1.0)


def test_a_budget_that_cash_cannot_pay_for_gets_less() -> None:
    (piece,) = Budget(min=1, max=1).allows(situation(N, payable=0.98))
    assert (piece.low, piece.high) == (0.98, 0.98)  # type: ignore[union-attr]
    (piece,) = Budget(min=0.5, max=0.9).allows(situation(N, payable=0.98))
    assert (piece.low, piece.high) == (0.5, 0.9)  # type: ignore[union-attr]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 0.05), st.floats(0, 1))
def test_what_was_expected_to_be_traded_can_be_paid_for(seed: int, room: float, invest: float) -> None:
    rng = np.random.default_rng(seed)
    w0 = rng.dirichlet(np.ones(N)) * rng.uniform(0, 1)
    leaving = rng.random(N) < 0.2
    purse = Purse(1.0 - float(w0.sum()), room, 0.0)
    total = min(invest, purse.payable(w0, invest, leaving))
    w = np.where(leaving, 0.0, w0 * total / max(float(w0[~leaving].sum()), 1e-12))  # the least that must be traded
    paid, told = purse.paid(w, w0)
    trade = paid - w0
    assert trade.sum() + room * np.abs(trade).sum() <= purse.money + 1e-9
    if float(w0[~leaving].sum()) <= total:
        np.testing.assert_allclose(paid, w, atol=1e-9)
        assert told == ()


def test_more_trades_than_expected_make_all_purchases_smaller_alike() -> None:
    w0, w = np.array([1.0, 0.0, 0.0]), np.array([0.2, 0.6, 0.2])
    paid, (told,) = Purse(0.0, 0.01, 0.0).paid(w, w0)
    trade = paid - w0
    assert trade.sum() + 0.01 * np.abs(trade).sum() == pytest.approx(0.0, abs=1e-15)
    assert paid[1] / paid[2] == pytest.approx(3.0)
    assert told.kind == "cost"
    far = Purse(-0.5, 0.01, 0.0)
    assert far.paid(w, w0)[0] is w  # what is missing for another reason than cost


@pytest.mark.parametrize(
    "limit", [Sectors(deviation=0.0), BenchmarkBand(deviation=0.0), Exposures(min=0.0, max=0.0, reference="country")]
)
def test_neutral_to_a_benchmark_is_neutral_of_what_can_be_paid_for(limit: Any) -> None:
    country = {"country": np.eye(2)[np.arange(N) % 2]}
    at = situation(
        N, payable=0.98, invest=0.98, w0=np.zeros(N), references=country, columns={"country": ("north", "south")}
    )
    decision = composed(Budget(full=True), limit).weights(at)
    assert decision.weights is not None
    assert not [remark for remark in decision.remarks if remark.kind.startswith(("infeasible", "fallback"))]
    np.testing.assert_allclose(decision.weights[at.sector == 0].sum(), 0.49, atol=1e-6)


def test_a_benchmark_that_can_be_paid_for_is_not_scaled() -> None:
    for at in (situation(N), situation(N, payable=1.2), situation(N, payable=0.5, benchmark=np.full(N, 0.4 / N))):
        assert at.reachable is at.benchmark
    np.testing.assert_allclose(situation(N, payable=0.9).reachable, 0.9 / N)


def test_a_sector_neutral_cash_account_is_rebalanced_without_fallback() -> None:
    method = composed(Budget(full=True), WeightBox(max=0.12), Sectors(deviation=0.0))
    made = Portfolio(
        universe=U, ids=OrderIds("s", "o"), costs=Bps(**COSTS), name="o", method=method, benchmark="equal",
        risk_model=Estimated(risk_of(N)),
    )  # fmt: skip
    price = np.full(N, 40.0)
    sector = (np.arange(N)[:, None] % 2).astype(np.float64)
    made.on_reference(Reference(ts=0, name="sectors", rows="symbol", columns=("a", "b"), value=sector))
    made.on_bars(bars(1, close=price))
    events = made.on_targets((target(1, np.full(N, 1 / N), alpha=np.linspace(-1, 1, N)),), book(1, price, cash=1e6))
    kinds = [event.kind for event in events if isinstance(event, Note)]
    assert "infeasible" not in kinds
    assert not any(kind.startswith("fallback") for kind in kinds)
