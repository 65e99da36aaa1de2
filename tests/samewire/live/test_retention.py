"""A journal whose beginning expires: who needs the whole of it does not start, and a reader is told in time."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from adapters.kafka.layout import Cluster, Described, kept_ms
from adapters.kafka.topics import Topic
from adapters.kafka.transport import Place, Producer, Reader
from engine.clock import SystemClock
from samewire.connection import settings_of
from samewire.live.daemon import Daemon
from samewire.live.manner import Manner
from tests.samewire.livened import Ground

YEAR_MS = 366 * 86_400_000
JOURNAL = "dev.journal.quick.v1"


@pytest.mark.parametrize(
    ("described", "ms"),
    [
        (Described(partitions=1, replicas=1, settings={"retention.ms": "5"}), 5),
        (Described(partitions=1, replicas=1, settings={"retention.ms": "-1"}), -1),
        (Described(partitions=1, replicas=1), 604_800_000),
        (Described(partitions=1, replicas=1, settings={"retention.ms": "5", "cleanup.policy": "compact"}), -1),
        (Described(partitions=1, replicas=1, unreadable="no"), -1),
        (None, -1),
    ],
)
def test_how_long_a_topic_keeps_a_record(described: Described | None, ms: int) -> None:
    topics = {} if described is None else {JOURNAL: described}
    assert kept_ms(JOURNAL, Cluster(id="c", brokers=1, topics=topics)) == ms


async def keep(ground: Ground, ms: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=ground.kafka)
    await admin.start()
    journal = str(Topic(ground.env, "journal", "quick"))
    changed = ConfigResource(
        ConfigResourceType.TOPIC, journal, configs={"retention.ms": str(ms), "max.message.bytes": "8388608"}
    )
    await admin.alter_configs([changed])
    await admin.close()


def command(ground: Ground, name: str, *more: str) -> subprocess.CompletedProcess[str]:
    where = ["--set", f"live.env={ground.env}", "--set", f"live.servers='{ground.kafka}'"]
    said = [sys.executable, "-m", "samewire", name, str(ground.file), *where, *more]
    environ = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    return subprocess.run(said, capture_output=True, text=True, check=False, env=environ, timeout=120)


async def test_a_session_that_needs_its_whole_journal_does_not_start_where_its_beginning_will_expire(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    ground = Ground(kafka, topic_prefix, tmp_path)
    text = ground.file.read_text().replace(
        "{use: topk_dropout, topk: 2, n_drop: 1}", '{use: "tests.samewire.own:Equal"}'
    )
    ground.file.write_text(text.replace("start: 2018-03-01,", "start: 2018-03-01, end: 2018-03-09,"))
    assert command(ground, "topics", "--create", "--partitions", "2").returncode == 0
    await ground.feed("2018-03-01", "2018-03-09")
    await keep(ground, YEAR_MS)
    refused = command(ground, "live")
    assert refused.returncode == 5, refused.stderr
    assert "strategy cannot save: a restart runs the session again from its first step" in refused.stderr
    assert "--add-config retention.ms=-1" in refused.stderr
    assert await ground.steps() == [], "nothing was begun"
    await keep(ground, -1)
    assert command(ground, "live").returncode == 0


async def expire(ground: Ground) -> None:
    """Deletes the first step of the journal."""
    admin = AIOKafkaAdminClient(bootstrap_servers=ground.kafka)
    await admin.start()
    await admin.delete_records(
        {TopicPartition(str(Topic(ground.env, "journal", "quick")), 0): RecordsToDelete(before_offset=1)}
    )
    await admin.close()


async def test_status_tells_that_the_beginning_of_a_journal_expires_and_fetch_what_to_do_once_it_did(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    ground = Ground(kafka, topic_prefix, tmp_path)
    ground.file.write_text(ground.file.read_text().replace("start: 2018-03-01,", "start: 2018-03-01, end: 2018-03-09,"))
    assert command(ground, "topics", "--create", "--partitions", "2").returncode == 0
    await ground.feed("2018-03-01", "2018-03-09")
    age = SystemClock().now_ns() // 10**6 - 1_519_862_400_000
    await keep(ground, round(age / 0.93))
    begun = command(ground, "live")
    assert begun.returncode == 0
    assert begun.stderr.count("session.beginning_expires") == 1
    await keep(ground, -1)
    assert json.loads(command(ground, "status", "--format", "json").stdout)["warning"] == ""
    age = SystemClock().now_ns() // 10**6 - (await ground.read("journal", "quick"))[0].timestamp
    await keep(ground, round(age / 0.89))
    assert json.loads(command(ground, "status", "--format", "json").stdout)["warning"] == ""
    await keep(ground, round(age / 0.91))
    seen = command(ground, "status")
    assert seen.returncode == 0
    assert "the first step of the session expires at 20" in seen.stdout
    assert "read it back before with samewire fetch" in seen.stdout
    await keep(ground, -1)
    await expire(ground)
    assert "the first step of the session is gone" in command(ground, "status").stdout
    lost = command(ground, "fetch", "--out", str(tmp_path / "out"))
    assert lost.returncode == 3
    assert "step 1 of session quick is not there any more" in lost.stderr
    assert "retention.ms=-1" in lost.stderr


class Trailing(Reader):
    """A reader whose partitions end, as far as it sees, where they did at its first look; `ends` looks again."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.seen: dict[Place, tuple[int, int]] = {}

    async def bounds(self, places: Sequence[Place]) -> dict[Place, tuple[int, int]]:
        self.seen = await super().bounds(places) | self.seen
        return {place: self.seen[place] for place in places}

    async def ends(self, places: Sequence[Place]) -> dict[Place, int]:
        self.seen.clear()
        return await super().ends(places)


async def test_a_new_session_hears_of_its_beginning_where_its_first_commit_is_seen_late(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    ground = Ground(kafka, topic_prefix, tmp_path)
    await ground.topics()
    await ground.feed("2018-03-01", "2018-03-05")
    run, told = ground.run("session.end=2018-03-05"), list[str]()
    settings = settings_of(run)
    options = settings.client_options()
    daemon = Daemon(
        run, settings, outbox=Producer(options, settings.transaction_name("quick")), reader=Trailing(options),
        clock=SystemClock(), manner=Manner(journal_ms=YEAR_MS), tell=lambda event, **said: told.append(event),
    )  # fmt: skip
    await asyncio.wait_for(daemon.run(), 60)
    assert told.count("session.beginning_expires") == 1
