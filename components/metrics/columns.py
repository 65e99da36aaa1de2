"""Rows that are added one by one and read as columns."""

import numpy as np

from engine.events import Matrix, Stamps, Vector

_FIRST = 256


class Columns:
    """Rows of a ts and `names` of float64, kept in arrays that double. Memory: 8 bytes a number, at most twice."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._ts: Stamps = np.empty(_FIRST, np.int64)
        self._rows: Matrix = np.empty((_FIRST, len(names)))
        self._n = 0

    def __len__(self) -> int:
        return self._n

    def add(self, ts: int, row: tuple[float, ...]) -> None:
        if self._n == len(self._ts):
            self._grow(self._n + 1)
        self._ts[self._n], self._rows[self._n] = ts, row
        self._n += 1

    def extend(self, ts: Stamps, rows: Matrix) -> None:
        if self._n + len(ts) > len(self._ts):
            self._grow(self._n + len(ts))
        end = self._n + len(ts)
        self._ts[self._n : end], self._rows[self._n : end] = ts, rows
        self._n = end

    def _grow(self, least: int) -> None:
        size = max(2 * len(self._ts), least)
        ts, rows = np.empty(size, np.int64), np.empty((size, len(self.names)))
        ts[: self._n], rows[: self._n] = self._ts[: self._n], self._rows[: self._n]
        self._ts, self._rows = ts, rows

    def last(self, name: str) -> float:
        return float(self._rows[self._n - 1, self.names.index(name)])

    @property
    def ts(self) -> Stamps:
        return self._ts[: self._n].copy()

    def __getitem__(self, name: str) -> Vector:
        return self._rows[: self._n, self.names.index(name)].copy()

    def matrix(self) -> Matrix:
        return self._rows[: self._n].copy()
