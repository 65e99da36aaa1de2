"""Alpha158 by numpy: what the compiled kernel is held against, and what stands in for it where there is no compiler.

Each operator is written for one window (d, N) as its definition says, without sums that windows share. It agrees with
the kernel to 1e-9, not to the last bit.
"""

from typing import Any

import numpy as np

from components.features.window import CLOSE, HIGH, LOW, OPEN, VOLUME, VWAP, Block
from engine.events import Matrix, Vector

_EPS, _FLAT = 1e-12, 2e-5


def alpha158_numpy(block: Block, row: int, windows: tuple[int, ...]) -> Matrix:
    """The 13 + 29 D features (N, 13 + 29 D) of the newest `row`, not finite values as NaN."""
    rows = block[: VWAP + 1, row - windows[-1] : row + 1]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        by_window = [_over(rows, d) for d in windows]
        value = np.stack([*_head(rows[:, -1]), *(x for op in zip(*by_window, strict=True) for x in op)], axis=1)
    value[np.isnan(rows[CLOSE, -1])] = np.nan
    value[~np.isfinite(value)] = np.nan
    return value


def _head(newest: Matrix) -> list[Vector]:
    o, h, l, c = newest[OPEN], newest[HIGH], newest[LOW], newest[CLOSE]  # noqa: E741
    span, top, bottom = h - l + _EPS, np.maximum(o, c), np.minimum(o, c)
    shape = [(c - o) / o, (h - l) / o, (c - o) / span, (h - top) / o, (h - top) / span, (bottom - l) / o]
    shape += [(bottom - l) / span, (2 * c - h - l) / o, (2 * c - h - l) / span]
    return [*shape, o / c, h / c, l / c, newest[VWAP] / c]


def _over(rows: Block, d: int) -> list[Vector]:
    """The 29 features over the newest d rows, in their order."""
    c, before = rows[CLOSE, -d:], rows[CLOSE, -d - 1 : -1]
    v, v_before = rows[VOLUME, -d:], rows[VOLUME, -d - 1 : -1]
    high, low = rows[HIGH, -d:], rows[LOW, -d:]
    now, v_now = c[-1], v[-1] + _EPS
    known = np.isfinite(rows[CLOSE])
    listed = known.shape[0] - np.argmax(known, axis=0)  # bars since the oldest known one, it included
    bars = np.where(known.any(axis=0), np.minimum(listed, d), np.nan)
    slope, square, residual = _line(c)
    top, bottom = np.fmax.reduce(high, axis=0), np.fmin.reduce(low, axis=0)
    high_at, low_at = _place(high, bars, np.argmax, -np.inf), _place(low, bars, np.argmin, np.inf)
    rises, falls = (c > before).sum(axis=0) / bars, (c < before).sum(axis=0) / bars
    move, v_move = c - before, v - v_before
    work = np.abs(c / before - 1) * v
    log_v, grown = np.log(v + 1), np.log(v / v_before + 1)
    return [
        *(rows[CLOSE, -1 - d] / now, _mean(c) / now, _std(c) / now, slope / now, square, residual / now),
        *(top / now, bottom / now, _quantile(c, 0.8) / now, _quantile(c, 0.2) / now, _rank(c)),
        *((now - bottom) / (top - bottom + _EPS), high_at / d, low_at / d, (high_at - low_at) / d),
        *(_corr(c, log_v), _corr(c / before, grown), rises, falls, rises - falls),
        *_balance(move),
        *(_mean(v) / v_now, _std(v) / v_now, _std(work) / (_mean(work) + _EPS)),
        *_balance(v_move),
    ]


def _count(x: Matrix) -> Vector:
    n: Vector = np.isfinite(x).sum(axis=0).astype(float)
    return n


def _mean(x: Matrix) -> Vector:
    mean: Vector = np.where(np.isfinite(x), x, 0.0).sum(axis=0) / _count(x)
    return mean


