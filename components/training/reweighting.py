"""How much each row of training counts."""

import numpy as np

from engine.events import Matrix
from engine.protocols import Dataset


class Decay:
    """Older slices count less.

        w_t = 2 ** -(age_t / half_life),   age_t = slices between t and the dataset's last one

    >>> when = np.arange(3) * 10
    >>> rows = Dataset(names=("x",), schema="s", ts=when, features=np.zeros((3, 1, 1), np.float32),
    ...     label=np.zeros((3, 1)), label_from=when, label_to=when, horizon_ns=10)
    >>> Decay(half_life=1).weights(rows)
    array([[0.25], [0.5 ], [1.  ]])
    """

    def __init__(self, *, half_life: float) -> None:
        if not half_life > 0:
            raise ValueError(f"half_life must be above 0 slices, got {half_life}")
        self.options = {"half_life": half_life}
        self._half_life = half_life

    def weights(self, dataset: Dataset, /) -> Matrix:
        slices, n = dataset.label.shape
        age = np.arange(slices - 1, -1, -1, dtype=np.float64)
        return np.repeat(np.exp2(-age / self._half_life)[:, None], n, axis=1)


class EvenSlices:
    """Every slice counts the same, however many names it has.

        w_ti = mean number of labels of a slice / number of labels of slice t

    Without it a slice counts as much as it has names, so a universe that grows is learned from its end.

    >>> when, nan = np.arange(2) * 10, np.nan
    >>> rows = Dataset(names=("x",), schema="s", ts=when, features=np.zeros((2, 2, 1), np.float32),
    ...     label=np.array([[0.1, 0.2], [0.3, nan]]), label_from=when, label_to=when, horizon_ns=10)
    >>> EvenSlices().weights(rows)
    array([[0.75, 0.75], [1.5 , 1.5 ]])
    """

    def __init__(self) -> None:
        self.options: dict[str, float] = {}

    def weights(self, dataset: Dataset, /) -> Matrix:
        slices, n = dataset.label.shape
        count = np.isfinite(dataset.label).sum(axis=1)
        some = count > 0
        mean = count[some].mean() if some.any() else 1.0
        return np.repeat(np.where(some, mean / np.maximum(count, 1), 1.0)[:, None], n, axis=1)
