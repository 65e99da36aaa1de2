"""Weights whose contributions to risk are as budgeted: Newton's method on the logarithmic barrier. Pure functions."""

from dataclasses import dataclass, field

import numpy as np

from engine.events import Mask, Matrix, Vector

_FIRST, _NEWTON, _LINE, _SEARCH, _ROUNDS = 4, 100, 20, 80, 100
_TIGHT = 1e-13  # error of a contribution, as a share of the risk that is shared
_ENOUGH = 1e-10
_HEDGED = 1e5  # volatilities; weights grow beyond it where names offset each other wholly
_DENSE = 150  # names up to which a dense matrix is factorised; above it conjugate gradients need products only


@dataclass(frozen=True, slots=True)
class Budgets:
    """n names of covariance R R' + diag(d), none of variance 0, that share risk as b says beside a pinned part.

    The contribution of a name is x_i (S x + q)_i, q = S p of the part p that cannot change.
    """

    R: Matrix  # (n, K)
    d: Vector  # (n,)
    b: Vector  # (n,) above 0, sum 1
    q: Vector  # (n,)

    def of(self, rows: Mask, q: Vector) -> "Budgets":
        b = self.b[rows]
        return Budgets(self.R[rows], self.d[rows], b / b.sum(), q[rows])

    def times(self, x: Vector) -> Vector:
        return np.asarray(self.R @ (x @ self.R) + self.d * x)


def budgeted(task: Budgets, total: float, cap: float) -> Vector | None:
    """(n,) weights of this total whose contributions to risk are in proportion to b; None where there are none.

        x_i (S x + q)_i = lambda b_i,   x_i > 0,   sum x = total

    Names above `cap` are held at it and contribute less than their budgets; the others share what is left as budgeted.

    Source: Maillard, Roncalli, Teiletche (2010); Spinu (2013), An algorithm for computing risk parity weights; bounds:
    Richard, Roncalli (2019), Constrained risk budgeting portfolios, section 3.
    """
    n = len(task.b)
    if cap * n <= total:
        return np.full(n, cap)
    at_cap = np.zeros(n, bool)
    for _ in range(_ROUNDS):
        x = np.where(at_cap, cap, 0.0)
        q = task.q + task.times(x) if at_cap.any() else task.q
        found = _shared(task.of(~at_cap, q), total - cap * int(at_cap.sum()))
        if found is None:
            return None
        x[~at_cap] = found
        if not at_cap.any() and x.max() <= cap:
            return x
        own = x * (task.times(x) + task.q)
        price = float(own[~at_cap].sum() / task.b[~at_cap].sum())
        over = ~at_cap & (x > cap * (1 + 1e-12))
        loose = at_cap & (own > price * task.b * (1 + 1e-9))  # would do with less
        if not over.any() and not loose.any():
            return np.minimum(x, cap)
        at_cap = at_cap | over if over.any() else at_cap & ~loose
    return None


def contributions(task: Budgets, x: Vector) -> Vector:
    """(n,) share of each name in the risk that these names contribute."""
    own = x * (task.times(x) + task.q)
    return np.asarray(own / own.sum())


@dataclass(frozen=True, slots=True)
class _Units:
    """The same in units of correlation: y = sigma x, C = S over volatilities, unit diagonal."""

    R: Matrix
    d: Vector
    b: Vector
    q: Vector
    sigma: Vector
    dense: Matrix | None = field(default=None)

    def times(self, y: Vector) -> Vector:
        if self.dense is not None:
            return np.asarray(self.dense @ y)
        return np.asarray(self.R @ (y @ self.R) + self.d * y)

    def solved(self, extra: Vector, right: Vector) -> Vector:
        """(C + diag(extra))^-1 right, exactly or close enough for a step."""
        n, K = self.R.shape
        if self.dense is not None:
            return np.asarray(np.linalg.solve(self.dense + np.diag(extra + 1e-15), right))
        inverse = 1.0 / (self.d + extra)
        if n < 2 * K:
            return _conjugate(self, extra, right)
        scaled = inverse[:, None] * self.R
        core = self.R.T @ scaled
        core[np.diag_indices(K)] += 1.0
        first = inverse * right
        return np.asarray(first - scaled @ np.linalg.solve(core, self.R.T @ first))


def _conjugate(units: _Units, extra: Vector, right: Vector) -> Vector:
    """Conjugate gradients with the diagonal as preconditioner, until a millionth of the right side is left."""
    inverse = 1.0 / (1.0 + extra)
    x, r = np.zeros(len(right)), right
    p = inverse * r
    rz = first = float(r @ p)
    for _ in range(len(right)):
        if rz <= 1e-12 * first:
            break
        product = units.times(p) + extra * p
        step = rz / float(p @ product)
        x, r = x + step * p, r - step * product
        z = inverse * r
        rz, before = float(r @ z), rz
        p = z + rz / before * p
    return x


