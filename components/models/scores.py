"""The user's own scores, answered slice by slice as of when each became known."""

import numpy as np

from engine.errors import DataError
from engine.events import DAY_NS, Bars, Signal, Vector
from engine.protocols import Artefact, Table
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "scores", 2


class Scores:
    """Answers with the rows of a table whose `ts` is the slice's, and NaN where there are none.

        value_i(t) = the score of symbol i with ts = t, or with the latest ts of the last `stale` slices

    `stale = 0` uses each score in its own slice only; with `stale = k` a symbol without a new score keeps its last one
    for k slices more. A NaN in the table is no new score. Rows of instants that are no slice are never used.
    `column` names the scores where the table has several columns. Memory: the table and two rows of N.

    >>> from engine.protocols import Table
    >>> from engine.universe import universe_of
    >>> mine = Table(path="mine.csv", hash="", ts=np.array([1, 2]), symbol=np.array([0, 1]),
    ...     columns={"score": np.array([0.5, 0.7])})
    >>> model = Scores(table=mine, universe=universe_of(("A", "B")), name="mine", stale=1)
    >>> model.on_bars(bars(ts=1, close=[10.0, 10.0])).value
    array([0.5, nan])
    >>> model.on_bars(bars(ts=2, close=[10.0, 10.0])).value
    array([0.5, 0.7])
    """

    def __init__(
        self,
        *,
        table: Table,
        universe: Universe,
        name: str,
        column: str | None = None,
        horizon_ns: int = DAY_NS,
        stale: int = 0,
    ) -> None:
        if stale < 0:
            raise ValueError(f"stale must be at least 0 slices, got {stale}")
        if horizon_ns < 1:
            raise ValueError(f"horizon_ns must be positive, got {horizon_ns}")
        self.lookback, self._symbols = stale + 1, universe.symbols
        self._name, self._horizon_ns, self._stale, self._n = name, horizon_ns, stale, len(universe)
        score = column_of(table, column)
        order = np.argsort(table.ts, kind="stable")
        self._ts = table.ts[order]
        self._symbol, self._score = table.symbol[order].astype(np.intp), score[order]
        if len(self._symbol) and not (self._symbol.min() >= 0 and self._symbol.max() < self._n):
            raise DataError(f"{table.path}: a row names a symbol outside the universe of {self._n}; drop such rows")
        # Row ranges of each instant, so that a slice costs one look-up however long the table is.
        starts, first = np.unique(self._ts, return_index=True)
        ends = np.append(first, len(self._ts))[1:]
        self._rows = {int(ts): (int(a), int(b)) for ts, a, b in zip(starts, first, ends, strict=True)}
        self._last = np.full(self._n, np.nan)
        self._left = np.zeros(self._n, np.int64)  # slices for which the last score may still be used

    def swap(self, artefact: Artefact, /) -> None:
        """Scores are given, not learned."""
        raise ValueError(f"{self._name}: it answers with given scores and takes no artefact; retrain another model")

    def on_bars(self, bars: Bars, /) -> Signal:
        value = np.full(self._n, np.nan)
        rows = self._rows.get(bars.ts)
        if rows is not None:
            value[self._symbol[rows[0] : rows[1]]] = self._score[rows[0] : rows[1]]
        if self._stale:
            value = self._carried(value)
        return Signal(ts=bars.ts, asof=bars.ts, source=self._name, value=value, horizon_ns=self._horizon_ns)

    def _carried(self, value: Vector) -> Vector:
        new = ~np.isnan(value)
        carried: Vector = np.where(new, value, np.where(self._left > 0, self._last, np.nan))
        self._left = np.where(new, self._stale, np.maximum(self._left - 1, 0))
        self._last = carried
        return carried.copy()

    def save(self) -> bytes:
        return pack(_KIND, _VERSION, symbols=self._symbols, last=self._last, left=self._left)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since start without an old score."""
        fields = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._symbols
        self._last, self._left = placed(fields["last"], before, now, np.nan), placed(fields["left"], before, now, 0)


def column_of(table: Table, column: str | None) -> Vector:
    """The values of this column, or of the only one there is. ValueError where there is no such, or several."""
    known = ", ".join(table.columns) or "none"
    if column is None:
        if len(table.columns) == 1:
            return next(iter(table.columns.values()))
        raise ValueError(f"{table.path}: it has {len(table.columns)} columns ({known}); set `column` to one of them")
    if column not in table.columns:
        raise ValueError(f"{table.path}: it has no column {column!r}; set `column` to one of: {known}")
    return table.columns[column]
