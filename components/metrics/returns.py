"""Return and risk of an equity curve. Every number is defined in docs/metrics.md."""

import math

import msgspec
import numpy as np

from engine.calendar import Sessions
from engine.events import DAY_NS, Matrix, Stamps, Vector

_WEEKDAYS, _ALL_DAYS = 252, 365
_SPAN_MIN = 10  # calendar days before a market without weekends can be told from one with them
_EVERY_DAY = 0.9  # share of calendar days with a slice from which on a market counts as one without weekends


def trading_days(ts: Stamps, sessions: Sessions | None = None) -> Stamps:
    """(T,) day number of each slice, not falling: that of its trading day, or of its UTC date without a calendar.

    A trading day goes by its label: the evening on which a futures exchange opens belongs to the next day. A slice
    between two trading days counts to the later one, one behind the calendar's last close by its UTC date.
    """
    dates: Stamps = ts // DAY_NS
    if sessions is None or not len(ts):
        return dates
    row = np.searchsorted(sessions.closes, ts)
    known = row < len(sessions)
    return np.where(known, sessions.label[np.where(known, row, 0)] // DAY_NS, dates)


def periods_per_year(ts: Stamps, interval_ns: int, sessions: Sessions | None = None) -> float:
    """Slices in a year, from the interval and the days that have slices.

        1 day or less:  D * slices / days,  D = 365 if at least 0.9 of all calendar days have a slice, else 252
        longer:         365.25 days / interval, rounded: 52 for weeks, 12 for months of 30 days, 4 for quarters

    Days are the trading days of `sessions`, without them UTC dates (`trading_days`). A session of less than 10 days
    counts as one of 252.

    >>> periods_per_year(np.arange(20) * 7 * DAY_NS, 7 * DAY_NS)
    52.0
    """
    if interval_ns > DAY_NS:
        return float(max(1, round(365.25 * DAY_NS / interval_ns)))
    if not len(ts):
        return float(_WEEKDAYS)
    dates = trading_days(ts, sessions)
    days = len(np.unique(dates))
    span = int(dates[-1] - dates[0]) + 1
    year = _ALL_DAYS if span >= _SPAN_MIN and days >= _EVERY_DAY * span else _WEEKDAYS
    if interval_ns == DAY_NS:
        return float(year)
    return year * len(ts) / days


def returns(equity: Vector, initial: float) -> Vector:
    """Simple return of each slice: r_t = E_t / E_{t-1} - 1 with E_{-1} = `initial`.

    (T,) to at most (T,): it ends with the slice in which equity is no longer positive, since nothing can be said
    about what follows ruin.
    """
    before = np.concatenate([[initial], equity[:-1]])
    ruin = np.flatnonzero(before <= 0)
    stop = int(ruin[0]) if len(ruin) else len(equity)
    r: Vector = equity[:stop] / before[:stop] - 1
    return r


class Drawdown(msgspec.Struct, frozen=True, kw_only=True):
    """The deepest fall below the highest equity before it."""

    depth: float  # 0 or negative, share of the peak
    slices: int  # from the peak to the recovery, or to the end where there is none
    recovered: bool


def drawdowns(equity: Vector, initial: float) -> Vector:
    """Fall below the running maximum, which starts at `initial`: a loss in the first slice is a drawdown.

        d_t = E_t / max(initial, E_0 .. E_t) - 1

    >>> drawdowns(np.array([90.0, 120.0]), 100.0)
    array([-0.1,  0. ])
    """
    d: Vector = equity / np.maximum(np.maximum.accumulate(equity), initial) - 1
    return d


def max_drawdown(equity: Vector, initial: float) -> Drawdown:
    """The deepest drawdown; of equally deep ones the first.

    >>> max_drawdown(np.array([100.0, 80.0, 90.0, 101.0]), 100.0)
    Drawdown(depth=-0.19999999999999996, slices=3, recovered=True)
    """
    d = drawdowns(equity, initial)
    if not len(d) or d.min() >= 0:
        return Drawdown(depth=0.0, slices=0, recovered=True)
    bottom = int(d.argmin())
    tops = np.flatnonzero(d[:bottom] == 0)
    peak = int(tops[-1]) if len(tops) else -1  # -1: the initial equity
    back = np.flatnonzero(d[bottom:] == 0)
    end = bottom + int(back[0]) if len(back) else len(d) - 1
    return Drawdown(depth=float(d[bottom]), slices=end - peak, recovered=bool(len(back)))


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """Return and risk of one equity curve; NaN = undefined."""

    periods: float  # slices in a year
    years: float
    total_return: float
    cagr: float
    volatility: float
    sharpe: float
    sharpe_se: float
    sortino: float
    drawdown: Drawdown
    calmar: float
    skew: float
    kurtosis: float  # excess


def performance(equity: Vector, initial: float, periods: float) -> Performance:
    """All return and risk numbers of a curve of T slices that started from `initial`, with `periods` slices a year.

        cagr = (E_T / E_0)^(P / T) - 1         volatility = sqrt(P) std(r, ddof 1)
        sharpe = sqrt(P) mean(r) / std(r)      se(sharpe) = sqrt(P (1 + (mean / std)^2 / 2) / T)
        sortino = sqrt(P) mean(r) / sqrt(mean(min(r, 0)^2))            calmar = cagr / |max drawdown|

    The riskless rate is zero. The standard error supposes independent returns.

    Source: Lo (2002), The statistics of Sharpe ratios, Financial Analysts Journal 58(4), equation 9.

    >>> round(performance(np.array([101.0, 102.01]), 100.0, 2.0).cagr, 6)
    0.0201
    """
    r = returns(equity, initial)
    n = len(r)
    last = float(equity[-1]) if len(equity) else initial
    root = math.sqrt(periods)
    mean = float(r.mean()) if n else math.nan
    # A constant series has a variance of rounding errors only: its ratios mean nothing.
    varies = n > 1 and float(np.ptp(r)) > 1e-14 * (1 + abs(mean))
    std = float(r.std(ddof=1)) if varies else (0.0 if n > 1 else math.nan)
    ratio = mean / std if varies else math.nan
    downside = math.sqrt(float(np.mean(np.minimum(r, 0.0) ** 2))) if n else 0.0
    drawdown = max_drawdown(equity, initial)
    growth = _compound(last / initial, periods / len(equity)) if len(equity) else math.nan
    skew, kurtosis = _shape(r) if varies else (math.nan, math.nan)
    return Performance(
        periods=periods,
        years=len(equity) / periods,
        total_return=last / initial - 1,
        cagr=growth,
        volatility=root * std,
        sharpe=root * ratio,
        sharpe_se=math.sqrt(periods * (1 + ratio * ratio / 2) / n) if varies else math.nan,
        sortino=root * mean / downside if downside > 0 else math.nan,
        drawdown=drawdown,
        calmar=growth / -drawdown.depth if drawdown.depth < 0 else math.nan,
        skew=skew,
        kurtosis=kurtosis,
    )


def _compound(growth: float, power: float) -> float:
    """growth^power - 1; NaN for a ruined account and for what no float can hold."""
    if growth <= 0 or abs(power * math.log(growth)) > 700:
        return math.nan
    return float(growth**power - 1)


def _shape(r: Vector) -> tuple[float, float]:
    """Skewness and excess kurtosis, moments with divisor n."""
    d = r - r.mean()
    spread = float(np.mean(d**2))
    return float(np.mean(d**3)) / spread**1.5, float(np.mean(d**4)) / spread**2 - 3


def by_month(ts: Stamps, equity: Vector, initial: float) -> tuple[Stamps, Vector]:
    """Return of each calendar month (UTC) that has a slice.

    To ((M,) months since 1970-01, (M,) return from the last equity of the month before).
    """
    months = ts.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
    last = np.flatnonzero(np.append(months[1:] != months[:-1], True)) if len(ts) else np.empty(0, np.int64)
    ends = equity[last]
    before = np.concatenate([[initial], ends[:-1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        change: Matrix = np.where(before > 0, ends / before - 1, np.nan)
    return months[last], change
