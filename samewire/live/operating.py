"""What operators do with a running session from outside: ask something of it and hear what came of it, and see it.

Nothing here is part of a session: it writes to the control topic, and reads what the session says of itself.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from adapters.kafka.address import KafkaError
from adapters.kafka.envelope import Envelope, Origin, decoded, digest
from adapters.kafka.layout import kept_ms
from adapters.kafka.live_record import Step, step_of
from adapters.kafka.messages import ControlMessage, DeadLetterMessage, StatusMessage
from adapters.kafka.requesting import sent
from adapters.kafka.settling import unsettled
from adapters.kafka.topics import Topic
from adapters.kafka.transport import Place, Reader, Received
from engine.clock import Clock
from engine.errors import DataError, SamewireError
from engine.instants import instant_text
from samewire.live.beginning import beginning_of
from samewire.live.recovery import last_step

STALE_AFTER = 3.0  # times `live.health_s` without a word
STALE_LEAST_S = 15.0  # a transaction may take that long
_SETTLE_S = 2.0  # for what it has just committed


class NotFollowedError(SamewireError):
    """A request that no session follows: none runs, or it was refused, or nothing was heard of it in time."""


class Addressed(msgspec.Struct, frozen=True, kw_only=True):
    """A session from outside: its topics, and how often it says how it is."""

    session: str
    env: str
    health_s: float

    def topic(self, kind: str) -> str:
        return str(Topic(self.env, kind, self.session))


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a session last said of itself, and where its journal stands; None where it never did."""

    status: StatusMessage | None
    step: Step | None
    now: int  # UTC ns
    warning: str = ""  # what should be done soon, though it runs
    stale_s: float

    @property
    def age_s(self) -> float | None:
        """Since it last said how it is."""
        said = self.status
        return None if said is None else (self.now - said.started_at) / 1e9 - said.uptime_s

    @property
    def in_order(self) -> bool:
        """Whether the process that spoke last ended as it should: told to stop, or at the end of the session."""
        return self.status is not None and self.status.state == "stopped"

    @property
    def state(self) -> str:
        """In one word: unknown, ended (nobody goes on with it), stopped, silent, else what it says: live, ..."""
        if self.status is None:
            return "unknown"
        if self.in_order:
            return "ended" if self.step is not None and self.step.ended else "stopped"
        return "silent" if self.silent else self.status.state

    @property
    def silent(self) -> str:
        """Why no session can be running, empty = one seems to."""
        said, age = self.status, self.age_s
        if said is None or age is None:
            return "it has never said how it is"
        if self.in_order:
            over = ": it came to its end" if self.state == "ended" else ""
            at = said.started_at + round(said.uptime_s * 1e9)
            return f"ended in order at {instant_text(at // 10**9 * 10**9)}, {age:,.0f} s ago{over}"
        if age > self.stale_s:
            return f"it last said how it is {age:,.0f} s ago, and should every {self.stale_s / STALE_AFTER:,.0f} s"
        return ""


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """A request, and the step of the journal in which it entered; None where nobody waited."""

    id: str
    offset: int
    step: Step | None


