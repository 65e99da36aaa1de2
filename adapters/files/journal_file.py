"""The journal on disk: blocks, each with its length and checksum, appended one after the other."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import DataError, StateError
from engine.journal import Entry, entries, read_runs

_MAGIC = b"samewire journal 1\n"
_HEAD = 12  # 4 bytes each: stored length, length once unpacked, CRC-32 of what is stored
FILE = "events.swj"


class JournalFile:
    """Appends blocks, packed by zstd level 1, to one file. `write` may be handed to a Journal."""

    def __init__(self, folder: Path) -> None:
        import pyarrow

        folder.mkdir(parents=True, exist_ok=True)
        self._codec: Any = pyarrow.Codec("zstd", compression_level=1)
        self._file = (folder / FILE).open("xb")
        self._file.write(_MAGIC)

    def write(self, block: bytes) -> None:
        packed: bytes = self._codec.compress(block, asbytes=True)
        head = len(packed).to_bytes(4, "little") + len(block).to_bytes(4, "little")
        check = zlib.crc32(packed, zlib.crc32(head))
        self._file.write(head + check.to_bytes(4, "little") + packed)

    def close(self) -> None:
        self._file.close()


def read_blocks(folder: Path) -> Iterator[bytes]:
    """The whole blocks of a journal. What a kill left half-written at the end is not one of them."""
    import pyarrow

    path = folder / FILE
    if not path.is_file():
        raise DataError(f"{folder}: it holds no journal; name the `journal` folder of a session directory")
    codec = pyarrow.Codec("zstd")
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise StateError(f"{path}: not a journal of this version; read it with the version that wrote it")
        while len(head := file.read(_HEAD)) == _HEAD:
            stored, whole, check = (int.from_bytes(head[i : i + 4], "little") for i in (0, 4, 8))
            packed = file.read(stored)
            if len(packed) < stored:
                return
            if zlib.crc32(packed, zlib.crc32(head[:8])) != check:
                raise StateError(f"{path}: the block that ends at byte {file.tell()} is damaged; restore the file")
            yield codec.decompress(packed, whole, asbytes=True)


def read_journal(folder: Path, expect: str = "") -> Iterator[Entry]:
    """The records of a session's journal, checked against the running digest as they are read.

    With the digest that the session's manifest states, a journal that ends early is told at its end.
    """
    digest = b""
    for run in read_runs(read_blocks(folder)):
        digest = run.digest
        yield from entries(iter((run,)))
    if expect and digest.hex() != expect:
        raise StateError(f"{folder}: the journal ends before its session did; it was cut, restore the file")
