"""The bounded window of bars that features are computed of, the same for history and for live.

A feature set is a `Kernel` and a `Window`. Live, a slice is pushed and its features are read; over history the same two
steps follow each other without events between them. So batch and stream cannot differ.
"""

from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from components.features.adjusting import price_factor, share_factor
from engine.errors import StateError
from engine.events import Actions, Bars, Matrix, Vector
from engine.state import pack, placed, unpack
from engine.universe import Universe

Block: TypeAlias = NDArray[np.float64]  # (D, R, N): columns of bars, what is derived of them; rows in time order

COLUMNS = ("open", "high", "low", "close", "volume", "vwap")  # the first rows of a block
OPEN, HIGH, LOW, CLOSE, VOLUME, VWAP = range(len(COLUMNS))
_PRICES = np.array([OPEN, HIGH, LOW, CLOSE, VWAP])
_KIND, _VERSION = "feature_window", 1


class Kernel(Protocol):
    """Where the numbers of a feature set are made. Everything else is storing rows."""

    names: tuple[str, ...]  # (F,)
    lookback: int  # rows that it reads
    depth: int  # D: the columns, and what is derived of them row by row

    def derive(self, block: Block, first: int, end: int, symbols: NDArray[np.int64], /) -> None:
        """Fills rows [first, end) of what is derived, for these symbols: functions of a row and of the one before."""
        ...

    def into(self, block: Block, row: int, out: Matrix, /) -> None:
        """Writes the features (N, F) of the newest `row`; reads the `lookback` rows that end with it, and no other.

        Of the oldest of them nothing derived is read. Nothing is infinite; a name without a close has NaN throughout.
        """
        ...


class Window:
    """The last `lookback` rows of bars, adjusted with the splits and dividends known so far; the newest is raw.

    A ring written twice, so that every window is one contiguous part. `typical` fills a vwap that the feed does not
    have with (high + low + close) / 3. Memory: 2 lookback D N float64.
    """

    def __init__(self, kernel: Kernel, universe: Universe, schema: str, typical: bool = False) -> None:
        self.kernel, self.schema, self._universe, self._typical = kernel, schema, universe, typical
        self._rows, self._at = kernel.lookback, 0  # the row of the ring that the next bars take
        self._block: Block = np.full((kernel.depth, 2 * self._rows, len(universe)), np.nan)
        self._all = np.arange(len(universe), dtype=np.int64)

    @property
    def symbols(self) -> tuple[str, ...]:
        return self._universe.symbols

    def push(self, bars: Bars) -> None:
        block, at = self._block, self._at
        row = at + self._rows
        fresh = bars.status == 0
        for k, column in enumerate((bars.open, bars.high, bars.low, bars.close, bars.volume, bars.vwap)):
            block[k, row] = np.where(fresh, column, np.nan)
        if self._typical:
            mean = (block[HIGH, row] + block[LOW, row] + block[CLOSE, row]) / 3.0
            block[VWAP, row] = np.where(np.isnan(block[VWAP, row]), mean, block[VWAP, row])
        self.kernel.derive(block, row, row + 1, self._all)
        block[:, at] = block[:, row]
        self._at = (at + 1) % self._rows

    def into(self, out: Matrix) -> None:
        """Writes the features (N, F) of the slice pushed last."""
        self.kernel.into(self._block, self._newest, out)

    def value(self) -> Matrix:
        """The features (N, F) of the slice pushed last, in an array of their own."""
        out = np.empty((len(self._universe), len(self.kernel.names)))
        self.into(out)
        return out

    @property
    def _newest(self) -> int:
        return (self._at - 1) % self._rows + self._rows

    def adjust(self, actions: Actions) -> None:
        """Brings all rows into the terms of prices after these actions."""
        prices = price_factor(actions, self._latest_close())
        shares = share_factor(actions, len(self._universe))
        touched = np.flatnonzero((prices != 1.0) | (shares != 1.0))
        if not len(touched):
            return
        self._block[_PRICES[:, None], :, touched] *= prices[touched][:, None]
        self._block[VOLUME][:, touched] *= shares[touched]
        self._derive_all(touched.astype(np.int64))

    def _derive_all(self, symbols: NDArray[np.int64]) -> None:
        self.kernel.derive(self._block, 1, 2 * self._rows, symbols)
        self._block[:, 0] = self._block[:, self._rows]  # what precedes row 0 of the ring is its last row

    def _latest_close(self) -> Vector:
        """The last close within the window, NaN where there is none: all that a dividend is measured by."""
        close = self._block[CLOSE, self._at : self._at + self._rows]
        newest = close.shape[0] - 1 - np.argmax(np.isfinite(close[::-1]), axis=0)
        latest: Vector = np.take_along_axis(close, newest[None], axis=0)[0]
        return latest

    def save(self) -> bytes:
        rows = self._block[: len(COLUMNS), self._at : self._at + self._rows]
        return pack(_KIND, _VERSION, symbols=list(self.symbols), schema=self.schema, rows=rows)

    def load(self, state: bytes) -> None:
        """Restores by symbol: names appended to the universe since start without history."""
        fields = unpack(state, _KIND, _VERSION)
        if fields["schema"] != self.schema:
            raise StateError(
                f"features: the saved state is of schema {fields['schema']}, not {self.schema}; "
                "load it with the windows it was saved with, and the same options"
            )
        rows = placed(fields["rows"], fields["symbols"], self.symbols, np.nan)
        self._block[:] = np.nan
        self._block[: len(COLUMNS)], self._at = np.concatenate([rows, rows], axis=1), 0
        self._derive_all(self._all)


Vwap: TypeAlias = Literal["feed", "typical"]


def is_typical(vwap: Vwap) -> bool:
    """Whether a missing vwap is filled. Raises ValueError for what is neither."""
    if vwap not in ("feed", "typical"):
        raise ValueError(f"vwap must be feed (as it comes, NaN without one) or typical, got {vwap!r}")
    return vwap == "typical"
