"""Why a problem cannot be met: which limits conflict, by how much each would have to give, and the nearest that can be.

Elastic programming: limits of several names get a slack, and the sum of slacks is made least. Limits without a
multiplier in it do not take part in the conflict; from those with one a deletion filter leaves a set of which every
member is needed. A box gives by one amount for all of its names.

Source: Chinneck, Dravnieks (1991), Locating minimal infeasible constraint sets in linear programs, ORSA J. Computing 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from components.optimizers.elastic_program import Outcome, Statement
from components.optimizers.problem import HARD, Box, Problem
from components.optimizers.stating import tightest
from engine.events import Vector

TOLERANCE = 1e-7  # of a weight, below which limits are met: the same as for answers
_PULLS = 1e-7  # a multiplier of the elastic program above this pulls, prices of slacks being 1
_MARGIN = 1e-6  # relaxed limits are this much wider: solvers look for room between limits
_CUTS = 50  # tries for the amount by which a box has to give


@dataclass(frozen=True, slots=True)
class Conflict:
    """Limits that cannot all be met, none of which could be left out: without any one of them the others can be."""

    names: tuple[str, ...]  # of the run file, a row with its label: sectors[energy]; empty = there is no conflict
    by: tuple[float, ...]  # the least that each would have to give if the others of the set stay as they are

    def told(self) -> str:
        """One line for a person."""
        if not self.names:
            return "no limits conflict"
        parts = [f"{name} (short by {by:.4g})" for name, by in zip(self.names, self.by, strict=True)]
        return " against ".join(parts) if len(parts) > 1 else f"{parts[0]} alone cannot be met"


def possible(problem: Problem) -> bool:
    """Whether the hard limits of a problem can all be met, limits that count names left aside."""
    if (problem.lower > problem.upper + TOLERANCE).any():
        return False
    members = _Members(Statement(problem, boxes_of(problem)))
    return members.short(members.all)[0] <= TOLERANCE


def boxes_of(problem: Problem) -> list[Box]:
    """Boxes that have the problem's bounds: of each constraint those that are the tightest."""
    found = []
    for code in np.unique(np.concatenate([problem.lower_by, problem.upper_by])).tolist():
        lower = np.where(problem.lower_by == code, problem.lower, -np.inf)
        upper = np.where(problem.upper_by == code, problem.upper, np.inf)
        if code >= 0:
            found.append(Box(name=problem.names[code], lower=lower, upper=upper))
    return found


def conflict(problem: Problem, fixed: Sequence[str] = (), boxes: Sequence[Box] | None = None) -> Conflict:
    """The conflict of a problem's hard limits. Limits that count names, and those with a price, are no part of it.

    Boxes named in `fixed` are facts and no limits: they always hold. Where they cannot even hold alone they are limits
    like all others. `boxes` are all boxes that must hold, of which the problem has only the tightest bounds.
    """
    boxes = boxes_of(problem) if boxes is None else boxes
    members = _Members(Statement(problem, boxes), fixed)
    crossed = members.crossed()
    if crossed is not None:
        return crossed if crossed.names else conflict(problem, (), boxes)
    short, suspects = members.short(members.all)
    if short <= TOLERANCE:
        return Conflict((), ())
    if members.short(suspects)[0] <= TOLERANCE:
        suspects = members.all
    for k in list(suspects):
        rest = [other for other in suspects if other != k]
        if members.short(rest)[0] > TOLERANCE:
            suspects = rest
    names = tuple(members.statement.names[k] for k in suspects)
    return Conflict(names, tuple(members.alone(suspects, k) for k in suspects))


class _Members:
    """Limits by name, as positions in `statement.names`; those named in `fixed` take part always and are told never."""

    def __init__(self, statement: Statement, fixed: Sequence[str] = ()) -> None:
        self.statement = statement
        self.fixed = [k for k, name in enumerate(statement.names) if name in fixed]
        self.all = [k for k in range(len(statement.names)) if k not in self.fixed]

    def crossed(self) -> Conflict | None:
        """Two boxes that cross at a name, or one that does with what is fixed; no names where what is fixed crosses."""
        statement = self.statement
        lower, upper, lower_by, upper_by = statement.bounds([*self.fixed, *self.all], {})
        gap = lower - upper
        worst = int(gap.argmax()) if len(gap) else 0
        if not len(gap) or not gap[worst] > TOLERANCE:
            return None
        pair = [k for k in np.unique([lower_by[worst], upper_by[worst]]).tolist() if k not in self.fixed]
        lower, upper, *_ = statement.bounds([*self.fixed, *pair], {})
        by = float((lower - upper).max()) / (2.0 if lower_by[worst] == upper_by[worst] else 1.0)
        return Conflict(tuple(statement.names[k] for k in pair), (by,) * len(pair))

    def outcome(self, members: Sequence[int], looser: dict[int, float], gives: Sequence[int] | None = None) -> Outcome:
        lines = [j for j, line in enumerate(self.statement.lines) if line.member in members]
        lower, upper, *_ = self.statement.bounds([*self.fixed, *members], looser)
        return self.statement.least(lines, (lower, upper), lines if gives is None else gives)

    def short(self, members: Sequence[int], looser: dict[int, float] | None = None) -> tuple[float, list[int]]:
        """The least sum of slacks of their rows and caps, and the members that pull."""
        *_, lower_by, upper_by = self.statement.bounds([*self.fixed, *members], looser or {})
        found = self.outcome(members, looser or {})
        pulls = np.zeros(len(self.statement.names) + 1)
        np.maximum.at(pulls, [line.member for line in self.statement.lines], found.pulls)
        np.maximum.at(pulls, lower_by, found.lower)
        np.maximum.at(pulls, upper_by, found.upper)
        return found.total, [k for k in members if pulls[k] > _PULLS]

    def alone(self, members: Sequence[int], one: int) -> float:
        """How much one member would have to give, all of its names by the same, for the set to be met."""
        lines = [j for j, line in enumerate(self.statement.lines) if line.member == one]
        if lines:
            return self.outcome(members, {}, lines).total * self.statement.lines[lines[0]].unit
        by = 0.0
        for _ in range(_CUTS):  # Newton steps on a convex, falling, piecewise linear function: they never go beyond
            *_, lower_by, upper_by = self.statement.bounds([*self.fixed, *members], {one: by})
            found = self.outcome(members, {one: by})
            slope = float(found.lower[lower_by == one].sum() + found.upper[upper_by == one].sum())
            if found.total <= 0.1 * TOLERANCE or slope <= 0:
                break
            by += found.total / slope
        return by


