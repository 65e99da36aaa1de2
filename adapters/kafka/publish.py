"""Publishes bars: makes their topics, and hands records to a producer that never says it sent what it did not."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterable, Iterator
from types import TracebackType
from typing import Any

from adapters.kafka.address import KafkaError, probe, servers
from adapters.kafka.codec import Codec, Record
from adapters.kafka.faults import Sending
from adapters.kafka.topics import KINDS, parse_topic
from engine.clock import Clock

IN_FLIGHT_MAX = 2_000  # records whose acknowledgement is waited for
_TIMEOUT_MS = 10_000
_DAY_MS = 86_400_000
_EXISTS = 36  # TOPIC_ALREADY_EXISTS


class Publisher:
    """An idempotent producer, as an asynchronous context: no record is lost or doubled while it lives.

    Topics that are missing are made, with as many partitions as said and for ever, since Kafka counts the age of a
    record from its timestamp: with a limit it would delete history as soon as that was published. A topic that is there
    with such a limit is refused for records beyond it, and one with another number of partitions for any: instruments
    would move to other partitions.
    """

    def __init__(self, address: str, *, partitions: int, clock: Clock) -> None:
        if partitions < 1:
            raise ValueError(f"partitions must be at least 1, got {partitions}")
        servers(address)
        self._address, self._partitions, self._clock = address, partitions, clock
        self._producer: Any = None
        self._flying: list[asyncio.Future[Any]] = []
        self.topics: dict[str, int] = {}  # topic -> records that were acknowledged

    async def __aenter__(self) -> "Publisher":
        from aiokafka import AIOKafkaProducer

        logging.getLogger("aiokafka").setLevel(logging.WARNING)  # below, it writes out what is sent
        await asyncio.to_thread(probe, self._address)
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._address,
            enable_idempotence=True,
            linger_ms=2,
            max_batch_size=262_144,
            retry_backoff_ms=5,
            request_timeout_ms=_TIMEOUT_MS,
        )
        try:
            with _told(self._address):
                await self._producer.start()
        except BaseException:
            await self._producer.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self.settle()
        finally:
            for future in self._flying:
                future.cancel()
            await self._producer.stop()

    async def send(self, record: Record) -> None:
        """Hands a record over; waits for the others once there are too many under way."""
        if record.topic not in self.topics:
            with _told(record.topic):
                await self._open(record.topic, record.timestamp_ms)
        with _told(record.topic):
            future = await self._producer.send(
                record.topic,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
                timestamp_ms=record.timestamp_ms,
            )
        self.topics[record.topic] += 1
        self._flying.append(future)
        if len(self._flying) >= IN_FLIGHT_MAX:
            await self.settle()

    async def settle(self) -> None:
        """Returns once every record is acknowledged; KafkaError if one was refused."""
        flying, self._flying = self._flying, []
        answers = await asyncio.gather(*flying, return_exceptions=True)
        with _told(self._address):
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer

    async def _open(self, topic: str, oldest_ms: int) -> None:
        """Makes the topic unless it is there, and refuses one that would not keep what comes as it comes."""
        from aiokafka.admin import AIOKafkaAdminClient

        admin = AIOKafkaAdminClient(bootstrap_servers=self._address, request_timeout_ms=_TIMEOUT_MS)
        await admin.start()
        try:
            made = await self._made(admin, topic)
            kept_ms = -1 if made else await _retention_ms(admin, topic)
        finally:
            await admin.close()
        there = len(await self._producer.partitions_for(topic))
        if there != self._partitions:
            raise KafkaError(
                f"topic {topic}: it has {there} partitions, asked were {self._partitions}; "
                f"say --partitions {there}, or publish to another environment with --env"
            )
        if 0 <= kept_ms < self._clock.now_ns() // 1_000_000 - oldest_ms:
            raise KafkaError(
                f"topic {topic}: it keeps records for {kept_ms / _DAY_MS:g} days, and those to publish are older: the "
                "broker would delete them; set its retention.ms to -1, or publish to another environment with --env"
            )
        self.topics[topic] = 0

    async def _made(self, admin: Any, topic: str) -> bool:
        """True if it was not there before."""
        from aiokafka.admin import NewTopic

        brokers = len((await admin.describe_cluster())["brokers"])
        settings = {"cleanup.policy": KINDS[parse_topic(topic).kind].cleanup, "retention.ms": "-1"}
        asked = NewTopic(topic, self._partitions, min(3, brokers), topic_configs=settings)
        answer = await admin.create_topics([asked])
        _, code, *why = answer.topic_errors[0]
        if code not in (0, _EXISTS):
            raise KafkaError(f"topic {topic}: it could not be made (error {code}: {why[0] if why else 'no reason'})")
        return bool(code == 0)


async def _retention_ms(admin: Any, topic: str) -> int:
    """How long a topic keeps records, -1 = for ever or not to be known."""
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    asked = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": None})
    answers = await admin.describe_configs([asked])
    entries = [entry for answer in answers for resource in answer.resources for entry in resource[4]]
    return next((int(value) for name, value, *_ in entries if name == "retention.ms" and value), -1)


async def publish(sendings: AsyncIterable[Sending], codec: Codec, publisher: Publisher, *, in_step: bool) -> None:
    """Publishes bars, those of one instrument in their order.

    `in_step`: before history goes on, what was before is acknowledged, so that no partition runs ahead of another.
    """
    now: int | None = None
    async for sending in sendings:
        if in_step and now is not None and sending.ts != now:
            await publisher.settle()
        now = sending.ts
        await publisher.send(codec.bar(sending.bar))
    await publisher.settle()


@contextlib.contextmanager
def _told(place: str) -> Iterator[None]:
    """What the client raises, told with the address or the topic."""
    from aiokafka.errors import KafkaError as ClientError

    try:
        yield
    except ClientError as error:
        raise KafkaError(f"kafka: {place}: {error or type(error).__name__}; publishing stopped") from error
