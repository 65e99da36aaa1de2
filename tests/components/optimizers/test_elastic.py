"""Conflicts of limits against a separate statement of the same linear programs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

from components.optimizers.elastic import Conflict, conflict, relaxed
from components.optimizers.problem import (
    HARD,
    Box,
    GrossCap,
    Linear,
    Piece,
    Problem,
    RiskCap,
    Rows,
    TurnoverCap,
    Variance,
)
from components.optimizers.program import Compiled
from components.optimizers.stating import broken, marginal, stated
from tests.components.optimizers.problems import situation

KINDS = ("crossed", "budget", "floor", "rows", "turnover", "gross", "mixed", "mixed", "mixed")


def limit(name: str, A: Any, low: float, high: float, *labels: str) -> Rows:
    matrix = np.atleast_2d(np.asarray(A, float))
    m = len(matrix)
    return Rows(name=name, A=matrix, low=np.full(m, low), high=np.full(m, high), labels=labels or ("all",))


def infeasible(seed: int) -> Problem:
    """Limits that cannot be met, for one reason or for several, among others that can."""
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    n = int(rng.integers(3, 13))
    at = situation(n, rng)
    ones, top = np.ones(n), float(rng.uniform(1.5, 3.0)) / n
    lower, upper = np.zeros(n), np.full(n, top)
    pieces: list[Piece] = [
        Linear(name="return", cost=rng.normal(0, 1e-3, n)),
        Variance(name="risk", aversion=5.0, about=np.zeros(n)),
        limit("budget", ones, 1.0, 1.0),
        limit("beta", rng.normal(1, 0.2, n), -5.0, 5.0),
    ]
    sectors = np.stack([(at.sector == s).astype(float) for s in range(3)])
    if kind == "crossed":
        i = int(rng.integers(n))
        pieces.append(
            Box(name="least", lower=np.where(np.arange(n) == i, top + 0.1, -np.inf), upper=np.full(n, np.inf))
        )
    elif kind == "budget":
        upper = np.full(n, rng.uniform(0.2, 0.9) / n)
    elif kind == "floor":
        s = int(rng.integers(3))
        pieces.append(Box(name="banned", lower=np.full(n, -np.inf), upper=np.where(at.sector == s, 0.0, np.inf)))
        pieces.append(limit("sectors", sectors, 0.05, np.inf, "A", "B", "C"))
    elif kind == "rows":
        row = rng.normal(0, 1, n)
        pieces += [limit("tilt", row, 0.3, np.inf), limit("neutral", row * 2, -np.inf, 0.5)]
    elif kind == "turnover":
        far = np.where(at.w0 > 0, 0.0, 1.0)
        far[0] = 1.0
        pieces += [limit("away", far, 0.95 * min(1.0, far.sum() * top), np.inf)]
        pieces.append(TurnoverCap(name="turnover", limit=0.01))
    elif kind == "gross":
        lower = np.full(n, -0.3)
        pieces += [GrossCap(name="gross", limit=float(rng.uniform(0.3, 0.9)))]
    else:
        lower = np.where(rng.random(n) < 0.5, -0.2, 0.0)
        for k in range(int(rng.integers(3, 9))):
            value = float(rng.normal(0, 0.4))
            row = rng.normal(0, 1, n) * (rng.random(n) < 0.6)
            low, high = (value, np.inf) if rng.random() < 0.5 else (-np.inf, value)
            pieces.append(limit(f"row{k}", row, low, high, "x"))
        pieces.append(TurnoverCap(name="turnover", limit=float(rng.uniform(0, 0.3))))
        pieces.append(GrossCap(name="gross", limit=float(rng.uniform(0.8, 1.2))))
    pieces.append(Box(name="bounds", lower=lower, upper=upper))
    return stated(pieces, replace(at, w0=at.w0 * (kind != "gross")))


def only(problem: Problem, names: tuple[str, ...]) -> Problem:
    """The problem with these hard limits and no other."""

    def box(bound: Any, by: Any, none: float) -> Any:
        return np.where([k >= 0 and problem.names[k] in names for k in by], bound, none)

    kept = np.array(
        [f"{problem.names[by]}[{label}]" in names for by, label in zip(problem.row_by, problem.labels, strict=True)]
    )
    return replace(
        problem,
        lower=box(problem.lower, problem.lower_by, -np.inf),
        upper=box(problem.upper, problem.upper_by, np.inf),
        low=np.where(kept, problem.low, -np.inf),
        high=np.where(kept, problem.high, np.inf),
        turnover=tuple(cap for cap in problem.turnover if cap.name in names),
        gross=tuple(cap for cap in problem.gross if cap.name in names),
        risk_caps=tuple(cap for cap in problem.risk_caps if cap.name in names),
    )


def met(problem: Problem) -> bool:
    """Whether hard limits can be met: a statement of its own, with w = w0 + bought - sold = long - short."""
    n = len(problem)
    if (problem.lower > problem.upper).any():
        return False
    eye, none = np.eye(n), np.zeros((n, n))
    A_eq = np.block([[eye, -eye, eye, none, none], [eye, none, none, -eye, eye]])
    b_eq = np.r_[problem.w0, np.zeros(n)]
    A, b = [], []
    for row, low, high in zip(problem.A, problem.low, problem.high, strict=True):
        for sign, bound in ((1, high), (-1, low)):
            if np.isfinite(bound):
                A.append(np.r_[sign * row, np.zeros(4 * n)])
                b.append(sign * bound)
    for caps, begin in ((problem.turnover, n), (problem.gross, 3 * n)):
        for cap in caps:
            used = np.zeros(5 * n)
            used[begin : begin + 2 * n] = 1
            A.append(used)
            b.append(cap.limit)
    bounds = [*zip(problem.lower, problem.upper, strict=True), *[(0.0, None)] * (4 * n)]
    rows = {"A_ub": np.array(A), "b_ub": np.array(b)} if A else {}
    result = linprog(np.zeros(5 * n), A_eq=A_eq, b_eq=b_eq, bounds=bounds, method="highs", **rows)
    assert result.status in (0, 2)
    return bool(result.status == 0)


def checked(seed: int) -> Conflict | None:
    """None where the random limits can be met after all; else one of which all is needed."""
    problem = infeasible(seed)
    if met(problem):
        assert conflict(problem).names == ()
        return None
    found = conflict(problem)
    assert found.names
    assert not met(only(problem, found.names)), seed
    for name, by in zip(found.names, found.by, strict=True):
        assert met(only(problem, tuple(other for other in found.names if other != name))), (seed, name)
        assert by > 0, (seed, name)
    loosened = relaxed(problem, ())
    assert loosened is not None
    assert met(loosened), seed
    return found


def test_conflicts_of_random_problems_are_conflicts_and_irreducible() -> None:
    found = [checked(seed) for seed in range(170)]
    assert sum(conflict is not None for conflict in found) >= 140
    assert max(len(conflict.names) for conflict in found if conflict is not None) == 3


@pytest.mark.long
def test_a_thousand_conflicts_are_conflicts_and_irreducible() -> None:
    assert sum(checked(seed) is not None for seed in range(200, 1_600)) >= 1_000


def test_the_reason_is_told_by_the_names_of_the_run_file() -> None:
    kinds = {kind: infeasible(seed) for seed, kind in enumerate(KINDS[:6])}
    assert set(conflict(kinds["crossed"]).names) == {"least", "bounds"}
    assert conflict(kinds["crossed"]).by == pytest.approx((0.1, 0.1))
    assert set(conflict(kinds["budget"]).names) == {"budget[all]", "bounds"}
    floor = conflict(kinds["floor"])
    assert {name.split("[")[0] for name in floor.names} == {"banned", "sectors"}
    assert len(floor.names) == 2
    assert set(conflict(kinds["rows"]).names) == {"tilt[all]", "neutral[all]"}
    # tilt wants 0.3, neutral allows 0.25: in its own unit neutral has to give twice as much.
    assert dict(zip(conflict(kinds["rows"]).names, conflict(kinds["rows"]).by, strict=True)) == pytest.approx(
        {"tilt[all]": 0.05, "neutral[all]": 0.1}
    )
    assert "turnover" in conflict(kinds["turnover"]).names
    assert set(conflict(kinds["gross"]).names) == {"budget[all]", "gross"}
    told = conflict(kinds["gross"]).told()
    assert told.startswith("budget[all] (short by 0.")
    assert "against gross (short by 0." in told


def test_one_limit_alone_can_be_the_conflict() -> None:
    at = situation(4, np.random.default_rng(0))
    problem = stated([limit("nobody", np.zeros(4), 0.2, np.inf, "utilities")], at)
    found = conflict(problem)
    assert (found.names, found.by) == (("nobody[utilities]",), pytest.approx((0.2,)))
    assert found.told() == "nobody[utilities] (short by 0.2) alone cannot be met"


def test_what_was_relaxed_can_be_solved() -> None:
    route = Compiled()
    for seed in range(45):
        problem = infeasible(seed)
        if met(problem):
            continue
        assert route.solve(problem).status == "infeasible"
        loosened = relaxed(problem, ())
        assert loosened is not None
        answer = route.solve(loosened)
        assert answer.status == "optimal", seed


def test_a_cap_on_risk_takes_part() -> None:
    """Wanting a beta that the least risky such portfolio is too risky for."""
    rng = np.random.default_rng(5)
    at = situation(8, rng)
    assert at.risk is not None
    S = np.stack([marginal(at.risk, row) for row in np.eye(8)])
    row = at.risk.factors[:, 0]
    least = float(1.0 / np.sqrt(row @ np.linalg.solve(S, row)))  # deviation of the least risky w with row'w = 1
    cap = RiskCap(name="volatility", limit=least / 2, about=np.zeros(8))
    far = [
        limit("tilt", row, 1.0, np.inf, "value"),
        cap,
        Box(name="bounds", lower=np.full(8, -9.0), upper=np.full(8, 9.0)),
        TurnoverCap(name="turnover", limit=100.0),
    ]
    problem = stated(far, at)
    assert Compiled().solve(problem).status == "infeasible"
    found = conflict(problem)
    assert dict(zip(found.names, found.by, strict=True)) == pytest.approx(
        {"tilt[value]": 0.5, "volatility": least / 2}, rel=1e-5
    )
    wider = stated([*far[:1], replace(cap, limit=least * 1.001), *far[2:]], at)
    assert conflict(wider).names == ()
    loosened = relaxed(problem, ())
    assert loosened is not None
    answer = Compiled().solve(loosened)
    assert answer.status == "optimal"


def test_what_has_a_price_is_no_part_of_a_conflict() -> None:
    at = situation(4, np.random.default_rng(0))
    soft = replace(limit("wished", np.ones(4), 3.0, np.inf), soft=0.01)
    boxed = Box(name="bounds", lower=np.zeros(4), upper=np.full(4, 0.25))
    churn = TurnoverCap(name="turnover", limit=0.0, soft=0.001)
    problem = stated([soft, boxed, churn, limit("budget", np.ones(4), 0.5, 1.0)], at)
    assert conflict(problem).names == ()
    assert conflict(problem).told() == "no limits conflict"
    assert HARD not in problem.row_soft[:1]
    answer = Compiled().solve(problem)
    assert answer.w is not None
    assert max(broken(problem, answer.w).values(), default=0.0) <= 1e-7
