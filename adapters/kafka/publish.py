"""Publishes bars: makes their topics, and hands records to a producer that never says it sent what it did not."""

import asyncio
from collections.abc import AsyncIterable
from types import TracebackType
from typing import Any

from adapters.kafka.address import KafkaError
from adapters.kafka.admin import TIMEOUT_MS, administration, make, reach, settings_of_topics, told
from adapters.kafka.codec import Codec, Record
from adapters.kafka.faults import Sending
from adapters.kafka.layout import Wanted
from adapters.kafka.security import quiet_client
from adapters.kafka.settings import Kafka
from adapters.kafka.topics import parse_topic
from engine.clock import Clock

IN_FLIGHT_MAX = 2_000  # records whose acknowledgement is waited for
_DAY_MS = 86_400_000


class Publisher:
    """An idempotent producer, as an asynchronous context: no record is lost or doubled while it lives.

    Topics that are missing are made, with as many partitions as said and for ever, since Kafka counts the age of a
    record from its timestamp: with a limit it would delete history as soon as that was published. A topic that is there
    with such a limit is refused for records beyond it, and one with another number of partitions for any: instruments
    would move to other partitions.
    """

    def __init__(self, settings: Kafka, *, partitions: int, clock: Clock) -> None:
        if partitions < 1:
            raise ValueError(f"partitions must be at least 1, got {partitions}")
        self._client, self._dev = settings.client_options(), settings.dev
        self._address, self._partitions, self._clock = settings.where().address, partitions, clock
        self._producer: Any = None
        self._flying: list[asyncio.Future[Any]] = []
        self.topics: dict[str, int] = {}  # topic -> records that were acknowledged

    async def __aenter__(self) -> "Publisher":
        from aiokafka import AIOKafkaProducer

        quiet_client()
        await reach(self._client)
        self._producer = AIOKafkaProducer(
            **self._client,
            enable_idempotence=True,
            linger_ms=2,
            max_batch_size=262_144,
            retry_backoff_ms=5,
            request_timeout_ms=TIMEOUT_MS,
        )
        try:
            with told(f"{self._address}: publishing stopped"):
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
            with told(f"{record.topic}: publishing stopped"):
                await self._open(record.topic, record.timestamp_ms)
        with told(f"{record.topic}: publishing stopped"):
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
        with told(f"{self._address}: publishing stopped"):
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer

    async def _open(self, topic: str, oldest_ms: int) -> None:
        """Makes the topic unless it is there, and refuses one that would not keep what comes as it comes."""
        asked = Wanted(topic=topic, kind=parse_topic(topic).kind, partitions=self._partitions, retention_ms=-1)
        async with administration(self._client) as admin:
            brokers = len((await admin.describe_cluster())["brokers"])
            made = await make(admin, asked, brokers=brokers, dev=self._dev or brokers == 1)
            settings, _ = ({}, "") if made else (await settings_of_topics(admin, [topic]))[topic]
        kept_ms = int(settings.get("retention.ms", -1))
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
