"""From a run file with a section `training:` to tasks: history walked once, windows planned, code named by hash."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from adapters.tracking.panel_file import Card, PanelFile, PanelWriter, read_panel
from components.training import plan as plans
from components.training.fitting import Panel, inputs_of
from components.training.panel import Labels, walk_all
from components.training.plan import Length, Once, Rolling, Window, check_known, check_lengths, check_ordered, length_of
from components.training.splitters import Combinatorial, PurgedKFold
from engine.calendar import Sessions
from engine.errors import ConfigError
from engine.events import Event
from engine.learning import Splitter, Task
from engine.protocols import Feed, Table
from engine.universe import Universe
from samewire.build import Given, construct, feature_sets, libraries
from samewire.places import relative_text
from samewire.plain import component_in_words
from samewire.prepare import feed_of
from samewire.provenance import code_hash, own_code, with_nested
from samewire.reach import days
from samewire.registry import resolve
from samewire.run_file import Component, ModelSpec, RunFile
from samewire.taught import of_interval
from samewire.training_section import trains
from samewire.training_spec import CpcvSpec, FixedSpec, PurgedSpec, Training, Variant, WalkForwardSpec


class Planned(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A task with all that carrying it out takes."""

    task: Task
    column: str  # of the table of scores
    code: str  # hash of the model's code, ours, and the libraries
    changes: dict[str, str]  # its point of the grid
    model: Component
    panel: Path
    run: str  # its id in the store
    lookback: int  # slices of bars that an answer depends on: what its plan leaves out behind a test unless told


