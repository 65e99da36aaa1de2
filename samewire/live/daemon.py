"""The daemon: begins a session or takes one up, and runs it until it is told to stop, or the session ends.

Order of a start: fence whoever ran before; read the journal's tail; restore the last snapshot; run the recorded inputs
again with every answer compared; go on where the journal says that it stood.
"""

import asyncio
import contextlib
import datetime as dt
import hashlib
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from adapters.kafka.address import KafkaError
from adapters.kafka.codec import Codec, Origin
from adapters.kafka.live_record import Offsets, Step
from adapters.kafka.messages import StatusMessage
from adapters.kafka.source import BarRules, Sorter, Source
from adapters.kafka.topics import Topic, interval_name
from adapters.kafka.transport import Outbox, Place, Reader, transact
from engine.clock import Clock
from engine.cuts import CutRules
from engine.errors import ConfigError
from engine.events import Mode
from engine.protocols import Artefact
from samewire.live import keeping
from samewire.live.asking import Asking, swapping
from samewire.live.core import Core
from samewire.live.loop import Loop, Pace, Standing
from samewire.live.outgoing import Outgoing
from samewire.live.recovery import Found, Recovery, last_step, left
from samewire.live.writing import Names, Writer
from samewire.prepare import Wired, warm_up, wired
from samewire.provenance import own_code
from samewire.run_file import RunFile
from samewire.schema import config_hash
from samewire.taught import Learned

_IDLE_S = 1.0  # between two looks at what only time brings about
_NEVER = 1 << 63  # ns: a bar is not ahead of a slicer that has not been told the time yet either
_LATE_MAX = 1_000_000  # late bars that wait for the next slice


class Settings(Protocol):
    """What of `live:` the daemon reads: see adapters.kafka.settings.Kafka."""

    env: str
    account: str
    snapshot_every: int
    health_s: float
    poison_max: int
    batch_ms: float
    batch_records: int
    ordered: bool
    late: str
    skew_s: float
    ahead_s: float

    def cut_rules(self) -> CutRules: ...


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """How it is asked to run."""

    new: bool = False  # begin a session anew, whatever the journal holds
    changed_code: bool = False  # go on with other code than the session ran with, if it decides the same
    shadow: bool = False  # decide and publish to topics of its own, send no orders


