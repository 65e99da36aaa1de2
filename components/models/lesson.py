"""From a dataset to the rows that a model learns from: the same steps for every model whose rows stand alone."""

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.metrics.signal import spearman
from components.models.bundle import Frozen
from components.models.labels import above, graded, ranked, raw, standardised
from components.models.serving import Serving
from components.models.stages import left
from components.training.contract import check_dataset
from components.training.parts import Parts, Rows, judging, learnable, parted, rows_of, weighed
from engine.errors import ConfigError
from engine.events import Mask, Matrix
from engine.instants import day_text
from engine.learning import Reweighter
from engine.protocols import Dataset

Label = Literal["rank", "zscore", "raw"]
LABELS = {"rank": ranked, "zscore": standardised, "raw": raw}


class How(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's options say about its rows."""

    whose: str
    label: str  # one of LABELS, above or grades
    valid_share: float = 0.0
    reweighter: Reweighter | None = None
    grades: int = 0  # for the label of that name

    def __post_init__(self) -> None:
        if not 0 <= self.valid_share <= 0.5:
            raise ValueError(f"valid_share must be from 0 to 0.5 of the slices, got {self.valid_share}")


class Lesson(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Rows to learn from and to stop by; features (T, N, F) as the weights will see them."""

    features: NDArray[Any]
    frozen: Frozen
    label: Matrix  # (T, N)
    parts: Parts
    train: Rows
    valid: Rows

    def of(self, rows: Rows) -> NDArray[Any]:
        """Features (R, F) of these rows."""
        picked: NDArray[Any] = self.features[rows.at]
        return picked

    def slices(self) -> dict[str, int]:
        """How many slices with a row each part has."""
        return {"train": len(self.train.counts), "valid": len(self.valid.counts)}

    def rows(self) -> dict[str, int]:
        return {"train": len(self.train.label), "valid": len(self.valid.label)}


def lesson(serving: Serving, dataset: Dataset, how: How, frozen: Frozen | None = None) -> Lesson:
    """The rows of a training. Raises ConfigError where there is nothing to learn from, or a dataset that cannot be.

    Rows that have no opinion teach nothing either, nor do those of which processors leave nothing. Processors are
    fitted on the rows to learn from, and on none that is held out; with `frozen` they apply what they froze before.
    Nothing is learned either from features that are the same in all rows, or from labels that are; nor, where labels
    compare the names of a slice, from features that are the same for all names of each. A model that does not go on
    from another (`frozen`) needs two slices.
    """
    check_dataset(dataset, how.whose)
    serving.check_horizon(dataset.horizon_ns, "the labels to learn")
    label = _label(dataset.label, how)
    weight = weighed(dataset, how.reweighter, how.whose)
    usable, parts = serving.known(dataset), parted(dataset, how.valid_share)
    train = learnable(rows_of(label, usable, weight, parts.train), dataset, parts, weight, how.whose)
    fresh = frozen is None
    if frozen is None:
        features, frozen = serving.fitted(dataset, train.at)
    else:
        features = serving.applied(dataset.features, frozen)
    if features is not dataset.features:
        usable &= left(features, serving.steps)
        train = learnable(rows_of(label, usable, weight, parts.train), dataset, parts, weight, how.whose)
    if fresh and len(train.counts) < 2:
        day = day_text(dataset.ts[np.argmax(train.at.any(axis=1))])
        raise ConfigError(
            f"{how.whose}: the slice of {day} is the only one with rows to learn from, so what it "
            "learned would be the chance of one day; train on longer history"
        )
    _check_varied(features, (train, np.where(train.at, label, np.nan)), how, serving.steps)
    valid = judging(rows_of(label, usable, weight, parts.valid), dataset, how.valid_share, weight, how.whose)
    return Lesson(
        features=features,
        frozen=frozen,
        label=label,
        parts=parts,
        train=train,
        valid=valid,
    )


def check_unseen(taught: Lesson, dataset: Dataset, until_ns: int, whose: str) -> None:
    """Raises ConfigError where a model that goes on from an artefact would stop by, and report as held out, slices of
    a time that this artefact has learned from: its labels ended at `until_ns`."""
    if not len(taught.valid.label):
        return
    first = int(dataset.ts[np.argmax(taught.valid.at.any(axis=1))])
    if first < until_ns:
        raise ConfigError(
            f"{whose}: slices from {day_text(first)} on are held out to stop by, and the artefact to go on from has "
            f"learned until {day_text(until_ns)}, so they are none that it has not seen; give later history, hold out "
            "less of it, or set valid_share to 0 to stop by nothing"
        )


def _check_varied(features: NDArray[Any], of: tuple[Rows, Matrix], how: How, steps: int) -> None:
    """Raises ConfigError where no row differs from another: whatever is learned then has one answer for all names.

    `of` are the rows and their labels (T, N), NaN elsewhere.
    """
    train, label = of
    if not (train.label != train.label[0]).any():
        more = {"raw": "longer history"}.get(how.label, "more symbols, or learn from one with `label: raw`")
        raise ConfigError(
            f"{how.whose}: the labels (`{how.label}`) of all {len(train.label)} rows to learn from are "
            f"{train.label[0]:g}, which tells no name from another; take {more}"
        )
    if not _varied(features, train.at):
        raise ConfigError(
            f"{how.whose}: each of the {features.shape[2]} features is the same in all {len(train.label)} rows to "
            "learn from, which tells no name from another; look at the feature set and at `processors`"
        )
    if how.label != "raw" and not _varied_within(features, label, steps):
        raise ConfigError(
            f"{how.whose}: in each slice all names have the same features, or the same label, and `{how.label}` labels "
            "compare the names of one slice; give features that differ between names, or learn "
            "when to hold them all with `label: raw`"
        )


def _varied(features: NDArray[Any], at: Mask) -> bool:
    """Whether any column differs between two of these rows; that a value is missing is a difference."""
    first: NDArray[Any] | None = None
    for t in np.flatnonzero(at.any(axis=1)):
        rows = features[t, at[t]]
        first = rows[0] if first is None else first
        if ((rows != first) & ~(np.isnan(rows) & np.isnan(first))).any():
            return True
    return False


def _varied_within(features: NDArray[Any], label: Matrix, steps: int) -> bool:
    """Whether in any slice two names differ in both label and what a row looks at, the last `steps` slices."""
    for t in np.flatnonzero(np.isfinite(label).any(axis=1)):
        rows = np.isfinite(label[t])
        window = features[max(0, t + 1 - steps) : t + 1, rows]
        same = (window == window[:, :1]) | (np.isnan(window) & np.isnan(window[:, :1]))
        if not same.all() and (label[t, rows] != label[t, rows][0]).any():
            return True
    return False


def checked_label(label: str) -> str:
    """The option itself, as a run file may give it."""
    if label not in LABELS:
        raise ValueError(f"label must be one of {', '.join(LABELS)}, got {label!r}")
    return label


def _label(label: Matrix, how: How) -> Matrix:
    if how.label == "grades":
        return graded(label, how.grades)
    return above(label) if how.label == "above" else LABELS[how.label](label)


def mean_ic(value: Matrix, label: Matrix) -> float:
    """Mean over slices of the rank correlation of values and labels (T, N); NaN where no slice has one."""
    found = spearman(value, label)
    known = found[np.isfinite(found)]
    return float(known.mean()) if len(known) else float("nan")


def said_of(reweighter: Reweighter | None) -> Any:
    """A reweighter as the card of an artefact names it."""
    return None if reweighter is None else [type(reweighter).__name__, getattr(reweighter, "options", {})]
