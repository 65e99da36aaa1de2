"""What `samewire feed` publishes, read back from a real broker by a plain client."""

import asyncio
import datetime as dt
import heapq
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from jsonschema import Draft202012Validator

from adapters.calendars.compiled import sessions_of
from adapters.kafka.address import KafkaError
from adapters.kafka.asyncapi import json_schema
from adapters.kafka.codec import Codec, Origin, Record
from adapters.kafka.faults import Faults, Tally, schedule
from adapters.kafka.publish import Publisher
from adapters.kafka.settings import Kafka
from engine.clock import SystemClock
from engine.cuts import CutRules
from engine.events import DAY_NS, HOUR_NS, Bars
from engine.slice_ends import TradingDays
from engine.slicer import Slicer
from samewire import load_run
from samewire.cli import main
from samewire.commands.feed import pace_of
from samewire.prepare import feed_of, walk_of

RUN = """\
schema: 1
session: {name: quick, cash: 1_000_000, start: 2018-01-02, end: 2018-03-29}
feed: {use: sample, symbols: 12, years: 1}
models: [{use: momentum, window: 5}]
strategy: {use: topk_dropout, topk: 4, n_drop: 1}
optimizer: direct
broker: {use: simulated, fill: next_open, costs: {commission_bps: 5}}
"""


@pytest.fixture
def run_file(tmp_path: Path) -> str:
    (tmp_path / "run.yaml").write_text(RUN)
    return str(tmp_path / "run.yaml")


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["feed", *arguments, "--format", "json"])
    return code, json.loads(capsys.readouterr().out)