class Plan(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """All tasks of a run file, oldest window first, and the panels that they take their parts from."""

    tasks: tuple[Planned, ...]
    panels: dict[Path, Panel]
    feed: Feed


def section_of(run: RunFile) -> Training:
    if run.training is None:
        raise ConfigError(
            f"{run.feed.where.origin.name}: it has no section `training:`; add one, such as "
            "training: {split: {use: walk_forward, every: 60, window: 500}}"
        )
    return run.training


class Asked(msgspec.Struct, frozen=True, eq=False):
    """What windows are planned for: labels of a horizon of a panel, and a model that looks back so far."""

    panel: Panel
    feed: Feed
    horizon: int
    lookback: int  # slices of bars that an answer depends on


Windows = Callable[[Training, Asked], tuple[Window, ...]]


def rolled(training: Training, asked: Asked) -> tuple[Window, ...]:
    """The windows that the section's split says. Those that move on are the same for every horizon and model."""
    split, panel = training.split, asked.panel
    if isinstance(split, PurgedSpec | CpcvSpec):
        labels = panel.labels[asked.horizon]
        return plans.folded(panel.ts, labels.since, labels.until, splitter_of(split, asked))
    return windows_of(split, asked)


def splitter_of(split: PurgedSpec | CpcvSpec, asked: Asked) -> Splitter:
    if isinstance(split, PurgedSpec):
        return PurgedKFold(folds=split.folds, lookback=asked.lookback, embargo=split.embargo)
    return Combinatorial(groups=split.groups, tested=split.tested, lookback=asked.lookback, embargo=split.embargo)


def plan_of(run: RunFile, folder: Path, windows: Windows = rolled) -> Plan:
    """Walks the history of the run file and plans its trainings. `folder` is that of all panels."""
    from adapters.tracking.store import run_id

    training, feed = section_of(run), feed_of(run)
    panels: dict[Path, Panel] = {}
    of_set: dict[tuple[str, int], Path] = {}
    tasks: dict[str, Planned] = {}
    known: dict[Any, str] = {}  # the points of a grid learn from the same numbers
    common = {"own": own_code(), "libraries": libraries()}
    for variant, spec, model in _models(run, training):
        code = code_hash(dict(with_nested("model", model)), common)
        changes = _changes(variant, model.name)
        interval_ns = spec.interval_ns or feed.interval_ns
        name = (str(spec.features), interval_ns)
        if name not in of_set:
            place = panel_at(run, feed, spec, folder)
            of_set[name], panels[place] = place, panel_of(read_panel(place))
        place = of_set[name]
        planner = _Planner(run, training=training, panel=panels[place], feed=feed, windows=windows)
        of_bars = planner.lookback(spec)
        for task, before in planner.tasks(model, spec, of_bars):
            part = (place, task.horizon, task.train, task.test, task.blocks, before)
            if part not in known:
                known[part] = inputs_of(task, panels[place], before)
            task = msgspec.structs.replace(task, inputs=known[part])
            planned = Planned(
                task=task,
                column=_column(task, training, changes),
                code=code,
                changes=changes,
                model=model,
                panel=place,
                run=run_id(task.key, code),
                lookback=of_bars + before,
            )
            tasks.setdefault(planned.run, planned)
    ordered = sorted(tasks.values(), key=lambda planned: planned.task.fold)
    return Plan(tasks=tuple(ordered), panels=panels, feed=feed)


def _models(run: RunFile, training: Training) -> Iterator[tuple[Variant, ModelSpec, Component]]:
    """Each model that trains, at each point of the grid."""
    for variant in training.variants:
        for spec, component in zip(run.models, variant.components, strict=True):
            if trains(spec):
                yield variant, spec, component


class _Planner:
    """The tasks over one panel."""

    def __init__(self, run: RunFile, *, training: Training, panel: Panel, feed: Feed, windows: Windows) -> None:
        self._run, self._training, self._panel, self._feed, self._windows = run, training, panel, feed, windows

    def tasks(self, model: Component, spec: ModelSpec, of_bars: int) -> Iterator[tuple[Task, int]]:
        """The tasks of a model whose features look back so far, and how many slices ahead of a test it is shown."""
        run, panel = self._run, self._panel

        def placed(path: Path) -> str:
            return relative_text(path, run.folder)

        words = {k: v for k, v in component_in_words(model, placed).items() if k not in ("name", "use")}
        for horizon in dict.fromkeys(self._training.plan.horizons):
            for k in range(self._training.plan.seeds):
                seed = run.session.seed + k
                before = lookback_of(model, run, seed, self._feed) - 1
                windows = self._windows(self._training, Asked(panel, self._feed, horizon, of_bars + before))
                for fold, window in enumerate(windows):
                    task = Task(
                        model=model.name,
                        use=model.use,
                        options=words,
                        features=str(spec.features),
                        schema=panel.schema,
                        inputs="",
                        horizon=horizon,
                        train=window.train,
                        valid_from=window.valid_from,
                        test=window.test,
                        left_out=window.left_out,
                        blocks=window.blocks,
                        seed=seed,
                        fold=fold,
                    )
                    check_known(task, panel.ts, panel.labels[horizon].until)
                    yield task, before

    def lookback(self, spec: ModelSpec) -> int:
        """Slices that the features of a model look back."""
        made = feature_sets(self._run, feature_given(self._run, self._feed))[str(spec.features)]
        return max(1, int(getattr(made, "lookback", 1)))


def lookback_of(model: Component, run: RunFile, seed: int, feed: Feed) -> int:
    made = construct(model, given_of(run, model, seed, feed.universe, lambda: feed))
    return max(1, int(getattr(made, "lookback", 1)))


def given_of(run: RunFile, model: Component, seed: int, universe: Universe, feed: Callable[[], Feed]) -> Given:
    """What a model is handed. Trading days and tables take the feed, which is asked for only where the model does."""
    given = Given(session=run.session.name, seed=seed, universe=universe)
    hints = get_type_hints(resolve(model.group, model.use).__init__).values()
    if not {part for hint in hints for part in (hint, *get_args(hint))} & {Sessions, Table}:
        return given
    from adapters.files.table import checked_table

    made = feed()
    sessions = getattr(made, "sessions", None)
    close = run.feed.options.get("close") or getattr(made, "close", None)

    def table(path: Path) -> Table:
        return checked_table(path, universe, close=close, sessions=sessions)[0]

    return msgspec.structs.replace(given, sessions=sessions, table=table)


def windows_of(split: WalkForwardSpec | FixedSpec, asked: Asked) -> tuple[Window, ...]:
    """The windows of a split that moves on with time, over the slices of the panel."""
    ts, feed = asked.panel.ts, asked.feed
    if isinstance(split, FixedSpec):
        first = {name: days(feed, getattr(split, name), None)[0] for name in ("valid_from", "test_from")}
        until, test_until = (days(feed, None, day)[1] for day in (split.until, split.test_until))
        return plans.once(ts, Once(until=until or 0, test_until=test_until, **first))
    return plans.roll(ts, rolling_of(split, asked, days(feed, split.start, None)[0]))


def rolling_of(split: WalkForwardSpec, asked: Asked, start: int | None = None) -> Rolling:
    written = {name: getattr(split, name) for name in ("every", "window", "valid", "embargo")}
    check_lengths(written, asked.panel.interval_ns, "training.split")
    lengths: dict[str, Length] = {name: length_of(text) for name, text in written.items()}
    for name in ("every", "window"):
        if not lengths[name]:
            raise ConfigError(f"training.split.{name} must be longer than 0, got {getattr(split, name)}")
    return Rolling(sliding=split.sliding, start=start, **lengths)


# ---- panels ----------------------------------------------------------------------------------------------------------


def panel_at(
    run: RunFile, feed: Feed, spec: ModelSpec, folder: Path, seen: Callable[[Iterator[Event]], Iterator[Event]] = iter
) -> Path:
    """Walks history through a feature set and writes what it says; the folder of the panel.

    `seen` is what of the events is walked, all of them unless said.
    """
    training = section_of(run)
    feature_set = feature_sets(run, feature_given(run, feed))[str(spec.features)]
    since, until = days(feed, training.plan.since, training.plan.until or run.session.end)
    horizons = tuple(dict.fromkeys(training.plan.horizons))
    writer = PanelWriter(folder)
    try:
        events = of_interval(feed.events(None, until), spec.interval_ns or feed.interval_ns)
        walked = walk_all(seen(events), feature_set, horizons, writer.write, since or -(2**63))
        check_ordered(walked.ts)
        card = Card(
            names=tuple(walked.names),
            schema=walked.schema,
            symbols=feed.universe.symbols,
            interval_ns=walked.interval_ns,
            slices=len(walked.ts),
            horizons=horizons,
        )
        labels = {horizon: (each.value, each.since, each.until) for horizon, each in walked.labels.items()}
        return writer.end(card, walked.ts, labels)
    finally:
        writer.discard()


def feature_given(run: RunFile, feed: Feed) -> Given:
    """What feature sets are handed."""
    return Given(
        session=run.session.name,
        seed=run.session.seed,
        universe=feed.universe,
        sessions=getattr(feed, "sessions", None),
    )


def panel_of(file: PanelFile) -> Panel:
    """The panel of a file, its features left there."""
    return Panel(
        names=file.card.names,
        schema=file.card.schema,
        symbols=file.card.symbols,
        interval_ns=file.card.interval_ns,
        ts=file.ts,
        features=file.features,
        digests=file.digests,
        labels={horizon: Labels(*each) for horizon, each in file.labels.items()},
    )


# ---- names -----------------------------------------------------------------------------------------------------------


def _changes(variant: Variant, model: str) -> dict[str, str]:
    """What of a point of the grid is about this model, by option."""
    head = f"models.{model}."
    return {key.removeprefix(head): value for key, value in variant.changes if key.startswith(head)}


def _column(task: Task, training: Training, changes: dict[str, str]) -> str:
    """The model, and whatever else tells its trainings apart: horizon, seed, options of the grid."""
    parts = [task.model]
    parts += [f"h{task.horizon}"] if len(set(training.plan.horizons)) > 1 else []
    parts += [f"s{task.seed}"] if training.plan.seeds > 1 else []
    return "-".join([*parts, *(f"{option}={value}" for option, value in changes.items())])


def variant_of(run: RunFile, model: Component) -> RunFile:
    """The run file with this model as it is at its point of the grid, and without its section `training:`.

    Nor with artefacts, which serve sessions: options are those to train with, whatever serves was trained with others.
    """
    own = {model.name: model}
    models = tuple(
        replace(spec, component=own.get(spec.component.name, spec.component), artefact=None) for spec in run.models
    )
    return replace(run, models=models, training=None)
