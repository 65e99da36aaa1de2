"""A quadratic of factor structure over bounds and one sum: interior point, then the exact answer of its active set."""

from dataclasses import dataclass

import numpy as np

from engine.events import Mask, Matrix, Vector

_STEPS = 80  # of the interior point; it takes about 15
_GAP = 1e-13
_NEAR = 1e-9  # of the scale, what a multiplier or a bound may be off after the last exact solve


@dataclass(frozen=True, slots=True)
class Curve:
    """S = R diag(sign) R' + diag(d), (n, n) and not formed where it has more names than columns."""

    R: Matrix  # (n, K)
    d: Vector  # (n,) at least 0
    sign: Vector  # (K,) 1 or -1

    def times(self, x: Vector) -> Vector:
        return np.asarray(self.R @ (self.sign * (x @ self.R)) + self.d * x)

    def times_all(self, X: Matrix) -> Matrix:
        """S X for (n, m) X."""
        return np.asarray(self.R @ (self.sign[:, None] * (self.R.T @ X)) + self.d[:, None] * X)

    def diagonal(self) -> Vector:
        return np.asarray((self.R**2) @ self.sign + self.d)

    def of(self, rows: Mask) -> "Curve":
        return Curve(self.R[rows], self.d[rows], self.sign)

    def scaled(self, by: float) -> "Curve":
        return Curve(self.R * np.sqrt(by), self.d * by, self.sign)

    def solved(self, extra: Vector, B: Matrix) -> Matrix:
        """(S + diag(extra))^-1 B, B (n, m). A singular S is lifted by 1e-11 (dense) or 1e-9 of each variance."""
        n, K = self.R.shape
        own = np.maximum(self.diagonal(), 0.0)
        level = float(own.mean()) or 1.0
        D = self.d + extra
        if n <= K:
            S = (self.R * self.sign) @ self.R.T
            S[np.diag_indices(n)] += D + 1e-11 * own + 1e-14 * level
            return np.asarray(np.linalg.solve(S, B))
        inverse = 1.0 / np.maximum(D, 1e-9 * own + 1e-14 * level)
        scaled = inverse[:, None] * self.R
        core = self.R.T @ scaled
        core[np.diag_indices(K)] += self.sign
        first = inverse[:, None] * B
        return np.asarray(first - scaled @ np.linalg.solve(core, self.R.T @ first))


def curve_of(R: Matrix, d: Vector) -> Curve:
    return Curve(R, d, np.ones(R.shape[1]))


def least(S: Curve, q: Vector, bounds: tuple[Vector, Vector], total: float | None) -> Vector:
    """(n,) the x that minimises 1/2 x'Sx + q'x with bounds[0] <= x <= bounds[1] and sum x = total (None = any sum).

    Bounds are finite. A total beyond what they allow gives the bounds themselves. The answer satisfies the optimality
    conditions to rounding where S is not singular. About 15 steps of O(n K^2).

    Source: Mehrotra (1992), On the implementation of a primal-dual interior point method, SIAM J. Optimization 2(4).

    >>> S = curve_of(np.zeros((3, 1)), np.array([1.0, 2.0, 4.0]))
    >>> least(S, np.zeros(3), (np.zeros(3), np.full(3, 0.5)), 1.0).round(6)
    array([0.5     , 0.333333, 0.166667])
    """
    low, high = bounds
    if total is not None and not low.sum() < total < high.sum():
        return np.array(low if total <= low.sum() else high)
    x = np.array(low)
    wide = high > low
    if not wide.any():
        return x
    pull = S.times(np.where(wide, 0.0, low)) + q if not wide.all() else q
    inner, pull = S.of(wide), pull[wide]
    scale = max(float(inner.diagonal().max()) * max(float(np.abs(high[wide]).max()), 1e-12), float(np.abs(pull).max()))
    if scale == 0:
        scale = 1.0
    left = None if total is None else total - float(low[~wide].sum())
    task = _Task(inner.scaled(1.0 / scale), pull / scale, low[wide], high[wide], left)
    x[wide] = _exact(task, *_interior(task))
    return x if total is None else _summing(x, low, high, total)


def _summing(x: Vector, low: Vector, high: Vector, total: float) -> Vector:
    """x as it is where its sum is right, else moved toward its bounds: S was all but singular, or nothing is inside."""
    short = total - float(x.sum())
    if abs(short) <= 1e-12 * max(abs(total), 1.0):
        return x
    room = high - x if short > 0 else low - x
    inside = np.where((x > low) & (x < high), room, 0.0)
    room = inside if abs(float(inside.sum())) > abs(short) else room
    whole = float(room.sum())
    return np.clip(x + (short / whole) * room, low, high) if whole else x


