"""The numbers of the rolling features: one pure function of a window of bars.

Every sum is taken over the rows of the window afresh, so a value never depends on where history starts, and batch and
stream cannot differ: both call `rolling_features`.
"""

import math
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.events import Mask, Matrix, Vector

Block: TypeAlias = NDArray[np.float64]  # (5, W, N): open, high, low, close, volume; the newest row last

CODE_VERSION = 1  # part of the schema: another number whenever a value below would differ
_SINGLE = ("return_1", "gap", "intraday", "range")
_PER_WINDOW = ("return", "volatility", "reversal", "distance", "position", "balance", "activity", "surprise", "shock")


def feature_names(windows: tuple[int, ...]) -> tuple[str, ...]:
    """Names of the columns, in order.

    >>> feature_names((5,))[:6]
    ('return_1', 'gap', 'intraday', 'range', 'return_5', 'volatility_5')
    """
    return (*_SINGLE, *(f"{name}_{w}" for w in windows for name in _PER_WINDOW if w > 1 or name != "return"))


class _Columns(NamedTuple):
    """What all windows share; `r` and `log_volume` are zero where they are not known."""

    close: Matrix
    high: Matrix
    low: Matrix
    known: Mask
    r: Matrix  # (W - 1, N) log return of each bar
    r_known: Mask
    log_volume: Matrix
    v_known: Mask


def rolling_features(block: Block, windows: tuple[int, ...]) -> Matrix:
    """The features (N, F) of the newest row of a window of at least max(windows) + 1 rows.

    With r_t = log(close_t / close_{t-1}), over the newest w bars, v = log volume:

        return_1   = r_t                                  gap      = log(open_t / close_{t-1})
        intraday   = log(close_t / open_t)                range    = log(high_t / low_t)
        return_w   = log(close_t / close_{t-w})           volatility_w = std of r
        reversal_w = -return_w / (volatility_w sqrt(w))   distance_w = log(close_t / mean close)
        position_w = (close_t - lowest) / (highest - lowest)
        balance_w  = sum of rises / sum of |r|, rises and falls in log returns
        activity_w = v_t - mean v                         surprise_w = (v_t - mean v') / std v', v' the w before t
        shock_w    = -surprise_w r_t / volatility_w

    Prices must be adjusted to the newest row's terms. NaN policy: a name whose newest bar is missing has NaN
    throughout; statistics over a window leave missing bars out and are NaN with fewer than max(2, w / 2) of them, or
    where nothing moves. A volume of zero counts as unknown.
    """
    opening, high, low, close, volume = block
    known = close > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.log(close[1:] / close[:-1])
        log_volume = np.log(volume)
        r_known, v_known = np.isfinite(r), np.isfinite(log_volume)
        columns = _Columns(
            close, high, low, known, np.where(r_known, r, 0.0), r_known, np.where(v_known, log_volume, 0.0), v_known
        )
        rows = [r[-1], np.log(opening[-1] / close[-2]), np.log(close[-1] / opening[-1]), np.log(high[-1] / low[-1])]
        for w in windows:
            rows += _over_window(columns, w)
    value = np.stack(rows)
    value[:, ~known[-1]] = np.nan
    value[~np.isfinite(value)] = np.nan
    return np.ascontiguousarray(value.T)


def _over_window(columns: _Columns, w: int) -> list[Vector]:
    enough = max(2, math.ceil(w / 2))
    r, r_known, close = columns.r[-w:], columns.r_known[-w:], columns.close
    trailing = np.log(close[-1] / close[-1 - w])
    volatility, _ = _spread(r, r_known, enough)
    known = columns.known[-w:]
    count = known.sum(axis=0)
    mean = np.where(known, close[-w:], 0.0).sum(axis=0) / np.where(count >= enough, count, np.nan)
    highest = np.where(known, columns.high[-w:], -np.inf).max(axis=0)
    lowest = np.where(known, columns.low[-w:], np.inf).min(axis=0)
    span = np.where((highest > lowest) & (count >= enough), highest - lowest, np.nan)
    moved = np.abs(r).sum(axis=0)
    moved = np.where((moved > 0) & (r_known.sum(axis=0) >= enough), moved, np.nan)
    v, v_known = columns.log_volume[-1 - w : -1], columns.v_known[-1 - w : -1]
    v_spread, v_mean = _spread(v, v_known, enough)
    newest = np.where(columns.v_known[-1], columns.log_volume[-1], np.nan)
    surprise = (newest - v_mean) / v_spread
    recent, recent_known = columns.log_volume[-w:], columns.v_known[-w:]
    v_count = recent_known.sum(axis=0)
    activity = newest - recent.sum(axis=0) / np.where(v_count >= enough, v_count, np.nan)
    rows = [
        trailing,
        volatility,
        -trailing / (volatility * math.sqrt(w)),
        np.log(close[-1] / mean),
        (close[-1] - lowest) / span,
        np.maximum(r, 0.0).sum(axis=0) / moved,
        activity,
        surprise,
        -surprise * np.where(r_known[-1], r[-1], np.nan) / volatility,
    ]
    return rows if w > 1 else rows[1:]


def _spread(x: Matrix, known: Mask, enough: int) -> tuple[Vector, Vector]:
    """Standard deviation (with n - 1) and mean over the known rows; NaN with too few, or where nothing moves."""
    count = known.sum(axis=0)
    mean = x.sum(axis=0) / np.where(count >= enough, count, np.nan)
    off = np.where(known, x - mean, 0.0)
    spread = np.sqrt((off * off).sum(axis=0) / (count - 1.0))
    # A constant column leaves only rounding behind; dividing by that would make noise of it.
    return np.where(spread > 1e-12, spread, np.nan), mean
