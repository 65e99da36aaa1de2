"""Linear regression from sums over the rows: least squares, ridge, lasso, non-negative."""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.events import Matrix, Vector

_BLOCK = 1 << 14  # rows made float64 at a time: bounds memory
_RANK = 1e-10  # directions of less than this share of the largest variance are taken for none
_CONSTANT = 1e-7  # a spread below this share of the mean is the rounding of float32
_SWEEPS_MAX, _GAP = 5_000, 1e-10


class Sums(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """All that a linear model needs to know of its rows. z = (x - mean) / scale, and 0 where x is not known."""

    mean: Vector  # (F,) where known
    scale: Vector  # (F,) what x is divided by
    spread: Vector  # (F,) standard deviation of x - mean, 0 = it is constant or never known
    gram: Matrix  # (F, F) mean of z z'
    moment: Vector  # (F,) mean of z (y - middle)
    middle: float  # mean of y
    power: float  # mean of (y - middle) ** 2


class Plane(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """y = middle + sum over f of slope_f (x_f - mean_f), where what is not known adds nothing."""

    middle: float
    slope: Vector  # (F,)
    mean: Vector  # (F,)

    def answers(self, rows: NDArray[Any]) -> Vector:
        """(R,) of rows (R, F). Added column by column: a row has the same bits in whatever company it comes."""
        out = np.empty(len(rows))
        used = np.flatnonzero(self.slope)
        for start in range(0, len(rows), _BLOCK):
            x = rows[start : start + _BLOCK, used].T.astype(np.float64)
            known = np.isfinite(x)
            total = np.full(x.shape[1], self.middle)
            for f, column, there in zip(used, x, known, strict=True):
                total += np.where(there, self.slope[f] * (column - self.mean[f]), 0.0)
            out[start : start + _BLOCK] = total
        return out


def summed(features: NDArray[Any], label: Vector, weight: Vector | None, scaled: bool) -> Sums:
    """Sums over rows (R, F), each weighed. `scaled` divides each feature by its standard deviation."""
    w = np.ones(len(label)) if weight is None else weight * (len(weight) / weight.sum())
    count, width = features.shape
    known_w, first, second = np.zeros(width), np.zeros(width), np.zeros(width)
    for x, part in _blocks(features):
        known_w += w[part] @ np.isfinite(x).astype(np.float64)
        first += w[part] @ np.where(np.isfinite(x), x, 0.0)
    mean = np.where(known_w > 0, first / np.where(known_w > 0, known_w, 1.0), 0.0)
    for x, part in _blocks(features):
        off = np.where(np.isfinite(x), x - mean, 0.0)
        second += w[part] @ (off * off)
    spread = np.sqrt(second / count)
    spread = np.where(spread > _CONSTANT * np.abs(mean), spread, 0.0)
    scale = np.where((spread > 0) & scaled, spread, 1.0)
    middle = float(w @ label) / count
    gram, moment = np.zeros((width, width)), np.zeros(width)
    for x, part in _blocks(features):
        z = np.where(np.isfinite(x) & (spread > 0), (x - mean) / scale, 0.0)
        gram += z.T @ (w[part, None] * z)
        moment += z.T @ (w[part] * (label[part] - middle))
    power = float(w @ (label - middle) ** 2) / count
    return Sums(
        mean=mean, scale=scale, spread=spread, gram=gram / count, moment=moment / count, middle=middle, power=power
    )


def _blocks(features: NDArray[Any]) -> Iterator[tuple[Matrix, slice]]:
    for start in range(0, len(features), _BLOCK):
        part = slice(start, start + _BLOCK)
        x = features[part].astype(np.float64)
        yield np.where(np.isfinite(x), x, np.nan), part


def plane(of: Sums, kind: str, alpha: float) -> Plane:
    """The plane that minimises, over w, with everything in z:

        ols    1/2 mean (y - z w)^2                        of several such planes that of least |w|
        ridge  1/2 mean (y - z w)^2 + alpha / 2 |w|_2^2
        lasso  1/2 mean (y - z w)^2 + alpha |w|_1
        nnls   1/2 mean (y - z w)^2                        with w >= 0

    A mean, not a sum: the same alpha does for any number of rows.
    """
    if kind == "lasso":
        w = _lasso(of, alpha)
    elif kind == "nnls":
        w = _non_negative(of)
    else:
        size, axes = np.linalg.eigh(of.gram)
        kept = size > _RANK * max(size[-1], 1e-300)
        turned = axes.T @ of.moment
        w = axes @ np.where(kept, turned / np.where(kept, size + (alpha if kind == "ridge" else 0.0), 1.0), 0.0)
    return Plane(middle=of.middle, slope=np.where(of.spread > 0, w / of.scale, 0.0), mean=of.mean)


def _non_negative(of: Sums) -> Vector:
    """By active sets, on a square root of the sums: it has the same minimum as all the rows."""
    from scipy.optimize import nnls

    size, axes = np.linalg.eigh(of.gram)
    kept = size > _RANK * max(size[-1], 1e-300)
    if not kept.any():
        return np.zeros(len(of.moment))
    root = np.sqrt(size[kept])
    found: Vector = nnls(root[:, None] * axes.T[kept], axes.T[kept] @ of.moment / root)[0]
    return found


def _lasso(of: Sums, alpha: float) -> Vector:
    """Coordinate descent until the duality gap is 1e-10 of the label's power.

    Source: Friedman, Hastie, Tibshirani (2010), Regularization paths for generalized linear models, section 2.2.
    """
    w, left = np.zeros(len(of.moment)), of.moment.copy()  # left = moment - gram w
    size = np.diag(of.gram).copy()
    moving = np.flatnonzero(size > 0)
    for _ in range(_SWEEPS_MAX):
        for j in moving:
            reach = left[j] + size[j] * w[j]
            new = np.sign(reach) * max(abs(reach) - alpha, 0.0) / size[j]
            if new != w[j]:
                left -= of.gram[j] * (new - w[j])
                w[j] = new
        if _gap(of, w, left, alpha) <= _GAP * of.power:
            break
    return w


def _gap(of: Sums, w: Vector, left: Vector, alpha: float) -> float:
    """By how much at most the lasso's objective at w exceeds its minimum."""
    explained = float(of.moment @ w)
    residual = of.power - explained - float(left @ w)  # mean squared
    steepest = float(np.abs(left).max(initial=0.0))
    share = min(1.0, alpha / steepest) if steepest > 0 else 1.0
    primal = 0.5 * residual + alpha * float(np.abs(w).sum())
    return primal - share * (of.power - explained) + 0.5 * share * share * residual
