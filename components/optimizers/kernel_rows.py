"""Multipliers of rows from a local model of the dual: a small piecewise quadratic programme. Pure functions of arrays.

The model says that rows have the values v - S (z - z0) at multipliers z. Wanted: z within their prices such that
a row with z above 0 stands at its high limit, with z below 0 at its low one, with z = 0 between them, and a row whose
multiplier is at its price (a soft row) anywhere beyond its limit.
"""

from dataclasses import dataclass

import numpy as np

from engine.events import Matrix, Vector

_ROUNDS, _SWEEPS = 15, 30


@dataclass(frozen=True, slots=True)
class Limits:
    """Of rows and caps together, (r,) each; multipliers are between `least` and `most`.

    Those are -price and price, inf = hard, and 0 on a side that has no limit.
    """

    low: Vector
    high: Vector
    price: Vector
    least: Vector
    most: Vector

    def excess(self, v: Vector, z: Vector) -> Vector:
        """(r,) gradient of the dual: how far each row is from where its multiplier wants it, 0 at rest."""
        side = np.where(z > 0, v - self.high, np.where(z < 0, v - self.low, 0.0))
        idle = np.maximum(v - self.high, 0.0) + np.minimum(v - self.low, 0.0)
        gap = np.where(z == 0, idle, side)
        gap = np.where((z >= self.most) & (gap > 0), 0.0, gap)
        return np.where((z <= self.least) & (gap < 0), 0.0, gap)


def settled(S: Matrix, v: Vector, z0: Vector, limits: Limits, slack: float) -> Vector:
    """(r,) multipliers that solve the model; S (r, r) positive definite. `slack` = violation that counts as none."""
    equal = limits.low == limits.high
    side = np.where(z0 > 0, 1, np.where(z0 < 0, -1, 0))
    side = np.where(side == 0, (v > limits.high).astype(int) - (v < limits.low), side)
    pinned = (np.abs(z0) >= limits.price) & (np.where(side > 0, v - limits.high, limits.low - v) > 0)
    for _ in range(_ROUNDS):
        z, now = _at(S, v, z0, limits, (side, equal, pinned))
        wrong = (side != 0) & ~pinned & ~equal & (z * side < 0)
        over = ~pinned & ~wrong & (np.abs(z) > limits.price)
        above, below = now - limits.high > slack, limits.low - now > slack
        back = pinned & (np.where(side > 0, limits.high - now, now - limits.low) > slack)
        join = (side == 0) & ~equal & (above | below)
        if not (wrong.any() or over.any() or back.any() or join.any()):
            return z
        side = np.where(over, np.sign(z).astype(int), np.where(wrong, 0, side))
        side = np.where(join, above.astype(int) - below, side)
        pinned = (pinned | over) & ~back
    return _swept(S, v, z0, limits)


def _at(
    S: Matrix, v: Vector, z0: Vector, limits: Limits, state: tuple[Vector, Vector, Vector]
) -> tuple[Vector, Vector]:
    """Multipliers where the active rows stand at their limits, and the values of all rows there."""
    side, equal, pinned = state
    active = np.flatnonzero(((side != 0) | equal) & ~pinned)
    z = np.where(pinned, side * np.where(pinned, limits.price, 0.0), 0.0)
    target = np.where(side >= 0, limits.high, limits.low)[active]
    z[active] = z0[active]
    rest = (v - S @ (z - z0))[active] - target
    if active.size:
        z[active] += np.linalg.solve(S[np.ix_(active, active)], rest)
    return z, v - S @ (z - z0)


def _swept(S: Matrix, v: Vector, z0: Vector, limits: Limits) -> Vector:
    """The same by one multiplier after another (Gauss-Seidel): slow, but each step only gains."""
    z, now = z0.copy(), v.copy()
    diagonal = S.diagonal()
    for _ in range(_SWEEPS):
        before = z.copy()
        for j in range(len(z)):
            up, down = (now[j] - limits.high[j]) / diagonal[j], (now[j] - limits.low[j]) / diagonal[j]
            new = max(z[j] + up, 0.0) if z[j] + up > 0 else min(z[j] + down, 0.0)
            new = min(max(new, limits.least[j]), limits.most[j])
            if new != z[j]:
                now = now - S[:, j] * (new - z[j])
                z[j] = new
        if np.abs(z - before).max(initial=0.0) <= 1e-12 * np.abs(z).max(initial=0.0):
            break
    return z
