"""Who takes part in a rebalance and how much there is to split: what all methods share. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from components.optimizers.paying import Rows
from components.optimizers.problem import Decision, Remark, Situation
from components.optimizers.rounding_limits import unlimited
from components.optimizers.terms.checked import above
from components.optimizers.usable import senseless
from engine.events import Matrix, Vector
from engine.protocols import Risk

NO_HISTORY = "the risk model has too little history"
NO_VARIANCE = "no name that may change has any variance"
_STILL = 1e-12  # of the largest variance: one below it is none


@dataclass(frozen=True, slots=True)
class Room:
    """The n names that are weighed, and what they share."""

    rows: Rows  # (n,) positions in the universe
    total: float  # sum of their weights, at least 0
    pinned: Vector  # (N,) weights that cannot change, zeros elsewhere
    most: float = np.inf  # of each name's weight, unsigned


def room_of(at: Situation, max_invest: float, most: float | None = None, *, shorts: bool = False) -> Room:
    """Free names that are wanted above 0 (with `shorts`, below it too) share min(invest, max_invest) less the pinned.

    Pinned is what is held, neither free nor leaving. A method without short positions sells a name that is wanted
    below 0, as one that is wanted at 0.
    """
    taken = at.free if shorts else at.free & (at.wanted > 0)
    held = ~at.free & ~at.leaving & np.isfinite(at.w0)
    pinned = np.where(held, at.w0, 0.0)
    total = max(min(at.invest, max_invest) - float(pinned.sum()), 0.0)
    return Room(np.flatnonzero(taken), total, pinned, np.inf if most is None else most)


def decided(at: Situation, room: Room, w: Vector, remarks: tuple[Remark, ...] = ()) -> Decision:
    """Weights w (n,) of the room; 0 for the other names that can be traded, NaN for those that cannot.

    Whole lots have to keep the bound of each name too.
    """
    weights = np.where(at.free | at.leaving, 0.0, np.nan)
    weights[room.rows] = w
    reason = senseless(w)
    if reason or np.isnan(w).any():
        return cannot(reason or "the weights are no numbers")
    limits = None
    if np.isfinite(room.most):
        upper = np.where(at.free, room.most, np.inf)
        limits = replace(unlimited(len(weights)), lower=-upper, upper=upper)
    return Decision(weights=weights, remarks=remarks, limits=limits)


def cannot(reason: str) -> Decision:
    return Decision(weights=None, reason=reason)


def capped(shares: Vector, total: float, cap: float) -> Vector:
    """(n,) weights proportional to `shares`, none above `cap`, whose sum is `total` where the caps allow it.

    What a cap takes from a name goes to the others in proportion.

    >>> capped(np.array([6.0, 3.0, 1.0]), 1.0, 0.5)
    array([0.5  , 0.375, 0.125])
    """
    w, open_ = np.zeros(len(shares)), shares > 0
    left = total
    while open_.any():
        part = np.where(open_, shares, 0.0)
        part *= left / part.sum()
        over = open_ & (part > cap)
        if not over.any():
            return np.where(open_, part, w)
        w[over] = cap
        left = max(left - cap * int(over.sum()), 0.0)
        open_ &= ~over
    return w


def variances(risk: Risk, rows: Rows) -> Vector:
    """(n,) variance of these names."""
    own: Matrix = risk.factors[rows]
    return np.asarray(((own @ risk.covariance) * own).sum(axis=1) + risk.specific[rows])


def moving(room: Room, variance: Vector) -> tuple[Room, Vector, tuple[Remark, ...]]:
    """The room without names that do not move, the variances of the others, and a remark on who was left out.

    A method that divides by a volatility cannot place what has none: such a name gets no weight.
    """
    moves = variance > _STILL * variance.max(initial=0.0)
    if moves.all():
        return room, variance, ()
    still = room.rows[~moves]
    text = f"{len(still)} {'name has' if len(still) == 1 else 'names have'} no variance and no weight"
    remark = Remark(kind="no_variance", text=text, symbol=still.astype(np.int32), value=variance[~moves])
    return replace(room, rows=room.rows[moves]), variance[moves], (remark,)


def positive(given: Mapping[str, float]) -> None:
    """Raises ValueError for an option that is not above 0, or endless."""
    for key, value in given.items():
        above(key, value)
