"""The ground on which daemons are killed: topics, bars, what was committed, and the comparison of two sessions."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from adapters.kafka.codec import Codec, Origin, Record
from adapters.kafka.live_record import Step, step_of
from adapters.kafka.transport import Place, Reader, Received
from engine.cuts import Bar
from engine.universe import universe_of
from tests.chaos.live.market import MODEL, SESSION, STRATEGY, Market, bars, run_words, write_history
from tests.chaos.live.victim import Order

PARTITIONS = 4
PUBLIC = (f"signals.{MODEL}", f"targets.{STRATEGY}", "orders.paper", "fills.paper", "refusals.paper", "late.1m")
OWN = tuple(f"{kind}.{SESSION}" for kind in ("journal", "snapshots", "deadletter", "status", "control"))
COMPARED = (*PUBLIC, f"deadletter.{SESSION}")
_LARGE = str(8 * 1024 * 1024)
ROOT = Path(__file__).resolve().parents[3]


def bars_topic(env: str) -> str:
    return f"{env}.bars.1m.v1"


# ---- topics and bars -------------------------------------------------------------------------------------------------


async def make_topics(address: str, env: str, partitions: int = PARTITIONS, copies: int = 1) -> None:
    from aiokafka.admin import NewTopic

    for_ever = {"retention.ms": "-1", "min.insync.replicas": str(max(1, copies - 1))}
    large = for_ever | {"max.message.bytes": _LARGE}
    asked = [NewTopic(bars_topic(env), partitions, copies, topic_configs=large)]
    asked += [NewTopic(f"{env}.{name}.v1", 1, copies, topic_configs=for_ever) for name in PUBLIC]
    asked += [NewTopic(f"{env}.{name}.v1", 1, copies, topic_configs=large) for name in OWN]
    answer = await administered(address, lambda admin: admin.create_topics(asked))
    assert all(code == 0 for _, code, *_ in answer.topic_errors), answer


async def administered(address: str, ask: Callable[[Any], Awaitable[Any]]) -> Any:
    from aiokafka.admin import AIOKafkaAdminClient

    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        return await ask(admin)
    finally:
        await admin.close()


async def _remade(admin: Any, topic: str) -> None:
    from aiokafka.admin import NewTopic

    await admin.delete_topics([topic])
    asked = NewTopic(topic, PARTITIONS, 1, topic_configs={"retention.ms": "-1", "max.message.bytes": _LARGE})
    for _ in range(100):  # until the broker has done away with the old one
        answer = await admin.create_topics([asked])
        if answer.topic_errors[0][1] == 0:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(answer)


async def _cut(address: str, topic: str, partitions: int, share: float) -> None:
    from aiokafka import TopicPartition
    from aiokafka.admin import RecordsToDelete

    reader = Reader({"bootstrap_servers": address})
    await reader.start()
    try:
        bounds = await reader.bounds([(topic, part) for part in range(partitions)])
    finally:
        await reader.close()
    before = {
        TopicPartition(*place): RecordsToDelete(before_offset=first + int((end - first) * share))
        for place, (first, end) in bounds.items()
    }
    await administered(address, lambda admin: admin.delete_records(before))


def publish_now(ground: "Ground", records: Sequence[Record]) -> None:
    asyncio.run(publish(ground.address, records))


def records_of(market: Market, found: Iterable[Bar], env: str) -> list[Record]:
    codec = Codec(env, universe_of(tuple(market.names)), Origin(daemon="market"))
    return [codec.bar(bar) for bar in found]


async def publish(address: str, records: Sequence[Record], rate: float = 0.0) -> None:
    """All of them as fast as it goes, or `rate` a second."""
    from aiokafka import AIOKafkaProducer

    producer = AIOKafkaProducer(
        bootstrap_servers=address, enable_idempotence=True, linger_ms=2, max_request_size=8_388_608
    )
    await producer.start()
    try:
        loop, flying = asyncio.get_running_loop(), []
        begun = loop.time()
        for k, record in enumerate(records):
            if rate and (ahead := k / rate - (loop.time() - begun)) > 0.005:
                await asyncio.sleep(ahead)
            said = {"key": record.key, "value": record.value, "timestamp_ms": record.timestamp_ms}
            flying.append(await producer.send(record.topic, **said))
        await asyncio.gather(*flying)
    finally:
        await producer.stop()


# ---- what was committed ----------------------------------------------------------------------------------------------


class Left(msgspec.Struct, frozen=True, eq=False):
    """What a session left: the records of each public topic without their offsets, and its last step."""

    records: dict[str, list[tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]]]
    steps: list[Step]

    @property
    def last(self) -> Step:
        return self.steps[-1]


def _plain(record: Received, env: str) -> tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]:
    """Key, body and headers but for the run id; the environment's name, which each session has its own, is cut out."""
    name = env.encode() + b"."
    headers = tuple((key, value.replace(name, b"")) for key, value in record.headers if key != "run-id")
    return record.key and record.key.replace(name, b""), record.value and record.value.replace(name, b""), headers


