"""Does a plan of trainings know what it must not? Looked at before the first of them begins."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from adapters.operators.another_future import AnotherFuture
from adapters.scaleout.calls import one_line
from adapters.tracking.panel_file import read_panel
from components.training.audit import Leak, audit, fold_of
from components.training.by_fold import learned
from components.training.fitting import Panel
from engine.errors import ConfigError, NothingLearnedError, StateError
from engine.events import Bars, Event, Matrix
from engine.learning import Fold, Task
from engine.protocols import Dataset, Feed
from samewire.build import construct
from samewire.hiding import hider
from samewire.leaks import NO_MODEL, NO_PERMUTATIONS, Checks, Leaks, Learned, leaks
from samewire.run_file import ModelSpec, RunFile
from samewire.training_plan import Plan, Planned, given_of, panel_at, panel_of, section_of
from samewire.training_spec import PERMUTATIONS_MAX, NoLeaksSpec, Training

_BEHIND = 64  # slices behind a cut that are walked: features are made of as many at once
_UNASKED = "permuted labels and predictions over another future (--permutations 20)"
OFF = "NOT LOOKED FOR: training.leaks is off"


def looked(run: RunFile, training: Training, plan: Plan, permutations: int | None = None) -> Leaks | None:
    """The verdict on all that is planned; None where nothing is to be looked for.

    The windows of every task are audited against the intervals of its labels. History is walked once more up to an
    instant in its second half, with all that comes later replaced: no feature may change by a bit. With permutations
    each model is trained on as many labels without meaning, too (`permutations` in place of the section's).
    Costs less than one more walk through history, and the space of one panel on disk for a while.
    """
    spec = training.leaks
    if permutations is not None and not 0 <= permutations <= PERMUTATIONS_MAX:
        raise ConfigError(f"--permutations must lie between 0 and {PERMUTATIONS_MAX}, got {permutations}")
    if isinstance(spec, NoLeaksSpec) and not permutations:
        return None
    count = getattr(spec, "permutations", 0) if permutations is None else permutations
    verdicts: list[Leaks] = []
    for place, panel in plan.panels.items():
        tasks = [planned for planned in plan.tasks if planned.panel == place]
        verdicts += _of_panel(run, tasks, panel, plan.feed, count)
    return _together(verdicts)


def _of_panel(run: RunFile, tasks: list[Planned], panel: Panel, feed: Feed, count: int) -> Iterator[Leaks]:
    """Each horizon's windows; history over another future for the longest one, whose labels look the farthest."""
    models = {planned.task.model: planned for planned in reversed(tasks)}
    embargo = getattr(section_of(run).split, "embargo", None)
    horizons = sorted({planned.task.horizon for planned in tasks})
    for horizon in horizons:
        folds = _folds([planned.task for planned in tasks if planned.task.horizon == horizon], panel)
        was = _dataset(panel, horizon, feed)
        yield from _embargoes([planned for planned in tasks if planned.task.horizon == horizon], panel, was, embargo)
        if horizon != horizons[-1]:
            yield Leaks(found=audit(folds, was), looked_at=(f"{len(folds)} fold{'s' * (len(folds) > 1)}",))
            continue
        with tempfile.TemporaryDirectory(dir=tasks[0].panel.parent) as scratch:
            spec = next(each for each in run.models if each.component.name in models)
            walks = _Walks(run=run, spec=spec, was=was, horizon=horizon, scratch=Path(scratch), whole=bool(count))
            how = Checks(permutations=count, seed=run.session.seed)
            if not count:
                yield _looked(feed, walks, folds, None, how)
            for name, planned in models.items() if count else ():
                yield _of_model(name, partial(_model, run, planned, feed), (feed, walks, folds, how))


def _embargoes(tasks: list[Planned], panel: Panel, was: Dataset, embargo: Any) -> Iterator[Leaks]:
    """Whether what is learned from behind a test looks back at it; where the run file allows that, that it does."""
    by_lookback: dict[int, list[Task]] = {}
    for planned in tasks:
        by_lookback.setdefault(planned.lookback, []).append(planned.task)
    for lookback, group in by_lookback.items():
        if isinstance(embargo, int) and embargo < lookback:  # a walk forward's is a text: nothing is learned behind it
            left = (
                f"what looks back at a test (training.split.embargo is {embargo}, and features and model look back "
                f"{lookback} slices)"
            )
            yield Leaks(found=(), looked_at=(), left_out=(left,))
            continue
        found = tuple(leak for leak in audit(_folds(group, panel), was, lookback) if leak.kind == "embargo")
        yield Leaks(found=found, looked_at=())


class _UntaughtError(Exception):
    """A model that cannot be trained."""


def _of_model(name: str, made: Callable[[], Any], what: tuple[Feed, "_Walks", list[Fold], Checks]) -> Leaks:
    """The verdict with trainings of one model; of one that cannot be trained the rest of it, and why."""
    feed, walks, folds, how = what

    def learns(dataset: Dataset, fold: Fold) -> Matrix:
        try:
            return learned(made, dataset, fold)
        except NothingLearnedError:  # of labels without meaning, as it should be
            raise
        except Exception as error:
            raise _UntaughtError(hider()(one_line(error))) from error

    try:
        return _looked(feed, walks, folds, learns, how)
    except (_UntaughtError, NothingLearnedError) as error:
        rest = _looked(feed, walks, folds, None, msgspec.structs.replace(how, permutations=0))
        others = (each for each in rest.left_out if each not in (NO_MODEL, NO_PERMUTATIONS))
        return msgspec.structs.replace(rest, left_out=(f"{name} ({hider()(str(error))})", *others))


def _looked(feed: Feed, walks: "_Walks", folds: list[Fold], learns: Learned | None, how: Checks) -> Leaks:
    """The verdict; where features cannot be made of another future the rest of it, and that this was left out."""
    try:
        return leaks(feed, walks.made, folds, learns, how)
    except _FailedError as error:
        left = f"another future, over which the features fail ({error})"
        found = leaks(feed, walks.made, folds, learns, msgspec.structs.replace(how, cuts=0))
        return msgspec.structs.replace(found, left_out=(left, *found.left_out))


class _FailedError(Exception):
    """A feature set has raised over a history that never was."""


class _Walks:
    """Makes the dataset of a feed: what was walked already, or another future, which is walked once."""

    def __init__(
        self, *, run: RunFile, spec: ModelSpec, was: Dataset, horizon: int, scratch: Path, whole: bool
    ) -> None:
        self._run, self._spec, self._was, self._horizon = run, spec, was, horizon
        self._scratch, self._whole = scratch, whole
        self._walked: dict[int | None, Dataset] = {}

    def made(self, feed: Feed) -> Dataset:
        if not isinstance(feed, AnotherFuture):
            return self._was
        if feed.after not in self._walked:
            seen = iter if self._whole else partial(_up_to, feed.after)
            try:
                place = panel_at(self._run, feed, self._spec, self._scratch, seen)
            except StateError:  # no room left
                raise
            except Exception as error:
                raise _FailedError(hider()(f"{type(error).__name__}: {error}")) from error
            self._walked[feed.after] = _dataset(panel_of(read_panel(place)), self._horizon, feed)
        return self._walked[feed.after]


def _up_to(after: int | None, events: Iterator[Event]) -> Iterator[Event]:
    """The events up to an instant, and of those behind it as many slices as are looked at together."""
    behind = 0
    for event in events:
        if after is not None and event.ts > after and isinstance(event, Bars):
            behind += 1
            if behind > _BEHIND:
                return
        yield event


def _dataset(panel: Panel, horizon: int, feed: Feed) -> Dataset:
    labels = panel.labels[horizon]
    return Dataset(
        names=panel.names,
        schema=panel.schema,
        symbols=feed.universe.symbols,
        ts=panel.ts,
        features=panel.features,
        label=labels.value,
        label_from=labels.since,
        label_to=labels.until,
        horizon_ns=horizon * panel.interval_ns,
    )


def _folds(tasks: list[Task], panel: Panel) -> list[Fold]:
    """One for each window: seeds, grids and models share them."""
    windows = {(task.train, task.test, task.left_out, task.blocks): task for task in tasks}
    return [fold_of(task, panel.ts, panel.labels[task.horizon].until) for task in windows.values()]


def _model(run: RunFile, planned: Planned, feed: Feed) -> Any:
    return construct(planned.model, given_of(run, planned.model, planned.task.seed, feed.universe, lambda: feed))


def _together(verdicts: list[Leaks]) -> Leaks:
    """One verdict of several; the same leak is told once."""
    found: dict[tuple[str, str, str], Leak] = {}
    for verdict in verdicts:
        found |= {(leak.kind, leak.where, leak.sentence): leak for leak in verdict.found}
    return Leaks(
        found=tuple(found.values()),
        looked_at=tuple(dict.fromkeys(what for verdict in verdicts for what in verdict.looked_at)),
        left_out=tuple(dict.fromkeys(_in_words(what) for verdict in verdicts for what in verdict.left_out)),
        t=tuple(t for verdict in verdicts for t in verdict.t),
    )


def _in_words(left_out: str) -> str:
    """What was not asked for, by the option that asks for it: one does both."""
    return _UNASKED if left_out in (NO_MODEL, NO_PERMUTATIONS) else left_out


def with_answers(verdict: Leaks | None, seen: Mapping[str, tuple[str, str]]) -> Leaks | None:
    """The verdict with what training itself found: columns of which an answer changes with what came after it."""
    if verdict is None or not seen:
        return verdict
    found = (
        Leak(kind="prediction", where=column, sentence=f"{column}, that learned until {until}: {said}")
        for column, (until, said) in seen.items()
    )
    return msgspec.structs.replace(verdict, found=(*verdict.found, *found))


def sentence_of(verdict: Leaks | None) -> str:
    """One line of the verdict, for a terminal, a page or a record."""
    return OFF if verdict is None else verdict.sentence


def verdict_words(verdict: Leaks | None) -> dict[str, Any]:
    """The verdict as JSON values."""
    if verdict is None:
        return {"looked": False, "found": [], "not_looked_at": [], "sentence": OFF}
    found, left = msgspec.to_builtins(verdict.found), list(verdict.left_out)
    return {"looked": True, "found": found, "not_looked_at": left, "sentence": verdict.sentence}
