"""Reading a journal back: runs checked against the running digest, records as events."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import msgspec
import numpy as np

from engine.errors import StateError
from engine.event_columns import BY_NAME, arrays_of
from engine.events import Event
from engine.journal import (
    DIGEST_BYTES,
    GENESIS,
    VERSION,
    WORD,
    Block,
    Ending,
    Kept,
    Opening,
    Stream,
    digest_of,
    place_type,
    summed,
)

_WRONG = (msgspec.MsgspecError, ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError)


class Record(msgspec.Struct, frozen=True, eq=False):
    """One event of a run as it was written. `event` builds it; None where its columns are not stored."""

    seq: int
    origin: str
    input: bool
    kind: str
    plain: dict[str, Any]
    columns: dict[str, Any]  # arrays by name
    tail: tuple[Any, ...] = ()
    kept: Kept | None = None

    @property
    def event(self) -> Event | None:
        if self.kept is not None:
            return None
        return BY_NAME[self.kind].event(self.plain, self.columns, self.tail)


class Run(msgspec.Struct, frozen=True, eq=False):
    """One input and what followed from it."""

    first: int  # sequence of its first record
    records: tuple[Record, ...]
    digest: bytes  # of the session up to and with this run


class Entry(msgspec.Struct, frozen=True, eq=False):
    """One record, read back. `event` is None where only a digest was stored and nobody could say what it was.

    `kind` is the event's type, `plain` its fields that are no columns: both are there whether it is or not.
    """

    seq: int
    origin: str
    input: bool
    event: Event | None
    kind: str
    plain: dict[str, Any]


Piece: TypeAlias = Opening | Run | Ending
_blocks, _plain = msgspec.msgpack.Decoder(Block), msgspec.msgpack.Decoder(list[list[Any]])
_openings, _endings = msgspec.msgpack.Decoder(Opening), msgspec.msgpack.Decoder(Ending)


class Reader:
    """Turns blocks into runs, in order, each checked against the running digest.

    `events` and `digest` say how far it is, `ended` whether the session came to its end. It may begin at an opening in
    the middle, given where the session stood there.
    """

    def __init__(self, events: int = 0, digest: bytes = GENESIS) -> None:
        self.opening: Opening | None = None
        self.events, self.digest = events, digest
        self.ended = False
        self._streams: list[tuple[str, Stream]] = []

    def read(self, block: bytes) -> Run | None:
        """The run of this block, None for what stands between runs. StateError when it is not what was written."""
        try:
            piece = self._decode(block)
        except StateError:
            raise
        except _WRONG as error:
            said = f"the block after record {self.events} is not a run of this version: {error}"
            raise StateError(f"journal: {said}; read it with the version that wrote it") from error
        return piece if isinstance(piece, Run) else None

    def _decode(self, block: bytes) -> Piece:
        if self.ended:
            raise StateError(f"journal: a block follows its end at record {self.events}; the file was changed")
        if block[0] >> 4 == 0x9:  # a short array: a run
            return self._run(_blocks.decode(block))
        if b"ended" in block[:16]:
            ending = _endings.decode(block)
            self._agree(ending.ended, ending.digest)
            self.ended = True
            return ending
        opening = _openings.decode(block)
        if opening.version != VERSION:
            raise StateError(f"journal: it is of version {opening.version}, this code reads {VERSION}")
        self._agree(opening.first, opening.digest)
        self.opening, self._streams = opening, []
        return opening

    def _agree(self, events: int, digest: bytes) -> None:
        if events != self.events or digest != self.digest:
            raise StateError(
                f"journal: what stands behind record {self.events} does not follow from it; restore the file"
            )

    def _run(self, block: Block) -> Run:
        if self.opening is None:
            raise StateError("journal: its first block is missing; restore the file")
        parts: list[Any] = [self.digest, len(block.plain).to_bytes(4, "little"), block.plain]
        plain = _plain.decode(block.plain)
        if not block.records:
            raise ValueError("a run without a record")
        records = tuple(
            self._record(seq, written, values, parts)
            for seq, (written, values) in enumerate(zip(block.records, plain, strict=True), self.events)
        )
        if block.first != self.events or block.digest != digest_of(parts):
            raise StateError(
                f"journal: the run at record {self.events} does not match its digest; the file was changed"
            )
        self.digest = block.digest
        self.events += len(records)
        return Run(block.first, records, block.digest)

    def _record(self, seq: int, written: Any, values: list[Any], parts: list[Any]) -> Record:
        number, shapes, content = written
        origin, stream = self._stream(number)
        if shapes is not None:
            stream.shape([tuple(shape) for shape in shapes])
        parts += (stream.key, stream.spelled)
        kept = msgspec.convert(content, Kept) if isinstance(content, list) and len(content) > _PAIR else None
        whole = b"" if kept is not None else _whole(stream, content)
        if kept is not None and len(kept.digest) != DIGEST_BYTES:
            raise ValueError(f"a digest of {len(kept.digest)} bytes")
        kind = stream.plan.name
        parts.append(summed(stream.plan.kind, whole) if kept is None else kept.digest)
        fields, columns = self._fields(kind)
        named = dict(zip(fields, values, strict=True))
        if kept is not None:
            return Record(seq, origin, seq == self.events, kind, named, {}, (), kept)
        dtypes = dict(zip(stream.plan.columns, stream.plan.dtypes, strict=True))
        arrays = arrays_of(whole, stream.shapes or (), [dtypes.get(name, _FLOAT) for name in columns])
        found = dict(zip(columns, arrays, strict=False))
        return Record(seq, origin, seq == self.events, kind, named, found, tuple(arrays[len(columns) :]))

    def _fields(self, kind: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if self.opening is None or kind not in self.opening.kinds:
            raise StateError(f"journal: its opening does not say what a {kind} is; restore the file")
        return self.opening.kinds[kind]

    def _stream(self, number: Any) -> tuple[str, Stream]:
        if isinstance(number, int):
            if number < 0:
                raise ValueError(f"stream {number}")
            return self._streams[number]
        origin, kind = number
        plan = BY_NAME.get(kind)
        if plan is None:
            raise StateError(f"journal: it holds a {kind}, which this version does not know; read it with a newer one")
        self._streams.append((origin, Stream(len(self._streams), origin, plan)))
        return self._streams[-1]


_FLOAT = np.dtype(np.float64)
_PAIR = 2  # changed words: their places, and their values


def _whole(stream: Stream, content: Any) -> bytes:
    """The columns of a record one after the other, given those of the stream's last record."""
    if content is None:
        return stream.content
    if not isinstance(content, bytes):
        places, values = content
        last = stream.content
        count = len(last) // WORD
        words = np.frombuffer(last, np.uint64, count).copy()
        rows = np.frombuffer(places, place_type(count))
        words[rows] = np.frombuffer(values, np.uint64, len(rows))
        content = words.tobytes() + values[len(rows) * WORD :]
    stream.content = content
    return bytes(content)


def read_runs(blocks: Iterable[bytes], reader: Reader | None = None) -> Iterator[Run]:
    """The runs of these blocks, each checked against the running digest. StateError at the first that differs."""
    reader = reader or Reader()
    for block in blocks:
        run = reader.read(block)
        if run is not None:
            yield run


def entries(runs: Iterable[Run], drawn: Callable[[Record], Event | None] | None = None) -> Iterator[Entry]:
    """The records of runs as events; `drawn` finds those whose columns are in the files of a feed."""
    for run in runs:
        for record in run.records:
            event = record.event
            if event is None and drawn is not None and record.kept is not None and record.kept.at >= 0:
                event = drawn(record)
            yield Entry(record.seq, record.origin, record.input, event, record.kind, record.plain)
