"""What expressions may do with the rows of a window: each a function of rows in time order, newest last.

Sums run row by row from the oldest, so the numbers of a name depend neither on how many others there are nor on where
history starts. What is not finite counts as a gap; gaps are left out, and one known value is enough unless said.
"""

from collections.abc import Iterator

import numpy as np

from engine.events import Matrix


def parts(x: Matrix, d: int) -> Iterator[Matrix]:
    """The rows (M, N) of each age within windows of d rows, the oldest first; x has M + d - 1 rows."""
    m = len(x) - d + 1
    return (x[k : k + m] for k in range(d))


def _known(x: Matrix) -> Matrix:
    return np.where(np.isfinite(x), x, np.nan)


def count(x: Matrix, d: int) -> Matrix:
    total = np.zeros(np.shape(x[d - 1 :]))
    for part in parts(x, d):
        total += np.isfinite(part)
    return total


def total(x: Matrix, d: int) -> Matrix:
    out = np.zeros(np.shape(x[d - 1 :]))
    for part in parts(x, d):
        out += np.where(np.isfinite(part), part, 0.0)
    return np.where(count(x, d) > 0, out, np.nan)


def mean(x: Matrix, d: int) -> Matrix:
    return total(x, d) / count(x, d)


def std(x: Matrix, d: int) -> Matrix:
    """With n - 1; NaN for fewer than two."""
    return np.sqrt(_product(x, x, d) / (count(x, d) - 1.0))


def smallest(x: Matrix, d: int) -> Matrix:
    out = _known(x[: len(x) - d + 1])
    for part in parts(x, d):
        out = np.fmin(out, _known(part))
    return out


def largest(x: Matrix, d: int) -> Matrix:
    return -smallest(-x, d)


def quantile(x: Matrix, d: int, q: float) -> Matrix:
    """Linear between the two closest known values."""
    ordered = np.sort(np.stack([_known(part) for part in parts(x, d)]), axis=0)  # NaN last
    n = count(x, d)
    place = q * (n - 1.0)
    below = np.maximum(place, 0.0).astype(int)
    above = np.maximum(np.minimum(below + 1, n - 1), 0).astype(int)
    low, high = (np.take_along_axis(ordered, k[None], axis=0)[0] for k in (below, above))
    return np.asarray(low + (place - below) * (high - low))


def rank(x: Matrix, d: int) -> Matrix:
    """Share of the known values at or below the newest, equal ones by their average rank."""
    newest = x[d - 1 :]
    place = np.zeros(newest.shape)
    for part in parts(x, d):
        place += np.where(part < newest, 1.0, 0.0) + np.where(part == newest, 0.5, 0.0)
    return np.where(np.isfinite(newest), (place + 0.5) / count(x, d), np.nan)


def slope(x: Matrix, d: int) -> Matrix:
    """Of the least-squares line through the known values, per row; NaN for fewer than two."""
    age = np.broadcast_to(np.arange(len(x), dtype=float)[:, None], x.shape)
    at = np.where(np.isfinite(x), age, np.nan)
    return _product(at, x, d) / _product(at, at, d)


def corr(x: Matrix, y: Matrix, d: int) -> Matrix:
    """Pearson over rows where both are known; NaN for fewer than two, or where one of them stands still."""
    both = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(both, x, np.nan), np.where(both, y, np.nan)
    moves = (largest(x, d) > smallest(x, d)) & (largest(y, d) > smallest(y, d))
    return np.where(moves, _product(x, y, d) / np.sqrt(_product(x, x, d) * _product(y, y, d)), np.nan)


def _product(x: Matrix, y: Matrix, d: int) -> Matrix:
    """Sum of products of distances to the means, over rows where both are known."""
    x_mean, y_mean = mean(x, d), mean(y, d)
    out = np.zeros(x_mean.shape)
    for a, b in zip(parts(x, d), parts(y, d), strict=True):
        step = (a - x_mean) * (b - y_mean)
        out += np.where(np.isfinite(step), step, 0.0)
    return out
