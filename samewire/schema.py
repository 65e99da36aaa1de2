"""The run file: read, checked with all problems at once, written back resolved, hashed, and as a JSON Schema."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from samewire import overrides as changes
from samewire.artefacts import named_in, other_kind, other_options, unreadable
from samewire.build import unpriced
from samewire.closest import closest, listed
from samewire.compat import PRESETS, with_preset
from samewire.diagnostics import Origin, Problem, RunFileErrors, Where
from samewire.intervals import with_intervals
from samewire.model_keys import exclusive
from samewire.places import FOLDER, joined, refuse_override, relative_text, started
from samewire.plain import run_in_words
from samewire.reading import ModelKeys, Reader, Spot, placed
from samewire.registry import BUILT_IN, checked_allow, choices
from samewire.run_file import Component, Held, ModelSpec, Registered, RunFile, SessionSpec, TrainSpec
from samewire.symbols import unknown_symbols
from samewire.training_section import read_training
from samewire.unfed import unfed
from samewire.unlent import unlent
from samewire.written_out import errors_of, refuse_addresses
from samewire.yaml_text import Entries, Items, Node, Text, compose, described, from_python, read_text, written

__all__ = [
    "Component",
    "ModelSpec",
    "RunFile",
    "RunFileErrors",
    "SessionSpec",
    "TrainSpec",
    "config_hash",
    "dump_run",
    "load_run",
    "resolved",
]

VERSION = 1
KEYS = (
    "schema",
    "folder",
    "compat",
    "session",
    "feed",
    "features",
    "models",
    "strategy",
    "optimizer",
    "execution",
    "risk",
    "broker",
    "sinks",
    "training",
    "live",
)
_MODEL_KEYS = frozenset(ModelKeys.model_fields)
_OWN_NAMES = (
    *("feed", "ledger", "optimizer", "execution", "risk", "broker"),
    *("barrier", "granted", "input", "journal", "record", "session", "timers"),  # what records call parts of the engine
)


def load_run(
    path: Path | str | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    allow: Sequence[str] | None = None,
    recorded: Path | None = None,
    live: bool = False,
) -> RunFile:
    """The checked run file; `overrides` are texts such as `strategy.topk=20`, later ones win.

    `allow` names packages and modules whose classes `use:` may name beside the built-ins: () none, None any. Nothing
    else is imported. Of a session, `recorded` is the directory: its models are those that lie there, whatever became
    of the registry or the folder that they were taken from. Of a `live` one they may lie in its topics: a trained model
    that is not here is missed only by a session that begins.

    Takes the path of a YAML file, or the same as a mapping of Python values, whose relative paths start from the
    working directory. Raises RunFileErrors with every problem at once.
    """
    problems: list[Problem] = []
    if isinstance(path, Mapping):
        origin = Origin("the run", Path.cwd())
        root: Node | None = from_python(path, origin)
        origin = started(root, origin, problems)
        root = from_python(path, origin)
    else:
        text, origin = read_text(Path(path))
        root = compose(text, origin, problems)
        if (there := started(root, origin, problems)) != origin:
            origin, root = there, compose(text, there, [])
        if root is None and not problems:
            problems.append(Problem("E100", Where(origin), "", "an empty file", "a run file"))
    if any(problem.code == "E103" for problem in problems):  # what follows would only be said of the same places
        raise errors_of(origin.name, problems, root)
    if root is not None and not isinstance(root, Entries):
        problems.append(Problem("E107", root.where, "", described(root), "a mapping with " + ", ".join(KEYS)))
    if not isinstance(root, Entries):
        raise errors_of(origin.name, problems, root)
    folder = root.values.get(FOLDER)
    for expression in overrides:
        root = changes.apply(root, expression, problems)
    refuse_override(root, folder, problems)
    refuse_addresses(root, problems)
    root, compat = _preset(root, problems)
    reader = Reader(problems, None if allow is None else checked_allow(allow), Held(recorded, live))
    run = _Assembly(root, reader, origin.folder, compat).run()
    if run is None or problems:
        raise errors_of(origin.name, problems, root)
    return run


def _preset(root: Entries, problems: list[Problem]) -> tuple[Entries, str]:
    """The run file with the options of the preset that it names, and the preset's name."""
    node = root.values.get("compat")
    if node is None or (isinstance(node, Text) and node.plain and node.value in ("", "~", "null")):
        return root, ""
    if not isinstance(node, Text) or node.value not in PRESETS:
        got = described(node)
        near = closest(node.value, PRESETS) if isinstance(node, Text) else ""
        hint = f'did you mean "{near}"?' if near else ""
        problems.append(Problem("E111", node.where, "compat", got, "one of: " + ", ".join(PRESETS), hint))
        return root, ""
    return with_preset(root, node.value, node), node.value


