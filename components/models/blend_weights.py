"""How much each model of a blend counts, by its answers to slices that it has not seen."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from components.metrics.signal import spearman
from components.models.labels import standardised
from components.training.fitting import fitted, folder_in
from components.training.parts import parted
from components.training.slices import check_neighbours, sliced
from engine.errors import ConfigError, NothingLearnedError
from engine.events import Mask, Matrix, Vector
from engine.protocols import Dataset


def combined(values: Sequence[Matrix], weights: Vector) -> Matrix:
    """(T, N) weighed mean of the z-scores of each model's answers within a slice, over the models that have an opinion.

    NaN where none has one that counts. Each slice on its own: the same bits for one slice as for many.

    >>> combined([np.array([[1.0, 3.0, np.nan]]), np.array([[5.0, 4.0, 6.0]])], np.array([1.0, 1.0])).round(3)
    array([[-0.5  , -0.112,  1.225]])
    """
    total, counted = np.zeros_like(values[0]), np.zeros_like(values[0])
    for value, weight in zip(values, weights.tolist(), strict=True):
        z = standardised(value)
        known = np.isfinite(z)
        total += np.where(known, weight * z, 0.0)
        counted += np.where(known, weight, 0.0)
    return np.where(counted > 0, total / np.where(counted > 0, counted, 1.0), np.nan)


def unseen(
    models: Sequence[Any], dataset: Dataset, folds: int, whose: str, checkpoint: Path | None = None
) -> tuple[list[Matrix], Matrix]:
    """Answers of each model to slices after those that it learned from, (T, N) each, NaN elsewhere; and the labels.

    The part to learn from, of slices with a row that counts, is cut into folds + 1 spans. Each but the first is
    answered by models that learned from all spans before it, purged by the intervals of labels. Where a model remembers
    slices, those between that have no such row stay in place: they teach nothing, and are no gap. A model that a span's
    history teaches nothing has no answers (NaN) to it. Each of these trainings has a folder of its own in `checkpoint`.
    """
    rows = np.isfinite(dataset.label) & np.isfinite(dataset.features).any(axis=-1)
    if dataset.weight is not None:
        rows &= dataset.weight > 0
    remembered = max(int(getattr(model, "lookback", 1)) for model in models)
    part, some = parted(dataset).train, rows.any(axis=1)
    if remembered > 1:
        check_neighbours(part, remembered, whose, "set weigh to equal")
        for low, high in _stretch(part & some):
            some[low:high] = True
    learned = msgspec.structs.replace(sliced(dataset, part & some), valid_from=None)
    count = int((part & rows.any(axis=1)).sum())
    if count < 2 * (folds + 1):
        raise ConfigError(
            f"{whose}: {count} slices are too few to weigh models by {folds} spans that they have not seen; "
            "train on longer history, or set weigh to equal"
        )
    values = [np.full(learned.label.shape, np.nan) for _ in models]
    for span, (past, at) in enumerate(_spans(learned, folds)):
        check_neighbours(past, remembered, whose, "set weigh to equal")
        for k, (value, model) in enumerate(zip(values, models, strict=True)):
            trial, folder = copy.deepcopy(model), folder_in(checkpoint, f"{k}-until-span-{span}")
            try:
                trial.swap(fitted(trial, sliced(learned, past), None, folder))
            except NothingLearnedError:
                continue  # no answer to this span: what it is worth is told by the others
            value[at] = trial.predict(sliced(learned, slice(0, at.stop)))[at]
    return values, learned.label


def _stretch(slices: Mask) -> list[tuple[int, int]]:
    """From the first to behind the last of these, none where there are none."""
    places = np.flatnonzero(slices)
    return [(int(places[0]), int(places[-1]) + 1)] if len(places) else []


def _spans(learned: Dataset, folds: int) -> Iterator[tuple[Mask, slice]]:
    """Slices to learn from and those to answer: as many with a label in each span, whatever gaps there are."""
    count, labelled = len(learned.ts), np.flatnonzero(np.isfinite(learned.label).any(axis=1))
    edges = [*(int(labelled[len(labelled) * k // (folds + 1)]) for k in range(folds + 1)), count]
    for start, stop in zip(edges[1:-1], edges[2:], strict=True):
        past = (np.arange(count) < start) & (learned.label_to <= learned.ts[start])
        yield past, slice(start, stop)


def by_ic(values: Sequence[Matrix], label: Matrix, slices: int) -> tuple[Vector, Vector]:
    """Weights in proportion to the mean rank correlation over the last `slices` that have one, and those means.

    A model whose mean is not above 0 gets none; all alike where none is.
    """
    ic = np.array([spearman(value, label) for value in values])
    known = np.flatnonzero(np.isfinite(ic).any(axis=0))[-slices:]
    mean = np.array(
        [row[known][np.isfinite(row[known])].mean() if np.isfinite(row[known]).any() else 0.0 for row in ic]
    )
    return _shares(np.maximum(mean, 0.0)), mean


def stacked(values: Sequence[Matrix], label: Matrix) -> Vector:
    """Non-negative least squares of z-scored labels on z-scored answers, as shares; a missing answer stands at 0."""
    from scipy.optimize import nnls

    z, y = np.stack([standardised(value) for value in values], axis=-1), standardised(label)
    rows = np.isfinite(y) & np.isfinite(z).any(axis=-1)
    if not rows.any():
        return _shares(np.zeros(len(values)))
    return _shares(nnls(np.nan_to_num(z[rows], nan=0.0), y[rows])[0])


def _shares(weight: Vector) -> Vector:
    """Summing to 1; all alike where there is nothing to share."""
    total = weight.sum()
    shares: Vector = weight / total if total > 0 else np.full(len(weight), 1.0 / len(weight))
    return shares
