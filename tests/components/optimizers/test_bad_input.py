"""Whatever comes in, nothing is traded wrongly: positions are held with a reason, exits are sold."""

import importlib
from typing import Any

import numpy as np
import pytest

from components.costs.bps import Bps
from components.optimizers.constraints.box import WeightBox
from components.optimizers.constraints.budget import Budget
from components.optimizers.constraints.cardinality import Cardinality
from components.optimizers.constraints.long_only import LongOnly
from components.optimizers.constraints.risk_limit import RiskLimit
from components.optimizers.constraints.turnover import Turnover
from components.optimizers.methods.composed import Composed
from components.optimizers.portfolio import Portfolio
from components.optimizers.terms.expected_return import ExpectedReturn
from components.optimizers.terms.linear_cost import LinearCost
from components.optimizers.terms.variance import RiskOf
from engine.errors import ComponentError
from engine.events import Note, Orders
from engine.ids import OrderIds
from engine.protocols import Risk
from engine.universe import Universe, universe_of
from samewire.registry import BUILT_IN
from tests.make import bars, book, target

N, NAN = 4, np.nan
CLOSE = np.array([10.0, 20.0, 30.0, 40.0])
F = np.random.default_rng(0).normal(0, 0.01, (N, 2))
OWN = np.full(N, 1e-4)
EYE = np.eye(2)


class Estimated:
    """A risk model of a user's own, which says what it was made with."""

    def __init__(self, risk: Risk | None) -> None:
        self._risk = risk

    def on_bars(self, bars: Any, /) -> None:
        pass

    def risk(self) -> Risk | None:
        return self._risk


def composed(u: Universe, *constraints: Any, alpha: Any = "grinold") -> Composed:
    terms = (ExpectedReturn(universe=u, alpha=alpha), RiskOf(aversion=5.0), LinearCost())
    return Composed(universe=u, objective=terms, constraints=(LongOnly(), Budget(), *constraints))


def built_in(u: Universe, name: str, **options: Any) -> Any:
    module, kind = BUILT_IN["methods"][name].split(":")
    needs_universe = name in ("risk_parity", "hrp", "mean_cvar", "black_litterman")
    return getattr(importlib.import_module(module), kind)(**({"universe": u} if needs_universe else {}), **options)


MADE: dict[str, Any] = {
    "composed": lambda u: composed(u, WeightBox(max=0.5), Turnover(max=0.5)),
    "composed_raw": lambda u: composed(u, WeightBox(max=0.5), alpha="raw"),
    "composed_cone": lambda u: composed(u, RiskLimit(max=0.2, about="zero")),
    "composed_counted": lambda u: composed(u, Cardinality(most=2)),
    **{
        name: (lambda u, name=name: built_in(u, name))
        for name in BUILT_IN["methods"]
        if name not in ("composed", "mean_cvar", "black_litterman", "multi_period")
    },
    "mean_cvar": lambda u: built_in(u, "mean_cvar", window=10, min_slices=2),
    "black_litterman": lambda u: built_in(u, "black_litterman", alpha="grinold"),
    "multi_period": lambda u: built_in(u, "multi_period", horizon=2),
    "multi_period within": lambda u: built_in(
        u, "multi_period", horizon=2, universe=u, constraints=(Turnover(max=5.0),)
    ),
}
NO_RISK = ("equal_weight", "mean_cvar")
every = pytest.mark.parametrize("name", MADE)


def asked(name: str, risk: Risk | None = None, **given: Any) -> tuple[dict[int, float], list[Note]]:
    """Trades by symbol and what was said, of an account that holds A and C."""
    risk = Risk(factors=F, covariance=EYE, specific=OWN) if risk is None and "risk_of" not in given else risk
    u = universe_of(tuple("ABCD"))
    optimizer = Portfolio(
        universe=u,
        ids=OrderIds("s", "o"),
        name="o",
        costs=Bps(),
        benchmark="equal",
        method=MADE[name](u),
        risk_model=Estimated(risk),
    )
    close, rng = given.get("close", CLOSE), np.random.default_rng(1)
    for k in range(5):
        optimizer.on_bars(bars(ts=k + 1, close=close * np.exp(rng.normal(0, 0.01, N) * given.get("moves", 1.0))))
    status = {"status": given["status"]} if "status" in given else {}
    optimizer.on_bars(bars(ts=9, close=close, **status))
    held = book(9, CLOSE, cash=given.get("cash", 1e4), qty=given.get("qty", np.array([10.0, 0, 5.0, 0])))
    wish = target(9, given.get("want", np.full(N, 0.25)), alpha=given.get("alpha", np.array([1.0, 2.0, -1.0, 0.5])))
    answer = optimizer.on_targets((wish,), held)
    orders = [event for event in answer if isinstance(event, Orders)]
    traded = dict(zip(orders[0].symbol.tolist(), orders[0].qty.tolist(), strict=True)) if orders else {}
    notes = [event for event in answer if isinstance(event, Note)]
    assert all(np.isfinite(qty) for qty in traded.values())
    assert not [note for note in notes if note.kind == "weights" and not np.isfinite(note.value).all()]
    bought = sum(qty * CLOSE[s] for s, qty in traded.items())
    assert bought <= given.get("cash", 1e4)
    return traded, notes


def risk_of(factors: Any = F, covariance: Any = EYE, specific: Any = OWN) -> Risk:
    return Risk(factors=np.array(factors), covariance=np.array(covariance), specific=np.array(specific))


