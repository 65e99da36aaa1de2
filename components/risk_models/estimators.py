"""Covariances of whole arrays: what the risk models fit, and the estimators of Qlib 0.9.7 number for number.

Rows are observations, columns variables, the divisor is T. Qlib scales returns by 100 by default: pass `100 * x`.
"""

from typing import Literal, TypeAlias

import numpy as np

from engine.events import Matrix, Vector

Missing: TypeAlias = Literal["ignore", "fill", "mask"]
Shrunk: TypeAlias = Literal["constant_variance", "constant_correlation", "single_factor"]
Thresholding: TypeAlias = Literal["soft", "hard", "scad"]
_LEAST = 1e-12  # variance of a variable that its factors explain whole
_RANK = 1e-10  # of the largest eigenvalue: a component below it is none


def empirical(x: Matrix, *, missing: Missing = "ignore", centred: bool = False) -> Matrix:
    """(n, n) X'X / T of returns less their column's mean (`centred`: as they are), x (T, n), NaN = missing.

    `ignore`: NaN spreads; `fill`: a missing value is 0 before means are taken; `mask`: each pair over the rows it has,
    which may be indefinite.
    """
    x, known = _prepared(x, missing, centred)
    result: Matrix = x.T @ x / (len(x) if known is None else known.T @ known)
    return result


def shrunk(
    x: Matrix,
    target: Shrunk,
    *,
    intensity: float | None = None,
    missing: Missing = "ignore",
    centred: bool = False,
) -> tuple[Matrix, float]:
    """(1 - a) S + a F and a, by default Ledoit and Wolf's for the target; the formulas are those of `shrinkage`.

    In O(T n^2). Here a mean correlation may be negative, and S is that of `empirical` whatever `missing` is.
    """
    x, known = _prepared(x, missing, centred)
    S = x.T @ x / (len(x) if known is None else known.T @ known)
    market = x.sum(axis=1) / (x.shape[1] if known is None else known.sum(axis=1))
    F = _target(x, S, target, market)
    if intensity is None:
        y = x**2
        phi = float((y.T @ y / len(x) - S**2).sum())
        rho = _rho(x, S, target, market)
        intensity = max(0.0, min(1.0, (phi - rho) / float(((S - F) ** 2).sum()) / len(x)))
    result: Matrix = (1 - intensity) * S + intensity * F
    return result, intensity


def _target(x: Matrix, S: Matrix, target: Shrunk, market: Vector) -> Matrix:
    n, var = len(S), np.diag(S)
    F: Matrix
    if target == "constant_variance":
        F = np.eye(n) * var.mean()
    elif target == "constant_correlation":
        s = np.sqrt(var)
        F = _mean_correlation(S) * np.outer(s, s)
    else:
        with_it = x.T @ market / len(x)
        F = np.outer(with_it, with_it) / (market @ market / len(x))
    if target != "constant_variance":
        np.fill_diagonal(F, var)
    return F


def _mean_correlation(S: Matrix) -> float:
    n, s = len(S), np.sqrt(np.diag(S))
    return (float((S / np.outer(s, s)).sum()) - n) / (n * (n - 1))


def _rho(x: Matrix, S: Matrix, target: Shrunk, market: Vector) -> float:
    length, var, y = len(x), np.diag(S), x**2
    own = float((y**2).sum() / length - (var**2).sum())
    if target == "constant_variance":
        return 0.0
    if target == "constant_correlation":
        s = np.sqrt(var)
        theta = (x**3).T @ x / length - var[:, None] * S
        np.fill_diagonal(theta, 0.0)
        return own + _mean_correlation(S) * float((np.outer(1 / s, s) * theta).sum())
    with_it, variance = x.T @ market / length, float(market @ market) / length
    z = x * market[:, None]
    first = (y.T @ z / length - with_it[:, None] * S) * with_it
    third = (z.T @ z / length - variance * S) * np.outer(with_it, with_it)
    off = [float(part.sum() - np.trace(part)) for part in (first, third)]
    return own + 2 * off[0] / variance - off[1] / variance**2


def principal(x: Matrix, factors: int) -> Matrix:
    """(n, K) the leading eigenvectors of X'X, orthonormal, each with a sum of at least 0; K is `factors` or the rank.

    In O(T n min(T, n)).
    """
    length, n = x.shape
    if length < n:
        values, left = np.linalg.eigh(x @ x.T)
    else:
        values, left = np.linalg.eigh(x.T @ x)
    values, left = values[::-1][:factors], left[:, ::-1][:, :factors]
    kept = values > max(float(values[0]), 0.0) * _RANK
    vectors = left[:, kept]
    if length < n:
        vectors = x.T @ vectors / np.sqrt(values[kept])
    result: Matrix = vectors * np.where(vectors.sum(axis=0) < 0, -1.0, 1.0)
    return result


