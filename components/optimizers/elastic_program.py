"""The programs behind `elastic`: the least sum of slacks of limits, by HiGHS, or by Clarabel where risk is limited."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from components.optimizers.problem import HARD, Box, Problem
from components.optimizers.stating import exposures
from engine.events import Codes, Vector


@dataclass(frozen=True, slots=True)
class Line:
    """values' w + parts' x <= limit: a side of a row, or a cap; or a cap on risk, whose `root` is not None."""

    member: int
    name: str  # of the constraint
    A: Any  # CSR, one row over the columns x
    limit: float  # less what the base weighs
    root: Any = None  # (K, x)
    about: Any = None  # (K,)

    @property
    def unit(self) -> float:
        """What its slack is counted in: the limit itself for caps on risk, so that slacks are of one order."""
        return self.limit if self.root is not None and self.limit > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    total: float  # inf where nothing that gives helps
    slack: Vector  # by line, and then by slack column
    pulls: Vector  # by line, multiplier at least 0
    lower: Vector  # (N,) multipliers of bounds, at least 0
    upper: Vector


class Statement:
    """The hard limits of a problem over columns x with w = base + T x, x split where turnover or gross is limited.

    A bound of a weight is then a bound of columns and no row: programs have as many rows as limits of several names.
    """

    def __init__(self, problem: Problem, boxes: Sequence[Box]) -> None:
        n = len(problem)
        turnover, gross = _hard(problem.turnover), _hard(problem.gross)
        self.n, self.split, self.boxes = n, bool(turnover or gross), tuple(boxes)
        self.base = problem.w0 if turnover else np.zeros(n)
        eye = sp.eye(n, format="csr")
        self.both = bool(turnover and gross)
        self.columns = n * (4 if self.both else 2 if self.split else 1)
        self.T = self._wide(sp.hstack([eye, -eye]) if self.split else eye)
        self.names: list[str] = list(dict.fromkeys(box.name for box in boxes))
        self.equal, self.right = sp.csr_matrix((0, self.columns)), np.zeros(0)
        if self.both:  # the same weights, split about 0
            self.equal, self.right = sp.hstack([eye, -eye, -eye, eye], format="csr"), -self.base
        self.lines: list[Line] = []
        for i in np.flatnonzero(problem.row_soft == HARD).tolist():
            member = self.place(f"{problem.names[problem.row_by[i]]}[{problem.labels[i]}]")
            row, used = sp.csr_matrix(problem.A[i : i + 1]) @ self.T, float(problem.A[i] @ self.base)
            for sign, bound in ((1.0, problem.high[i]), (-1.0, problem.low[i])):
                if np.isfinite(bound):
                    self.lines.append(
                        Line(member, problem.names[problem.row_by[i]], sign * row, sign * (float(bound) - used))
                    )
        for caps, begin in ((turnover, 0), (gross, 2 * n * self.both)):
            for cap in caps:
                A = sp.csr_matrix((np.ones(2 * n), (np.zeros(2 * n, int), begin + np.arange(2 * n))), (1, self.columns))
                self.lines.append(Line(self.place(cap.name), cap.name, A, cap.limit))
        self._cones(problem)

    def place(self, name: str) -> int:
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def _wide(self, A: Any) -> Any:
        return sp.hstack([A, sp.csr_matrix((A.shape[0], self.columns - A.shape[1]))], format="csr")

    def _cones(self, problem: Problem) -> None:
        if problem.risk is None:
            return
        for cap in _hard(problem.risk_caps):
            root = sp.csr_matrix(np.vstack([exposures(problem.risk).T, np.diag(np.sqrt(problem.risk.specific))]))
            about, none = root @ (cap.about - self.base), sp.csr_matrix((1, self.columns))
            self.lines.append(Line(self.place(cap.name), cap.name, none, cap.limit, root @ self.T, about))

    def bounds(self, members: Sequence[int], looser: dict[int, float]) -> tuple[Vector, Vector, Codes, Codes]:
        """The tightest bounds of the boxes of these members, and whose each is; `looser` by member."""
        lower, upper = np.full(self.n, -np.inf), np.full(self.n, np.inf)
        lower_by, upper_by = np.full(self.n, -1, np.int32), np.full(self.n, -1, np.int32)
        for box in self.boxes:
            k = self.names.index(box.name)
            if k not in members:
                continue
            by = looser.get(k, 0.0)
            tighter = box.lower - by > lower
            lower[tighter], lower_by[tighter] = box.lower[tighter] - by, k
            tighter = box.upper + by < upper
            upper[tighter], upper_by[tighter] = box.upper[tighter] + by, k
        return lower, upper, lower_by, upper_by

    def least(
        self, lines: Sequence[int], bounds: tuple[Vector, Vector], gives: Sequence[int], extra: Any = None
    ) -> Outcome:
        """The least sum of slacks of the lines in `gives`, the others of `lines` and the bounds of weights held.

        `extra` are rows over x and slack columns of their own, (A, B, right): A x - B s <= right.
        """
        lower, upper = bounds
        at = {line: k for k, line in enumerate(gives)}
        more = 0 if extra is None else extra[1].shape[1]
        count = len(gives) + more
        plain = [k for k in lines if self.lines[k].root is None]
        blocks = [sp.csr_matrix((0, self.columns)), *(self.lines[k].A for k in plain)]
        own = [j for j, k in enumerate(plain) if k in at]
        share = sp.csr_matrix((np.ones(len(own)), (own, [at[plain[j]] for j in own])), (len(plain), count))
        A = sp.hstack([sp.vstack(blocks), -share], format="csr")
        b = np.array([self.lines[k].limit for k in plain])
        if extra is not None:
            wide = sp.hstack([extra[0], sp.csr_matrix((extra[0].shape[0], len(gives))), -extra[1]])
            A, b = sp.vstack([A, wide], format="csr"), np.concatenate([b, extra[2]])
        low, high = self._sides(lower, upper)
        low, high = np.concatenate([low, np.zeros(count)]), np.concatenate([high, np.full(count, np.inf)])
        equal = sp.hstack([self.equal, sp.csr_matrix((self.equal.shape[0], count))], format="csr")
        program = Program(np.repeat([0.0, 1.0], [self.columns, count]), A, b, equal, self.right, low, high)
        cones = [(self.lines[k], self.columns + at.get(k, -1 - self.columns)) for k in lines if k not in plain]
        total, x, rows, under, over = conic(program, cones) if cones else linear(program)
        pulls = np.zeros(len(self.lines))
        slack = np.zeros(len(self.lines) + more)
        if total < np.inf:
            pulls[plain] = rows[: len(plain)]
            pulls[[k for k in lines if self.lines[k].root is not None]] = rows[len(b) :]
            slack[list(gives)] = x[self.columns : self.columns + len(gives)]
            slack[len(self.lines) :] = x[self.columns + len(gives) :]
        return Outcome(total, slack, pulls, *self._of_weights(lower, upper, under, over))

    def cheapest(self, cost: Vector) -> Vector | None:
        """(N,) weights of the least cost'w that keep every limit, None where there are none or no solver says."""
        lower, upper, *_ = self.bounds(range(len(self.names)), {})
        flat = [line for line in self.lines if line.root is None]
        cones = [(line, -1) for line in self.lines if line.root is not None]
        A = sp.vstack([sp.csr_matrix((0, self.columns)), *(line.A for line in flat)], format="csr")
        b, c = np.array([line.limit for line in flat]), self.T.T @ cost
        program = Program(c, A, b, self.equal, self.right, *self._sides(lower, upper))
        try:
            total, x, *_ = conic(program, cones) if cones else linear(program)
        except ArithmeticError:
            return None
        return None if total == np.inf else self.base + self.T @ x

    def _sides(self, lower: Vector, upper: Vector) -> tuple[Vector, Vector]:
        """Bounds of weights as bounds of columns."""
        if not self.split:
            return lower, upper
        down, up = lower - self.base, upper - self.base
        low = np.concatenate([np.maximum(down, 0.0), np.maximum(-up, 0.0)])
        high = np.concatenate([np.maximum(up, 0.0), np.maximum(-down, 0.0)])
        rest = self.columns - len(low)
        return np.concatenate([low, np.zeros(rest)]), np.concatenate([high, np.full(rest, np.inf)])

    def _of_weights(self, lower: Vector, upper: Vector, under: Vector, over: Vector) -> tuple[Vector, Vector]:
        """Multipliers of the bounds of weights from those of columns."""
        n = self.n
        if not self.split:
            return under[:n], over[:n]
        of_lower = np.where(lower > self.base, under[:n], over[n : 2 * n])
        return of_lower, np.where(upper >= self.base, over[:n], under[n : 2 * n])


