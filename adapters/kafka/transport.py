"""The Kafka client behind a small port: records in by partition and offset, records out in transactions.

Only this file knows how aiokafka does it, and what must be done lest it loses an order: each send of a transaction is
awaited by itself before the commit, since a commit passes over sends that failed; a commit is never cut short, since
one that is cancelled may have happened; and after any error of the producer nothing but leaving the process is right.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from adapters.kafka.address import KafkaError
from adapters.kafka.codec import Record

Place = tuple[str, int]  # topic and partition

_TRANSACTION_MS = 10_000  # how long readers wait for what a dead process left open
_BACK_OFF_S = 0.002  # between two transactions of one producer, while the broker still writes the end of the first
_MAX_BYTES = 8 * 1024 * 1024
_POLL_MS = 100


class FencedError(KafkaError):
    """A successor with the same transactional id is at work: this process must not go on, nor be started again."""

    exit_code = 6


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
    async def close(self) -> None: ...


async def transact(outbox: Outbox, records: Sequence[Record]) -> list[int]:
    """Writes these records in one transaction. Returns their offsets. KafkaError where it may not have happened.

    The transaction that failed is left open: the next process under this id ends it.
    """
    await outbox.begin()
    sent = [await outbox.send(record) for record in records]
    offsets = [await future for future in sent]  # each: the commit would pass over one that failed
    await outbox.commit()
    return offsets


class Producer:
    """An Outbox on aiokafka. `options` are those of the connection."""

    def __init__(self, options: Mapping[str, Any], transactional_id: str) -> None:
        self._options, self._id = dict(options), transactional_id
        self._producer: Any = None

    async def start(self) -> None:
        from aiokafka import AIOKafkaProducer
        from aiokafka.producer import sender

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
        with _told("the producer could not start"):
            await self._producer.start()

    async def begin(self) -> None:
        with _told("a transaction could not begin"):
            await self._own.begin_transaction()

    async def send(self, record: Record, /) -> "asyncio.Future[int]":
        with _told(record.topic):
            future = await self._own.send(
                record.topic,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
                timestamp_ms=record.timestamp_ms,
            )
        return asyncio.ensure_future(_acknowledged(record.topic, future))

    async def commit(self) -> None:
        with _told("whether the last transaction was committed is not known"):
            await self._own.commit_transaction()

    async def close(self) -> None:
        if self._producer is not None:
            with contextlib.suppress(Exception):  # what it left open is ended by whoever comes next
                await self._producer.stop()
            self._producer = None

    @property
    def _own(self) -> Any:
        if self._producer is None:
            raise KafkaError("kafka: the producer was not started")
        return self._producer


async def _acknowledged(topic: str, future: Any) -> int:
    with _told(topic):
        return int((await future).offset)


class Reader:
    """Reads partitions that were assigned by hand, read committed, from offsets that were said; commits none."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)
        self._consumer: Any = None
        self._known_end: dict[Place, int] = {}

    async def start(self) -> None:
        from aiokafka import AIOKafkaConsumer

        self._consumer = AIOKafkaConsumer(
            **self._options,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_min_bytes=1,
            fetch_max_wait_ms=_POLL_MS,
            max_partition_fetch_bytes=_MAX_BYTES,
            retry_backoff_ms=50,
        )
        with _told("the consumer could not start"):
            await self._consumer.start()

    async def partitions(self, topic: str) -> list[int]:
        """Of a topic, in order. KafkaError where there is no such topic."""
        with _told(topic):
            found = (await self._own._client.fetch_all_metadata()).partitions_for_topic(topic)
        if not found:
            raise KafkaError(f"topic {topic}: there is none; make it with: samewire topics RUN.yaml --create")
        return sorted(found)

    async def bounds(self, places: Sequence[Place]) -> dict[Place, tuple[int, int]]:
        """The first offset that is there, and the one behind the last that is committed."""
        from aiokafka import TopicPartition

        named = [TopicPartition(*place) for place in places]
        with _told("offsets could not be read"):
            first, end = await self._own.beginning_offsets(named), await self._own.end_offsets(named)
        return {place: (first[at], end[at]) for place, at in zip(places, named, strict=True)}

    async def assign(self, offsets: Mapping[Place, int]) -> None:
        """Reads these partitions from these offsets on. KafkaError where one is gone already."""
        from aiokafka import TopicPartition

        bounds = await self.bounds(list(offsets))
        for (topic, partition), offset in offsets.items():
            first, end = bounds[topic, partition]
            if not first <= offset <= end:
                raise KafkaError(
                    f"topic {topic}, partition {partition}: offset {offset} was to be read next, and it holds {first} "
                    f"to {end}: its records are gone, or it was made anew; begin a new session with --new"
                )
        self._known_end = {place: end for place, (_, end) in bounds.items()}
        self._own.assign([TopicPartition(*place) for place in offsets])
        for place, offset in offsets.items():
            self._own.seek(TopicPartition(*place), offset)

    async def poll(self, timeout_ms: int = _POLL_MS, most: int = 20_000) -> dict[Place, list[Received]]:
        """What arrived, by partition; empty after `timeout_ms` without any."""
        with _told("reading failed"):
            found = await self._own.getmany(timeout_ms=timeout_ms, max_records=most)
        return {
            (at.topic, at.partition): [Received(r.offset, r.timestamp, r.key, r.value, r.headers) for r in records]
            for at, records in found.items()
        }

    async def at_end(self, place: Place) -> bool:
        """Whether everything that is known to be there has been read."""
        from aiokafka import TopicPartition

        at = TopicPartition(*place)
        stable = self._own.last_stable_offset(at)
        end = max(self._known_end[place], -1 if stable is None else stable)
        return bool(await self._own.position(at) >= end)

    def pause(self, places: Sequence[Place]) -> None:
        from aiokafka import TopicPartition

        named = {TopicPartition(*place) for place in places}
        now = self._own.paused()
        self._own.resume(*(now - named))
        self._own.pause(*(named - now))

    async def read(self, place: Place, start: int, end: int) -> AsyncIterator[Received]:
        """The committed records of one partition with start <= offset < end; others are read no more afterwards."""
        if start >= end:
            return
        await self.assign({place: start})
        while True:
            for record in (await self.poll()).get(place, ()):
                if record.offset >= end:
                    return
                yield record
            if await self._reached(place, end):
                return

    async def _reached(self, place: Place, end: int) -> bool:
        from aiokafka import TopicPartition

        return bool(await self._own.position(TopicPartition(*place)) >= end)

    async def cluster(self) -> str:
        """The id of the cluster."""
        from aiokafka.admin import AIOKafkaAdminClient

        admin = AIOKafkaAdminClient(**self._options)
        with _told("the cluster could not be asked"):
            await admin.start()
            try:
                return str((await admin.describe_cluster()).get("cluster_id", ""))
            finally:
                await admin.close()

    async def close(self) -> None:
        if self._consumer is not None:
            with contextlib.suppress(Exception):  # nothing of it is needed any more
                await self._consumer.stop()
            self._consumer = None

    @property
    def _own(self) -> Any:
        if self._consumer is None:
            raise KafkaError("kafka: the consumer was not started")
        return self._consumer


@contextlib.contextmanager
def _told(place: str) -> Iterator[None]:
    """What the client raises, told with what was being done."""
    from aiokafka import errors

    try:
        yield
    except errors.ProducerFenced as error:
        raise FencedError(
            "kafka: fenced: another process with the same transactional id has begun; this one ends, do not restart it"
        ) from error
    except errors.OffsetOutOfRangeError as error:
        raise KafkaError(
            f"kafka: {place}: records that were to be read are gone ({error}); begin anew with --new"
        ) from error
    except (errors.KafkaError, AssertionError) as error:  # after a fatal error the client asserts
        raise KafkaError(f"kafka: {place}: {error or type(error).__name__}") from error
