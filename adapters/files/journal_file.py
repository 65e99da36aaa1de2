"""The journal on disk: blocks, each with its length and checksums, appended one after the other."""

import contextlib
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.errors import DataError, StateError
from engine.events import Event
from engine.journal_reading import Entry, Reader, Record, entries, read_runs

_MAGIC = b"samewire journal 2\n"
_HEAD = 12  # 4 bytes each: length, CRC-32 of the length, CRC-32 of the block
_WAITING_MAX = 1 << 18  # bytes
FILE = "events.swj"


class JournalFile:
    """Appends blocks to one file. `write` may be handed to a Journal.

    It can be read while the session runs. With `at_once` each block is handed to the operating system as it comes, so
    that a killed process loses none; else at most 256 kB wait for the next. `resume` goes on with a file that is there,
    behind its last whole block; `position` says where that is.
    """

    def __init__(self, folder: Path, *, at_once: bool = True, resume: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        waiting = 0 if at_once else _WAITING_MAX
        self._waits = not at_once
        path = folder / FILE
        self.position = Reader()
        if resume and path.is_file():
            end = _whole(path, self.position)
            self._file: Any = path.open("r+b", buffering=waiting)
            self._file.truncate(end)
            self._file.seek(0)
            self._file.write(_MAGIC)  # a kill may have come before it was whole
            self._file.seek(end)
        else:
            self._file = path.open("xb", buffering=waiting)
            try:
                self._file.write(_MAGIC)
                self._file.flush()  # a file without it is none of ours
            except OSError:
                with contextlib.suppress(OSError):
                    self._file.close()
                raise

    def write(self, block: bytes) -> None:
        length = len(block).to_bytes(4, "little")
        checks = zlib.crc32(length).to_bytes(4, "little") + zlib.crc32(block).to_bytes(4, "little")
        for piece in (length + checks, block) if self._waits else (length + checks + block,):
            done: int = self._file.write(piece)
            while done < len(piece):  # a disk that is nearly full takes a part, then says so
                done += self._file.write(piece[done:])

    def sync(self) -> None:
        """Returns once what was written would survive a power cut."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _whole(path: Path, position: Reader) -> int:
    """Where the last whole block of a journal ends; `position` reads up to there."""
    end = len(_MAGIC)
    for block in read_blocks(path.parent):
        position.read(block)
        end += _HEAD + len(block)
    return end


def read_blocks(folder: Path) -> Iterator[bytes]:
    """The whole blocks of a journal. What a kill left half-written at the end is not one of them."""
    path = folder / FILE
    if not path.is_file():
        raise DataError(f"{folder}: it holds no journal; name the `journal` folder of a session directory")
    with path.open("rb") as file:
        magic = file.read(len(_MAGIC))
        if magic != _MAGIC and _MAGIC.startswith(magic):
            return  # killed before its first block
        if magic != _MAGIC:
            raise StateError(f"{path}: not a journal of this version; read it with the version that wrote it")
        while len(head := file.read(_HEAD)) == _HEAD:
            length, sound, check = (int.from_bytes(head[i : i + 4], "little") for i in (0, 4, 8))
            at = file.tell() - _HEAD
            if zlib.crc32(head[:4]) != sound:
                if not any(head) and not file.read().strip(b"\0"):
                    return  # zeros that a power cut left behind the end
                raise StateError(f"{path}: the block at byte {at} is damaged; restore the file")
            block = file.read(length)
            if len(block) < length:
                return
            if zlib.crc32(block) != check:
                raise StateError(f"{path}: the block at byte {at} is damaged; restore the file")
            yield block


def read_journal(
    folder: Path, expect: str = "", drawn: Callable[[Record], Event | None] | None = None
) -> Iterator[Entry]:
    """The records of a session's journal, checked against the running digest as they are read.

    `drawn` finds the events whose columns are not in the journal but in the files of its feed. With the digest that
    the session's manifest states, a journal that ends early is told at its end.
    """
    reader = Reader()
    yield from entries(read_runs(read_blocks(folder), reader), drawn)
    if expect and reader.digest.hex() != expect:
        raise StateError(f"{folder}: the journal ends before its session did; it was cut, restore the file")
