"""Crossing of two exponential moving averages, kept up bar by bar."""

import math

import numpy as np

from components.features.adjusting import price_factor
from engine.events import DAY_NS, Actions, Bars, Signal, Vector
from engine.protocols import Artefact
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "ema_cross", 2
_FORGOTTEN = 1e-9  # the weight below which an older bar no longer counts


class EmaCross:
    """How far the fast average of the close stands above the slow one.

        e_t = e_{t-1} + 2 / (span + 1) (p_t - e_{t-1}),   e of a symbol's first close = that close
        s_t = e_fast / e_slow - 1

    NaN until a symbol has had `slow` closes, and wherever its bar is not FRESH; a missing bar leaves the averages as
    they are. Splits and dividends scale them. `lookback` is the number of slices after which an older close weighs
    less than 1e-9. Memory: three rows of N.

    >>> from engine.universe import universe_of
    >>> model = EmaCross(universe=universe_of(("A",)), name="cross", fast=1, slow=3)
    >>> [model.on_bars(bars(ts=t, close=[p])).value.round(4).tolist() for t, p in enumerate([10.0, 11.0, 12.0], 1)]
    [[nan], [nan], [0.0667]]
    """

    def __init__(
        self, *, universe: Universe, name: str, fast: int = 12, slow: int = 26, horizon_ns: int = DAY_NS
    ) -> None:
        if fast < 1:
            raise ValueError(f"fast must be at least 1 bar, got {fast}")
        if slow <= fast:
            raise ValueError(f"slow must be more bars than fast ({fast}), got {slow}")
        if horizon_ns < 1:
            raise ValueError(f"horizon_ns must be positive, got {horizon_ns}")
        self._name, self._horizon_ns, self._spans = name, horizon_ns, (fast, slow)
        self._fast_weight, self._slow_weight, self._slow = 2.0 / (fast + 1), 2.0 / (slow + 1), slow
        self.lookback = math.ceil(math.log(_FORGOTTEN) / math.log(1.0 - self._slow_weight))
        self._symbols, n = universe.symbols, len(universe)
        self._single = n == 1  # one symbol in Python floats is three times as fast as in arrays of one
        self._one = (0.0, 0.0, 0, math.nan)  # averages, closes so far, the latest close
        self._fast, self._slow_average = np.zeros(n), np.zeros(n)
        self._count, self._close = np.zeros(n, np.int64), np.full(n, np.nan)

    def swap(self, artefact: Artefact, /) -> None:
        """It learns nothing."""
        raise ValueError(f"{self._name}: ema_cross learns nothing and takes no artefact; swap another model")

    def on_bars(self, bars: Bars, /) -> Signal:
        value = self._step_one(bars.close.item()) if self._single else self._step(bars)
        return Signal(ts=bars.ts, asof=bars.ts, source=self._name, value=value, horizon_ns=self._horizon_ns)

    def _step_one(self, close: float) -> Vector:
        """Prices are NaN unless FRESH, and NaN is not equal to itself."""
        if close != close:
            return np.array((np.nan,))
        fast, slow, count, _ = self._one
        if count:
            fast += self._fast_weight * (close - fast)
            slow += self._slow_weight * (close - slow)
        else:
            fast = slow = close
        count += 1
        self._one = (fast, slow, count, close)
        return np.array((fast / slow - 1.0 if count >= self._slow else np.nan,))

    def _step(self, bars: Bars) -> Vector:
        fresh, close = bars.status == 0, bars.close
        first = fresh & (self._count == 0)
        seeded_fast, seeded_slow = np.where(first, close, self._fast), np.where(first, close, self._slow_average)
        fast = seeded_fast + self._fast_weight * (close - seeded_fast)
        slow = seeded_slow + self._slow_weight * (close - seeded_slow)
        self._fast, self._slow_average = np.where(fresh, fast, self._fast), np.where(fresh, slow, self._slow_average)
        self._count = self._count + fresh
        self._close = np.where(fresh, close, self._close)
        warm = fresh & (self._count >= self._slow)
        value: Vector = np.divide(fast, slow, out=np.full(len(close), np.nan), where=warm) - 1.0
        return value

    def on_actions(self, actions: Actions, /) -> None:
        if self._single:
            fast, slow, count, close = self._one
            f = float(price_factor(actions, np.array([close]))[0])
            self._one = (fast * f, slow * f, count, close * f)
            return
        factor = price_factor(actions, self._close)
        self._fast, self._slow_average = self._fast * factor, self._slow_average * factor
        self._close = self._close * factor

    def save(self) -> bytes:
        if self._single:
            fast, slow, count, close = self._one
            columns = (np.array([fast]), np.array([slow]), np.array([count]), np.array([close]))
        else:
            columns = (self._fast, self._slow_average, self._count, self._close)
        return pack(_KIND, _VERSION, symbols=self._symbols, averages=list(columns))

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since start without history."""
        fields = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._symbols
        cold = zip(fields["averages"], (0.0, 0.0, 0, np.nan), strict=True)
        fast, slow, count, close = (placed(column, before, now, fill) for column, fill in cold)
        if self._single:
            self._one = (fast.item(), slow.item(), count.item(), close.item())
        else:
            self._fast, self._slow_average, self._count, self._close = fast, slow, count, close
