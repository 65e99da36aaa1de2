"""Features told as shares of the range of the training rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.processors.columns import by_column, in_float32, known


class MinMax:
    """Where a value lies between the smallest and the largest of the training rows.

        x' = (x - min) / (max - min)

    0 to 1 in training; later values may lie outside, and are not cut. A column that did not move in training is left as
    it is. NaN stays NaN; a column without a known training value is NaN throughout.

    >>> stage = MinMax()
    >>> stage.apply(np.array([[3.0]], np.float32), stage.fit(np.array([[1.0], [np.nan], [5.0]], np.float32)))
    array([[0.5]], dtype=float32)
    """

    kind = "min_max"

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def fit(self, features: NDArray[Any], /) -> Mapping[str, NDArray[Any]]:
        rows = known(features)
        low, high = by_column(np.nanmin, rows), by_column(np.nanmax, rows)
        still = low == high
        return {"min": np.where(still, 0.0, low), "span": np.where(still, 1.0, high - low)}

    def apply(self, value: NDArray[Any], frozen: Mapping[str, NDArray[Any]], /) -> NDArray[Any]:
        return in_float32((value - frozen["min"]) / frozen["span"])
