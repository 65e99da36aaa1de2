"""The multi-period problem in cvxpy, stated once a size and solved again with new numbers."""

import warnings
from dataclasses import dataclass, field
from typing import Any

import cvxpy as cp
import numpy as np

from components.optimizers.program_matrices import unit_of
from engine.events import Matrix, Vector

# Daily returns are small beside a solver's tolerance: the objective is multiplied, which changes no answer. A cone
# solver may run out of digits on the way; it is asked once more for fewer.
_SCALES = (1_000.0, 1.0)
# Beyond so many weights cvxpy needs gigabytes to compile a cone program with parameters (its columns times their
# entries): stated anew each time it needs none of that, and some hundredths of a second.
_COMPILED_MAX = 320
_TOLERANCE = 1e-6  # of a weight, above which an answer breaks a constraint
_EXACT = {"eps_abs": 1e-9, "eps_rel": 1e-10}  # of PIQP: limits of several names must hold to 1e-7


@dataclass(frozen=True, slots=True)
class Size:
    """What a program is compiled for. Without `rows` it is limited by its bounds and the sum of weights alone."""

    slots: int
    columns: int
    horizon: int
    impact: bool
    full: bool = False  # whether the sum of weights is `total`, or at most that; of programs without rows
    rows: int = 0
    turnover: bool = False
    trades: bool = False  # whether trades after the first have bounds


@dataclass(frozen=True, slots=True)
class Frame:
    """The limits of each of H steps: of n names and m rows, where inf is none."""

    lower: Matrix  # (H, n) finite
    upper: Matrix  # (H, n) finite
    A: Matrix  # (m, n)
    low: Vector  # (m,)
    high: Vector  # (m,)
    turnover: Vector  # (H,)
    down: Vector  # (n,) the least that a step after the first may trade, at most 0
    up: Vector  # (n,) the most, at least 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The numbers of one solve: H steps, n names, k factors. Risk is L L' + diag(d)^2, risk aversion included."""

    a: Matrix  # (H, n) expected returns, less what pinned names make of risk
    L: Matrix  # (n, k)
    d: Vector  # (n,)
    w0: Vector  # (n,)
    high: Vector  # (n,)
    cost: float  # share of what is traded
    impact: Vector  # (n,)
    total: float
    frame: Frame | None = None  # of programs with rows, which then has the bounds and sums


@dataclass(frozen=True, slots=True)
class Steps:
    """A plan's weights, and what its limits cost: the multipliers of each step, at least 0."""

    w: Matrix  # (H, n)
    lower: Matrix  # (H, n)
    upper: Matrix  # (H, n)
    low: Matrix  # (H, m)
    high: Matrix  # (H, m)
    turnover: Vector  # (H,)
    iterations: int


@dataclass(slots=True)
class _Held:
    """The limits of a program with rows: parameters and constraints by name."""

    given: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, Any] = field(default_factory=dict)


