"""A generated market: prices, volumes and corporate actions whose laws are known, with one planted relation.

The open-to-open log return of symbol i from slice t+1 to t+2 is

    beta_i m + s_sector(i) + e_i + edge * z_i,t

with m, s, e normal and independent, and z the planted feature: log volume minus its mean over the last 20 slices,
in units of its standard deviation. Volumes follow exp(level + AR(1) + noise), so z is a function of bars
up to t, and its variance and persistence have a closed form.
"""

import datetime as dt

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.events import ActionKind, Mask, Matrix

WINDOW = 20  # slices of the planted feature
SECTORS = (
    ("CO", "Consumer"),
    ("EN", "Energy"),
    ("FI", "Financials"),
    ("HE", "Health"),
    ("IN", "Industrials"),
    ("MA", "Materials"),
    ("TE", "Technology"),
    ("UT", "Utilities"),
)
IDIO, SECTOR, MARKET = 0.013, 0.005, 0.009  # open-to-open volatility of each part
DRIFT = 0.0003  # of the market, a slice
BETA = 0.2  # standard deviation of beta around 1
OVERNIGHT = 0.3  # share of the variance between a close and the next open
PHI, WAVE, NOISE = 0.97, 0.5, 0.05  # log volume: AR(1) coefficient, its standard deviation, that of the noise
HOLE = 0.001  # share of bars that are missing
HALT_DAYS = 6
# Days other than weekends on which the New York Stock Exchange did not open.
HOLIDAYS = """
2018-01-01 2018-01-15 2018-02-19 2018-03-30 2018-05-28 2018-07-04 2018-09-03 2018-11-22 2018-12-05 2018-12-25
2019-01-01 2019-01-21 2019-02-18 2019-04-19 2019-05-27 2019-07-04 2019-09-02 2019-11-28 2019-12-25
2020-01-01 2020-01-20 2020-02-17 2020-04-10 2020-05-25 2020-07-03 2020-09-07 2020-11-26 2020-12-25
2021-01-01 2021-01-18 2021-02-15 2021-04-02 2021-05-31 2021-07-05 2021-09-06 2021-11-25 2021-12-24
2022-01-17 2022-02-21 2022-04-15 2022-05-30 2022-06-20 2022-07-04 2022-09-05 2022-11-24 2022-12-26
"""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """A corporate action effective before the open of session `day`."""

    day: int  # position among the sessions
    kind: ActionKind
    symbol: int
    ratio: float = np.nan
    amount: float = np.nan


