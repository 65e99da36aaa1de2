"""A model trained on one side of a fold, and what it says of the other."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from components.training.slices import runs, sliced, taught
from engine.events import Matrix
from engine.learning import Fold
from engine.protocols import Dataset


def learned(make: Callable[[], Any], dataset: Dataset, fold: Fold) -> Matrix:
    """(T, N) scores of the tested slices, NaN elsewhere, of a fresh model that learned from the train slices.

    `make` gives a model that has `fit`, `swap` and `predict`, with the same random numbers each time. It sees no label
    of a slice that it is asked about. One that remembers slices is shown as many before a tested one as it declares by
    `lookback`; it finds gaps of the train slices in their place, without a label.

    Memory: a copy of the train slices where they have gaps, a view otherwise.
    """
    model = make()
    remembered = max(1, int(getattr(model, "lookback", 1)))
    model.swap(model.fit(taught(dataset, fold.train, remembered)))
    out = np.full(dataset.label.shape, np.nan)
    for low, high in runs(fold.test):
        begin = max(0, low - remembered + 1)
        shown = sliced(dataset, slice(begin, high))
        blind = msgspec.structs.replace(shown, label=np.full(shown.label.shape, np.nan))
        out[low:high] = model.predict(blind)[low - begin :]
    return out
