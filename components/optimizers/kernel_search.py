"""Along the dual of a problem: where it stands, how far a step goes, and whether it proves that nothing is feasible."""

from dataclasses import dataclass

import numpy as np

from components.optimizers.kernel_names import Names
from components.optimizers.kernel_risk import Form
from components.optimizers.kernel_rows import Limits
from engine.events import Matrix, Vector

_ENOUGH, _TURNED = 0.5, 0.1  # of the slope at the start: a full step that leaves less is taken; what a search ends at
_TRIES, _FARTHER = 40, 4.0


@dataclass(frozen=True, slots=True)
class Stage:
    """One strictly convex problem: names, covariance, rows A (m, N), and limits of rows and caps."""

    names: Names
    form: Form
    base: Vector  # (N,) what pulls each weight up before prices
    A: Matrix
    limits: Limits
    norm: Vector  # (r,) length of the rows, the root of N for caps: violation / norm is a distance in weights


@dataclass(frozen=True, slots=True)
class Point:
    """Multipliers z (r,) and a state of the covariance, with the weights that answer them."""

    state: Vector
    z: Vector
    u: Vector
    w: Vector


@dataclass(frozen=True, slots=True)
class Direction:
    """A step of state and multipliers; u (N,) changes by `pull`, the covariance's prices by `cost`."""

    state: Vector
    z: Vector
    to: Vector  # (r,) the multipliers at t = 1, to the bit
    cost: Vector
    pull: Vector


def point(stage: Stage, state: Vector, z: Vector) -> Point:
    m = len(stage.A)
    u = stage.base - stage.form.prices(state)
    if m:
        u = u - z[:m] @ stage.A
    return Point(state, z, u, stage.names.respond(u, z[m:]))


def direction(stage: Stage, at: Point, state: Vector, to: Vector) -> Direction:
    cost, z = stage.form.difference(state), to - at.z
    m = len(stage.A)
    return Direction(state, z, to, cost, -(cost + z[:m] @ stage.A) if m else -cost)


class Slope:
    """The derivative of the dual along a direction: falls as t grows. It keeps the weights of the last t."""

    def __init__(self, stage: Stage, at: Point, along: Direction) -> None:
        m = len(stage.A)
        self._stage, self._at, self._along = stage, at, along
        self._moving = np.flatnonzero(along.z)
        moving = self._moving
        self._z, self._dz = at.z[moving], along.z[moving]
        self._low, self._high = stage.limits.low[moving], stage.limits.high[moving]
        self._upward = np.where(self._z == 0, self._dz, self._z) > 0
        crosses = np.where(self._z * self._dz < 0, -self._z / self._dz, np.inf)
        self._crosses = np.where(along.to[moving] == 0, 1.0, crosses)  # the t at which a multiplier changes its sign
        self._prices, self._change = at.z[m:], along.z[m:]
        self._first, self._second = stage.form.bend(at.state, along.state, along.cost)
        self.w = at.w

    def __call__(self, t: float) -> float:
        names, along = self._stage.names, self._along
        prices = self._prices + t * self._change
        self.w = names.respond(self._at.u + t * along.pull, prices)
        limit = np.where(self._upward ^ (t > self._crosses), self._high, self._low)
        gained = -float(self.w @ along.pull) - float(limit @ self._dz) - self._first - t * self._second
        if len(prices) and self._change.any():
            gained += float(names.caps.used(self.w) @ self._change)
        return gained

    def farthest(self) -> float:
        """The t at which the first moving multiplier comes to 0 or to its price."""
        limits, moving = self._stage.limits, self._moving
        bound = np.where(self._dz > 0, limits.most[moving], limits.least[moving])
        bound = np.where((self._z * self._dz < 0) & (self._low < self._high), 0.0, bound)
        if not len(moving):
            return float("inf")
        return float(((bound - self._z) / self._dz).min())


