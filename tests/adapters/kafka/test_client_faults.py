"""What the port makes of a cluster that misbehaves: what passes is waited for, all else ends the process."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from adapters.kafka.address import KafkaError
from adapters.kafka.client import FencedError, Seldom
from adapters.kafka.codec import Record
from adapters.kafka.transport import Producer, Reader, transact
from tests.adapters.kafka import mock_cluster as mock
from tests.adapters.kafka.mock_cluster import MockCluster

NAME = "samewire.dev.faults"


@pytest.fixture(scope="module")
def cluster() -> Iterator[MockCluster]:
    made = MockCluster(3)
    for topic in ("a", "b"):
        made.topic(topic)
    yield made
    made.close()


@pytest.fixture
async def outbox(cluster: MockCluster) -> AsyncIterator[Producer]:
    made = Producer({"bootstrap_servers": cluster.address}, NAME)
    await made.start()
    await transact(made, records(1))
    yield made
    cluster.mend()
    await made.close()


def records(count: int) -> list[Record]:
    return [Record(topic="ab"[k % 2], key=b"k", value=b"%d" % k, headers=(), timestamp_ms=1_000) for k in range(count)]


@pytest.mark.parametrize(
    ("request_kind", "codes"),
    [
        (mock.PRODUCE, (mock.NOT_LEADER, mock.NOT_LEADER)),
        (mock.PRODUCE, (mock.TIMED_OUT,)),
        (mock.PRODUCE, (mock.DROPPED,)),
        (mock.ADD_PARTITIONS, (mock.CONCURRENT, mock.CONCURRENT, mock.COORDINATOR_LOADING)),
        (mock.ADD_PARTITIONS, (mock.NOT_COORDINATOR,)),
        (mock.ADD_PARTITIONS, (mock.DROPPED,)),
        (mock.END_TXN, (mock.NO_COORDINATOR, mock.CONCURRENT)),
        (mock.END_TXN, (mock.DROPPED,)),
    ],
)
async def test_what_passes_is_waited_for(
    cluster: MockCluster, outbox: Producer, request_kind: int, codes: tuple[int, ...]
) -> None:
    cluster.fail(request_kind, *codes)
    offsets = await transact(outbox, records(4))
    assert offsets[2] == offsets[0] + 1
    assert offsets[3] == offsets[1] + 1


async def test_leaders_and_coordinators_may_move_and_brokers_be_slow_or_away(
    cluster: MockCluster, outbox: Producer
) -> None:
    for broker in (1, 2, 3):
        cluster.coordinate(NAME, broker)
        cluster.lead("a", broker)
        assert len(await transact(outbox, records(4))) == 4
    cluster.slow(3, 300)
    assert len(await transact(outbox, records(2))) == 2
    cluster.slow(3, 0)
    cluster.down(3)
    asyncio.get_running_loop().call_later(0.5, cluster.up, 3)
    assert len(await transact(outbox, records(2))) == 2


@pytest.mark.parametrize("request_kind", [mock.PRODUCE, mock.ADD_PARTITIONS, mock.END_TXN])
async def test_a_fenced_producer_is_never_started_again(
    cluster: MockCluster, outbox: Producer, request_kind: int
) -> None:
    cluster.fail(request_kind, mock.INVALID_EPOCH)
    with pytest.raises(FencedError, match="do not restart it") as told:
        await transact(outbox, records(2))
    assert told.value.exit_code == 6
    with pytest.raises(KafkaError):  # and no transaction of it begins again
        await transact(outbox, records(2))


async def test_who_sends_while_the_fence_falls_is_told_of_the_fence(cluster: MockCluster, outbox: Producer) -> None:
    await outbox.begin()
    cluster.fail(mock.ADD_PARTITIONS, mock.INVALID_EPOCH)
    first = await outbox.send(records(1)[0])
    await asyncio.wait_for(asyncio.shield(asyncio.gather(first, return_exceptions=True)), 5)
    with pytest.raises(FencedError, match="do not restart it"):
        await outbox.send(records(1)[0])


async def test_a_fence_behind_a_transaction_that_took_too_long_is_nobody_elses_doing(
    cluster: MockCluster, outbox: Producer
) -> None:
    await outbox.begin()
    outbox._begun -= 11_000_000_000
    cluster.fail(mock.PRODUCE, mock.INVALID_EPOCH)
    with pytest.raises(KafkaError, match="start again") as told:
        await (await outbox.send(records(1)[0]))
    assert told.value.exit_code == 5


async def test_a_refused_record_fails_its_transaction(cluster: MockCluster, outbox: Producer) -> None:
    cluster.fail(mock.PRODUCE, mock.TOO_LARGE)
    with pytest.raises(KafkaError, match="MessageSizeTooLarge"):
        await transact(outbox, records(2))


async def test_a_transaction_that_does_not_end_is_given_up(
    cluster: MockCluster, outbox: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.kafka.transport._STUCK_S", 0.2)
    cluster.fail(mock.END_TXN, *[mock.COORDINATOR_LOADING] * 500)
    with pytest.raises(KafkaError, match="not known"):
        await transact(outbox, records(2))


async def test_a_reader_gets_over_lost_connections_and_leaders(cluster: MockCluster) -> None:
    from aiokafka import AIOKafkaProducer

    cluster.topic("plain")
    reader, plain = Reader({"bootstrap_servers": cluster.address}), AIOKafkaProducer(bootstrap_servers=cluster.address)
    await plain.start()
    await reader.start()
    try:
        await reader.assign({("plain", 0): 0})
        found: list[bytes | None] = []
        for k, codes in enumerate([(mock.NOT_LEADER,) * 3, (mock.DROPPED,), (mock.TIMED_OUT,)]):
            cluster.fail(mock.FETCH, *codes)
            await plain.send_and_wait("plain", b"%d" % k)
            async with asyncio.timeout(5):
                while len(found) <= k:
                    found += [record.value for record in (await reader.poll()).get(("plain", 0), ())]
        assert found == [b"0", b"1", b"2"]
    finally:
        await reader.close()
        await plain.stop()


def test_a_client_that_repeats_itself_is_heard_once() -> None:
    log, heard = logging.getLogger("aiokafka.of-a-test"), list[str]()
    seldom = Seldom()
    for k in range(300):
        said = log.makeRecord(log.name, logging.ERROR, "", 0, "no connection to %s", (k,), None)
        if seldom(said):
            heard.append(said.getMessage())
    assert heard == ["no connection to 0"]
