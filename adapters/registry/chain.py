"""A hash-chained history in a file of JSON lines that several processes append to.

The lines are those of the audit log: each holds the hash of the one before it. A line is there whole or not at all:
what a kill left half-written at the end is no line, and the next one that appends cuts it off and says so.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from adapters.files.audit_file import CUT, FIRST, HEADER, Line, Verdict, encoded, parsed, read_lines, walk
from engine.errors import ConfigError, StateError, writing


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds that is right. `torn` are bytes of a line that never was one."""

    lines: tuple[Line, ...]  # without header
    verdict: Verdict
    torn: bytes = b""


def read_chain(path: Path, head: str = "") -> Chain:
    """All lines, checked; none where there is no file. StateError names the first line that is wrong."""
    if not path.is_file() or not path.stat().st_size:
        return Chain(lines=(), verdict=Verdict(lines=0, head=FIRST, closed=False))
    found = walk(path, head)
    if found.wrong and found.fault != "cut":
        raise StateError(f"{path}: line {found.at}: {found.wrong}; restore the file from a copy")
    lines = [parsed(raw) for raw in islice(read_lines(path), found.lines)]
    with path.open("rb") as file:
        file.seek(found.good_bytes)
        torn = file.read()
    return Chain(lines=tuple(each[0] for each in lines[1:] if each is not None), verdict=found, torn=torn)


def append(path: Path, at: int, kind: str, facts: dict[str, Any], said: str) -> None:
    """One more line, on disk when this returns; after an error the file is as it was. Only the holder of a lock calls.

    StateError where it cannot be written.

    `said` is the format, told by the first line of a new file.
    """
    chain = read_chain(path)
    seq, prev = chain.verdict.lines, chain.verdict.head if chain.verdict.lines > 1 else FIRST
    content, due = b"", [(at, kind, facts)]
    if chain.torn and seq:
        due.insert(0, (at, CUT, {"bytes": len(chain.torn), "sha256": hashlib.sha256(chain.torn).hexdigest()}))
    if not seq:
        content, seq = encoded(Line(0, 0, HEADER, {"format": said, "chained": False}, ""))[0], 1
    for ts, name, each in due:
        text, prev = encoded(Line(seq, ts, name, each, prev))
        content, seq = content + text, seq + 1
    with writing(path):
        _append(path, chain.verdict.good_bytes, content)


def _append(path: Path, size: int, content: bytes) -> None:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        os.ftruncate(file, size)
        try:
            rest = memoryview(content)
            while rest:
                rest = rest[os.pwrite(file, rest, size + len(content) - len(rest)) :]
            os.fsync(file)
        except OSError:
            os.ftruncate(file, size)
            raise
    finally:
        os.close(file)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Held by one process at a time; others wait. The system releases it when its holder dies."""
    try:
        import fcntl
    except ImportError as error:
        raise ConfigError(f"{path}: this system has no file locks that we know; write from Linux or macOS") from error
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        held = path.open("ab")
    with held as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
