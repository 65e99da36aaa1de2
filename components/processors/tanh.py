"""Features pressed into (-1, 1)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.processors.columns import in_float32


class Tanh:
    """tanh(x - shift): what is far away counts little more than what is less far. NaN stays NaN; nothing is learned.

    Qlib's processor of this name shifts by 1, since it expects prices over a price.

    >>> Tanh(shift=1).apply(np.array([[1.0, np.nan]], np.float32), {})
    array([[ 0., nan]], dtype=float32)
    """

    kind = "tanh"

    def __init__(self, *, shift: float = 0.0) -> None:
        self.options = {"shift": shift}
        self._shift = shift

    def fit(self, features: NDArray[Any], /) -> Mapping[str, NDArray[Any]]:
        return {}

    def apply(self, value: NDArray[Any], frozen: Mapping[str, NDArray[Any]], /) -> NDArray[Any]:
        # In float64: the vectorised float32 function may round another way at the end of an array.
        return in_float32(np.tanh(value.astype(np.float64) - self._shift))