class Market(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """T sessions of N symbols; prices are raw and rounded to cents, NaN where there is no bar."""

    days: NDArray[np.int64]  # (T,) days since 1970
    symbols: tuple[str, ...]
    sectors: tuple[str, ...]
    open: Matrix
    high: Matrix
    low: Matrix
    close: Matrix
    volume: Matrix
    halted: NDArray[np.bool_]
    actions: tuple[Action, ...]  # by day, then symbol
    feature: Matrix  # (T, N) the planted feature, NaN = unknown
    edge: float  # expected log return for one unit of it


class Law(msgspec.Struct, frozen=True, kw_only=True):
    """What is drawn."""

    symbols: int
    years: int
    ic: float
    permuted: bool


def sessions(years: int) -> NDArray[np.int64]:
    """The New York trading days of the years from 2018 on, in days since 1970.

    >>> len(sessions(5))
    1259
    """
    last = dt.date(2017 + years, 12, 31)
    days = np.arange(dt.date(2018, 1, 1).toordinal(), last.toordinal() + 1) - dt.date(1970, 1, 1).toordinal()
    closed = np.array([np.datetime64(text) for text in HOLIDAYS.split()], "datetime64[D]").astype(np.int64)
    weekday = (days + 3) % 7  # 1970-01-01 was a Thursday
    return days[(weekday < 5) & ~np.isin(days, closed)].astype(np.int64)


def feature_moments() -> tuple[float, float]:
    """Standard deviation of the unscaled feature, sqrt(w' G w), and its correlation with itself one slice later.

    w (WINDOW,) is 1 for the newest log volume less 1 / WINDOW for each; G their covariance.
    """
    w = np.full(WINDOW, -1.0 / WINDOW)
    w[-1] += 1.0
    lags = np.abs(np.subtract.outer(np.arange(WINDOW + 1), np.arange(WINDOW + 1)))
    gamma = WAVE**2 * PHI**lags + NOISE**2 * (lags == 0)
    now, then = np.append(w, 0.0), np.append(0.0, w)
    variance = float(now @ gamma @ now)
    return float(np.sqrt(variance)), float(now @ gamma @ then) / variance


def edge_of(ic: float) -> float:
    """The log return for one unit of the feature that gives this cross-sectional correlation with returns."""
    apart = IDIO**2 + SECTOR**2 * (1 - 1 / len(SECTORS)) + (BETA * MARKET) ** 2
    return ic * float(np.sqrt(apart / (1 - ic**2)))


def generate(law: Law, rng: np.random.Generator) -> Market:
    """Draws a market. The same law and generator state give the same market, bit for bit."""
    days = sessions(law.years)
    t, n = len(days), law.symbols
    sector = np.arange(n) * len(SECTORS) // n
    cast = rng.permutation(n)  # who is delisted, halted and split
    gone, halted = _absences(t, n, cast, rng)
    wave = _log_volume(t, n, rng)
    feature = planted_feature(np.where(gone, np.nan, wave))
    overnight, intraday = _returns(t, sector, rng)
    edge = edge_of(law.ic)
    planted = edge * np.nan_to_num(feature)
    shift = rng.integers(1, n, t)  # drawn in either case, so that all else is the same market
    if law.permuted:
        planted = planted[np.arange(t)[:, None], (np.arange(n) + shift[:, None]) % n]
    # What slice t knows moves the price from the open of t+1 to that of t+2: the session, then the night after it.
    intraday[1:] += (1 - OVERNIGHT) * planted[:-1]
    overnight[2:] += OVERNIGHT * planted[:-2]
    actions, drop, split = _plan(t, n, cast, rng)
    log_open = np.log(rng.uniform(30.0, 150.0, n)) + np.cumsum(overnight + drop - np.log(split), axis=0)
    log_open[1:] += np.cumsum(intraday, axis=0)[:-1]
    o, c = np.exp(log_open), np.exp(log_open + intraday)
    reach = np.abs(rng.normal(0.0, 0.004, (2, t, n)))
    columns = [o, np.maximum(o, c) * (1 + reach[0]), np.minimum(o, c) * (1 - reach[1]), c]
    o, h, low, c = (np.maximum(np.round(column, 2), 0.01) for column in columns)
    level = rng.uniform(np.log(2e5), np.log(5e6), n)
    volume = np.round(np.exp(level + wave) * np.cumprod(split, axis=0))
    settled = _settled(actions, c, gone, cast[0])
    for column in (o, h, low, c, volume):
        column[gone] = np.nan
    counts = [int((sector[: k + 1] == sector[k]).sum()) for k in range(n)]
    return Market(
        days=days,
        symbols=tuple(f"{SECTORS[s][0]}{count:02d}" for s, count in zip(sector.tolist(), counts, strict=True)),
        sectors=tuple(SECTORS[s][1] for s in sector.tolist()),
        open=o,
        high=h,
        low=low,
        close=c,
        volume=volume,
        halted=halted,
        actions=settled,
        feature=feature,
        edge=0.0 if law.permuted else edge,
    )


def planted_feature(log_volume: Matrix) -> Matrix:
    """z (T, N) of log volumes, split-adjusted, NaN = no bar: the newest less the mean of the last WINDOW there are.

    NaN for the first WINDOW - 1 slices and where a symbol has no bar.
    """
    known = ~np.isnan(log_volume)
    total = np.cumsum(np.where(known, log_volume, 0.0), axis=0)
    count = np.cumsum(known, axis=0)
    none = np.zeros((1, log_volume.shape[1]))
    begin = np.vstack((none, total[:-WINDOW]))
    begun = np.vstack((none, count[:-WINDOW]))
    feature = np.full_like(log_volume, np.nan)
    bars = np.maximum(count[WINDOW - 1 :] - begun, 1)
    feature[WINDOW - 1 :] = log_volume[WINDOW - 1 :] - (total[WINDOW - 1 :] - begin) / bars
    return feature / feature_moments()[0]


def _absences(t: int, n: int, cast: NDArray[np.int64], rng: np.random.Generator) -> tuple[Mask, Mask]:
    """Cells without a bar, and those of them that are a halt."""
    gone = rng.random((t, n)) < HOLE
    gone[0] = False
    halted = np.zeros((t, n), np.bool_)
    halt = int(rng.integers(t // 4, t // 2))
    halted[halt : halt + HALT_DAYS, cast[1]] = True
    last = int(rng.integers(t * 2 // 3, t * 5 // 6))
    gone[last, cast[0]] = False
    gone[last + 1 :, cast[0]] = True
    return gone | halted, halted


def _log_volume(t: int, n: int, rng: np.random.Generator) -> Matrix:
    shocks = rng.normal(0.0, WAVE * np.sqrt(1 - PHI**2), (t, n))
    shocks[0] /= np.sqrt(1 - PHI**2)
    for k in range(1, t):
        shocks[k] += PHI * shocks[k - 1]
    return shocks + rng.normal(0.0, NOISE, (t, n))


def _returns(t: int, sector: NDArray[np.int64], rng: np.random.Generator) -> tuple[Matrix, Matrix]:
    """Log returns close to open and open to close, nothing planted in them yet."""
    n = len(sector)
    beta = rng.normal(1.0, BETA, n)
    parts = []
    for share in (OVERNIGHT, 1 - OVERNIGHT):
        scale = np.sqrt(share)
        market = rng.normal(DRIFT * share, MARKET * scale, (t, 1))
        group = rng.normal(0.0, SECTOR * scale, (t, len(SECTORS)))
        parts.append(beta * market + group[:, sector] + rng.normal(0.0, IDIO * scale, (t, n)))
    return parts[0], parts[1]


def _plan(t: int, n: int, cast: NDArray[np.int64], rng: np.random.Generator) -> tuple[list[Action], Matrix, Matrix]:
    """Splits and dividends: with the log drop at each ex-date (T, N) and the new shares for one old (T, N)."""
    actions, drop, split = [], np.zeros((t, n)), np.ones((t, n))
    for symbol, ratio in zip(cast[2:].tolist(), (2.0, 3.0, 0.25, 2.0), strict=False):
        day = int(rng.integers(t // 10, t * 9 // 10))
        split[day, symbol] = ratio
        actions.append(Action(day=day, kind=ActionKind.SPLIT, symbol=symbol, ratio=ratio))
    pays = rng.random(n) < 0.6
    share = rng.uniform(0.01, 0.04, n) / 4
    offset = rng.integers(1, 63, n)
    for symbol in np.flatnonzero(pays).tolist():
        for day in range(int(offset[symbol]), t, 63):
            if split[day, symbol] == 1.0:
                drop[day, symbol] = np.log1p(-share[symbol])
                actions.append(
                    Action(day=day, kind=ActionKind.CASH_DIVIDEND, symbol=symbol, amount=float(share[symbol]))
                )
    return actions, drop, split


def _settled(actions: list[Action], close: Matrix, gone: Mask, delisted: int) -> tuple[Action, ...]:
    """Dividends in money of the close before, and the delisting at its last close."""
    end = int(np.flatnonzero(~gone[:, delisted])[-1]) + 1
    kept = []
    for action in actions:
        if action.symbol == delisted and action.day >= end:
            continue
        if action.kind == ActionKind.CASH_DIVIDEND:
            money = round(action.amount * float(close[action.day - 1, action.symbol]), 2)
            action = msgspec.structs.replace(action, amount=money)
        kept.append(action)
    price = float(close[end - 1, delisted])
    kept.append(Action(day=end, kind=ActionKind.DELISTING, symbol=int(delisted), amount=price))
    return tuple(sorted(kept, key=lambda action: (action.day, action.symbol)))
