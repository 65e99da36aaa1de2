"""What made the difference to the benchmark: sectors and factors; and how much of the opinions got into the book."""

from typing import NamedTuple

import numpy as np

from engine.events import Codes, Mask, Matrix, Vector

CASH = "cash"


class Effects(NamedTuple):
    """One slice by sector: (S,) shares of return of the whole portfolio."""

    allocation: Vector
    selection: Vector
    interaction: Vector


def brinson(weight: Vector, benchmark: Vector, growth: Vector, sector: Codes, count: int) -> Effects:
    """Effects (count + 1,) of one slice; the last is cash, which earns nothing.

        allocation = (w - b) (B_s - B)     selection = b (R_s - B_s)     interaction = (w - b) (R_s - B_s)

    `weight` and `benchmark` (N,) are held over the slice, `growth` (N,) what each name returned, `sector` (N,) below
    `count`. R_s and B_s are the returns of a sector in either, B that of the benchmark. All effects together are the
    portfolio's return less the benchmark's. A sector that the benchmark lacks has B_s = B; one whose weights cancel has
    no return of its own, and all of what it earned beyond w B_s is selection.

    Source: Brinson and Fachler (1985), Measuring non-U.S. equity portfolio performance, J. Portfolio Management 11(3).
    """
    whole = count + 1

    def sums(values: Vector) -> Vector:
        return np.bincount(sector, values, whole).astype(np.float64)

    w, b = sums(weight), sums(benchmark)
    earned, base = sums(weight * growth), sums(benchmark * growth)
    w[count], b[count] = 1.0 - weight.sum(), 1.0 - benchmark.sum()
    total = float(base.sum())
    B = np.divide(base, b, out=np.full(whole, total), where=np.abs(b) > 1e-12)
    B[count] = 0.0
    beyond = earned - w * B
    own = (np.abs(w) > 1e-9) & (np.bincount(sector, np.abs(weight), whole) <= np.abs(w) * (1 + 1e-9))
    spread = np.divide(beyond, w, out=np.zeros(whole), where=own)  # R_s - B_s
    selection = np.where(own, b * spread, beyond)
    return Effects((w - b) * (B - total), selection, np.where(own, (w - b) * spread, 0.0))


class Regression:
    """What each factor and the market earned in a slice, for exposures (N, K) that stand for many slices.

        growth = X f + m + u by least squares over the names that have all exposures;   effect_k = (X'active)_k f_k

    Names without an exposure are specific throughout.
    """

    def __init__(self, exposures: Matrix) -> None:
        self.exposures = exposures
        known: Mask = np.logical_and.reduce(np.isfinite(exposures), axis=1)
        count, K = int(np.count_nonzero(known)), exposures.shape[1]
        self._known = slice(None) if count == len(known) else known
        self._X = np.column_stack([exposures[known], np.ones(count)])
        # With so few names every f fits.
        enough = count > K + 1
        self._solve = np.linalg.pinv(self._X, rcond=np.finfo(float).eps * count) if enough else np.zeros((K + 1, count))

    def effects(self, active: Vector, growth: Vector) -> tuple[Vector, float]:
        """(K + 1,) what each factor and, last, the market earned; and what is specific. Together active'growth."""
        effects: Vector = (active[self._known] @ self._X) * (self._solve @ growth[self._known])
        return effects, float(active @ growth - effects.sum())


def transfer_coefficients(active: Matrix, opinion: Vector, volatility: Vector) -> Vector:
    """(M,) correlation of each of M rows of active weights (M, N) times volatility with the opinions.

    Over names that have both; NaN below 3. 1 where every opinion stands in the book in proportion, less the more
    constraints, costs and rounding bind. Opinions are scores; an expected return is divided by the volatility first.

    Source: Clarke, de Silva and Thorley (2002), Portfolio constraints and the fundamental law of active management,
    Financial Analysts Journal 58(5).

    >>> transfer_coefficients(np.array([[0.1, 0.0, -0.1]]), np.array([1.0, 0.0, -1.0]), np.full(3, 0.02)).round(6)
    array([1.])
    """
    known = np.isfinite(opinion) & (volatility > 0)
    if np.count_nonzero(known) < 3:
        return np.full(len(active), np.nan)
    x, z = (active * volatility)[:, known], opinion[known]
    x, z = x - x.mean(axis=1, keepdims=True), z - z.mean()
    size = np.sqrt(np.einsum("ij,ij->i", x, x) * (z @ z))
    found: Vector = np.divide(x @ z, size, out=np.full(len(active), np.nan), where=size > 0)
    return found


def carino(returns: Vector, benchmark: Vector) -> Vector:
    """k by slice, or of the whole: effects of slice t times k_t / k add up to the difference over all slices.

        k = (ln(1 + R) - ln(1 + B)) / (R - B)

    Returns must be above -100 %: below there is no logarithm.

    Source: Carino (1999), Combining attribution effects over time, J. Performance Measurement 3(4).

    >>> carino(np.array([0.1, 0.0]), np.array([0.0, 0.0])).round(6)
    array([0.953102, 1.      ])
    """
    r, b = np.asarray(returns, np.float64), np.asarray(benchmark, np.float64)
    same = np.abs(r - b) < 1e-12
    gap = np.where(same, 1.0, r - b)
    slope: Vector = np.where(same, 1.0 / (1.0 + b), (np.log1p(r) - np.log1p(b)) / gap)
    return slope
