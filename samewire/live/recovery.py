"""Takes a session up where it stood: the last snapshot, then every recorded input again, each answer compared.

What the inputs were is in the journal; that the slicer stands where it stood follows from the bars themselves, read
again from their topics and cut as the journal says they were.
"""

from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

import msgspec

from adapters.kafka.address import DamagedError, KafkaError
from adapters.kafka.blobs import Blobs, erasing, name_in
from adapters.kafka.envelope import Record
from adapters.kafka.live_record import Offsets, Step, cut_of, step_of
from adapters.kafka.source import Sorter, check_same
from adapters.kafka.transport import Place, Reader, Received
from engine.cuts import Bar
from engine.errors import StateError
from engine.event_columns import PLANS
from engine.events import Bars, Event, Late
from engine.journal import content_of
from engine.journal_reading import Reader as Journal
from engine.journal_reading import Run
from samewire.live.core import Core
from samewire.live.following import heard
from samewire.live.keeping import ARTEFACT, MANIFEST, STATE, State, state_of

_TAIL = 4  # records that are looked at first
_LONG_AGO = -(1 << 62)


class Found(msgspec.Struct, frozen=True, eq=False):
    """What a session left in its topics: its last step, and what it kept."""

    last: Step
    blobs: Blobs
    journal_end: int

    @property
    def state(self) -> State:
        return state_of(self.blobs.named(STATE))


async def last_step(reader: Reader, topic: str, session: str) -> tuple[Step | None, int]:
    """The last step of a session in its journal, None where it has none; and where the journal ends."""
    place = (topic, 0)
    first, end = (await reader.bounds([place]))[place]
    width = _TAIL
    while True:
        begin = max(first, end - width)
        found: Step | None = None
        async for record in reader.read(place, begin, end):
            if record.key == session.encode():  # whatever else somebody wrote there
                found = step_of(record.value, topic, record.offset)
        if found is not None or begin == first:
            return found, end
        width *= 8


async def check_none(reader: Reader, snapshots: str, journal: str, session: str) -> None:
    """DamagedError where a session without a journal left something all the same: it would decide once more."""
    place = (snapshots, 0)
    first, end = (await reader.bounds([place]))[place]
    async for _ in reader.read(place, first, end):
        raise DamagedError(
            f"topic {journal}: it holds no step of session {session}, and {snapshots} what it kept: the journal was "
            "cleared or made anew; bring it back, or begin a new session with --new"
        )


async def check_partitions(reader: Reader, step: Step) -> None:
    """KafkaError where a topic of bars has other partitions than it had: instruments have moved between them."""
    for topic, known in step.offsets.items():
        if (found := await reader.partitions(topic)) != sorted(known):
            raise KafkaError(
                f"topic {topic}: it has {len(found)} partitions, and had {len(known)} when session {step.session} "
                "read it: instruments have moved between them; begin a new session with --new"
            )


async def left(reader: Reader, topic: str, step: Step, end: int, *, whole: bool = False) -> Found:
    """What a session kept: each blob from where its last step says that it stands, and whatever was kept since.

    With `whole`, or where it is to run from its first step again, every artefact that it ever had, in one pass.
    """
    place = (topic, 0)
    first, last = (await reader.bounds([place]))[place]
    blobs = Blobs(topic)
    since = step.kept.get(MANIFEST if whole else STATE, first)  # the manifest is what a session keeps first
    for name, offset in step.kept.items():
        if name != STATE and not whole:
            async for record in reader.read(place, max(first, offset), last):
                blobs.add(record)
                if name in blobs.found:
                    break
    async for record in reader.read(place, max(first, since), last):
        blobs.add(record)
    found = Found(step, blobs, end)
    return await left(reader, topic, step, end, whole=True) if found.state.without and not whole else found


async def unneeded(reader: Reader, topic: str, kept: Mapping[str, int], timestamp_ms: int) -> list[Record]:
    """Takes artefacts out of the snapshots that nobody asks for any more, once a session can only be taken up."""
    place = (topic, 0)
    first, end = (await reader.bounds([place]))[place]
    there: dict[bytes, int] = {}
    async for record in reader.read(place, first, end):
        if record.key is not None and name_in(record.key).startswith(ARTEFACT):
            there[record.key] = end if record.value is None else record.offset
    before = kept.get(STATE, first)  # whatever was kept behind the last state is read again
    gone = [key for key, at in there.items() if at < before and name_in(key) not in kept]
    return [erasing(topic, key, timestamp_ms) for key in gone]