AS_USUAL = Manner()


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What a start came to."""

    recovered: bool
    inputs: int  # that were run again
    events: int
    digest: str
    took_s: float


Tell = Callable[..., None]


class Daemon:
    """One live session in this process. `outbox` and `reader` are its only way to Kafka."""

    def __init__(  # noqa: PLR0913 - the ways to the outside
        self,
        run: RunFile,
        settings: Settings,
        *,
        outbox: Outbox,
        reader: Reader,
        clock: Clock,
        manner: Manner = AS_USUAL,
        tell: Tell = lambda *said, **more: None,
    ) -> None:
        refuse(run)
        self._run, self._settings, self._manner = run, settings, manner
        self._outbox, self._reader, self._clock, self._tell = outbox, reader, clock, tell
        self._env = f"{settings.env}-shadow" if manner.shadow else settings.env
        self._stop = asyncio.Event()
        self._began = clock.now_ns()
        self._loop: Loop | None = None
        self._source: Source | None = None
        self._names: Names | None = None
        self.ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()

    def stop(self) -> None:
        """Ends in order once the step under way is written."""
        self._stop.set()
        if self._source is not None:
            self._source.news.set()

    async def run(self) -> None:
        """Until the session ends or `stop`. KafkaError, StateError and whatever a component raises end it at once."""
        try:
            loop, source = await self._start()
            await self._go_on(loop, source)
        finally:
            if self._source is not None:
                await self._source.close()
            if self._loop is not None:
                with contextlib.suppress(Exception):  # what failed first is what must be told
                    await self._loop.core.aclose()
            await self._outbox.close()
            await self._reader.close()

    async def _go_on(self, loop: Loop, source: Source) -> None:
        health = self._clock.monotonic_ns()
        while not self._stop.is_set():
            source.check()
            source.news.clear()
            if await loop.decide():
                await loop.writer.commit()
            elif loop.core.over:
                loop.end()
                await loop.writer.commit()
                self._tell("session.ended", events=loop.core.journal.events, digest=loop.core.journal.digest)
                await self._status("stopped")
                return
            else:
                await source.wait(loop.wait_s(_IDLE_S))
            if self._clock.monotonic_ns() - health >= self._settings.health_s * 1e9:
                health = self._clock.monotonic_ns()
                await self._status("catching_up" if source.behind else "live")
        loop.keep()
        loop.rest()
        await loop.writer.commit()
        await self._status("stopped")

    def summary(self) -> dict[str, Any]:
        """Where the session stood when this process ended."""
        loop, names = self._loop, self._names
        if loop is None or names is None:
            return {}
        standing, journal = loop.standing, loop.core.journal
        return {
            "session": names.session,
            "run_id": names.run_id,
            "digest": journal.digest,
            "events": journal.events,
            "slices": standing.slices,
            "transactions": loop.writer.transactions,
            "dead_letters": standing.dead,
            "late": loop.core.slicer.counts.late,
        }

    # ---- beginning ---------------------------------------------------------------------------------------------------

    async def _start(self) -> tuple[Loop, Source]:
        begun = self._clock.monotonic_ns()
        await self._outbox.start()  # first: what a predecessor left open is ended, so that the journal is whole
        await self._reader.start()
        journal, snapshots = self._topic("journal"), self._topic("snapshots")
        session = self._run.session.name
        step, end = await last_step(self._reader, journal, session)
        if step is None or self._manner.new:
            loop, source = await self._begin()
            inputs = 0
        else:
            self._check(step)
            found = await left(self._reader, snapshots, step, end)
            loop, source, inputs = await self._take_up(found)
        self._loop, self._source = loop, source
        await source.start(loop.standing.offsets, loop.standing.control)
        took = (self._clock.monotonic_ns() - begun) / 1e9
        core = loop.core.journal
        ready = Ready(
            recovered=step is not None and not self._manner.new,
            inputs=inputs, events=core.events, digest=core.digest, took_s=took,
        )  # fmt: skip
        self.ready.set_result(ready)
        self._tell("session.ready", **msgspec.structs.asdict(ready))
        await self._status("catching_up")
        return loop, source

    def _check(self, step: Step) -> None:
        """Whether this process may go on with the session. ConfigError that says what has changed."""
        if step.ended:
            raise ConfigError(
                f"session {step.session}: it came to its end; begin a new one with --new, or name another"
            )
        if step.config != config_hash(self._run):
            raise ConfigError(
                f"session {step.session}: it ran with configuration {step.config[:12]} and this one is "
                f"{config_hash(self._run)[:12]}; bring the run file back, or begin a new session with --new"
            )
        code = own_code()
        if step.code != code and not self._manner.changed_code:
            raise ConfigError(
                f"session {step.session}: it ran with code {step.code[:12]} and this is {code[:12]}; bring that back, "
                "go on with --changed-code where it decides the same, or begin a new session with --new"
            )

    async def _begin(self) -> tuple[Loop, Source]:
        """A new session: warmed up, with everything that another process needs to take it up in its first step."""
        run = self._run
        built = wired(run, None, None)
        names = self._named(built, run_id="")
        core = Core(run, built, self._cutting())
        core.course.know(built.learnt.controls)
        await warm_up(run, built.feed, core.wiring, built.start)
        offsets, control = await self._beginning(names)
        loop, source = self._made(built, core, names, Standing(offsets=offsets, control=control), [])
        manifest = keeping.manifest_of(
            run, built, {"run_id": names.run_id, "name": names.session, "created": self._date()}
        )
        loop.writer.blob(keeping.MANIFEST, keeping.manifest_bytes(manifest), core.start)
        for artefact in {each.hash: each for each in built.learnt.artefacts.values()}.values():
            loop.writer.blob(*keeping.artefact_blob(artefact), core.start)
        loop.standing.ts = core.start
        loop.keep()
        loop.rest()
        await loop.writer.commit()
        return loop, source

    async def _take_up(self, found: Found) -> tuple[Loop, Source, int]:
        run, state = self._run, found.state
        manifest = keeping.manifest_in(found.blobs)
        artefacts = keeping.artefacts_in(found.blobs)
        recorded: dict[str, Artefact] = {name: artefacts[hash_] for name, hash_ in manifest["models"].items()}
        built = wired(run, None, recorded)
        for artefact in artefacts.values():
            built.wiring.admit(artefact)
        built = msgspec.structs.replace(built, learnt=Learned(recorded, keeping.controls_of(manifest)))
        names = self._named(built, run_id=found.last.run_id)
        whole = bool(state.without)
        at = {} if whole else {"events": state.events, "digest": state.digest}
        core = Core(run, built, self._cutting(), **at)
        core.course.know(built.learnt.controls)
        if whole:
            self._tell("session.rebuilding", why=f"{', '.join(state.without)}: no save and load")
            await warm_up(run, built.feed, core.wiring, built.start)
        else:
            core.wiring.load(state.wiring)
        core.course.load(state.slicer)
        sorter = self._sorter(built, names, core)
        count = await Recovery(self._reader, core, sorter, names.journal).run(found, state, whole=whole)
        last = found.last
        standing = Standing(seq=last.seq, offsets=last.offsets, control=last.control, slices=state.slices)
        loop, source = self._made(built, core, names, standing, state.asked)
        loop.writer.kept = dict(last.kept) | found.blobs.offsets
        loop.writer.journal = found.journal_end
        standing.kept_at = state.slices
        standing.slices = state.slices + core.tally.slices
        return loop, source, count

    # ---- parts -------------------------------------------------------------------------------------------------------

    def _topic(self, kind: str, name: str = "") -> str:
        return str(Topic(self._env, kind, name or self._run.session.name))

    def _named(self, built: Wired, run_id: str) -> Names:
        intervals = sorted({built.feed.interval_ns, *built.parts.intervals})
        bars = {str(Topic(self._settings.env, "bars", interval_name(each))): each for each in intervals}
        config = config_hash(self._run)
        made = hashlib.blake2b(f"{config}{self._began}".encode(), digest_size=8).hexdigest()
        self._names = Names(
            session=self._run.session.name,
            run_id=run_id or made,
            config=config,
            code=own_code(),
            journal=self._topic("journal"),
            snapshots=self._topic("snapshots"),
            deadletter=self._topic("deadletter"),
            status=self._topic("status"),
            control=self._topic("control"),
            bars=bars,
        )
        return self._names

    def _cutting(self) -> CutRules:
        """When slices are cut. Bars from the future are sorted out before, by a clock that the slicer does not have."""
        return msgspec.structs.replace(self._settings.cut_rules(), skew_ns=_NEVER, late_max=_LATE_MAX)

    def _rules(self, names: Names, core: Core) -> BarRules:
        settings = self._settings
        skew, ahead = round(settings.skew_s * 1e9), round(settings.ahead_s * 1e9)
        return BarRules(since=core.start, intervals=names.bars, skew_ns=skew, ahead_ns=ahead)

    def _codec(self, built: Wired, names: Names) -> Codec:
        origin = Origin(daemon=names.session, run_id=names.run_id, code_version=names.code, config_hash=names.config)
        return Codec(self._env, built.feed.universe, origin)

    def _sorter(self, built: Wired, names: Names, core: Core) -> Sorter:
        return Sorter(self._codec(built, names).bar_of, self._rules(names, core))

    def _made(
        self, built: Wired, core: Core, names: Names, standing: Standing, asked: list[str]
    ) -> tuple[Loop, Source]:
        settings, codec = self._settings, self._codec(built, names)
        source = Source(self._reader, self._sorter(built, names, core), names.control, self._clock)
        pace = Pace(
            snapshot_every=settings.snapshot_every,
            batch_ns=round(settings.batch_ms * 1e6),
            batch_records=settings.batch_records,
            ordered=settings.ordered,
            stop_on_late=settings.late == "stop",
            poison_max=settings.poison_max,
        )
        loop = Loop(
            core, source, Writer(self._outbox, names), names, standing,
            pace=pace, clock=self._clock, codec=codec,
            outgoing=Outgoing(codec, settings.account, shadow=self._manner.shadow),
            asking=Asking(names.control, swapping(self._run, built, core.wiring), asked),
            without=keeping.forgotten(self._run, built),
        )  # fmt: skip
        return loop, source

    async def _beginning(self, names: Names) -> tuple[Offsets, int]:
        """Where a new session begins to read: everything that its topics of bars hold; of commands only later ones."""
        places: list[Place] = [(topic, part) for topic in names.bars for part in await self._reader.partitions(topic)]
        offsets: Offsets = {}
        for (topic, partition), (first, _) in (await self._reader.bounds(places)).items():
            offsets.setdefault(topic, {})[partition] = first
        control = (names.control, 0)
        return offsets, (await self._reader.bounds([control]))[control][1]

    def _date(self) -> str:
        return dt.datetime.fromtimestamp(self._began // 10**9, dt.UTC).isoformat()

    async def _status(self, state: str) -> None:
        """Says how the session is: a record for whoever asks, and a line in the log."""
        loop, names = self._loop, self._names
        if loop is None or names is None:
            raise KafkaError("status: the session has not begun")
        said = status_of(loop, names, state, self._began, self._clock.now_ns())
        self._tell("session.health", **{k: v for k, v in msgspec.structs.asdict(said).items() if v is not None})
        await transact(self._outbox, [loop.codec.status(said)])


def status_of(loop: Loop, names: Names, state: str, began: int, now: int) -> StatusMessage:
    core, standing, counts = loop.core, loop.standing, loop.core.slicer.counts
    mode = Mode.ACTIVE if core.book is None else Mode(core.book.mode)
    return StatusMessage(
        session=names.session,
        run_id=names.run_id,
        state=state,
        mode=mode.name,
        started_at=began,
        uptime_s=(now - began) / 1e9,
        ts=standing.ts or None,
        slices=standing.slices,
        placed=counts.placed,
        late=counts.late,
        missing=core.tally.missing,
        duplicates=counts.duplicates,
        conflicts=counts.conflicts,
        revised=counts.revised,
        unfit=counts.unfit,
        ahead=counts.ahead,
        dead_letters=standing.dead,
        orders=core.tally.orders,
        fills=core.tally.fills,
        refusals=core.tally.refusals,
        equity=None if core.book is None else float(core.book.equity),
        lag=loop.source.lag,
    )


def refuse(run: RunFile) -> None:
    """What a run file may ask of a replay and not, yet, of a live session."""
    for spec in run.models:
        if spec.retrain is not None:
            raise ConfigError(
                f"models.{spec.component.name}.retrain: a live session does not train; train with `samewire train` and "
                "hand the artefact over with `samewire swap-model`"
            )
