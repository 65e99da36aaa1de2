"""Topics made and described on a real broker, and what a single one can show of the things that are refused."""

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from aiokafka.admin import NewTopic

from adapters.kafka.address import KafkaError
from adapters.kafka.admin import administration, create, describe, known, make
from adapters.kafka.checks import Start, check
from adapters.kafka.layout import REQUIRED_BYTES, Wanted, wanted
from adapters.kafka.settings import Kafka
from adapters.kafka.topics import KINDS, Topic
from engine.secret import Secret


def layout(env: str) -> tuple[Wanted, ...]:
    return tuple(wanted(str(Topic(env, kind, "x")), snapshot_ns=10**9) for kind in KINDS)


async def test_what_is_made_is_what_is_described_and_nothing_speaks_against_it(kafka: str, topic_prefix: str) -> None:
    settings, asked = Kafka(servers=kafka, env=topic_prefix, dev=True), layout(topic_prefix)
    names = [each.topic for each in asked]
    before = await describe(settings, names)
    assert (before.topics, before.brokers, before.auto_create, len(before.id)) == ({}, 1, False, 22)
    async with administration(settings.client_options()) as admin:
        assert await create(admin, asked, brokers=1, dev=True) == tuple(names)
        assert await create(admin, asked, brokers=1, dev=True) == ()
    cluster = await check(settings, Start(session="quick", wanted=asked, cluster=before.id))
    assert list(cluster.topics) == sorted(names)
    for each in asked:
        found = cluster.topics[each.topic]
        assert (found.partitions, found.replicas, found.unreadable) == (each.partitions, 1, "")
        assert found.settings["cleanup.policy"] == each.cleanup
    journal = cluster.topics[str(Topic(topic_prefix, "journal", "x"))].settings
    assert journal["max.message.bytes"] == str(REQUIRED_BYTES)
    assert set(journal) == {
        "cleanup.policy",
        "retention.ms",
        "min.insync.replicas",
        "max.message.bytes",
        "message.timestamp.type",
        "unclean.leader.election.enable",
    }


async def test_all_that_a_broker_shows_to_be_wrong_is_refused_at_once(kafka: str, topic_prefix: str) -> None:
    settings, asked = Kafka(servers=kafka, env=topic_prefix, dev=True), layout(topic_prefix)
    bad: dict[str, tuple[int, dict[str, str]]] = {
        "bars": (3, {"retention.ms": "1000", "message.timestamp.type": "LogAppendTime"}),
        "orders": (2, {"cleanup.policy": "compact"}),
        "journal": (1, {"cleanup.policy": "compact,delete", "max.message.bytes": "1000000"}),
        "snapshots": (1, {"cleanup.policy": "compact"}),
    }
    names = {kind: str(Topic(topic_prefix, kind, "x")) for kind in bad}
    async with administration(settings.client_options()) as admin:
        await admin.create_topics([NewTopic(names[k], n, 1, topic_configs=said) for k, (n, said) in bad.items()])
        await known(admin, {names[kind]: count for kind, (count, _) in bad.items()})
    start = Start(session="quick", wanted=asked, cluster="other", partitions={f"{topic_prefix}.bars.x.v1": 4})
    with pytest.raises(KafkaError) as caught:
        await check(settings, start)
    said = str(caught.value)
    missing = [each.topic for each in asked if each.kind not in bad]
    expected = [
        "the session's journal is of other",
        f"{topic_prefix}.bars.x.v1: retention.ms is 1,000",
        f"{topic_prefix}.bars.x.v1: message.timestamp.type is LogAppendTime",
        f"{topic_prefix}.bars.x.v1: it has 3 partitions, and 4 when",
        f"{topic_prefix}.orders.x.v1: it has 2 partitions, and the order",
        f"{topic_prefix}.orders.x.v1: cleanup.policy is compact",
        f"{topic_prefix}.journal.x.v1: cleanup.policy is compact,delete",
        f"{topic_prefix}.journal.x.v1: max.message.bytes is 1,000,000",
        f"{topic_prefix}.snapshots.x.v1: max.message.bytes is 1,048,588",
        *(f"{name}: it is missing" for name in missing),
    ]
    assert [each for each in expected if each not in said] == []
    assert said.startswith(f"kafka: {len(said.splitlines()) - 1} things are wrong")
    with pytest.raises(KafkaError) as caught:
        await check(replace(settings, dev=False), msgspec.structs.replace(start, cluster=""))
    assert f"{topic_prefix}.orders.x.v1: it has a replication factor of 1, needed are 3" in str(caught.value)
    assert f"{topic_prefix}.journal.x.v1: min.insync.replicas is 1, needed are 2" in str(caught.value)


async def test_what_the_broker_does_not_make_is_told_with_its_reason(kafka: str, topic_prefix: str) -> None:
    each = wanted(f"{topic_prefix}.orders.x.v1")
    async with administration(Kafka(servers=kafka).client_options()) as admin:
        with pytest.raises(KafkaError, match=rf"topic {each.topic}: it could not be made: .*replication factor.* 2"):
            await make(admin, each, brokers=2, dev=False)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"servers": "127.0.0.1:1"}, "127.0.0.1:1 connection refused"),
        ({"servers": "127.0.0.1:1", "security": "ssl"}, "127.0.0.1:1 connect call failed"),
        ({"security": "ssl"}, "see live.security"),
        ({"security": "sasl_plaintext", "username": "jane", "password": "opensesame"}, "see live"),
    ],
)
async def test_a_connection_that_is_not_taken_is_told_by_server_and_reason(
    options: dict[str, Any], why: str, kafka: str
) -> None:

    given = {"servers": kafka} | options
    if "password" in given:
        given["password"] = Secret(given["password"])
    with pytest.raises(KafkaError) as caught:
        await asyncio.wait_for(describe(Kafka(**given), ["a"]), 20)
    assert why in str(caught.value)
    assert "opensesame" not in str(caught.value)
