"""What the models of a run know: read, learned before the session, or learned again while it goes on."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from components.training.slices import shut
from engine.errors import ConfigError, DataError
from engine.events import Bars, Control, ControlAction, Event
from engine.protocols import Artefact, Dataset, Feed
from engine.wiring import ModelPart, Parts
from samewire.artefacts import artefact_at, check_features, seen_before, unreadable
from samewire.build import Given, construct, feature_sets
from samewire.hiding import hider
from samewire.reach import days
from samewire.run_file import ModelSpec, Registered, RunFile
from samewire.secret_guard import refuse_artefact

ACTOR = "run file"


class Learned(msgspec.Struct, frozen=True):
    """Artefacts by model, the controls that put them to use in order of time, and what to warn of.

    The n-th artefact of a model that is trained again is called NAME@n, from the second on. `ends` says of each one
    that was trained here up to when: what it learned from was known earlier.
    """

    artefacts: dict[str, Artefact]
    controls: tuple[Control, ...] = ()
    warnings: tuple[str, ...] = ()
    ends: dict[str, int] = {}


class Lesson(msgspec.Struct, frozen=True):
    """One training of a model: what it left, None where it could not be; and from which instant that counts."""

    ts: int
    artefact: Artefact | None
    reason: str = ""
    until: int | None = None  # what it learned from was known before; None = it was not trained here


def model_of(key: str) -> str:
    """The model whose artefact this is.

    >>> model_of("gbdt@3"), model_of("gbdt")
    ('gbdt', 'gbdt')
    """
    return key.partition("@")[0]


def learned(run: RunFile, feed: Feed, parts: Parts, given: Given, end: int | None) -> Learned:
    """An artefact for each model that trains or names one; of one that retrains as many as come into use before `end`.

    A model trained until a day answers from the first slice after it: its control enters once the day is over.
    """
    found, history = Learned({}), History(run, feed, given, end)
    for spec, part in zip(run.models, parts.models, strict=True):
        lessons, said = _lessons(run, spec, part, history)
        found = _with(found, part.name, lessons, given.directory)
        found = msgspec.structs.replace(found, warnings=(*found.warnings, *said))
    in_order = sorted(found.controls, key=lambda control: control.ts)
    return msgspec.structs.replace(found, controls=tuple(in_order))


def recalled(run: RunFile, feed: Feed, artefacts: Mapping[str, Artefact]) -> Learned:
    """What the models of a recorded session knew, with what to warn of those that it did not train itself."""
    begin = days(feed, run.session.start, None)[0] or 0
    named = [spec.component.name for spec in run.models if spec.artefact is not None]
    said = [text for name in named if name in artefacts for text in seen_before(name, artefacts[name], begin)]
    return Learned(dict(artefacts), warnings=tuple(said))


class Walked(msgspec.Struct, frozen=True, eq=False):
    """A history with its labels, and the instants of all of its slices, of which the last have no label yet."""

    dataset: Dataset
    slices: tuple[int, ...] = ()


class History:
    """What all models of a run learn from: walked once for all that read one feature set and label alike.

    Memory: what one model alone learns from is not kept.
    """

    def __init__(self, run: RunFile, feed: Feed, given: Given, end: int | None) -> None:
        self.feed, self.given, self.end = feed, given, end
        self._readers = Counter(
            spec.features for spec in run.models if spec.train is not None or spec.retrain is not None
        )
        self._walked: dict[Any, Walked] = {}

    def once(self, key: tuple[Any, ...], walked: Callable[[], Walked]) -> Walked:
        """What `walked` gave when it was first asked for by this key, which begins with the name of the feature set.
        Nobody may write into it: others read it too.
        """
        if key in self._walked:
            return self._walked[key]
        found = walked()
        shut(found.dataset)
        if self._readers[key[0]] > 1:
            self._walked[key] = found
        return found


def _lessons(run: RunFile, spec: ModelSpec, part: ModelPart, history: History) -> tuple[list[Lesson], list[str]]:
    feed, given = history.feed, history.given
    begin = days(feed, run.session.start, None)[0] or 0
    lessons: list[Lesson] = []
    said: list[str] = []
    if spec.artefact is not None:
        if missing := unreadable(spec.artefact):
            where = f"{spec.component.where}: models.{part.name}.artefact"
            raise ConfigError(f"{where}: got {missing[0]}; expected {missing[1]}")
        artefact = artefact_at(spec.artefact)
        construct(spec.component, given).swap(artefact)  # a copy: what is refused is refused before anything runs
        check_features(part.name, artefact, feature_sets(run, given).get(spec.features or ""))
        said += seen_before(part.name, artefact, begin)
        lessons.append(Lesson(begin, artefact, str(spec.artefact) if isinstance(spec.artefact, Registered) else ""))
    if spec.train is not None:
        lessons.append(_fit(spec, part, history, feature_set_of(run, spec, given), begin))
    if spec.retrain is not None:
        from samewire.retraining import retrained

        made = Made(spec, part.interval_ns or feed.interval_ns, given)
        lessons += retrained(made, history, feature_set_of(run, spec, given), begin)
    if spec.train is not None or spec.retrain is not None:
        unused = [f"{issue.count} {issue.kind.replace('_', ' ')}" for issue in feed.issues()]
        if unused:
            said.append(f"The history {part.name} was trained on has rows to look at: {', '.join(unused)}.")
    return lessons, said


class Made(msgspec.Struct, frozen=True):
    """A model that is made afresh for each training, with the random numbers that it begins with."""

    spec: ModelSpec
    interval_ns: int
    given: Given

    def model(self) -> Any:
        return construct(self.spec.component, self.given)


def _with(found: Learned, name: str, lessons: Iterable[Lesson], directory: Path | None) -> Learned:
    """With what a model learned, written into the session's directory where there is one."""
    from components.models.artefact import write_artefact

    artefacts, controls, ends, count = dict(found.artefacts), list(found.controls), dict(found.ends), 0
    for lesson in lessons:
        artefact = lesson.artefact
        if artefact is not None:
            count += 1
            key = name if count == 1 else f"{name}@{count}"
            refuse_artefact(key, artefact, hider())
            artefacts[key] = artefact
            if lesson.until is not None:
                ends[key] = lesson.until
            if directory is not None:
                write_artefact(artefact, directory / "models" / key)
        action = ControlAction.MODEL_NOT_READY if artefact is None else ControlAction.SWAP_MODEL
        hash_ = "" if artefact is None else artefact.hash
        controls.append(
            Control(ts=lesson.ts, action=action, component=name, artefact=hash_, actor=ACTOR, reason=lesson.reason)
        )
    return Learned(artefacts, tuple(controls), found.warnings, ends)


