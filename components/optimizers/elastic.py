"""Why a problem cannot be met: which limits conflict, by how much each would have to give, and the nearest that can be.

Elastic programming: every limit gets a slack, the sum of slacks is made least. Limits without a multiplier in it do not
take part in the conflict; from those with one a deletion filter leaves a set of which every member is needed.

Source: Chinneck, Dravnieks (1991), Locating minimal infeasible constraint sets in linear programs, ORSA J. Computing 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from components.optimizers.problem import HARD, Problem
from components.optimizers.stating import exposures
from engine.events import Codes, Vector

TOLERANCE = 1e-7  # of a weight, below which limits are met: the same as for answers
_PULLS = 1e-7  # a multiplier of the elastic program above this pulls, prices of slacks being 1
_MARGIN = 1e-6  # relaxed limits are this much wider: solvers look for room between limits


@dataclass(frozen=True, slots=True)
class Conflict:
    """Limits that cannot all be met, none of which could be left out: without any one of them the others can be."""

    names: tuple[str, ...]  # of the run file, a row with its label: sectors[energy]; empty = there is no conflict
    by: tuple[float, ...]  # the least that each would have to give if the others of the set stay as they are
    relaxed: Problem  # all limits of the problem loosened by the least total, so that it can be met

    def told(self) -> str:
        """One line for a person."""
        if not self.names:
            return "no limits conflict"
        parts = [f"{name} (short by {by:.4g})" for name, by in zip(self.names, self.by, strict=True)]
        return " against ".join(parts) if len(parts) > 1 else f"{parts[0]} alone cannot be met"


@dataclass(frozen=True, slots=True)
class _Limits:
    """a'x <= b, one a line, each of a member; x are the weights, then their sizes |w - w0| and |w|."""

    A: Any  # CSR
    b: Vector
    member: Codes  # of `names`, by line; -1 = a definition, that always holds
    names: tuple[str, ...]
    cones: tuple[tuple[int, Any, Vector, float], ...]  # member, root, about, limit: |root x - about| <= limit
    columns: int


def possible(problem: Problem) -> bool:
    """Whether the hard limits of a problem can all be met, limits that count names left aside."""
    limits = _limits(problem)
    return _elastic(limits, range(len(limits.names)))[0] <= TOLERANCE


def conflict(problem: Problem, fixed: Sequence[str] = ()) -> Conflict:
    """The conflict of a problem's hard limits. Limits that count names, and those with a price, are no part of it.

    Bounds named in `fixed` are facts and no limits: they always hold, and give way in no relaxation. Where they cannot
    even hold alone they are limits like all others.
    """
    limits = _limits(problem, fixed)
    everyone = list(range(len(limits.names)))
    slack, pulls, _ = _elastic(limits, everyone)
    if slack <= TOLERANCE:
        return Conflict((), (), problem)
    if slack == float("inf"):
        return conflict(problem)
    suspects = [k for k in everyone if pulls[k] > _PULLS]
    if _elastic(limits, suspects)[0] <= TOLERANCE:
        suspects = everyone
    for k in list(suspects):
        rest = [other for other in suspects if other != k]
        if _elastic(limits, rest)[0] > TOLERANCE:
            suspects = rest
    by = tuple(_alone(limits, suspects, k) for k in suspects)
    return Conflict(tuple(limits.names[k] for k in suspects), by, _relaxed(problem, limits, everyone))


def relaxed(problem: Problem, firm: Sequence[str]) -> Problem | None:
    """All limits but the bounds named in `firm` loosened by the least total; None where that does not help."""
    limits = _limits(problem, firm)
    everyone = list(range(len(limits.names)))
    return None if _elastic(limits, everyone)[0] == float("inf") else _relaxed(problem, limits, everyone)


