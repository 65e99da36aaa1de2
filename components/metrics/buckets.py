"""What becomes of the names that a signal puts on top and at the bottom: returns, turnover, precision."""

import numpy as np

from components.metrics.signal import PAIRS_MIN, ranks, spearman
from engine.events import Codes, Mask, Matrix, Vector


def buckets(score: Matrix, count: int) -> Codes:
    """(T, N) the bucket of each name by its score, 0 = lowest to count - 1; -1 = no opinion.

        bucket = floor((rank - 1/2) count / n)

    `rank` is the mean rank among the n names of the slice with a finite score, whether or not their label will be
    known. Equal scores share a bucket: the order of the universe decides nothing, and a constant score fills the
    middle only. A slice with fewer names than buckets has none. ValueError for fewer than two buckets.

    >>> buckets(np.array([[0.3, 0.1, np.nan, 0.2, 0.4]]), 2)
    array([[ 1,  0, -1,  0,  1]], dtype=int32)
    """
    if count < 2:
        raise ValueError(f"buckets must be at least 2, got {count}")
    rank = ranks(np.where(np.isfinite(score), score, np.nan))
    known = np.isfinite(rank)
    n = np.count_nonzero(known, axis=1)[:, None]
    doubled = np.where(known, 2 * rank, 0.0).astype(np.int64)  # whole numbers, so that no rounding moves a name
    place = (doubled - 1) * count // np.maximum(2 * n, 1)
    return np.where(known & (n >= count), place, -1).astype(np.int32)


def bucket_means(bucket: Codes, label: Matrix, count: int) -> Matrix:
    """(T, count) the mean of the known labels of each bucket, names weighted equally; NaN where it has none.

    >>> bucket_means(np.array([[0, 0, 1, -1]]), np.array([[0.1, 0.3, np.nan, 0.5]]), 2)
    array([[0.2, nan]])
    """
    known = np.isfinite(label) & (bucket >= 0)
    at = (bucket + count * np.arange(len(bucket))[:, None])[known]
    total = np.bincount(at, label[known], len(bucket) * count)
    names = np.bincount(at, minlength=len(bucket) * count)
    with np.errstate(invalid="ignore"):
        return (total / np.where(names, names, np.nan)).reshape(len(bucket), count)


def monotonicity(means: Vector) -> float:
    """Rank correlation of the mean returns of buckets (B,) with their order: 1 = each step up earns more.

    NaN for fewer than three buckets or where one is unknown.

    >>> round(monotonicity(np.array([0.0, 0.1, 0.3, 0.2])), 9)
    0.8
    """
    if not np.isfinite(means).all() or len(means) < PAIRS_MIN:
        return float("nan")
    return float(spearman(means[None], np.arange(float(len(means)))[None])[0])


def turnover(inside: Mask, lag: int = 1) -> Vector:
    """(T - lag,) the share of the names now `inside` (T, N) a bucket that were not `lag` slices before.

    NaN where the bucket is or was empty.

    >>> turnover(np.array([[True, True, False], [True, False, True]]))
    array([0.5])
    """
    now, before = inside[lag:], inside[: max(0, len(inside) - lag)]
    stayed = np.count_nonzero(now & before, axis=1)
    size = np.count_nonzero(now, axis=1)
    there = (size > 0) & before.any(axis=1)
    found: Vector = np.where(there, 1 - stayed / np.maximum(size, 1), np.nan)
    return found


def rank_autocorrelation(score: Matrix, lag: int = 1) -> Vector:
    """(T - lag,) rank correlation of the scores of a slice with those `lag` slices before, over names with both.

    >>> rank_autocorrelation(np.array([[1.0, 2.0, 3.0], [1.0, 5.0, 9.0], [3.0, 2.0, 1.0]]))
    array([ 1., -1.])
    """
    return spearman(score[lag:], score[: max(0, len(score) - lag)])


def share_of(wanted: Mask, among: Mask) -> Vector:
    """(T,) the share of the names `among` (T, N) that are `wanted`; NaN where there are none.

    >>> share_of(np.array([[True, False, True]]), np.array([[True, True, False]]))
    array([0.5])
    """
    size = np.count_nonzero(among, axis=1)
    found: Vector = np.where(size > 0, np.count_nonzero(wanted & among, axis=1) / np.maximum(size, 1), np.nan)
    return found


def less_mean(x: Matrix) -> Matrix:
    """(T, N) each value less the mean of the finite ones of its slice; what is not finite becomes NaN."""
    known = np.isfinite(x)
    filled = np.where(known, x, 0.0)
    mean = filled.sum(axis=1) / np.maximum(np.count_nonzero(known, axis=1), 1)
    found: Matrix = np.where(known, filled - mean[:, None], np.nan)
    return found


def forward(label: Matrix, horizon: int) -> Matrix:
    """(T, N) labels over `horizon` slices from labels over one: compounded, NaN where any of them is unknown.

        y_t = prod_{k=0}^{horizon-1} (1 + label_{t+k}) - 1

    The last horizon - 1 slices have none.

    >>> forward(np.array([[0.1], [0.2], [0.0]]), 2).round(6)
    array([[0.32], [0.2 ], [ nan]])
    """
    if horizon < 1:
        raise ValueError(f"horizon must be at least 1 slice, got {horizon}")
    count = max(0, len(label) - horizon + 1)
    out = np.full(label.shape, np.nan)
    grown = np.ones((count, label.shape[1]))
    for k in range(horizon):
        grown *= 1 + label[k : k + count]
    out[:count] = grown - 1
    return out
