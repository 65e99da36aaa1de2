"""Time-series momentum."""

from collections import deque

import numpy as np

from components.features.adjusting import price_factor
from engine.events import DAY_NS, Actions, Bars, Signal, Vector
from engine.protocols import Artefact
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "momentum", 2


class Momentum:
    """Trailing log return of the close over `window` bars, adjusted for splits and dividends.

        s_t = log(p_t) - log(p_{t-window})

    NaN for the first `window` slices, and for a symbol absent at either end.
    Memory: `window + 1` rows of N float64, however long the session runs.

    Source: Moskowitz, Ooi, Pedersen (2012), Time series momentum, JFE 104(2).

    >>> from engine.universe import universe_of
    >>> model = Momentum(universe=universe_of(("A", "B")), name="momentum", window=1)
    >>> model.on_bars(bars(ts=1, close=[1.0, 1.0])).value
    array([nan, nan])
    >>> model.on_bars(bars(ts=2, close=[np.e, np.nan])).value
    array([ 1., nan])
    """

    def __init__(self, *, universe: Universe, name: str, window: int = 20, horizon_ns: int = DAY_NS) -> None:
        if window < 1:
            raise ValueError(f"window must be at least 1 bar, got {window}")
        if horizon_ns < 1:
            raise ValueError(f"horizon_ns must be positive, got {horizon_ns}")
        self.lookback = window + 1
        self._symbols = universe.symbols
        self._n, self._name, self._window, self._horizon_ns = len(universe), name, window, horizon_ns
        self._log_close: deque[Vector] = deque(maxlen=window + 1)
        self._close = np.full(self._n, np.nan)  # the latest close seen, for the value of a dividend

    def swap(self, artefact: Artefact, /) -> None:
        """It learns nothing."""
        raise ValueError(f"{self._name}: momentum learns nothing and takes no artefact; swap another model")

    def on_bars(self, bars: Bars, /) -> Signal:
        fresh = bars.status == 0
        close = np.where(fresh, bars.close, np.nan)
        self._close = np.where(fresh, bars.close, self._close)
        self._log_close.append(np.log(close))
        warm = len(self._log_close) > self._window
        value = self._log_close[-1] - self._log_close[0] if warm else np.full_like(close, np.nan)
        return Signal(ts=bars.ts, asof=bars.ts, source=self._name, value=value, horizon_ns=self._horizon_ns)

    def on_actions(self, actions: Actions, /) -> None:
        factor = price_factor(actions, self._close)
        self._close = self._close * factor
        for k, row in enumerate(self._log_close):
            self._log_close[k] = row + np.log(factor)

    def save(self) -> bytes:
        return pack(_KIND, _VERSION, symbols=self._symbols, log_close=list(self._log_close), close=self._close)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since start without history."""
        fields = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._symbols
        self._log_close.clear()
        self._log_close.extend(placed(row, before, now, np.nan) for row in fields["log_close"])
        self._close = placed(fields["close"], before, now, np.nan)
