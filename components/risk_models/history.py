"""What every risk model remembers: rows of numbers by symbol over a window, with corporate actions undone."""

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.errors import StateError
from engine.events import ActionKind, Actions, Bars, Mask, Matrix, Vector
from engine.protocols import Risk
from engine.state import check_appended, mutable, pack, placed, unpack
from engine.universe import Universe


class Window:
    """The last `length` rows of K numbers, from old to new in one block. Memory: 2 * length rows."""

    def __init__(self, length: int, columns: int) -> None:
        self.length = length
        self._block = np.full((2 * length, columns), np.nan)
        self._end = 0
        self.counts = np.zeros(columns, np.int64)  # known numbers of each column

    def push(self, row: Vector) -> None:
        if self._end >= self.length:
            self.counts -= np.isfinite(self._block[self._end - self.length])
        self.counts += np.isfinite(row)
        if self._end == len(self._block):
            kept = self.length - 1
            self._block[:kept] = self._block[self._end - kept :]
            self._end = kept
        self._block[self._end] = row
        self._end += 1

    def rows(self) -> Matrix:
        """(T, K), T at most `length`; a view, good until the next `push`."""
        return self._block[max(self._end - self.length, 0) : self._end]

    def move(self, column: int, heir: int) -> None:
        """The heir takes over what the column holds."""
        self._block[:, heir] = self._block[:, column]
        self.counts[heir] = self.counts[column]
        self.forget(column)

    def forget(self, column: int) -> None:
        self._block[:, column] = np.nan
        self.counts[column] = 0

    def restore(self, rows: Matrix) -> None:
        self._block = np.full((2 * self.length, rows.shape[1]), np.nan)
        self._block[: len(rows)] = rows
        self._end = len(rows)
        self.counts = np.isfinite(rows).sum(axis=0)


class History:
    """Slice returns of N symbols over a window, and the last answer that was given about them.

    A return is close to close of two slices that follow each other, with dividends added and splits undone; it is
    missing (NaN) where either bar is. A symbol is ready with `min_slices` returns in the window. A delisted symbol is
    forgotten, the successor of a renamed one takes over its returns. Memory: 2 * window rows of N float64.
    """

    def __init__(self, universe: Universe, window: int, min_slices: int, late_quantile: float) -> None:
        if window < 2:
            raise ValueError(f"window must be at least 2 slices, got {window}")
        if not 2 <= min_slices <= window:
            raise ValueError(f"min_slices must be between 2 and window ({window}), got {min_slices}")
        if not 0 <= late_quantile <= 1:
            raise ValueError(f"late_quantile must be between 0 and 1, got {late_quantile}")
        self.symbols, n = universe.symbols, len(universe)
        self.min_slices, self.late_quantile = min_slices, late_quantile
        self.window = Window(window, n)
        self._close = np.full(n, np.nan)  # of the slice before, in today's shares
        self._income = np.zeros(n)  # dividends a share since then
        self._answer: Risk | None = None
        self._answered = False

    @property
    def lookback(self) -> int:
        return self.window.length + 1  # a return needs two closes

    def on_bars(self, bars: Bars) -> None:
        self.window.push(self.returns(bars))

    def returns(self, bars: Bars) -> Vector:
        """(N,) returns into this slice, for a model that keeps something else than them."""
        self.changed()
        row: Vector = (bars.close + self._income) / self._close - 1.0
        self._close = np.where(bars.status == 0, bars.close, np.nan)
        self._income = np.zeros_like(self._income)
        return row

    def on_actions(self, actions: Actions) -> list[tuple[int, int]]:
        """Symbols that are gone and who inherits from each, -1 = nobody, for what a model keeps besides."""
        self.changed()
        gone: list[tuple[int, int]] = []
        for kind, s, ratio, amount, heir in zip(
            actions.kind.tolist(),
            actions.symbol.tolist(),
            actions.ratio.tolist(),
            actions.amount.tolist(),
            actions.successor.tolist(),
            strict=True,
        ):
            if kind == ActionKind.SPLIT:
                self._close[s] /= ratio
                self._income[s] /= ratio
            elif kind == ActionKind.CASH_DIVIDEND:
                self._income[s] += amount
            elif kind == ActionKind.DELISTING:
                self.window.forget(s)
                self._close[s], self._income[s] = np.nan, 0.0
                gone.append((s, -1))
            elif kind == ActionKind.SYMBOL_CHANGE:
                self.window.move(s, heir)
                self._close[heir], self._income[heir] = self._close[s] / ratio, self._income[s] / ratio
                self._close[s], self._income[s] = np.nan, 0.0
                gone.append((s, heir))
        return gone

    def ready(self) -> Mask:
        """(N,) symbols with enough rows in the window."""
        result: Mask = self.window.counts >= self.min_slices
        return result

    def changed(self) -> None:
        self._answered = False

    def answer(self, estimate: Callable[[], Risk | None]) -> Risk | None:
        """What `estimate` says, asked once after each change: until the next one it stays the same object."""
        if not self._answered:
            self._answer, self._answered = estimate(), True
            if self._answer is not None:
                for array in (self._answer.factors, self._answer.covariance, self._answer.specific):
                    array.flags.writeable = False
        return self._answer

    def save(self, kind: str, version: int, /, more: dict[str, Any] | None = None) -> bytes:
        kept = {"rows": self.window.rows(), "close": self._close, "income": self._income}
        return pack(kind, version, symbols=self.symbols, window=self.window.length, **kept, **(more or {}))

    def load(self, state: bytes, kind: str, version: int, /) -> dict[str, Any]:
        """Restores by symbol: names appended to the universe since start without history. Returns all fields."""
        fields = unpack(state, kind, version)
        if fields["window"] != self.window.length:
            raise StateError(
                f"{kind}: the saved state is of a window of {fields['window']} slices, not {self.window.length}; "
                "load it with the window it was saved with"
            )
        before, now = fields["symbols"], self.symbols
        self.window.restore(placed(fields["rows"], before, now, np.nan))
        self._close = placed(fields["close"], before, now, np.nan)
        self._income = placed(fields["income"], before, now, 0.0)
        self.changed()
        return fields


def moved(array: Any, gone: list[tuple[int, int]], empty: float) -> Any:
    """A copy of an array (N, ...) in which heirs stand for the symbols that are gone, whose rows are `empty`."""
    result = mutable(array)
    for s, heir in gone:
        if heir >= 0:
            result[heir] = result[s]
        result[s] = empty
    return result


def by_symbol(array: Any, fields: dict[str, Any], now: tuple[str, ...], empty: float) -> Any:
    """A saved array (N before, ...) as (N now, ...); symbols appended since hold `empty`."""
    check_appended(fields["symbols"], now)
    result = np.full((len(now), *array.shape[1:]), empty, array.dtype)
    result[: len(array)] = array
    return result
