"""Constraints that can never be met together, whatever the market: told at start rather than at every rebalance."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.optimizers.problem import HARD, Constraint, Problem, Situation
from components.optimizers.stating import stated
from engine.sealing import users_own
from engine.universe import Universe

_ROOM = 1e-9  # of a weight


def impossible(universe: Universe, constraints: Sequence[Constraint]) -> str:
    """Why those that say the same at every rebalance (`always`) contradict each other, empty = they do not.

    Bounds that cross, and a sum of weights that bounds or gross do not allow.
    """
    same = [each for each in constraints if getattr(each, "always", False)]
    if not same:
        return ""
    at = _blank(universe)
    problem = stated([piece for each in same for piece in each.allows(at)], at)
    crossed = np.flatnonzero(problem.lower > problem.upper)
    if crossed.size:
        i = crossed[0]
        low, high = problem.names[problem.lower_by[i]], problem.names[problem.upper_by[i]]
        return f"{low} wants weights of at least {problem.lower[i]:g}, {high} of at most {problem.upper[i]:g}"
    return _unreachable(problem)


def unbounded(objective: Sequence[Any], constraints: Sequence[Any]) -> str:
    """Why the least cost is endless, empty = it is not: terms that are straight lines, and weights without bounds.

    Limits with a price bound nothing: more may be earned beyond them than they cost. Parts of the user's own are
    believed to bend, and to bound.
    """
    if any(users_own(part) for part in (*objective, *constraints)):
        return ""
    if not all(getattr(term, "straight", False) for term in objective):
        return ""
    found = {getattr(each, "bounds", "none") for each in constraints if each.soft is None}
    if "both" in found or ("below" in found and ({"above", "sum"} & found)):
        return ""
    lacks = "above" if "below" in found else "below" if {"above", "sum"} & found else "below or above"
    terms = ", ".join(type(term).__name__ for term in objective)
    return (
        f"no term bends ({terms}) and nothing holds weights from {lacks}, "
        "so the best are endless; add variance to the objective, or long_only with a budget, a box or gross"
    )


def _unreachable(problem: Problem) -> str:
    """Sums on the wrong side of 0, or beyond gross. How many names there will be is not known, so they may be many."""
    gross = min((cap.limit for cap in problem.gross if cap.soft == HARD), default=np.inf)
    top, bottom = (gross if (problem.upper > 0).any() else 0.0), (-gross if (problem.lower < 0).any() else 0.0)
    for j in np.flatnonzero(problem.row_soft == HARD).tolist():
        name = problem.names[problem.row_by[j]]
        if problem.low[j] > top + _ROOM:
            return f"{name} wants weights to add up to at least {problem.low[j]:g}, the others to at most {top:g}"
        if problem.high[j] < bottom - _ROOM:
            return f"{name} wants weights to add up to at most {problem.high[j]:g}, the others to at least {bottom:g}"
    return ""


def _blank(universe: Universe) -> Situation:
    n = len(universe)
    zero, none = np.zeros(n), np.full(n, np.nan)
    given: dict[str, Any] = {"ts": 0, "equity": 1.0, "invest": 1.0, "rate": 0.0, "risk": None, "sectors": ()}
    return Situation(
        **given,
        universe=universe,
        unit=none,
        w0=zero,
        wanted=none,
        alpha=none,
        free=np.ones(n, bool),
        leaving=np.zeros(n, bool),
        benchmark=zero,
        sector=np.full(n, -1, np.int32),
        traded=none,
        half_spread=none,
        references={},
        columns={},
    )