def _units(task: Budgets) -> _Units:
    n, K = task.R.shape
    sigma = np.sqrt((task.R**2).sum(axis=1) + task.d)
    R, d = task.R / sigma[:, None], task.d / sigma**2
    dense = None
    if n < 2 * K and n <= _DENSE:
        dense = R @ R.T
        dense[np.diag_indices(n)] += d
    return _Units(R, d, task.b, task.q / sigma, sigma, dense)


def _shared(task: Budgets, total: float) -> Vector | None:
    """Without a cap. A scale does not matter where nothing is pinned; else it is searched for."""
    units = _units(task)
    root = np.sqrt(units.b)
    start = root / np.sqrt(float(root @ units.times(root)) or 1.0)
    for _ in range(_FIRST):  # toward the budgets, name by name: a product is far cheaper than a step of Newton's
        start = start * np.sqrt(units.b / np.maximum(start * units.times(start), 0.1 * units.b))
    if not units.q.any():
        y = _minimised(units, start, 1.0)
        return None if y is None else np.asarray(y / units.sigma * (total / float((y / units.sigma).sum())))
    return _searched(units, start, total)


def _searched(units: _Units, start: Vector, total: float) -> Vector | None:
    """The scale c of the barrier at which the weights add up to the total, by bracketed Newton steps in log c."""
    share = total / float((start / units.sigma).sum())
    y, log_c = start * share, 2.0 * np.log(share)
    low, high = -np.inf, np.inf
    for _ in range(_SEARCH):
        found = _minimised(units, y, float(np.exp(log_c)))
        if found is None:
            return None
        y = found
        c, short = float(np.exp(log_c)), total - float((y / units.sigma).sum())
        if abs(short) <= 1e-14 * total:
            break
        low, high = (log_c, high) if short > 0 else (low, log_c)
        # dy/dc = (C + c b/y^2)^-1 b/y
        rise = c * float((units.solved(c * units.b / y**2, units.b / y) / units.sigma).sum())
        there = log_c + np.clip(short / rise, -3.0, 3.0) if rise > 0 else np.inf
        if not low < there < high:
            there = (low + high) / 2 if np.isfinite(low + high) else log_c + np.copysign(2.0, short)
        if log_c < -60 or high - low <= 1e-15 * abs(log_c):
            break
        log_c = there
    x = y / units.sigma
    if abs(float(x.sum()) - total) > 1e-10 * total:
        return None
    return np.asarray(x * (total / x.sum()))


def _minimised(units: _Units, y: Vector, c: float) -> Vector | None:
    """The y of least y'Cy / 2 + q'y - c sum b log y: Newton steps, each as long as is best along its line."""
    best, error = None, np.inf
    for _ in range(_NEWTON):
        pull = units.times(y) + units.q
        slope = pull - c * units.b / y
        now = float(np.abs(slope * y).max()) / c
        if now < error:
            best, error = y, now
        elif error <= _rounding(y, c):
            break
        if now <= _TIGHT:
            break
        move = -units.solved(c * units.b / y**2, slope)
        y = y + _length(units, move, (y, pull), c) * move
        if not np.isfinite(y).all() or not y.min() > 0 or y.max() > _HEDGED * (1.0 + np.sqrt(c)):
            return None
    return best if best is not None and error <= _rounding(best, c) else None


def _rounding(y: Vector, c: float) -> float:
    """The error that may be left: more than 1e-10 only where names offset each other almost wholly."""
    return max(_ENOUGH, 1e-15 * float(y.max()) ** 2 / c)


def _length(units: _Units, move: Vector, at: tuple[Vector, Vector], c: float) -> float:
    """The step that is best along the move, to a twentieth; 1 near the end, where it is best anyway."""
    y, pull = at
    r = move / y
    if np.abs(r).max() <= 0.2:
        return 1.0
    rise, bend = float(move @ pull), float(move @ (units.times(move)))
    low, high = 0.0, float(-1.0 / r.min()) if r.min() < 0 else np.inf
    step = min(1.0, 0.9 * high)
    for _ in range(_LINE):
        part = r / (1.0 + step * r)
        slope = rise + step * bend - c * float(units.b @ part)
        low, high = (step, high) if slope < 0 else (low, step)
        there = step - slope / (bend + c * float(units.b @ part**2))
        if not low < there < high:
            there = (low + high) / 2 if np.isfinite(high) else 2 * step
        close, step = abs(there - step) <= 0.05 * step, there
        if close:
            break
    return step
