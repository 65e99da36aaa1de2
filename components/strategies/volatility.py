"""How much each name moves: the trailing volatility that weights are divided by."""

from typing import Any

import numpy as np

from components.features.adjusting import price_factor
from engine.errors import StateError
from engine.events import Actions, Bars, Vector
from engine.state import placed
from engine.universe import Universe


class Volatility:
    """Standard deviation (n - 1) of the log returns of the closes over the last `window` slices, t included.

    A return is missing where one of its two bars is; NaN where less than half the window is known, or nothing moved.
    Splits and dividends known so far are undone. Memory: `window` rows of N.
    """

    def __init__(self, universe: Universe, window: int) -> None:
        if not 2 <= window <= 10_000:
            raise ValueError(f"window must be between 2 and 10000 slices, got {window}")
        n = len(universe)
        self._symbols, self._window, self._row = universe.symbols, window, 0
        self._returns = np.full((window, n), np.nan)
        self._close: Vector = np.full(n, np.nan)

    def on_bars(self, bars: Bars, /) -> None:
        close = np.where(bars.status == 0, bars.close, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):  # a price of zero or less has no return
            self._returns[self._row] = np.log(close / self._close)
        self._close, self._row = close, (self._row + 1) % self._window

    def on_actions(self, actions: Actions, /) -> None:
        self._close = self._close * price_factor(actions, self._close)

    def value(self) -> Vector:
        """(N,) per slice."""
        rows = np.sort(self._returns, axis=0)  # the same whatever row of the ring is the first; NaN last
        known = np.isfinite(rows)
        count = known.sum(axis=0)
        mean = np.where(known, rows, 0.0).sum(axis=0) / np.maximum(count, 1)
        off = np.where(known, rows - mean, 0.0)
        sigma = np.sqrt((off * off).sum(axis=0) / np.maximum(count - 1, 1))
        return np.where((count >= max(self._window // 2, 2)) & (sigma > 0.0), sigma, np.nan)

    def fields(self) -> dict[str, Any]:
        return {"window": self._window, "row": self._row, "returns": self._returns, "close": self._close}

    def restore(self, fields: dict[str, Any], before: list[str]) -> None:
        """By symbol: names appended to the universe since have no returns yet."""
        if fields["window"] != self._window:
            said = f"window was {fields['window']} when the state was saved and is {self._window} now"
            raise StateError(f"volatility: {said}; go on with the same window")
        self._returns = placed(fields["returns"], before, self._symbols, np.nan)
        self._close, self._row = placed(fields["close"], before, self._symbols, np.nan), fields["row"]
