"""Limits that count names, against trying every choice there is."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from components.optimizers.counted import CountedSearch
from components.optimizers.problem import Counted, Problem
from components.optimizers.program import Compiled
from components.optimizers.stating import broken, objective
from tests.components.optimizers.problems import random_problem

ROUTE = Compiled()


def problem_of(n: int, seed: int, *kinds: str, **counts: Any) -> Problem:
    problem = random_problem(n, np.random.default_rng([seed, n]), ("variance", *kinds))
    return replace(problem, upper=np.maximum(problem.upper, 0.7), counted=(Counted(name="names", **counts),))


def options(problem: Problem, i: int) -> list[tuple[float, float, bool]]:
    """Bounds of one name for each way that it may be held and traded, and whether it counts."""
    piece, inf, w0 = problem.counted[0], np.inf, problem.w0[i]
    weight = 0.0 if piece.least_weight is None else piece.least_weight[i]
    trade = 0.0 if piece.least_trade is None else piece.least_trade[i]
    held = [(0.0, 0.0, False), (weight, inf, True), (-inf, -weight, True)]
    traded = [(w0, w0), (w0 + trade, inf), (-inf, w0 - trade)] if trade else [(-inf, inf)]
    found = []
    for low, high, counts in held:
        for least, most in traded:
            lower, upper = max(low, least, problem.lower[i]), min(high, most, problem.upper[i])
            if lower <= upper:
                found.append((lower, upper, counts))
    return found


def best_of_all(problem: Problem) -> float:
    """The optimum over every combination of choices; inf if none can be."""
    best, most = np.inf, problem.counted[0].most
    for made in itertools.product(*(options(problem, i) for i in range(len(problem)))):
        if most is not None and sum(counts for _, _, counts in made) > most:
            continue
        lower, upper, _ = map(np.array, zip(*made, strict=True))
        if lower.sum() > 1 + 1e-9 or upper.sum() < 1 - 1e-9:
            continue  # the budget is 1
        answer = ROUTE.solve(replace(problem, lower=lower, upper=upper, counted=()))
        if answer.w is not None:
            best = min(best, objective(problem, answer.w))
    return best


def kept(problem: Problem, w: Any) -> None:
    """Everything that must hold, and what is counted."""
    piece = problem.counted[0]
    assert max(broken(problem, w).values(), default=0.0) <= 1e-7
    held = np.abs(w) > 1e-7
    if piece.most is not None:
        assert held.sum() <= piece.most
    if piece.least_weight is not None:
        assert (np.abs(w) >= piece.least_weight - 1e-7)[held].all()
    if piece.least_trade is not None:
        moved = np.abs(w - problem.w0)
        assert (moved >= piece.least_trade - 1e-7)[moved > 1e-7].all()


CASES = [
    (8, {"most": 3}, ()),
    (7, {"most": 2}, ("kink",)),
    (6, {"most": 3}, ("kink", "gross")),
    (5, {"least_weight": 0.2}, ()),
    (5, {"least_weight": 0.15}, ("kink", "gross")),
    (5, {"least_trade": 0.15}, ("kink",)),
    (4, {"most": 3, "least_weight": 0.25, "least_trade": 0.1}, ("kink",)),
]


@pytest.mark.parametrize(("n", "counts", "kinds"), CASES)
def test_the_search_finds_the_best_of_all_choices(n: int, counts: dict[str, Any], kinds: tuple[str, ...]) -> None:
    found = 0
    for seed in range(3):
        given = {name: value if name == "most" else np.full(n, value) for name, value in counts.items()}
        problem = problem_of(n, seed, *kinds, **given)
        best = best_of_all(problem)
        answer = CountedSearch(route=ROUTE, nodes=5_000).solve(problem)
        if best == np.inf:
            assert (answer.status, answer.w) == ("infeasible", None)
            continue
        found += 1
        assert answer.status == "optimal"
        assert answer.route == "counted, piqp"
        assert answer.w is not None
        kept(problem, answer.w)
        assert objective(problem, answer.w) == pytest.approx(best, abs=3e-9)
    assert found >= 2


@pytest.mark.parametrize("n", [30, 80])
def test_the_gap_that_is_told_holds(n: int) -> None:
    """A heuristic answer is at most its gap from what a longer search proves."""
    problem = problem_of(n, 1, "kink", most=8, least_weight=np.full(n, 0.05))
    quick = CountedSearch(route=ROUTE, nodes=0).solve(problem)
    longer = CountedSearch(route=ROUTE, nodes=150).solve(problem)
    assert quick.w is not None
    assert longer.w is not None
    for answer in (quick, longer):
        kept(problem, answer.w)
    first, second = objective(problem, quick.w), objective(problem, longer.w)
    assert second <= first + 1e-9
    gap = 0.0 if quick.status == "optimal" else float(quick.status.removeprefix("within "))
    assert first - second <= gap * 1.1 + 1e-9
    assert longer.iterations <= quick.iterations + 150 + 3


def test_an_answer_depends_on_its_problem_alone() -> None:
    problem = problem_of(20, 3, "kink", most=5)
    route = Compiled()
    first = CountedSearch(route=route, nodes=50).solve(problem)
    CountedSearch(route=route).solve(problem_of(16, 4, most=3))
    again = CountedSearch(route=route, nodes=50).solve(problem, start=first)
    fresh = CountedSearch(route=Compiled(), nodes=50).solve(problem)
    for answer in (again, fresh):
        assert answer.status == first.status
        assert answer.w is not None
        assert first.w is not None
        assert answer.w.tobytes() == first.w.tobytes()


def test_what_cannot_be_chosen_is_infeasible() -> None:
    problem = problem_of(6, 1, most=1)  # no name may be more than 0.7 of the book
    assert CountedSearch(route=ROUTE).solve(problem).status == "infeasible"
    two = replace(problem, lower=np.where(np.arange(6) < 2, 0.1, 0.0))
    assert CountedSearch(route=ROUTE).solve(two).status == "infeasible"
    kept_apart = replace(problem, counted=(Counted(name="least", least_weight=np.full(6, 0.9)),))
    assert CountedSearch(route=ROUTE).solve(kept_apart).status == "infeasible"
    assert not CountedSearch(route=ROUTE).fits(replace(problem, counted=()))
    assert CountedSearch(route=ROUTE).fits(problem)
    with pytest.raises(ValueError, match="nodes is -1"):
        CountedSearch(route=ROUTE, nodes=-1)
