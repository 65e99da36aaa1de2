"""Features cut to a range."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.processors.columns import in_float32


class Clip:
    """Values below `low` become `low`, values above `high` become `high`. NaN stays NaN. Nothing is learned.

    >>> Clip(low=-1, high=1).apply(np.array([[-5.0, 0.5, np.nan]], np.float32), {})
    array([[-1. ,  0.5,  nan]], dtype=float32)
    """

    kind = "clip"

    def __init__(self, *, low: float = -3.0, high: float = 3.0) -> None:
        if not low < high:
            raise ValueError(f"low must be below high, got {low} and {high}")
        self.options = {"low": low, "high": high}
        self._low, self._high = low, high

    def fit(self, features: NDArray[Any], /) -> Mapping[str, NDArray[Any]]:
        return {}

    def apply(self, value: NDArray[Any], frozen: Mapping[str, NDArray[Any]], /) -> NDArray[Any]:
        return in_float32(np.clip(value, self._low, self._high))
