"""The section `training:` read from a run file, each point of its grid checked as the models themselves are."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from components.training.plan import length_of
from components.training.splitters import FITS_MAX
from samewire import overrides as changes
from samewire.agent_section import OF_MODELS, read_agent
from samewire.chosen import chosen
from samewire.closest import closest, listed
from samewire.diagnostics import Problem
from samewire.reading import ModelKeys, Owner, Reader, Spot, placed
from samewire.registry import resolve
from samewire.run_file import Component, ModelSpec
from samewire.training_spec import (
    EXECUTORS,
    LEAKS,
    PARTS,
    SPLITS,
    CpcvSpec,
    OnlineSpec,
    Training,
    TrainingSpec,
    Variant,
    WalkForwardSpec,
)
from samewire.yaml_text import Entries, Items, Node, Text, described

POINTS_MAX = 1000
_PATH = "training"
Models = Callable[[Entries, Reader], list[ModelSpec]]


def trains(spec: ModelSpec) -> bool:
    """Whether `samewire train` has something to do for this model."""
    return spec.features is not None and hasattr(resolve("models", spec.component.use), "fit")


def read_training(root: Entries, reader: Reader, models: Sequence[ModelSpec], read: Models) -> Training | None:
    """The section; None after a problem. `read` reads the models of a tree in which an option was changed."""
    node = root.values[_PATH]
    if not isinstance(node, Entries):
        reader.add("E107", node.where, _PATH, described(node), "a mapping with " + ", ".join(_keys()))
        return None
    before = len(reader.problems)
    if "agent" in node.values:
        return _of_agent(node, reader, models)
    own = Entries({k: v for k, v in node.values.items() if k not in PARTS}, node.keys, node.where)
    plan = reader.validated(TrainingSpec, own, TrainingSpec, _PATH, Owner(f'"{_PATH}"', _keys()))
    split = chosen(reader, node, f"{_PATH}.split", SPLITS, "walk_forward")
    _check_choices(reader, node, split)
    executor = chosen(reader, node, f"{_PATH}.executor", EXECUTORS, "serial")
    leaks = chosen(reader, node, f"{_PATH}.leaks", LEAKS, "on")
    online = _online(reader, node)
    sinks = _sinks(reader, node)
    if models and not any(map(trains, models)):
        names = listed([spec.component.name for spec in models])
        expected = "a model that trains (its class defines fit) and names a feature set"
        reader.add("E113", node.where, _PATH, f"models that do not train: {names}", expected)
    grid = _Grid(root, reader, models, read).read(node.values.get("grid"))
    if None in (plan, split, executor, leaks, sinks) or grid is None or len(reader.problems) > before:
        return None
    plan = plan.model_copy(update={"store": placed(plan.store, own.values.get("store", node))})
    texts, variants = grid
    return Training(
        plan=plan,
        split=split,
        executor=executor,
        leaks=leaks,
        online=online,
        sinks=sinks or (),
        grid=texts,
        variants=variants,
    )


def _of_agent(node: Entries, reader: Reader, models: Sequence[ModelSpec]) -> Training | None:
    """The section where it trains an execution agent."""
    agent = read_agent(node, reader)
    keys = tuple(key for key in _keys() if key not in OF_MODELS)
    own = Entries({k: v for k, v in node.values.items() if k not in PARTS}, node.keys, node.where)
    plan = reader.validated(TrainingSpec, own, TrainingSpec, _PATH, Owner(f'"{_PATH}"', keys))
    executor, sinks = chosen(reader, node, f"{_PATH}.executor", EXECUTORS, "serial"), _sinks(reader, node)
    if agent is None or plan is None or executor is None or sinks is None:
        return None
    return Training(
        plan=plan.model_copy(update={"store": placed(plan.store, own.values.get("store", node))}),
        split=WalkForwardSpec(),
        executor=executor,
        sinks=sinks,
        variants=(Variant(changes=(), components=tuple(spec.component for spec in models)),),
        agent=agent,
    )


def _keys() -> tuple[str, ...]:
    return (*PARTS, *TrainingSpec.model_fields)


def _online(reader: Reader, node: Entries) -> OnlineSpec | None:
    """How models are kept up to date; None where that is not said, and after a problem."""
    path, found = f"{_PATH}.online", node.values.get("online")
    if found is None or (isinstance(found, Text) and found.plain and found.value in ("", "~", "null")):
        return None
    if not isinstance(found, Entries):
        expected = "a mapping with " + ", ".join(OnlineSpec.model_fields)
        reader.add("E107", found.where, path, described(found), expected)
        return None
    said: OnlineSpec | None = reader.validated(
        OnlineSpec, found, OnlineSpec, path, Owner(f'"{path}"', tuple(OnlineSpec.model_fields))
    )
    if said is None:
        return None
    length = length_of(said.judge)
    if length.slices and length.slices < said.least or not length:
        expected = f"at least {said.least} slices, which is `least`, the fewest that are compared"
        reader.add("E108", found.keys.get("judge", found.where), f"{path}.judge", said.judge, expected)
    if said.stage == "candidate":
        expected = "another stage than candidate, at which every artefact begins"
        reader.add("E108", found.keys["stage"], f"{path}.stage", said.stage, expected)
    return said.model_copy(update={"registry": placed(said.registry, found.values.get("registry", node))})


def _sinks(reader: Reader, node: Entries) -> tuple[Component, ...] | None:
    """The places that runs are told to besides the store; None after a problem."""
    path, found = f"{_PATH}.sinks", node.values.get("sinks")
    if found is None or (isinstance(found, Text) and found.plain and found.value in ("", "~", "null")):
        return ()
    if not isinstance(found, Items):
        reader.add("E107", found.where, path, described(found), "a list such as [{use: mlflow, uri: https://HOST}]")
        return None
    made: list[Component | None] = []
    for i, item in enumerate(found.items):
        spot = Spot("run_sinks", f"{path}[{i}]", name=f"training.sinks[{i}]")
        entries = reader.entries(item, spot.path, spot.group)
        made.append(None if entries is None else reader.component(entries, spot))
    return None if None in made else tuple(each for each in made if each is not None)


def _check_choices(reader: Reader, node: Entries, split: Any) -> None:
    """Each choice of `tested` of `groups` blocks is a training: fewer than all blocks, and not too many choices."""
    found = node.values.get("split")
    if not isinstance(split, CpcvSpec) or not isinstance(found, Entries):
        return
    path = f"{_PATH}.split"
    if split.tested >= split.groups:
        where = found.keys.get("tested", found.keys.get("groups", found.where))
        expected = f"at most {split.groups - 1}: fewer than groups, so that there is something left to learn from"
        reader.add("E108", where, f"{path}.tested", str(split.tested), expected)
    elif (choices := math.comb(split.groups, split.tested)) > FITS_MAX:
        got = f"{split.tested} of {split.groups} groups, {choices:,} trainings"
        where = found.keys.get("groups", found.where)
        reader.add("E108", where, f"{path}.groups", got, f"fewer groups: at most {FITS_MAX:,} trainings")


class _Grid:
    """Options of models, each with the values that it is to take."""

    def __init__(self, root: Entries, reader: Reader, models: Sequence[ModelSpec], read: Models) -> None:
        self._root, self._reader, self._models, self._read = root, reader, models, read

    def read(self, node: Node | None) -> tuple[tuple[tuple[str, tuple[str, ...]], ...], tuple[Variant, ...]] | None:
        """What was written, and the models at each point; None after a problem."""
        plain = Variant(changes=(), components=tuple(spec.component for spec in self._models))
        if node is None or not self._models:
            return (), (plain,)
        if not isinstance(node, Entries):
            expected = "a mapping such as models.gbdt.num_leaves: [31, 63]"
            self._reader.add("E107", node.where, f"{_PATH}.grid", described(node), expected)
            return None
        before = len(self._reader.problems)
        axes = {key: self._axis(key, inner, node) for key, inner in node.values.items()}
        if len(self._reader.problems) > before:
            return None
        points = math.prod(len(values) for values in axes.values())
        if points > POINTS_MAX:
            got = f"{points:,} points"
            self._reader.add("E108", node.where, f"{_PATH}.grid", got, f"at most {POINTS_MAX:,} points in all")
            return None
        texts = tuple((key, tuple(_text(value) for value in values)) for key, values in axes.items())
        chosen = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
        variants = [self._variant(point, node) for point in chosen]
        if len(self._reader.problems) > before:
            return None
        return texts, tuple(variant for variant in variants if variant is not None)

    def _axis(self, key: str, node: Node, grid: Entries) -> tuple[Text, ...]:
        """The values of one option, each tried on its own; empty after a problem."""
        path = f"{_PATH}.grid.{key}"
        index = self._index(key, grid)
        items = node.items if isinstance(node, Items) else ()
        if not items or not all(isinstance(item, Text) for item in items):
            expected = "a list of values such as [31, 63]"
            self._reader.add("E107", node.where, path, described(node), expected)
            return ()
        if index is None:
            return ()
        values = tuple(item for item in items if isinstance(item, Text))
        for value in values:
            self._changed({key: value}, grid)
        return values

    def _index(self, key: str, grid: Entries) -> int | None:
        """Which model it is an option of; None after a problem."""
        path, where = f"{_PATH}.grid.{key}", grid.keys[key]
        head, _, rest = key.partition(".")
        names = [spec.component.name for spec in self._models]
        name = max((known for known in names if rest.startswith(f"{known}.")), key=len, default="")
        if head != "models" or not name:
            said = rest.partition(".")[0]
            near = closest(said, names)
            hint = f'did you mean "models.{near}"?' if near else ""
            self._reader.add("E111", where, path, key, f"models.NAME.OPTION, NAME one of: {listed(names)}", hint)
            return None
        option = rest[len(name) + 1 :]
        if option.partition(".")[0] in ("use", "name", *ModelKeys.model_fields):
            self._reader.add("E113", where, path, option, "an option of the model's own, such as num_leaves")
            return None
        index = names.index(name)
        if not trains(self._models[index]):
            self._reader.add("E113", where, path, f"{name} does not train", "an option of a model that trains")
            return None
        return index

    def _variant(self, point: dict[str, Text], grid: Entries) -> Variant | None:
        models = self._changed(point, grid)
        if models is None:
            return None
        texts = tuple((key, _text(value)) for key, value in point.items())
        return Variant(changes=texts, components=tuple(spec.component for spec in models))

    def _changed(self, point: dict[str, Text], grid: Entries) -> list[ModelSpec] | None:
        """The models with these options; problems are told at the value in the grid."""
        root, found = self._root, list[Problem]()
        reader = Reader(found, self._reader.allow, self._reader.held)
        for key, value in point.items():
            root = changes.apply(root, f"{self._path(key)}={_quoted(value)}", found)
        models = self._read(root, reader)
        for problem in found:
            last = next((key for key in point if problem.path == self._path(key)), next(iter(point)))
            self._reader.add(
                problem.code, point[last].where, f"{_PATH}.grid.{last}", problem.got, problem.expected, problem.hint
            )
        return None if found or len(models) != len(self._models) else models

    def _path(self, key: str) -> str:
        """`models.NAME.OPTION` as a path into the tree."""
        rest = key.removeprefix("models.")
        names = [spec.component.name for spec in self._models]
        name = max((known for known in names if rest.startswith(f"{known}.")), key=len)
        return f"models[{names.index(name)}].{rest[len(name) + 1 :]}"


def _text(value: Text) -> str:
    return value.value


def _quoted(value: Text) -> str:
    """As it would be written in YAML so that it is read as it was."""
    return value.value if value.plain else "'" + value.value.replace("'", "''") + "'"