class Operator:
    """Speaks to one session. `options` are those of the connection."""

    def __init__(self, options: Mapping[str, Any], session: Addressed, clock: Clock) -> None:
        self._options, self._of, self._clock = options, session, clock

    async def look(self) -> Seen:
        """How the session is."""
        reader = Reader(self._options)
        try:
            await reader.start()
            await unsettled(reader, [(self._of.topic(kind), 0) for kind in ("journal", "status")], _SETTLE_S)
            step, _ = await last_step(reader, self._of.topic("journal"), self._of.session)
            seen = await self._seen(reader, step)
            return seen if step is None else msgspec.structs.replace(seen, warning=await self._warning(reader, step))
        finally:
            await reader.close()

    async def _warning(self, reader: Reader, step: Step) -> str:
        """Whether the beginning of its journal is gone, or will be soon."""
        from adapters.kafka.admin import administration, described

        journal, snapshots = self._of.topic("journal"), self._of.topic("snapshots")
        async with administration(self._options) as admin:
            kept = kept_ms(journal, await described(admin, [journal]))
        return (await beginning_of(reader, (journal, snapshots), step, kept)).word(self._clock.now_ns())

    async def ask(self, said: ControlMessage, wait_s: float) -> Followed:
        """Sends it, and waits until the session followed it; 0 = sends it to whoever takes the session up.

        NotFollowedError where no session runs (nothing is sent then), where it refuses, and where time is up.
        """
        said = msgspec.structs.replace(said, id=digest(said))
        record = Envelope(self._of.env, Origin(daemon=self._of.session)).control(said)
        if not wait_s:
            return Followed(id=said.id, offset=await sent(self._options, record), step=None)
        reader = Reader(self._options)
        try:
            await reader.start()
            if why := (await self._seen(reader, None)).silent:
                raise NotFollowedError(
                    f"session {self._of.session} ({self._of.env}): none runs: {why}; nothing was sent: start it, or "
                    "say --no-wait, and it is followed by whoever takes the session up"
                )
            places: list[Place] = [(self._of.topic(kind), 0) for kind in ("journal", "deadletter")]
            ends = {place: end for place, (_, end) in (await reader.bounds(places)).items()}
            await reader.assign(ends)
            offset = await sent(self._options, record)
            return await self._heard(reader, said, offset, wait_s)
        finally:
            await reader.close()

    async def _heard(self, reader: Reader, said: ControlMessage, offset: int, wait_s: float) -> Followed:
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    for (topic, _), records in (await reader.poll()).items():
                        for record in records:
                            if step := self._answer(topic, record, said, offset):
                                return Followed(id=said.id, offset=offset, step=step)
        except TimeoutError:
            raise NotFollowedError(
                f"session {self._of.session} ({self._of.env}): {said.action} {said.id} was sent, and not followed "
                f"within {wait_s:g} s; it is followed once the session comes to it: see `samewire status`"
            ) from None

    def _answer(self, topic: str, record: Received, said: ControlMessage, offset: int) -> Step | None:
        """The step that followed the request, None where this record is about something else."""
        if topic == self._of.topic("journal"):
            step = step_of(record.value, topic, record.offset)
            return step if step.session == self._of.session and said.id in step.asked else None
        letter = decoded(record.value, DeadLetterMessage)
        if (letter.topic, letter.offset) == (self._of.topic("control"), offset):
            raise NotFollowedError(f"session {self._of.session} ({self._of.env}): refused: {letter.text}")
        return None

    async def _seen(self, reader: Reader, step: Step | None) -> Seen:
        status = await self._status(reader)
        stale_s = max(STALE_AFTER * self._of.health_s, STALE_LEAST_S)
        return Seen(status=status, step=step, now=self._clock.now_ns(), stale_s=stale_s)

    async def _status(self, reader: Reader) -> StatusMessage | None:
        """The last record of the status topic."""
        place = (self._of.topic("status"), 0)
        await reader.partitions(place[0])  # says how a topic that is missing is made
        first, end = (await reader.bounds([place]))[place]
        width = 8
        while True:
            begin, found = max(first, end - width), None
            async for record in reader.read(place, begin, end):
                found = self._said(record) or found
            if found is not None or begin == first:
                return found
            width *= 8

    def _said(self, record: Received) -> StatusMessage | None:
        try:
            said = decoded(record.value, StatusMessage)
        except DataError as error:
            raise KafkaError(f"topic {self._of.topic('status')}: the record at {record.offset}: {error}") from None
        return said if said.session == self._of.session else None


def followed_in_words(step: Step, action: str) -> str:
    """What came of a request, for the person who asked."""
    from engine.events import Mode

    at = max((cut.ts for cut in step.cuts), default=0)
    behind = f" with the slice of {instant_text(at)}" if at else ""
    return f"{action}: followed in step {step.seq}{behind}; mode {Mode(step.mode).name}"
