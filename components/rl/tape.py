"""What is known of a day so far, bar by bar: the columns that observations read, in training and in a session."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.rl.days import Days
from engine.errors import StateError
from engine.events import Codes, Matrix, Vector
from engine.state import check_appended

FEATURES = ("open", "high", "low", "close", "vwap", "volume", "known")  # of a bar, see `Tape`
WINDOW = 20  # days of a volume profile
_SAVED = ("last", "log", "volume", "expected", "expected_so_far", "known", "first", "features")


class Bar(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One bar of R rows: columns (R,), NaN where there is none."""

    open: Vector
    high: Vector
    low: Vector
    close: Vector
    vwap: Vector
    volume: Vector
    status: Codes


class Tape:
    """Columns (R, B) of R rows, written bar by bar; a bar changes nothing that was written before it.

    A row is one symbol's day. Training writes all days of a history at once, R = days * symbols; a session writes
    today's, R = symbols: the same arithmetic, element by element, so that both read the same bits.

    - `last`: the latest close, NaN before the first; `log`: its logarithm; `known`: whether the bar is fresh.
    - `first` (R,): the logarithm of the day's first open, NaN before it.
    - `volume`: shares, 0 where unknown; `expected`: what `volume_profile` says, given beforehand, NaN = unknown;
      `expected_so_far`: its sum up to the bar, or the number of bars where it is unknown.
    - `features` (R, 1 + B, 7) float32, where asked for, bar t at t + 1 behind a row of zeros: open, high, low, close,
      vwap as logarithms against the day's first open in units of `unit_bps`; volume against the expected one as
      (v - e) / (v + e); known 1 or 0. What is unknown is 0.
    """

    def __init__(self, *, bars: int, expected: Matrix, unit_bps: float = 10.0, features: bool = False) -> None:
        if not 0 < unit_bps < 1e4:
            raise ValueError(f"unit_bps must lie between 0 and 10000, got {unit_bps}")
        rows = len(expected)
        self.bars, self.unit, self.expected = bars, unit_bps * 1e-4, expected.copy()
        self.last, self.log = np.full((rows, bars), np.nan), np.full((rows, bars), np.nan)
        self.volume, self.expected_so_far = np.zeros((rows, bars)), np.zeros((rows, bars))
        self.known = np.zeros((rows, bars), bool)
        self.first: Vector = np.full(rows, np.nan)
        self.features = np.zeros((rows, 1 + bars, len(FEATURES)), np.float32) if features else None
        total = np.zeros(rows)
        for t in range(bars):  # a profile is known beforehand
            total = total + np.where(np.isnan(expected[:, t]), 1.0, expected[:, t])
            self.expected_so_far[:, t] = total

    def add(self, t: int, bar: Bar) -> None:
        """Writes the bar `t` of the day."""
        fresh = (bar.status == 0) & (bar.close > 0)
        opened = np.where(fresh & (bar.open > 0), bar.open, np.nan)
        log_open = np.log(opened)
        self.first = np.where(np.isnan(self.first), log_open, self.first)
        before = self.last[:, t - 1] if t else np.full(len(fresh), np.nan)
        last = np.where(fresh, bar.close, before)
        log = np.log(last)
        self.last[:, t], self.log[:, t], self.known[:, t] = last, log, fresh
        self.volume[:, t] = np.where(fresh & (bar.volume > 0), bar.volume, 0.0)
        if self.features is not None:
            values = self._features(bar, fresh, (log_open, log), t)
            self.features[:, t + 1] = values

    def save(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SAVED}

    def load(self, columns: dict[str, Any], before: Sequence[str], now: Sequence[str]) -> None:
        """Restores rows by symbol; rows of appended names stay as they are."""
        check_appended(before, now)
        for name in _SAVED:
            own, column = getattr(self, name), columns[name]
            if own is not None:
                if column is None or column.shape[1:] != own.shape[1:]:
                    raise StateError(f"tape: {name} was saved with other bars or features; start without the state")
                own[: len(before)] = column

    def _features(self, bar: Bar, fresh: Any, logs: tuple[Vector, Vector], t: int) -> NDArray[np.float32]:
        out = np.zeros((len(fresh), len(FEATURES)))
        log_open, log_close = logs
        prices = (log_open, _log(bar.high), _log(bar.low), log_close, _log(bar.vwap))
        for k, price in enumerate(prices):
            out[:, k] = np.where(fresh, (price - self.first) / self.unit, 0.0)
        out[:, 5] = np.where(fresh, against_expected(self.volume[:, t], self.expected[:, t]), 0.0)
        out[:, 6] = fresh
        return zeroed(out)


def _log(price: Vector) -> Vector:
    log: Vector = np.log(np.where(price > 0, price, np.nan))
    return log


def against_expected(volume: Vector, expected: Vector) -> Vector:
    """(v - e) / (v + e), from -1 to 1; NaN where nothing is expected.

    >>> against_expected(np.array([3.0, 0.0, 5.0]), np.array([1.0, 1.0, np.nan]))
    array([ 0.5, -1. ,  nan])
    """
    total = volume + expected
    ratio: Vector = np.divide(volume - expected, total, out=np.full(len(total), np.nan), where=total > 0)
    return ratio


def zeroed(values: NDArray[Any]) -> NDArray[np.float32]:
    """float32 with 0 for what is unknown or not finite."""
    out: NDArray[np.float32] = np.where(np.isfinite(values), values, 0.0).astype(np.float32)
    return out


def volume_profile(volumes: list[Matrix], ratios: list[Vector]) -> Matrix:
    """(N, B) the mean volume of each bar of the day over the days before, latest first, in shares of today.

    `ratios[k]` (N,) are the shares for one old share that came into effect after the k-th day before. A bar that a day
    lacks counts as none traded, but where no day knows the bar the mean is NaN.

    >>> volume_profile([np.array([[4.0, 2.0]]), np.array([[2.0, np.nan]])], [np.ones(1), np.ones(1)])
    array([[3., 1.]])
    """
    total, known = np.zeros(volumes[0].shape), np.zeros(volumes[0].shape, bool)
    ratio = np.ones(len(total))
    for volume, later in zip(volumes, ratios, strict=True):
        ratio = ratio * later
        some = volume >= 0
        total = total + np.where(some, volume, 0.0) * ratio[:, None]
        known |= some
    return np.where(known, total / len(volumes), np.nan)


def profiles(days: Days, window: int = WINDOW) -> Matrix:
    """(D * N, B) the volume profile of each day, from up to `window` days before it; NaN on the first."""
    if window < 1:
        raise ValueError(f"window must be at least 1 day, got {window}")
    volume, n = days.by_day("volume"), len(days.universe)
    out = np.full((len(days), n, days.bars), np.nan)
    for day in range(1, len(days)):
        before = range(day - 1, max(day - window, 0) - 1, -1)
        out[day] = volume_profile([volume[k] for k in before], [days.ratio[k + 1] for k in before])
    return out.reshape(-1, days.bars)


def tape_of(days: Days, *, window: int = WINDOW, unit_bps: float = 10.0, features: bool = False) -> Tape:
    """The tape of all days: row = day * N + symbol. Memory: 41 bytes a bar, 28 more with `features`."""
    tape = Tape(bars=days.bars, expected=profiles(days, window), unit_bps=unit_bps, features=features)
    for t in range(days.bars):
        columns = {name: np.ascontiguousarray(getattr(days, name)[:, t]) for name in Bar.__struct_fields__}
        tape.add(t, Bar(**columns))
    return tape
