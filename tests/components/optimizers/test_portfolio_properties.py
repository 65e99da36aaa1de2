"""Random books, targets and constraints through the whole optimizer: what holds of the orders that come out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from components.costs.bps import Bps
from components.optimizers.constraints.box import WeightBox
from components.optimizers.constraints.budget import Budget
from components.optimizers.constraints.gross import Gross
from components.optimizers.constraints.long_only import LongOnly
from components.optimizers.constraints.sectors import Sectors
from components.optimizers.constraints.turnover import Turnover
from components.optimizers.methods.composed import Composed
from components.optimizers.portfolio import Portfolio
from components.optimizers.terms.expected_return import ExpectedReturn
from components.optimizers.terms.linear_cost import LinearCost
from components.optimizers.terms.variance import RiskOf
from engine.events import Note, Orders, Reference
from engine.ids import OrderIds
from engine.protocols import Risk
from engine.universe import universe_of
from tests.components.optimizers.placed import covariance, risk_of
from tests.components.optimizers.test_bad_input import Estimated
from tests.make import bars, book, target

BPS = 10e-4
COSTS = {"commission_bps": 5.0, "slippage_bps": 5.0}
NEAR = 1e-6
few = settings(max_examples=25, deadline=None)
SEEDS = st.integers(0, 10_000)


@dataclass
class Case:
    """A book, a wish and limits. Constraints are kept as makers: they hold nothing of a universe."""

    names: list[str]
    price: Any
    qty: Any
    cash: float
    halted: Any
    risk: Risk
    want: Any
    alpha: Any
    sector: Any
    limits: dict[str, float]
    short: bool

    @property
    def equity(self) -> float:
        return self.cash + float(self.qty @ self.price)


def drawn(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    n, short = int(rng.integers(1, 12)), bool(rng.random() < 0.3)
    price, equity = rng.lognormal(3.5, 1.0, n), float(10 ** rng.uniform(3.5, 7))
    w = np.where(rng.random(n) < 0.5, rng.dirichlet(np.ones(n)) * rng.uniform(0, 1), 0.0)
    w = w * rng.choice([-1, 1], n) if short else w
    qty = np.trunc(w * equity / price)
    limits = {"budget": 1.0}
    for name, low, high in (("box", 0.05, 0.6), ("gross", 0.8, 1.6), ("sectors", 0.2, 0.7), ("turnover", 0.05, 0.6)):
        if rng.random() < 0.4:
            limits[name] = float(rng.uniform(low, high))
    return Case(
        names=[f"S{i:02d}" for i in range(n)],
        price=price,
        qty=qty,
        cash=equity - float(qty @ price),
        halted=rng.random(n) < 0.1,
        risk=risk_of(n, seed=seed),
        want=np.where(rng.random(n) < 0.75, 1.0 / n, np.where(rng.random(n) < 0.7, 0.0, np.nan)),
        alpha=np.where(rng.random(n) < 0.9, rng.normal(0, 1, n), np.nan),
        sector=np.arange(n) % 2,
        limits=limits,
        short=short,
    )


def constraints(case: Case) -> list[Any]:
    limits = case.limits
    made: list[Any] = [] if case.short else [LongOnly()]
    made.append(Budget())
    if "box" in limits or case.short:
        most = limits.get("box", 0.6)
        made.append(WeightBox(max=most, min=-most if case.short else None))
    for name, make in (("gross", Gross), ("sectors", Sectors)):
        made += [make(max=limits[name])] if name in limits else []
    return made + ([Turnover(max=limits["turnover"], build_up=False)] if "turnover" in limits else [])


def answered(case: Case, reserve_bps: float = 0.0) -> tuple[Any, tuple[Any, ...]]:
    """Shares after the orders, and what was said."""
    n, u = len(case.names), universe_of(tuple(case.names))
    terms = (ExpectedReturn(universe=u), RiskOf(aversion=8.0), LinearCost(buy_bps=5, sell_bps=15))
    optimizer = Portfolio(
        universe=u,
        ids=OrderIds("s", "o"),
        costs=Bps(**COSTS),
        name="o",
        method=Composed(universe=u, objective=terms, constraints=tuple(constraints(case))),
        risk_model=Estimated(case.risk),
        reserve_bps=reserve_bps,
        leverage=2.0 if case.short else None,
    )
    optimizer.on_bars(bars(ts=1, close=case.price, status=np.where(case.halted, 2, 0)))
    sectors = Reference(ts=1, name="sectors", rows="symbol", value=case.sector[:, None] * 1.0, columns=("X", "Y"))
    optimizer.on_reference(sectors)
    held = book(1, case.price, cash=case.cash, qty=case.qty)
    answer = optimizer.on_targets((target(1, case.want, alpha=case.alpha),), held)
    after = np.zeros(n) + case.qty
    for event in answer:
        if isinstance(event, Orders):
            np.add.at(after, event.symbol, event.qty)
    return after, answer


def of_kind(answer: tuple[Any, ...], kind: str) -> list[Note]:
    return [event for event in answer if isinstance(event, Note) and event.kind.startswith(kind)]


@few
@given(SEEDS)
def test_rule_36_cash_is_never_below_its_floor_and_no_sign_changes(seed: int) -> None:
    """Sales first, what they bring pays for purchases; costs are paid from it too."""
    case = drawn(seed)
    after, answer = answered(case)
    assert np.isfinite(after).all()
    if case.short:
        return
    cash = case.cash - float((after - case.qty) @ case.price) - BPS * float(np.abs(after - case.qty) @ case.price)
    assert cash >= min(case.cash, 0.0) - NEAR * case.equity
    assert (after >= 0).all()
    for event in answer:
        if isinstance(event, Orders):
            assert (np.diff(np.sign(event.qty)) >= 0).all()  # sales stand before purchases


@few
@given(SEEDS)
def test_rule_37_the_reserve_pays_for_the_gap_between_mark_and_fill(seed: int) -> None:
    """All purchases fill 1 % above the mark and all sales 1 % below it."""
    case = drawn(seed)
    if case.short:
        return
    after, _ = answered(case, reserve_bps=100.0)
    traded = after - case.qty
    price = case.price * (1 + 0.01 * np.sign(traded))
    cash = case.cash - float(traded @ price) - BPS * float(np.abs(traded) @ price)
    assert cash >= min(case.cash, 0.0) - NEAR * case.equity


@few
@given(SEEDS)
def test_rule_46_constraints_hold_after_rounding(seed: int) -> None:
    case = drawn(seed)
    after, answer = answered(case)
    if of_kind(answer, "fallback") or not of_kind(answer, "weights"):
        return
    w, w0 = after * case.price / case.equity, case.qty * case.price / case.equity
    free = ~case.halted & ~np.isnan(case.want) & (case.want != 0)
    leaving = ~case.halted & (case.want == 0)
    limits = {name: most for name, most in case.limits.items() if not of_kind(answer, f"rounding:{name}")}
    if "box" in limits and not of_kind(answer, "rounding:bounds"):
        assert (np.abs(w) <= limits["box"] + NEAR)[free].all()
    if "budget" in limits:
        assert w.sum() <= max(limits["budget"], w0[~free & ~leaving].sum()) + NEAR
    if "gross" in limits:
        assert np.abs(w).sum() <= limits["gross"] + NEAR
    if "sectors" in limits:
        for k in range(2):
            assert w[case.sector == k].sum() <= limits["sectors"] + NEAR
    if "turnover" in limits:
        assert np.abs(w - w0).sum() <= limits["turnover"] + 2 * np.abs(w0[leaving]).sum() + NEAR


@few
@given(SEEDS)
def test_every_answer_is_certified_and_says_so(seed: int) -> None:
    case = drawn(seed)
    _, answer = answered(case)
    for note in of_kind(answer, "weights"):
        assert np.isfinite(note.value).all()
        if not of_kind(answer, "fallback"):
            assert float(note.text.split("residual ")[1].split(",")[0]) <= 1e-7
    for note in of_kind(answer, "binds:"):
        assert note.kind == "binds:cost" or (note.value > 0).all()  # what a looser limit gains is never a loss


@few
@given(SEEDS)
def test_another_order_of_symbols_gives_the_same_orders(seed: int) -> None:
    case = drawn(seed)
    after, _ = answered(case)
    order = np.random.default_rng(seed).permutation(len(case.names))
    fields = ("price", "qty", "halted", "want", "alpha", "sector")
    risk = Risk(factors=case.risk.factors[order], covariance=case.risk.covariance, specific=case.risk.specific[order])
    changed = {name: getattr(case, name)[order] for name in fields}
    other = Case(**(vars(case) | changed | {"risk": risk, "names": [case.names[i] for i in order]}))
    there, _ = answered(other)
    # A tie of two roundings may fall to either side; nothing else may differ.
    assert np.abs(there - after[order]).max() <= 1.0
    assert np.abs((there - after[order]) @ other.price) <= 2 * other.price.max()


@few
@given(SEEDS, st.sampled_from([1e-3, 1.0 / 7, 1e4]))
def test_neither_the_unit_of_money_nor_of_a_score_matters(seed: int, scale: float) -> None:
    """Prices and cash in pence; scores a hundred times as large: z-scores stay what they are."""
    case = drawn(seed)
    after, _ = answered(case)
    in_pence = Case(**(vars(case) | {"price": case.price * scale, "cash": case.cash * scale}))
    scored = Case(**(vars(case) | {"alpha": case.alpha * scale + 3.0}))
    for other in (in_pence, scored):
        there, _ = answered(other)
        assert np.abs(there - after).max() <= 1.0


@few
@given(SEEDS)
def test_without_cost_and_constraint_it_is_the_closed_form(seed: int) -> None:
    """w = S^-1 a / aversion, in shares to a lot."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 8))
    u, risk, price = universe_of(tuple(f"S{i}" for i in range(n))), risk_of(n, seed=seed), rng.uniform(5, 50, n)
    alpha = rng.normal(0, 1e-4, n)
    terms = (ExpectedReturn(universe=u, alpha="raw"), RiskOf(aversion=5.0))
    optimizer = Portfolio(
        universe=u,
        ids=OrderIds("s", "o"),
        costs=Bps(),
        name="o",
        method=Composed(universe=u, objective=terms),
        risk_model=Estimated(risk),
        leverage=50.0,
    )
    optimizer.on_bars(bars(ts=1, close=price))
    answer = optimizer.on_targets((target(1, np.full(n, 1.0 / n), alpha=alpha),), book(1, price, cash=1e8))
    wanted = np.linalg.solve(covariance(risk), alpha) / 5.0
    (note,) = of_kind(answer, "weights")
    np.testing.assert_allclose(note.value, wanted, atol=1e-7)
