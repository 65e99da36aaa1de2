"""A compiled program and its figures to a solver, directly: PIQP, OSQP, HiGHS, Clarabel, SCS. No cvxpy.

What is idle leaves first: columns of empty slots, rows without a limit, entries that are 0. Solvers start cold and stop
by counts of iterations, so an answer depends on the figures alone. Multipliers z are those of f - z'(A x + b).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from components.optimizers.program_maps import Entries, Maps, Raw
from engine.events import Codes, Mask, Vector

MAX_ITERATIONS = {"piqp": 250, "clarabel": 200, "osqp": 20_000, "scs": 50_000, "highs": 100_000}
_TIGHT = 1e-9  # of OSQP and SCS, which can be asked for what they cannot reach in time; in scaled figures


@dataclass(frozen=True, slots=True)
class Answer:
    """`x` and `z` are of all columns and rows, 0 where they were idle. None without a solution."""

    status: str
    x: Vector | None = None
    z: Vector | None = None
    iterations: int = 0


@dataclass(frozen=True, slots=True)
class _Part:
    """Some entries of a matrix as one in compressed columns of its own."""

    gather: Codes  # places among the values of all entries
    indices: Codes
    indptr: Codes
    shape: tuple[int, int]

    def of(self, values: Vector) -> Any:
        return sp.csc_matrix((values[self.gather], self.indices, self.indptr), shape=self.shape)


@dataclass(frozen=True, slots=True)
class _Side:
    """Bounds that are rows of the whole program."""

    at: Codes  # among the columns that are left
    rows: Codes
    by: Vector  # sizes of their coefficients


@dataclass(frozen=True, slots=True)
class Shape:
    """What is left of a program, and the masks by which it is known again."""

    A_there: Mask
    P_there: Mask
    idle: Mask
    bounded: Mask  # (rows,) finite
    cols: Codes
    zero: Codes  # rows of A
    nonneg: Codes
    cones: Codes
    P: _Part
    equal: _Part
    unequal: _Part
    conic: _Part
    sides: tuple[_Side, _Side]  # bounds from below, from above

    def holds(self, raw: Raw) -> bool:
        return (
            np.array_equal(self.A_there, raw.A != 0)
            and np.array_equal(self.P_there, raw.P != 0)
            and np.array_equal(self.idle, raw.idle)
            and np.array_equal(self.bounded, np.isfinite(raw.b))
        )


def shaped(maps: Maps, raw: Raw) -> Shape:
    """Rows that are bounds are none of the rows; `limits` has them."""
    A_there, P_there, bounded = raw.A != 0, raw.P != 0, np.isfinite(raw.b)
    used = ~raw.idle
    cols = np.flatnonzero(used).astype(np.int32)
    entries = A_there & used[maps.A.cols]
    filled = np.zeros(maps.rows, bool)
    filled[maps.A.rows[entries]] = True
    bound = np.zeros(maps.rows, bool)
    for side in (maps.bounds.lower, maps.bounds.upper):
        bound[side[side >= 0]] = True
    zero_end, nonneg_end = maps.cones.zero, maps.cones.zero + maps.cones.nonneg
    # An empty row that no value of 0 keeps stays: a solver says that the program is infeasible.
    kept = bounded & ~bound & (filled | (raw.b != 0))
    zero = np.flatnonzero(kept[:zero_end]).astype(np.int32)
    nonneg = (zero_end + np.flatnonzero(kept[zero_end:nonneg_end])).astype(np.int32)
    cones = np.arange(nonneg_end, maps.rows, dtype=np.int32)
    parts = [_part(maps.A, entries, rows, cols, maps.rows) for rows in (zero, nonneg, cones)]
    inside = P_there & used[maps.P.cols] & used[maps.P.rows]
    P = _part(maps.P, inside, cols, cols, len(used))
    sides = []
    for side, by in ((maps.bounds.lower, maps.bounds.lower_by), (maps.bounds.upper, maps.bounds.upper_by)):
        at = np.flatnonzero(side[cols] >= 0).astype(np.int32)
        sides.append(_Side(at, side[cols[at]], np.abs(by[cols[at]])))
    masks = (A_there, P_there, raw.idle, bounded)
    return Shape(*masks, cols, zero, nonneg, cones, P, parts[0], parts[1], parts[2], (sides[0], sides[1]))


def _part(entries: Entries, there: Mask, rows: Codes, cols: Codes, height: int) -> _Part:
    row_to = np.full(height, -1, np.int32)
    row_to[rows] = np.arange(len(rows), dtype=np.int32)
    col_to = np.full(int(max(entries.cols.max(initial=0), cols.max(initial=0))) + 1, -1, np.int32)
    col_to[cols] = np.arange(len(cols), dtype=np.int32)
    gather = np.flatnonzero(there & (row_to[entries.rows] >= 0)).astype(np.int32)
    counts = np.bincount(col_to[entries.cols[gather]], minlength=len(cols))
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return _Part(gather, row_to[entries.rows[gather]], indptr, (len(rows), len(cols)))


def limits(maps: Maps, raw: Raw) -> tuple[Vector, Vector]:
    """(columns,) bounds, infinite where there is none."""
    bounds = maps.bounds
    lower = np.where(bounds.lower >= 0, -raw.b[bounds.lower] / bounds.lower_by, -np.inf)
    upper = np.where(bounds.upper >= 0, -raw.b[bounds.upper] / bounds.upper_by, np.inf)
    return lower, upper


def _spread(shape: Shape, x: Vector, z: Vector, below: Vector, above: Vector) -> tuple[Vector, Vector]:
    """Columns and rows as they were before. `below` and `above` are multipliers of bounds, at least 0."""
    whole = np.zeros(len(shape.idle))
    whole[shape.cols] = x
    for side, multiplier in zip(shape.sides, (below, above), strict=True):
        z[side.rows] = multiplier[side.at] / side.by
    return whole, z


class Piqp:
    """Keeps the solver while the shape stays; what it keeps of old figures is overwritten."""

    def __init__(self) -> None:
        self._solver: Any = None
        self._shape: Shape | None = None
        self._A, self._P = np.zeros(0), np.zeros(0)  # values of the matrices that the solver has

    def solve(self, maps: Maps, shape: Shape, raw: Raw) -> Answer:
        import piqp

        lower, upper = limits(maps, raw)
        given = {
            "c": raw.q[shape.cols],
            "b": -raw.b[shape.zero],
            "h_u": raw.b[shape.nonneg],
            "x_l": lower[shape.cols],
            "x_u": upper[shape.cols],
        }
        known = self._shape is shape
        if not (known and np.array_equal(self._P, raw.P)):
            given["P"] = shape.P.of(raw.P)
        if not (known and np.array_equal(self._A, raw.A)):
            given["A"], given["G"] = shape.equal.of(raw.A), -shape.unequal.of(raw.A)
        self._A, self._P = raw.A, raw.P
        if known:
            self._solver.update(**given)
        else:
            self._solver, self._shape = piqp.SparseSolver(), shape
            self._solver.settings.max_iter = MAX_ITERATIONS["piqp"]
            # Its scaling is undone at each update but for rounding, so that answers would depend on what was solved
            # before. Figures come scaled by powers of two: iterations and accuracy are the same without.
            self._solver.settings.preconditioner_iter = 0
            self._solver.setup(**given)
        said = self._solver.solve()
        result = self._solver.result
        iterations = int(result.info.iter)
        if said.name != "PIQP_SOLVED":
            return Answer(_PIQP.get(said.name, f"failed: {said.name}"), iterations=iterations)
        z = np.zeros(maps.rows)
        z[shape.zero], z[shape.nonneg] = -result.y, result.z_u
        return Answer("optimal", *_spread(shape, result.x, z, result.z_bl, result.z_bu), iterations)


_PIQP = {
    "PIQP_MAX_ITER_REACHED": "iteration_limit",
    "PIQP_PRIMAL_INFEASIBLE": "infeasible",
    "PIQP_DUAL_INFEASIBLE": "unbounded",
}


def osqp(maps: Maps, shape: Shape, raw: Raw) -> Answer:
    """First order: for programs that others are too slow for, to a lower accuracy. Polished where that succeeds."""
    import osqp as library

    lower, upper = limits(maps, raw)
    n = len(shape.cols)
    A = sp.vstack([shape.equal.of(raw.A), shape.unequal.of(raw.A), sp.eye(n)], format="csc")
    zero, nonneg = raw.b[shape.zero], raw.b[shape.nonneg]
    above = np.full(len(nonneg), np.inf)
    low, high = np.r_[-zero, -nonneg, lower[shape.cols]], np.r_[-zero, above, upper[shape.cols]]
    solver = library.OSQP()
    solver.setup(
        P=sp.triu(shape.P.of(raw.P), format="csc"),
        q=raw.q[shape.cols],
        A=A,
        l=low,
        u=high,
        verbose=False,
        eps_abs=_TIGHT,
        eps_rel=_TIGHT,
        max_iter=MAX_ITERATIONS["osqp"],
        polishing=True,
        warm_starting=False,
        adaptive_rho_interval=50,  # by iterations: by default the library measures time
    )
    result = solver.solve(raise_error=False)
    status, iterations = _OSQP.get(result.info.status, f"failed: {result.info.status}"), int(result.info.iter)
    if status != "optimal":
        return Answer(status, iterations=iterations)
    z = np.zeros(maps.rows)
    begin, end = len(zero), len(zero) + len(nonneg)
    z[shape.zero], z[shape.nonneg] = -result.y[:begin], np.maximum(-result.y[begin:end], 0.0)
    box = result.y[end:]
    return Answer("optimal", *_spread(shape, result.x, z, np.maximum(-box, 0.0), np.maximum(box, 0.0)), iterations)


_OSQP = {
    "solved": "optimal",
    "solved inaccurate": "inaccurate",
    "primal infeasible": "infeasible",
    "primal infeasible inaccurate": "inaccurate",
    "dual infeasible": "unbounded",
    "dual infeasible inaccurate": "inaccurate",
    "maximum iterations reached": "iteration_limit",
}


def highs(maps: Maps, shape: Shape, raw: Raw) -> Answer:
    """Linear programs only: quadratic ones it may take for unbounded, or hang on."""
    from scipy.optimize import linprog

    lower, upper = limits(maps, raw)
    solve: Any = linprog
    result = solve(
        raw.q[shape.cols],
        A_ub=-shape.unequal.of(raw.A),
        b_ub=raw.b[shape.nonneg],
        A_eq=shape.equal.of(raw.A),
        b_eq=-raw.b[shape.zero],
        bounds=np.column_stack([lower[shape.cols], upper[shape.cols]]),
        method="highs-ds",
        options={"maxiter": MAX_ITERATIONS["highs"]},
    )
    iterations = int(result.nit)
    if result.status != 0:
        return Answer(_HIGHS.get(result.status, f"failed: {result.message}"), iterations=iterations)
    z = np.zeros(maps.rows)
    z[shape.zero], z[shape.nonneg] = result.eqlin.marginals, -result.ineqlin.marginals
    found = _spread(shape, result.x, z, result.lower.marginals, -result.upper.marginals)
    return Answer("optimal", *found, iterations)


_HIGHS = {1: "iteration_limit", 2: "infeasible", 3: "unbounded"}


@dataclass(frozen=True, slots=True)
class _Rows:
    """A program in cones alone: bounds are rows, and one row where they are equal."""

    A: Any  # A x <= b, = b, in cones
    b: Vector
    zero: Codes  # rows of the whole program
    fixed: Codes  # columns whose bounds are equal
    nonneg: Codes
    cones: Codes


def _rowed(maps: Maps, shape: Shape, raw: Raw) -> _Rows:
    lower, upper = limits(maps, raw)
    bounds = maps.bounds
    equal = np.isin(np.arange(len(lower)), shape.cols) & (lower == upper)
    fixed = np.flatnonzero(equal).astype(np.int32)
    free = shape.cols[~equal[shape.cols]]
    below = free[np.isfinite(lower[free])]
    above = free[np.isfinite(upper[free])]
    place = np.full(len(lower), -1)
    place[shape.cols] = np.arange(len(shape.cols))

    def unit(cols: Codes, sign: float) -> Any:
        at = (np.arange(len(cols)), place[cols])
        return sp.csc_matrix((np.full(len(cols), sign), at), shape=(len(cols), len(shape.cols)))

    A = [-shape.equal.of(raw.A), unit(fixed, 1.0), -shape.unequal.of(raw.A), unit(below, -1.0), unit(above, 1.0)]
    b = [raw.b[shape.zero], lower[fixed], raw.b[shape.nonneg], -lower[below], upper[above]]
    rows = np.r_[shape.nonneg, bounds.lower[below], bounds.upper[above]].astype(np.int32)
    A.append(-shape.conic.of(raw.A))
    b.append(raw.b[shape.cones])
    return _Rows(sp.vstack(A, format="csc"), np.concatenate(b), shape.zero, fixed, rows, shape.cones)


def _unrowed(maps: Maps, shape: Shape, rows: _Rows, x: Vector, z: Vector) -> tuple[Vector, Vector]:
    whole, out = np.zeros(len(shape.idle)), np.zeros(maps.rows)
    whole[shape.cols] = x
    zero, fixed = len(rows.zero), len(rows.zero) + len(rows.fixed)
    nonneg = fixed + len(rows.nonneg)
    out[rows.zero], out[rows.nonneg], out[rows.cones] = z[:zero], z[fixed:nonneg], z[nonneg:]
    for multiplier, side in ((z[zero:fixed], maps.bounds.upper), (-z[zero:fixed], maps.bounds.lower)):
        out[side[rows.fixed]] = np.maximum(multiplier, 0.0)
    return whole, out


def clarabel(maps: Maps, shape: Shape, raw: Raw) -> Answer:
    import clarabel as library

    rows = _rowed(maps, shape, raw)
    cones = [library.ZeroConeT(len(rows.zero) + len(rows.fixed)), library.NonnegativeConeT(len(rows.nonneg))]
    cones += [library.SecondOrderConeT(size) for size in maps.cones.second]
    P = sp.triu(shape.P.of(raw.P), format="csc")
    status, iterations = "", 0
    for tight, sure in _CLARABEL_TIGHT:
        settings = library.DefaultSettings()
        settings.verbose = False
        settings.max_iter = MAX_ITERATIONS["clarabel"]
        settings.max_threads = 1
        settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = tight
        settings.tol_infeas_abs = settings.tol_infeas_rel = sure
        result = library.DefaultSolver(P, raw.q[shape.cols], rows.A, rows.b, cones, settings).solve()
        status, iterations = (
            _CLARABEL.get(str(result.status), f"failed: {result.status}"),
            iterations + result.iterations,
        )
        if status == "optimal":
            found = _unrowed(maps, shape, rows, np.asarray(result.x), np.asarray(result.z))
            return Answer("optimal", *found, iterations)
        if status in ("infeasible", "unbounded"):
            break
    return Answer(status, iterations=iterations)


# The second where it stops short of the first: 1e-7 of the largest slope of the cost is still little.
_CLARABEL_TIGHT = ((1e-9, 1e-8), (1e-7, 1e-6))  # of an optimum, of a proof that there is none
_CLARABEL = {
    "Solved": "optimal",
    "AlmostSolved": "inaccurate",
    "PrimalInfeasible": "infeasible",
    "AlmostPrimalInfeasible": "inaccurate",
    "DualInfeasible": "unbounded",
    "AlmostDualInfeasible": "inaccurate",
    "MaxIterations": "iteration_limit",
}


def scs(maps: Maps, shape: Shape, raw: Raw) -> Answer:
    """First order: for cones that Clarabel is too slow for, to a lower accuracy."""
    import scs as library

    rows = _rowed(maps, shape, raw)
    cones = {"z": len(rows.zero) + len(rows.fixed), "l": len(rows.nonneg), "q": list(maps.cones.second)}
    program = {"P": sp.triu(shape.P.of(raw.P), format="csc"), "A": rows.A, "b": rows.b, "c": raw.q[shape.cols]}
    options: dict[str, Any] = {"eps_abs": _TIGHT, "eps_rel": _TIGHT, "max_iters": MAX_ITERATIONS["scs"]}
    result = library.SCS(program, cones, verbose=False, **options).solve()
    info = result["info"]
    status = _SCS.get(info["status_val"], f"failed: {info['status']}")
    if status != "optimal":
        return Answer(status, iterations=int(info["iter"]))
    return Answer("optimal", *_unrowed(maps, shape, rows, result["x"], result["y"]), int(info["iter"]))


_SCS = {1: "optimal", 2: "inaccurate", -1: "unbounded", -2: "infeasible", -6: "inaccurate", -7: "inaccurate"}

DRIVERS: dict[str, Callable[[Maps, Shape, Raw], Answer]] = {
    "osqp": osqp,
    "highs": highs,
    "clarabel": clarabel,
    "scs": scs,
}
