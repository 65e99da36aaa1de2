"""Features of a user's own: formulas of the run file and classes of a package, on the same window as all others."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.features.column import Column, made_of, rows_of
from components.features.window import CLOSE, COLUMNS, Block, Vwap, Window, is_typical
from engine.events import Actions, Bars, Features, Matrix
from engine.sealing import users_own
from engine.universe import Universe

CODE_VERSION = 1  # part of the schema: another number whenever a value of an expression would differ
_LOOKBACK_MAX = 2520  # ten years of days: a bound on memory


class Custom:
    """One feature for each of `columns`: an `expression`, or a class of your own that fits `Column`.

    Each is shown the rows of its own lookback and nothing else, so its numbers cannot depend on where history starts,
    and history and live come from the same calls. Past prices are adjusted with the splits and dividends known at the
    slice. What is not finite is NaN; a name without a newest bar is NaN throughout.

    The schema covers names, formulas and, of a class, the text of its module and the attributes of the object.
    Memory: 12 lookback N float64.

    >>> from components.features.expression import Expression
    >>> from engine.universe import universe_of
    >>> rise = Expression(column="rise", expr="close / lag(close, 1) - 1")
    >>> features = Custom(universe=universe_of(("A",)), columns=(rise,))
    >>> for t, price in enumerate([10.0, 12.5], 1):
    ...     out = features.on_bars(bars(ts=t, close=[price]))
    >>> out.value
    array([[0.25]])
    """

    def __init__(self, *, universe: Universe, columns: tuple[Column, ...], vwap: Vwap = "feed") -> None:
        typical = is_typical(vwap)
        numbers = _Numbers(columns)
        self.names, self.lookback = numbers.names, numbers.lookback
        whole = ["custom", CODE_VERSION, vwap, [made_of(column) for column in columns]]
        self.schema = hashlib.sha256(msgspec.json.encode(whole)).hexdigest()[:32]
        self.window = Window(numbers, universe, self.schema, typical)

    def on_bars(self, bars: Bars, /) -> Features:
        self.window.push(bars)
        return Features(ts=bars.ts, schema=self.schema, value=self.window.value())

    def on_actions(self, actions: Actions, /) -> None:
        self.window.adjust(actions)

    def save(self) -> bytes:
        return self.window.save()

    def load(self, state: bytes, /) -> None:
        self.window.load(state)


class _Numbers:
    """All columns, one after another."""

    def __init__(self, columns: Sequence[Column]) -> None:
        if not columns:
            raise ValueError("columns must name at least one feature, got none")
        self._columns, self._own = tuple(columns), tuple(map(users_own, columns))
        self.names = tuple(name for column in columns for name in column.names)
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise ValueError(f"columns must have names of their own, got {twice!r} twice")
        for column in columns:
            if not 1 <= column.lookback <= _LOOKBACK_MAX:
                said = f"{', '.join(column.names)}: {column.lookback}"
                raise ValueError(f"columns must have a lookback from 1 to {_LOOKBACK_MAX} rows, got {said}")
        self.lookback, self.depth = max(column.lookback for column in columns), len(COLUMNS)

    def derive(self, block: Block, first: int, end: int, symbols: NDArray[np.int64], /) -> None:
        pass

    def into(self, block: Block, row: int, out: Matrix, /) -> None:
        begin = 0
        for column, own in zip(self._columns, self._own, strict=True):
            end = begin + len(column.names)
            value: Any = np.asarray(column.on_rows(rows_of(block, row, column.lookback, sealed=own)))
            if value.shape not in {(len(out), end - begin), (len(out),) * (end - begin == 1)}:
                raise ValueError(
                    f"features: {', '.join(column.names)} came as {value.shape}; "
                    f"on_rows must return ({len(out)}, {end - begin}): a row for each symbol, a column for each name"
                )
            out[:, begin:end] = value.reshape(len(out), -1)
            begin = end
        out[~np.isfinite(out)] = np.nan
        out[np.isnan(block[CLOSE, row])] = np.nan