class Recovery:
    """Feeds a core what was recorded behind a state, muted."""

    def __init__(self, reader: Reader, core: Core, sorter: Sorter, topic: str) -> None:
        self._reader, self._core, self._sorter, self._topic = reader, core, sorter, topic
        self.asked: list[str] = []  # ids of the requests that entered since the state
        self._cut_inputs: dict[
            int, list[tuple[str, int, bytes]]
        ] = {}  # by step: slices and late bars that were recorded

    async def steps(self, session: str, begin: int, end: int) -> AsyncIterator[Step]:
        """The steps of the journal in this range of offsets."""
        first, _ = (await self._reader.bounds([(self._topic, 0)]))[self._topic, 0]
        async for record in self._reader.read((self._topic, 0), max(begin, first), end):
            if record.key == session.encode():
                yield step_of(record.value, self._topic, record.offset)

    async def run(self, found: Found, state: State, *, whole: bool) -> int:
        """Up to the last step. With `whole` from the session's first input. Returns how many inputs were run again.

        StateError where something follows from them that was not recorded.
        """
        last = found.last
        begin, since = (0, 0) if whole else (state.journal, state.seq)
        steps = [step async for step in self.steps(last.session, begin, found.journal_end)]
        steps = [step for step in steps if step.run_id == last.run_id and step.seq > since]
        found_steps, wanted = [step.seq for step in steps], [*range(since + 1, last.seq + 1)]
        if len(set(found_steps)) < len(found_steps):
            raise DamagedError(
                f"topic {self._topic}: two processes have written steps of session {last.session}: give both the same "
                "live.transactional_id, which shuts one of them out, and begin a new session with --new"
            )
        if found_steps != wanted:
            raise self._gone(f"of the steps {since + 1} to {last.seq} it holds {len(steps)}")
        journal, count = Journal() if whole else Journal(state.events, state.digest), 0
        for step in steps:
            if step.seq > state.seq:
                self.asked += step.asked
            for run in self._runs(journal, step):
                await self._core.enter_again(run)
                count += 1
                event = run.records[0].event
                if isinstance(event, Bars | Late):
                    self._cut_inputs.setdefault(step.seq, []).append(_kept(event))
        self._check_whole(journal, last)
        await self._follow([step for step in steps if step.seq > state.seq], state, last)
        self._core.course.resume(last.course)
        self._core.take_blocks()  # they are in the journal already
        self._core.journal.begin_again()
        return count

    def _runs(self, journal: Journal, step: Step) -> Iterable[Run]:
        for block in step.blocks:
            run = journal.read(block)
            if run is not None:
                yield run

    def _check_whole(self, journal: Journal, last: Step) -> None:
        if (journal.events, journal.digest) != (last.events, last.digest):
            raise self._gone(f"it leads to event {journal.events}, and its last step is at {last.events}")

    def _gone(self, what: str) -> DamagedError:
        return DamagedError(f"topic {self._topic}: {what}: some of it is gone; begin a new session with --new")

    # ---- the slicer --------------------------------------------------------------------------------------------------

    async def _follow(self, steps: Sequence[Step], state: State, last: Step) -> None:
        """Cuts the bars between two positions as they were cut, and compares the slices with those recorded."""
        waiting = {
            place: deque(found) for place, found in (await self._between(state.offsets, last.offsets, last)).items()
        }
        for step in steps:
            if step.cuts:
                left_out = set(step.left_out)
                places = [(topic, part, end) for topic, parts in step.offsets.items() for part, end in parts.items()]
                arrived = [
                    (bar, _LONG_AGO)
                    for topic, part, end in places
                    for bar in self._taken((topic, part), waiting[topic, part], end, left_out)
                ]
                self._cut(step, arrived)

    def _taken(
        self, place: Place, records: deque[Received], end: int, left_out: set[tuple[str, int, int]]
    ) -> Iterable[Bar]:
        """The bars before this offset, taken off; not what was no bar."""
        while records and records[0].offset < end:
            record = records.popleft()
            if (*place, record.offset) not in left_out:
                bar = self._sorter(place, record)
                if isinstance(bar, Bar):
                    yield bar

    def _cut(self, step: Step, arrived: list[tuple[Bar, int]]) -> None:
        events: list[Event] = []
        for k, words in enumerate(step.cuts):
            events += self._core.course.follow(cut_of(words), arrived if k == 0 else ())
        found = [_kept(event) for event in events if isinstance(event, Bars | Late)]
        recorded = self._cut_inputs.pop(step.seq, [])
        if heard(found, recorded) != recorded:
            raise StateError(
                f"bars: the slices of step {step.seq} are not those that were recorded, so the topic was changed; no "
                "order is sent: begin a new session with --new"
            )

    async def _between(self, begin: Offsets, end: Offsets, last: Step) -> Mapping[Place, list[Received]]:
        """The records of the bars topics between two positions; the last of them must be the one that was read."""
        since = {
            (topic, partition): (begin.get(topic, {}).get(partition, 0), until)
            for topic, parts in end.items()
            for partition, until in parts.items()
        }
        known = {(topic, part): bar for topic, parts in last.last.items() for part, bar in parts.items()}
        bounds = await self._reader.bounds(list(since))
        ranges = dict(since)
        for place, bar in known.items():
            start, until = since[place]
            if bounds[place][0] <= bar.offset < start:
                ranges[place] = (bar.offset, until)
        found = await self._reader.read_all(ranges)
        for place, bar in known.items():
            check_same(place, bar, next((r for r in reversed(found[place]) if r.offset == bar.offset), None))
        for place, (start, _) in since.items():
            found[place] = [record for record in found[place] if record.offset >= start]
        return found


def _kept(event: Bars | Late) -> tuple[str, int, bytes]:
    return event.__class__.__name__, event.ts, content_of(PLANS[event.__class__], event)
