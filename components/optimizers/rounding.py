"""Whole lots that stay closest to the weights wanted: pure functions of arrays.

What rounding leaves over is not forgotten: the next rebalance starts from the whole lots that are held.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from components.optimizers.paying import Rows
from components.optimizers.problem import Limits
from components.optimizers.rounding_limits import Grid, Missed, Within, bounds_of, missed_of, unlimited, within_of
from engine.events import Matrix, Vector
from engine.protocols import Risk

RoundingName: TypeAlias = Literal["toward", "nearest", "tracking"]
ROUNDINGS: tuple[RoundingName, ...] = ("toward", "nearest", "tracking")
_EXACT = 10  # names whose every combination is looked at
_FLIPS = 48  # changes of one name by a lot, after the first guess
_BEYOND = 1e-13  # of equity: what adding up leaves beyond a limit
_WHOLE = 1e-9  # of a lot: what a division may leave beside a whole number


@dataclass(frozen=True, slots=True)
class Rounded:
    """Shares in whole lots, and how far they are from those wanted."""

    shares: Vector  # (N,) NaN where nothing was wanted
    error: float  # standard deviation over one slice of what rounding changed, as a share of equity
    bound: float  # no choice of whole lots within the same money has less
    missed: tuple[Missed, ...] = ()


def rounded_shares(
    shares: Vector, grid: Grid, risk: Risk | None, how: RoundingName, limits: Limits | None = None
) -> Rounded:
    """Each name at one of the two lots around what is wanted, no sign changed, no more spent than wanted.

        minimise  e' S e,   e_i = (rounded_i - shares_i) weight_i      subject to  sum e <= 0 and the limits

    `tracking` starts from the nearest lots, takes back what costs least until the money suffices, and then moves single
    names by a lot while that lessens the error, at most 48 times; up to 10 names are tried in every combination, which
    is exact. Without a risk estimate S is the identity. `bound` is that of the specific risks alone at the nearest
    lots: S is at least their diagonal. `nearest` leaves out the search, `toward` rounds each trade toward the position.

    Lots are counted from the position where it is kept or changed, and from 0 where it is opened or turned over.

    Whole lots keep every limit that the weights keep, and are no farther beyond one than these. Bounds say which lots
    there are; rows and sums of trades are mended by the changes that cost least risk, up to three lots from what is
    wanted, or no trade. A row narrower than a lot keeps its upper side, and the lower within that lot; the sum of all
    may be less by a lot for each limit that binds. A limit that no lots nearby keep to 1e-6 of equity is told in
    `missed`; a name without an allowed lot is not traded, or not opened.
    """
    from components.optimizers.rounding_loops import around

    out, limits = shares.copy(), unlimited(len(shares)) if limits is None else limits
    # Copies of what may be read-only, for which the loops would be compiled once more.
    plane = np.array(grid.position), np.array(grid.lot), np.array(grid.weight)
    rows, at, errors, many, inner, none = around(out, plane, bounds_of(limits, grid.most), _WHOLE)
    if not rows.size:
        return Rounded(out, 0.0, 0.0)
    n, spread = len(rows), _spread(risk, rows)
    chosen = np.arange(n)
    e = errors[chosen, inner]
    near = np.where(np.abs(e[0]) <= np.abs(e[1]), 0, 1)
    bound = float(np.sqrt(spread.specific @ np.square(e[near, chosen])))
    within = within_of(limits, plane, out, rows, np.inf if how == "toward" else grid.room)
    side = np.where(shares[rows] > grid.position[rows], 0, 1) if how == "toward" else near
    found = _exact(e, spread, within) if how == "tracking" and n <= _EXACT else None
    if found is None:
        side = side if how == "toward" else _paid(e, side, spread.specific)
        pick, over = _searched(
            (errors, many, inner), inner[side, chosen], within, spread, _FLIPS if how == "tracking" else 0
        )
    else:
        pick, over = inner[found, chosen], 0.0
    out[rows], e = at[chosen, pick], errors[chosen, pick]
    error = float(np.sqrt(spread.error(e)))
    missed = missed_of(within, limits, rows, e, none) if over > _BEYOND or np.count_nonzero(none) else ()
    return Rounded(out, error, bound, missed)


@dataclass(frozen=True, slots=True)
class _Spread:
    """S of the n names that are rounded: specific (n,) and either exposures R (n, K) of unit factors or G = R R'."""

    specific: Vector
    R: Matrix
    G: Matrix  # (0, 0) where R is given

    def error(self, e: Vector) -> float:
        common = e @ self.slope(e) if len(self.G) else np.square(e @ self.R).sum()
        return max(float(self.specific @ (e * e) + common), 0.0)

    def slope(self, e: Vector) -> Vector:
        """(n,) R R' e."""
        found: Vector = self.G @ e if len(self.G) else self.R @ (e @ self.R)
        return found


def _spread(risk: Risk | None, rows: Rows) -> _Spread:
    none = np.zeros((0, 0))
    if risk is None:
        return _Spread(np.ones(len(rows)), np.zeros((len(rows), 0)), none)
    from components.optimizers.stating import exposures, product

    C = product(risk)
    if C is None:
        return _Spread(risk.specific[rows], exposures(risk)[rows], none)
    return _Spread(risk.specific[rows], np.zeros((len(rows), 0)), C[rows[:, None], rows])


def _paid(e: Vector, pick: Rows, specific: Vector) -> Rows:
    from components.optimizers.rounding_loops import paid

    found: Rows = paid(e, pick, specific)
    return found


def _exact(e: Matrix, spread: _Spread, within: Within) -> Rows | None:
    """The best of all 2^n combinations within the limits, the first of several; None where there is none."""
    n = e.shape[1]
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    every = np.where(bits == 1, e[1], e[0])
    common = np.einsum("ij,ij->i", every @ spread.G, every) if len(spread.G) else ((every @ spread.R) ** 2).sum(axis=1)
    error = (spread.specific * every**2).sum(axis=1) + common
    value = every @ within.M.T
    error[((value > within.high + _BEYOND) | (value < within.low - _BEYOND)).any(axis=1)] = np.inf
    best = int(error.argmin())
    found: Rows = bits[best]
    return found if np.isfinite(error[best]) else None


def _searched(
    places: tuple[Matrix, Rows, Rows], pick: Rows, within: Within, spread: _Spread, flips: int
) -> tuple[Rows, float]:
    """Single changes: within the limits first, then those that lessen the error most, until none does."""
    from components.optimizers.rounding_loops import searched

    own = spread.G.diagonal() if len(spread.G) else np.einsum("ij,ij->i", spread.R, spread.R)
    parts = spread.G, spread.R, spread.specific, own + spread.specific
    found: tuple[Rows, float] = searched(places, pick, (within.M, within.low, within.high), parts, flips)
    return found
