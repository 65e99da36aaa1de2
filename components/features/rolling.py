"""Rolling features of price and volume over a few windows."""

import hashlib

import msgspec
import numpy as np

from components.features.adjusting import price_factor, share_factor
from components.features.rolling_kernel import CODE_VERSION, feature_names, rolling_features
from engine.errors import StateError
from engine.events import Actions, Bars, Features, Vector
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "rolling_features", 1
_WINDOW_MAX = 2520  # ten years of days: a bound on memory
_CLOSE, _VOLUME = 3, 4  # rows of a block: open, high, low, close, volume


class Rolling:
    """Returns, volatility, reversal, range, volume surprise and their like over each of `windows` bars.

    The formulas and the NaN policy stand in `rolling_kernel.rolling_features`. Past prices are adjusted with the splits
    and dividends known at the slice, never with later ones; the newest row is always raw.

    The values of a slice are a pure function of the last max(windows) + 1 bars: the same to the last bit wherever
    history starts. Memory: twice that many rows of 5 N float64, so that each window is one contiguous block.

    >>> from engine.universe import universe_of
    >>> features = Rolling(universe=universe_of(("A", "B")), windows=(2,))
    >>> for t, prices in enumerate([[10.0, 20.0], [11.0, 20.0], [12.1, 20.0]], 1):
    ...     out = features.on_bars(bars(ts=t, close=prices))
    >>> dict(zip(features.names, out.value[0].round(4).tolist()))["return_2"]  # log(12.1 / 10)
    0.1906
    """

    def __init__(self, *, universe: Universe, windows: tuple[int, ...] = (5, 10, 20)) -> None:
        if not windows:
            raise ValueError("windows must name at least one number of bars, got none")
        for w in windows:
            if not 2 <= w <= _WINDOW_MAX:
                raise ValueError(f"windows must be from 2 to {_WINDOW_MAX} bars, got {w}")
        if len(set(windows)) < len(windows):
            raise ValueError(f"windows must differ from each other, got {list(windows)}")
        self._windows = tuple(windows)
        self.names = feature_names(self._windows)
        self.lookback = max(windows) + 1
        made_of = msgspec.json.encode(["rolling", CODE_VERSION, list(windows), list(self.names)])
        self.schema = hashlib.sha256(made_of).hexdigest()[:32]
        self._universe = universe
        self._block = np.full((5, 2 * self.lookback, len(universe)), np.nan)  # a ring, written twice
        self._at = 0  # the row of the ring that the next bars take

    def on_bars(self, bars: Bars, /) -> Features:
        block, rows, at = self._block, self.lookback, self._at
        fresh = bars.status == 0
        for k, column in enumerate((bars.open, bars.high, bars.low, bars.close, bars.volume)):
            block[k, at] = np.where(fresh, column, np.nan)
            block[k, at + rows] = block[k, at]
        self._at = (at + 1) % rows
        value = rolling_features(block[:, at + 1 : at + 1 + rows], self._windows)
        return Features(ts=bars.ts, schema=self.schema, value=value)

    def on_actions(self, actions: Actions, /) -> None:
        prices, shares = price_factor(actions, self._latest_close()), share_factor(actions, len(self._universe))
        self._block[: _CLOSE + 1] *= prices
        self._block[_VOLUME] *= shares

    def _latest_close(self) -> Vector:
        """The last close within the window, NaN where there is none: all that a dividend is measured by."""
        close = self._block[_CLOSE, self._at : self._at + self.lookback]
        newest = close.shape[0] - 1 - np.argmax(np.isfinite(close[::-1]), axis=0)
        latest: Vector = np.take_along_axis(close, newest[None], axis=0)[0]
        return latest

    def save(self) -> bytes:
        rows = self._block[:, self._at : self._at + self.lookback]
        return pack(_KIND, _VERSION, symbols=list(self._universe.symbols), schema=self.schema, rows=rows)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since start without history."""
        fields = unpack(state, _KIND, _VERSION)
        if fields["schema"] != self.schema:
            raise StateError(
                f"rolling: the saved state is of schema {fields['schema']}, not {self.schema}; "
                "load it with the windows it was saved with"
            )
        rows = placed(fields["rows"], fields["symbols"], self._universe.symbols, np.nan)
        self._block, self._at = np.concatenate([rows, rows], axis=1), 0