def factor_analysis(x: Matrix, factors: int, *, tolerance: float = 1e-2, rounds: int = 1000) -> tuple[Matrix, Vector]:
    """Loadings W (n, K) and noise variances (n,) of centred x (T, n), such that W W' + diag(noise) is most likely.

    The iteration is that of scikit-learn (`svd_method="lapack"`), from noise variances of 1 until the log-likelihood
    gains less than `tolerance`. In O(T n min(T, n)) a round. Source: Barber (2012), Bayesian reasoning and machine
    learning, algorithm 21.1.
    """
    length, n = x.shape
    variances, noise, before = (x**2).mean(axis=0), np.ones(n), -np.inf
    W = np.zeros((n, factors))
    for _ in range(rounds):
        scale = np.sqrt(noise) + _LEAST
        scaled = x / (scale * np.sqrt(length))
        vectors = principal(scaled, factors)
        values = ((scaled @ vectors) ** 2).sum(axis=0)
        W = vectors * np.sqrt(np.maximum(values - 1.0, 0.0)) * scale[:, None]
        unexplained = float((scaled**2).sum() - values.sum())
        likelihood = -length / 2 * (float(np.log(values).sum() + np.log(noise).sum()) + unexplained)
        if likelihood - before < tolerance:
            break
        before = likelihood
        noise = np.maximum(variances - (W**2).sum(axis=1), _LEAST)
    return W, noise


def structured(
    x: Matrix, factors: int, method: Literal["pca", "fa"] = "pca", *, centred: bool = False
) -> tuple[Matrix, Matrix, Vector]:
    """F (n, K), C (K, K) and d (n,) with covariance F C F' + diag(d): Qlib's, a missing value is 0.

    B are the components of x, or the posterior means of the factors; C is their covariance with divisor T - 1, d the
    variance of x - B F' with divisor T.
    """
    x, _ = _prepared(x, "fill", centred)
    less = x - x.mean(axis=0)
    if method == "pca":
        F = principal(less, factors)
        B = less @ F
    else:
        F, noise = factor_analysis(less, factors)
        B = less @ scoring(F, noise)[0]
    return F, np.atleast_2d(np.cov(B.T)), (x - B @ F.T).var(axis=0)


def scoring(W: Matrix, noise: Vector) -> tuple[Matrix, Matrix]:
    """A (n, K), C (K, K): given x, the factors of W have mean A'x and covariance C = (I + W' diag(1 / noise) W)^-1."""
    turned = W / noise[:, None]
    C = np.asarray(np.linalg.inv(np.eye(W.shape[1]) + W.T @ turned), np.float64)
    return turned @ C, C


def poet(
    x: Matrix,
    *,
    factors: int = 0,
    threshold: float = 1.0,
    rule: Thresholding = "soft",
    missing: Literal["ignore", "fill"] = "ignore",
    centred: bool = False,
) -> Matrix:
    """(n, n) principal components plus the thresholded covariance of what they leave: Qlib's, possibly indefinite.

    Source: Fan, Liao, Mincheva (2013), Large covariance estimation by thresholding principal orthogonal complements,
    J. Royal Statistical Society B 75(4).
    """
    x, _ = _prepared(x, missing, centred)
    length, n = x.shape
    common = x @ (V := principal(x, factors)) @ V.T if factors else np.zeros_like(x)
    residual = x - common
    s = np.sqrt((residual**2).mean(axis=0))
    R = thresholded(correlations(residual), threshold * poet_rate(length, n, factors), rule)
    result: Matrix = common.T @ common / length + R * np.outer(s, s)
    return result


def poet_rate(length: int, n: int, factors: int) -> float:
    """What a correlation of residuals may be by chance: 1 / sqrt(n) + sqrt(log n / T), without factors the latter."""
    return (1 / np.sqrt(n) if factors else 0.0) + float(np.sqrt(np.log(n) / length))


def correlations(x: Matrix) -> Matrix:
    """(n, n) of the columns of x about 0; those of a column of zeros are 0, with itself 1."""
    norm = np.sqrt((x**2).sum(axis=0))
    z = x / np.where(norm > 0, norm, 1.0)
    result: Matrix = z.T @ z
    np.fill_diagonal(result, 1.0)
    return result


def thresholded(R: Matrix, rate: float, rule: Thresholding) -> Matrix:
    """Correlations off the diagonal moved toward 0 by `rate` (soft), cut below it (hard), or between both (scad).

    scad, a = 3.7:  soft below 2 rate,  ((a - 1) r - a sign(r) rate) / (a - 2) below a rate,  r above
    """
    size = np.abs(R)
    soft = np.sign(R) * np.maximum(size - rate, 0.0)
    if rule == "soft":
        result = soft
    elif rule == "hard":
        result = R * (size > rate)
    else:
        between = (2.7 * R - 3.7 * np.sign(R) * rate) / 1.7
        result = np.where(size < 2 * rate, soft, np.where(size < 3.7 * rate, between, R))
    np.fill_diagonal(result, 1.0)
    return result


def _prepared(x: Matrix, missing: Missing, centred: bool) -> tuple[Matrix, Matrix | None]:
    """Returns less their means, and 1 where they are known, if that counts."""
    if missing not in ("ignore", "fill", "mask"):
        raise ValueError(f"missing must be ignore, fill or mask, got {missing!r}")
    known = np.isfinite(x) if missing == "mask" else None
    if missing == "fill":
        x = np.nan_to_num(x)
    if not centred:
        x = x - np.nanmean(x, axis=0)
    if known is None:
        return x, None
    return np.where(known, x, 0.0), known.astype(float)
