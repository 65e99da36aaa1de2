"""The same random problems in two other portfolio optimizers: no answer of theirs may be better, none far from ours."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from components.optimizers.problem import (
    Box,
    Kink,
    Linear,
    Piece,
    Problem,
    Ridge,
    RiskCap,
    Rows,
    Situation,
    Tail,
    Variance,
)
from components.optimizers.program import TOLERANCE, Compiled
from components.optimizers.stating import broken, marginal, objective, stated
from tests.components.optimizers.problems import situation
from tests.peers.test_peers import peer

GAP, BETTER = 1e-6, 1e-8  # of return over one slice
TIGHT = {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]  # what others warn of at their import


class Case:
    """A situation with figures that every library can be told: long only, fully invested."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.n = n = int(rng.integers(5, 60))
        self.at: Situation = situation(n, rng)
        assert self.at.risk is not None
        self.alpha = rng.normal(0, 0.002, n)
        self.aversion = float(rng.uniform(1, 20))
        self.upper = max(0.3, 3.0 / n)
        self.cost = float(rng.uniform(0, 1e-3))
        self.ridge = float(rng.uniform(0, 0.01))
        self.returns = rng.normal(0, 0.02, (60, n))
        w0 = rng.random(n)
        self.at = replace(self.at, w0=w0 / w0.sum())
        assert self.at.risk is not None
        self.S = np.stack([marginal(self.at.risk, row) for row in np.eye(n)])
        self.sectors = np.stack([(self.at.sector == s).astype(float) for s in range(3)])

    def problem(self, *more: Piece, risk: bool = True) -> Problem:
        n = self.n
        always: list[Piece] = [
            Linear(name="return", cost=-self.alpha),
            Box(name="bounds", lower=np.zeros(n), upper=np.full(n, self.upper)),
            Rows(name="budget", A=np.ones((1, n)), low=np.ones(1), high=np.ones(1), labels=("all",)),
        ]
        if risk:
            always.append(Variance(name="risk", aversion=self.aversion, about=np.zeros(n)))
        return stated([*always, *more], self.at)

    @property
    def trades(self) -> Kink:
        cost = np.full(self.n, self.cost)
        return Kink(name="costs", up=cost, down=cost, at=self.at.w0)

    @property
    def limited(self) -> Rows:
        return Rows(name="sectors", A=self.sectors, low=np.full(3, 0.2), high=np.full(3, 0.45), labels=("A", "B", "C"))

    @property
    def cap(self) -> RiskCap:
        least = objective(self.problem(), np.full(self.n, 1.0 / self.n))  # only so that it differs from case to case
        return RiskCap(name="volatility", limit=0.012 + 0.1 * abs(least), about=np.zeros(self.n))


def skfolio(case: Case, **options: Any) -> Any:
    """Weights by skfolio of a prior that is told, so that nothing is estimated."""
    peer("skfolio")
    from skfolio.optimization import MeanRisk, ObjectiveFunction
    from skfolio.prior import BasePrior, ReturnDistribution

    class Told(BasePrior):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

        def fit(self, X: Any, y: Any = None, **more: Any) -> Any:
            self.return_distribution_ = ReturnDistribution(mu=case.alpha, covariance=case.S, returns=case.returns)
            return self

    given: dict[str, Any] = {
        "objective_function": ObjectiveFunction.MAXIMIZE_UTILITY,
        "risk_aversion": case.aversion / 2,
        "max_weights": case.upper,
        "prior_estimator": Told(),
        "solver": "CLARABEL",
        "solver_params": TIGHT,
        "scale_objective": 100.0,
    }
    return MeanRisk(**(given | options)).fit(case.returns).weights_


def sk_utility(case: Case) -> tuple[Problem, Any]:
    return case.problem(), skfolio(case)


def sk_costs_and_ridge(case: Case) -> tuple[Problem, Any]:
    """Its ridge is a sum of squares without the half."""
    ridge = Ridge(name="ridge", weight=np.full(case.n, 2 * case.ridge), about=np.zeros(case.n))
    weights = skfolio(case, transaction_costs=case.cost, previous_weights=case.at.w0, l2_coef=case.ridge)
    return case.problem(case.trades, ridge), weights


