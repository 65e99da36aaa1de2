"""Which names have an opinion of a slice, by their features alone; and rows of these to check an artefact by."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.events import Mask
from engine.protocols import Dataset

_CHECK_ROWS = 16


def enough(window: NDArray[Any]) -> Mask:
    """(N,) whether at least half of the features of each name are known, over all slices of a window (steps, N, F).

    >>> enough(np.array([[[1.0, np.nan], [np.nan, np.nan]]]))
    array([ True, False])
    """
    steps, _, width = window.shape
    unknown = sum(np.count_nonzero(np.isnan(each), axis=-1) for each in window)
    known: Mask = 2 * unknown <= steps * width
    return known


def opinions(dataset: Dataset, steps: int) -> Mask:
    """(T, N) the names that have one, of rows of so many slices."""
    found = np.zeros(dataset.features.shape[:2], bool)
    for t in range(steps - 1, len(found)):
        found[t] = enough(dataset.features[t + 1 - steps : t + 1])
    return found


def rows_to_check(dataset: Dataset, steps: int, whose: str) -> NDArray[Any]:
    """(steps, K, F) windows of K <= 16 names that have an opinion, spread over history.

    Where few slices have any, spread over those alone.
    """
    slices, n, _ = dataset.features.shape
    first = steps - 1
    at = np.linspace(first * n, max(slices * n - 1, first * n), _CHECK_ROWS).astype(np.int64)
    picked = _opinionated(dataset, first, [(int(k // n), int(k % n)) for k in at if k // n < slices])
    if len(picked) < _CHECK_ROWS // 4:
        some = np.flatnonzero(opinions(dataset, steps).any(axis=1))
        at = np.linspace(0, len(some) * n - 1, _CHECK_ROWS).astype(np.int64) if len(some) else at[:0]
        picked = _opinionated(dataset, first, [(int(some[k // n]), int(k % n)) for k in at])
    if not picked:
        raise ConfigError(
            f"{whose}: no slice has a name whose features are known over {steps} slices; train on longer history"
        )
    windows = [dataset.features[t - first : t + 1, i] for t, i in picked]
    return np.stack(windows, axis=1).astype(np.float32, copy=False)


def _opinionated(dataset: Dataset, first: int, places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Slice and name of the next name at or after each place of its slice that has an opinion, in order, each once."""
    found: set[tuple[int, int]] = set()
    for t, i in dict.fromkeys(places):
        known = np.flatnonzero(enough(dataset.features[t - first : t + 1]))
        if len(known):
            found.add((t, int(known[np.searchsorted(known, i) % len(known)])))
    return sorted(found)
