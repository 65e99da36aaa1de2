"""How a window of rows becomes a covariance: weights by age, missing values, serial correlation."""

from dataclasses import dataclass

import numpy as np

from engine.events import Mask, Matrix, Vector


def decay(length: int, half_life: float | None) -> Vector:
    """(T,) weights from old to new that add up to 1: halved every `half_life` rows, None = all alike.

    >>> decay(3, 1.0) * 7
    array([1., 2., 4.])
    """
    if half_life is None:
        return np.full(length, 1.0 / length)
    weights = np.exp2(np.arange(1 - length, 1) / half_life)
    result: Vector = weights / weights.sum()
    return result


def centred(rows: Matrix, weights: Vector, *, demean: bool = True) -> Matrix:
    """(T, K) Y whose Y'Y is the weighted covariance of the columns of `rows` (T, K), NaN = missing.

        Y_ti = sqrt(w_t / sum of w over the rows that i has) (x_ti - mean_i),   0 where missing

    A missing value counts as the mean of its column, and the others are stretched, which keeps its variance.
    """
    mean = weights @ rows
    whole = np.isfinite(mean)
    y: Matrix = rows - mean if demean else rows.copy()
    y *= np.sqrt(weights)[:, None]
    if not whole.all():
        y[:, ~whole] = _holed(rows[:, ~whole], weights, demean)
    return y


def _holed(rows: Matrix, weights: Vector, demean: bool) -> Matrix:
    """`centred` of columns in each of which something is missing."""
    known = np.isfinite(rows)
    share = weights @ known
    share[share <= 0] = np.inf
    filled = np.where(known, rows, 0.0)
    if demean:
        filled -= (weights @ filled) / share
        filled *= known
    filled *= np.sqrt(weights)[:, None]
    filled /= np.sqrt(share)
    return filled


def stretched(rows: Matrix, ready: Mask) -> Matrix:
    """(T, n) returns of the ready symbols less their means, 0 where missing, so that X'X / T is their covariance.

    Slices of which no ready symbol has a return are left out: the first slice of a session has none at all.
    """
    own = rows if ready.all() else rows[:, ready]
    seen = np.isfinite(own).any(axis=1)
    if not seen.all():
        own = own[seen]
    x = centred(own, decay(len(own), None))
    x *= np.sqrt(len(own))
    return x


def summed(rows: Matrix, lags: int) -> Matrix:
    """(T + lags, K) Z whose Z'Z is the Newey-West covariance of rows Y (T, K), so never indefinite.

        Z'Z = G_0 + sum_l (1 - l / (lags + 1)) (G_l + G_l'),   G_l = sum_t y_t y_(t-l)',
        Z_s = sum_(l=0..lags) y_(s-l) / sqrt(lags + 1)

    Bartlett's weights are those of sums of lags + 1 neighbours, which is all that is done here.

    Source: Newey, West (1987), A simple, positive semi-definite, heteroskedasticity and autocorrelation consistent
    covariance matrix, Econometrica 55(3).
    """
    if not lags:
        return rows
    result = np.zeros((len(rows) + lags, rows.shape[1]))
    for lag in range(lags + 1):
        result[lag : lag + len(rows)] += rows
    result /= np.sqrt(lags + 1)
    return result


@dataclass(frozen=True)
class Memory:
    """How long an estimate remembers. Half-lives in slices, None = the whole window alike.

    `correlation` is the half-life of correlations, None = that of the volatilities.
    """

    half_life: float | None = None
    correlation: float | None = None
    lags: int = 0
    demean: bool = True

    def root(self, rows: Matrix) -> Matrix:
        """(T + lags, K) Y, such that Y'Y is the covariance of the columns of `rows` (T, K)."""
        y = summed(centred(rows, decay(len(rows), self.half_life), demean=self.demean), self.lags)
        if self.correlation is None or self.correlation == self.half_life:
            return y
        z = summed(centred(rows, decay(len(rows), self.correlation), demean=self.demean), self.lags)
        norm = _squares(z)
        z *= np.sqrt(np.divide(_squares(y), norm, out=np.zeros_like(norm), where=norm > 0))
        return z

    def covariance(self, rows: Matrix) -> Matrix:
        """(K, K) of the columns of `rows` (T, K)."""
        y = self.root(rows)
        result: Matrix = y.T @ y
        return result

    def variances(self, rows: Matrix) -> Vector:
        """(K,) of the columns of `rows` (T, K); correlations are not looked at."""
        return _squares(summed(centred(rows, decay(len(rows), self.half_life), demean=self.demean), self.lags))


def memory(name: str, half_life: float | None, correlation: float | None = None, lags: int = 0) -> Memory:
    """A `Memory` with its figures checked; `name` says in an error whose they are: "", "factor_", "specific_"."""
    for key, value in ((f"{name}half_life", half_life), (f"{name}correlation_half_life", correlation)):
        if value is not None and not 0 < value < np.inf:
            raise ValueError(f"{key} must be above 0 slices, got {value}; leave it out to weigh all slices alike")
    return Memory(half_life, correlation, lags)


def checked_lags(lags: int, window: int) -> int:
    if not 0 <= lags < window:
        raise ValueError(f"lags must be between 0 and window - 1 ({window - 1}), got {lags}")
    return lags


def _squares(rows: Matrix) -> Vector:
    result: Vector = np.einsum("ij,ij->j", rows, rows)
    return result
