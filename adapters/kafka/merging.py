"""Records of several partitions, each in its own order, as one stream by time. Pure: it neither reads nor waits.

Source: the choice of the next record is that of Kafka Streams (KIP-353, KIP-695): the smallest timestamp among
partitions, and one that is empty is waited for until it is known to hold no more.
"""

from collections import deque
from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, NamedTuple, TypeVar

UNSHOWN = -(1 << 62)  # the instant of a record that says nothing about the time of its partition
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Arrival(NamedTuple, Generic[K, T]):
    """One record: of which partition, at which offset, its instant and what it is."""

    key: K
    offset: int
    ts: int
    item: T


class Merging(Generic[K, T]):
    """Hands out the oldest record of all partitions.

    While catching up nothing is handed out until every partition has shown its next record, or is known to hold none:
    else one that is read sooner would make the bars of the others late. A record later than `limit` waits, so that no
    partition runs ahead. Records of one partition keep their order, whatever their instants.

    >>> merging = Merging(["p0", "p1"])
    >>> merging.add("p0", [(0, 60, "a"), (1, 120, "b")])
    >>> merging.take(10**9) is None  # p1 may hold an older one
    True
    >>> merging.at_end("p1", True)
    >>> merging.take(10**9), merging.take(100)
    (Arrival(key='p0', offset=0, ts=60, item='a'), None)
    """

    def __init__(self, keys: Iterable[K], shown: Mapping[K, int] | None = None) -> None:
        self._waiting: dict[K, deque[tuple[int, int, T]]] = {key: deque() for key in keys}
        self._shown = dict(shown or {})  # the latest instant that each partition has shown, also to a process before
        self._more = set(self._waiting)  # partitions that may hold records that nobody has seen yet
        # A partition whose next record is the oldest, and up to which instant it stays so: until anything is added.
        self._run: tuple[K | None, int] = (None, 0)

    def add(self, key: K, records: Iterable[tuple[int, int, T]]) -> None:
        """Records of one partition, as (offset, ts, item), behind those before. `UNSHOWN` leaves it as unheard."""
        waiting, self._run = self._waiting[key], (None, 0)
        waiting.extend(records)
        if waiting and waiting[-1][1] > UNSHOWN:
            self._shown[key] = max(self._shown.get(key, waiting[-1][1]), waiting[-1][1])

    def at_end(self, key: K, end: bool) -> None:
        """Whether everything that the partition is known to hold was added."""
        self._run = (None, 0)
        if end:
            self._more.discard(key)
        else:
            self._more.add(key)

    @property
    def behind(self) -> bool:
        """Whether there is more than was handed out, as far as is known."""
        return bool(self._more) or any(self._waiting.values())

    def catching_up(self, limit: int) -> bool:
        """Whether there is more to hand out up to `limit`, as far as is known: what waits behind that is no backlog."""
        if any(not self._waiting[key] for key in self._more):
            return True
        return any(waiting[0][1] <= limit for waiting in self._waiting.values() if waiting)

    @property
    def keys(self) -> tuple[K, ...]:
        return tuple(self._waiting)

    def waiting(self, key: K) -> int:
        return len(self._waiting[key])

    @property
    def latest(self) -> int | None:
        """The latest instant that any partition has shown."""
        return max(self._shown.values(), default=None)

    @property
    def promise(self) -> int | None:
        """The instant up to which each partition that ever showed one has shown its own, if each keeps its order.

        What waits has been shown, and counts once it is the next of its partition.
        """
        if self._more - self._shown.keys() or not self._shown:
            return None
        return min(self._waiting[key][0][1] if self._waiting[key] else ts for key, ts in self._shown.items())

    @property
    def unheard(self) -> bool:
        """Whether a partition has never shown an instant: nobody knows whose it holds, and it promises nothing."""
        return len(self._shown) < len(self._waiting)

    def take(self, limit: int) -> Arrival[K, T] | None:
        """The next record, taken off; None while one must be waited for, or where the next is later than `limit`."""
        key = self._next(limit)
        return None if key is None else Arrival(key, *self._waiting[key].popleft())

    def take_run(self, limit: int) -> tuple[K, list[tuple[int, int, T]]] | None:
        """The next records as (offset, ts, item), as many as `take` hands out of one partition after another."""
        key = self._next(limit)
        if key is None:
            return None
        waiting, until = self._waiting[key], min(self._run[1], limit)
        found = [waiting.popleft()]
        while len(waiting) > 1 and waiting[0][1] <= until:
            found.append(waiting.popleft())
        return key, found

    def _next(self, limit: int) -> K | None:
        """The partition whose record comes next."""
        key, until = self._run
        if key is not None:  # one stays behind, so that what runs empty is seen below
            run = self._waiting[key]
            if len(run) > 1 and run[0][1] <= min(until, limit):
                return key
        best, least, second = None, limit, limit
        for key, waiting in self._waiting.items():
            if not waiting:
                if key in self._more:
                    return None
                continue
            ts = waiting[0][1]
            if best is None:
                best, least = key, ts
            elif ts < least:
                best, least, second = key, ts, min(second, least)
            else:
                second = min(second, ts)
        if best is None or least > limit:
            return None
        self._run = (best, second)
        return best
