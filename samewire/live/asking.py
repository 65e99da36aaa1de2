"""What operators ask of a running session, from the control topic: read, checked, and followed once each."""

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from adapters.kafka.envelope import control_of
from adapters.kafka.messages import ControlMessage
from adapters.kafka.source import Unusable, unusable
from adapters.kafka.transport import Received
from engine.errors import ConfigError, SamewireError
from engine.events import Control, ControlAction
from engine.protocols import Artefact
from engine.wiring import Wiring
from samewire.artefacts import check_features, registry_at
from samewire.build import construct, feature_sets
from samewire.live.keeping import artefact_blob
from samewire.prepare import Wired
from samewire.run_file import Registered, RunFile

_REMEMBERED = 1_000  # requests whose ids are known, so that one that is sent twice is followed once
_ACTIONS: Mapping[str, ControlAction] = {
    "halt": ControlAction.HALT,
    "resume": ControlAction.RESUME,
    "reduce": ControlAction.REDUCE_ONLY,
    "flatten": ControlAction.FLATTEN,
    "swap_model": ControlAction.SWAP_MODEL,
}


class Asked(msgspec.Struct, frozen=True, eq=False):
    """A request to follow, and what must be kept with it."""

    control: Control
    blobs: tuple[tuple[str, bytes], ...] = ()


class Asking:
    """Turns records of the control topic into controls; what cannot be followed is a dead letter with its reason."""

    def __init__(self, topic: str, swap: Callable[[str, str], tuple[str, bytes]], known: list[str]) -> None:
        self._topic, self._swap = topic, swap
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
            return unusable((self._topic, 0), record, "control", str(error))
        self._known.append(said.id)
        return asked

    def _asked(self, said: ControlMessage) -> Asked:
        action = _ACTIONS[said.action]
        blobs = () if action is not ControlAction.SWAP_MODEL else (self._swap(said.component, said.artefact),)
        control = Control(
            ts=0,  # set when it enters
            action=action,
            component=said.component,
            artefact=said.artefact,
            actor=said.by,
            reason=said.reason,
            latch=said.latch,
        )
        return Asked(control, blobs)


def swapping(run: RunFile, wired: Wired, wiring: Wiring) -> Callable[[str, str], tuple[str, bytes]]:
    """Fetches an artefact by hash from the model's registry, tries it on a fresh model, and admits it to the wiring."""

    def swap(name: str, wanted: str) -> tuple[str, bytes]:
        spec = next((spec for spec in run.models if spec.component.name == name), None)
        if spec is None:
            known = ", ".join(each.component.name for each in run.models)
            raise ConfigError(f"swap_model: no model is called {name!r}; expected one of: {known}")
        folder = spec.artefact.registry if isinstance(spec.artefact, Registered) else _registry(run.folder)
        artefact: Artefact = registry_at(folder).artefact(wanted)
        construct(spec.component, wired.given).swap(artefact)
        check_features(name, artefact, feature_sets(run, wired.given).get(spec.features or ""))
        wiring.admit(artefact)
        return artefact_blob(artefact)

    return swap


def _registry(folder: Path) -> Path:
    return folder / "registry"
