"""The one answer to symbols without enough history: exposed to the market alone, with a high variance of their own."""

import numpy as np

from components.risk_models.history import History
from components.risk_models.weighing import Memory
from engine.events import Mask, Matrix, Vector
from engine.protocols import Risk


def with_market(factors: Matrix, ready: Mask) -> Matrix:
    """The factors (N, K), in which symbols that are not ready have the row of the market: the mean of those that are.

    The same array where all are ready.
    """
    if ready.all():
        return factors
    result: Matrix = np.where(ready[:, None], factors, factors[ready].mean(axis=0))
    return result


def completed(factors: Matrix, covariance: Matrix, specific: Vector, ready: Mask, quantile: float) -> Risk:
    """The risk of all N symbols, late ones included; `factors` (N, K) come from `with_market`.

    The specific variance of a late symbol is the quantile, over the ready ones, of the variance that the market does
    not explain:

        v_i = total variance of i - cov(i, m)^2 / var(m),   m = the mean of the factor parts of the ready
    """
    if ready.all():
        return Risk(factors=factors, covariance=covariance, specific=specific)
    own = factors[ready]
    turned = own @ covariance
    total = np.einsum("ij,ij->i", turned, own) + specific[ready]
    market = own.mean(axis=0)
    with_it = turned @ market
    variance = float(market @ covariance @ market)
    if variance > 0:
        total = np.maximum(total - with_it**2 / variance, 0.0)
    specific = np.where(ready, specific, np.quantile(total, quantile))
    return Risk(factors=factors, covariance=covariance, specific=specific)


def from_root(y: Matrix, specific: Vector, ready: Mask, quantile: float) -> Risk:
    """The risk Y'Y + diag(specific) of the n ready symbols, Y (T, n), and of those that are not."""
    own = np.ascontiguousarray(y.T)
    if ready.all():
        return Risk(factors=own, covariance=np.eye(len(y)), specific=specific)
    factors, variances = np.zeros((len(ready), len(y))), np.zeros(len(ready))
    factors[ready], variances[ready] = own, specific
    return completed(with_market(factors, ready), np.eye(len(y)), variances, ready, quantile)


def sampled(history: History, memory: Memory) -> Risk | None:
    """The weighted covariance of all returns of the window; None while no symbol is ready."""
    ready = history.ready()
    if not ready.any():
        return None
    rows = history.window.rows()
    y = memory.root(rows if ready.all() else rows[:, ready])
    return from_root(y, np.zeros(y.shape[1]), ready, history.late_quantile)