class _Assembly:
    """The sections of a run file, each read in turn; `run` is None after a problem in one that must be there."""

    def __init__(self, root: Entries, reader: Reader, folder: Path, compat: str) -> None:
        self._root, self._reader, self._folder, self._compat = root, reader, folder, compat
        self._taken = set(_OWN_NAMES)

    def run(self) -> RunFile | None:
        root, reader = self._root, self._reader
        self._top()
        session: SessionSpec | None = reader.record(SessionSpec, root.values.get("session"), "session", root.where)
        if session is not None and session.start and session.end and session.end < session.start:
            self._contradiction("session", "end", f"from {session.start} to {session.end}", "an end after the start")
        feed = self._one("feed", "feeds")
        features = self._features()
        models = self._models(features)
        strategies = self._strategies()
        optimizer = self._one("optimizer", "optimizers")
        execution = self._one("execution", "execution") if self._said("execution") else None
        risk = self._one("risk", "gates", use="limits")
        broker = self._one("broker", "brokers")
        sinks = self._sinks()
        training = read_training(root, reader, models, self._models_of) if self._said("training") else None
        live = self._one("live", "live", use="kafka") if self._said("live") else None
        if session is None or feed is None or optimizer is None or risk is None or broker is None:
            return None
        used = self._used_features(features, models)
        self._names("features", used)
        self._names("models", [spec.component for spec in models])
        self._names("strategy", strategies)
        run = RunFile(
            session=session,
            feed=feed,
            features=tuple(used),
            models=tuple(models),
            strategies=tuple(strategies),
            optimizer=optimizer,
            execution=execution,
            risk=risk,
            broker=broker,
            sinks=tuple(sinks),
            training=training,
            live=live,
            compat=self._compat,
            folder=self._folder,
        )
        reader.problems += [*unknown_symbols(run, root), *unpriced(run), *unfed(run), *unlent(run)]
        return with_intervals(run, reader.problems.append)

    def _said(self, key: str) -> bool:
        node = self._root.values.get(key)
        return node is not None and not (isinstance(node, Text) and node.plain and node.value in ("", "~", "null"))

    def _top(self) -> None:
        root, add = self._root, self._reader.add
        for key in root.values:
            if key not in KEYS:
                near = closest(key, KEYS)
                hint = f'did you mean "{near}"?' if near else ""
                add("E104", root.keys[key], key, key, "one of: " + ", ".join(KEYS), hint)
        version = root.values.get("schema")
        if version is None:
            add("E105", root.where, "schema", "nothing", f"schema: {VERSION}")
        elif not isinstance(version, Text) or version.value != str(VERSION):
            add("E114", version.where, "schema", described(version), f"{VERSION}, the version that this samewire reads")

    def _one(self, key: str, group: str, use: str = "") -> Component | None:
        """A section that is one component."""
        root, reader = self._root, self._reader
        node = root.values.get(key)
        spot = Spot(group, key, use, key)
        if node is None or not self._said(key):
            if use:
                return reader.component(Entries({}, {}, root.where), spot)
            where = root.where if node is None else node.where
            reader.add("E105" if node is None else "E106", where, key, "nothing", choices(group))
            return None
        entries = reader.entries(node, key, group)
        return None if entries is None else reader.component(entries, spot)

    def _list(self, key: str, group: str) -> list[tuple[str, Entries]]:
        """A section that is a list of components, as (path, mapping)."""
        node = self._root.values.get(key)
        if node is None or not self._said(key):
            return []
        if not isinstance(node, Items):
            self._reader.add("E107", node.where, key, described(node), "a list: begin each with a dash")
            return []
        found = []
        for i, item in enumerate(node.items):
            entries = self._reader.entries(item, f"{key}[{i}]", group)
            if entries is not None:
                found.append((f"{key}[{i}]", entries))
        return found

    def _features(self) -> list[Component]:
        found = self._list("features", "features")
        made = [self._reader.component(entries, Spot("features", path)) for path, entries in found]
        return [component for component in made if component is not None]

    def _models(self, features: list[Component]) -> list[ModelSpec]:
        node = self._root.values.get("models")
        if node is None or (isinstance(node, Items) and not node.items) or not self._said("models"):
            where = self._root.where if node is None else node.where
            self._reader.add("E105", where, "models", "nothing", "a list of at least one model")
            return []
        names = [component.name for component in features]
        declared = [
            entries.values["name"].value
            for _, entries in self._list_quietly("features")
            if isinstance(entries.values.get("name"), Text)
        ]
        made = [self._model(path, entries, [*names, *declared]) for path, entries in self._list("models", "models")]
        return [spec for spec in made if spec is not None]

    def _models_of(self, root: Entries, reader: Reader) -> list[ModelSpec]:
        """The models of a tree that differs from this file in options of theirs."""
        there = _Assembly(root, reader, self._folder, self._compat)
        return there._models(there._features())

    def _list_quietly(self, key: str) -> list[tuple[str, Any]]:
        node = self._root.values.get(key)
        items = node.items if isinstance(node, Items) else ()
        return [(f"{key}[{i}]", item) for i, item in enumerate(items) if isinstance(item, Entries)]

    def _model(self, path: str, entries: Entries, features: list[str]) -> ModelSpec | None:
        reader = self._reader
        own = Entries({k: v for k, v in entries.values.items() if k in _MODEL_KEYS}, entries.keys, entries.where)
        keys: ModelKeys | None = reader.validated(ModelKeys, own, ModelKeys, path)
        component = reader.component(entries, Spot("models", path), _MODEL_KEYS)
        if keys is None or component is None:
            return None
        self._agree(component, keys, path, entries)
        if keys.features is not None and keys.features not in (*features, *BUILT_IN["features"]):
            near = closest(keys.features, [*features, *BUILT_IN["features"]])
            hint = f'did you mean "{near}"?' if near else ""
            known = listed(dict.fromkeys([*features, *BUILT_IN["features"]]))
            where = entries.values["features"].where
            reader.add("E111", where, f"{path}.features", keys.features, f"a feature set: {known}", hint)
        artefact = self._artefact(component, keys, path, entries)
        return ModelSpec(
            component=component,
            features=keys.features,
            train=keys.train,
            retrain=keys.retrain,
            artefact=artefact,
            lag=keys.lag,
            latency_ns=keys.latency,
            ttl_ns=keys.ttl,
            interval_ns=keys.interval,
        )

    def _artefact(self, component: Component, keys: ModelKeys, path: str, entries: Entries) -> Path | Registered | None:
        """The trained model that these keys name, seen to be there and to be of the component's kind."""
        node, folder = entries.values.get("artefact"), entries.values.get("registry")
        if keys.artefact is None or node is None:
            return None
        text = node.value if isinstance(node, Text) else ""
        registry = joined(node.where.origin.folder, keys.registry) if folder is None else placed(keys.registry, folder)
        named = named_in(text, registry)
        found: Path | Registered = placed(keys.artefact, node) if named is None else named
        kept = None if self._reader.held.recorded is None else self._reader.held.recorded / "models" / component.name
        if kept is not None and unreadable(kept) is None:
            return replace(found, pinned=kept) if isinstance(found, Registered) else found
        missing = unreadable(found)
        if missing and self._reader.held.live:
            return found
        if missing:
            self._reader.add("E108", node.where, f"{path}.artefact", *missing)
        elif other := other_kind(component, found):
            self._reader.add("E113", component.where, f"{path}.use", *other)
        elif keys.retrain is None and "training" not in self._root.values:  # else options are of what is trained next
            for key, *odd in other_options(component, found):
                self._reader.add("E113", entries.values[key].where, f"{path}.{key}", *odd)
        return found

    def _agree(self, component: Component, keys: ModelKeys, path: str, entries: Entries) -> None:
        """What of a model's own keys exclude each other, or do not fit its class."""
        for wrong, key, got, expected in exclusive(component, keys, entries):
            if wrong:
                where = entries.values.get(key, entries).where
                self._reader.add("E113", where, f"{path}.{key}", got, expected)

    def _strategies(self) -> list[Component]:
        node = self._root.values.get("strategy")
        if isinstance(node, Items):
            found = self._list("strategy", "strategies")
            if not found and not node.items:
                self._reader.add("E105", node.where, "strategy", "nothing", "at least one strategy")
            made = [self._reader.component(entries, Spot("strategies", path)) for path, entries in found]
        else:
            made = [self._one("strategy", "strategies")]
        return [component for component in made if component is not None]

    def _sinks(self) -> list[Component]:
        if "sinks" not in self._root.values:
            return [Component(group="sinks", use="session_dir", name="session_dir", options={}, where=self._root.where)]
        found = self._list("sinks", "sinks")
        made = [self._reader.component(entries, Spot("sinks", path)) for path, entries in found]
        return [component for component in made if component is not None]

    def _used_features(self, features: list[Component], models: list[ModelSpec]) -> list[Component]:
        """The declared feature sets, and built-in ones that a model names without their being declared."""
        used = list(features)
        for spec in models:
            name = spec.features
            if name is not None and name in BUILT_IN["features"] and name not in [c.name for c in used]:
                made = self._reader.component(
                    Entries({}, {}, spec.component.where), Spot("features", "features", name, name)
                )
                used += [made] if made is not None else []
        return used

    def _names(self, section: str, components: list[Component]) -> None:
        for component in components:
            if component.name in self._taken:
                got = f"{component.name!r}, which is taken"
                self._reader.add("E112", component.where, f"{section}.name", got, "another name")
            self._taken.add(component.name)

    def _contradiction(self, section: str, key: str, got: str, expected: str) -> None:
        node = self._root.values[section]
        where = node.values.get(key, node).where if isinstance(node, Entries) else node.where
        self._reader.add("E113", where, f"{section}.{key}", got, expected)


