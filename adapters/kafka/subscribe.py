"""Reads a public topic as its messages, read committed and each once, for services beside a session.

Needs nothing of the engine but the types of messages: neither its components nor what they compute with.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, Protocol, TypeAlias

import msgspec

from adapters.kafka.address import START, VARIABLE, KafkaError, found, servers
from adapters.kafka.envelope import decoded
from adapters.kafka.latest import Latest, latest_asof, vector
from adapters.kafka.topics import PUBLIC, VERSION, parse_topic
from engine.clock import Clock, SystemClock
from engine.errors import ConfigError, DataError

__all__ = ["About", "Counts", "Latest", "Reading", "Subscription", "latest_asof", "subscribe", "vector"]

Position: TypeAlias = Mapping[int, int]  # partition -> offset of the next record
Since: TypeAlias = Literal["latest", "earliest", "committed"] | int | Position
_WORDS = ("latest", "earliest", "committed")
_WAIT_MS, _LAST_MS, _POLL_MAX = 500, 20, 500  # for records to come, where reading ends; records at once
_LOG = logging.getLogger(__name__)


class Connection(Protocol):
    """How brokers are spoken to."""

    def client_options(self) -> dict[str, Any]:
        """What every client of aiokafka is told: servers, security, login."""
        ...


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How a topic is read."""

    follow: bool = True  # False: ends behind what is there when reading begins
    poison: Literal["raise", "skip"] = "raise"  # a body that is no message
    remembered: int = 65_536  # ids by which doubles are known; each takes some 200 bytes
    again: int = 256  # offsets before a position that are read again for their ids, a partition
    patience_s: float = 60.0  # without any answer of a broker, after which KafkaError is raised
    commit_s: float = 1.0  # between two commits under a group's name


FOR_EVER = Reading()


class Counts(msgspec.Struct):
    """What became of the records read."""

    messages: int = 0
    doubles: int = 0  # of an id that was there before: dropped
    poison: int = 0  # of a body that is no message: skipped
    removals: int = 0  # of compacted topics: a key without a body any more


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What stands around a message."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: str
    headers: dict[str, str]


