"""Which rows of a dataset a model learns from, which it stops by, and how much each counts: the same for all models."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.events import Mask, Matrix, Vector
from engine.learning import Reweighter
from engine.protocols import Dataset


class Parts(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Slices to learn from and slices held out to stop by, (T,); what lies in neither is purged."""

    train: Mask
    valid: Mask

    def counts(self) -> dict[str, int]:
        """Slices of each."""
        return {"train": int(self.train.sum()), "valid": int(self.valid.sum())}


def parted(dataset: Dataset, valid_share: float = 0.0, embargo_ns: int = 0) -> Parts:
    """The held-out part is the dataset's from `valid_from` on where it names one, else the last `valid_share` of the
    slices that have a label, with what lies between them.

    Purged by the intervals of the labels: a slice is learned from only if its label ended, and `embargo_ns` passed, by
    the first instant that the held-out part can know. Nothing is purged where nothing is held out.

    >>> when = np.arange(5) * 10
    >>> rows = Dataset(names=("x",), schema="s", ts=when, features=np.zeros((5, 1, 1), np.float32),
    ...     label=np.zeros((5, 1)), label_from=when + 5, label_to=when + 15, horizon_ns=10)
    >>> parts = parted(rows, valid_share=0.4)
    >>> parts.train.astype(int), parts.valid.astype(int)
    (array([1, 1, 0, 0, 0]), array([0, 0, 0, 1, 1]))
    """
    if not 0 <= valid_share < 1:
        raise ValueError(f"valid_share must be from 0 to below 1 of the slices, got {valid_share}")
    if embargo_ns < 0:
        raise ValueError(f"embargo_ns must not be negative, got {embargo_ns}")
    valid: Mask
    if dataset.valid_from is not None:
        valid = dataset.ts >= dataset.valid_from
    else:
        labelled = _labelled(dataset)  # gaps of a split stay in place, without their labels
        count = int(len(labelled) * valid_share)
        begin = int(labelled[-count]) if count else len(dataset.ts)
        valid = np.zeros(len(dataset.ts), bool)
        valid[begin:] = True
    if not valid.any():
        return Parts(train=~valid, valid=valid)
    first = int(min(dataset.ts[valid].min(), dataset.label_from[valid].min()))
    return Parts(train=~valid & (dataset.label_to <= first - embargo_ns), valid=valid)


def _labelled(dataset: Dataset) -> NDArray[np.intp]:
    """The places of the slices of which any name has a label."""
    return np.flatnonzero(np.isfinite(dataset.label).any(axis=1))


def weighed(dataset: Dataset, reweighter: Reweighter | None, whose: str) -> Matrix | None:
    """(T, N) how much each row counts: the dataset's own weights times those of the reweighter. None = all the same."""
    found = [] if dataset.weight is None else [("the dataset's weights", dataset.weight)]
    if reweighter is not None:
        found.append((f"the weights of {type(reweighter).__name__}", reweighter.weights(dataset)))
    if not found:
        return None
    shape = dataset.features.shape[:2]
    for what, weight in found:
        if weight.shape != shape:
            raise ConfigError(
                f"{whose}: {what} are of shape {weight.shape}, the rows of {shape}; give one for each row"
            )
        if not (np.isfinite(weight).all() and (weight >= 0).all()):
            t, i = np.argwhere(~(np.isfinite(weight) & (weight >= 0)))[0]
            raise ConfigError(
                f"{whose}: {what} are {weight[t, i]} at slice {t}, name {i}; weights are finite and not negative"
            )
    out = np.ones(shape)
    for _, weight in found:
        out = out * weight
    return out


class Rows(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Rows of one part, slice by slice. `at` (T, N) says where they stand in the dataset."""

    at: Mask
    label: Vector  # (R,)
    weight: Vector | None  # (R,)
    counts: NDArray[Any]  # (slices with a row,) rows of each


def rows_of(label: Matrix, usable: Mask, weight: Matrix | None, slices: Mask) -> Rows:
    """The usable rows of these slices; rows that count nothing are left out."""
    at = usable & slices[:, None] & np.isfinite(label)
    if weight is not None:
        at &= weight > 0
    counts = at.sum(axis=1)
    return Rows(at=at, label=label[at], weight=None if weight is None else weight[at], counts=counts[counts > 0])


def learnable(rows: Rows, dataset: Dataset, parts: Parts, weight: Matrix | None, whose: str) -> Rows:
    """The rows themselves, or one sentence on why there is nothing to learn from."""
    if rows.at.any():
        return rows
    count = len(dataset.ts)
    if not parts.train.any():
        raise ConfigError(
            f"{whose}: all {count} slices are held out, or have labels that reach into those; train on longer history"
        )
    if weight is not None and not (weight > 0).any():
        raise ConfigError(f"{whose}: the weights of all rows are zero; let some row count")
    raise ConfigError(
        f"{whose}: none of the {count} slices has a name with both features and a label; train on longer history"
    )


def judging(rows: Rows, dataset: Dataset, valid_share: float, weight: Matrix | None, whose: str) -> Rows:
    """The held-out rows themselves, or one sentence on why nothing can be judged by a part that was asked for.

    Without one nothing stops a training early, so that it is never left out unsaid.
    """
    if rows.at.any() or (dataset.valid_from is None and not valid_share):
        return rows
    count = len(_labelled(dataset))
    if dataset.valid_from is None:
        if not int(count * valid_share):
            raise ConfigError(
                f"{whose}: valid_share {valid_share:g} of {count} slices with labels holds out none; train on longer "
                "history, or set it to 0 to stop by nothing"
            )
    elif not (dataset.ts >= dataset.valid_from).any():
        raise ConfigError(
            f"{whose}: slices from {dataset.valid_from} ns on are held out, and the last one is at {dataset.ts[-1]}; "
            "hold out an earlier part, or none"
        )
    lacking = "a name with both features and a label"
    held_out = parted(dataset, valid_share).valid
    if weight is not None and not (weight > 0)[held_out].any():
        lacking = "a row that counts: all their weights are zero"
    raise ConfigError(
        f"{whose}: none of the {int(held_out.sum())} slices that are held out to stop by has {lacking}; hold out "
        "others, or none"
    )