def _hard(caps: Sequence[Any]) -> list[Any]:
    return [cap for cap in caps if cap.soft == HARD]


@dataclass(frozen=True, slots=True)
class Program:
    """min c'x, A x <= b, equal x = right, low <= x <= high."""

    c: Vector
    A: Any
    b: Vector
    equal: Any
    right: Vector
    low: Vector
    high: Vector


Answer: TypeAlias = tuple[float, Vector, Vector, Vector, Vector]  # total, x, multipliers: rows then cones, low, high


def _impossible(program: Program, cones: int) -> Answer:
    none = np.zeros(len(program.c))
    return float("inf"), none, np.zeros(len(program.b) + cones), none, none


def linear(program: Program) -> Answer:
    from scipy.optimize import linprog

    solve: Any = linprog
    result = solve(
        program.c,
        A_ub=program.A,
        b_ub=program.b,
        A_eq=program.equal if len(program.right) else None,
        b_eq=program.right if len(program.right) else None,
        bounds=np.column_stack([program.low, program.high]),
        method="highs-ds",
    )
    if result.status == 2:
        return _impossible(program, 0)
    if result.status != 0:
        raise ArithmeticError(f"elastic: the linear program ended with {result.message}")
    under, over = np.maximum(result.lower.marginals, 0.0), np.maximum(-result.upper.marginals, 0.0)
    return float(result.fun), result.x, np.maximum(-result.ineqlin.marginals, 0.0), under, over


