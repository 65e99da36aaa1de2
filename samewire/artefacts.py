"""Trained models as a run file names them: by a folder, or by what a registry says."""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from engine.clock import Clock, SystemClock
from engine.errors import ConfigError, SamewireError
from engine.protocols import Artefact
from samewire.diagnostics import shown_path
from samewire.registry import BUILT_IN, built_in_model
from samewire.run_file import Component, Registered, RunFile

if TYPE_CHECKING:
    from adapters.registry.folder import FolderRegistry

REGISTRY = "registry:"  # how a reference begins
_REFERENCE = re.compile(r"registry:([^@]+)@([^@]+)")
_HASH = re.compile(r"[0-9a-f]{64}")
_SCALAR = (bool, int, float, str)
_NESTED = ("trees", "rounds", "weighing")  # within the parameters of a card
_IMPLIED = ("above", "grades")  # labels of an objective, whatever the option says
_PLACES = frozenset({"device"})  # where it was trained; the option says where it answers
_ROUNDS = frozenset({"num_boost_round", "early_stopping_rounds", "epochs", "patience"})  # of the last training alone
_FOLDER = "the folder of a trained model, such as models/NAME of a session directory"


def registry_at(folder: Path, *, actor: str = "samewire", clock: Clock | None = None) -> "FolderRegistry":
    """The registry of a folder, which need not be there yet."""
    from adapters.registry.folder import FolderRegistry
    from components.models.artefact import read_artefact, write_artefact

    return FolderRegistry(folder, clock=clock or SystemClock(), write=write_artefact, read=read_artefact, actor=actor)


def named_in(text: str, registry: Path) -> Registered | None:
    """The reference that the text is; None for the name of a folder.

    >>> str(named_in("registry:gbdt@production", Path("models")))
    'registry:gbdt@production'
    >>> named_in("models/gbdt", Path("models")) is None
    True
    """
    if not text.startswith(REGISTRY):
        return None
    found = _REFERENCE.fullmatch(text)
    name, at = found.groups() if found else (text.removeprefix(REGISTRY), "")
    return Registered(registry=registry, name=name, at=at)


def unreadable(artefact: Path | Registered) -> tuple[str, str] | None:
    """What stands there instead of a trained model, and what should; None where there is one. Reads no weights."""
    if isinstance(artefact, Registered):
        return _unresolved(artefact) if artefact.pinned is None else unreadable(artefact.pinned)
    shown = shown_path(str(artefact))
    if not artefact.exists():
        return f"{shown}, which does not exist", _FOLDER
    return None if (artefact / "MANIFEST.json").is_file() else (f"{shown}, which holds no MANIFEST.json", _FOLDER)


def _unresolved(named: Registered) -> tuple[str, str] | None:
    if not named.at:
        return f"{REGISTRY}{named.name}", "registry:NAME@STAGE, such as registry:gbdt@production"
    if not (named.registry / "history.jsonl").is_file():
        return f"{named} of {shown_path(str(named.registry))}", "a registry there: set `registry` to its folder"
    try:
        _hash_of(named)
    except SamewireError as error:
        said = str(error).replace(str(named.registry), shown_path(str(named.registry)))
        return str(named), f"what the registry has: {said}"
    return None


def other_kind(component: Component, artefact: Path | Registered) -> tuple[str, str] | None:
    """What stands there instead of a trained model of the component's kind, and what should. None where its kind fits,
    or where one of the two is none of ours: the model itself looks at it then. Reads no weights."""
    own, kind = built_in_model(component.use), _card(artefact).get("kind")
    if not own or kind not in BUILT_IN["models"] or kind == own:
        return None
    return f"{own}, and {_shown(artefact)} is a trained {kind}", f"use: {kind}, or the artefact of a {own}"


def other_options(component: Component, artefact: Path | Registered) -> Iterator[tuple[str, str, str]]:
    """Each option that was written beside it and that it was trained otherwise with: the option, what was said, what is
    expected. It answers as it was trained, so such an option would be heeded by nobody and recorded all the same.

    Numbers, texts and switches are compared that its card has under the option's name. Reads no weights.
    """
    card = _card(artefact)
    if card.get("kind") != (built_in_model(component.use) or component.use):
        return
    learned = _learned_with(card)
    for key, value in component.options.items():
        if key not in (component.written or ()) or not isinstance(value, _SCALAR):
            continue
        then = learned.get(key)
        if isinstance(then, _SCALAR) and then != value:
            got = f"{_word(value)}, and {_shown(artefact)} was trained with {_word(then)}"
            yield key, got, f"{key}: {_word(then)}, or no {key} beside artefact"


