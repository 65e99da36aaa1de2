"""How well a signal orders the names: information coefficients slice by slice, and what their mean is worth."""

import math

import msgspec
import numpy as np

from components.metrics.error_bars import shared_variance
from engine.events import Mask, Matrix, Vector

PAIRS_MIN = 3  # names with a signal and a return that a slice needs before a correlation means anything


def pearson(x: Matrix, y: Matrix, /) -> Vector:
    """Correlation of each row of x with the same row of y.

        IC_t = sum_i dx_ti dy_ti / sqrt(sum_i dx_ti^2 sum_i dy_ti^2),   d = deviation from the mean of the row

    (T, N) and (T, N) to (T,). A pair with a value that is not finite is left out. NaN where fewer than PAIRS_MIN
    pairs are left or a side is constant.

    >>> pearson(np.array([[1.0, 2.0, 3.0, np.nan]]), np.array([[2.0, 4.0, 6.0, 9.0]]))
    array([1.])
    """
    x, y, gone = _paired(x, y)
    return _correlation(x, y, gone)


def spearman(x: Matrix, y: Matrix, /) -> Vector:
    """Rank correlation of each row: `pearson` of the average ranks among the pairs of the row. (T, N) to (T,).

    >>> spearman(np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[1.0, 8.0, 27.0, 64.0]]))
    array([1.])
    """
    x, y, gone = _paired(x, y)
    return _correlation(ranks(x), ranks(y), gone)


def both(x: Matrix, y: Matrix, /) -> tuple[Vector, Vector, Vector]:
    """`pearson`, `spearman` and the number of pairs of each row, for the price of one look at which pairs count."""
    x, y, gone = _paired(x, y)
    pairs = np.full(len(x), float(x.shape[1]))
    if gone is not None:
        pairs -= np.count_nonzero(gone, axis=1)
    return _correlation(x, y, gone), _correlation(ranks(x), ranks(y), gone), pairs


def ranks(x: Matrix, /) -> Matrix:
    """Rank 1..n of each value within its row; equal values share the mean of their ranks, NaN stays NaN.

    (T, N) without infinities to (T, N).

    >>> ranks(np.array([[30.0, 10.0, 10.0, np.nan]]))
    array([[3. , 1.5, 1.5, nan]])
    """
    known = ~np.isnan(x)
    whole = bool(known.all())
    filled = x if whole else np.where(known, x, np.inf)  # sorting NaN is three times slower
    rows, width = x.shape
    order = np.argsort(filled, axis=1)
    order += width * np.arange(rows)[:, None]  # places in the flat array: half the time of two axes
    ordered = filled.reshape(-1)[order]
    same = ordered[:, 1:] == ordered[:, :-1]
    if not whole:
        same &= ordered[:, 1:] < np.inf
    out = np.empty(rows * width)
    out[order] = _shared(same) if same.any() else np.arange(1.0, width + 1)
    if not whole:
        out[~known.reshape(-1)] = np.nan
    return out.reshape(x.shape)


def _shared(same: Mask) -> Matrix:
    """Ranks of rows in order, where `same` (T, N-1) says that a value equals the next: a run shares its mean."""
    rows, width = same.shape[0], same.shape[1] + 1
    place = np.tile(np.arange(1.0, width + 1), (rows, 1))
    at = np.flatnonzero(np.hstack([same, np.zeros((rows, 1), bool)]))
    begins = np.append(True, np.diff(at) > 1)  # a run never reaches into the next row: its last place is False
    run = np.cumsum(begins) - 1
    first = at[begins]
    last = at[np.append(begins[1:], True)] + 1
    mean = (first % width + last % width) / 2 + 1
    flat = place.reshape(-1)
    flat[at] = flat[at + 1] = mean[run]
    return place


def _paired(x: Matrix, y: Matrix) -> tuple[Matrix, Matrix, Mask | None]:
    """Both sides with NaN wherever either is not finite, and where that is; None = nowhere."""
    gone = ~np.isfinite(x + y)  # one look at both; a sum that overflows is no usable pair either
    if not gone.any():
        return x, y, None
    return np.where(gone, np.nan, x), np.where(gone, np.nan, y), gone


def _correlation(x: Matrix, y: Matrix, gone: Mask | None) -> Vector:
    n = np.full(len(x), x.shape[1]) if gone is None else x.shape[1] - np.count_nonzero(gone, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        dx, dy = _deviation(x, gone, n), _deviation(y, gone, n)
        top = np.einsum("ij,ij->i", dx, dy)
        value = top / np.sqrt(np.einsum("ij,ij->i", dx, dx) * np.einsum("ij,ij->i", dy, dy))
    enough: Mask = (n >= PAIRS_MIN) & _varies(x, gone) & _varies(y, gone)
    return np.where(enough, np.clip(value, -1.0, 1.0), np.nan)


def _deviation(x: Matrix, gone: Mask | None, n: Vector) -> Matrix:
    if gone is None:
        deviation: Matrix = x - (x.sum(axis=1) / n)[:, None]
        return deviation
    filled = np.where(gone, 0.0, x)
    filled -= (filled.sum(axis=1) / n)[:, None]
    filled[gone] = 0.0
    return filled


def _varies(x: Matrix, gone: Mask | None) -> Mask:
    """A constant row has a variance of rounding errors only, so it is told by its values."""
    if not x.size:
        return np.zeros(len(x), bool)
    if gone is None:
        varies: Mask = x.max(axis=1) > x.min(axis=1)
    else:
        varies = np.fmax.reduce(x, axis=1) > np.fmin.reduce(x, axis=1)
    return varies


class Coefficient(msgspec.Struct, frozen=True, kw_only=True):
    """The mean of an information coefficient over the slices that have one, and what it is worth. NaN = unknown."""

    mean: float
    std: float  # ddof 1
    ratio: float  # mean / std: the ICIR, not annualised
    t: float  # mean over its standard error
    slices: int


def coefficient(ic: Vector, *, overlap: int = 1) -> Coefficient:
    """Mean, ICIR and t-statistic of a series of coefficients; NaN slices are left out.

        t = mean / sqrt(S / (n - 1))

    `overlap` is the horizon in slices: labels of one horizon share slices, so their coefficients are correlated, and S
    is `shared_variance`; with 1 it is the variance (divisor n), and t the plain t-statistic.

    >>> coefficient(np.array([0.1, 0.3])).mean
    0.2
    """
    x = ic[np.isfinite(ic)]
    n = len(x)
    mean = float(x.mean()) if n else math.nan
    if n < 2:
        return Coefficient(mean=mean, std=math.nan, ratio=math.nan, t=math.nan, slices=n)
    d = x - mean
    spread = shared_variance(d, overlap) if overlap > 1 else float(d @ d) / n
    std = float(x.std(ddof=1))
    if x.max() == x.min():
        return Coefficient(mean=mean, std=0.0, ratio=math.nan, t=math.nan, slices=n)
    t = mean / math.sqrt(spread / (n - 1)) if spread > 0 else math.nan
    return Coefficient(mean=mean, std=std, ratio=mean / std, t=t, slices=n)
