"""Partitions that fall silent: their records expire, and only where some were lost is the session refused."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from adapters.kafka.address import DamagedError
from adapters.kafka.topics import Topic
from tests.samewire.livened import Ground


async def last_words(ground: Ground, *, transaction: bool) -> None:
    """A record in each partition that is no bar, and a mark of a transaction behind it, or none."""
    given = {"transactional_id": f"feed.{ground.env}"} if transaction else {}
    producer = AIOKafkaProducer(bootstrap_servers=ground.kafka, **given)
    await producer.start()
    if transaction:
        await producer.begin_transaction()
    for partition in (0, 1):
        await producer.send_and_wait(bars(ground), b"rubbish", partition=partition)
    if transaction:
        await producer.commit_transaction()
    await producer.stop()


async def expire(ground: Ground) -> None:
    """Deletes all that the topic of bars holds."""
    admin = AIOKafkaAdminClient(bootstrap_servers=ground.kafka)
    await admin.start()
    places = [TopicPartition(bars(ground), partition) for partition in (0, 1)]
    await admin.delete_records({place: RecordsToDelete(before_offset=-1) for place in places})
    await admin.close()


def bars(ground: Ground) -> str:
    return str(Topic(ground.env, "bars", "1d"))


async def test_marks_of_transactions_that_expire_are_no_loss_and_a_record_is(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    ground = Ground(kafka, topic_prefix, tmp_path)
    await ground.topics()
    await ground.feed("2018-03-01", "2018-03-16")
    await last_words(ground, transaction=True)
    async with ground.daemon("live.deadline_s=0.2") as daemon:
        await ground.until(12)
        daemon.stop()
        await asyncio.wait({ground.task}, timeout=30)
    await expire(ground)
    async with ground.daemon("live.deadline_s=0.2") as daemon:
        assert (await daemon.ready).recovered
        daemon.stop()
        await asyncio.wait({ground.task}, timeout=30)
    await last_words(ground, transaction=False)
    await expire(ground)
    with pytest.raises(DamagedError, match="its records are gone, or it was made anew; begin a new session"):
        async with ground.daemon("live.deadline_s=0.2"):
            pass
