"""Features told in median absolute deviations of the training rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.processors.columns import by_column, in_float32, known

_EPS = 1e-12


class RobustZscore:
    """Distance from the training median, in the spread that outliers do not move.

        z = (x - median) / (1.4826 (MAD + 1e-12)), cut to [-clip, clip]; MAD = median of |x - median|

    1.4826 makes it a standard deviation where values are normal. `clip: 0` cuts nothing. NaN stays NaN; a column
    without a known training value is NaN throughout, one that never moved in training is 0 at its value, else far off.

    >>> stage = RobustZscore()
    >>> rows = np.array([[1.0], [2.0], [3.0], [4.0], [100.0]], np.float32)
    >>> stage.apply(np.array([[3.0], [4.4826], [100.0]], np.float32), stage.fit(rows)).ravel().round(4)
    array([0., 1., 3.], dtype=float32)

    Source: Huber (1981), Robust statistics, 5.1.
    """

    kind = "robust_zscore"

    def __init__(self, *, clip: float = 3.0) -> None:
        if not clip >= 0:
            raise ValueError(f"clip must be at least 0 (0 = do not cut), got {clip}")
        self.options = {"clip": clip}
        self._clip = clip or np.inf

    def fit(self, features: NDArray[Any], /) -> Mapping[str, NDArray[Any]]:
        rows = known(features)
        median = by_column(np.nanmedian, rows)
        rows -= median
        return {"median": median, "mad": by_column(np.nanmedian, np.abs(rows, out=rows))}

    def apply(self, value: NDArray[Any], frozen: Mapping[str, NDArray[Any]], /) -> NDArray[Any]:
        z = (value - frozen["median"]) / (1.4826 * (frozen["mad"] + _EPS))
        return in_float32(np.clip(z, -self._clip, self._clip))
