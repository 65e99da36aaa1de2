"""The Kafka client behind a small port: records in by partition and offset, records out in transactions.

Only this file knows how aiokafka does it, and what must be done lest it loses an order: each send of a transaction is
awaited by itself before the commit, since a commit passes over sends that failed; a commit is never cut short, since
one that is cancelled may have happened; and after any error of the producer nothing but leaving the process is right.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from adapters.kafka.address import DamagedError, KafkaError
from adapters.kafka.client import FencedError as FencedError
from adapters.kafka.client import ended, fenced_by, given_up, hush, told
from adapters.kafka.codec import Record
from adapters.kafka.epochs import successor
from engine.clock import SystemClock

Place = tuple[str, int]  # topic and partition

_TRANSACTION_MS = 10_000  # how long readers wait for what a dead process left open
_BACK_OFF_S = 0.002  # between two transactions of one producer, while the broker still writes the end of the first
_MAX_BYTES = 8 * 1024 * 1024
_POLL_MS = 100  # how long a broker may keep a fetch waiting for records
_RANGE_MS = 1  # the same where what is read is known to be there
_LOOK_MS, _RANGE_LOOK_MS = 20, 3  # between two looks at how far it has come
_EVERY_NS, _LOOKS = 10_000_000_000, 3  # how often, and how often in vain, it is asked whether partitions go on
_STUCK_S = 30.0  # without anything of what must come, after which leaving the process is right


class Received(msgspec.Struct, frozen=True, gc=False):
    """One record as it was read."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Outbox(Protocol):
    """Writes records in transactions: all of one or none, and none after a successor has begun."""

    async def start(self) -> None:
        """Fences whoever wrote before under the same id, and ends what was left open."""
        ...

    async def begin(self) -> None: ...
    async def send(self, record: Record, /) -> "asyncio.Future[int]":
        """The offset, once it is acknowledged."""
        ...

    async def commit(self) -> None: ...
    async def succeeded(self) -> bool:
        """Whether a successor has begun, as far as can be found out without shutting it out."""
        ...

    async def close(self) -> None: ...


async def transact(outbox: Outbox, records: Sequence[Record]) -> list[int]:
    """Writes these records in one transaction. Returns their offsets. KafkaError where it may not have happened.

    The transaction that failed is left open: the next process under this id ends it. One that does not come to its end
    is given up after a while, its outcome unknown.
    """
    sent: list[asyncio.Future[int]] = []
    try:
        async with asyncio.timeout(_STUCK_S):
            await outbox.begin()
            for record in records:
                sent.append(await outbox.send(record))
            offsets = [await future for future in sent]  # each: the commit would pass over one that failed
            await outbox.commit()
    except TimeoutError:
        raise KafkaError(
            f"kafka: the last transaction did not end within {_STUCK_S:g} s, and whether it was committed is not "
            "known; start again once the broker answers: the session goes on with what was"
        ) from None
    finally:
        given_up(sent)
    return offsets


class Producer:
    """An Outbox on aiokafka. `options` are those of the connection."""

    def __init__(self, options: Mapping[str, Any], transactional_id: str) -> None:
        self._options, self._id = dict(options), transactional_id
        self._producer: Any = None
        self._clock, self._begun = SystemClock(), 0  # when the transaction began, monotonic ns

    async def start(self) -> None:
        from aiokafka import AIOKafkaProducer
        from aiokafka.producer import sender

        hush()
        sender.BACKOFF_OVERRIDE = _BACK_OFF_S  # 20 ms otherwise: five times as long as a transaction takes
        self._producer = AIOKafkaProducer(
            **self._options,
            transactional_id=self._id,
            transaction_timeout_ms=_TRANSACTION_MS,
            linger_ms=0,
            max_batch_size=262_144,
            max_request_size=_MAX_BYTES,
            retry_backoff_ms=5,
            request_timeout_ms=10_000,
        )
        with told("the producer could not start"):
            await self._producer.start()

    async def begin(self) -> None:
        self._begun = self._clock.monotonic_ns()
        with self._ours("a transaction could not begin"):
            await self._own.begin_transaction()

    async def send(self, record: Record, /) -> "asyncio.Future[int]":
        with self._ours(record.topic):
            future = await self._own.send(
                record.topic,
                key=record.key,
                value=None if record.erases else record.value,
                headers=list(record.headers),
                timestamp_ms=record.timestamp_ms,
            )
        return asyncio.ensure_future(self._acknowledged(record.topic, future))

    async def _acknowledged(self, topic: str, future: Any) -> int:
        with self._ours(topic):
            return int((await future).offset)

    async def commit(self) -> None:
        with self._ours("whether the last transaction was committed is not known"):
            await self._own.commit_transaction()

    async def succeeded(self) -> bool:
        return await successor(self._producer, self._id)

    async def close(self) -> None:
        """Leaves a transaction that is open to whoever comes next."""
        await ended(self._producer)
        self._producer = None

    @property
    def _own(self) -> Any:
        if self._producer is None:
            raise KafkaError("kafka: the producer was not started")
        return self._producer

    @contextlib.contextmanager
    def _ours(self, place: str) -> Iterator[None]:
        """As `told`; a transaction that took too long was ended by the broker, and that is no successor's doing."""
        try:
            with told(place):
                yield
        except KafkaError as error:
            by = error if isinstance(error, FencedError) else fenced_by(self._producer, error)
            if by is None:
                raise
            took = (self._clock.monotonic_ns() - self._begun) / 1e9
            if took < _TRANSACTION_MS / 1000:
                raise by from error
            raise KafkaError(
                f"kafka: {place}: the transaction took {took:.1f} s, and the broker ends one after "
                f"{_TRANSACTION_MS / 1000:g} s; start again: the session goes on with what was committed"
            ) from error


