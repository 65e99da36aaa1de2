"""A model trained on one side of a fold, and what it says of the other."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from engine.errors import ConfigError
from engine.events import Mask, Matrix
from engine.learning import Fold
from engine.protocols import Dataset

_ROWS = ("ts", "features", "label", "label_from", "label_to")


def learned(make: Callable[[], Any], dataset: Dataset, fold: Fold) -> Matrix:
    """(T, N) scores of the tested slices, NaN elsewhere, of a fresh model that learned from the train slices.

    `make` gives a model that has `fit`, `swap` and `predict`, with the same random numbers each time. It sees no label
    of a slice that it is asked about. One that remembers slices is shown as many before a tested one as it declares by
    `lookback`. ConfigError for such a model where the train slices have gaps, since it would take slices for neighbours
    that are none.

    Memory: a copy of the train slices where they have gaps, a view otherwise.
    """
    model = make()
    remembered = max(1, int(getattr(model, "lookback", 1)))
    places = np.flatnonzero(fold.train)
    if remembered > 1 and len(places) and places[-1] - places[0] >= len(places):
        raise ConfigError(
            f"training: a model that remembers {remembered} slices cannot learn from slices with gaps, and the fold "
            f"leaves out some between slice {places[0]} and slice {places[-1]}; use a walk forward"
        )
    model.swap(model.fit(_part(dataset, fold.train)))
    out = np.full(dataset.label.shape, np.nan)
    for low, high in _runs(fold.test):
        begin = max(0, low - remembered + 1)
        shown = _part(dataset, (np.arange(len(dataset.ts)) >= begin) & (np.arange(len(dataset.ts)) < high))
        blind = msgspec.structs.replace(shown, label=np.full(shown.label.shape, np.nan))
        out[low:high] = model.predict(blind)[low - begin :]
    return out


def _part(dataset: Dataset, rows: Mask) -> Dataset:
    """The dataset of some of its slices."""
    runs = _runs(rows)
    chosen = slice(*runs[0]) if len(runs) == 1 else rows
    fields = {name: getattr(dataset, name)[chosen] for name in _ROWS}
    weight = None if dataset.weight is None else dataset.weight[chosen]
    return msgspec.structs.replace(dataset, weight=weight, **fields)


def _runs(rows: Mask) -> list[tuple[int, int]]:
    """The ranges [low, high) of slices in a row."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], rows, [False]]).astype(np.int8)))
    return [(int(low), int(high)) for low, high in zip(edges[::2], edges[1::2], strict=True)]