class Subscription:
    """The messages of one topic, by `async for`; see `subscribe`. Asked for again it goes on where it stopped."""

    def __init__(
        self, topic: str, options: Mapping[str, Any], *, group: str | None, since: Since, reading: Reading, clock: Clock
    ) -> None:
        self._topic, self._kind = topic, PUBLIC[parse_topic(topic).kind]
        self._options, self._group, self._since, self._reading = dict(options), group, since, reading
        self._clock = clock
        self._consumer: Any = None
        self._places: dict[int, Any] = {}  # partition -> what the client calls it
        self._next: dict[int, int] = {}
        self._ends: dict[int, int] = {}  # where reading ends, if it does
        self._known: dict[str, None] = {}  # ids, the oldest first
        self._answered: dict[int, tuple[int | None, int]] = {}  # partition -> stamp of its latest answer, since when
        self._committed_at = 0
        self.counts = Counts()
        self.about: About | None = None  # of the latest message

    async def __aenter__(self) -> "Subscription":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def position(self) -> dict[int, int]:
        """Partition -> offset of the next record. Kept together with what was made of the messages so far, and given as
        `since`, the next process goes on behind the latest of them. Empty before the first `async for`.
        """
        return dict(self._next)

    async def commit(self) -> None:
        """Tells the broker the position under the group's name, for whoever measures lag."""
        if self._group is None:
            raise ConfigError(f"topic {self._topic}: positions are committed under a name; say group=")
        if self._consumer is not None and self._next:
            with self._told():
                await self._consumer.commit({self._places[k]: offset for k, offset in self._next.items()})

    async def aclose(self) -> None:
        """Ends the connection. The position stays."""
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        try:
            await consumer.stop()
        except asyncio.CancelledError:
            # The client lets its own cancelled requests come out of `stop` while a broker is away.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        finally:
            await consumer._client.close()

    async def __aiter__(self) -> AsyncIterator[Any]:
        await self._open()
        try:
            while self._reading.follow or any(self._next[k] < end for k, end in self._ends.items()):
                for records in (await self._polled()).values():
                    for record in records:
                        if (message := self._taken(record)) is not None:
                            yield message
                await self._behind()
        finally:
            await self.aclose()

    # ---- one record --------------------------------------------------------------------------------------------------

    def _taken(self, record: Any) -> Any:
        """The message of a record; None where there is none to hand out."""
        k, offset = record.partition, record.offset
        if offset >= self._ends.get(k, offset + 1):
            return None  # came after reading began
        headers = {name: (value or b"").decode("ascii", "replace") for name, value in record.headers}
        name = f"{headers.get('ce_source', '')}\n{headers['ce_id']}" if "ce_id" in headers else ""
        new, double = offset >= self._next[k], name in self._known
        message = self._decoded(record) if new and not double else None
        if name:
            self._remember(name)
        if not new:
            return None  # was read again for its id
        self._next[k] = offset + 1
        self.counts.doubles += double
        if message is not None:
            self.counts.messages += 1
            key = (record.key or b"").decode("utf-8", "replace")
            self.about = About(
                topic=self._topic, partition=k, offset=offset, timestamp_ms=record.timestamp, key=key, headers=headers
            )
        return message

    def _remember(self, name: str) -> None:
        self._known[name] = None
        if len(self._known) > self._reading.remembered:
            del self._known[next(iter(self._known))]

    def _decoded(self, record: Any) -> Any:
        if record.value is None and self._kind.cleanup == "compact":
            self.counts.removals += 1
            return None
        try:
            return decoded(record.value, self._kind.message)
        except DataError as error:
            if self._reading.poison == "skip":
                self.counts.poison += 1
                return None
            place = f"topic {self._topic}, partition {record.partition}, offset {record.offset}"
            raise DataError(f"{place}: {error}; pass over such records with Reading(poison='skip')") from None

    # ---- the client --------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        from aiokafka import AIOKafkaConsumer

        if self._consumer is not None:
            raise ConfigError(f"topic {self._topic}: it is being read already; subscribe once more for a second reader")
        consumer = AIOKafkaConsumer(
            **self._options,
            group_id=self._group,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=_WAIT_MS,
        )
        self._consumer = consumer
        try:
            with self._told():
                await consumer.start()
                self._next, first = await self._start()
                consumer.assign(list(self._places.values()))
                for k, offset in first.items():
                    consumer.seek(self._places[k], offset)
        except BaseException:
            await self.aclose()
            raise
        self._answered = {}

    async def _start(self) -> tuple[dict[int, int], dict[int, int]]:
        """By partition: the next offset to hand out, and the one that reading begins at."""
        from aiokafka import TopicPartition

        found = (await self._consumer._client.fetch_all_metadata()).partitions_for_topic(self._topic)
        if not found:
            raise KafkaError(f"topic {self._topic}: there is none, or it may not be read by this user")
        self._places = {k: TopicPartition(self._topic, k) for k in sorted(found)}
        begin, end = await self._bounds()
        since: Since = self._next or self._since
        self._ends = {} if self._reading.follow else dict(end)
        if since == "earliest":
            return begin, begin
        if since == "latest":
            return end, end
        if isinstance(since, int):
            ms = max(0, since // 1_000_000)
            asked = await self._consumer.offsets_for_times(dict.fromkeys(self._places.values(), ms))
            times = {at.partition: end[at.partition] if n is None else n.offset for at, n in asked.items()}
            return times, times
        said = since if isinstance(since, Mapping) else await self._committed(begin)
        kept = {int(k): int(offset) for k, offset in said.items()}  # keys that went through JSON are texts
        self._check(kept, begin, end)
        return kept, {k: max(begin[k], n - self._reading.again) for k, n in kept.items()}

    async def _bounds(self) -> tuple[dict[int, int], dict[int, int]]:
        """By partition: the oldest offset that is kept, and the one behind the last that is decided on."""
        places = list(self._places.values())
        begin, end = await self._consumer.beginning_offsets(places), await self._consumer.end_offsets(places)
        return {at.partition: n for at, n in begin.items()}, {at.partition: n for at, n in end.items()}

    async def _committed(self, begin: Position) -> dict[int, int]:
        """What was committed under the group's name; the beginning where nothing was."""
        said = {k: await self._consumer.committed(place) for k, place in self._places.items()}
        return {k: begin[k] if offset is None else offset for k, offset in said.items()}

    def _check(self, kept: Position, begin: Position, end: Position) -> None:
        if set(kept) != set(begin):
            raise KafkaError(
                f"topic {self._topic}: it has partitions {sorted(begin)}, the position is of {sorted(kept)}: it was "
                "made anew, or it is the position of another topic; begin with since='earliest'"
            )
        for k, offset in sorted(kept.items()):
            if offset < begin[k]:
                raise KafkaError(
                    f"topic {self._topic}, partition {k}: offset {offset} was to be read next, the oldest that is kept "
                    f"is {begin[k]}: what lay between was deleted and is lost to this reader; to go on without it, "
                    f"begin with since='earliest' or a position of {begin[k]}"
                )
            if offset > end[k]:
                raise KafkaError(
                    f"topic {self._topic}, partition {k}: the position is {offset}, and it ends at {end[k]}: it was "
                    "made anew; begin with since='earliest'"
                )

    async def _polled(self) -> dict[Any, list[Any]]:
        from aiokafka.errors import OffsetOutOfRangeError

        wait_ms = _WAIT_MS if self._reading.follow else _LAST_MS  # the last may be a mark, which is no record
        with self._told():
            try:
                records = await self._consumer.getmany(timeout_ms=wait_ms, max_records=_POLL_MAX)
            except OffsetOutOfRangeError:
                begin, end = await self._bounds()
                self._check(self._next, begin, end)
                for k, place in self._places.items():  # what is gone was to be read again for its ids only
                    self._consumer.seek(place, max(self._next[k], begin[k]))
                records = {}
        if records:
            self._answered = {}
        else:
            self._wait_on()
        return dict(records)

    def _wait_on(self) -> None:
        """KafkaError once a broker has not answered for too long. The client itself tries again for ever."""
        now = self._clock.monotonic_ns()
        for k, place in self._places.items():
            stamp = self._consumer.last_poll_timestamp(place)
            before, since = self._answered.get(k, (None, now))
            self._answered[k] = (stamp, since if stamp == before else now)
            if now - self._answered[k][1] > self._reading.patience_s * 1e9:
                raise KafkaError(
                    f"topic {self._topic}, partition {k}: no answer for {self._reading.patience_s:g} s; the broker is "
                    "away, or the topic was deleted; subscribe again with the position as since"
                )

    async def _behind(self) -> None:
        """Moves the position behind what is no message: marks of transactions, and what stands in aborted ones."""
        for k, offset in self._next.items():
            read = await self._consumer.position(self._places[k])
            self._next[k] = max(offset, min(read, self._ends.get(k, read)))
        now = self._clock.monotonic_ns()
        if self._group is not None and now - self._committed_at >= self._reading.commit_s * 1e9:
            self._committed_at = now
            try:
                await self.commit()
            except KafkaError as error:  # nobody's reading depends on it
                _LOG.warning("%s", error)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What the client raises, told with the topic."""
        from aiokafka.errors import KafkaError as ClientError

        try:
            yield
        except ClientError as error:
            raise KafkaError(f"kafka: topic {self._topic}: {error or type(error).__name__}") from error


def subscribe(
    topic: str,
    *,
    address: str = "",
    since: Since = "latest",
    group: str | None = None,
    connection: Connection | None = None,
    reading: Reading = FOR_EVER,
) -> Subscription:
    """The messages of a public topic, such as SignalMessage of `prod.signals.gbdt.v1`, in the order of each partition.

        async with subscribe("prod.signals.gbdt.v1", since="earliest") as signals:
            async for signal in signals:
                ...

    What a transaction wrote comes once it is committed, what one aborted never. A message whose `ce_id` came before is
    dropped: of the latest `Reading.remembered` ids, which a process that goes on from a position finds out anew for the
    last `Reading.again` offsets before it. No consumer group is needed and none assigns partitions.

    Parameters
    ----------
    address
        HOST:PORT, several with commas; as SAMEWIRE_KAFKA names it where left out. Not encrypted.
    since
        `latest`: what comes from now on; `earliest`: all that is kept; UTC ns: the first record of that instant's
        millisecond and all behind it; a `position()`: the records behind it, KafkaError where some of them are gone;
        `committed`: the position last committed under the group's name, `earliest` where there is none.
    group
        Under this name the position is committed once in a while, for tools that measure lag. It lags behind what was
        handled and may be refused by the broker: keep `position()` yourself to be exact.
    connection
        Instead of an address: an object that says how to connect, with TLS and login.

    Raises ConfigError for what is no public topic and for arguments that contradict each other. Reading raises
    KafkaError where there is no broker or topic, records are gone, or no answer came for `Reading.patience_s` (shorter
    outages are waited for), and DataError at a body that is no message; the position stays before it.
    """
    _check(topic, since, group)
    if connection is not None and address:
        raise ConfigError(f"address is {address!r} and there is a connection too; leave one of them out")
    options = {"bootstrap_servers": _servers(address)} if connection is None else connection.client_options()
    return Subscription(topic, options, group=group, since=since, reading=reading, clock=SystemClock())


def _check(topic: str, since: Since, group: str | None) -> None:
    named = parse_topic(topic)
    if named.kind not in PUBLIC:
        raise ConfigError(
            f"topic {topic}: what stands in {named.kind} is no contract; read one of: {', '.join(PUBLIC)}"
        )
    if named.version != VERSION:
        raise ConfigError(f"topic {topic}: this version of samewire reads v{VERSION}")
    if isinstance(since, str) and since not in _WORDS:
        raise ConfigError(f"since is {since!r}; expected one of: {', '.join(_WORDS)}, UTC ns, or a position")
    if since == "committed" and group is None:
        raise ConfigError("since='committed' needs the name of a group")


def _servers(address: str) -> str:
    known = found()
    if not address and known is None:
        raise KafkaError(f"kafka: no broker is named; say address, set {VARIABLE}, or: {START}")
    said = address or (known.address if known else "")
    servers(said)
    return said
