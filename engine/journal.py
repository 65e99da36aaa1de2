"""The journal: every event of a session in bus order, with a running digest.

A record is (sequence, origin, input or derived, event). Features are digested, not stored: they follow from the bars.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from engine.errors import StateError
from engine.events import Event, Features
from engine.state import encode_hook, ext_hook

VERSION = 1
DIGEST_BYTES = 16
_encoder = msgspec.msgpack.Encoder(enc_hook=encode_hook)


class Entry(msgspec.Struct, frozen=True, eq=False):
    """One record, read back. `event` is None where only a digest was stored."""

    seq: int
    origin: str
    input: bool
    event: Event | None


class Record(msgspec.Struct, frozen=True, array_like=True):
    """One event of a run as it is written: its body, or the digest of a body that is not stored."""

    origin: str
    input: bool
    body: bytes
    stored: bool = True


class Run(msgspec.Struct, frozen=True, array_like=True):
    """One input and what followed from it: the unit that is written and read whole."""

    first: int  # sequence of its first record
    records: tuple[Record, ...]
    digest: bytes  # of the session up to and with this run


class Journal:
    """Digests each completed run and hands it to `write` as one block of bytes.

    The digest is BLAKE2b over (origin, kind, body) of every record in order; the body of Features enters by its own
    digest, so that a reader of the journal can check the chain.
    """

    def __init__(self, write: Callable[[bytes], None] | None = None) -> None:
        self._write = write
        self._hash = hashlib.blake2b(digest_size=DIGEST_BYTES)
        self.events = 0

    @property
    def digest(self) -> str:
        """Hexadecimal digest of everything so far."""
        return self._hash.copy().hexdigest()

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        """Takes a completed run: its input first."""
        records: list[Record] = []
        for i, (origin, event) in enumerate(zip(origins, events, strict=True)):
            body = _encoder.encode(event)
            stored = event.__class__ is not Features
            if not stored:
                body = hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest()
            said = origin if i == 0 else getattr(event, "source", origin)
            records.append(Record(said, i == 0, body, stored))
            _digest(self._hash, records[-1])
        if self._write is not None:
            run = Run(self.events, tuple(records), self._hash.copy().digest())
            self._write(_encoder.encode(run))
        self.events += len(events)


def _digest(running: Any, record: Record) -> None:
    running.update(f"{record.origin}\x1f{int(record.input)}\x1f{len(record.body)}\x1f".encode())
    running.update(record.body)


_runs = msgspec.msgpack.Decoder(Run)
_events = msgspec.msgpack.Decoder(Event, ext_hook=ext_hook, dec_hook=lambda _, value: value)


def read_runs(blocks: Iterator[bytes]) -> Iterator[Run]:
    """The runs of these blocks, each checked against the running digest. StateError at the first that differs."""
    running = hashlib.blake2b(digest_size=DIGEST_BYTES)
    expected = 0
    for block in blocks:
        try:
            run = _runs.decode(block)
        except msgspec.MsgspecError as error:
            raise StateError(
                f"journal: the block after record {expected} is not a run of this version: {error}"
            ) from error
        for record in run.records:
            _digest(running, record)
        if run.first != expected or running.copy().digest() != run.digest:
            raise StateError(f"journal: the run at record {expected} does not match its digest; the file was changed")
        expected += len(run.records)
        yield run


def entries(runs: Iterator[Run]) -> Iterator[Entry]:
    """The records of runs, decoded."""
    for run in runs:
        for i, record in enumerate(run.records):
            event = _events.decode(record.body) if record.stored else None
            yield Entry(run.first + i, record.origin, record.input, event)
