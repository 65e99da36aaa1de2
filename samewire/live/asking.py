"""What operators ask of a running session, from the control topic: read, checked, and followed once each."""

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from adapters.kafka.envelope import control_event, control_of
from adapters.kafka.messages import ControlMessage
from adapters.kafka.source import Unusable, unusable
from adapters.kafka.transport import Received
from adapters.scaleout.calls import one_line
from engine.errors import ConfigError, SamewireError
from engine.events import Control, ControlAction
from engine.latches import Latches
from engine.protocols import Artefact
from engine.wiring import Wiring
from samewire.artefacts import check_features, owners, registry_at
from samewire.build import Given, construct, feature_sets
from samewire.hiding import hider
from samewire.live.keeping import artefact_blob
from samewire.run_file import ModelSpec, Registered, RunFile
from samewire.secret_guard import refuse_artefact

_REMEMBERED = 1_000  # requests whose ids are known, so that one that is sent twice is followed once


class Asked(msgspec.Struct, frozen=True, eq=False):
    """A request to follow, and what must be kept with it."""

    id: str
    control: Control
    blobs: tuple[tuple[str, bytes], ...] = ()


Blob = tuple[str, bytes]
Swap = Callable[[str, str], Blob]  # model and hash of an artefact; ConfigError or StateError where it cannot be


class Asking:
    """Turns records of the control topic into controls; what cannot be followed is a dead letter with its reason.

    `latches` are those of the session as they are now: a request that would change nothing of them is told so.
    """

    def __init__(self, topic: str, swap: Swap, latches: Latches, known: list[str]) -> None:
        self._topic, self._swap, self._latches = topic, swap, latches
        self._known: deque[str] = deque(known, maxlen=_REMEMBERED)

    @property
    def known(self) -> list[str]:
        return list(self._known)

    def take(self, record: Received) -> Asked | Unusable | None:
        """None for a request that was followed already."""
        try:
            said = control_of(record.value)
            if said.id in self._known:
                return None
            asked = self._asked(said)
        except SamewireError as error:
            return unusable((self._topic, 0), record, "control", hider()(str(error)))
        self._known.append(said.id)
        return asked

    def _asked(self, said: ControlMessage) -> Asked:
        control = control_event(said, 0)  # its instant is set when it enters
        if control.action is ControlAction.SWAP_MODEL:
            return Asked(said.id, control, (self._swap(said.component, said.artefact),))
        if idle := self._latches.idle(control):
            raise ConfigError(f"{said.action}: {idle}")
        return Asked(said.id, control)


def swapping(run: RunFile, given: Given, wiring: Wiring) -> Swap:
    """Finds an artefact by its hash, tries it on a fresh model, and admits it to the wiring."""

    def swap(name: str, wanted: str) -> Blob:
        spec = model_named(run, name)
        artefact = wiring.admitted(wanted)
        if artefact is None:
            artefact = registry_at(registry_of(run, spec)).artefact(wanted)
        check_fits(run, given, spec, artefact)
        wiring.admit(artefact)
        return artefact_blob(artefact)

    return swap


def model_named(run: RunFile, name: str) -> ModelSpec:
    """ConfigError where no model of the run file is called so."""
    found: Mapping[str, ModelSpec] = {spec.component.name: spec for spec in run.models}
    if name not in found and name in owners(run):
        raise ConfigError(
            f"swap_model: {name} has an agent, which stays for the session: its orders at work are steps of its own "
            "game; begin another session with the other artefact, under another name or with --new"
        )
    if name not in found:
        raise ConfigError(f"swap_model: no model is called {name!r}; expected one of: {', '.join(found)}")
    return found[name]


def registry_of(run: RunFile, spec: ModelSpec) -> Path:
    """Where artefacts for a model are looked up by hash: the registry it names, else `registry` beside the run file."""
    return spec.artefact.registry if isinstance(spec.artefact, Registered) else run.folder / "registry"


def check_fits(run: RunFile, given: Given, spec: ModelSpec, artefact: Artefact) -> None:
    """Raises ConfigError or StateError where the model cannot take the artefact: another kind, other features."""
    name = spec.component.name
    refuse_artefact(name, artefact, hider())
    check_features(name, artefact, feature_sets(run, given).get(spec.features or ""))
    fresh = construct(spec.component, given)
    if not hasattr(fresh, "swap"):
        raise ConfigError(f"{name}: model {spec.component.use!r} has learned nothing that could be swapped")
    try:
        fresh.swap(artefact)
    except SamewireError:
        raise
    except Exception as error:  # a class of the user's own may raise anything
        raise ConfigError(f"{name}: it cannot take artefact {artefact.hash[:12]}: {one_line(error)}") from error
