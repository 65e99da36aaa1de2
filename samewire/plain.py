"""A resolved run file in plain words: mappings, lists, texts and numbers, as they would be written."""

import dataclasses
import datetime as dt
import enum
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from samewire.reading import NAMED
from samewire.registry import built_in_model
from samewire.run_file import GUARDED, GUARDS, Component, ModelSpec, Registered, RunFile, nested_in
from samewire.scalars import duration_text
from samewire.secret_text import SecretRef
from samewire.signatures import PARTS, SLOTS
from samewire.training_spec import Training

_LISTS = tuple((group, joined) for _, group, _, joined in SLOTS if joined)  # written as the lists that they stand for


def run_in_words(run: RunFile, version: int, path_text: Callable[[Path], str]) -> dict[str, Any]:
    """The run file with every default filled in; `path_text` says how a path is written."""

    def words(component: Component) -> dict[str, Any]:
        return component_in_words(component, path_text)

    strategies = [words(component) for component in run.strategies]
    said: dict[str, Any] = {
        "schema": version,
        **({"compat": run.compat} if run.compat else {}),
        "session": _plain(run.session.model_dump(), path_text),
        "feed": words(run.feed),
    }
    if run.features:
        said["features"] = [words(component) for component in run.features]
    said["models"] = [_model(spec, path_text) for spec in run.models]
    said["strategy"] = strategies
    said["optimizer"] = words(run.optimizer)
    if run.execution is not None:
        said["execution"] = words(run.execution)
    said |= {"risk": words(run.risk), "broker": words(run.broker), "sinks": [words(sink) for sink in run.sinks]}
    if run.training is not None:
        said["training"] = _training(run.training, path_text)
    if run.live is not None:
        said["live"] = words(run.live)
    return said


def _training(training: Training, path_text: Callable[[Path], str]) -> dict[str, Any]:
    executor = training.executor.model_dump()
    if "timeout" in executor:
        executor["timeout"] = duration_text(executor["timeout"])
    grid = {"grid": {key: list(values) for key, values in training.grid}} if training.grid else {}
    plan: dict[str, Any] = _plain(training.plan.model_dump(), path_text)
    split: dict[str, Any] = _plain(training.split.model_dump(), path_text)
    online = {"online": _plain(training.online.model_dump(), path_text)} if training.online else {}
    sinks = {"sinks": [component_in_words(sink, path_text) for sink in training.sinks]} if training.sinks else {}
    if training.agent is not None:
        plan.pop("horizons")
        return plan | {"agent": training.agent.words(), "executor": executor} | sinks
    said = {"executor": executor, "leaks": training.leaks.model_dump()}
    return plan | {"split": split} | grid | said | online | sinks


def component_in_words(component: Component, path_text: Callable[[Path], str]) -> dict[str, Any]:
    inner = component.options.get("strategy")
    if component.use == GUARDED and isinstance(inner, Component) and inner.name == component.name:
        return _guarded(component, inner, path_text)
    said = {"name": component.name} if component.group in NAMED else {}
    options = {key: _option(value, path_text) for key, value in component.options.items()}
    paced = {"interval": duration_text(component.interval_ns)} if component.interval_ns else {}
    return said | {"use": component.use} | paced | options


def _guarded(outer: Component, inner: Component, path_text: Callable[[Path], str]) -> dict[str, Any]:
    """A strategy with what stands around it as keys beside its own options, if anything does."""
    guards = {key: _option(outer.options[key], path_text) for key in GUARDS if outer.options.get(key)}
    if not guards or any(key in inner.options for key in GUARDS):
        own = {key: _option(value, path_text) for key, value in outer.options.items()}
        return {"name": outer.name, "use": GUARDED} | own
    return component_in_words(replace(inner, interval_ns=outer.interval_ns), path_text) | guards


def _option(value: Any, path_text: Callable[[Path], str]) -> Any:
    if isinstance(value, Component) and (value.group, value.use) in _LISTS:
        value = value.options[PARTS]
    parts = [component_in_words(part, path_text) for part in nested_in(value)]
    if not parts:
        return _plain(value, path_text)
    return parts if isinstance(value, tuple) else parts[0]


def _model(spec: ModelSpec, path_text: Callable[[Path], str]) -> dict[str, Any]:
    said = component_in_words(spec.component, path_text)
    options = {key: said.pop(key) for key in list(said) if key not in ("name", "use")}
    served = spec.artefact is not None and spec.retrain is None
    if served and spec.component.written is not None and built_in_model(spec.component.use):
        # It answers as it was trained: defaults that it may have been trained without would be no record of it.
        options = {key: value for key, value in options.items() if key in spec.component.written}
    if spec.features is not None:
        said["features"] = spec.features
    if spec.train is not None:
        said["train"] = _plain(spec.train.model_dump(), path_text)
    if spec.retrain is not None:
        said["retrain"] = _plain(spec.retrain.model_dump(), path_text)
    if isinstance(spec.artefact, Registered):
        said |= {"artefact": str(spec.artefact), "registry": path_text(spec.artefact.registry)}
    elif spec.artefact is not None:
        said["artefact"] = path_text(spec.artefact)
    said["lag"] = spec.lag
    said |= {"latency": duration_text(spec.latency_ns), "ttl": duration_text(spec.ttl_ns)}
    if spec.interval_ns:
        said["interval"] = duration_text(spec.interval_ns)
    return said | options


def _plain(value: Any, path_text: Callable[[Path], str]) -> Any:
    if isinstance(value, Path):
        return path_text(value)
    if isinstance(value, SecretRef):
        return value.written(path_text)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name), path_text) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(inner, path_text) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, path_text) for inner in value]
    return value