def _learned_with(card: dict[str, Any]) -> dict[str, Any]:
    """The options that a card has, by name."""
    params = card.get("params")
    if not isinstance(params, dict):
        return {}
    inner = [params[part] for part in _NESTED if isinstance(params.get(part), dict)]
    nested = {key: value for part in inner for key, value in part.items()}
    gone = _PLACES | (_ROUNDS if "went_on_from" in params else frozenset())
    label = {} if card.get("label") in _IMPLIED else {"label": card.get("label")}
    return {key: value for key, value in (label | nested | params).items() if key not in gone}


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _card(artefact: Path | Registered) -> dict[str, Any]:
    """What it says of itself; nothing where it cannot be read, which is told by whoever opens it."""
    folder = artefact if isinstance(artefact, Path) else registry_at(artefact.registry).place(_hash_of(artefact))
    try:
        said = msgspec.json.decode((folder / "model.json").read_bytes())
    except (OSError, msgspec.MsgspecError):
        return {}
    return said if isinstance(said, dict) else {}


def _shown(artefact: Path | Registered) -> str:
    return str(artefact) if isinstance(artefact, Registered) else shown_path(str(artefact))


def _hash_of(named: Registered) -> str:
    registry = registry_at(named.registry)
    if not _HASH.fullmatch(named.at):
        return registry.holder(named.name, named.at).artefact
    return registry.registered(named.name, named.at)


def artefact_at(place: Path | Registered) -> Artefact:
    """The trained model itself, every byte of it checked. StateError for one that is not as it was written."""
    from components.models.artefact import read_artefact

    if isinstance(place, Registered):
        if place.pinned is None:
            return registry_at(place.registry).artefact(_hash_of(place))
        return read_artefact(place.pinned)
    return read_artefact(place)


def owners(run: RunFile) -> set[str]:
    """Whoever of a session may have artefacts: its models, and an execution policy that is trained."""
    trained = run.execution is not None and "artefact" in run.execution.options
    return {spec.component.name for spec in run.models} | ({"execution"} if trained else set())


def pinned(run: RunFile, directory: Path) -> RunFile:
    """The run file of a session directory whose registered models are those that the session had."""

    def held(artefact: Path | Registered | None, name: str) -> Path | Registered | None:
        if not isinstance(artefact, Registered):
            return artefact
        return replace(artefact, pinned=directory / "models" / name)

    models = tuple(replace(spec, artefact=held(spec.artefact, spec.component.name)) for spec in run.models)
    return replace(run, models=models)


def check_features(name: str, artefact: Artefact, feature_set: Any) -> None:
    """Raises ConfigError for an artefact that says it learned from other features than the model will be given."""
    learned = _said(artefact, "schema.json").get("schema")
    given = getattr(feature_set, "schema", None)
    if None not in (learned, given) and learned != given:
        raise ConfigError(
            f"{name}: it was trained on features of schema {learned} and is given {given}; "
            "name the feature set it was trained on, or train it again"
        )


def _said(artefact: Artefact, file: str) -> dict[str, Any]:
    """What a file of the artefact says; nothing where it is not there or not of ours."""
    try:
        found = msgspec.json.decode(artefact.files.get(file, b"{}"))
    except msgspec.MsgspecError:
        return {}
    return found if isinstance(found, dict) else {}


def learned_until(artefact: Artefact) -> int | None:
    """The instant until which it has seen labels, UTC ns; None where it does not say."""
    until = (_said(artefact, "model.json") or _said(artefact, "agent.json")).get("until_ns")
    return until if isinstance(until, int) else None


def check_horizon(name: str, artefact: Artefact, horizon_ns: int) -> None:
    """Raises ConfigError for one that learned labels of another horizon; one that does not say passes."""
    said = _said(artefact, "schema.json").get("horizon_ns", horizon_ns)
    if said != horizon_ns:
        raise ConfigError(
            f"{name}: artefact {artefact.hash[:12]} learned labels that span {said} ns, and these span {horizon_ns}; "
            "compare models of one horizon"
        )


def seen_before(name: str, artefact: Artefact, begin: int) -> list[str]:
    """A model that learned from days of this very session flatters it."""
    until = learned_until(artefact)
    if until is None or until <= begin:
        return []
    day = dt.datetime.fromtimestamp(until // 10**9, dt.UTC).date()
    return [f"{name} was trained on data up to {day}, within this session: what it earns before that is no test."]
