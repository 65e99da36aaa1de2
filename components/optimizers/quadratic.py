"""The mean-variance problem in cvxpy, stated once a size and solved again with new numbers. The only user of cvxpy."""

from dataclasses import dataclass

import cvxpy as cp
import numpy as np

from components.optimizers.program_layout import filled
from engine.events import Matrix, Vector

_SCALE = 1_000.0  # daily returns are small beside a solver's tolerance; the answer does not depend on it
_TOLERANCE = 1e-6  # of a weight, above which an answer breaks a constraint


@dataclass(frozen=True)
class Problem:
    """The numbers of one solve: n names, k factors. `d` is a root of a variance, `L` (n, k) of a covariance."""

    a: Vector
    L: Matrix
    d: Vector
    w0: Vector
    ub: Vector
    c: float
    lo: float
    hi: float

    def finite(self) -> bool:
        return all(bool(np.isfinite(value).all()) for value in self.__dict__.values())


@dataclass(frozen=True)
class Answer:
    weights: Vector | None  # (n,), within the bounds
    status: str


class Quadratic:
    """Weights of up to `slots` names with up to `columns` risk factors.

        maximise    a'w - |L'w|^2 / 2 - |d * w|^2 / 2 - c |w - w0|_1
        subject to  lo <= sum w <= hi,  0 <= w <= ub

    Names and factors that are not there are padded with zeros, so one compiled problem serves every slice. Every solve
    starts cold: the answer depends on its arguments alone. Memory: O(slots * columns).

    >>> program = Quadratic(slots=8, columns=8)
    >>> d = np.array([0.1, 0.2])
    >>> answer = program.solve(Problem(np.array([0.004, 0.004]), np.zeros((2, 1)), d, np.zeros(2), np.ones(2), 0, 0, 1))
    >>> answer.weights.round(6), answer.status
    (array([0.4, 0.1]), 'optimal')
    """

    def __init__(self, *, slots: int, columns: int, solver: str = "PIQP") -> None:
        self.slots, self.columns, self._solver = slots, columns, solver
        w, v, traded = cp.Variable(slots), cp.Variable(columns), cp.Variable(slots)
        self._w = w
        self._a, self._w0 = cp.Parameter(slots), cp.Parameter(slots)
        self._ub, self._d = cp.Parameter(slots, nonneg=True), cp.Parameter(slots, nonneg=True)
        self._L = cp.Parameter((slots, columns))
        self._c = cp.Parameter(nonneg=True)
        self._lo, self._hi = cp.Parameter(), cp.Parameter()
        variance = cp.sum_squares(v) + cp.sum_squares(cp.multiply(self._d, w))
        gain = self._a @ w - variance * (_SCALE / 2) - self._c * cp.norm1(traded)
        moves = [v == self._L.T @ w, traded == w - self._w0]
        rows = [*moves, w >= 0, w <= self._ub, cp.sum(w) >= self._lo, cp.sum(w) <= self._hi]
        self._problem = cp.Problem(cp.Maximize(gain), rows)

    def solve(self, problem: Problem) -> Answer:
        """The best weights (n,), or None with the reason in `status`."""
        if not problem.finite():
            return Answer(None, "a figure of the problem is not finite")
        n = len(problem.a)
        if problem.L.shape[1] > self.columns or n > self.slots:
            raise ValueError(f"quadratic: {n} names, {problem.L.shape[1]} factors exceed {self.slots}, {self.columns}")
        L = np.zeros((self.slots, self.columns))
        L[:n, : problem.L.shape[1]] = problem.L
        n = self.slots
        given: tuple[tuple[cp.Parameter, Vector | Matrix], ...] = (
            (self._a, filled(problem.a * _SCALE, n)),
            (self._w0, filled(problem.w0, n)),
            (self._ub, filled(problem.ub, n)),
            (self._d, filled(problem.d, n)),
            (self._L, L),
            (self._c, np.asarray(problem.c * _SCALE)),
            (self._lo, np.asarray(problem.lo)),
            (self._hi, np.asarray(problem.hi)),
        )
        for parameter, value in given:
            parameter.save_value(value)  # as .value = without its checks: the shapes are ours, and a tenth of the time
        try:
            self._problem.solve(solver=self._solver, warm_start=False)
        except cp.error.SolverError as error:
            return Answer(None, f"solver failed: {str(error).splitlines()[0]}")
        return self._checked(problem)

    def _checked(self, problem: Problem) -> Answer:
        status: str = self._problem.status
        if status != cp.OPTIMAL or self._w.value is None:
            return Answer(None, status)
        w: Vector = self._w.value[: len(problem.a)]
        total = w.sum()
        within = (w >= -_TOLERANCE).all() and (w <= problem.ub + _TOLERANCE).all()
        if not (within and problem.lo - _TOLERANCE <= total <= problem.hi + _TOLERANCE):
            return Answer(None, "the solver's answer breaks a constraint")
        return Answer(np.clip(w, 0.0, problem.ub), status)
