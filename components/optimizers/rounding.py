"""Whole lots that stay closest to the weights wanted: pure functions of arrays.

What rounding leaves over is not forgotten: the next rebalance starts from the whole lots that are held.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from components.optimizers.paying import Rows
from engine.events import Matrix, Vector
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
    from components.optimizers.rounding_loops import around

    out = shares.copy()
    # Copies of what may be read-only, for which the loops would be compiled once more.
    rows, ends, e, pick = around(out, np.array(grid.position), np.array(grid.lot), np.array(grid.weight), _WHOLE)
    if not rows.size:
        return Rounded(out, 0.0, 0.0)
    spread = _spread(risk, rows)
    least = e[pick, np.arange(len(rows))]
    bound = float(np.sqrt(spread.specific @ np.square(least)))
    if how == "toward":
        pick = np.where(shares[rows] > grid.position[rows], 0, 1)
    elif how == "tracking":
        pick = _exact(e, spread) if len(rows) <= _EXACT else _searched(e, pick, spread)
    else:
        pick = _paid(e, pick, spread.specific)
    chosen = np.arange(len(rows))
    out[rows] = ends[pick, chosen]
    return Rounded(out, float(np.sqrt(spread.error(e[pick, chosen]))), bound)


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


def _exact(e: Vector, spread: _Spread) -> Rows:
    """The best of all 2^n combinations within the money; the first of several."""
    n = e.shape[1]
    bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    every = np.where(bits == 1, e[1], e[0])
    common = np.einsum("ij,ij->i", every @ spread.G, every) if len(spread.G) else ((every @ spread.R) ** 2).sum(axis=1)
    error = (spread.specific * every**2).sum(axis=1) + common
    error[every.sum(axis=1) > 1e-15] = np.inf
    best: Rows = bits[int(error.argmin())]
    return best


def _searched(e: Vector, pick: Rows, spread: _Spread) -> Rows:
    """Single changes that lessen the error most, until none does."""
    from components.optimizers.rounding_loops import flipped

    pick = _paid(e, pick, spread.specific)
    now = e[pick, np.arange(e.shape[1])]
    own = spread.G.diagonal() if len(spread.G) else np.einsum("ij,ij->i", spread.R, spread.R)
    start = (pick, now, spread.slope(now))
    found: Rows = flipped(e, start, spread.specific, own + spread.specific, (spread.R, spread.G), _FLIPS)
    return found