class Horizon:
    """Weights of H steps for up to `slots` names with up to `columns` risk factors.

        maximise    sum over h of  a_h'w_h - |L'w_h|^2 / 2 - |d * w_h|^2 / 2
                                   - cost |w_h - w_h-1|_1 - sum impact |w_h - w_h-1|^(3/2)
        subject to  sum w_h <= total (or =),  0 <= w_h <= high

    A program with rows has the limits of a `Frame` instead:

        lower_h <= w_h <= upper_h,  low <= A w_h <= high,  |w_h - w_h-1|_1 <= turnover_h,
        down <= w_h - w_h-1 <= up  from the second step on

    Names, factors and rows that are not there are padded with zeros. Every solve starts cold. A quadratic program is
    solved by PIQP, one with impact is a cone program for Clarabel; of more than 320 weights it is stated anew.
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        slots, columns, horizon = size.slots, size.columns, size.horizon
        self._solver = "CLARABEL" if size.impact else "PIQP"
        self._anew = size.impact and slots * horizon > _COMPILED_MAX
        w, v, traded = cp.Variable((horizon, slots)), cp.Variable((horizon, columns)), cp.Variable((horizon, slots))
        own, earned = cp.Variable((horizon, slots)), cp.Variable(horizon)
        self._w = w
        self._a, self._w0 = cp.Parameter((horizon, slots)), cp.Parameter(slots)
        self._high, self._d = cp.Parameter(slots, nonneg=True), cp.Parameter(slots, nonneg=True)
        self._L, self._cost, self._total = cp.Parameter((slots, columns)), cp.Parameter(nonneg=True), cp.Parameter()
        self._impact = cp.Parameter(slots, nonneg=True)
        # Parameters stand in constraints alone: in an objective cvxpy makes them dense, variables times parameters.
        gain = cp.sum(earned) - 0.5 * (cp.sum_squares(v) + cp.sum_squares(own))
        rows = [v == w @ self._L, traded[0] == w[0] - self._w0]
        rows += [] if size.rows else [w >= 0]
        moved = cp.Variable((horizon, slots)) if size.turnover else cp.abs(traded)
        self._held = _held(size, w, traded, moved) if size.rows else _Held()
        if horizon > 1:
            rows.append(traded[1:] == w[1:] - w[:-1])
        for h in range(horizon):
            paid = self._cost * cp.sum(moved[h])
            if size.impact:
                paid += self._impact @ cp.power(moved[h], 1.5)
            rows += [earned[h] <= self._a[h] @ w[h] - paid]
            rows += [] if size.rows else [w[h] <= self._high]
            rows += [own[h] == cp.multiply(self._d, w[h])]
        if not size.rows:
            rows.append(cp.sum(w, axis=1) == self._total if size.full else cp.sum(w, axis=1) <= self._total)
        self._problem = cp.Problem(cp.Maximize(gain), [*rows, *self._held.rows.values()])

    def solve(self, plan: Plan) -> Vector | str:
        """(n,) the weights of the first step, within their bounds; or why there are none."""
        self._check(plan)
        status = ""
        for scale in _SCALES:
            status = self._tried(plan, scale, self._solver)
            if status == cp.OPTIMAL:
                return self._checked(plan)
        return status

    def steps(self, plan: Plan) -> Steps | str:
        """Every step of a program with rows, as the solver says it; or why there are none."""
        self._check(plan)
        status = ""
        others = () if self.size.impact else (("CLARABEL", _SCALES[0]),)
        for solver, scale in (*((self._solver, scale) for scale in _SCALES), *others):
            status = self._tried(plan, scale, solver)
            if status == cp.OPTIMAL:
                return self._told(plan, scale)
        return status

    def _check(self, plan: Plan) -> None:
        n, k = plan.L.shape
        if n > self.size.slots or k > self.size.columns:
            raise ValueError(f"horizon: {n} names, {k} factors exceed {self.size.slots}, {self.size.columns}")

    def _tried(self, plan: Plan, scale: float, solver: str) -> str:
        """The status of the problem with its objective multiplied."""
        n, k = plan.L.shape
        size = self.size
        L, a = np.zeros((size.slots, size.columns)), np.zeros((size.horizon, size.slots))
        L[:n, :k], a[:, :n] = plan.L * np.sqrt(scale), plan.a * scale
        spare = (0, size.slots - n)
        # save_value is .value = without its checks: the shapes are ours.
        self._a.save_value(a)
        self._L.save_value(L)
        self._w0.save_value(np.pad(plan.w0, spare))
        self._high.save_value(np.pad(plan.high, spare))
        self._d.save_value(np.pad(plan.d, spare) * np.sqrt(scale))
        self._impact.save_value(np.pad(plan.impact, spare) * scale)
        self._cost.save_value(np.asarray(plan.cost * scale))
        self._total.save_value(np.asarray(plan.total))
        if plan.frame is not None:
            values = _figures(plan.frame, plan.w0, size)
            for name, parameter in self._held.given.items():
                parameter.save_value(values[name])
        exact = {} if plan.frame is None or solver != "PIQP" else _EXACT
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of an inaccurate answer, which the status says too
                self._problem.solve(solver=solver, ignore_dpp=self._anew, warm_start=False, **exact)
        except cp.error.SolverError as error:
            return f"solver failed: {str(error).splitlines()[0]}"
        return str(self._problem.status)

    def _checked(self, plan: Plan) -> Vector | str:
        w: Vector = self._w.value[0, : len(plan.w0)]
        off = max(float((-w).max()), float((w - plan.high).max()), float(w.sum()) - plan.total)
        if off > _TOLERANCE or (self.size.full and plan.total - w.sum() > _TOLERANCE):
            return "the solver's answer breaks a constraint"
        return np.clip(w, 0.0, plan.high)

    def _told(self, plan: Plan, scale: float) -> Steps:
        assert plan.frame is not None
        n, m = len(plan.w0), len(plan.frame.low)
        horizon, rows = self.size.horizon, self._held.rows
        unit = _units(plan.frame.A) / scale
        turnover = rows["turnover"].dual_value if self.size.turnover else np.zeros(horizon)
        return Steps(
            w=self._w.value[:, :n],
            lower=rows["lower"].dual_value[:, :n] / scale,
            upper=rows["upper"].dual_value[:, :n] / scale,
            low=np.array([rows[f"low{h}"].dual_value[:m] for h in range(horizon)]) * unit,
            high=np.array([rows[f"high{h}"].dual_value[:m] for h in range(horizon)]) * unit,
            turnover=np.asarray(turnover) / scale,
            iterations=int(self._problem.solver_stats.num_iters or 0),
        )


def _held(size: Size, w: Any, traded: Any, moved: Any) -> _Held:
    """The limits of a `Frame` on w, what is traded and, where turnover is limited, the variable of how much that is."""
    held, slots, horizon = _Held(), size.slots, size.horizon
    given, rows = held.given, held.rows
    for name, shape in (
        *(("lower", (horizon, slots)), ("upper", (horizon, slots)), ("A", (slots, size.rows))),
        *(("low", (size.rows,)), ("high", (size.rows,))),
    ):
        given[name] = cp.Parameter(shape)
    value = cp.Variable((horizon, size.rows))  # a limit of a dense row is a bound on one variable that equals it
    rows |= {"lower": w >= given["lower"], "upper": w <= given["upper"], "value": value == w @ given["A"]}
    for h in range(horizon):
        rows |= {f"low{h}": value[h] >= given["low"], f"high{h}": value[h] <= given["high"]}
    if size.trades:
        given |= {"down": cp.Parameter(slots), "up": cp.Parameter(slots)}
        for h in range(1, horizon):
            rows |= {f"down{h}": traded[h] >= given["down"], f"up{h}": traded[h] <= given["up"]}
    if size.turnover:
        given["turnover"] = cp.Parameter(horizon)
        rows |= {"buys": moved >= traded, "sales": moved >= -traded}
        rows["turnover"] = cp.sum(moved, axis=1) <= given["turnover"]
    return held


def _figures(frame: Frame, w0: Vector, size: Size) -> dict[str, Any]:
    """The parameters of the limits. What is no limit is a figure that cannot be reached: solvers know no infinity."""
    m, n = frame.A.shape
    spare, more = (0, size.slots - n), (0, size.rows - m)
    unit = _units(frame.A)
    A = frame.A * unit[:, None]
    reach = np.maximum(np.abs(frame.lower), np.abs(frame.upper)).max(axis=0, initial=0.0)
    most = np.abs(A) @ reach + 1.0
    far = np.maximum(reach, np.abs(w0)) * 2.0 + 1.0
    low, high = np.maximum(frame.low * unit, -most), np.minimum(frame.high * unit, most)
    return {
        "lower": np.pad(frame.lower, ((0, 0), spare)),
        "upper": np.pad(frame.upper, ((0, 0), spare)),
        "A": np.pad(A, (more, spare)).T,
        "low": np.pad(low, more, constant_values=-1.0),
        "high": np.pad(high, more, constant_values=1.0),
        "down": np.pad(np.maximum(frame.down, -far), spare),
        "up": np.pad(np.minimum(frame.up, far), spare),
        "turnover": np.minimum(frame.turnover, far.sum()),
    }


def _units(A: Matrix) -> Vector:
    """(m,) powers of two that bring rows to the order of 1."""
    return unit_of(np.abs(A).max(axis=1, initial=0.0))
