"""What a live session keeps in its topics beside the steps: manifest, artefacts, and the state it may go on from."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from adapters.kafka.address import KafkaError
from adapters.kafka.blobs import Blobs
from adapters.kafka.layout import keep_for_ever
from adapters.kafka.live_record import Offsets
from components.models.artefact import artefact_of
from engine.errors import StateError
from engine.events import Control, ControlAction
from engine.protocols import Artefact
from engine.state import pack, unpack
from samewire.hiding import hider
from samewire.instruments import facts_of
from samewire.manifest import SCHEMA
from samewire.places import relative_text
from samewire.prepare import Wired
from samewire.provenance import provenance, tables_of
from samewire.read_files import files_of
from samewire.run_file import RunFile
from samewire.schema import config_hash, resolved
from samewire.snapshots import forgetful, forgetful_within

MANIFEST, STATE, ARTEFACT = "manifest", "state", "artefact/"
_KIND, _VERSION = "live", 1


class State(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A session between two inputs: behind `events` of its journal, whose digest was `digest`."""

    events: int
    digest: bytes
    seq: int  # of the step it stands behind
    journal: int  # an offset of the journal topic, at or before the step after it
    wiring: bytes
    slicer: bytes
    course: tuple[int, int, int]
    offsets: Offsets
    control: int
    slices: int
    without: list[str]  # components that have no save and load
    asked: list[str]  # ids of the latest requests of operators


def packed(state: State) -> bytes:
    said = {name: getattr(state, name) for name in state.__struct_fields__ if name != "offsets"}
    offsets = [(topic, part, at) for topic, parts in state.offsets.items() for part, at in parts.items()]
    return pack(_KIND, _VERSION, offsets=offsets, **said)


def state_of(content: bytes) -> State:
    """Raises StateError where it is damaged or of another version."""
    fields = unpack(content, _KIND, _VERSION)
    offsets: Offsets = {}
    for topic, part, at in fields.pop("offsets"):
        offsets.setdefault(topic, {})[part] = at
    fields["course"] = tuple(fields["course"])
    return State(offsets=offsets, **fields)


def manifest_of(run: RunFile, wired: Wired, names: Mapping[str, Any]) -> dict[str, Any]:
    """What a session directory says of itself, without what is known only at its end."""
    said = {
        "schema": SCHEMA,
        **names,
        "ended": False,
        "digest": "",
        "config_hash": config_hash(run),
        "config": resolved(run),
        "folder": relative_text(run.folder, run.folder),
        "seed": run.session.seed,
        "interval_ns": wired.feed.interval_ns,
        "fill": run.broker.options.get("fill"),
        "universe": facts_of(wired.feed.universe),
        "feed": {"use": run.feed.use, "hashes": wired.feed.hashes(), "issues": []},
        "models": {name: artefact.hash for name, artefact in wired.learnt.artefacts.items()},
        "controls": [_words(control) for control in wired.learnt.controls],
        **provenance(run, wired.tables),
        "tables": tables_of(run, wired.tables),
        "files": files_of(run, wired.tables),
    }
    return dict(hider().inside(said))


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    return json.dumps(manifest, sort_keys=True, allow_nan=False).encode()


def manifest_in(blobs: Blobs) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(blobs.named(MANIFEST))
    return found


def _words(control: Control) -> list[Any]:
    return [control.ts, control.action.value, control.component, control.artefact, control.actor, control.reason]


def controls_of(manifest: Mapping[str, Any]) -> tuple[Control, ...]:
    """The controls that put trained models to use, as they were at the session's beginning."""
    return tuple(
        Control(ts=ts, action=ControlAction(action), component=component, artefact=artefact, actor=actor, reason=reason)
        for ts, action, component, artefact, actor, reason in manifest["controls"]
    )


def lasting(manifest: Mapping[str, Any]) -> frozenset[str]:
    """The blobs of the artefacts that a session began with: each start builds its wiring from them."""
    return frozenset(ARTEFACT + hash_ for hash_ in manifest["models"].values())


def artefact_blob(artefact: Artefact) -> tuple[str, bytes]:
    return ARTEFACT + artefact.hash, msgspec.msgpack.encode(artefact.files)


def artefacts_in(blobs: Blobs) -> dict[str, Artefact]:
    """By hash. StateError for one that is not what its hash says."""
    found = {}
    for name, content in blobs.found.items():
        if name.startswith(ARTEFACT):
            artefact = artefact_of(msgspec.msgpack.decode(content, type=dict[str, bytes]))
            if ARTEFACT + artefact.hash != name:
                raise StateError(f"snapshots: {name} holds {artefact.hash}; begin a new session with --new")
            found[artefact.hash] = artefact
    return found


def forgotten(run: RunFile, wired: Wired) -> list[str]:
    """Components whose state cannot be kept."""
    return [*forgetful(wired.wiring), *_within(run)]


def kept_whole(without: Sequence[str], journal: str, kept_ms: int) -> list[str]:
    """These components, for whose sake a restart runs the whole journal. KafkaError where its beginning will expire."""
    if without and kept_ms >= 0:
        raise KafkaError(
            f"topic {journal}: retention.ms is {kept_ms:,}, and {', '.join(without)} cannot save: a restart runs the "
            "session again from its first step, which would be gone by then; give what cannot save `save` and `load`, "
            f"or {keep_for_ever(journal)}"
        )
    return list(without)


def _within(run: RunFile) -> Iterator[str]:
    return forgetful_within(run)
