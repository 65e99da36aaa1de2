"""Whole lots that stay closest to the weights wanted: pure functions of arrays.

What rounding leaves over is not forgotten: the next rebalance starts from the whole lots that are held.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from components.optimizers.paying import Rows
from engine.events import Vector
from engine.protocols import Risk

RoundingName: TypeAlias = Literal["toward", "nearest", "tracking"]
ROUNDINGS: tuple[RoundingName, ...] = ("toward", "nearest", "tracking")
_EXACT = 10  # names whose every combination is looked at
_FLIPS = 48  # changes of one name by a lot, after the first guess
_WHOLE = 1e-9  # of a lot: what a division may leave beside a whole number


@dataclass(frozen=True, slots=True)
class Rounded:
    """Shares in whole lots, and how far they are from those wanted."""

    shares: Vector  # (N,) NaN where nothing was wanted
    error: float  # standard deviation over one slice of what rounding changed, as a share of equity
    bound: float  # no choice of whole lots within the same money has less


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the whole lots lie: positions now, shares a lot, and what a share is of equity. (N,) each."""

    position: Vector
    lot: Vector
    weight: Vector  # unit / equity


def rounded_shares(shares: Vector, grid: Grid, risk: Risk | None, how: RoundingName) -> Rounded:
    """Each name at one of the two lots around what is wanted, no sign changed, no more spent than wanted.

        minimise  e' S e,   e_i = (rounded_i - shares_i) weight_i      subject to  sum e <= 0

    `tracking` starts from the nearest lots, takes back what costs least until the money suffices, and then moves single
    names by a lot while that lessens the error, at most 48 times; up to 10 names are tried in every combination, which
    is exact. Without a risk estimate S is the identity. `bound` is that of the specific risks alone at the nearest
    lots: S is at least their diagonal. `nearest` leaves out the search, `toward` rounds each trade toward the position.

    Lots are counted from the position where it is kept or changed, and from 0 where it is opened or turned over.
    """
    out = shares.copy()
    start = grid.position * (shares * grid.position > 0)
    lots = (shares - start) / grid.lot
    below = np.floor(lots + _WHOLE)
    rows: Rows = np.flatnonzero(np.isfinite(lots) & (np.abs(lots - np.rint(lots)) > _WHOLE) & (grid.weight > 0))
    if not rows.size:
        return Rounded(out, 0.0, 0.0)
    x, at, lot = shares[rows], start[rows], grid.lot[rows]
    low = at + below[rows] * lot
    ends = np.stack([low, low + lot])
    ends = np.where(ends * x < 0, 0.0, ends)
    e = (ends - x) * grid.weight[rows]
    specific, R = _parts(risk, rows)
    bound = float(np.sqrt((specific * (e**2).min(axis=0)).sum()))
    if how == "toward":
        pick = np.where(x > grid.position[rows], 0, 1)
    else:
        pick = np.abs(e).argmin(axis=0)
        if how == "tracking":
            pick = (
                _exact(e, specific, R) if len(rows) <= _EXACT else _searched(e, _paid(e, pick, specific), specific, R)
            )
        else:
            pick = _paid(e, pick, specific)
    chosen = np.arange(len(rows))
    out[rows] = ends[pick, chosen]
    return Rounded(out, float(np.sqrt(_error(e[pick, chosen], specific, R))), bound)


def _parts(risk: Risk | None, rows: Rows) -> tuple[Vector, Vector]:
    """Specific variances (n,) and exposures (n, K) of these names, of unit factors."""
    if risk is None:
        return np.ones(len(rows)), np.zeros((len(rows), 0))
    from components.optimizers.stating import exposures

    return risk.specific[rows], exposures(risk)[rows]


def _error(e: Vector, specific: Vector, R: Vector) -> float:
    pull = e @ R
    return float((specific * e**2).sum() + pull @ pull)


def _paid(e: Vector, pick: Rows, specific: Vector) -> Rows:
    """The pick with as many names taken down a lot as the money asks for, those first that it harms least."""
    pick = pick.copy()
    chosen = np.arange(e.shape[1])
    over = float(e[pick, chosen].sum())
    if over <= 0:
        return pick
    up = np.flatnonzero(e[pick, chosen] > e.min(axis=0))
    freed = e[pick[up], up] - e.min(axis=0)[up]
    harm = specific[up] * (e.min(axis=0)[up] ** 2 - e[pick[up], up] ** 2) / freed
    order = up[harm.argsort(kind="stable")]
    lower = e.argmin(axis=0)
    for i in order.tolist():
        over -= float(e[pick[i], i] - e[lower[i], i])
        pick[i] = lower[i]
        if over <= 0:
            break
    return pick


def _exact(e: Vector, specific: Vector, R: Vector) -> Rows:
    """The best of all 2^n combinations within the money; the first of several."""
    n = e.shape[1]
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    every = np.where(bits == 1, e[1], e[0])
    error = (specific * every**2).sum(axis=1) + ((every @ R) ** 2).sum(axis=1)
    error[every.sum(axis=1) > 1e-15] = np.inf
    best: Rows = bits[int(error.argmin())]
    return best


def _searched(e: Vector, pick: Rows, specific: Vector, R: Vector) -> Rows:
    """Single changes that lessen the error most, until none does."""
    pick, chosen = pick.copy(), np.arange(e.shape[1])
    own = specific + np.einsum("ij,ij->i", R, R)
    now = e[pick, chosen]
    pull, spent = now @ R, float(now.sum())
    for _ in range(_FLIPS):
        change = e[1 - pick, chosen] - now
        gain = change * (2.0 * (specific * now + R @ pull) + own * change)
        gain[spent + change > 1e-15] = 0.0
        i = int(gain.argmin())
        if not gain[i] < 0:
            break
        pick[i] = 1 - pick[i]
        pull, spent, now[i] = pull + change[i] * R[i], spent + float(change[i]), e[pick[i], i]
    return pick