def feature_set_of(run: RunFile, spec: ModelSpec, given: Given) -> Any:
    """A fresh copy of the feature set that the model reads."""
    made = feature_sets(run, given)
    if spec.features not in made:
        raise ConfigError(f"{spec.component.where}: a model that trains needs a feature set; name one with `features:`")
    return made[spec.features]


def _fit(spec: ModelSpec, part: ModelPart, history: History, feature_set: Any, begin: int) -> Lesson:
    """Fits on history up to the last bar of `until`, walked through the very feature set of the wiring."""
    from components.training.panel import walk

    train, where, model, feed = spec.train, spec.component.where, part.model, history.feed
    if train is None or not hasattr(model, "fit"):
        raise ConfigError(f"{where}: model {spec.component.use!r} has nothing to train; leave `train:` out")
    since, until = days(feed, train.since, train.until)
    if until is None:
        raise ConfigError(f"{where}: train.until is missing; name the last day to learn from")
    interval_ns, horizon = part.interval_ns or feed.interval_ns, train.horizon

    def walked() -> Walked:
        events = of_interval(feed.events(None, until), interval_ns)
        return Walked(walk(events, feature_set, horizon, until, since))

    dataset = history.once((spec.features, interval_ns, horizon, since, until), walked).dataset
    if not len(dataset.ts):
        raise DataError(f"{where}: no labelled slice up to {train.until}; the feed begins later or is too short")
    if len(dataset.ts) < train.least:
        raise DataError(
            f"{where}: {len(dataset.ts)} slices up to {train.until} have a label, and train.least is {train.least}; "
            "learn until a later day, or say that fewer will do"
        )
    return Lesson(max(until, begin), model.fit(dataset), until=until)


def of_interval(events: Iterator[Event], interval_ns: int) -> Iterator[Event]:
    """Without the bars of other intervals."""
    return (event for event in events if not isinstance(event, Bars) or event.interval_ns == interval_ns)