def stepped(stage: Stage, at: Point, along: Direction) -> tuple[Point, float, bool]:
    """The point that a step leads to, its length (0 = none gains), and whether the dual still rises as steeply."""
    slope = Slope(stage, at, along)
    start, full = slope(0.0), slope(1.0)
    if not start > 0:
        return (_moved(stage, at, along, 1.0, slope.w), 1.0, False) if abs(full) <= abs(start) else (at, 0.0, False)
    t, found = 1.0, full
    if full > _ENOUGH * start:
        t, found = _longer(slope, start)
    elif full < -_ENOUGH * start:
        t, found = _between(slope, (0.0, start), (1.0, full), _TURNED * start)
    rising = found > _ENOUGH * start and t > 1.0
    return _moved(stage, at, along, t, slope.w), t, rising


def _moved(stage: Stage, at: Point, along: Direction, t: float, w: Vector) -> Point:
    """The point at t, where the slope already asked for the weights."""
    limits = stage.limits
    z = along.to if t == 1.0 else np.minimum(np.maximum(at.z + t * along.z, limits.least), limits.most)
    return Point(at.state + t * along.state, z, at.u + t * along.pull, w)


def _longer(slope: Slope, start: float) -> tuple[float, float]:
    """A longer step, while the dual rises as steeply as at the start."""
    most = max(slope.farthest(), 1.0)
    before, value, t = 1.0, slope(1.0), 1.0
    for _ in range(_TRIES):
        if value <= _ENOUGH * start or t >= most:
            break
        before, t = t, min(t * _FARTHER, most)
        value = slope(t)
    if value < -_ENOUGH * start:
        return _between(slope, (before, slope(before)), (t, value), _TURNED * start)
    return t, value


def _between(slope: Slope, left: tuple[float, float], right: tuple[float, float], near: float) -> tuple[float, float]:
    """A zero of the slope between two places of opposite sign: false position, halved where one end stays (Illinois)."""
    (a, fa), (b, fb) = left, right
    t, value = b, fb
    for _ in range(_TRIES):
        t = a + (b - a) * fa / (fa - fb)
        if not a < t < b:
            t = 0.5 * (a + b)
        value = slope(t)
        if abs(value) <= near:
            break
        if value > 0:
            a, fa, fb = t, value, 0.5 * fb
        else:
            b, fb, fa = t, value, 0.5 * fa
    return t, value


def impossible(stage: Stage, z: Vector) -> bool:
    """Whether these multipliers of hard limits prove that no weights satisfy all of them (Farkas).

    Within the bounds the rows of any w are together worth at least as much as the limits allow: then none is allowed.
    """
    limits, names, m = stage.limits, stage.names, len(stage.A)
    z = np.where(np.isinf(limits.price), z, 0.0)
    size = float((np.abs(z) * stage.norm).max(initial=0.0))
    if not size > 0:
        return False
    z = z / size
    slope = z[:m] @ stage.A
    slope = np.where(np.abs(slope) <= 1e-13, 0.0, slope)
    prices = z[m:]
    total = float(prices.sum())
    ends = [names.lower, names.upper, *(np.minimum(np.maximum(at, names.lower), names.upper) for at in names.caps.at)]
    outward = ((slope > total) & np.isinf(names.lower)) | ((slope < -total) & np.isinf(names.upper))
    if outward.any():
        return False
    least = np.full(len(slope), np.inf)
    for end in ends:
        within = np.isfinite(end)
        w = np.where(within, end, 0.0)
        worth = slope * w + sum((p * np.abs(w - at) for p, at in zip(prices, names.caps.at, strict=True)), 0.0)
        least = np.minimum(least, np.where(within, worth, np.inf))
    least = np.where(np.isinf(least), 0.0, least)
    rows = np.flatnonzero(z)
    limit = np.where(z > 0, limits.high, limits.low)[rows]
    return bool(least.sum() - limit @ z[rows] > 1e-9 * (1.0 + np.abs(least).sum()))
