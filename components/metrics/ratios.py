"""Usual figures of a series of returns, alone and against a benchmark. Pure functions; the riskless rate is zero."""

import math

import numpy as np

from engine.events import Vector


def downside_risk(r: Vector, periods: float) -> float:
    """Root mean square of the returns below zero, a year: sqrt(P mean(min(r, 0)^2)). Every slice counts in the mean.

    >>> downside_risk(np.array([0.1, -0.1]), 2.0)
    0.1
    """
    return math.sqrt(periods * float(np.mean(np.minimum(r, 0.0) ** 2))) if len(r) else math.nan


def omega(r: Vector) -> float:
    """Sum of the gains over the sum of the losses; NaN without a loss.

    Source: Keating, Shadwick (2002), A universal performance measure, Journal of Performance Measurement 6(3).

    >>> omega(np.array([0.2, -0.1]))
    2.0
    """
    lost = -float(r[r < 0].sum())
    return float(r[r > 0].sum()) / lost if lost > 0 else math.nan


def tail_ratio(r: Vector) -> float:
    """|95th percentile| over |5th percentile| of the returns, percentiles linear between ranks."""
    if not len(r):
        return math.nan
    low, high = np.percentile(r, [5, 95]).tolist()
    return abs(high) / abs(low) if low else math.nan


def value_at_risk(r: Vector, share: float = 0.05) -> float:
    """The return that this share of slices fell below: a percentile of history, negative when it is a loss."""
    return float(np.percentile(r, 100 * share)) if len(r) else math.nan


def expected_shortfall(r: Vector, share: float = 0.05) -> float:
    """Mean of the lowest floor(share (n - 1)) + 1 returns.

    Source: Rockafellar, Uryasev (2000), Optimization of conditional value-at-risk, Journal of Risk 2(3), section 2.

    >>> expected_shortfall(np.array([-0.3, -0.1, 0.0, 0.1, 0.2]), 0.25)
    -0.2
    """
    if not len(r):
        return math.nan
    count = int((len(r) - 1) * share) + 1
    return float(np.partition(r, count - 1)[:count].mean())


def stability(r: Vector) -> float:
    """R squared of a straight line through the cumulative log return; NaN for less than two slices or after ruin."""
    if len(r) < 2 or float(r.min()) <= -1.0:
        return math.nan
    curve, place = np.cumsum(np.log1p(r)), np.arange(len(r), dtype=np.float64)
    curve, place = curve - curve.mean(), place - place.mean()
    spread = float(curve @ curve)
    return float(curve @ place) ** 2 / (spread * float(place @ place)) if spread > 0 else math.nan


def beta(r: Vector, b: Vector) -> float:
    """Slope of the returns on those of the benchmark, cov(r, b) / var(b); NaN where it does not move."""
    if len(r) < 2:
        return math.nan
    d = b - b.mean()
    spread = float(d @ d)
    return float(d @ r) / spread if spread > 1e-30 * len(b) else math.nan


def alpha(r: Vector, b: Vector, periods: float) -> float:
    """What the benchmark does not explain, a year: P (mean(r) - beta mean(b)).

    Source: Jensen (1968), The performance of mutual funds in the period 1945-1964, Journal of Finance 23(2).
    """
    slope = beta(r, b)
    return periods * (float(r.mean()) - slope * float(b.mean())) if slope == slope else math.nan


def tracking_error(r: Vector, b: Vector, periods: float) -> float:
    """Standard deviation (n - 1) of the differences to the benchmark, a year: sqrt(P) std(r - b)."""
    return math.sqrt(periods) * float((r - b).std(ddof=1)) if len(r) > 1 else math.nan


def information_ratio(r: Vector, b: Vector, periods: float) -> float:
    """Mean over standard deviation (n - 1) of the differences to the benchmark, times sqrt(P)."""
    if len(r) < 2:
        return math.nan
    d = r - b
    deviation = float(d.std(ddof=1))
    return math.sqrt(periods) * float(d.mean()) / deviation if deviation > 1e-14 * (1 + abs(d.mean())) else math.nan