class _Draft:
    """Lines of limits as they come, each with the name whose limit it is."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.names: list[str] = []
        self.lines: list[tuple[Any, Vector, Codes]] = []

    def place(self, name: str) -> int:
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def add(self, A: Any, b: Vector, member: Any, begin: int = 0) -> None:
        before = sp.csr_matrix((A.shape[0], begin))
        after = sp.csr_matrix((A.shape[0], self.columns - begin - A.shape[1]))
        self.lines.append((sp.hstack([before, A, after]), b, np.broadcast_to(np.asarray(member, np.int32), len(b))))

    def limits(self, cones: tuple[tuple[int, Any, Vector, float], ...]) -> _Limits:
        if not self.lines:
            none, empty = np.zeros(0), sp.csr_matrix((0, self.columns))
            return _Limits(empty, none, np.zeros(0, np.int32), tuple(self.names), cones, self.columns)
        A, b, member = zip(*self.lines, strict=True)
        A = sp.vstack(A, format="csr")
        return _Limits(A, np.concatenate(b), np.concatenate(member), tuple(self.names), cones, self.columns)


def _limits(problem: Problem, fixed: Sequence[str] = ()) -> _Limits:
    n = len(problem)
    traded, held = n * bool(_hard(problem.turnover)), n * bool(_hard(problem.gross))
    draft = _Draft(n + traded + held)
    eye = sp.eye(n, format="csr")
    for sign, bound, by in ((1.0, problem.upper, problem.upper_by), (-1.0, problem.lower, problem.lower_by)):
        there = np.flatnonzero(np.isfinite(bound))
        names = [problem.names[by[i]] for i in there]
        members = np.array([-1 if name in fixed else draft.place(name) for name in names], int)
        draft.add(sign * eye[there], sign * bound[there], members)
    for i in np.flatnonzero(problem.row_soft == HARD).tolist():
        member = draft.place(f"{problem.names[problem.row_by[i]]}[{problem.labels[i]}]")
        row = sp.csr_matrix(problem.A[i : i + 1])
        for sign, bound in ((1.0, problem.high), (-1.0, problem.low)):
            if np.isfinite(bound[i]):
                draft.add(sign * row, sign * bound[i : i + 1], member)
    for caps, at, begin in ((problem.turnover, problem.w0, n), (problem.gross, np.zeros(n), n + traded)):
        for k, cap in enumerate(_hard(caps)):
            if k == 0:
                for sign in (1.0, -1.0):
                    draft.add(sp.hstack([sign * eye, sp.csr_matrix((n, begin - n)), -eye]), sign * at, -1)
            draft.add(sp.csr_matrix(np.ones((1, n))), np.array([cap.limit]), draft.place(cap.name), begin)
    return draft.limits(_cones(problem, draft))


def _hard(caps: Sequence[Any]) -> list[Any]:
    return [cap for cap in caps if cap.soft == HARD]


def _cones(problem: Problem, draft: _Draft) -> tuple[tuple[int, Any, Vector, float], ...]:
    if problem.risk is None or not _hard(problem.risk_caps):
        return ()
    root = np.vstack([exposures(problem.risk).T, np.diag(np.sqrt(problem.risk.specific))])
    wide = sp.hstack([sp.csr_matrix(root), sp.csr_matrix((len(root), draft.columns - len(problem)))], format="csr")
    return tuple((draft.place(cap.name), wide, root @ cap.about, cap.limit) for cap in _hard(problem.risk_caps))


def _elastic(
    limits: _Limits, members: Sequence[int], soft: Sequence[int] | None = None
) -> tuple[float, Vector, Vector]:
    """The least sum of slacks of these members' limits, how much each pulls, and the slack of each line.

    With `soft` only those give, all lines of a member by the same; the others of `members` must hold.
    """
    lines = np.flatnonzero(np.isin(limits.member, members) | (limits.member < 0))
    cones = [cone for cone in limits.cones if cone[0] in members]
    own = limits.member[lines]
    if soft is None:
        gives = np.flatnonzero(own >= 0)
        share = sp.csr_matrix((np.ones(len(gives)), (gives, np.arange(len(gives)))), shape=(len(lines), len(gives)))
        count, cone_gives = len(gives) + len(cones), list(range(len(gives), len(gives) + len(cones)))
        share = sp.hstack([share, sp.csr_matrix((len(lines), len(cones)))])
    else:
        count, cone_gives = 1, [0 if cone[0] in soft else -1 for cone in cones]
        share = sp.csr_matrix(np.isin(own, soft).astype(float)[:, None])
    A = sp.hstack([limits.A[lines], -share], format="csc")
    c = np.concatenate([np.zeros(limits.columns), np.ones(count)])
    solve = _conic if cones else _linear
    total, x, z, cone_z = solve(c, A, limits.b[lines], cones, cone_gives)
    pulls = np.zeros(len(limits.names))
    np.maximum.at(pulls, own[own >= 0], z[own >= 0])
    for (member, *_), pull in zip(cones, cone_z, strict=True):
        pulls[member] = max(pulls[member], pull)
    slack = np.zeros(len(limits.b) + len(limits.cones))
    if soft is None and len(x):
        slack[lines[own >= 0]] = x[limits.columns : limits.columns + len(gives)]
        slack[len(limits.b) :] = x[limits.columns + len(gives) :] if cones else 0.0
    return total, pulls, slack


def _linear(
    c: Vector, A: Any, b: Vector, cones: Sequence[Any], gives: Sequence[int]
) -> tuple[float, Vector, Vector, list[float]]:
    from scipy.optimize import linprog

    columns = int((c == 0).sum())
    bounds = np.array([[-np.inf, np.inf]] * columns + [[0.0, np.inf]] * (len(c) - columns))
    solve: Any = linprog
    result = solve(c, A_ub=A, b_ub=b, bounds=bounds, method="highs-ds")
    if result.status == 2:  # what must hold beside the slack does not: nothing that gives here helps
        return float("inf"), np.zeros(0), np.zeros(len(b)), []
    if result.status != 0:
        raise ArithmeticError(f"elastic: the linear program ended with {result.message}")
    return float(result.fun), result.x, -result.ineqlin.marginals, []


def _conic(
    c: Vector, A: Any, b: Vector, cones: Sequence[Any], gives: Sequence[int]
) -> tuple[float, Vector, Vector, list[float]]:
    """The same with caps on risk: |root w - about| <= limit (1 + its slack), so that slacks are of one order."""
    import clarabel

    columns, width = int((c == 0).sum()), len(c)
    at_least_0 = sp.hstack([sp.csc_matrix((width - columns, columns)), -sp.eye(width - columns)])
    blocks, sides = [A, at_least_0], [b, np.zeros(width - columns)]
    kinds = [clarabel.NonnegativeConeT(len(b) + width - columns)]
    for (_, root, about, limit), give in zip(cones, gives, strict=True):
        unit = _unit(limit)
        head = sp.csr_matrix((1, width))
        if give >= 0:
            head = sp.csr_matrix(([-1.0], ([0], [columns + give])), shape=(1, width))
        tail = sp.hstack([-root / unit, sp.csr_matrix((root.shape[0], width - columns))])
        blocks += [head, tail]
        sides += [np.array([limit / unit]), -about / unit]
        kinds.append(clarabel.SecondOrderConeT(1 + root.shape[0]))
    settings = clarabel.DefaultSettings()
    settings.verbose, settings.max_threads = False, 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-9
    program = clarabel.DefaultSolver(
        sp.csc_matrix((width, width)), c, sp.vstack(blocks, format="csc"), np.concatenate(sides), kinds, settings
    )
    result = program.solve()
    said, z = str(result.status), np.asarray(result.z)
    if said in ("PrimalInfeasible", "AlmostPrimalInfeasible"):
        return float("inf"), np.zeros(0), np.zeros(len(b)), [0.0] * len(cones)
    if said not in ("Solved", "AlmostSolved"):
        raise ArithmeticError(f"elastic: the program with caps on risk ended with {said}")
    begin, found = len(b) + width - columns, []
    for _, root, _, _ in cones:
        found.append(float(z[begin]))
        begin += 1 + root.shape[0]
    return float(c @ np.asarray(result.x)), np.asarray(result.x), z[: len(b)], found


def _alone(limits: _Limits, members: Sequence[int], one: int) -> float:
    """How much one member would have to give, all of its lines by the same, for the set to be met."""
    unit = next((_unit(limit) for member, _, _, limit in limits.cones if member == one), 1.0)
    return _elastic(limits, members, soft=[one])[0] * unit


def _unit(limit: float) -> float:
    return limit if limit > 0 else 1.0


def _relaxed(problem: Problem, limits: _Limits, everyone: Sequence[int]) -> Problem:
    """Every limit loosened by its slack in the elastic program, and by a hair more."""
    _, _, slack = _elastic(limits, everyone)
    slack = np.where(slack > TOLERANCE / 10, slack + _MARGIN, 0.0)
    line = 0
    made: dict[str, Any] = {}
    for name, sign in (("upper", 1.0), ("lower", -1.0)):
        bound: Vector = getattr(problem, name).copy()
        there = np.flatnonzero(np.isfinite(bound))
        bound[there] += sign * slack[line : line + len(there)]
        made[name], line = bound, line + len(there)
    high, low = problem.high.copy(), problem.low.copy()
    for i in np.flatnonzero(problem.row_soft == HARD).tolist():
        for sign, limit in ((1.0, high), (-1.0, low)):
            if np.isfinite(limit[i]):
                limit[i] += sign * slack[line]
                line += 1
    made |= {"high": high, "low": low}
    for name in ("turnover", "gross"):
        caps, defined = [], False
        for cap in getattr(problem, name):
            if cap.soft == HARD:
                line += 0 if defined else 2 * len(problem)
                defined, cap = True, replace(cap, limit=cap.limit + float(slack[line]))
                line += 1
            caps.append(cap)
        made[name] = tuple(caps)
    at = len(limits.b)
    risk_caps = []
    for cap in problem.risk_caps:
        if cap.soft == HARD and limits.cones:
            cap, at = replace(cap, limit=cap.limit + float(slack[at]) * _unit(cap.limit)), at + 1
        risk_caps.append(cap)
    return replace(problem, **made, risk_caps=tuple(risk_caps))