def _std(x: Matrix) -> Vector:
    off = np.where(np.isfinite(x), x - _mean(x), 0.0)
    spread: Vector = np.sqrt((off * off).sum(axis=0) / (_count(x) - 1))
    moves = np.fmax.reduce(x, axis=0) > np.fmin.reduce(x, axis=0)
    return np.where(moves | np.isnan(spread), spread, 0.0)  # a mean of equal values is rounded


def _line(x: Matrix) -> tuple[Vector, Vector, Vector]:
    """Slope, R^2 and the newest residual of the line through the known values."""
    known = np.isfinite(x)
    at = np.arange(len(x), dtype=float)[:, None]
    at_mean = np.where(known, at, 0.0).sum(axis=0) / known.sum(axis=0)
    u, w = np.where(known, at - at_mean, 0.0), np.where(known, x - _mean(x), 0.0)
    slope = (u * w).sum(axis=0) / (u * u).sum(axis=0)
    square = (u * w).sum(axis=0) ** 2 / ((u * u).sum(axis=0) * (w * w).sum(axis=0))
    square = np.where(_std(x) <= _FLAT, np.nan, square)
    residual: Vector = x[-1] - (_mean(x) + slope * (len(x) - 1 - at_mean))
    return slope, square, residual


def _quantile(x: Matrix, q: float) -> Vector:
    """Linear between the two closest known values."""
    ordered, n = np.sort(x, axis=0), np.isfinite(x).sum(axis=0)  # NaN last
    place = q * (n - 1.0)
    below = np.maximum(place, 0.0).astype(int)
    above = np.maximum(np.minimum(below + 1, n - 1), 0)
    lower, upper = (np.take_along_axis(ordered, k[None], axis=0)[0] for k in (below, above))
    value: Vector = lower + (place - below) * (upper - lower)
    return value


def _rank(x: Matrix) -> Vector:
    """Share of the known values at or below the newest, equal ones by their average rank."""
    rank: Vector = ((x < x[-1]).sum(axis=0) + ((x == x[-1]).sum(axis=0) + 1) / 2) / _count(x)
    return rank


def _place(x: Matrix, bars: Vector, first: Any, behind: float) -> Vector:
    """Position from 1 of the oldest extreme among the newest `bars` rows; a gap among them counts as the extreme.

    `behind` is what no extreme can be, and stands for the rows before them.
    """
    before = len(x) - bars  # NaN where there are none at all, which no row comes before
    rows = np.arange(len(x))[:, None]
    place: Vector = first(np.where(rows < before, behind, x), axis=0) - before + 1
    return place


def _corr(x: Matrix, y: Matrix) -> Vector:
    """Pearson over rows where both are known; NaN where either alone all but stands still."""
    both = np.isfinite(x) & np.isfinite(y)
    u, w = np.where(both, x, np.nan), np.where(both, y, np.nan)
    u, w = np.where(both, u - _mean(u), 0.0), np.where(both, w - _mean(w), 0.0)
    corr = (u * w).sum(axis=0) / np.sqrt((u * u).sum(axis=0) * (w * w).sum(axis=0))
    x, y = np.where(np.isfinite(x), x, np.nan), np.where(np.isfinite(y), y, np.nan)
    still = (_std(x) <= _FLAT) | (_std(y) <= _FLAT) | (both.sum(axis=0) < 2)
    return np.where(still, np.nan, corr)


def _balance(move: Matrix) -> list[Vector]:
    """Rises, falls and their difference over all moves; NaN where none is known."""
    known = np.isfinite(move)
    move = np.where(known, move, 0.0)
    moved = np.where(known.any(axis=0), np.abs(move).sum(axis=0) + _EPS, np.nan)
    up, down = np.maximum(move, 0).sum(axis=0), np.maximum(-move, 0).sum(axis=0)
    return [up / moved, down / moved, (up - down) / moved]
