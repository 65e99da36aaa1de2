"""Bars and commands of a live session from Kafka: read in a task of its own, handed out in the order of their instants.

What cannot be used goes to the dead letters with its reason, and is part of the position all the same.
"""

import asyncio
import contextlib
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
import numpy as np

from adapters.kafka.address import DamagedError
from adapters.kafka.envelope import exact_text
from adapters.kafka.live_record import LastBar, Offsets
from adapters.kafka.merging import UNSHOWN, Merging
from adapters.kafka.transport import Place, Received
from engine.clock import Clock
from engine.cuts import Bar, fit
from engine.errors import DataError
from engine.events import Mask

_WAITING_MAX = 20_000  # records of a partition that wait before no more of it are read


class Unusable(msgspec.Struct, frozen=True, kw_only=True):
    """A record that is no bar of this session, and why."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    reason: str  # one of adapters.kafka.messages.DEAD_REASONS
    text: str
    value: bytes | None
    key: bytes | None


def unusable(place: Place, record: Received, reason: str, text: str) -> Unusable:
    topic, partition = place
    return Unusable(
        topic=topic,
        partition=partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        reason=reason,
        text=text,
        value=record.value,
        key=record.key,
    )


class Feeding(Protocol):
    """Reads partitions: what `adapters.kafka.transport.Reader` does."""

    async def assign(self, offsets: Mapping[Place, int], /) -> None: ...
    async def poll(self) -> dict[Place, list[Received]]: ...
    async def end_of(self, place: Place, /) -> int | None: ...
    def pause(self, places: list[Place], /) -> None: ...


class BarRules(msgspec.Struct, frozen=True, kw_only=True):
    """Which bars a session takes. What depends on the wall clock is decided once, and recorded."""

    since: int  # UTC ns: bars that end then or earlier are history, and passed over
    intervals: dict[str, int]  # bars topic -> interval of its bars
    skew_ns: int  # how far ahead of the wall clock a bar may end
    ahead_ns: int  # how far ahead of the stream
    largest: int = 1_000_000  # bytes


Decode = Callable[[bytes | None], Bar]


class Sorter:
    """What a record of a bars topic is: a bar to take, nothing (None), or unusable."""

    def __init__(self, decode: Decode, rules: BarRules) -> None:
        self._decode, self._rules = decode, rules

    def __call__(self, place: Place, record: Received) -> Bar | Unusable | None:
        """Without a look at any clock: the same record, the same answer, also after a restart."""
        value, rules = record.value, self._rules
        if value is not None and len(value) > rules.largest:
            said = f"{len(value):,} bytes; a bar has {rules.largest:,} at most"
            return unusable(place, record, "oversized", said)
        try:
            bar = self._decode(value)
        except DataError as error:
            reason = "unknown_symbol" if "symbol" in str(error) else "undecodable"
            return unusable(place, record, reason, str(error))
        interval = rules.intervals[place[0]]
        if bar.interval_ns != interval:
            said = f"a bar of {bar.interval_ns} ns in a topic of {interval} ns"
            return unusable(place, record, "unknown_interval", said)
        if not (bar.halted or fit(bar)):
            said = "its prices cannot be: finite, above 0, low <= open, close <= high, volume not below 0"
            return unusable(place, record, "unfit", said)
        return bar if bar.ts > rules.since else None

    def surely(self, now: int, latest: int | None) -> int:
        """Up to which end a bar is in time, whatever comes before it; of a later one ask `in_time`."""
        rules = self._rules
        return now + rules.skew_ns if latest is None else min(now + rules.skew_ns, latest + rules.ahead_ns)

    def in_time(self, bar: Bar, place: Place, record: Received, now: int, latest: int | None) -> Bar | Unusable:
        """The bar, unless it is from the future of the wall clock, or far from that of the stream. Decided once."""
        rules = self._rules
        if bar.ts > now + rules.skew_ns:
            said = f"it ends at {exact_text(bar.ts)}, more than {rules.skew_ns / 1e9:g} s after this machine's clock"
            return unusable(place, record, "future", said)
        if latest is not None and bar.ts > latest + rules.ahead_ns:
            said = f"it ends at {exact_text(bar.ts)}, more than {rules.ahead_ns / 1e9:g} s after every bar before it"
            return unusable(place, record, "future", said)
        return bar


class Source:
    """The bars of a session by time, and the commands beside them.

    `taken` is the next offset of each partition, behind what was handed out. `left_out` are places of unusable records
    since it was last emptied.
    """

    def __init__(self, reader: Feeding, sorter: Sorter, control: str, clock: Clock) -> None:
        self._reader, self._sorter, self._control, self._clock = reader, sorter, (control, 0), clock
        self._merging: Merging[Place, tuple[Bar | Unusable | None, Received]] = Merging([])
        self._task: asyncio.Task[None] | None = None
        self._failed: BaseException | None = None
        self._paused: list[Place] = []
        self.news = asyncio.Event()
        self.commands: deque[Received] = deque()
        self.taken: Offsets = {}
        self._last: dict[str, dict[int, LastBar]] = {}
        self._ends: dict[Place, int | None] = {}  # where the reader is in each partition that was read to its end
        self._showing: dict[Place, int] = {}  # end of the last bar that was read of each partition
        self._handed: dict[Place, tuple[Received, int]] = {}  # what was handed out last and is not in `_last` yet
        self.unusable: deque[Unusable] = deque()
        # By interval, the symbols that a bar was seen of while a partition is unheard.
        self._heard: dict[int, set[int]] = {}

    async def start(
        self, offsets: Offsets, control: int, last: Mapping[str, Mapping[int, LastBar]], upto: int = 0
    ) -> None:
        """Reads from these offsets on, behind the `last` records that were read; DamagedError where they are gone.

        `upto`: the latest instant that was decided on.
        """
        places = {(topic, part): at for topic, parts in offsets.items() for part, at in parts.items()}
        self.taken = {topic: dict(parts) for topic, parts in offsets.items()}
        self._last = {topic: dict(parts) for topic, parts in last.items()}
        self._merging = Merging(places, _shown(last, upto))
        await self._reader.assign(places | {self._control: control})
        self._task = asyncio.create_task(self._read(list(places)), name="bars")

    async def _read(self, places: list[Place]) -> None:
        ends: list[int | None] = []
        try:
            while True:
                found = await self._reader.poll()
                self._add(found)
                before, ends = ends, [await self._reader.end_of(place) for place in places]
                self._ends = dict(zip(places, ends, strict=True))
                for place, end in self._ends.items():
                    self._merging.at_end(place, end is not None)
                full = [place for place in places if self._merging.waiting(place) > _WAITING_MAX]
                if full != self._paused:
                    self._paused = full
                    self._reader.pause(full)
                if found or ends != before:
                    self.news.set()
                await asyncio.sleep(0)  # what was read is worked off before more is
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - raised where the session waits
            self._failed = error
            self.news.set()

    def _add(self, found: Mapping[Place, list[Received]]) -> None:
        unheard = self._merging.unheard
        for place, records in found.items():
            if place == self._control:
                self.commands.extend(records)
                continue
            rows: list[tuple[int, int, tuple[Bar | Unusable | None, Received]]] = []
            shown = self._showing.get(place, UNSHOWN)  # what is no bar of the session shows nothing
            latest, now, sorter = self._merging.latest, self._clock.now_ns(), self._sorter
            surely = sorter.surely(now, latest)
            for record in records:
                item = sorter(place, record)
                if item.__class__ is Bar:
                    if item.ts > surely:
                        item = sorter.in_time(item, place, record, now, latest)
                    if isinstance(item, Bar):
                        shown = item.ts
                        latest = shown if latest is None else max(latest, shown)
                        if unheard:
                            self._heard.setdefault(item.interval_ns, set()).add(item.symbol)
                rows.append((record.offset, shown, (item, record)))
            self._showing[place] = shown
            self._merging.add(place, rows)

    # ---- what goes out -----------------------------------------------------------------------------------------------

    @property
    def behind(self) -> bool:
        return self._merging.behind

    def catching_up(self, limit: int) -> bool:
        """Whether a bar that ends at `limit` or earlier can be handed out, or is still to be read."""
        return self._merging.catching_up(limit)

    @property
    def latest(self) -> int | None:
        """The latest end of a bar that was read."""
        return self._merging.latest

    @property
    def promise(self) -> int | None:
        """No bar that ends before this instant follows, if each partition is in order."""
        return self._merging.promise

    def may_lack(self, interval_ns: int, symbols: Mask) -> bool:
        """Whether bars of this interval of one of these symbols may be in a partition that has never shown a record.

        No promise of the others speaks for it.
        """
        if not self._merging.unheard:
            return False
        heard = self._heard.get(interval_ns, set())
        return any(symbol not in heard for symbol in np.flatnonzero(symbols).tolist())

    @property
    def lag(self) -> int:
        """Records that were read and not handed out."""
        return sum(map(self._merging.waiting, self._merging.keys))

    def check(self) -> None:
        """Raises what reading failed with."""
        if self._failed is not None:
            raise self._failed

    def take(self, limit: int) -> Bar | None:
        """The next bar, if it ends at `limit` or earlier."""
        while (arrival := self._merging.take(limit)) is not None:
            topic, partition = arrival.key
            item, record = arrival.item
            self._handed[arrival.key] = record, arrival.ts
            self.taken[topic][partition] = arrival.offset + 1
            if isinstance(item, Unusable):
                self.unusable.append(item)
            elif item is not None:
                return item
        return None

    def take_all(self, limit: int) -> list[Bar]:
        """All bars that `take` would hand out one after the other."""
        found: list[Bar] = []
        while (run := self._merging.take_run(limit)) is not None:
            key, rows = run
            offset, shown, (_, record) = rows[-1]
            self._handed[key] = record, shown
            self.taken[key[0]][key[1]] = offset + 1
            for _, _, (item, _) in rows:
                if isinstance(item, Unusable):
                    self.unusable.append(item)
                elif item is not None:
                    found.append(item)
        return found

    def position(self) -> Offsets:
        """The next offset of each partition: behind what was handed out, and marks of transactions that follow it.

        Else a partition that falls silent, and whose records expire, would seem to have lost some.
        """
        for (topic, partition), end in self._ends.items():
            if end is not None and not self._merging.waiting((topic, partition)):
                self.taken[topic][partition] = max(self.taken[topic][partition], end)
        return {topic: dict(parts) for topic, parts in self.taken.items()}

    @property
    def last(self) -> dict[str, dict[int, LastBar]]:
        """The last record of each partition that was handed out."""
        for (topic, partition), (record, shown) in self._handed.items():
            parts = self._last.setdefault(topic, {})
            if partition in parts:
                shown = max(shown, parts[partition].shown)
            checksum = zlib.crc32(record.value or b"")
            parts[partition] = LastBar(record.offset, record.timestamp_ms, checksum, shown)
        self._handed.clear()
        return self._last

    async def wait(self, timeout_s: float | None) -> None:
        """Until something was read, or the time is up."""
        self.news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):  # in this very task: another one would be a turn of the loop more
                await self.news.wait()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None


def _shown(last: Mapping[str, Mapping[int, LastBar]], upto: int) -> dict[Place, int]:
    """How late the bars were that partitions have shown; one that held none of the session stays unheard.

    Bars behind the position are read again, so that nothing later than `upto` is believed.
    """
    return {
        (topic, partition): min(known.shown, upto)
        for topic, parts in last.items()
        for partition, known in parts.items()
        if known.shown > UNSHOWN
    }


def check_same(place: Place, known: LastBar, found: Received | None) -> None:
    """Raises DamagedError where the record at a known offset is another one than the session read."""
    topic, partition = place
    if found is None:
        return  # cleared away by retention: nothing to compare with
    if (found.timestamp_ms, zlib.crc32(found.value or b"")) != (known.timestamp_ms, known.checksum):
        raise DamagedError(
            f"topic {topic}, partition {partition}: the record at offset {known.offset} is another one than this "
            "session read there; the topic was made anew, or this is another cluster: begin a new session with --new"
        )