# ---- a run file written back ---------------------------------------------------------------------------------------


def resolved(run: RunFile) -> dict[str, Any]:
    """The run file as it would be written with every default filled in: mappings, lists, texts, numbers, None.

    Paths are relative to the folder that those of the run file start from.
    """
    return run_in_words(run, VERSION, lambda path: relative_text(path, run.folder))


def dump_run(run: RunFile, beside: Path | None = None) -> str:
    """The resolved run file as YAML; loading it gives an equal RunFile.

    With `beside`, the folder in which it will lie, paths are relative and `folder:` says from where; else absolute.
    """
    if beside is None:
        return written(run_in_words(run, VERSION, str))
    said = resolved(run)
    head = {"schema": said.pop("schema"), FOLDER: relative_text(run.folder, beside.resolve())}
    return written(head | said)


def config_hash(run: RunFile) -> str:
    """SHA-256 of what decides the run: the resolved file as canonical JSON, paths relative to its folder.

    The same folder in another place has the same hash. What the files hold is no part of it, and neither is how a live
    session is connected: what that decided, the cut of each slice, is recorded.
    """
    return hash_of_words(resolved(run))


def hash_of_words(words: Mapping[str, Any]) -> str:
    """The same of a run file in plain words, as `resolved` has it and a manifest keeps it."""
    decides = {key: said for key, said in words.items() if key != "live"}
    text = json.dumps(decides, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
