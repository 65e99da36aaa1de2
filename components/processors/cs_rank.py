"""Features told as ranks across the names of their slice."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.processors.columns import in_float32


class CsRank:
    """Share of the known names of the slice at or below a name, about zero and of about unit spread.

        x' = 3.46 (rank / n - 0.5)

    Ranks run from 1, equal values share their average rank. NaN stays NaN and is not counted. Nothing is learned.

    >>> CsRank().apply(np.array([[5.0], [7.0], [np.nan], [5.0], [9.0]], np.float32), {}).ravel()
    array([-0.4325,  0.865 ,     nan, -0.4325,  1.73  ], dtype=float32)
    """

    kind = "cs_rank"

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def fit(self, features: NDArray[Any], /) -> Mapping[str, NDArray[Any]]:
        return {}

    def apply(self, value: NDArray[Any], frozen: Mapping[str, NDArray[Any]], /) -> NDArray[Any]:
        column = np.ascontiguousarray(value.T)
        order = np.argsort(column, axis=1, kind="stable")  # NaN last
        ordered = np.take_along_axis(column, order, axis=1)
        place = np.arange(len(value))
        # Equal values share the average of the first and the last of their places.
        new = np.ones(column.shape, bool)
        new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        first = np.maximum.accumulate(np.where(new, place, 0), axis=1)
        ends = np.ones(column.shape, bool)
        ends[:, :-1] = new[:, 1:]
        last = np.minimum.accumulate(np.where(ends, place, len(value))[:, ::-1], axis=1)[:, ::-1]
        rank = np.empty(column.shape)
        np.put_along_axis(rank, order, (first + last) / 2 + 1, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            score = 3.46 * (rank / (~np.isnan(column)).sum(axis=1, keepdims=True) - 0.5)
        return in_float32(np.where(np.isnan(value), np.nan, score.T))