async def left(address: str, env: str, names: Sequence[str] = COMPARED, session: str = SESSION) -> Left:
    reader = Reader({"bootstrap_servers": address})
    await reader.start()
    try:
        found = {name: [_plain(r, env) for r in await _all(reader, f"{env}.{name}.v1")] for name in names}
        journal = f"{env}.journal.{session}.v1"
        steps = [r for r in await _all(reader, journal) if r.key == session.encode()]
        return Left(found, [step_of(r.value, journal, r.offset) for r in steps])
    finally:
        await reader.close()


async def _all(reader: Reader, topic: str) -> list[Received]:
    place: Place = (topic, 0)
    first, end = (await reader.bounds([place]))[place]
    return [record async for record in reader.read(place, first, end)]


class Difference(msgspec.Struct, frozen=True):
    """Records of the undisturbed session that are not there, that are there twice, and what it never said."""

    lost: int
    doubled: int
    different: int
    disordered: tuple[str, ...]  # topics that hold the same in another order
    digests: bool  # whether the journals end alike

    @property
    def none(self) -> bool:
        return self == NO_DIFFERENCE

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.lost, self.doubled, self.different


NO_DIFFERENCE = Difference(0, 0, 0, (), True)


def compare(calm: Left, found: Left) -> Difference:
    lost = doubled = different = 0
    disordered = []
    for topic, wanted in calm.records.items():
        there, once = Counter(found.records[topic]), Counter(wanted)
        more = there - once
        lost += (once - there).total()
        doubled += sum(count for record, count in more.items() if record in once)
        different += sum(count for record, count in more.items() if record not in once)
        if there == once and found.records[topic] != wanted:
            disordered.append(topic)
    ends = [(each.last.events, each.last.digest, each.last.ended) for each in (calm, found)]
    return Difference(lost, doubled, different, tuple(disordered), ends[0] == ends[1])


# ---- daemons ---------------------------------------------------------------------------------------------------------


class Victims:
    """Starts daemons, each in a process of its own, and learns how they end. See victim.py."""

    def __init__(self, address: str) -> None:
        said = {"SAMEWIRE_KAFKA": address, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.live.victim"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | said,
            cwd=ROOT,
        )
        self._codes: dict[int, int] = {}
        self.cpu_s = 0.0  # of those that have ended

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the victim's process ended"
        words: dict[str, Any] = json.loads(line)
        if "ended" in words:
            self._codes[words["ended"]] = words["code"]
            self.cpu_s += words["cpu_s"]
        return words

    def start(self, order: Order) -> int:
        """Its process."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        while True:
            words = self._line()
            if "pid" in words:
                return int(words["pid"])

    def code(self, pid: int) -> int:
        """How it ended, once it has."""
        while pid not in self._codes:
            self._line()
        return self._codes.pop(pid)

    def run(self, order: Order) -> int:
        return self.code(self.start(order))

    def stop(self, pid: int) -> None:
        """In order."""
        os.kill(pid, signal.SIGTERM)

    def close(self) -> None:
        with self._process:  # closes its pipes, at whose end it ends
            pass


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
        os.kill(pid, signal.SIGKILL)


class Ground(msgspec.Struct, frozen=True, eq=False):
    """One environment of its own on a broker, with a run file and a market."""

    address: str
    env: str
    market: Market
    folder: Path
    victims: Victims
    copies: int = 1  # of each topic

    @property
    def run(self) -> Path:
        return self.folder / f"{self.env}.json"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.env}.log"

    def order(self, **more: Any) -> Order:
        return Order(run=str(self.run), said=str(self.log), **more)

    def said(self, what: str = "") -> list[dict[str, Any]]:
        """What its daemons told so far."""
        if not self.log.exists():
            return []
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]
        return [line for line in lines if line["what"] == what or not what]

    def prepare(self, **live: Any) -> "Ground":
        history = self.folder / f"history-{self.market.seed}.parquet"
        if not history.exists():
            write_history(self.market, history)
        self.run.write_text(json.dumps(run_words(history, self.env, **live)))
        asyncio.run(make_topics(self.address, self.env, copies=self.copies))
        return self

    def publish(self, found: Iterable[Bar] | None = None, rate: float = 0.0) -> None:
        records = records_of(self.market, bars(self.market) if found is None else found, self.env)
        asyncio.run(publish(self.address, records, rate))

    def clear(self) -> None:
        """Deletes its topics."""
        names = [bars_topic(self.env), *(f"{self.env}.{name}.v1" for name in (*PUBLIC, *OWN))]
        asyncio.run(administered(self.address, lambda admin: admin.delete_topics(names)))

    def remake(self, topic: str) -> None:
        """Deletes a topic and makes it again, empty."""
        asyncio.run(administered(self.address, lambda admin: _remade(admin, topic)))

    def widen(self, topic: str, partitions: int) -> None:
        from aiokafka.admin import NewPartitions

        asyncio.run(administered(self.address, lambda a: a.create_partitions({topic: NewPartitions(partitions)})))

    def cut(self, topic: str, partitions: int, share: float) -> None:
        """Deletes this share of the records of each partition, from the beginning, as retention does."""
        asyncio.run(_cut(self.address, topic, partitions, share))

    def left(self) -> Left:
        return asyncio.run(left(self.address, self.env))
