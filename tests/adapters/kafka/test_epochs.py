"""Who holds a transactional id, asked of a real broker; asking shuts nobody out."""

from typing import Any

from adapters.kafka.codec import Record
from adapters.kafka.epochs import holder
from adapters.kafka.transport import Producer, transact


async def begun(kafka: str, name: str) -> Producer:
    made = Producer({"bootstrap_servers": kafka}, name)
    await made.start()
    return made


async def test_a_successor_is_seen_by_the_older_alone_and_goes_on(kafka: str, topic_prefix: str) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic_prefix, 1, 1)])
    await admin.close()
    record = Record(topic=topic_prefix, key=b"k", value=b"v", headers=(), timestamp_ms=0)
    older = await begun(kafka, f"epochs.{topic_prefix}")
    assert not await older.succeeded()
    await transact(older, [record])
    assert not await older.succeeded()
    younger = await begun(kafka, f"epochs.{topic_prefix}")
    assert (await older.succeeded(), await younger.succeeded()) == (True, False)
    await transact(younger, [record])
    assert (await older.succeeded(), await younger.succeeded()) == (True, False)
    sender: Any = younger._producer._sender
    (node,) = sender._coordinators.values()
    assert await holder(sender.client, node, f"nobody.{topic_prefix}") is None
    await younger.close()
    await older.close()
    assert not await older.succeeded()  # nobody is there to ask: then nothing is known
