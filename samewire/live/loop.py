"""Decides: takes what arrives, runs it through the core, and hands completed steps to the writer."""

from collections import deque
from collections.abc import Callable

import msgspec

from adapters.kafka.codec import Codec
from adapters.kafka.envelope import DeadLetter
from adapters.kafka.live_record import CutWords, Offsets, Step, words_of
from adapters.kafka.source import Source, Unusable
from engine.clock import Clock
from engine.course import Input
from engine.cuts import Bar
from engine.errors import DataError
from engine.events import Bars, Late
from engine.instants import instant_text
from samewire.live.asking import Asking
from samewire.live.core import Core
from samewire.live.keeping import STATE, State, artefact_blob, packed
from samewire.live.outgoing import Outgoing
from samewire.live.teaching import Teaching
from samewire.live.writing import Names, Writer

_NANO = 1_000_000_000
Tell = Callable[..., None]  # a line of the log


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """When what was decided is written, and when all state is."""

    snapshot_every: int
    batch_ns: int
    batch_records: int
    ordered: bool  # whether each partition is in the order of its bars' ends
    late: str  # what becomes of a bar whose slice was cut: next, ignore or stop, as `live.late` says
    poison_max: int


class Standing(msgspec.Struct, kw_only=True):
    """Where a session stands, behind its last step."""

    seq: int = 0
    offsets: Offsets
    control: int = 0
    slices: int = 0
    kept_at: int = 0  # slices when the last snapshot was taken
    dead: int = 0
    vain: int = 0  # of these, what operators asked and could not be followed
    ts: int = 0  # of the last input