class Reader:
    """Reads partitions that were assigned by hand, read committed, from offsets that were said; commits none.

    Two consumers: one follows the ends of partitions, and its fetches wait at the broker; the other asks and reads what
    is there, and does not wait behind those.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)
        self._tail: Any = None
        self._asking: Any = None
        self._known_end: dict[Place, int] = {}
        self._topics, self._walk = set[str](), object()  # those that are known; the read that is under way
        self._behind: dict[tuple[Place, int], int] = {}  # what has more, at which offset, for how many looks
        self._clock, self._look_at = SystemClock(), 0  # monotonic ns

    async def start(self) -> None:
        self._tail, self._asking = self._consumer(_POLL_MS), self._consumer(_RANGE_MS)
        with told("the consumer could not start"):
            await asyncio.gather(self._tail.start(), self._asking.start())

    def _consumer(self, wait_ms: int, isolation: str = "read_committed") -> Any:
        from aiokafka import AIOKafkaConsumer

        hush()
        return AIOKafkaConsumer(
            **self._options,
            isolation_level=isolation,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_min_bytes=1,
            fetch_max_wait_ms=wait_ms,
            max_partition_fetch_bytes=_MAX_BYTES,
            retry_backoff_ms=50,
        )

    async def partitions(self, topic: str) -> list[int]:
        """Of a topic, in order. KafkaError where there is no such topic."""
        await self._learn([topic])
        found = _own(self._asking).partitions_for_topic(topic)
        if not found:
            raise KafkaError(f"topic {topic}: there is none; make it with: samewire topics RUN.yaml --create")
        return sorted(found)

    async def _learn(self, topics: Iterable[str]) -> None:
        """Asks where topics are, once for each: the client would find out by a failure, and wait after it."""
        if not self._topics.issuperset(topics):
            self._topics |= {*topics}
            with told("topics could not be looked up"):
                await _own(self._asking)._client.set_topics(sorted(self._topics))

    async def bounds(self, places: Sequence[Place]) -> dict[Place, tuple[int, int]]:
        """The first offset that is there, and the one behind the last that is committed."""
        await self._learn([topic for topic, _ in places])
        asking, named = _own(self._asking), [_at(place) for place in places]
        with told("offsets could not be read"):
            first, end = await asyncio.gather(asking.beginning_offsets(named), asking.end_offsets(named))
        return {place: (first[at], end[at]) for place, at in zip(places, named, strict=True)}

    async def ends(self, places: Sequence[Place]) -> dict[Place, int]:
        """The offset behind the last record of each, committed or not."""
        raw = self._consumer(_RANGE_MS, "read_uncommitted")
        try:
            with told("the consumer could not start"):
                await raw.start()
            with told("offsets could not be read"):
                found = await raw.end_offsets([_at(place) for place in places])
        finally:
            await ended(raw)
        return {place: found[_at(place)] for place in places}

    # ---- following ---------------------------------------------------------------------------------------------------

    async def assign(self, offsets: Mapping[Place, int]) -> None:
        """Follows these partitions from these offsets on. KafkaError where one is gone already."""
        tail, bounds = _own(self._tail), await self.bounds(list(offsets))
        for place, offset in offsets.items():
            check_there(place, offset, bounds[place])
        self._known_end = {place: end for place, (_, end) in bounds.items()}
        tail.assign([_at(place) for place in offsets])
        for place, offset in offsets.items():
            tail.seek(_at(place), offset)
        self._behind, self._look_at = {}, self._clock.monotonic_ns() + _EVERY_NS

    async def poll(self, timeout_ms: int = _LOOK_MS, most: int = 20_000) -> dict[Place, list[Received]]:
        """What arrived, by partition; empty after `timeout_ms` without any.

        KafkaError once records are known to be there and have not come for long: the client has seized up.
        """
        with told("reading failed"):
            found = await _own(self._tail).getmany(timeout_ms=timeout_ms, max_records=most)
        if self._clock.monotonic_ns() >= self._look_at:
            await self._look()
        return {(at.topic, at.partition): list(map(_received, records)) for at, records in found.items()}

    async def _look(self) -> None:
        """Whether each partition comes on that has more: a client may stay alive and never read again."""
        tail = _own(self._tail)
        paused = tail.paused()
        now = {place: await tail.position(_at(place)) for place in self._known_end if _at(place) not in paused}
        ends = await self.bounds(list(now)) if now else {}
        behind = {place: at for place, at in now.items() if at < ends[place][1]}
        self._behind = {(place, at): self._behind.get((place, at), 0) + 1 for place, at in behind.items()}
        for ((topic, partition), at), looks in self._behind.items():
            if looks > _LOOKS:
                raise KafkaError(
                    f"topic {topic}, partition {partition}: it goes on to offset {ends[topic, partition][1]}, and "
                    f"nothing was read behind {at} for {_LOOKS * _EVERY_NS / 1e9:g} s; start again"
                )
        self._look_at = self._clock.monotonic_ns() + _EVERY_NS

    async def end_of(self, place: Place) -> int | None:
        """The offset behind everything that is known to be there, marks of transactions too; None until it was read."""
        at, tail = _at(place), _own(self._tail)
        stable = tail.last_stable_offset(at)
        end = max(self._known_end[place], -1 if stable is None else stable)
        position = int(await tail.position(at))
        return position if position >= end else None

    def pause(self, places: Sequence[Place]) -> None:
        """These partitions are read no further for now, all others are."""
        tail, named = _own(self._tail), [_at(place) for place in places]
        now = tail.paused()
        tail.resume(*sorted(at for at in now if at not in named))
        tail.pause(*[at for at in named if at not in now])

    # ---- what is there -----------------------------------------------------------------------------------------------

    async def read(self, place: Place, start: int, end: int) -> AsyncGenerator[Received]:
        """The committed records of one partition with start <= offset < end. One read at a time."""
        async with contextlib.aclosing(self._ranges({place: (start, end)})) as found:
            async for _, records in found:
                for record in records:
                    yield record

    async def read_all(self, ranges: Mapping[Place, tuple[int, int]]) -> dict[Place, list[Received]]:
        """The committed records of several ranges, each with start <= offset < end. KafkaError where some are gone."""
        bounds = await self.bounds(list(ranges)) if ranges else {}
        for place, ends in ranges.items():
            for offset in ends:
                check_there(place, offset, bounds[place])
        found: dict[Place, list[Received]] = {place: [] for place in ranges}
        async for place, records in self._ranges(ranges):
            found[place] += records
        return found

    async def _ranges(self, ranges: Mapping[Place, tuple[int, int]]) -> AsyncGenerator[tuple[Place, list[Received]]]:
        left = {_at(place): end for place, (start, end) in ranges.items() if start < end}
        if not left:
            return
        asking = _own(self._asking)
        self._walk = mine = object()
        asking.assign(list(left))
        for at in left:
            asking.seek(at, ranges[at.topic, at.partition][0])
        heard = self._clock.monotonic_ns()
        while left:
            with told("reading failed"):
                found = await asking.getmany(*left, timeout_ms=_RANGE_LOOK_MS)
            for at, records in found.items():
                heard = self._clock.monotonic_ns()
                yield (at.topic, at.partition), [_received(r) for r in records if r.offset < left[at]]
                if self._walk is not mine:
                    raise KafkaError(f"topic {at.topic}: another read began before this one had ended")
                heard = self._clock.monotonic_ns()  # however long was worked on it
            for at in [at for at in left if await asking.position(at) >= left[at]]:
                del left[at]
                asking.pause(at)
            if self._clock.monotonic_ns() - heard > _STUCK_S * 1e9:
                raise KafkaError(f"kafka: nothing more was read of {sorted(left)} for {_STUCK_S:g} s; start again")
        asking.unsubscribe()

    async def cluster(self) -> str:
        """The id of the cluster."""
        from aiokafka.admin import AIOKafkaAdminClient

        admin = AIOKafkaAdminClient(**self._options)
        with told("the cluster could not be asked"):
            await admin.start()
            try:
                return str((await admin.describe_cluster()).get("cluster_id", ""))
            finally:
                await admin.close()

    async def close(self) -> None:
        for consumer in (self._tail, self._asking):
            await ended(consumer)
        self._tail = self._asking = None


def check_there(place: Place, offset: int, bounds: tuple[int, int]) -> None:
    """DamagedError where a partition can no longer be read from an offset on that it held."""
    (topic, partition), (first, end) = place, bounds
    if not first <= offset <= end:
        raise DamagedError(
            f"topic {topic}, partition {partition}: offset {offset} was to be read next, and it holds {first} to "
            f"{end}: its records are gone, or it was made anew; begin a new session with --new"
        )


def _own(consumer: Any) -> Any:
    if consumer is None:
        raise KafkaError("kafka: the consumer was not started")
    return consumer


def _at(place: Place) -> Any:
    from aiokafka import TopicPartition

    return TopicPartition(*place)


def _received(record: Any) -> Received:
    return Received(record.offset, record.timestamp, record.key, record.value, record.headers)
