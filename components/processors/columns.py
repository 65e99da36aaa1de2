"""Statistics of columns that know gaps: of training rows, or of the names of one slice."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.events import Matrix, Vector

_CELLS = 1 << 22  # of a block of columns, 32 MB


def known(features: NDArray[Any]) -> Matrix:
    """Rows (R, F) in float64 with infinities as NaN. Raises ConfigError where there is no row at all."""
    if not len(features):
        raise ConfigError("processor: there is no row to learn statistics of; train on longer history")
    value = features.astype(np.float64)
    value[np.isinf(value)] = np.nan
    return value


def by_column(statistic: Callable[..., Any], value: Matrix) -> Vector:
    """A NaN-ignoring statistic over the rows (F,); NaN for a column without a known value.

    Some columns at a time, since such statistics copy what they are given. Memory: `_CELLS` numbers, or one column.
    """
    some = max(1, _CELLS // max(1, len(value)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy's word on columns that are NaN throughout
        parts = [statistic(value[:, j : j + some], axis=0) for j in range(0, value.shape[1], some)]
    return np.concatenate(parts).astype(np.float64)


def in_float32(value: Matrix) -> NDArray[np.float32]:
    """What a processor hands on."""
    return value.astype(np.float32)