def sk_sectors(case: Case) -> tuple[Problem, Any]:
    A = np.concatenate([case.sectors, -case.sectors])
    weights = skfolio(case, left_inequality=A, right_inequality=np.r_[np.full(3, 0.45), np.full(3, -0.2)])
    return case.problem(case.limited), weights


def sk_volatility(case: Case) -> tuple[Problem, Any]:
    from importlib import import_module

    peer("skfolio")
    most = import_module("skfolio.optimization").ObjectiveFunction.MAXIMIZE_RETURN
    weights = skfolio(case, objective_function=most, max_standard_deviation=case.cap.limit)
    return case.problem(case.cap, risk=False), weights


def sk_tail(case: Case) -> tuple[Problem, Any]:
    peer("skfolio")
    from skfolio import RiskMeasure

    tail = Tail(name="tail", returns=case.returns, level=0.9, weight=0.1)
    weights = skfolio(case, risk_measure=RiskMeasure.CVAR, cvar_beta=0.9, risk_aversion=0.1)
    return case.problem(tail, risk=False), weights


def pypfopt(case: Case) -> Any:
    frontier = peer("pypfopt").EfficientFrontier
    return frontier(case.alpha, case.S, weight_bounds=(0, case.upper), solver="CLARABEL", solver_options=TIGHT)


def py_utility(case: Case) -> tuple[Problem, Any]:
    found = pypfopt(case)
    found.max_quadratic_utility(risk_aversion=case.aversion)
    return case.problem(), found.weights


def py_costs_and_ridge(case: Case) -> tuple[Problem, Any]:
    """Its costs are charged in full, its ridge is a sum of squares without the half."""
    from importlib import import_module

    found = pypfopt(case)
    costs = import_module("pypfopt.objective_functions")
    found.add_objective(costs.transaction_cost, w_prev=case.at.w0, k=case.cost)
    found.add_objective(costs.L2_reg, gamma=case.ridge)
    found.max_quadratic_utility(risk_aversion=case.aversion)
    ridge = Ridge(name="ridge", weight=np.full(case.n, 2 * case.ridge), about=np.zeros(case.n))
    return case.problem(case.trades, ridge), found.weights


def py_sectors(case: Case) -> tuple[Problem, Any]:
    found = pypfopt(case)
    for row in case.sectors:
        found.add_constraint(lambda w, row=row: row @ w <= 0.45)
        found.add_constraint(lambda w, row=row: row @ w >= 0.2)
    found.max_quadratic_utility(risk_aversion=case.aversion)
    return case.problem(case.limited), found.weights


def py_volatility(case: Case) -> tuple[Problem, Any]:
    found = pypfopt(case)
    found.efficient_risk(case.cap.limit)
    return case.problem(case.cap, risk=False), found.weights


PEERS = (
    sk_utility,
    sk_costs_and_ridge,
    sk_sectors,
    sk_volatility,
    sk_tail,
    py_utility,
    py_costs_and_ridge,
    py_sectors,
    py_volatility,
)


@pytest.mark.parametrize("of_peer", PEERS, ids=[of_peer.__name__ for of_peer in PEERS])
def test_the_optimum_is_that_of_the_peer(of_peer: Callable[[Case], tuple[Problem, Any]]) -> None:
    route = Compiled()
    for seed in range(12):
        problem, theirs = of_peer(Case(seed))
        answer = route.solve(problem)
        assert answer.status == "optimal"
        assert answer.w is not None
        assert max(broken(problem, answer.w).values(), default=0.0) <= TOLERANCE
        assert max(broken(problem, np.asarray(theirs)).values(), default=0.0) <= 1e-6
        ours, best = objective(problem, answer.w), objective(problem, np.asarray(theirs))
        assert ours <= best + BETTER
        assert abs(ours - best) <= GAP
