"""Small trades that must be made all the same, since without them a limit that must hold would be broken."""

import numpy as np

from components.optimizers.problem import Limits
from components.optimizers.rounding_limits import Grid
from engine.events import Mask, Matrix, Vector

_TOLD = 1e-6  # of equity: a violation below it is none
_PASSES = 3  # over all limits, since what mends one may break another


def needed_trades(
    shares: Vector, grid: Grid, least: float, limits: Limits | None, begun: Mask | None = None
) -> Mask | None:
    """(N,) which trades below `least`, a share of equity, are made however small they are; None = none.

    Those that are `begun` (N,), which a parent works on, are made anyhow, and others must make room for them.

    Those toward a bound of their name that it is beyond, and of each row or cap that would be broken without its small
    trades the largest that mend it. A sum of all weights may be less than it must be, as with whole lots: what small
    purchases would have bought stays cash. What whole lots break already counts as kept.
    """
    if least <= 0 or limits is None:
        return None
    priced = grid.weight > 0
    w0 = np.where(priced & (grid.position != 0), grid.position * grid.weight, 0.0)
    w = np.where(priced & np.isfinite(shares), shares * grid.weight, w0)
    trade = w - w0
    small = (trade != 0) & (np.abs(trade) < least) & (w != 0)
    if begun is not None:
        small &= ~begun
    if not small.any():
        return None
    needed = small & (((w0 > limits.upper + _TOLD) & (trade < 0)) | ((w0 < limits.lower - _TOLD) & (trade > 0)))
    if limits.least_weight is not None:
        needed |= small & (w0 != 0) & (np.abs(w0) < limits.least_weight - _TOLD)
    M, low, high = _rows(limits, w, w0)
    for _ in range(_PASSES):
        value = M @ np.where(small & ~needed, w0, w)
        broken = np.flatnonzero((value > high + _TOLD) | (value < low - _TOLD))
        if not broken.size:
            return needed if needed.any() else None
        for r in broken.tolist():
            needed |= _mending(M[r] * trade, small & ~needed, float(value[r]), (float(low[r]), float(high[r])))
    every: Mask = small
    return every


def _rows(limits: Limits, w: Vector, w0: Vector) -> tuple[Matrix, Vector, Vector]:
    """Rows and the cap on gross, and what they may be: no less than what weights are. Fewer trades turn over less."""
    sides = np.where(w != 0, np.sign(w), np.sign(w0))
    M = np.concatenate((limits.A, sides[None]))
    value = M @ w
    even = np.append((limits.A[:, :1] == limits.A).all(axis=1), False)
    low = np.where(even, -np.inf, np.minimum(np.append(limits.low, -np.inf), value))
    return M, low, np.maximum(np.append(limits.high, limits.gross), value)


def _mending(change: Vector, may: Mask, value: float, limit: tuple[float, float]) -> Mask:
    """(N,) the largest of the trades that may be made that bring a value back; `change` is what each does to it."""
    low, high = limit
    gain, short = (-change, value - high) if value > high else (change, low - value)
    order = np.argsort(-np.where(may & (gain > 0), gain, 0.0), kind="stable")
    gains = np.where(may & (gain > 0), gain, 0.0)[order]
    before = np.cumsum(gains) - gains
    taken = np.zeros(len(change), bool)
    taken[order[(gains > 0) & (before < short)]] = True
    return taken
