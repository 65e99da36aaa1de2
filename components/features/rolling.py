"""Rolling features of price and volume over a few windows."""

import hashlib

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.features.rolling_kernel import CODE_VERSION, feature_names, rolling_features
from components.features.window import COLUMNS, VOLUME, Block, Window
from engine.events import Actions, Bars, Features, Matrix
from engine.universe import Universe

_WINDOW_MAX = 2520  # ten years of days: a bound on memory


class Rolling:
    """Returns, volatility, reversal, range, volume surprise and their like over each of `windows` bars.

    The formulas and the NaN policy stand in `rolling_kernel.rolling_features`. Past prices are adjusted with the splits
    and dividends known at the slice, never with later ones; the newest row is always raw.

    The values of a slice are a pure function of the last max(windows) + 1 bars: the same to the last bit wherever
    history starts. Memory: twice that many rows of 6 N float64, so that each window is one contiguous block.

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
        numbers = _Numbers(tuple(windows))
        self.names, self.lookback = numbers.names, numbers.lookback
        made_of = msgspec.json.encode(["rolling", CODE_VERSION, list(windows), list(self.names)])
        self.schema = hashlib.sha256(made_of).hexdigest()[:32]
        self.window = Window(numbers, universe, self.schema)

    def on_bars(self, bars: Bars, /) -> Features:
        self.window.push(bars)
        return Features(ts=bars.ts, schema=self.schema, value=self.window.value())

    def on_actions(self, actions: Actions, /) -> None:
        self.window.adjust(actions)

    def save(self) -> bytes:
        return self.window.save()

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since start without history."""
        self.window.load(state)


class _Numbers:
    """The kernel of these windows. Nothing is derived row by row."""

    def __init__(self, windows: tuple[int, ...]) -> None:
        self.names, self.lookback, self.depth = feature_names(windows), max(windows) + 1, len(COLUMNS)
        self._windows = windows

    def derive(self, block: Block, first: int, end: int, symbols: NDArray[np.int64], /) -> None:
        pass

    def into(self, block: Block, row: int, out: Matrix, /) -> None:
        out[:] = rolling_features(block[: VOLUME + 1, row + 1 - self.lookback : row + 1], self._windows)
