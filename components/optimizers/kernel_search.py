"""Along the dual of a problem: where it stands, how far a step goes, and whether it proves that nothing is feasible."""

from dataclasses import dataclass

import numpy as np

from components.optimizers.kernel_loops import Costs, Limits, Move, respond, searched
from components.optimizers.kernel_names import Names
from components.optimizers.kernel_risk import Form
from engine.events import Matrix, Vector

_SMALL = 1e-5  # of the largest multiplier: what is noise in a proof


@dataclass(frozen=True, slots=True)
class Stage:
    """One strictly convex problem: names, covariance, rows A (m, N), and limits of rows and caps."""

    names: Names
    costs: Costs  # the same in arrays
    form: Form
    base: Vector  # (N,) what pulls each weight up before prices
    A: Matrix
    limits: Limits
    norm: Vector  # (r,) length of the rows, the root of N for caps: violation / norm is a distance in weights
    whole: Vector  # (r,) curvature of the dual in each multiplier, were all names free and without covariance


@dataclass(frozen=True, slots=True)
class Point:
    """Multipliers z (r,) and a state of the covariance, with the weights that answer them."""

    state: Vector
    z: Vector
    u: Vector
    w: Vector


def point(stage: Stage, state: Vector, z: Vector) -> Point:
    """The point of these multipliers, from nothing else."""
    m, w = len(stage.A), np.empty(len(stage.base))
    u = stage.base - stage.form.prices(state)
    if m:
        u = u - z[:m] @ stage.A
    respond(stage.costs, u, z[m:], w)
    return Point(state, z, u, w)


def stepped(stage: Stage, at: Point, state: Vector, to: Vector) -> tuple[Point, float, bool]:
    """Where a step of the state and to multipliers `to` leads: as far as the slope of the dual says.

    Also its length, 1 = all of it, 0 = none gains, and whether the dual still rises there as steeply as at the start.
    """
    m, limits = len(stage.A), stage.limits
    change = to - at.z
    cost = stage.form.repriced(state)
    moving = np.flatnonzero(change[:m])
    pull = -(cost + change[moving] @ stage.A[moving]) if moving.size else -cost
    first, second = stage.form.bend(at.state, state, cost)
    t, w, rising = searched(stage.costs, limits, Move(at.u, pull, at.z, to, m, first, second))
    if not t > 0:
        return at, 0.0, False
    z = to if t == 1.0 else np.minimum(np.maximum(at.z + t * change, limits.least), limits.most)
    return Point(at.state + t * state, z, at.u + t * pull, w), t, rising


def impossible(stage: Stage, z: Vector) -> bool:
    """Whether these multipliers of hard limits prove that no weights satisfy all of them (Farkas).

    Within the bounds the rows of any w are together worth at least as much as the limits allow: then none is allowed.
    """
    limits, m = stage.limits, len(stage.A)
    z = np.where(np.isinf(limits.price), z, 0.0)
    size = float((np.abs(z) * stage.norm).max(initial=0.0))
    if not size > 0:
        return False
    z = z / size
    large = np.where(np.abs(z) * stage.norm > _SMALL, z, 0.0)
    return _proves(stage, z, z[:m] @ stage.A) or _proves(stage, *_balanced(stage, large))


def _balanced(stage: Stage, z: Vector) -> tuple[Vector, Vector]:
    """The multipliers nearest to z that leave no price on names without a bound, and the prices (N,) they make."""
    m = len(stage.A)
    endless = np.isinf(stage.names.lower) | np.isinf(stage.names.upper)
    rows = np.flatnonzero(z[:m])
    slope = z[:m] @ stage.A
    if rows.size and endless.any() and not len(z[m:].nonzero()[0]):
        fix = np.linalg.lstsq(stage.A[np.ix_(rows, np.flatnonzero(endless))].T, slope[endless], rcond=None)[0]
        z = z.copy()
        z[rows] -= fix
        slope = z[:m] @ stage.A
    return z, slope


def _proves(stage: Stage, z: Vector, slope: Vector) -> bool:
    """Whether prices `slope` of weights, and z of limits, are worth more at any w within the bounds than is allowed."""
    limits, names, m = stage.limits, stage.names, len(stage.A)
    if ((z > 0) & np.isinf(limits.high)).any() or ((z < 0) & np.isinf(limits.low)).any():
        return False
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
