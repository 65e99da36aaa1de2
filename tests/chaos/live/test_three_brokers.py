"""A session on three brokers, three copies of everything, two of which must have a record: any one of them may die."""

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from engine.clock import SystemClock
from tests.chaos.live.campaign import told
from tests.chaos.live.conftest import Calm, Grounds
from tests.chaos.live.ground import NO_DIFFERENCE, SESSION, Ground, bars_topic, compare
from tests.chaos.live.market import Market, bars
from tests.chaos.live.test_hardships import await_said


async def leaders(ground: Ground) -> tuple[int, int, int]:
    """The nodes that coordinate the session's transactions, lead its journal, and lead its first bars; now."""
    from aiokafka import AIOKafkaProducer, TopicPartition
    from aiokafka.client import CoordinationType

    producer = AIOKafkaProducer(bootstrap_servers=ground.address)
    await producer.start()
    try:
        journal = f"{ground.env}.journal.{SESSION}.v1"
        await producer.client.set_topics([journal, bars_topic(ground.env)])
        name = f"samewire.{ground.env}.{SESSION}"
        cluster = producer.client.cluster
        return (
            await producer.client.coordinator_lookup(CoordinationType.TRANSACTION, name),
            cluster.leader_for_partition(TopicPartition(journal, 0)),
            cluster.leader_for_partition(TopicPartition(bars_topic(ground.env), 0)),
        )
    finally:
        await producer.stop()


async def copies(ground: Ground) -> dict[str, tuple[int, int]]:
    """Of each topic of the session: copies, and those that are up to date."""
    from aiokafka.admin import AIOKafkaAdminClient

    admin = AIOKafkaAdminClient(bootstrap_servers=ground.address)
    await admin.start()
    try:
        found = await admin.describe_topics([bars_topic(ground.env), f"{ground.env}.journal.{SESSION}.v1"])
        parts = {each["topic"]: each["partitions"] for each in found}
        return {
            name: (min(len(p["replicas"]) for p in each), min(len(p["isr"]) for p in each))
            for name, each in parts.items()
        }
    finally:
        await admin.close()


def await_whole(ground: Ground) -> None:
    for _ in range(240):
        if set(asyncio.run(copies(ground)).values()) == {(3, 3)}:
            return
        time.sleep(0.5)
    raise AssertionError(f"not all copies are up to date: {asyncio.run(copies(ground))}")


def alive(pid: int) -> bool:
    """A daemon that has ended stays for the moment in which its parent has not looked."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.long
@pytest.mark.usefixtures("java")
def test_the_death_of_the_coordinator_and_of_leaders_loses_and_doubles_nothing(
    calm: Calm, grounds: Grounds, tmp_path: Path
) -> None:
    from tools.kafka.cluster import Cluster

    market = Market(slices=200)
    undisturbed, cluster = calm(market), Cluster(tmp_path / "three")
    try:
        address, there = cluster.start(), grounds(market)
        ground = Ground(address, there.env, market, tmp_path, there.victims, copies=3)
        ground.prepare(batch_ms=0, servers=address)
        await_whole(ground)
        rows = bars(market)
        third = len(rows) // 3 + 1
        pid = ground.victims.start(ground.order())
        codes, killed = list[int](), list[int]()
        await_said(ground, "session.ready")
        clock, slow = SystemClock(), list[float]()
        begun = clock.monotonic_ns()
        for role in range(3):
            part = rows[role * third : (role + 1) * third]
            feeding = threading.Thread(target=ground.publish, args=(part, 300.0))  # for eleven seconds
            feeding.start()
            time.sleep(3.0)
            killed.append(asyncio.run(leaders(ground))[role])
            cluster.kill(killed[-1])
            time.sleep(8.0)  # the others take over
            if not alive(pid):
                codes.append(ground.victims.code(pid))
                pid = ground.victims.start(ground.order())
            at = clock.monotonic_ns()
            cluster.start()
            await_whole(ground)
            slow.append(round((clock.monotonic_ns() - at) / 1e9, 1))
            feeding.join()
        while (code := ground.victims.code(pid)) == 5 and len(codes) < 8:
            codes.append(code)
            pid = ground.victims.start(ground.order())
        assert (code, set(codes) <= {5}) == (0, True), told(ground)
        found = ground.left()
        print(  # noqa: T201 - the figures of a long run
            f"coordinator {killed[0]}, journal {killed[1]}, bars {killed[2]} killed; daemon ended with {codes} and 0; "
            f"{len(found.steps)} steps in {(clock.monotonic_ns() - begun) / 1e9:.0f} s; all copies back after {slow} s"
        )
        assert compare(undisturbed, found) == NO_DIFFERENCE
    finally:
        cluster.destroy()