BROKEN = {
    "nan factors": (risk_of(factors=F * [[1], [NAN], [1], [1]]), "2 figures in its factors that are not finite"),
    "nan specific": (risk_of(specific=[1e-4, NAN, 1e-4, 1e-4]), "1 figures in its specific that are not finite"),
    "endless": (risk_of(specific=[1e-4, np.inf, 1e-4, 1e-4]), "1 figures in its specific that are not finite"),
    "nan covariance": (risk_of(covariance=[[1, NAN], [NAN, 1]]), "2 figures in its covariance that are not finite"),
    "indefinite": (risk_of(covariance=[[1, 2], [2, 1]]), "not symmetric and positive semidefinite"),
    "negative": (risk_of(covariance=[[1, 0], [0, -1]]), "not symmetric and positive semidefinite"),
    "asymmetric": (risk_of(covariance=[[1, 0.9], [-0.9, 1]]), "not symmetric and positive semidefinite"),
}


@every
@pytest.mark.parametrize("flaw", BROKEN)
def test_rule_47_what_is_no_covariance_is_not_traded_on(name: str, flaw: str) -> None:
    risk, said = BROKEN[flaw]
    traded, notes = asked(name, risk, want=np.array([0.25, 0.25, 0.0, 0.25]))
    kinds = {note.kind: note.text for note in notes}
    if name in NO_RISK:
        assert said in kinds["risk"]
        assert traded
    else:
        assert said in kinds["fallback"]
        assert traded == {2: -5.0}  # the exit


def test_a_negative_variance_of_a_user_s_own_model_is_told_in_its_name() -> None:
    with pytest.raises(ComponentError, match="risk model Estimated.* specific has a variance of -0.0001"):
        asked("composed", risk_of(specific=[1e-4, -1e-4, 1e-4, 1e-4]))


@every
def test_where_nothing_moves_nothing_is_sold_for_it(name: str) -> None:
    """Constant prices: methods that divide by volatility have no answer and hold."""
    traded, notes = asked(name, risk_of(factors=0 * F, specific=0 * OWN), moves=0.0)
    if name in ("inverse_volatility", "max_sharpe", "risk_parity", "max_diversification", "hrp"):
        assert (traded, [note.kind for note in notes]) == ({}, ["fallback"])


@every
@pytest.mark.parametrize("rank", [0, 1])
def test_a_singular_covariance_gives_finite_trades(name: str, rank: int) -> None:
    asked(name, risk_of(factors=F[:, :rank], covariance=np.eye(rank), specific=0 * OWN))


ALPHAS = {
    "exploded": [1e300, 1.0, 2.0, 3.0],
    "both ways": [-1e300, 1e300, 2.0, NAN],
    "endless": [np.inf, 1.0, -np.inf, 3.0],
    "none": [NAN] * N,
    "alike": [1.0] * N,
    "tiny": [1e-300, 0.0, 2e-300, 3e-300],
}


@every
@pytest.mark.parametrize("alpha", ALPHAS)
def test_opinions_of_any_size_give_finite_trades_that_can_be_paid(name: str, alpha: str) -> None:
    asked(name, alpha=np.array(ALPHAS[alpha]))


@every
@pytest.mark.parametrize(
    "given",
    [{"status": np.full(N, 2)}, {"close": np.full(N, NAN)}, {"want": np.full(N, NAN)}],
    ids=["halted", "delisted", "unspoken"],
)
def test_where_nothing_can_trade_there_is_no_order_and_no_failure(name: str, given: Any) -> None:
    assert asked(name, **given)[0] == {}


@every
def test_an_account_below_one_lot_buys_nothing(name: str) -> None:
    assert asked(name, cash=3.0, qty=np.zeros(N))[0] == {}


@every
def test_an_infinite_target_is_left_alone_and_told(name: str) -> None:
    traded, notes = asked(name, want=np.array([np.inf, 0.2, 0.2, 0.2]))
    assert 0 not in traded
    (told,) = [note for note in notes if note.kind == "infinite"]
    assert told.symbol.tolist() == [0]


def test_weights_beyond_all_sense_are_not_traded() -> None:
    """Returns of 100 % a slice and no bound: the answer is right and absurd."""
    u = universe_of(tuple("ABCD"))
    terms = (ExpectedReturn(universe=u, alpha="raw"), RiskOf(aversion=5.0))
    MADE["free"] = lambda u: Composed(universe=u, objective=terms)
    traded, notes = asked("free")
    del MADE["free"]
    assert traded == {}
    assert "times equity, unsigned: bound them" in notes[-1].text


def test_costs_of_a_user_s_own_with_no_rate_are_told_in_their_name() -> None:
    from engine.errors import ConfigError

    class Free(Bps):
        def rate(self) -> float:
            return NAN

    u = universe_of(tuple("ABCD"))
    with pytest.raises(ConfigError, match=r"costs Free: its rate\(\) is nan"):
        Portfolio(
            universe=u,
            ids=OrderIds("s", "o"),
            costs=Free(),
            name="o",
            method=MADE["composed"](u),
            risk_model=Estimated(None),
        )


def test_what_a_solver_leaves_of_a_name_it_does_not_trade_is_no_trade() -> None:
    """A weight that is off by less than the residual is the position: rounding down would sell a lot of it."""
    from tests.components.optimizers.test_portfolio import Told, made, trades

    w0 = np.array([0.3, 0.4, 0.3])
    optimizer = made(Told(*(w0 - [5e-8, 0.0, 2e-8])))
    close = [10.0, 20.0, 50.0]
    optimizer.on_bars(bars(ts=1, close=close))
    held = book(1, close, cash=0.0, qty=np.array([3e4, 2e4, 6e3]))
    assert trades(optimizer.on_targets((target(1, [0.3, 0.4, 0.3]),), held)) == {}