async def read(address: str, topic: str, partitions: int) -> dict[int, list[Any]]:
    """All records of a topic by partition, as they lie there."""
    found: dict[int, list[Any]] = defaultdict(list)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address, isolation_level="read_committed", auto_offset_reset="none", enable_auto_commit=False
    )
    await consumer.start()
    try:
        places = [TopicPartition(topic, k) for k in range(partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for place, records in (await consumer.getmany(timeout_ms=1000)).items():
                found[place.partition] += records
    finally:
        await consumer.stop()
    return found


async def test_a_faulty_feed_is_read_back_bar_by_bar(
    kafka: str, topic_prefix: str, run_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = Faults(delay=0.05, reorder=0.2, duplicate=0.05, correct=0.05, drop=0.02, seed=5)
    shares = ["--delay=0.05", "--reorder=0.2", "--duplicate=0.05", "--correct=0.05", "--drop=0.02", "--seed=5"]
    arguments = [run_file, "--kafka", kafka, "--env", topic_prefix, "--partitions", "3", *shares]
    code, said = await asyncio.to_thread(told, capsys, *arguments)
    assert code == 0
    run = load_run(run_file)
    codec, tally = Codec(topic_prefix, feed_of(run).universe, Origin(daemon="quick")), Tally()
    slices = (event for event in walk_of(run)() if isinstance(event, Bars))
    expected = [codec.bar(sending.bar) for sending in schedule(slices, faults, tally)]
    topic = f"{topic_prefix}.bars.1d.v1"
    assert said["topics"] == {topic: len(expected)}
    assert (said["bars"], said["dropped"], said["corrected"]) == (tally.bars, tally.dropped, tally.corrected)
    assert min(tally.dropped, tally.delayed, tally.duplicated, tally.corrected, tally.reordered) > 0

    found = await read(kafka, topic, 3)
    assert len(found) == 3  # twelve instruments are enough for each partition to have one
    homes = {record.key: k for k, records in found.items() for record in records}
    for k, records in found.items():
        there = [(r.key, r.value, r.timestamp) for r in records]
        assert there == [(r.key, r.value, r.timestamp_ms) for r in expected if homes[r.key] == k]
    assert sum(map(len, found.values())) == len(expected)
    valid = Draft202012Validator(json_schema("bars"))
    for record in found[0]:
        assert valid.is_valid(json.loads(record.value))
        assert dict(record.headers)["ce_type"] == b"samewire.bars.bar.v1"
    read_back = [codec.bar_of(record.value) for record in found[0]]
    assert [codec.bar(bar).value for bar in read_back] == [record.value for record in found[0]]


async def test_slices_cut_from_the_topic_are_those_of_the_file(
    kafka: str, topic_prefix: str, run_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Read by partition, out of order and doubled, and put together again by the slicer: the same bits."""
    longer = ["session.end=2018-06-29", "feed.symbols=30"]  # long enough for missing bars; without a half day
    shares = ["--reorder=1", "--duplicate=0.3", "--delay-s=600", "--seed=2", *(f"--set={each}" for each in longer)]
    arguments = [run_file, "--kafka", kafka, "--env", topic_prefix, "--partitions", "3", *shares]
    code, said = await asyncio.to_thread(told, capsys, *arguments)
    assert code == 0
    run = load_run(run_file, longer)
    universe = feed_of(run).universe
    codec = Codec(topic_prefix, universe, Origin(daemon="reader"))
    recorded = [event for event in walk_of(run)() if isinstance(event, Bars)]
    days = sessions_of("XNYS", dt.date(2018, 1, 2), dt.date(2018, 6, 29))
    slicer = Slicer(
        universe=universe,
        ends={DAY_NS: TradingDays(DAY_NS, days)},
        start=recorded[0].opened,
        rules=CutRules(deadline_ns=HOUR_NS, absent_after=0),
    )
    partitions = (await read(kafka, f"{topic_prefix}.bars.1d.v1", 3)).values()
    cut: list[Any] = []
    for record in heapq.merge(*partitions, key=lambda record: record.timestamp):
        bar = codec.bar_of(record.value)
        cut += slicer.offer(bar, bar.ts + 1)
    cut += slicer.advance(recorded[-1].ts + HOUR_NS)
    # The copy of a halt that comes when its slice has been cut is counted as one that has nothing to keep.
    assert slicer.counts.duplicates + slicer.counts.unfit == said["duplicated"] > 0
    assert slicer.counts.late == slicer.counts.outside == 0
    slices = [event for event in cut if isinstance(event, Bars)]
    assert [each.ts for each in slices] == [each.ts for each in recorded]
    assert any((each.status != 0).any() for each in recorded)
    for ours, theirs in zip(slices, recorded, strict=True):
        assert (ours.opened, ours.interval_ns) == (theirs.opened, theirs.interval_ns)
        for name in ("status", "open", "high", "low", "close", "volume", "vwap"):
            assert getattr(ours, name).tobytes() == getattr(theirs, name).tobytes(), name


async def test_another_number_of_partitions_is_refused(kafka: str, topic_prefix: str) -> None:
    record = Record(topic=f"{topic_prefix}.bars.1d.v1", key=b"A", value=b"{}", headers=(), timestamp_ms=1)
    async with Publisher(Kafka(servers=kafka), partitions=2, clock=SystemClock()) as publisher:
        await publisher.send(record)
    assert publisher.topics == {record.topic: 1}
    with pytest.raises(
        KafkaError, match="it has 2 partitions, asked were 3; say --partitions 2, or publish to another"
    ):
        async with Publisher(Kafka(servers=kafka), partitions=3, clock=SystemClock()) as other:
            await other.send(record)


async def test_a_record_that_the_broker_refuses_is_an_error_and_not_a_silence(kafka: str, topic_prefix: str) -> None:
    topic = f"{topic_prefix}.bars.1d.v1"
    await made(kafka, topic, {"max.message.bytes": "1000", "retention.ms": "-1"})
    record = Record(topic=topic, key=b"A", value=b"{}", headers=(), timestamp_ms=1)
    large = Record(topic=topic, key=b"A", value=b"x" * 5000, headers=(), timestamp_ms=1)
    with pytest.raises(KafkaError, match="kafka: .*publishing stopped"):
        await sent(kafka, record, large)
    huge = Record(topic=topic, key=b"A", value=b"x" * 2_000_000, headers=(), timestamp_ms=1)
    with pytest.raises(KafkaError, match="kafka: .*publishing stopped"):
        await sent(kafka, huge)
    assert [r.value for r in (await read(kafka, topic, 1))[0]] == [b"{}"]


async def test_history_is_not_published_to_where_it_would_be_deleted(kafka: str, topic_prefix: str) -> None:
    topic, now_ms = f"{topic_prefix}.bars.1d.v1", SystemClock().now_ns() // 1_000_000
    await made(kafka, topic, {"retention.ms": str(30 * 86_400_000)})
    old = Record(topic=topic, key=b"A", value=b"{}", headers=(), timestamp_ms=now_ms - 31 * 86_400_000)
    with pytest.raises(KafkaError, match=r"it keeps records for 30 days, .* set its retention.ms to -1, or publish"):
        await sent(kafka, old)
    assert await read(kafka, topic, 1) == {}
    await sent(kafka, Record(topic=topic, key=b"A", value=b"{}", headers=(), timestamp_ms=now_ms - 1000))
    assert len((await read(kafka, topic, 1))[0]) == 1


async def made(address: str, topic: str, settings: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1, topic_configs=settings)])
    await admin.close()


async def sent(address: str, *records: Record) -> None:
    async with Publisher(Kafka(servers=address), partitions=1, clock=SystemClock()) as publisher:
        for record in records:
            await publisher.send(record)
            await publisher.settle()  # else they would share a batch, which is refused whole


def test_history_passes_at_the_speed_that_was_asked_for(
    kafka: str, topic_prefix: str, run_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three days of history between the first slice and the last, a day each half second."""
    days = ["--set", "session.end=2018-01-05", "--speed", f"{2 * 86_400}x"]
    code, said = told(capsys, run_file, "--kafka", kafka, "--env", topic_prefix, *days)
    assert (code, said["slices"]) == (0, 4)
    assert said["wall_s"] > 1.5


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["--speed", "fast"], 2, "--speed 'fast': expected a factor above 0 such as 60x, or max"),
        (["--speed=-1x"], 2, "--speed '-1x'"),
        (["--speed", "nanx"], 2, "--speed 'nanx'"),
        (["--drop", "2"], 2, "feed: drop must lie between 0 and 1, got 2.0"),
        (["--partitions", "0"], 2, "--partitions 0: a topic has at least one"),
        (["--env", "a.b"], 2, "topic: 'a.b' cannot be its environment"),
        (["--kafka", "nowhere"], 5, "kafka: 'nowhere' is no HOST:PORT"),
        (["--kafka", "127.0.0.1:1"], 5, "kafka: no broker answers: 127.0.0.1:1 connection refused"),
    ],
)
def test_what_cannot_be_is_told_with_its_exit_code(
    arguments: list[str], code: int, why: str, run_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--kafka" not in arguments:
        arguments = [*arguments, "--kafka", "127.0.0.1:1"]
    got, said = told(capsys, run_file, *arguments)
    assert (got, said["exit_code"]) == (code, code)
    assert why in said["message"]


def test_without_a_broker_the_way_to_one_is_told(
    run_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SAMEWIRE_KAFKA", raising=False)
    monkeypatch.setenv("SAMEWIRE_KAFKA_DIR", str(tmp_path / "none"))
    code, said = told(capsys, run_file)
    assert code == 5
    assert said["message"].endswith("set SAMEWIRE_KAFKA, or: python tools/kafka/broker.py start")


def test_speeds_are_factors() -> None:
    assert [pace_of(text) for text in ("60x", "60", "max", "1e3x")] == [60.0, 60.0, 0.0, 1000.0]
