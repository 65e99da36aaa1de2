"""What a session says of its artefacts in every step does not grow with the models that are trained again."""

import asyncio

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from adapters.kafka.blobs import Blobs, name_in
from adapters.kafka.codec import Record
from adapters.kafka.transport import Producer, Reader
from samewire.live.keeping import ARTEFACT, MANIFEST, STATE
from samewire.live.recovery import unneeded
from samewire.live.writing import ARTEFACTS, Names, Writer


class Box:
    """An outbox that counts offsets."""

    def __init__(self) -> None:
        self._next = 0

    async def start(self) -> None: ...
    async def begin(self) -> None: ...
    async def send(self, record: Record, /) -> "asyncio.Future[int]":
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(self._next)
        self._next += 1
        return future

    async def commit(self) -> None: ...
    async def succeeded(self) -> bool:
        return False

    async def close(self) -> None: ...


NAMES = Names(
    session="s", run_id="r", config="c", code="d", writer="w", cluster="k", journal="j", snapshots="n",
    deadletter="l", status="t", control="o", bars={},
)  # fmt: skip


async def test_a_step_names_the_artefacts_of_the_beginning_and_the_last_few() -> None:
    writer = Writer(Box(), NAMES)
    writer.lasting = frozenset({ARTEFACT + "first"})
    for name in (MANIFEST, ARTEFACT + "first", ARTEFACT + "0"):
        writer.blob(name, b"x", 0)
    await writer.commit()
    for k in range(1, 40):
        writer.blob(f"{ARTEFACT}{k}", b"x", 0)
        writer.blob(STATE, b"x", 0)
        await writer.commit()
    writer.blob(ARTEFACT + "0", b"x", 0)  # swapped back to: it is the last again
    await writer.commit()
    last = [ARTEFACT + str(k) for k in (*range(41 - ARTEFACTS, 40), 0)]
    assert set(writer.kept) == {MANIFEST, STATE, ARTEFACT + "first", *last}


async def test_artefacts_that_nobody_can_ask_for_are_taken_out_of_the_topic_and_no_other(
    kafka: str, topic_prefix: str
) -> None:
    options, names = {"bootstrap_servers": kafka}, msgspec.structs.replace(NAMES, snapshots=topic_prefix)
    admin = AIOKafkaAdminClient(**options)
    await admin.start()
    await admin.create_topics([NewTopic(topic_prefix, 1, 1, topic_configs={"cleanup.policy": "compact"})])
    await admin.close()
    outbox, reader = Producer(options, topic_prefix), Reader(options)
    await outbox.start()
    await reader.start()
    writer = Writer(outbox, names)
    writer.lasting = frozenset({ARTEFACT + "first"})
    large = b"x" * 600_000  # two chunks
    for name in (MANIFEST, *(ARTEFACT + each for each in ("first", "again", *map(str, range(20))))):
        writer.blob(name, large, 0)
        await writer.commit()
    writer.blob(STATE, b"x", 0)
    for name in ("again", *map(str, range(20, 32))):  # more than a step names, and all of them read by a restart
        writer.blob(ARTEFACT + name, large, 0)
        await writer.commit()
    taken = await unneeded(reader, topic_prefix, writer.kept, 0)
    assert {name_in(record.key) for record in taken} == {ARTEFACT + str(k) for k in range(20)}
    assert len(taken) == 40
    writer.add(taken)
    await writer.commit()
    assert await unneeded(reader, topic_prefix, writer.kept, 0) == []

    place, blobs = (topic_prefix, 0), Blobs(topic_prefix)
    first, end = (await reader.bounds([place]))[place]
    async for record in reader.read(place, first, end):
        blobs.add(record)
    left = [ARTEFACT + each for each in ("first", "again", *map(str, range(20, 32)))]
    assert set(blobs.found) == {MANIFEST, STATE, *left}
    await reader.close()
    await outbox.close()
