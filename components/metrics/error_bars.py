"""What a mean over slices is worth: standard errors that know of autocorrelation."""

import math

import msgspec
import numpy as np

from engine.events import Vector

_SCALE = 1.1447  # of the bandwidth, for weights that fall in a straight line
_ENOUGH = 8  # labels side by side, below which what they share cannot be estimated from them


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A number with its error bar. NaN = unknown."""

    value: float
    error: float  # standard error
    t: float  # (value - what luck would give) / error
    slices: int  # that it is made of


def long_run_variance(deviation: Vector, lags: int) -> float:
    """Variance of sqrt(n) times a mean, from deviations (n,) from it.

        S = g_0 + 2 sum_{l=1}^{lags} (1 - l / (lags + 1)) g_l,   g_l = sum_t d_t d_{t-l} / n

    Source: Newey, West (1987), A simple, positive semi-definite, heteroskedasticity and autocorrelation consistent
    covariance matrix, Econometrica 55(3), equation 5.

    >>> long_run_variance(np.array([1.0, -1.0, 1.0, -1.0]), 0)
    1.0
    """
    n = len(deviation)
    spread = float(deviation @ deviation) / n
    for lag in range(1, min(lags + 1, n)):
        spread += 2 * (1 - lag / (lags + 1)) * float(deviation[lag:] @ deviation[:-lag]) / n
    return spread


def automatic_lags(deviation: Vector) -> int:
    """Lags that the autocorrelation of the deviations (n,) asks for.

        floor(1.1447 ((s_1 / s_0)^2 n)^(1/3)),   s_q = sum_{|j|<=m} |j|^q g_j,   m = ceil(4 (n / 100)^(2/9))

    Source: Newey, West (1994), Automatic lag selection in covariance matrix estimation, Review of Economic Studies
    61(4), without prewhitening. No more than 12 (n / 100)^(1/4) (Schwert 1989): where the s_0 of a short series comes
    out near zero the rule asks for all there are, and with these any mean looks certain.

    >>> automatic_lags(np.convolve(np.random.default_rng(0).normal(size=203), np.ones(4), "valid"))
    8
    """
    n = len(deviation)
    if n < 2:
        return 0
    level = float(deviation @ deviation) / n
    slope = 0.0
    for lag in range(1, min(math.ceil(4 * (n / 100) ** (2 / 9)) + 1, n)):
        shared = 2 * float(deviation[lag:] @ deviation[:-lag]) / n
        level += shared
        slope += lag * shared
    if level == 0:
        return 0
    most = min(n - 1, int(12 * (n / 100) ** 0.25))
    return min(int(_SCALE * ((slope / level) ** 2 * n) ** (1 / 3)), most)


def shared_variance(deviation: Vector, overlap: int) -> float:
    """Variance of sqrt(n) times a mean of values (n,) of which those less than `overlap` slices apart share a label.

        S = (g_0 + 2 sum_{l=1}^{h-1} g_l) / (1 - (2 h - 1) / n),   g_l = sum_t d_t d_{t-l} / n,   h = overlap

    What is shared is known to end with lag h - 1, so all lags up to there count in full: weights that fall, as those of
    Newey and West, leave out part of it. Deviations are from the mean of the same values, which makes each of the
    2 h - 1 terms too small by S / n; the divisor takes that back. Never less than what the autocorrelation of the
    series asks for by itself, which may reach farther: see `automatic_lags`.

    Where n is below 8 h, or S comes out negative, that is no estimate, and S is that of labels which are sums of h
    independent returns, with autocorrelations 1 - l / h: h g_0 / (1 - h / n). NaN for n <= h.

    Source: Hansen, Hodrick (1980), Forward exchange rates as optimal predictors of future spot rates, Journal of
    Political Economy 88(5).

    >>> shared_variance(np.array([1.0, -1.0, 1.0, -1.0]), 2)
    4.0
    """
    n, h = len(deviation), overlap
    asked = long_run_variance(deviation, automatic_lags(deviation))
    if h <= 1:
        return asked
    if n <= h:
        return math.nan
    level = float(deviation @ deviation) / n
    found = 0.0
    if n >= _ENOUGH * h:
        found = level + 2 * sum(float(deviation[lag:] @ deviation[:-lag]) / n for lag in range(1, h))
        found /= 1 - (2 * h - 1) / n
    if found <= 0:
        found = h * level / (1 - h / n)
    return max(found, asked)


def mean_of(x: Vector, *, lags: int | None = None, overlap: int = 1, luck: float = 0.0) -> Figure:
    """Mean of a series over slices, NaN left out, with an error that knows of autocorrelation.

        error = sqrt(S / (n - 1))

    S is `shared_variance` of labels over `overlap` slices, or that of Newey and West with `lags` where they are given.
    `luck` is the value of a signal that knows nothing: 0 for a correlation, 1/2 for a share of two.

    >>> mean_of(np.array([0.1, 0.3, 0.2, np.nan]), lags=0)
    Figure(value=0.2..., error=0.0577..., t=3.46..., slices=3)
    """
    x = x[np.isfinite(x)]
    n = len(x)
    mean = float(x.mean()) if n else math.nan
    if n < 2:
        return Figure(value=mean, error=math.nan, t=math.nan, slices=n)
    if x.max() == x.min():
        return Figure(value=float(x[0]), error=0.0, t=math.nan, slices=n)
    deviation = x - mean
    spread = shared_variance(deviation, overlap) if lags is None else long_run_variance(deviation, lags)
    error = math.sqrt(spread / (n - 1)) if spread > 0 else math.nan
    return Figure(value=mean, error=error, t=(mean - luck) / error, slices=n)


def ratio_of(x: Vector, *, lags: int | None = None, overlap: int = 1) -> Figure:
    """Mean over standard deviation (n - 1) of a series, NaN left out: an ICIR, or a Sharpe ratio of one slice.

        error = sqrt((S / g_0 + ratio^2 / 2) / n)

    With S = g_0, no autocorrelation, this is Lo's error for independent returns.

    Source: Lo (2002), The statistics of Sharpe ratios, Financial Analysts Journal 58(4).

    >>> round(ratio_of(np.array([0.1, 0.3, 0.2]), lags=0).value, 9)
    2.0
    """
    x = x[np.isfinite(x)]
    n = len(x)
    if n < 2 or x.max() == x.min():
        return Figure(value=math.nan, error=math.nan, t=math.nan, slices=n)
    ratio = float(x.mean()) / float(x.std(ddof=1))
    deviation = x - x.mean()
    spread = shared_variance(deviation, overlap) if lags is None else long_run_variance(deviation, lags)
    share = spread * n / float(deviation @ deviation)
    error = math.sqrt((share + ratio**2 / 2) / n) if share > 0 else math.nan
    return Figure(value=ratio, error=error, t=ratio / error, slices=n)
