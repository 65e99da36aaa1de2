"""Names left out of which too little is known."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.processors.columns import in_float32


class Drop:
    """A name of which more than `max_missing` of the features are unknown has none at all.

    Its row is NaN throughout, here and behind whatever fills gaps. `max_missing: 0` keeps complete rows only.

    >>> Drop(max_missing=0.5).apply(np.array([[1.0, np.nan, np.nan], [1.0, 2.0, np.nan]], np.float32), {})
    array([[nan, nan, nan],
           [ 1.,  2., nan]], dtype=float32)
    """

    kind = "drop"

    def __init__(self, *, max_missing: float = 0.0) -> None:
        if not 0 <= max_missing < 1:
            raise ValueError(f"max_missing must be from 0 to below 1 of the features, got {max_missing}")
        self.options = {"max_missing": max_missing}
        self._max_missing = max_missing

    def fit(self, features: NDArray[Any], /) -> Mapping[str, NDArray[Any]]:
        return {}

    def apply(self, value: NDArray[Any], frozen: Mapping[str, NDArray[Any]], /) -> NDArray[Any]:
        missing = np.isnan(value).sum(axis=1, keepdims=True)
        return in_float32(np.where(missing > self._max_missing * value.shape[1], np.nan, value))
