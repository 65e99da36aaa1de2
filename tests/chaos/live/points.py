"""Where a daemon is killed, and how a broken one would write: wrappers around its only ways to Kafka."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec

from adapters.kafka.codec import Record
from adapters.kafka.topics import parse_topic
from adapters.kafka.transport import Outbox, Place, Reader, Received

# Before and after each await of the commit path, and within a commit; then the steps of a start.
COMMIT_PATH = (
    "begin:before",
    "begin:after",
    "send:before",
    "send:after",
    "ack:after",
    "commit:before",
    "commit:within",
    "commit:after",
)
START_PATH = ("fence:before", "fence:after", "read:journal", "read:snapshots", "read:bars", "assign:after")
POINTS = (*COMMIT_PATH, *START_PATH)


class Crash(msgspec.Struct, frozen=True, kw_only=True):
    """kill -9 of this very process at a point: in transaction `transaction` of its life or later, at the `nth` time
    there (in one transaction, or in one read)."""

    point: str
    transaction: int = 2
    nth: int = 1
    after_us: int = 0  # commit:within: how long after it was asked for
    held_up: bool = False  # SIGSTOP instead, once: it goes on when it is told to
    pause_us: int = 0  # behind each send of the transaction, so that some are at the broker and others are not


class Trigger:
    """Pulls once everything that its crash says is true. A life that does not come to its point ends at the beginning
    of a transaction behind `transaction`, lest it run to the session's end."""

    def __init__(self, crash: Crash | None, tell: Callable[..., None]) -> None:
        self._crash, self._tell = crash, tell
        self.transaction = 0
        self._seen = 0
        self._held_up = False

    def fresh(self) -> None:
        """A transaction, or a read, begins."""
        self._seen = 0

    def at(self, point: str) -> None:
        crash = self._crash
        if crash is None or self._held_up:
            return
        if crash.point == point:
            self._seen += 1
            if self._seen >= crash.nth and (point in START_PATH or self.transaction >= crash.transaction):
                self.pull(point)
        elif point == "begin:before" and self.transaction > crash.transaction + 2:
            self.pull(point)

    def pull(self, point: str) -> None:
        if self._crash is not None and self._crash.held_up:
            self._held_up = True
            self._tell("held_up", point=point, transaction=self.transaction)
            os.kill(os.getpid(), signal.SIGSTOP)
            return
        self._tell("killed", point=point, transaction=self.transaction)
        os.kill(os.getpid(), signal.SIGKILL)

    @property
    def pause_us(self) -> int:
        crash = self._crash
        return 0 if crash is None or self.transaction < crash.transaction else crash.pause_us

    @property
    def within_us(self) -> int | None:
        """How long after the request a commit is to be cut off, None where it is not."""
        crash = self._crash
        if crash is None or crash.point != "commit:within" or self.transaction < crash.transaction:
            return None
        return crash.after_us


class CrashingOutbox:
    """An Outbox that dies where it is told to."""

    def __init__(self, inner: Outbox, trigger: Trigger, spoil: "Spoil | None" = None) -> None:
        self._inner, self._trigger, self._spoil = inner, trigger, spoil

    async def start(self) -> None:
        self._trigger.at("fence:before")
        await self._inner.start()
        self._trigger.at("fence:after")

    async def begin(self) -> None:
        self._trigger.transaction += 1
        self._trigger.fresh()
        self._trigger.at("begin:before")
        await self._inner.begin()
        self._trigger.at("begin:after")

    async def send(self, record: Record, /) -> "asyncio.Future[int]":
        if self._spoil is not None:
            record = self._spoil(record, self._trigger.transaction)
        self._trigger.at("send:before")
        future = await self._inner.send(record)
        if pause_us := self._trigger.pause_us:
            await asyncio.sleep(pause_us / 1e6)
        self._trigger.at("send:after")
        return asyncio.ensure_future(self._acknowledged(future))

    async def _acknowledged(self, future: "asyncio.Future[int]") -> int:
        offset = await future
        self._trigger.at("ack:after")
        return offset

    async def commit(self) -> None:
        self._trigger.at("commit:before")
        if (us := self._trigger.within_us) is not None:
            asyncio.ensure_future(self._inner.commit())
            await asyncio.sleep(us / 1e6)
            self._trigger.pull("commit:within")
        await self._inner.commit()
        self._trigger.at("commit:after")

    async def succeeded(self) -> bool:
        return await self._inner.succeeded()

    async def close(self) -> None:
        await self._inner.close()


class CrashingReader:
    """A Reader that dies where it is told to."""

    def __init__(self, inner: Reader, trigger: Trigger) -> None:
        self._inner, self._trigger = inner, trigger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def assign(self, offsets: Mapping[Place, int]) -> None:
        await self._inner.assign(offsets)
        self._trigger.at("assign:after")

    async def read(self, place: Place, start: int, end: int) -> AsyncIterator[Received]:
        point = f"read:{parse_topic(place[0]).kind}"
        self._trigger.fresh()
        async with contextlib.aclosing(self._inner.read(place, start, end)) as records:
            async for record in records:
                self._trigger.at(point)
                yield record

    async def read_all(self, ranges: Mapping[Place, tuple[int, int]]) -> dict[Place, list[Received]]:
        found = await self._inner.read_all(ranges)
        self._trigger.fresh()
        self._trigger.at("read:bars")
        return found


class Spoil(msgspec.Struct, frozen=True):
    """Makes one record of a topic too large for the broker, in one transaction of a life."""

    kind: str
    transaction: int

    def __call__(self, record: Record, transaction: int) -> Record:
        if transaction != self.transaction or parse_topic(record.topic).kind != self.kind:
            return record
        return msgspec.structs.replace(record, value=(record.value or b"") + b" " * 3_000_000)


# ---- how a broken daemon would do it: the comparison must see through each of these ----------------------------------


async def commit_first(outbox: Outbox, records: Sequence[Record]) -> list[int]:
    """`transact` with the commit before the acknowledgements are looked at."""
    await outbox.begin()
    sent = [await outbox.send(record) for record in records]
    await outbox.commit()
    answers = await asyncio.gather(*sent, return_exceptions=True)
    return [answer if isinstance(answer, int) else 0 for answer in answers]


class WithoutTransactions:
    """An Outbox that only sends."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options, self._producer = dict(options), None

    async def start(self) -> None:
        from aiokafka import AIOKafkaProducer

        self._producer: Any = AIOKafkaProducer(**self._options, enable_idempotence=True, max_request_size=8_388_608)
        await self._producer.start()

    async def begin(self) -> None: ...

    async def send(self, record: Record, /) -> "asyncio.Future[int]":
        future = await self._producer.send(
            record.topic,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            timestamp_ms=record.timestamp_ms,
        )

        async def offset() -> int:
            return int((await future).offset)

        return asyncio.ensure_future(offset())

    async def commit(self) -> None: ...

    async def succeeded(self) -> bool:
        return False

    async def close(self) -> None:
        await self._producer.stop()


def read_uncommitted() -> None:
    """From now on every consumer of this process takes what was never committed for true."""
    import aiokafka

    real = aiokafka.AIOKafkaConsumer

    def consumer(**options: Any) -> Any:
        return real(**(options | {"isolation_level": "read_uncommitted"}))

    aiokafka.AIOKafkaConsumer = consumer
