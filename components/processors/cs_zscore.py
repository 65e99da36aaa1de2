"""Features told in standard deviations across the names of their slice."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.processors.columns import by_column, in_float32, known


class CsZscore:
    """Distance from the mean of the slice, in standard deviations across its names (with n - 1).

        z = (x - mean) / std
        z = (x - median) / (1.4826 MAD), cut to [-3, 3]           with `robust`

    A column that all names share is NaN: nothing tells them apart, and 0 / 0 is no score. So is one with a single known
    name. NaN stays NaN. Nothing is learned.

    >>> CsZscore().apply(np.array([[1.0], [2.0], [np.nan], [3.0]], np.float32), {}).ravel()
    array([-1.,  0., nan,  1.], dtype=float32)
    """

    kind = "cs_zscore"

    def __init__(self, *, robust: bool = False) -> None:
        self.options = {"robust": robust}
        self._robust = robust

    def fit(self, features: NDArray[Any], /) -> Mapping[str, NDArray[Any]]:
        return {}

    def apply(self, value: NDArray[Any], frozen: Mapping[str, NDArray[Any]], /) -> NDArray[Any]:
        if not len(value):
            return in_float32(value)
        slice_ = known(value)
        still = by_column(np.nanmax, slice_) == by_column(np.nanmin, slice_)
        if self._robust:
            off = slice_ - by_column(np.nanmedian, slice_)
            spread = 1.4826 * by_column(np.nanmedian, np.abs(off))
        else:
            off = slice_ - by_column(np.nanmean, slice_)
            spread = by_column(_deviation, slice_)
        z = off / np.where(still | (spread == 0), np.nan, spread)
        return in_float32(np.clip(z, -3.0, 3.0) if self._robust else z)


def _deviation(x: NDArray[Any], axis: int) -> Any:
    return np.nanstd(x, axis=axis, ddof=1)
