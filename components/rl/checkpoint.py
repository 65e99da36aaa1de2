"""Checkpoints of a training of an agent: named by iteration, the newest whole one found again. No code in them."""

import contextlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from components.training.checkpoints import read_checkpoint, write_checkpoint
from engine.errors import StateError

KIND, VERSION = "samewire agent training", 2
_NAME = re.compile(r"iteration-(\d{6,})\.safetensors")
_LATEST = "latest.safetensors"


Accept = Callable[[int, dict[str, Any], dict[str, Any]], None]


class _OtherError(Exception):
    """It belongs to another training: older ones do too."""


class Identity(msgspec.Struct, frozen=True):
    """What a checkpoint belongs to: one of another identity is not gone on from."""

    schema: str  # of observations and actions
    course: dict[str, Any]  # options of the training, JSON values
    inputs: str = ""  # hash of the orders and bars that are learned from


class Checkpoints:
    """The checkpoints in a folder that belongs to one training alone.

    Each is a file `iteration-NNNNNN.safetensors`, of which the last `keep` stay; `latest.safetensors` is the newest of
    them under a name of its own, and stays readable when that one is removed.
    """

    def __init__(self, folder: Path, identity: Identity, *, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        self._folder, self._identity, self._keep = folder, identity, keep
        self.passed_over: list[str] = []  # why newer ones than what was read were not, without advice

    def write(self, iteration: int, tensors: Mapping[str, Any], said: Mapping[str, Any]) -> None:
        """StateError where it cannot be written; those of before stay."""
        name = f"iteration-{iteration:06d}.safetensors"
        head = {
            "kind": KIND,
            "version": VERSION,
            "iteration": iteration,
            "identity": msgspec.to_builtins(self._identity),
        }
        write_checkpoint(self._folder, tensors, head | {"said": said}, name)
        self._name_latest(name)
        for _, old in self._there()[: -self._keep]:
            with contextlib.suppress(FileNotFoundError):
                (self._folder / old).unlink()

    def _name_latest(self, name: str) -> None:
        """A second name of the same file, so that it cannot lead nowhere; where there are none, it is left out."""
        making = self._folder / f".{_LATEST}.making"
        making.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.link(self._folder / name, making)
            making.replace(self._folder / _LATEST)

    def read(self, accept: Accept | None = None) -> tuple[int, dict[str, Any], dict[str, Any]] | None:
        """Iteration, tensors and what was said of the newest that is whole; None where there is none at all.

        Damaged ones are passed over, which `passed_over` tells, and so are those that `accept` has a StateError for.
        StateError where all are damaged, and for one of another kind, version, schema, course or inputs: older ones
        would not be gone on from either.
        """
        self.passed_over = []
        names = [name for _, name in reversed(self._there())]
        names += [_LATEST] if (self._folder / _LATEST).exists() else []
        for name in names:
            try:
                found = self._read(name)
                if found is not None and accept is not None:
                    accept(*found)
            except _OtherError as error:
                raise StateError(str(error)) from error
            except StateError as error:
                self.passed_over.append(str(error))
                continue
            if found is not None:
                return found
        if self.passed_over:
            raise StateError(
                f"{self._folder}: none of its {len(self.passed_over)} checkpoints can be gone on from (the "
                f"newest: {self.passed_over[0]}); to train from the start remove these of its files and nothing else, "
                f"a teacher that has learned is beside them: {', '.join(names)}"
            )
        return None

    def _read(self, name: str) -> tuple[int, dict[str, Any], dict[str, Any]] | None:
        """StateError for a damaged one or one of another form, _OtherError for one of another identity."""
        found = read_checkpoint(self._folder, name, advice="")
        if found is None:
            return None
        tensors: dict[str, Any] = found[0]
        head: Any = found[1]  # whatever JSON it is
        path = self._folder / name
        if not isinstance(head, dict) or not isinstance(head.get("said"), dict):
            raise StateError(f"{path}: its key said is no mapping")
        try:
            self._check(path, head)
            iteration = msgspec.convert(head.get("iteration"), int)
            msgspec.convert(head.get("identity"), Identity)
        except (msgspec.MsgspecError, KeyError, TypeError, AttributeError) as error:
            raise StateError(f"{path}: its identity or iteration is none ({error})") from error
        named = _NAME.fullmatch(name)
        if iteration < 0 or (named is not None and iteration != int(named[1])):
            rule = "at least 0" if named is None else f"that of its name, {int(named[1])}"
            raise StateError(f"{path}: iteration must be {rule}, got {iteration}")
        return iteration, tensors, dict(head["said"])

    def _check(self, path: Path, head: dict[str, Any]) -> None:
        """StateError that names what of the identity is another."""
        if head.get("kind") != KIND or head.get("version") != VERSION:
            found = f"{head.get('kind', 'something else')} v{head.get('version', '?')}"
            raise _OtherError(f"{path}: it is of {found}, this code reads {KIND} v{VERSION}; name an empty folder")
        theirs, ours = head["identity"], msgspec.to_builtins(self._identity)
        if theirs["schema"] != ours["schema"]:
            raise _OtherError(
                f"{path}: it learned observations and actions of schema {theirs['schema'][:12]}, these are of "
                f"{ours['schema'][:12]}; go on with the environment it was begun with, or name an empty folder"
            )
        odd = _first_difference(theirs["course"], ours["course"])
        if odd:
            raise _OtherError(f"{path}: it was begun with {odd}; go on with that, or name an empty folder")
        if theirs["inputs"] != ours["inputs"]:
            raise _OtherError(
                f"{path}: it learned from other orders or bars (inputs {theirs['inputs'][:12]}, these are "
                f"{ours['inputs'][:12]}); go on with those, or name an empty folder"
            )

    def _there(self) -> list[tuple[int, str]]:
        """Iterations and names, oldest first."""
        names = sorted(path.name for path in self._folder.iterdir())
        return sorted((int(match[1]), name) for name in names if (match := _NAME.fullmatch(name)))


def _first_difference(theirs: Any, ours: Any, path: str = "") -> str:
    """The first option that differs, and both values; empty where none does.

    >>> _first_difference({"a": {"lr": 1}}, {"a": {"lr": 2}})
    'a.lr 1, and this one has 2'
    """
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in sorted({*theirs, *ours}):
            inner = f"{path}.{name}" if path else name
            if found := _first_difference(theirs.get(name), ours.get(name), inner):
                return found
        return ""
    return "" if theirs == ours else f"{path} {theirs}, and this one has {ours}"
