"""One task carried out: a model fitted on its window, and what it says of slices that it has not seen."""

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.training.asked_again import asked, check_blind
from components.training.panel import Labels
from components.training.plan import learned, purged, tested_parts, within
from components.training.slices import shut, taught
from components.training.telling import OnMetric
from engine.errors import ConfigError, writing
from engine.events import Matrix, Stamps
from engine.learning import Task
from engine.protocols import Artefact, Dataset


class Panel(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A whole history of one feature set with the labels of several horizons, from which tasks take their parts."""

    names: tuple[str, ...]  # (F,)
    schema: str
    symbols: tuple[str, ...]  # (N,)
    interval_ns: int
    ts: Stamps  # (T,)
    features: NDArray[Any]  # (T, N, F) float32; may lie in a file
    digests: NDArray[Any]  # (T, 32) uint8, of each slice's instant and features
    labels: dict[int, Labels]  # by horizon


class Trainable(Protocol):
    """A model that learns. `fit` may also take the keywords `on_metric` and `checkpoint`: see `taken`."""

    def fit(self, dataset: Dataset, /) -> Artefact: ...
    def swap(self, artefact: Artefact, /) -> None: ...
    def predict(self, dataset: Dataset, /) -> Matrix: ...


class Trained(msgspec.Struct, frozen=True, eq=False):
    """What a task left: the model, and its answers to the slices of its test part, (S, N)."""

    artefact: Artefact
    ts: Stamps  # (S,)
    scores: Matrix


def train_task(
    make: Callable[[], Any],
    task: Task,
    panel: Panel,
    *,
    on_metric: OnMetric | None = None,
    checkpoint: Path | None = None,
) -> Trained:
    """Fits a model on the task's window, and asks others for the test part that have nothing but its artefact.

    `make` gives a model, with the same random numbers each time. Nothing is drawn or read here, so the same task on the
    same panel gives the same bytes wherever it runs.
    """
    model = make()
    artefact = fitted(model, dataset_of(task, panel, max(1, int(getattr(model, "lookback", 1)))), on_metric, checkpoint)

    def fresh() -> Any:
        """As a session has it: nothing that the one that learned remembers is known to it."""
        other = make()
        other.swap(artefact)
        return other

    parts = tested_parts(task, panel.ts) or ((0, 0),)
    scores = [answered(fresh, panel, low, high, task.horizon) for low, high in parts]
    ts = np.concatenate([panel.ts[low:high] for low, high in parts])
    return Trained(artefact, ts, np.concatenate(scores))


def fitted(model: Any, dataset: Dataset, on_metric: OnMetric | None = None, checkpoint: Path | None = None) -> Artefact:
    """`fit` with as many of the keywords as this model's takes."""
    offered = {"on_metric": on_metric, "checkpoint": checkpoint}
    artefact: Artefact = model.fit(dataset, **{k: offered[k] for k in taken(model) if offered[k] is not None})
    return artefact


def folder_in(checkpoint: Path | None, name: str) -> Path | None:
    """The folder of one of several trainings that make up a model; StateError where it cannot be made."""
    if checkpoint is None:
        return None
    place = checkpoint / name
    with writing(place):
        place.mkdir(exist_ok=True)
    return place


def taken(model: Any) -> tuple[str, ...]:
    """Which keywords its `fit` takes: `on_metric` is called with a Metric a step, `checkpoint` is a folder of this task
    alone, which a training that was killed finds as it left it.

    >>> class Plain:
    ...     def fit(self, dataset, /, *, on_metric=None): ...
    >>> taken(Plain())
    ('on_metric',)
    """
    parameters = inspect.signature(model.fit).parameters
    return tuple(name for name in ("on_metric", "checkpoint") if name in parameters)


def dataset_of(task: Task, panel: Panel, remembered: int = 1) -> Dataset:
    """The slices that the task learns from, a view of the panel's features where they are in a row.

    Those whose label looks into the validation part stay in place without their label, so nothing learns from them; so
    do gaps for a model that remembers slices: see `taught`.
    """
    labels = labels_of(panel, task.horizon)
    low, high = learned(task, panel.ts, labels.until)
    part = slice(low, high)
    gone = purged(task, panel.ts[part], labels.until[part])
    whole = Dataset(
        names=panel.names,
        schema=panel.schema,
        symbols=panel.symbols,
        ts=panel.ts[part],
        features=panel.features[part],
        label=np.where(gone[:, None], np.nan, labels.value[part]),
        label_from=labels.since[part],
        label_to=labels.until[part],
        horizon_ns=task.horizon * panel.interval_ns,
        valid_from=task.valid_from,
    )
    found = taught(whole, ~within(whole.ts, task.left_out), remembered) if task.left_out else whole
    shut(found)  # the members of a blend share it
    return found


def answered(fresh: Callable[[], Any], panel: Panel, low: int, high: int, horizon: int) -> Matrix:
    """(high - low, N) what a model says of these slices; it sees their features and no label.

    `fresh` gives one that was asked nothing yet, each time it is called. One that remembers slices is shown as many
    before the first as it declares by `lookback`. ConfigError where an answer depends on slices that came later: see
    `check_blind`.
    """
    model = fresh()
    before = min(low, max(0, int(getattr(model, "lookback", 1)) - 1))
    part = slice(low - before, high)
    labels = labels_of(panel, horizon)
    shown = Dataset(
        names=panel.names,
        schema=panel.schema,
        symbols=panel.symbols,
        ts=panel.ts[part],
        features=panel.features[part],
        label=np.full_like(labels.value[part], np.nan),
        label_from=labels.since[part],
        label_to=labels.until[part],
        horizon_ns=horizon * panel.interval_ns,
    )
    value = asked(model, shown)
    check_blind(fresh, shown, value, before)
    return value[before:]


def labels_of(panel: Panel, horizon: int) -> Labels:
    if horizon not in panel.labels:
        raise ConfigError(f"training: the panel has labels of horizons {sorted(panel.labels)}, not of {horizon}")
    return panel.labels[horizon]


def inputs_of(task: Task, panel: Panel, before: int) -> str:
    """32 hex digits of all that the task's outcome depends on in the panel: slices that come later change nothing.

    `before` is how many slices ahead of the test part the model is shown.
    """
    labels = labels_of(panel, task.horizon)
    low, high = learned(task, panel.ts, labels.until)
    whole = hashlib.sha256(repr((panel.names, panel.schema, panel.symbols, panel.interval_ns)).encode())
    asked_for = tested_parts(task, panel.ts) or ((0, 0),)
    for part in (slice(low, high), *(slice(max(0, first - before), last) for first, last in asked_for)):
        whole.update(np.ascontiguousarray(panel.digests[part]).tobytes())
        whole.update(b"|")
    for array in (labels.value, labels.since, labels.until):
        whole.update(np.ascontiguousarray(array[low:high]).tobytes())
    return whole.hexdigest()[:32]
