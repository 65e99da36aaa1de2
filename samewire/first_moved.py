"""Two runs side by side: the first event that differs, and in it the first value."""

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from engine.events import Event, Features
from engine.state import encode_hook
from engine.universe import Universe
from samewire.first_value import first_value

_encoder = msgspec.msgpack.Encoder(enc_hook=encode_hook)


class Moved(msgspec.Struct, frozen=True):
    """Where a run left the one it follows: the `event`-th event of what follows from the `place`-th input."""

    place: int
    event: int
    origin: str  # the component that said it, empty = the event never came
    now: Event | None  # None = the event never came


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The first value in which two events differ, as text."""

    field: str
    symbol: str  # empty = of no symbol
    was: str
    now: str


def digest(event: Event) -> bytes:
    """Of type and every byte of an event."""
    return hashlib.blake2b(_encoder.encode(event), digest_size=16).digest()


class Trail:
    """A recorder that keeps a digest of each event. Memory: about 60 bytes an event."""

    def __init__(self) -> None:
        self.inputs: list[int] = []  # ts of each
        self.runs: list[tuple[bytes, ...]] = []  # of each input, and of what followed from it

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        del origins
        self.inputs.append(events[0].ts)
        self.runs.append(tuple(digest(event) for event in events))

    def holds(self, place: int, event: int, said: Event | None) -> bool:
        """Whether this, or nothing, stood at this place."""
        known = self.runs[place] if place < len(self.runs) else ()
        return said is None if event >= len(known) else said is not None and digest(said) == known[event]


class Follower:
    """A recorder that compares a run with the trail of another, up to the first event that differs."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self.count = self.events = 0  # inputs, and events that are the same
        self.moved: Moved | None = None

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        if self.moved is not None:
            return
        place, runs = self.count, self._trail.runs
        known = runs[place] if place < len(runs) else ()
        self.count += 1
        for k, event in enumerate(events):
            if k >= len(known) or digest(event) != known[k]:
                self.moved = Moved(place, k, origins[k], event)
                return
        self.events += len(events)
        if len(known) > len(events):
            self.moved = Moved(place, len(events), "", None)


class Fetcher:
    """A recorder that keeps one event of a run, None until it came and where there is none."""

    def __init__(self, place: int, event: int) -> None:
        self._place, self._event, self._count = place, event, 0
        self.found: Event | None = None
        self.origin = ""

    @property
    def done(self) -> bool:
        return self._count > self._place

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        if self._count == self._place and self._event < len(events):
            self.found, self.origin = events[self._event], origins[self._event]
        self._count += 1


def difference(
    was: Event | None, now: Event | None, universe: Universe, columns: Mapping[str, tuple[str, ...]]
) -> Difference:
    """The first field, symbol and values in which two events differ; `columns` names features by their schema."""
    if was is None or now is None or was.__class__ is not now.__class__:
        return Difference(field="event", symbol="", was=_kind(was), now=_kind(now))
    found = first_value(was, now, universe.symbols)
    if found is None:
        return Difference(field="encoding", symbol="", was="", now="")
    names = columns.get(was.schema, ()) if isinstance(was, Features) else ()
    field = names[found.column] if 0 <= found.column < len(names) else found.field
    return Difference(field=field, symbol=found.symbol, was=str(found.one), now=str(found.two))


def _kind(event: Event | None) -> str:
    return "no event" if event is None else event.__class__.__name__
