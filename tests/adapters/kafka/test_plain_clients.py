"""Clients that know nothing of Samewire read the same topic: what was committed, and once by its id."""

import asyncio
import importlib.util
import json
import shutil
import subprocess
from typing import Any

from adapters.kafka.subscribe import Reading, subscribe
from tests.adapters.kafka.wire import made, signal, written
from tests.conftest import without_kafka

COMMITTED = [1, 2, 3, 3, 6, 2]  # a client that drops doubles is handed 1, 2, 3, 6


async def topic_of(kafka: str, env: str) -> str:
    topic = f"{env}.signals.m.v1"
    await made(kafka, topic)
    transactions = ((True, COMMITTED[:3]), (False, [4, 5]), (True, COMMITTED[3:]), (False, [7]))
    await written(kafka, *((done, [signal(env, ts) for ts in said]) for done, said in transactions))
    return topic


async def subscribed(kafka: str, topic: str) -> list[int]:
    async with subscribe(topic, address=kafka, since="earliest", reading=Reading(follow=False)) as signals:
        return [message.ts async for message in signals]


def once(records: list[tuple[str, bytes]]) -> list[int]:
    """`ts` of bodies, those of an id that was there before dropped, as the page of topics says."""
    seen = dict(reversed(records))
    first = sorted(seen, key=[name for name, _ in records].index)
    return [json.loads(seen[name])["ts"] for name in first]


async def test_kcat_reads_what_a_subscriber_reads(kafka: str, topic_prefix: str) -> None:
    if shutil.which("kcat") is None:
        without_kafka("kcat is missing: apt-get install kcat")
    topic = await topic_of(kafka, topic_prefix)
    asked = ["kcat", "-C", "-b", kafka, "-t", topic, "-o", "beginning", "-e", "-q", "-J"]
    done = await asyncio.to_thread(
        subprocess.run, [*asked, "-X", "isolation.level=read_committed"], capture_output=True, text=True, check=True
    )
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [json.loads(record["payload"])["ts"] for record in records] == COMMITTED
    named = [dict(zip(each["headers"][::2], each["headers"][1::2], strict=True)) for each in records]
    assert {each["ce_type"] for each in named} == {"samewire.signals.slice.v1"}
    assert {record["key"] for record in records} == {"m"}
    bodies = [(each["ce_id"], record["payload"].encode()) for each, record in zip(named, records, strict=True)]
    assert once(bodies) == await subscribed(kafka, topic) == [1, 2, 3, 6]


async def test_confluents_client_reads_what_a_subscriber_reads(kafka: str, topic_prefix: str) -> None:
    if importlib.util.find_spec("confluent_kafka") is None:
        without_kafka("confluent-kafka is missing: make setup")
    topic = await topic_of(kafka, topic_prefix)
    records = await asyncio.to_thread(consumed, kafka, topic)
    assert [json.loads(body)["ts"] for _, body in records] == COMMITTED
    assert once(records) == await subscribed(kafka, topic) == [1, 2, 3, 6]


def consumed(kafka: str, topic: str) -> list[tuple[str, bytes]]:
    """Ids and bodies of a whole topic, by a consumer of librdkafka."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    settings: dict[str, Any] = {"bootstrap.servers": kafka, "group.id": topic, "isolation.level": "read_committed"}
    consumer = Consumer(settings | {"enable.auto.commit": False, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []
    try:
        while True:
            record = consumer.poll(10)
            assert record is not None, "nothing came for ten seconds"
            if record.error() and record.error().code() == KafkaError._PARTITION_EOF:
                return found
            assert record.error() is None
            found.append((dict(record.headers())["ce_id"].decode(), record.value()))
    finally:
        consumer.close()