def relaxed(problem: Problem, firm: Sequence[str], boxes: Sequence[Box] | None = None) -> Problem | None:
    """All limits but those named in `firm` loosened by the least total; None where that does not help.

    Caps on turnover give first: the others are loosened only by what no turnover could meet. A box gives by one amount
    for all of its names on a side. Names of rows are those of their constraint.
    """
    boxes = boxes_of(problem) if boxes is None else boxes
    statement = Statement(problem, boxes)
    churn = [statement.names.index(cap.name) for cap in problem.turnover if cap.soft == HARD and cap.name not in firm]
    lines = list(range(len(statement.lines)))
    gives = [j for j in lines if statement.lines[j].name not in firm]
    others = [j for j in gives if statement.lines[j].member not in churn]
    kept = [j for j in lines if statement.lines[j].member not in churn]
    loose = [box for box in boxes if box.name not in firm]
    held = [k for k, name in enumerate(statement.names) if name not in {box.name for box in loose}]
    lower, upper, *_ = statement.bounds(held, {})
    if (lower > upper).any():
        return None
    found = statement.least(kept, (lower, upper), others, _sides(statement, loose))
    if found.total == np.inf:
        return None
    slack = np.where(found.slack > 0.1 * TOLERANCE, found.slack + _MARGIN, 0.0)
    places = iter(range(len(lines), len(slack), 2))
    boxes = [box if box.name in firm else _widened(box, slack, next(places)) for box in boxes]
    if churn:
        wider = Statement(_loosened(problem, statement, boxes, slack), boxes)
        lower, upper, *_ = wider.bounds(range(len(wider.names)), {})
        turned = [j for j in lines if wider.lines[j].member in churn]
        last = wider.least(lines, (lower, upper), turned)
        if last.total == np.inf:
            return None
        slack[turned] = np.where(last.slack[turned] > 0.1 * TOLERANCE, last.slack[turned] + _MARGIN, 0.0)
    return _loosened(problem, statement, boxes, slack)


def _sides(statement: Statement, boxes: Sequence[Box]) -> tuple[Any, Any, Vector]:
    """Bounds of these boxes as rows, with a slack for each side of a box."""
    A, B, right = [sp.csr_matrix((0, statement.columns))], [sp.csr_matrix((0, 2 * len(boxes)))], [np.zeros(0)]
    for k, box in enumerate(boxes):
        for side, sign, bound in ((0, -1.0, box.lower), (1, 1.0, box.upper)):
            there = np.flatnonzero(np.isfinite(bound))
            A.append(sign * statement.T[there])
            ones, column = np.ones(len(there)), np.full(len(there), 2 * k + side)
            B.append(sp.csr_matrix((ones, (np.arange(len(there)), column)), (len(there), 2 * len(boxes))))
            right.append(sign * (bound[there] - statement.base[there]))
    return sp.vstack(A, format="csr"), sp.vstack(B, format="csr"), np.concatenate(right)


def _widened(box: Box, slack: Vector, at: int) -> Box:
    return replace(box, lower=box.lower - slack[at], upper=box.upper + slack[at + 1])


def _loosened(problem: Problem, statement: Statement, boxes: Sequence[Box], slack: Vector) -> Problem:
    """The problem with these boxes, and its rows and caps looser by the slack of their lines."""
    lower, upper, lower_by, upper_by = tightest(boxes, problem.names, len(problem))
    amounts = iter([float(by) * line.unit for by, line in zip(slack, statement.lines, strict=False)])
    high, low = problem.high.copy(), problem.low.copy()
    for i in np.flatnonzero(problem.row_soft == HARD).tolist():
        for sign, limit in ((1.0, high), (-1.0, low)):
            limit[i] += sign * next(amounts) if np.isfinite(limit[i]) else 0.0
    made: dict[str, Any] = {"high": high, "low": low, "lower": lower, "upper": upper}
    for name in ("turnover", "gross", "risk_caps"):
        caps = getattr(problem, name)
        takes = name != "risk_caps" or problem.risk is not None
        wide = [replace(c, limit=c.limit + next(amounts)) if c.soft == HARD and takes else c for c in caps]
        made[name] = tuple(wide)
    return replace(problem, **made, lower_by=lower_by, upper_by=upper_by)
