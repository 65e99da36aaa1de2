"""What was known at an instant: the newest message of each source, never a later one."""

import bisect
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np

from adapters.kafka.messages import SignalMessage, TargetMessage
from engine.errors import DataError
from engine.events import Vector
from engine.instants import instant_text

Slice: TypeAlias = SignalMessage | TargetMessage


class Latest:
    """The newest messages of each source, to be asked what was known at an instant.

    A message is known from its `ts` on, whenever it was read: one that is read late is put where it belongs. Of one
    source and `ts` that of the newest `asof` counts, of the same `asof` the one read last. Memory: `keep` messages a
    source; an instant before the oldest of them is refused, since what was known then is forgotten.

    >>> latest = Latest(keep=2)
    >>> for ts, value in ((5, 0.25), (7, 0.5)):
    ...     latest.add(SignalMessage(source="m", ts=ts, asof=ts, horizon_ns=0, instruments=["A"], values=[value]))
    >>> latest.asof(6)["m"].values, latest.asof(7)["m"].values, latest.asof(4)
    ([0.25], [0.5], {})
    """

    def __init__(self, *, keep: int = 256) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1 message a source, got {keep}")
        self._keep = keep
        self._kept: dict[str, list[Slice]] = {}
        self._forgotten: set[str] = set()

    def add(self, message: Slice) -> None:
        kept = self._kept.setdefault(message.source, [])
        bisect.insort(kept, message, key=_place)
        if len(kept) > self._keep:
            del kept[0]
            self._forgotten.add(message.source)

    def asof(self, ts: int) -> dict[str, Slice]:
        """Source -> its newest message with `ts` at or before this instant (UTC ns); sources without one are absent.

        Raises DataError where the answer of a source has been forgotten.
        """
        found = {}
        for source, kept in self._kept.items():
            count = bisect.bisect_right(kept, ts, key=lambda message: message.ts)
            if count:
                found[source] = kept[count - 1]
            elif source in self._forgotten:
                had = f"latest: what {source} had said by {instant_text(ts)} is forgotten"
                first = instant_text(kept[0].ts)
                raise DataError(f"{had}: the {self._keep} messages kept begin at {first}; keep more, or ask earlier")
        return found


def latest_asof(messages: Iterable[Slice], ts: int) -> dict[str, Slice]:
    """Source -> its newest message with `ts` at or before this instant (UTC ns), of all of these.

    >>> said = [SignalMessage(source="m", ts=ts, asof=ts, horizon_ns=0, instruments=[], values=[]) for ts in (5, 9, 7)]
    >>> latest_asof(said, 8)["m"].ts
    7
    """
    found: dict[str, Slice] = {}
    for message in messages:
        before = found.get(message.source)
        if message.ts <= ts and (before is None or _place(before) <= _place(message)):
            found[message.source] = message
    return found


def vector(column: Sequence[float | None]) -> Vector:
    """A column of a message as float64 (N,), NaN for null; read-only.

    >>> vector([0.5, None])
    array([0.5, nan])
    """
    values = np.array(column, np.float64)
    values.flags.writeable = False
    return values


def _place(message: Slice) -> tuple[int, int]:
    return message.ts, message.asof if isinstance(message, SignalMessage) else message.ts
