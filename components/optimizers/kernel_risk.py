"""The covariance as the dual of a problem sees it: in few factors, or dense. Both give the same answers.

With C = R R' the term g/2 (w - about)' C (w - about) is the largest of prices' (w - about) less what those prices cost:
prices = R y (`Factors`, state y) or prices = g C (x - about) (`Dense`, state x). At the optimum y = g R' (w - about)
and x = w. Which is cheaper is a matter of K and of how many names are free.
"""

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from components.optimizers.stating import exposures, product
from engine.events import Matrix, Vector
from engine.protocols import Risk

FEW = 96  # the most factors whose systems the compiled loops solve: larger ones are LAPACK's
_TINY = 1e-300

Places: TypeAlias = NDArray[np.intp]  # positions of names


@dataclass(frozen=True, slots=True)
class Step:
    """A Newton step before the multipliers of rows are known: S (r, r), v (r,) and what the step is made of."""

    S: Matrix
    v: Vector
    made: tuple[Any, ...]


class Form(Protocol):
    """A covariance in one of its forms; `state` is what prices are made of."""

    def state(self, w: Vector, /) -> Vector: ...
    def prices(self, state: Vector, /) -> Vector: ...
    def repriced(self, step: Vector, /) -> Vector:
        """(N,) prices of a change of state."""
        ...

    def bend(self, state: Vector, step: Vector, cost: Vector, /) -> tuple[float, float]:
        """Derivative at t = 0 and second derivative of what prices cost along state + t step, `cost` its prices."""
        ...

    def reduced(self, free: Places, give: Vector, A: Matrix, e: Vector, used: Vector, /) -> Step:
        """The step over free names (F,) with rows A (r, F) of values `used`; e = the state wanted less the state."""
        ...

    def completed(self, step: Step, change: Vector, /) -> Vector:
        """The step of the state for this change (r,) of the multipliers of rows."""
        ...


def solved(B: Matrix, right: Matrix) -> Matrix:
    """B^-1 right for a symmetric positive definite B; `right` is overwritten."""
    if not len(B):
        return right
    from scipy.linalg.lapack import dposv

    _, x, failed = dposv(B.T, right, lower=1, overwrite_b=1)
    if failed:
        return np.asarray(np.linalg.lstsq(B, right, rcond=None)[0])
    found: Matrix = x
    return found


@dataclass(frozen=True, slots=True)
class Factors:
    """R (N, K) with aversion g. State y (K,)."""

    R: Matrix
    g: float
    about: Vector

    def state(self, w: Vector) -> Vector:
        y: Vector = self.g * ((w - self.about) @ self.R)
        return y

    def prices(self, state: Vector) -> Vector:
        p: Vector = self.R @ state
        return p

    repriced = prices

    def bend(self, state: Vector, step: Vector, cost: Vector) -> tuple[float, float]:
        return float(step @ state) / self.g + float(cost @ self.about), float(step @ step) / self.g

    def reduced(self, free: Places, give: Vector, A: Matrix, e: Vector, used: Vector) -> Step:
        R, r = self.R[free], len(A)
        if len(free) < 0.7 * R.shape[1]:
            return _over_names((R @ R.T) * self.g, give, A, (R @ e, used, R, e))
        scaled = R.T * give
        B = scaled @ R
        B.flat[:: len(B) + 1] += 1.0 / self.g
        right = np.empty((r + 1, len(B)))
        right[:r] = cross = A @ scaled.T
        right[r] = e / self.g
        x = solved(B, right.T)
        S = (A * give) @ A.T - cross @ x[:, :r]
        return Step(S, used - cross @ x[:, r], ("factors", x))

    def completed(self, step: Step, change: Vector) -> Vector:
        if step.made[0] == "factors":
            x = step.made[1]
            y: Vector = x[:, -1] - x[:, :-1] @ change
            return y
        _, x, R, e = step.made
        back: Vector = e - self.g * ((x[:, -1] + x[:, :-1] @ change) @ R)
        return back


