"""What was committed is seen: a read-committed end trails an acknowledged commit until its marker is written."""

import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from adapters.kafka import settling
from adapters.kafka.address import KafkaError
from adapters.kafka.settling import settle, unsettled
from adapters.kafka.transport import Reader


async def test_a_commit_is_seen_behind_settle_and_an_open_transaction_is_told(
    kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = (f"{topic_prefix}.settling", 0)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(place[0], 1, 1)])
    await admin.close()
    reader = Reader({"bootstrap_servers": [kafka]})
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"{topic_prefix}-settling")
    await reader.start()
    await producer.start()
    try:
        ends = []
        for _ in range(20):
            async with producer.transaction():
                await producer.send_and_wait(place[0], b"said")
            await settle(reader, [place])
            ends.append((await reader.bounds([place]))[place][1])
        assert ends == [2 * (nth + 1) for nth in range(20)], "a record and a marker each"
        await producer.begin_transaction()
        await producer.send_and_wait(place[0], b"not yet")
        assert await reader.ends([place]) == {place: 41}
        assert await unsettled(reader, [place], 0.05) == [place]
        monkeypatch.setattr(settling, "_LONGEST_S", 0.05)
        with pytest.raises(KafkaError, match="a transaction of somebody else is open in it"):
            await settle(reader, [place])
        monkeypatch.setattr(settling, "_LONGEST_S", 25.0)
        waiting = asyncio.create_task(settle(reader, [place]))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await producer.commit_transaction()
        await waiting
        assert (await reader.bounds([place]))[place][1] == 42
    finally:
        await producer.stop()
        await reader.close()
