"""Live sessions of tests on a real broker, in this process: their topics, their bars, and daemons that die."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from adapters.kafka.live_record import Step, step_of
from adapters.kafka.topics import Topic
from adapters.kafka.transport import Producer, Reader
from engine.clock import SystemClock
from engine.journal_reading import Reader as JournalReader
from engine.journal_reading import Record
from samewire.cli import main
from samewire.connection import settings_of
from samewire.live.daemon import Daemon
from samewire.live.operating import Addressed, Operator
from samewire.schema import load_run

RUN = """\
schema: 1
session: {name: quick, cash: 1_000_000, start: 2018-03-01, seed: 7}
feed: {use: sample, symbols: 8, years: 1}
features: [{name: own, use: rolling, windows: [2, 3]}]
models: [{name: lin, use: linear, features: own, train: {until: 2018-02-20, least: 20}}]
strategy: {use: topk_dropout, topk: 2, n_drop: 1}
optimizer: direct
broker: {use: simulated, fill: next_open, costs: {commission_bps: 5}}
live: {dev: true, health_s: 1}
"""
OWN = ("journal", "snapshots", "deadletter", "status", "control")
ACCOUNT = ("orders", "fills", "refusals")


class Ground:
    """A run file, an environment of its own on the broker, and its topics."""

    def __init__(self, kafka: str, env: str, folder: Path) -> None:
        self.kafka, self.env, self.file = kafka, env, folder / "run.yaml"
        self.task: Any = None  # of the daemon that runs
        self.file.write_text(RUN)

    def run(self, *changes: str) -> Any:
        return load_run(self.file, [f"live.env={self.env}", f"live.servers='{self.kafka}'", *changes])

    async def topics(self, *, partitions: int = 2) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        named = [("late", "1d"), ("signals", "lin"), ("targets", "strategy")]
        named += [(kind, "quick") for kind in OWN] + [(kind, "paper") for kind in ACCOUNT]
        config = {"retention.ms": "-1"}
        new = [NewTopic(str(Topic(self.env, *each)), 1, 1, topic_configs=config) for each in named]
        bars = NewTopic(str(Topic(self.env, "bars", "1d")), partitions, 1, topic_configs=config)
        await admin.create_topics([*new, bars])
        await admin.close()

    async def feed(self, first: str, last: str, *faults: str) -> None:
        """Publishes the bars of these days."""
        days = ["--set", f"session.start={first}", "--set", f"session.end={last}", "--partitions", "2"]
        where = ["--env", self.env, "--kafka", self.kafka, "--format", "json"]
        assert await asyncio.to_thread(main, ["feed", str(self.file), *days, *where, *faults]) == 0

    def operator(self) -> Operator:
        where = Addressed(session="quick", env=self.env, health_s=1.0)
        return Operator({"bootstrap_servers": [self.kafka]}, where, SystemClock())

    @contextlib.asynccontextmanager
    async def daemon(self, *changes: str) -> AsyncIterator[Daemon]:
        """Runs one; at the end of the block it dies where it stands, unless it was told to stop before."""
        run = self.run(*changes)
        settings = settings_of(run)
        options = settings.client_options()
        outbox, reader = Producer(options, settings.transaction_name("quick")), Reader(options)
        daemon = Daemon(run, settings, outbox=outbox, reader=reader, clock=SystemClock())
        self.task = task = asyncio.create_task(daemon.run())
        try:
            done, _ = await asyncio.wait({task, daemon.ready}, return_when=asyncio.FIRST_COMPLETED, timeout=60)
            if task in done:
                task.result()
            yield daemon
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def until(self, slices: int) -> None:
        """Waits until the journal holds so many slices."""
        for _ in range(300):
            steps = await self.steps()
            if steps and steps[-1].tally["slices"] >= slices:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"not {slices} slices within 30 s: {steps[-1].tally if steps else 'none'}")

    async def steps(self) -> list[Step]:
        topic = str(Topic(self.env, "journal", "quick"))
        return [step_of(record.value, topic, record.offset) for record in await self.read("journal", "quick")]

    async def records(self) -> list[Record]:
        """Every event of the journal."""
        journal, found = JournalReader(), list[Record]()
        for step in await self.steps():
            for block in step.blocks:
                run = journal.read(block)
                found += [] if run is None else run.records
        return found

    async def read(self, kind: str, name: str) -> list[Any]:
        """All records of a topic of one partition."""
        place = TopicPartition(str(Topic(self.env, kind, name)), 0)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka, isolation_level="read_committed", enable_auto_commit=False
        )
        await consumer.start()
        try:
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            end, found = (await consumer.end_offsets([place]))[place], []
            while await consumer.position(place) < end:
                found += (await consumer.getmany(timeout_ms=500)).get(place, [])
        finally:
            await consumer.stop()
        return found
