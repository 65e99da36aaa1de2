"""What a user's table says of each symbol as of an instant."""

import numpy as np

from components.models.scores import column_of
from engine.errors import DataError
from engine.events import Vector
from engine.protocols import Table


class Standing:
    """(N,) the latest value of each symbol in a column of a table: a row holds from its `ts` until the next one.

    A symbol without a row yet has `unsaid`; a NaN is no new value. It is a function of the instant asked for, so there
    is nothing to save. Memory: the table and one row of N.

    >>> table = Table(path="t.csv", hash="", ts=np.array([1, 3]), symbol=np.array([0, 0]),
    ...     columns={"banned": np.array([1.0, 0.0])})
    >>> banned = Standing(table, None, n=2, unsaid=0.0)
    >>> banned.at(2), banned.at(3), banned.at(0)
    (array([1., 0.]), array([0., 0.]), array([0., 0.]))
    """

    def __init__(self, table: Table, column: str | None, *, n: int, unsaid: float) -> None:
        value = column_of(table, column)
        order = np.argsort(table.ts, kind="stable")
        order = order[~np.isnan(value[order])]
        self._ts, self._symbol, self._value = table.ts[order], table.symbol[order].astype(np.intp), value[order]
        if len(self._symbol) and not (self._symbol.min() >= 0 and self._symbol.max() < n):
            raise DataError(f"{table.path}: a row names a symbol outside the universe of {n}; drop such rows")
        self._start: Vector = np.full(n, unsaid)
        self._row, self._now = 0, self._start.copy()  # rows that count already

    def at(self, ts: int) -> Vector:
        row = int(np.searchsorted(self._ts, ts, side="right"))
        if row < self._row:
            self._row, self._now = 0, self._start.copy()
        if row > self._row:
            # Of several rows of a symbol the last stands: later ones overwrite in the order of the table.
            self._now = self._now.copy()
            self._now[self._symbol[self._row : row]] = self._value[self._row : row]
            self._row = row
        return self._now
