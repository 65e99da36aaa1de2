"""The journal: every event of a session in bus order, with a running digest.

A record is (sequence, origin, input or derived, event). Where an event resembles the last one of its kind and origin,
only what changed is written. What follows from files (features, and bars of a feed whose files are known by hash) is
digested, not stored.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec
import numpy as np
from blake3 import blake3

from engine.errors import ComponentError
from engine.event_columns import PLANS, Plan
from engine.events import Bars, Event, Features
from engine.row_checks import row_checks
from engine.state import encode_hook

VERSION = 2
DIGEST_BYTES = 16
GENESIS = bytes(DIGEST_BYTES)  # what the digest of the first run follows
_DIGESTED = (Features, Bars)  # may not be stored
WORD = 8  # bytes
_SHORT = 2048  # bytes of columns that are written whole without a look at what changed
_PATIENCE_MAX = 64  # records that are written whole without a look once the last ones changed everywhere
_encoder = msgspec.msgpack.Encoder(enc_hook=encode_hook)
# Of one event: who said it, itself, its plain values, the shapes of its arrays and their bytes one after the other.
Taken: TypeAlias = tuple[str, Event, Sequence[Any], list[Any], bytes]


class Drawn(Protocol):
    """A feed that is known by the hashes of its files: which of its events is `event`, from 0; -1 = none of them."""

    def place(self, event: Event, /) -> int: ...


class Kept(msgspec.Struct, frozen=True, eq=False, array_like=True):
    """What is recorded of an event whose columns are not stored."""

    digest: bytes  # of its columns
    at: int = -1  # which event of its feed it is, from 0; -1 = it follows from other events
    rows: bytes = b""  # checks by symbol
    fields: bytes = b""  # checks by field


class Block(msgspec.Struct, array_like=True):
    """One input and what followed from it: the unit that is written and read whole.

    A record is [stream, shapes, content]. The first time a stream is spoken of it is [origin, kind] instead of its
    number; shapes are None where they are those of the stream's last record; content is None where it is that too,
    a pair of bytes where some words of 8 bytes changed (their places, their values and what stands behind the last
    whole word), Kept where it is not stored, and else the columns one after the other.
    """

    first: int  # sequence of its first record
    plain: bytes  # plain values of each record
    records: list[Any]
    digest: bytes  # of the session up to and with this run


class Opening(msgspec.Struct, kw_only=True):
    """Stands before the first run of each process that wrote: which fields the columns are, and which files were read.

    `first` and `digest` are where the session stood.
    """

    version: int
    kinds: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]  # event type -> plain fields, columns
    files: dict[str, str]  # of the feed: name -> SHA-256
    first: int
    digest: bytes


class Ending(msgspec.Struct, kw_only=True):
    """Stands behind the last run of a session that came to its end."""

    ended: int  # events
    digest: bytes


class Stream:
    """What writer and reader remember of the records of one origin and kind: the last shapes and content."""

    __slots__ = ("content", "key", "number", "patience", "plan", "shapes", "spelled", "wait")

    def __init__(self, number: int, origin: str, plan: Plan) -> None:
        self.number, self.plan = number, plan
        self.key = _encoder.encode((origin, plan.name))
        self.shapes: list[Any] | None = None
        self.spelled = b""  # the shapes as they enter the digest
        self.content = b""
        self.wait = self.patience = 0

    def shape(self, shapes: list[Any]) -> None:
        self.shapes, self.spelled = shapes, _encoder.encode(shapes)


def runs_that_wait(symbols: int) -> int:
    """How many runs of slices of so many symbols may well wait: 64, fewer where they would hold more than about 8 MB.

    >>> runs_that_wait(500), runs_that_wait(3000)
    (64, 10)
    """
    return min(64, max(1, 32_768 // symbols))


def summed(kind: type[Any], columns: bytes) -> bytes:
    """What of an event's columns enters the digest: themselves, or their own digest.

    The latter for what may not be stored, so that it makes no difference whether it is.
    """
    return digest_of((columns,)) if kind in _DIGESTED else columns


def digest_of(parts: Sequence[bytes]) -> bytes:
    """BLAKE3, 16 bytes: on 50 kB a quarter of what SHA-256 costs."""
    return blake3(b"".join(parts)).digest(length=DIGEST_BYTES)


class Journal:
    """Digests each completed run and hands it to `write` as one block of bytes.

        digest_k = BLAKE3(digest_{k-1}, plain values, then origin, kind, shapes and columns of each record of run k)

    Bars and Features enter by a digest of their columns. So the digest says what was decided and
    on what, and nothing of how it was stored. `files` and `drawn` name the feed whose bars are not stored. After a
    restart, `digest` and `events` go on where the journal stood. Memory: the latest content of each stream.

    With `waits` above 1 that many runs are worked off together, which costs a third less: code and memory stay in the
    processor's caches. Nobody may write into their arrays until then. Asking for `digest` or `events` works them off.
    """

    def __init__(
        self,
        write: Callable[[bytes], None] | None = None,
        *,
        drawn: Drawn | None = None,
        files: Mapping[str, str] | None = None,
        digest: bytes = GENESIS,
        events: int = 0,
        waits: int = 1,
    ) -> None:
        self._write, self._drawn, self.waits = write, drawn, waits
        self._digest, self._events = digest, events
        self._waiting: list[tuple[Sequence[str], Sequence[Event], int]] = []
        self._files = dict(files or {})
        self._streams: dict[tuple[str, type[Any]], Stream] = {}
        self._open()

    def begin_again(self) -> None:
        """From here on it can be read without what stands before: by a reader that is told `events` and `digest`."""
        self.settle()
        self._open()

    def _open(self) -> None:
        """Begins anew with what the streams know, and tells a reader to."""
        self._streams.clear()
        if self._write is not None:
            kinds = {plan.name: (plan.plain, plan.columns) for plan in PLANS.values()}
            first, digest = self._events, self._digest
            opening = Opening(version=VERSION, kinds=kinds, files=self._files, first=first, digest=digest)
            self._write(_encoder.encode(opening))

    @property
    def digest(self) -> str:
        """Hexadecimal digest of everything so far."""
        return self.position.hex()

    @property
    def position(self) -> bytes:
        """The digest as bytes: what a journal that goes on after a restart is made with."""
        self.settle()
        return self._digest

    @property
    def events(self) -> int:
        """Events so far."""
        self.settle()
        return self._events

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        """Takes a completed run: its input first.

        Raises ComponentError for a run that cannot be written, which may be an earlier one that waited; the journal
        ends before it then.
        """
        first, at = events[0], -1
        if self._drawn is not None and first.__class__ is Bars:
            at = self._drawn.place(first)
        self._waiting.append((origins, events, at))
        if len(self._waiting) >= self.waits:
            self.settle()

    def settle(self) -> None:
        """Digests and writes the runs that wait. Raises ComponentError for one that cannot be written."""
        waiting, self._waiting = self._waiting, []
        for origins, events, at in waiting:
            run = [_taken(origins[0], events[0])]
            run += [_taken(getattr(e, "source", o), e) for o, e in zip(origins[1:], events[1:], strict=True)]
            plain = _plain(run)
            parts: list[Any] = [self._digest, len(plain).to_bytes(4, "little"), plain]
            records = [self._record(each, at, parts) for each in run]
            self._digest = digest_of(parts)
            if self._write is not None:
                self._write(_encoder.encode(Block(self._events, plain, records, self._digest)))
            self._events += len(run)

    def _record(self, taken: Taken, at: int, parts: list[Any]) -> Any:
        """What is written of an event; what of it enters the digest is added to `parts`."""
        said, event, _, spelled, whole = taken
        kind = event.__class__
        stream = self._streams.get((said, kind))
        name: Any = stream.number if stream is not None else (said, kind.__name__)
        if stream is None:
            stream = self._streams[said, kind] = Stream(len(self._streams), said, PLANS[kind])
        shapes = None if spelled == stream.shapes else spelled
        if shapes is not None:
            stream.shape(shapes)
        own = summed(kind, whole)
        parts += (stream.key, stream.spelled, own)
        if self._write is None:
            return None
        content = _kept(event, at, whole, own) if kind in _DIGESTED else None
        return (name, shapes, content or _content(stream, whole))

    def end(self) -> None:
        """Writes that the session came to its end."""
        if self._write is not None:
            self._write(_encoder.encode(Ending(ended=self.events, digest=self._digest)))


def _kept(event: Event, at: int, whole: bytes, own: bytes) -> Kept | None:
    """What is written of an event that is not stored; None where it is stored all the same."""
    if event.__class__ is Features:
        return Kept(own)
    return Kept(own, at, *row_checks(whole, len(event.close))) if at >= 0 else None  # type: ignore[union-attr]


def _taken(said: str, event: Event) -> Taken:
    """An event taken apart. ComponentError for one that has no written form."""
    plan = PLANS[event.__class__]
    try:
        arrays = plan.arrays(event)
        return said, event, plan.values(event), plan.shapes(arrays), _joined(arrays)
    except (AttributeError, TypeError) as error:
        raise ComponentError(said, plan.name, event.ts, _no_array(plan, event, error)) from error


def _plain(run: Sequence[Taken]) -> bytes:
    """The plain values of a run. ComponentError for one that has no written form."""
    try:
        return _encoder.encode([taken[2] for taken in run])
    except (TypeError, ValueError, OverflowError):
        for said, event, values, _, _ in run:
            try:
                _encoder.encode(values)
            except (TypeError, ValueError, OverflowError) as error:
                cause = f"a value of its event cannot be written: {error}"
                raise ComponentError(said, event.__class__.__name__, int(event.ts), cause) from error
        raise


def content_of(plan: Plan, event: Event) -> bytes:
    """The columns of an event one after the other."""
    return _joined(plan.arrays(event))


def _joined(arrays: Sequence[Any]) -> bytes:
    try:
        return b"".join(arrays)
    except (BufferError, TypeError, ValueError):  # an array that is not contiguous
        return b"".join([array.tobytes() for array in arrays])


def _content(stream: Stream, whole: bytes) -> Any:
    """How the content of a record is written, given that of the stream's last record."""
    last = stream.content
    if whole == last:
        return None
    stream.content = whole
    size = len(whole)
    if size < _SHORT or size != len(last):
        return whole
    if stream.wait:
        stream.wait -= 1
        return whole
    count = size // WORD
    now = np.frombuffer(whole, np.uint64, count)
    places = (now != np.frombuffer(last, np.uint64, count)).nonzero()[0]
    if len(places) * 15 > size:  # two thirds of the bytes, as 2 of a word's place and 8 of its value
        stream.wait = stream.patience = min(2 * stream.patience + 1, _PATIENCE_MAX)
        return whole
    stream.patience = 0
    return (places.astype(place_type(count)).tobytes(), now[places].tobytes() + whole[count * WORD :])


def place_type(words: int) -> type[np.unsignedinteger[Any]]:
    """How the places of changed words are written, of a content of this many."""
    return np.uint16 if words <= 1 << 16 else np.uint32


def _no_array(plan: Plan, event: Event, error: Exception) -> str:
    """Which field of an event is not what a journal can keep."""
    named = [(name, _field(event, name)) for name in plan.columns]
    named += [(plan.tail, each) for each in (getattr(event, plan.tail) if plan.tail else ())]
    for name, value in named:
        if value is not None and (not isinstance(value, np.ndarray) or value.dtype.hasobject):
            kind = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
            return f"its {name} is {kind}; events carry numpy arrays of numbers"
    return f"it cannot be written: {error}"


def _field(event: Any, name: str) -> Any:
    outer, _, inner = name.partition(".")
    found = getattr(event, outer)
    return getattr(found, inner, found) if inner else found