class Loop:
    """Runs a session from input to step.

    Everything that follows from one bar, one command or the passing of time is one step; while there is a backlog
    several steps are written together.
    """

    def __init__(  # noqa: PLR0913 - the parts that a session is made of
        self,
        *,
        core: Core,
        source: Source,
        writer: Writer,
        names: Names,
        standing: Standing,
        pace: Pace,
        clock: Clock,
        codec: Codec,
        outgoing: Outgoing,
        asking: Asking,
        without: list[str],
        tell: Tell,
    ) -> None:
        self.core, self.source, self.writer, self.standing = core, source, writer, standing
        self._names, self._pace, self._clock, self.codec = names, pace, clock, codec
        self._outgoing, self._asking, self._without, self._tell = outgoing, asking, without, tell
        self._asked: list[str] = []  # ids that were followed since the last step
        self.teaching: Teaching | None = None  # where models are trained again
        self._cuts: list[CutWords] = []
        self._entered = False
        self._left_out: list[tuple[str, int, int]] = []
        self._dead: deque[Unusable] = deque()
        self._front = self._promised = -(1 << 62)
        self._mono, self._now = 0, -(1 << 62)

    # ---- deciding ----------------------------------------------------------------------------------------------------

    async def decide(self) -> bool:
        """Runs what can be run now, as far as one transaction goes. Returns whether there is something to write."""
        begun = self._clock.monotonic_ns()
        self._look()
        while True:
            self._command()
            if await self._run_on():
                if self._full(begun):
                    break
                continue
            self._look()
            if self._now >= self.core.course.due and self.core.course.advance(self._now):
                continue  # before a bar is taken: a cut speaks of all that were
            bar = None if self.core.over else self.source.take(self.core.limit)
            if bar is None:
                if not self._pass_time():
                    break
                continue
            self._take(bar)
        return self.writer.records > 0

    def _take(self, bar: Bar) -> None:
        """This bar, and what else is there of its slice: a symbol that nobody waits for is in it all the same."""
        core = self.core
        if bar.ts > self._front:
            self._front = bar.ts
            core.clock.saw(bar.ts, self._mono)
        core.course.arrive(bar, self._now, *self.source.take_all(bar.ts))

    async def _run_on(self) -> bool:
        """Runs the inputs that are due, and closes the step they make. Returns whether there were any."""
        core = self.core
        while True:
            if self.teaching is not None and (ts := core.course.cut) is not None:
                await self._take_over(self.teaching, ts)
            if (given := core.course.next(self._now)) is None:
                break
            self._entered = True
            await self._enter(given)
        if not self._entered:
            return False
        self._entered = False
        self._close()
        return True

    async def _enter(self, given: Input) -> None:
        event = given.event
        if isinstance(event, Late) and self._pace.late != "next":
            self._unheard(event)
            return
        events = await self.core.enter(given)
        self.standing.ts = event.ts
        if given.cut is not None:
            self._cuts.append(words_of(given.cut))
        if isinstance(event, Bars):
            self.standing.slices += 1
            if self.teaching is not None:
                self.teaching.closed(event.ts, event.interval_ns)
        self.writer.add(self._outgoing.records(events))

    async def _take_over(self, teaching: Teaching, ts: int) -> None:
        """Models that were trained again take over before the slice at `ts`; their artefacts are kept with the step."""
        for control, artefact in await teaching.due(ts):
            if artefact is not None:
                self.core.wiring.admit(artefact)
                self.writer.blob(*artefact_blob(artefact), ts)
            self.core.course.before_bars(control)

    def _unheard(self, late: Late) -> None:
        """Bars that came too late for a session that does not want to hear of them."""
        if self._pace.late == "stop":
            of = instant_text(late.slice_ts)
            raise DataError(
                f"{len(late.symbol)} bars of {of} came after their slice was cut, and live.late is stop; "
                "mend the feed, or go on with live.late next or ignore"
            )
        self.writer.add(self.codec.late(late))

    def _pass_time(self) -> bool:
        """What follows without a bar, from a promise of the partitions or the time. Returns whether anything may."""
        core = self.core
        latest, promise = self.source.latest, self.source.promise
        if latest is not None:
            core.clock.saw(latest, self._mono)
        self._look()
        new = self._pace.ordered and promise is not None and promise > self._promised
        if promise is not None and new and not self.source.may_lack(*core.slicer.awaited):
            self._promised = promise
            if core.course.promise(promise, self._now):
                return True
        if self._now >= core.course.due:
            return core.course.advance(self._now) or core.course.is_due(self._now)
        return False

    def _look(self) -> None:
        """Reads the clocks."""
        self._mono = self._clock.monotonic_ns()
        if self.source.catching_up(self.core.limit):
            self.core.clock.hold(self._mono)
        self._now = self.core.clock.now(self.core.slicer.next, self._mono)

    def _command(self) -> None:
        """What an operator asked for enters before the next slice: one at a time, since it is judged by what is."""
        if not self.source.commands:
            return
        record = self.source.commands.popleft()
        asked = self._asking.take(record)
        self.standing.control = record.offset + 1
        self._entered = True  # said at once: nobody waits for a slice to hear that a command was wrong
        if isinstance(asked, Unusable):
            self._dead.append(asked)
            self._tell("control.refused", reason=asked.text)
        elif asked is not None:
            for name, content in asked.blobs:
                self.writer.blob(name, content, self.standing.ts)
            self.core.course.command(asked.control)
            self._asked.append(asked.id)
            words = ("action", "component", "artefact", "latch", "actor", "reason")
            said = {word: str(getattr(asked.control, word)) for word in words}
            self._tell("control.followed", id=asked.id, **{word: text for word, text in said.items() if text})

    def wait_s(self, most: float) -> float:
        """How long nothing will follow unless something arrives."""
        ns = self.core.clock.wait_ns(self.core.course.due, self.core.slicer.next, self._clock.monotonic_ns())
        return most if ns is None else min(most, ns / _NANO)

    def _full(self, begun: int) -> bool:
        if self.writer.records >= self._pace.batch_records or not self.source.behind:
            return True
        return self._clock.monotonic_ns() - begun >= self._pace.batch_ns

    # ---- steps -------------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        """Writes down what was decided and where that leaves the session."""
        standing = self.standing
        standing.seq += 1
        if self._cuts:
            self._stand()
        self._letters()
        self.writer.step(self._step(), standing.ts)
        self._cuts, self._left_out, self._asked = [], [], []
        if standing.slices - standing.kept_at >= self._pace.snapshot_every:
            self.keep()

    def _stand(self) -> None:
        """The position is behind everything that was taken; what of it could not be used goes to the dead letters."""
        self.standing.offsets = self.source.position()
        self._dead += self.source.unusable
        self._left_out = [(each.topic, each.partition, each.offset) for each in self.source.unusable]
        self.source.unusable.clear()

    def _step(self, *, ended: bool = False) -> Step:
        names, standing, core = self._names, self.standing, self.core
        return Step(
            session=names.session,
            run_id=names.run_id,
            config=names.config,
            code=names.code,
            writer=names.writer,
            cluster=names.cluster,
            seq=standing.seq,
            events=core.journal.events,
            digest=core.journal.position,
            blocks=core.take_blocks(),
            cuts=self._cuts,
            offsets=standing.offsets,
            control=standing.control,
            last=self.source.last,
            left_out=self._left_out,
            course=core.course.position,
            kept=self.writer.kept,
            asked=self._asked,
            mode=int(core.mode),
            tally=msgspec.structs.asdict(core.tally) | {"dead": standing.dead, "vain": standing.vain},
            plans={} if self.teaching is None else self.teaching.save(),
            ended=ended,
        )

    def _letters(self) -> None:
        for each in self._dead:
            self.standing.dead += 1
            self.standing.vain += each.reason == "control"
            letter = DeadLetter(
                topic=each.topic,
                partition=each.partition,
                offset=each.offset,
                ts=each.timestamp_ms * 1_000_000,
                reason=each.reason,
                text=each.text,
                value=each.value,
                key=each.key,
            )
            self.writer.add([self.codec.deadletter(letter)])
        self._dead.clear()
        spoilt = self.standing.dead - self.standing.vain
        if spoilt > self._pace.poison_max:
            raise DataError(
                f"{spoilt} records could not be used, more than live.poison_max: {self._pace.poison_max}; "
                f"look at the topic {self._names.deadletter}, mend the feed, and start again"
            )

    def keep(self) -> None:
        """Writes all state, behind the last step; a reader of the journal may begin there."""
        standing, core = self.standing, self.core
        core.journal.begin_again()
        state = State(
            events=core.journal.events,
            digest=core.journal.position,
            seq=standing.seq,
            journal=self.writer.journal,
            wiring=core.wiring.save(),
            slicer=core.course.save(),
            course=core.course.position,
            offsets=standing.offsets,
            control=standing.control,
            slices=standing.slices,
            without=self._without,
            asked=self._asking.known,
        )
        self.writer.blob(STATE, packed(state), standing.ts)
        standing.kept_at = standing.slices

    def rest(self) -> None:
        """A step in which nothing was decided: all state, and where the session stands.

        The slicer holds bars since the last cut by now, so that the position is behind those too.
        """
        self._stand()
        self._letters()
        self.keep()
        self.standing.seq += 1
        self.writer.step(self._step(), self.standing.ts)

    def end(self) -> None:
        """The session came to its end: no process goes on with it."""
        self.core.wiring.barrier.check()
        self.core.journal.end()
        self._stand()
        self._letters()
        self.standing.seq += 1
        self.writer.step(self._step(ended=True), self.standing.ts)
