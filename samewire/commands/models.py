"""`samewire models`: which trained model of a registry serves at which stage, since when and why."""

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from engine.instants import instant_text
from samewire.commands.common import NO_OUTPUT, Output, say, say_json

if TYPE_CHECKING:
    from adapters.registry.folder import FolderRegistry
    from engine.learning import Entry

Place = Annotated[Path, Parameter(name="--registry", help="Folder of the registry.")]
Actor = Annotated[str, Parameter(help="Who says so.")]
_DEFAULT = Path("registry")
_SHORT = 12  # digits of a hash that are shown in text


@Parameter(name="*")
@dataclass(frozen=True)
class Said:
    """What a line of the history says beside what was done."""

    actor: Actor
    reason: Annotated[str, Parameter(help="Why.")]


def list_(*, registry: Place = _DEFAULT, output: Output = NO_OUTPUT) -> int:
    """What every name has at every stage: what a run file gets that names it so."""
    from engine.errors import StateError

    found = _there(registry)
    now: list[Entry] = []
    for name, stage in dict.fromkeys((entry.name, entry.stage) for entry in found.entries()):
        with contextlib.suppress(StateError):  # what was there was moved on since
            now.append(found.holder(name, stage))
    if output.json:
        say_json({"ok": True, "registry": str(registry), "models": [_as_json(entry) for entry in now]})
    else:
        _say_rows([("NAME", "STAGE", "ARTEFACT", "SINCE", "BY"), *((e.name, e.stage, *_told(e)[1:4]) for e in now)])
    return 0


def history(name: str, /, *, registry: Place = _DEFAULT, output: Output = NO_OUTPUT) -> int:
    """Everything that was registered and promoted under a name, oldest first.

    Parameters
    ----------
    name
        A name in the registry.
    """
    from engine.errors import StateError

    found = _there(registry)
    entries = found.history(name)
    if not entries:
        raise StateError(f"{registry}: nothing is registered as {name}; registered are: {', '.join(found.names())}")
    if output.json:
        say_json({"ok": True, "name": name, "history": [_as_json(entry) for entry in entries]})
    else:
        _say_rows([("STAGE", "ARTEFACT", "AT", "BY", "REASON"), *map(_told, entries)])
    return 0


def show(artefact: str, /, *, registry: Place = _DEFAULT, output: Output = NO_OUTPUT) -> int:
    """What an artefact of a registry is: where it serves, its files, its card. Every byte of it is checked.

    Parameters
    ----------
    artefact
        Its hash, or the first digits of it.
    """
    import hashlib

    found = _there(registry)
    hash_ = found.named(artefact)
    files = found.artefact(hash_).files
    entries = [entry for entry in found.entries() if entry.artefact == hash_]
    listed = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}
    if output.json:
        described = {name: _decoded(files[name]) for name in ("model.json", "schema.json") if name in files}
        said = {"ok": True, "artefact": hash_, "files": listed, "history": [_as_json(entry) for entry in entries]}
        say_json(said | described)
        return 0
    say(f"artefact {hash_}")
    _say_rows(
        [("FILE", "BYTES", "SHA-256"), *((name, f"{len(files[name]):,}", digest) for name, digest in listed.items())]
    )
    _say_rows([("NAME", "STAGE", "AT", "BY", "REASON"), *((e.name, e.stage, *_told(e)[2:]) for e in entries)])
    say(files.get("card.md", b"").decode(errors="replace").rstrip())
    return 0


def register(
    name: str, folder: Path, /, *, actor: Actor, registry: Place = _DEFAULT, output: Output = NO_OUTPUT
) -> int:
    """Keeps a trained model in a registry, as a candidate. The registry is made where there is none.

    Parameters
    ----------
    name
        What it is to be called by.
    folder
        The folder of the trained model, such as models/NAME of a session directory.
    """
    from components.models.artefact import read_artefact
    from samewire.artefacts import registry_at

    artefact = read_artefact(folder)
    found = registry_at(registry, actor=actor)
    found.register(name, artefact)
    stage = [entry.stage for entry in found.history(name) if entry.artefact == artefact.hash][-1]
    if output.json:
        say_json({"ok": True, "name": name, "artefact": artefact.hash, "stage": stage})
    else:
        say(f"{name}: artefact {artefact.hash} is registered, at stage {stage}")
    return 0


def promote(
    name: str,
    artefact: str,
    stage: str,
    /,
    *,
    said: Said,
    registry: Place = _DEFAULT,
    output: Output = NO_OUTPUT,
) -> int:
    """Puts a registered artefact at a stage. What was there stays in the history; nothing is ever taken back.

    Parameters
    ----------
    name
        A name in the registry.
    artefact
        Its hash, or the first digits of it.
    stage
        e.g. candidate, production, retired.
    """
    found = _there(registry)
    entry = found.promote(name, found.named(artefact), stage, actor=said.actor, reason=said.reason)
    if output.json:
        say_json({"ok": True, **_as_json(entry)})
    else:
        say(f"{name}: artefact {entry.artefact} is at stage {stage} since {instant_text(entry.at)}")
    return 0


def verify(
    *,
    head: Annotated[str, Parameter(help="The hash of a line that was noted elsewhere.", show_default=False)] = "",
    registry: Place = _DEFAULT,
    output: Output = NO_OUTPUT,
) -> int:
    """Whether a registry is as it was written: the chain of its history, and every byte of every artefact.

    A chain proves its own order; that its end is missing shows only beside a hash kept elsewhere (--head). The exit
    code is 1 where something is wrong.
    """
    from engine.errors import ConfigError

    if head and not re.fullmatch("[0-9a-f]{64}", head):
        raise ConfigError(f"--head {head!r} is no hash; give the 64 hexadecimal digits that `models verify` printed")
    found = _there(registry).audit(head)
    wrong = list(found.faults)
    if output.json:
        facts = {"lines": found.lines, "head": found.head, "artefacts": found.artefacts, "left": list(found.left)}
        say_json({"ok": not wrong, **facts, "wrong": wrong})
        return 1 if wrong else 0
    for each in wrong:
        say(each)
    for each in found.left:
        say(f"{registry}: {each} is registered by no line; it may be deleted")
    if not wrong:
        say(f"{registry}: intact, {found.lines} lines, {found.artefacts} artefacts, head {found.head}")
    return 1 if wrong else 0


def _there(folder: Path) -> "FolderRegistry":
    """The registry of a folder. StateError where there is none: to read one makes none."""
    from engine.errors import StateError
    from samewire.artefacts import registry_at

    if not (folder / "history.jsonl").is_file():
        raise StateError(f"{folder}: no registry; name its folder by --registry, or register a model first")
    return registry_at(folder)


def _told(entry: "Entry") -> tuple[str, str, str, str, str]:
    return entry.stage, entry.artefact[:_SHORT], instant_text(entry.at), entry.actor, entry.reason


def _as_json(entry: "Entry") -> dict[str, Any]:
    import msgspec

    said: dict[str, Any] = msgspec.to_builtins(entry)
    return said | {"time": instant_text(entry.at)}


def _decoded(content: bytes) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(content)
    except msgspec.MsgspecError:
        return None


def _say_rows(rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they must be, without trailing blanks."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        say("  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip())