@dataclass(frozen=True, slots=True)
class Dense:
    """C (N, N) with aversion g. State x (N,); rows of C that were needed lie in `kept`, side by side."""

    C: Matrix
    g: float
    about: Vector
    kept: "Kept"

    def state(self, w: Vector) -> Vector:
        return w

    def prices(self, state: Vector) -> Vector:
        return self.repriced(state - self.about)

    def repriced(self, step: Vector) -> Vector:
        moved = np.flatnonzero(step)
        if 3 * len(moved) > len(step):
            full: Vector = self.g * (self.C @ step)
            return full
        part: Vector = self.g * self.kept.product(self.C, step, moved)
        return part

    def bend(self, state: Vector, step: Vector, cost: Vector) -> tuple[float, float]:
        return float(cost @ state), float(cost @ step)

    def reduced(self, free: Places, give: Vector, A: Matrix, e: Vector, used: Vector) -> Step:
        pull = self.repriced(e)[free] if e.any() else np.zeros(len(free))
        return _over_names(self.C[free[:, None], free] * self.g, give, A, (pull, used, free, e))

    def completed(self, step: Step, change: Vector) -> Vector:
        _, x, free, e = step.made
        moved: Vector = e.copy()
        moved[free] -= x[:, -1] + x[:, :-1] @ change
        return moved


def _over_names(B: Matrix, give: Vector, A: Matrix, made: tuple[Vector, Vector, Any, Vector]) -> Step:
    """The reduced step by a system over the free names: (diag(1 / give) + g C) dw = -pull - A' change."""
    pull, used, what, e = made
    r = len(A)
    B.flat[:: len(B) + 1] += 1.0 / np.maximum(give, _TINY)
    right = np.empty((r + 1, len(B)))
    right[:r] = A
    right[r] = pull
    x = solved(B, right.T)
    return Step(A @ x[:, :r], used - A @ x[:, r], ("names", x, what, e))


class Kept:
    """Rows of a matrix that the products of one solve needed so far, side by side: those of few names read few rows.

    Cleared before each solve, because the order of the rows is the order of the sums.
    """

    def __init__(self, n: int) -> None:
        self._at = np.full(n, -1, np.intp)
        self._names = np.zeros(0, np.intp)
        self._rows = np.empty((0, n))

    def clear(self) -> None:
        self._at[self._names] = -1
        self._names = self._names[:0]

    def product(self, C: Matrix, step: Vector, moved: Places) -> Vector:
        """C step, where C is symmetric and only `moved` entries of the step are not 0."""
        new = moved[self._at[moved] < 0]
        if len(new):
            self._grow(C, new)
        count = len(self._names)
        found: Vector = step[self._names] @ self._rows[:count]
        return found

    def _grow(self, C: Matrix, new: Places) -> None:
        count, n = len(self._names), len(C)
        if count + len(new) > len(self._rows):
            rows = np.empty((min(max(2 * (count + len(new)), 64), n), n))
            rows[:count] = self._rows[:count]
            self._rows = rows
        self._rows[count : count + len(new)] = C[new]
        self._at[new] = np.arange(count, count + len(new))
        self._names = np.concatenate((self._names, new))


def _fault(risk: Risk) -> str:
    figures = {"factors": risk.factors, "covariance": risk.covariance, "specific": risk.specific}
    for name, figure in figures.items():
        if not np.vdot(figure, figure) < np.inf and not np.isfinite(figure).all():
            return f"not finite: {name} of the risk"
    return "not convex: specific of the risk" if (risk.specific < 0).any() else ""


class Shape:
    """A risk brought into the form that is cheapest for it; keeps the last one, since risks often stay."""

    def __init__(self) -> None:
        self._of: Risk | None = None
        self._R: Matrix = np.zeros((0, 0))
        self._C: Matrix | None = None
        self._kept = Kept(0)
        self.diagonal: Vector = np.zeros(0)  # (N,) of R R'
        self.fault = ""  # of the last risk: what of it no problem can be solved with, or nothing

    def form(self, risk: Risk | None, aversion: float, about: Vector) -> Form:
        n = len(about)
        if risk is None or not aversion:
            self.diagonal = np.zeros(n)
            self._of, self.fault = None, ""
            return Factors(np.zeros((n, 0)), 1.0, about)
        if risk is not self._of:
            self._of, self.fault = risk, _fault(risk)
            self._shaped(risk, n)
        if self._C is None:
            return Factors(self._R, aversion, about)
        self._kept.clear()
        return Dense(self._C, aversion, about, self._kept)

    def _shaped(self, risk: Risk, n: int) -> None:
        self._R, self._C, self._kept = np.zeros((n, 0)), None, Kept(n)
        C = None if self.fault else product(risk)
        if not self.fault and C is None:
            self._R = np.array(exposures(risk), order="C")  # a copy: the compiled loops want one that can be written to
        elif C is not None and n <= FEW:
            values, vectors = np.linalg.eigh(C)
            self._R = np.ascontiguousarray(vectors * np.sqrt(np.maximum(values, 0.0)))
        elif C is not None:
            self._C, self.diagonal = C, C.diagonal()
            return
        self.diagonal = np.vecdot(self._R, self._R)
