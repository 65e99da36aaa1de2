"""A trained model that an operator wants a running session to swap to: found, looked at, and named by its hash."""

from pathlib import Path

from components.models.artefact import read_artefact
from engine.errors import ConfigError, StateError
from engine.protocols import Artefact
from samewire.artefacts import artefact_at, named_in, registry_at
from samewire.diagnostics import shown_path
from samewire.live.asking import check_fits, model_named, registry_of
from samewire.prepare import given_of
from samewire.run_file import RunFile


def chosen(run: RunFile, model: str, said: str, actor: str) -> str:
    """The hash of the artefact that `said` names: a hash, its first digits, registry:NAME@STAGE, or a folder.

    It lies in the registry in which the session looks afterwards. ConfigError or StateError where it cannot be read, is
    of other features, or is none that the model takes.
    """
    spec = model_named(run, model)
    registry = registry_of(run, spec)
    artefact = _read(said, registry)
    check_fits(run, given_of(run), spec, artefact)
    _keep(registry, model, artefact, actor)
    return artefact.hash


def _read(said: str, registry: Path) -> Artefact:
    if (named := named_in(said, registry)) is not None:
        if not named.at:
            raise ConfigError(f"swap-model: {said!r} says no stage; write registry:NAME@STAGE")
        return artefact_at(named)
    folder = Path(said)
    if (folder / "MANIFEST.json").is_file():
        return read_artefact(folder)
    found = registry_at(registry)
    try:
        return found.artefact(found.named(said))
    except StateError as error:
        raise StateError(
            f"swap-model: {shown_path(said)} is no folder of a trained model, and as a hash: {error}"
        ) from None


def _keep(registry: Path, model: str, artefact: Artefact, actor: str) -> None:
    """Where the session finds it; what lies there already is not written again."""
    found = registry_at(registry, actor=actor)
    if not any(entry.artefact == artefact.hash for entry in found.entries()):
        found.register(model, artefact)
