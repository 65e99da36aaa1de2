"""Gaps in features filled."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from components.processors.columns import by_column, in_float32, known


class Fill:
    """A value for features that are not known, of names that have a bar.

    `by` is `zero`, the `median` of the training rows, or the `mean` of the slice. A column without anything to take it
    of becomes 0. A row without a single known feature stays NaN: that name has no bar, and no opinion is to be made of
    it.

    >>> Fill().apply(np.array([[1.0, np.nan], [np.nan, np.nan]], np.float32), {})
    array([[ 1.,  0.],
           [nan, nan]], dtype=float32)
    """

    kind = "fill"

    def __init__(self, *, by: Literal["zero", "median", "mean"] = "zero") -> None:
        if by not in ("zero", "median", "mean"):
            raise ValueError(f"by must be zero, median (of training) or mean (of the slice), got {by!r}")
        self.options = {"by": by}
        self._by = by

    def fit(self, features: NDArray[Any], /) -> Mapping[str, NDArray[Any]]:
        if self._by != "median":
            return {}
        return {"median": np.nan_to_num(by_column(np.nanmedian, known(features)))}

    def apply(self, value: NDArray[Any], frozen: Mapping[str, NDArray[Any]], /) -> NDArray[Any]:
        fill: Any = 0.0
        if self._by == "median":
            fill = frozen["median"]
        elif self._by == "mean" and len(value):
            fill = np.nan_to_num(by_column(np.nanmean, known(value)))
        gaps = np.isnan(value)
        return in_float32(np.where(gaps & ~gaps.all(axis=1, keepdims=True), fill, value))