def unbounded(S: Curve, q: Vector, total: float | None) -> Vector:
    """(n,) the same without bounds, in closed form: x = S^-1 (nu 1 - q)."""
    one = np.ones(len(q))
    solved = S.solved(np.zeros(len(q)), np.stack([one, -q], axis=1))
    if total is None:
        return np.asarray(solved[:, 1])
    return np.asarray(solved[:, 1] + (total - solved[:, 1].sum()) / solved[:, 0].sum() * solved[:, 0])


def slope(S: Curve, m: Vector, inside: Mask) -> Vector:
    """(n,) how the answer moves as t grows in q - t m, while the names strictly inside their bounds stay the same."""
    b = np.zeros(len(m))
    if inside.sum() > 1:
        b[inside] = unbounded(S.of(inside), -m[inside], 0.0)
    return b


@dataclass(frozen=True, slots=True)
class _Task:
    S: Curve
    q: Vector
    low: Vector
    high: Vector
    total: float | None

    def step(self, extra: Vector, right: Vector, short: float) -> tuple[Vector, float]:
        """(dx, dnu) of (S + extra) dx - dnu 1 = right, 1'dx = short; without a total dnu is 0."""
        if self.total is None:
            return self.S.solved(extra, right[:, None])[:, 0], 0.0
        both = self.S.solved(extra, np.stack([right, np.ones(len(right))], axis=1))
        dnu = (short - float(both[:, 0].sum())) / float(both[:, 1].sum())
        return both[:, 0] + dnu * both[:, 1], dnu


def _interior(task: _Task) -> tuple[Vector, Vector, Vector]:
    """x and the multipliers of the lower and upper bounds."""
    low, high = task.low, task.high
    width = high - low
    share = 0.5 if task.total is None else (task.total - float(low.sum())) / float(width.sum())
    x, nu = low + share * width, 0.0
    zl = zu = np.full(len(x), 1.0)
    for _ in range(_STEPS):
        sl, su = np.maximum(x - low, 1e-16 * width), np.maximum(high - x, 1e-16 * width)
        gap = float(sl @ zl + su @ zu) / (2 * len(x))
        off = task.S.times(x) + task.q - nu - zl + zu
        short = 0.0 if task.total is None else task.total - float(x.sum())
        if gap <= _GAP and np.abs(off).max() <= 1e-12 and abs(short) <= 1e-13:
            break
        extra = zl / sl + zu / su
        dx, _ = task.step(extra, -off - zl + zu, short)
        dzl, dzu = -zl - zl / sl * dx, -zu + zu / su * dx
        reach = min(_reach(sl, dx), _reach(su, -dx), _reach(zl, dzl), _reach(zu, dzu))
        after = float((sl + reach * dx) @ (zl + reach * dzl) + (su - reach * dx) @ (zu + reach * dzu)) / (2 * len(x))
        aim = gap * (after / gap) ** 3
        cl, cu = aim - dx * dzl, aim + dx * dzu
        dx, dnu = task.step(extra, -off - zl + zu + cl / sl - cu / su, short)
        dzl, dzu = -zl + (cl - zl * dx) / sl, -zu + (cu + zu * dx) / su
        first, second = 0.995 * min(_reach(sl, dx), _reach(su, -dx)), 0.995 * min(_reach(zl, dzl), _reach(zu, dzu))
        go = min(first, second, 1.0)
        x, nu, zl, zu = x + go * dx, nu + go * dnu, zl + go * dzl, zu + go * dzu
        if go < 1e-10:
            break
    return x, zl, zu


def _reach(value: Vector, step: Vector) -> float:
    """The largest step up to 1 / 0.995 that keeps value + step positive."""
    falling = step < 0
    return min(float((-value[falling] / step[falling]).min(initial=1.0 / 0.995)), 1.0 / 0.995)


def _exact(task: _Task, x: Vector, zl: Vector, zu: Vector) -> Vector:
    """The exact answer of the active set where it is the right one, else x as it is."""
    width = task.high - task.low
    at_low, at_high = zl * width > x - task.low, zu * width > task.high - x
    for _ in range(5):
        at_high &= ~at_low
        y = np.where(at_low, task.low, np.where(at_high, task.high, x))
        inside = ~at_low & ~at_high
        if not inside.any():
            return y if task.total is None or abs(float(y.sum()) - task.total) < 1e-12 else x
        pull = task.q + task.S.times(np.where(inside, 0.0, y))
        rest = None if task.total is None else task.total - float(y[~inside].sum())
        y[inside] = unbounded(task.S.of(inside), pull[inside], rest)
        slopes = task.S.times(y) + task.q
        nu = float(slopes[inside].mean()) if task.total is not None else 0.0
        below, above = inside & (y < task.low), inside & (y > task.high)
        free_low, free_high = at_low & (slopes - nu < -_NEAR), at_high & (slopes - nu > _NEAR)
        if not (below.any() or above.any() or free_low.any() or free_high.any()):
            return y
        at_low, at_high = (at_low & ~free_low) | below, (at_high & ~free_high) | above
    return np.asarray(np.clip(x, task.low, task.high))
