"""The limits of a problem as whole lots see them: pure functions of arrays."""

from dataclasses import dataclass

import numpy as np

from components.optimizers.paying import Rows
from components.optimizers.problem import HARD, Limits, Problem
from engine.events import Mask, Matrix, Vector

_TOLD = 1e-6  # of equity: a violation below it is none


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the whole lots lie: positions now, shares a lot, and what a share is of equity. (N,) each."""

    position: Vector
    lot: Vector
    weight: Vector  # unit / equity
    most: Vector | None = None  # shares that may be traded, NaN = not known
    room: float = 0.0  # what a trade takes beside its value, as a share of it


@dataclass(frozen=True, slots=True)
class Missed:
    """A limit that no whole lots nearby keep: by how much of equity, and which names were rounded in it by how much."""

    name: str
    by: float
    rows: Rows
    errors: Vector


@dataclass(frozen=True, slots=True)
class Within:
    """Rows (r, n) of the n names that are rounded, and what they may be at the errors: low <= M e <= high."""

    M: Matrix
    low: Vector
    high: Vector


def limits_of(problem: Problem) -> Limits:
    """What must hold of the problem's weights. Caps on risk are not among it: they are no sums of names."""
    hard = problem.row_soft == HARD
    every = np.count_nonzero(hard) == len(hard)
    least = [piece.least_weight for piece in problem.counted if piece.least_weight is not None]
    trade = [piece.least_trade for piece in problem.counted if piece.least_trade is not None]
    return Limits(
        lower=problem.lower,
        upper=problem.upper,
        A=problem.A,
        low=problem.low if every else np.where(hard, problem.low, -np.inf),
        high=problem.high if every else np.where(hard, problem.high, np.inf),
        names=problem.names,
        row_by=problem.row_by,
        turnover=min((cap.limit for cap in problem.turnover if cap.soft == HARD), default=HARD),
        gross=min((cap.limit for cap in problem.gross if cap.soft == HARD), default=HARD),
        least_weight=np.maximum.reduce(least) if least else None,
        least_trade=np.maximum.reduce(trade) if trade else None,
    )


def unlimited(n: int) -> Limits:
    """No limits of n names."""
    zero, endless = np.zeros(0), np.full(n, np.inf)
    codes = np.zeros(0, np.int32)
    return Limits(lower=-endless, upper=endless, A=np.zeros((0, n)), low=zero, high=zero, names=(), row_by=codes)


def bounds_of(limits: Limits, most: Vector | None) -> tuple[Vector, ...]:
    """(N,) each: least and most weight, what a position and a trade are at least, the most shares of a trade."""
    n = len(limits.lower)
    least = np.zeros(n) if limits.least_weight is None else np.array(limits.least_weight)
    trade = np.zeros(n) if limits.least_trade is None else np.array(limits.least_trade)
    free = np.full(n, np.inf) if most is None else np.array(most)
    return np.array(limits.lower), np.array(limits.upper), least, trade, free


def within_of(limits: Limits, plane: tuple[Vector, ...], shares: Vector, rows: Rows, room: float) -> Within:
    """What errors of the rounded names may add up to; no more is spent than wanted, unless `room` is infinite."""
    from components.optimizers.rounding_loops import framed

    A = limits.A if limits.A.flags.writeable and limits.A.flags.c_contiguous else np.array(limits.A, order="C")
    given = A, np.array(limits.low), np.array(limits.high)
    caps = limits.turnover, limits.gross
    return Within(*framed(given, caps, shares, plane, rows, room))


def missed_of(within: Within, limits: Limits, rows: Rows, e: Vector, none: Mask) -> tuple[Missed, ...]:
    """The limits that the errors break, and the names for which no lot is allowed."""
    value, found = within.M @ e, []
    by = np.maximum(value - within.high, within.low - value)
    for r in (by > _TOLD).nonzero()[0].tolist():
        named = ("money", *(limits.names[j] for j in limits.row_by.tolist()), "turnover", "gross")
        own = np.flatnonzero(within.M[r])
        found.append(Missed(named[r], float(by[r]), rows[own], e[own]))
    if np.count_nonzero(none):
        found.append(Missed("bounds", float(np.abs(e[none]).max()), rows[none], e[none]))
    return tuple(found)
