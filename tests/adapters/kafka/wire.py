"""What tests on a real broker share: topics, and records in transactions, by the plain client."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from adapters.kafka.codec import Codec, Origin, Record
from adapters.kafka.topics import KINDS, parse_topic
from engine.events import Signal
from engine.universe import universe_of

UNIVERSE = universe_of(("AAA", "BBB"))


def signal(env: str, ts: int, source: str = "m", value: float | None = None, width: int = 0) -> Record:
    """A signal of two symbols, or of `width`."""
    universe = universe_of([f"S{k:04d}" for k in range(width)]) if width else UNIVERSE
    values = np.full(len(universe), ts / 7 if value is None else value)
    said = Signal(ts=ts, source=source, asof=ts, value=values, horizon_ns=0)
    return Codec(env, universe, Origin(daemon="quick", run_id="r")).signal(said)


async def administered(address: str, act: Callable[[Any], Awaitable[Any]]) -> Any:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        return await act(admin)
    finally:
        await admin.close()


async def made(address: str, topic: str, partitions: int = 1) -> None:
    """A topic that keeps what is old."""
    settings = {"retention.ms": "-1", "cleanup.policy": KINDS[parse_topic(topic).kind].cleanup}
    asked = NewTopic(topic, partitions, 1, topic_configs=settings)
    await administered(address, lambda admin: admin.create_topics([asked]))


async def written(address: str, *transactions: tuple[bool, Sequence[Record]]) -> None:
    """Each with whether it is committed or aborted."""
    name = f"w-{os.getpid()}-{transactions[0][1][0].topic}"
    producer = AIOKafkaProducer(bootstrap_servers=address, transactional_id=name)
    await producer.start()
    try:
        for committed, records in transactions:
            await producer.begin_transaction()
            sent = [
                await producer.send(
                    each.topic,
                    key=each.key,
                    value=each.value,
                    headers=list(each.headers),
                    timestamp_ms=each.timestamp_ms,
                )
                for each in records
            ]
            await asyncio.gather(*sent)
            await (producer.commit_transaction() if committed else producer.abort_transaction())
    finally:
        await producer.stop()