def conic(program: Program, cones: Sequence[tuple[Line, int]]) -> Answer:
    """The same with caps on risk: |root x - about| <= limit (1 + its slack), the slack a column or -1 for none."""
    import clarabel

    width = len(program.c)
    eye = sp.eye(width, format="csr")
    under, over = np.flatnonzero(np.isfinite(program.low)), np.flatnonzero(np.isfinite(program.high))
    blocks = [program.equal, program.A, -eye[under], eye[over]]
    sides = [program.right, program.b, -program.low[under], program.high[over]]
    count = len(program.b) + len(under) + len(over)
    kinds: list[Any] = [clarabel.ZeroConeT(len(program.right)), clarabel.NonnegativeConeT(count)]
    for line, column in cones:
        head = sp.csr_matrix((1, width))
        if column >= 0:
            head = sp.csr_matrix(([-1.0], ([0], [column])), shape=(1, width))
        root = -line.root / line.unit
        tail = sp.hstack([root, sp.csr_matrix((root.shape[0], width - root.shape[1]))])
        blocks += [head, tail]
        sides += [np.array([line.limit / line.unit]), -line.about / line.unit]
        kinds.append(clarabel.SecondOrderConeT(1 + root.shape[0]))
    settings = clarabel.DefaultSettings()
    settings.verbose, settings.max_threads = False, 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-9
    A = sp.vstack(blocks, format="csc")
    solver = clarabel.DefaultSolver(sp.csc_matrix((width, width)), program.c, A, np.concatenate(sides), kinds, settings)
    result = solver.solve()
    said, z = str(result.status), np.asarray(result.z)
    if said in ("PrimalInfeasible", "AlmostPrimalInfeasible"):
        return _impossible(program, len(cones))
    if said not in ("Solved", "AlmostSolved"):
        raise ArithmeticError(f"elastic: the program with caps on risk ended with {said}")
    x, z = np.asarray(result.x), z[len(program.right) :]
    rows, z = z[: len(program.b)], z[len(program.b) :]
    of_low, of_high = np.zeros(width), np.zeros(width)
    of_low[under], of_high[over] = z[: len(under)], z[len(under) : len(under) + len(over)]
    z = z[len(under) + len(over) :]
    heads = np.cumsum([0, *(1 + line.root.shape[0] for line, _ in cones)])[:-1]
    return float(program.c @ x), x, np.concatenate([rows, z[heads]]), of_low, of_high
