"""What two sessions of the same course decided, side by side: orders, fills, equity, and the first that differs."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from engine.event_columns import PLANS
from engine.events import Approved, Book, Event, Fills, Refusals, Signal, Target
from engine.journal import content_of
from engine.journal_reading import Run
from engine.state import encode_hook

_encoder = msgspec.msgpack.Encoder(enc_hook=encode_hook)
KINDS = (Signal, Target, Approved, Refusals, Fills)  # what is a decision, or follows from one
Key = tuple[int, str, str, int]  # instant, who said it, kind, which of these


class Decided:
    """What was decided. Memory: a digest of each decision, the legs of orders and fills."""

    def __init__(self) -> None:
        self.digests: dict[Key, bytes] = {}
        self.orders: Counter[tuple[Any, ...]] = Counter()
        self.fills: Counter[tuple[Any, ...]] = Counter()
        self.equity = float("nan")

    def add(self, origin: str, event: Event) -> Key | None:
        """Takes an event. Returns under which key, None for one that is no decision."""
        if isinstance(event, Book):
            self.equity = float(event.equity)
            return None
        if not isinstance(event, KINDS):
            return None
        if isinstance(event, Approved):
            self._legs(
                self.orders, event.ts, event.symbol, event.qty, event.action, event.kind, event.limit, event.stop
            )
        elif isinstance(event, Fills):
            self._legs(self.fills, event.ts, event.symbol, event.qty, event.price)
        key, count = (event.ts, getattr(event, "source", origin), event.__class__.__name__), 0
        while (*key, count) in self.digests:
            count += 1
        self.digests[*key, count] = digest(event)
        return *key, count

    def _legs(self, rows: Counter[tuple[Any, ...]], ts: int, *columns: Any) -> None:
        legs = zip(*(column.tolist() for column in columns), strict=True)
        rows.update((ts, *(repr(value) for value in leg)) for leg in legs)  # NaN is the same as itself in words alone


def digest(event: Event) -> bytes:
    plan = PLANS[event.__class__]
    whole = hashlib.blake2b(_encoder.encode(plan.values(event)), digest_size=16)
    whole.update(content_of(plan, event))
    return whole.digest()


def of_run(decided: Decided, run: Run) -> None:
    """Takes what a recorded run decided."""
    for record in run.records[1:]:
        event = record.event
        if event is not None:
            decided.add(record.origin, event)


class Beside:
    """A recorder that takes what is decided now, and keeps the first decision that is not as it was."""

    def __init__(self, before: Decided) -> None:
        self.before, self.now = before, Decided()
        self.first: tuple[Key, Event] | None = None  # as it is now

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        for origin, event in zip(origins[1:], events[1:], strict=True):
            key = self.now.add(origin, event)
            if key is not None and self.first is None and self.before.digests.get(key) != self.now.digests[key]:
                self.first = key, event

    @property
    def first_gone(self) -> Key | None:
        """The first decision that is not made any more, where that comes before the first that is another one."""
        gone = next((key for key in self.before.digests if key not in self.now.digests), None)
        return gone if gone is not None and (self.first is None or gone[0] < self.first[0][0]) else None


def apart(one: Counter[tuple[Any, ...]], other: Counter[tuple[Any, ...]]) -> dict[str, int]:
    """How many rows both have, and how many only one of them."""
    both = sum((one & other).values())
    return {"same": both, "as_seen_only": sum(one.values()) - both, "as_final_only": sum(other.values()) - both}


def field_of(before: Iterable[Event], now: Event, symbols: Sequence[str]) -> dict[str, Any]:
    """Which value of a decision is another one."""
    from samewire.first_value import first_value

    was = next(iter(before), None)
    found = None if was is None else first_value(was, now, symbols, ((), ()))
    if found is None:
        return {"field": "", "symbol": "", "as_seen": None, "as_final": None}
    return {"field": found.field, "symbol": found.symbol, "as_seen": _said(found.one), "as_final": _said(found.two)}


def _said(value: Any) -> Any:
    return str(value) if isinstance(value, float) and value - value != 0.0 else value
