"""Features told in standard deviations of the training rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.processors.columns import by_column, in_float32, known


class Zscore:
    """Distance from the training mean in standard deviations (with n), gaps left out of both.

        z = (x - mean) / std

    A column that did not move in training is left as it is. NaN stays NaN; a column without a known training value is
    NaN throughout.

    >>> stage = Zscore()
    >>> stage.apply(np.array([[3.0]], np.float32), stage.fit(np.array([[1.0], [np.nan], [3.0]], np.float32)))
    array([[1.]], dtype=float32)
    """

    kind = "zscore"

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def fit(self, features: NDArray[Any], /) -> Mapping[str, NDArray[Any]]:
        rows = known(features)
        mean, low, high = (by_column(of, rows) for of in (np.nanmean, np.nanmin, np.nanmax))
        spread = by_column(np.nanstd, rows)
        still = low == high  # by the values: the spread of equal ones is rounding, not always 0
        return {"mean": np.where(still, 0.0, mean), "std": np.where(still | (spread == 0), 1.0, spread)}

    def apply(self, value: NDArray[Any], frozen: Mapping[str, NDArray[Any]], /) -> NDArray[Any]:
        return in_float32((value - frozen["mean"]) / frozen["std"])
