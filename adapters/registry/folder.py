"""A registry of trained models in a folder: artefacts by their content, and a history that only grows.

    artefacts/HASH/    the folder of an artefact, written once
    history.jsonl      who registered and promoted what, when and why, in a hash chain
    lock               held by whoever writes

An artefact is on disk before a line names it. So a kill at any instant leaves the state of before, or that of after.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from adapters.registry.chain import Chain, append, locked, read_chain
from engine.clock import Clock
from engine.errors import ConfigError, StateError
from engine.learning import Entry
from engine.protocols import Artefact

CANDIDATE = "candidate"
_FORMAT = "samewire registry 1"
_REGISTER, _PROMOTE = "register", "promote"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_STAGE = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_HASH = re.compile(r"[0-9a-f]{64}")
_PREFIX_MIN = 6  # digits by which an artefact may be named
_TEXT_MAX = 2_000  # characters of an actor or a reason


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """What a check of a whole registry found. Nothing is wrong where `faults` is empty."""

    lines: int
    head: str  # hash of the last line: kept elsewhere, it shows that the history was cut
    artefacts: int  # that are as they were written
    faults: tuple[str, ...]
    left: tuple[str, ...]  # what nothing refers to: half-written by a kill, or written and not yet registered


def check_said(what: str, text: str) -> None:
    """Raises ConfigError for an actor or a reason that says nothing, or a whole book."""
    if not text.strip() or len(text) > _TEXT_MAX:
        raise ConfigError(f"registry: the {what} of a promotion has 1 to {_TEXT_MAX} characters, got {text[:40]!r}")


class FolderRegistry:
    """Which artefact of a name serves at which stage, in a folder that several processes may use at once.

    `write` writes an artefact's folder whole or not at all; `read` reads one and refuses what is not as it was written.
    `actor` is who registers.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        write: Callable[[Artefact, Path], None],
        read: Callable[[Path], Artefact],
        actor: str = "registry",
    ) -> None:
        self.folder, self.actor, self._clock, self._write, self._read = folder, actor, clock, write, read
        self._history, self._artefacts = folder / "history.jsonl", folder / "artefacts"

    # ---- writing -----------------------------------------------------------------------------------------------------

    def register(self, name: str, artefact: Artefact, /) -> None:
        """Keeps it as a candidate. Registering the same one again changes nothing, whatever its stage is by now."""
        self._check(name, CANDIDATE)
        with locked(self.folder / "lock"):
            for left in self._half_written():
                shutil.rmtree(left, ignore_errors=True)
            self._write(artefact, self.place(artefact.hash))
            if not any(entry.artefact == artefact.hash for entry in self.history(name)):
                self._append(_REGISTER, name, artefact.hash, CANDIDATE, (self.actor, "registered"))

    def promote(self, name: str, artefact: str, stage: str, /, *, actor: str, reason: str) -> Entry:
        """Puts a registered artefact, named by its hash, at a stage; it leaves the one where it was.

        ConfigError without actor and reason; StateError for one that is not registered under the name, or damaged.
        """
        self._check(name, stage)
        check_said("actor", actor)
        check_said("reason", reason)
        with locked(self.folder / "lock"):
            self.artefact(self.registered(name, artefact))
            return self._append(_PROMOTE, name, artefact, stage, (actor, reason))

    def _append(self, kind: str, name: str, artefact: str, stage: str, said: tuple[str, str]) -> Entry:
        at = self._clock.now_ns()
        entry = Entry(name=name, artefact=artefact, stage=stage, actor=said[0], reason=said[1], at=at)
        facts = {field: getattr(entry, field) for field in ("name", "artefact", "stage", "actor", "reason")}
        append(self._history, at, kind, facts, _FORMAT)
        return entry

    # ---- reading -----------------------------------------------------------------------------------------------------

    def resolve(self, name: str, stage: str, /) -> Artefact:
        """The artefact now at that stage, every byte of it checked. StateError where there is none."""
        return self.artefact(self.holder(name, stage).artefact)

    def holder(self, name: str, stage: str) -> Entry:
        """The line that put an artefact where it is. StateError where there is none, or it was moved on since."""
        self._check(name, stage)
        entries = self.history(name)
        if not entries:
            known = ", ".join(self.names()) or "none"
            raise StateError(f"{self.folder}: nothing is registered as {name}; registered are: {known}")
        found = next((entry for entry in reversed(entries) if entry.stage == stage), None)
        if found is None:
            stages = ", ".join(dict.fromkeys(entry.stage for entry in entries))
            raise StateError(
                f"{self.folder}: no artefact of {name} is at stage {stage}; promote one (it has: {stages})"
            )
        now = next(entry for entry in reversed(entries) if entry.artefact == found.artefact)
        if now.stage != stage:
            raise StateError(
                f"{self.folder}: artefact {now.artefact[:12]} of {name} was at stage {stage} and was moved to "
                f"{now.stage} by {now.actor} ({now.reason}); promote another"
            )
        return found

    def serving(self, name: str, stage: str) -> Entry | None:
        """The line that put an artefact where it is; None where none is at that stage."""
        self._check(name, stage)
        entries = self.history(name)
        found = next((entry for entry in reversed(entries) if entry.stage == stage), None)
        if found is None:
            return None
        now = next(entry for entry in reversed(entries) if entry.artefact == found.artefact)
        return found if now.stage == stage else None

    def registered(self, name: str, hash_: str) -> str:
        """The hash itself, once it is seen to be registered under this name."""
        if not any(entry.artefact == hash_ for entry in self.history(name)):
            raise StateError(f"{self.folder}: artefact {hash_[:12]} is not registered as {name}; register it first")
        return hash_

    def artefact(self, hash_: str) -> Artefact:
        """An artefact by its hash, every byte of it checked."""
        if not _HASH.fullmatch(hash_):
            raise StateError(f"{self.folder}: {hash_!r} is no hash of an artefact; give its 64 hexadecimal digits")
        found = self._read(self.place(hash_))
        if found.hash != hash_:
            raise StateError(
                f"{self.place(hash_)}: it holds artefact {found.hash[:12]}; restore the folder from a copy"
            )
        return found

    def named(self, prefix: str) -> str:
        """The hash of the one registered artefact that begins so. StateError where there is none, or several."""
        if len(prefix) < _PREFIX_MIN or not _HASH.fullmatch(prefix.ljust(64, "0")):
            raise StateError(f"{prefix!r} names no artefact; give at least {_PREFIX_MIN} digits of its hash")
        found = [hash_ for hash_ in self._registered() if hash_.startswith(prefix)]
        if len(found) != 1:
            said = "several artefacts begin" if found else "no artefact begins"
            raise StateError(f"{self.folder}: {said} with {prefix}; `samewire models list` shows what there is")
        return found[0]

    def history(self, name: str, /) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries() if entry.name == name)

    def entries(self) -> tuple[Entry, ...]:
        """All lines, oldest first. StateError where the chain does not hold."""
        return self._entries(read_chain(self._history))

    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(entry.name for entry in self.entries()))

    def _entries(self, chain: Chain) -> tuple[Entry, ...]:
        try:
            return tuple(
                msgspec.convert(line.facts | {"at": line.ts}, Entry)
                for line in chain.lines
                if line.kind in (_REGISTER, _PROMOTE)
            )
        except msgspec.ValidationError as error:
            raise StateError(f"{self._history}: a line is none of a registry ({error}); restore the file") from error

    def audit(self, head: str = "") -> Audit:
        """Looks at every line and every byte. With `head`, also whether the line of that hash is among them."""
        chain = read_chain(self._history, head)
        faults, sound = [], 0
        if head and not chain.verdict.head_at:
            faults.append(f"{self._history}: no line has the hash {head}; the history was cut or replaced")
        kept = dict.fromkeys(entry.artefact for entry in self._entries(chain))
        for hash_ in kept:
            try:
                self.artefact(hash_)
                sound += 1
            except StateError as error:
                faults.append(str(error))
        there = [path.name for path in sorted(self._artefacts.iterdir())] if self._artefacts.is_dir() else []
        left = tuple(f"artefacts/{name}" for name in there if name not in kept)
        found = chain.verdict
        return Audit(lines=found.lines, head=found.head, artefacts=sound, faults=tuple(faults), left=left)

    # ---- places ------------------------------------------------------------------------------------------------------

    def place(self, hash_: str) -> Path:
        """The folder of an artefact, be it there or not."""
        return self._artefacts / hash_

    def _half_written(self) -> list[Path]:
        return sorted(self._artefacts.glob(".*")) if self._artefacts.is_dir() else []

    def _registered(self) -> list[str]:
        return list(dict.fromkeys(entry.artefact for entry in self.entries()))

    def _check(self, name: str, stage: str) -> None:
        if not _NAME.fullmatch(name):
            raise ConfigError(f"registry: {name!r} cannot be a name; use letters, digits, dots, dashes and underscores")
        if not _STAGE.fullmatch(stage):
            raise ConfigError(f"registry: {stage!r} cannot be a stage; use small letters, digits and dashes")
