"""Risk and signal figures as Qlib defines them, beside our own: for whoever compares the two."""

import math

import msgspec
import numpy as np

from engine.events import DAY_NS, MINUTE_NS, Matrix, Vector

_DAYS, _MINUTES, _WEEKS, _MONTHS = 238.0, 240.0 * 238.0, 50.0, 12.0


class QlibRisk(msgspec.Struct, frozen=True, kw_only=True):
    """What Qlib's risk analysis says of one series of returns; NaN = undefined."""

    mean: float
    std: float
    annualized_return: float
    information_ratio: float
    max_drawdown: float


def qlib_periods(interval_ns: int) -> float:
    """Qlib's slices a year: 238 days, 50 weeks, 12 months, 240 minutes a day, over the multiple of the interval.

    Source: microsoft/qlib, qlib/contrib/evaluate.py, risk_analysis; qlib/utils/time.py, Freq.

    >>> qlib_periods(DAY_NS), qlib_periods(7 * DAY_NS), qlib_periods(30 * MINUTE_NS)
    (238.0, 50.0, 1904.0)
    """
    if interval_ns < DAY_NS:
        return _MINUTES * MINUTE_NS / interval_ns
    if interval_ns < 7 * DAY_NS:
        return _DAYS * DAY_NS / interval_ns
    return _WEEKS * 7 * DAY_NS / interval_ns if interval_ns < 28 * DAY_NS else _MONTHS


def risk_by_sum(r: Vector, periods: float) -> QlibRisk:
    """Returns are added up, not compounded (Qlib's mode "sum", its default). (T,) returns of slices.

        annual = P mean(r)     IR = mean(r) / std(r, ddof 1) sqrt(P)     MDD = min_t (C_t - max_{s<=t} C_s)

    C is the running sum. The running maximum starts at the first value: a loss in the first slice is part of no
    drawdown.

    Source: microsoft/qlib, qlib/contrib/evaluate.py, risk_analysis.

    >>> risk_by_sum(np.array([-0.1, 0.02, 0.01]), 238.0).max_drawdown
    0.0
    """
    if not len(r):
        return _NOTHING
    mean, std = float(r.mean()), _deviation(r)
    total = np.cumsum(r)
    return QlibRisk(
        mean=mean,
        std=std,
        annualized_return=mean * periods,
        information_ratio=mean / std * math.sqrt(periods) if std > 0 else math.nan,
        max_drawdown=float((total - np.maximum.accumulate(total)).min()),
    )


def risk_by_product(r: Vector, periods: float) -> QlibRisk:
    """Returns are compounded (Qlib's mode "product"). (T,) returns of slices.

        mean = prod(1 + r)^(1/T) - 1     std = std(log(1 + r), ddof 1)     annual = prod(1 + r)^(P/T) - 1
        IR = mean / std sqrt(P)          MDD = min_t (C_t / max_{s<=t} C_s - 1),   C the running product

    Source: microsoft/qlib, qlib/contrib/evaluate.py, risk_analysis.

    >>> round(risk_by_product(np.array([0.1, -0.1]), 2.0).annualized_return, 6)
    -0.01
    """
    if not len(r) or float(r.min()) <= -1.0:
        return _NOTHING
    log = np.log1p(r)
    mean, std = math.expm1(float(log.mean())), _deviation(log)
    curve = np.cumprod(1 + r)
    return QlibRisk(
        mean=mean,
        std=std,
        annualized_return=math.expm1(float(log.mean()) * periods),
        information_ratio=mean / std * math.sqrt(periods) if std > 0 else math.nan,
        max_drawdown=float((curve / np.maximum.accumulate(curve)).min()) - 1,
    )


_NOTHING = QlibRisk(
    mean=math.nan, std=math.nan, annualized_return=math.nan, information_ratio=math.nan, max_drawdown=math.nan
)


def _deviation(x: Vector) -> float:
    return float(x.std(ddof=1)) if len(x) > 1 else math.nan


class QlibReport(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of Qlib's portfolio report that its analysis starts from, (T,) each."""

    gross: Vector  # (A_t - A_{t-1} + cost_t) / A_{t-1}: return before costs
    cost: Vector  # cost_t / A_{t-1}
    bench: Vector  # return of the benchmark

    def excess(self, *, with_cost: bool) -> Vector:
        """Return less benchmark, and less cost. Both are differences of simple returns."""
        return self.gross - self.bench - self.cost if with_cost else self.gross - self.bench


def qlib_report(equity: Vector, cost: Vector, benchmark: Vector, initial: float) -> QlibReport:
    """From equity, cost and level of the benchmark after each slice (T,); all start from `initial`.

    A benchmark that is not known (NaN) counts as zero return.
    """
    before = np.concatenate([[initial], equity[:-1]])
    level = np.concatenate([[initial], benchmark[:-1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        bench = benchmark / level - 1
        gross, rate = (equity - before + cost) / before, cost / before
    return QlibReport(gross=gross, cost=rate, bench=np.where(np.isfinite(bench), bench, 0.0))


def long_short(score: Matrix, label: Matrix, share: float = 0.2) -> tuple[Vector, Vector]:
    """Half the return of the best names less the worst, and the mean of all labels, slice by slice.

        k = floor(share n),   ls_t = (mean label of the k highest scores - of the k lowest) / 2

    (T, N) scores and labels to two (T,). Names without a score (NaN) do not count; a NaN label is left out of its
    mean. Of equal scores the first of the universe comes first. Qlib stores the second as "long average", which it
    is not.

    Source: microsoft/qlib, qlib/contrib/eva/alpha.py, calc_long_short_return.

    >>> long_short(np.array([[5.0, 4.0, 3.0, 2.0, 1.0]]), np.array([[0.1, 0.0, 0.0, 0.0, -0.1]]))[0]
    array([0.1])
    """
    found, mean = np.full(len(score), np.nan), np.full(len(score), np.nan)
    for t, (s, y) in enumerate(zip(score, label, strict=True)):
        known = np.flatnonzero(~np.isnan(s))
        k = math.floor(share * len(known))
        mean[t] = _mean(y[known])
        if k:
            up, down = known[np.argsort(-s[known], kind="stable")[:k]], known[np.argsort(s[known], kind="stable")[:k]]
            found[t] = (_mean(y[up]) - _mean(y[down])) / 2
    return found, mean


def precision(score: Matrix, label: Matrix, share: float = 0.2) -> tuple[Vector, Vector]:
    """Share of the k best names whose label is positive, and of the k worst whose label is negative.

    (T, N) scores and labels to two (T,), k = floor(share n); NaN where k is zero.

    Source: microsoft/qlib, qlib/contrib/eva/alpha.py, calc_long_short_prec.

    >>> precision(np.array([[5.0, 4.0, 3.0, 2.0, 1.0]]), np.array([[0.1, 0.0, 0.0, 0.0, 0.1]]))
    (array([1.]), array([0.]))
    """
    up, down = np.full(len(score), np.nan), np.full(len(score), np.nan)
    for t, (s, y) in enumerate(zip(score, label, strict=True)):
        known = np.flatnonzero(~np.isnan(s))
        k = math.floor(share * len(known))
        if k:
            up[t] = float((y[known[np.argsort(-s[known], kind="stable")[:k]]] > 0).mean())
            down[t] = float((y[known[np.argsort(s[known], kind="stable")[:k]]] < 0).mean())
    return up, down


def _mean(values: Vector) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan
