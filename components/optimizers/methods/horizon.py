"""The multi-period problem in cvxpy, stated once a size and solved again with new numbers."""

from dataclasses import dataclass

import cvxpy as cp
import numpy as np

from engine.events import Matrix, Vector

# Daily returns are small beside a solver's tolerance: the objective is multiplied, which changes no answer. A cone
# solver may run out of digits on the way; it is asked once more for fewer.
_SCALES = (1_000.0, 1.0)
_TOLERANCE = 1e-6  # of a weight, above which an answer breaks a constraint


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


class Horizon:
    """Weights of H steps for up to `slots` names with up to `columns` risk factors.

        maximise    sum over h of  a_h'w_h - |L'w_h|^2 / 2 - |d * w_h|^2 / 2
                                   - cost |w_h - w_h-1|_1 - sum impact |w_h - w_h-1|^(3/2)
        subject to  sum w_h <= total (or =),  0 <= w_h <= high

    Names and factors that are not there are padded with zeros. Every solve starts cold. A quadratic program is solved
    by PIQP, one with impact is a cone program for Clarabel.
    """

    def __init__(self, *, slots: int, columns: int, horizon: int, impact: bool, full: bool) -> None:
        self.slots, self.columns, self.steps, self._full = slots, columns, horizon, full
        self._solver = "CLARABEL" if impact else "PIQP"
        w, v, traded = cp.Variable((horizon, slots)), cp.Variable((horizon, columns)), cp.Variable((horizon, slots))
        own, earned = cp.Variable((horizon, slots)), cp.Variable(horizon)
        self._w = w
        self._a, self._w0 = cp.Parameter((horizon, slots)), cp.Parameter(slots)
        self._high, self._d = cp.Parameter(slots, nonneg=True), cp.Parameter(slots, nonneg=True)
        self._L, self._cost, self._total = cp.Parameter((slots, columns)), cp.Parameter(nonneg=True), cp.Parameter()
        self._impact = cp.Parameter(slots, nonneg=True)
        # Parameters stand in constraints alone: in an objective cvxpy makes them dense, variables times parameters.
        gain = cp.sum(earned) - 0.5 * (cp.sum_squares(v) + cp.sum_squares(own))
        rows = [v == w @ self._L, traded[0] == w[0] - self._w0, w >= 0]
        if horizon > 1:
            rows.append(traded[1:] == w[1:] - w[:-1])
        for h in range(horizon):
            paid = self._cost * cp.sum(cp.abs(traded[h]))
            if impact:
                paid += self._impact @ cp.power(cp.abs(traded[h]), 1.5)
            rows += [earned[h] <= self._a[h] @ w[h] - paid]
            rows += [w[h] <= self._high, own[h] == cp.multiply(self._d, w[h])]
        rows.append(cp.sum(w, axis=1) == self._total if full else cp.sum(w, axis=1) <= self._total)
        self._problem = cp.Problem(cp.Maximize(gain), rows)

    def solve(self, plan: Plan) -> Vector | str:
        """(n,) the weights of the first step, within their bounds; or why there are none."""
        n, k = plan.L.shape
        if n > self.slots or k > self.columns:
            raise ValueError(f"horizon: {n} names, {k} factors exceed {self.slots}, {self.columns}")
        status = ""
        for scale in _SCALES:
            status = self._tried(plan, scale)
            if status == cp.OPTIMAL:
                return self._checked(plan)
        return status

    def _tried(self, plan: Plan, scale: float) -> str:
        """The status of the problem with its objective multiplied."""
        n, k = plan.L.shape
        L, a = np.zeros((self.slots, self.columns)), np.zeros((self.steps, self.slots))
        L[:n, :k], a[:, :n] = plan.L * np.sqrt(scale), plan.a * scale
        spare = (0, self.slots - n)
        # save_value is .value = without its checks: the shapes are ours.
        self._a.save_value(a)
        self._L.save_value(L)
        self._w0.save_value(np.pad(plan.w0, spare))
        self._high.save_value(np.pad(plan.high, spare))
        self._d.save_value(np.pad(plan.d, spare) * np.sqrt(scale))
        self._impact.save_value(np.pad(plan.impact, spare) * scale)
        self._cost.save_value(np.asarray(plan.cost * scale))
        self._total.save_value(np.asarray(plan.total))
        try:
            self._problem.solve(solver=self._solver, warm_start=False)
        except cp.error.SolverError as error:
            return f"solver failed: {str(error).splitlines()[0]}"
        return str(self._problem.status)

    def _checked(self, plan: Plan) -> Vector | str:
        w: Vector = self._w.value[0, : len(plan.w0)]
        off = max(float((-w).max()), float((w - plan.high).max()), float(w.sum()) - plan.total)
        if off > _TOLERANCE or (self._full and plan.total - w.sum() > _TOLERANCE):
            return "the solver's answer breaks a constraint"
        return np.clip(w, 0.0, plan.high)
