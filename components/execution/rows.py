"""A small table: columns of one length that are added to and picked from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Rows:
    """Columns by name. `keep` and `add` make new arrays, so that what was read of a column stays as it was."""

    def __init__(self, kinds: Mapping[str, Any]) -> None:
        self._columns: dict[str, NDArray[Any]] = {name: np.empty(0, kind) for name, kind in kinds.items()}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    def __setitem__(self, name: str, column: Any) -> None:
        self._columns[name] = np.asarray(column, self._columns[name].dtype)

    def add(self, count: int, columns: Mapping[str, Any]) -> None:
        """So many rows at the end; a scalar stands in each of them."""
        for name, before in self._columns.items():
            more = np.broadcast_to(np.asarray(columns[name], before.dtype), count)
            self._columns[name] = np.concatenate([before, more])
        self._length += count

    def keep(self, rows: Any) -> None:
        """Only the rows of this mask."""
        self._columns = {name: column[rows] for name, column in self._columns.items()}
        self._length = len(next(iter(self._columns.values())))

    def find(self, ids: NDArray[Any], by: str = "ids") -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """The row of each of these ids in a column where every id stands once, and which are there at all."""
        return found_in(self._columns[by], ids)

    def save(self) -> dict[str, NDArray[Any]]:
        return dict(self._columns)

    def load(self, saved: Mapping[str, Any]) -> None:
        for name, before in self._columns.items():
            self._columns[name] = np.array(saved[name], before.dtype)
        self._length = len(next(iter(self._columns.values())))


def found_in(own: NDArray[Any], ids: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The place of each of these ids in a column where every id stands once, and which are there at all.

    >>> found_in(np.array([7, 3]), np.array([3, 4]))[1]
    array([ True, False])
    """
    if not len(own):
        return np.zeros(len(ids), np.intp), np.zeros(len(ids), bool)
    order = own.argsort(kind="stable")
    place = order[np.minimum(np.searchsorted(own[order], ids), len(own) - 1)]
    return place, own[place] == ids
