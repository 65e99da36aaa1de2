"""What a dataset promises, seen to before anything learns from it."""

import numpy as np

from components.training.intervals import NEVER
from engine.errors import ConfigError
from engine.instants import instant_text
from engine.protocols import Dataset


def check_dataset(dataset: Dataset, whose: str) -> None:
    """Raises ConfigError for arrays that do not fit together, slices out of order, and labels that begin before their
    decision, end before they begin, or have no end yet. `whose` names who is to learn.
    """
    _check_shapes(dataset, whose)
    ts, begins, ends = dataset.ts, dataset.label_from, dataset.label_to
    back = np.flatnonzero(np.diff(ts) <= 0)
    if len(back):
        k = int(back[0]) + 1
        said = "stands twice" if ts[k] == ts[k - 1] else f"comes after that of {instant_text(ts[k - 1])}"
        raise ConfigError(
            f"{whose}: the slice of {instant_text(ts[k])} {said}; give each instant once, in order of time"
        )
    for wrong, rule in (
        (ends == NEVER, "is not known yet, for it ends never; leave such slices out until it is"),
        (begins < ts, "begins before that, so features have seen part of it; a label looks at later prices only"),
        (ends < begins, "ends before it begins; say in label_to until when it looks"),
    ):
        if wrong.any():
            k = int(np.argmax(wrong))
            raise ConfigError(f"{whose}: the label of slice {k}, decided at {instant_text(ts[k])}, {rule}")


def _check_shapes(dataset: Dataset, whose: str) -> None:
    if dataset.features.ndim != 3:
        raise ConfigError(f"{whose}: features are of shape {dataset.features.shape}; give slices, names and features")
    slices, n, width = dataset.features.shape
    if not slices:
        raise ConfigError(f"{whose}: the dataset has no slice; train on longer history")
    for name, wanted in (("ts", (slices,)), ("label", (slices, n)), ("label_from", (slices,)), ("label_to", (slices,))):
        found = getattr(dataset, name).shape
        if found != wanted:
            raise ConfigError(
                f"{whose}: {name} is of shape {found} beside features of {slices} slices, {n} names; give {wanted}"
            )
    for name, listed, count in (("names", dataset.names, width), ("symbols", dataset.symbols, n)):
        if listed and len(listed) != count:
            raise ConfigError(
                f"{whose}: {name} has {len(listed)} entries beside features of {count}; give one for each"
            )
