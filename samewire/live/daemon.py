"""The daemon: begins a session or takes one up, and runs it until it is told to stop, or the session ends.

Order of a start: fence whoever ran before; read the journal's tail; restore the last snapshot; run the recorded inputs
again with every answer compared; go on where the journal says that it stood.
"""

import asyncio
import contextlib
import datetime as dt
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from adapters.kafka.address import KafkaError
from adapters.kafka.codec import Codec, Origin
from adapters.kafka.epochs import tell_apart
from adapters.kafka.live_record import Offsets, Step
from adapters.kafka.settings import Kafka
from adapters.kafka.settling import settle
from adapters.kafka.source import BarRules, Sorter, Source
from adapters.kafka.topics import Topic, interval_name
from adapters.kafka.transport import Outbox, Place, Reader, transact
from engine.clock import Clock
from engine.errors import ConfigError
from engine.instants import instant_text
from engine.journal import GENESIS
from engine.protocols import Artefact, Feed
from samewire.live import keeping
from samewire.live.asking import Asking, swapping
from samewire.live.beginning import Beginning, beginning_of
from samewire.live.core import Core, Tally
from samewire.live.health import in_words, status_of
from samewire.live.loop import Loop, Pace, Standing
from samewire.live.manner import AS_USUAL as AS_USUAL
from samewire.live.manner import Manner as Manner
from samewire.live.manner import Ready as Ready
from samewire.live.outgoing import Outgoing
from samewire.live.recovery import Found, Recovery, check_none, check_partitions, last_step, left, unneeded
from samewire.live.teaching import Teaching, plans_of, untaught
from samewire.live.writing import Names, Writer
from samewire.prepare import Wired, warm_up, wired
from samewire.provenance import own_code
from samewire.retraining_worker import NotReady, Trained, turn
from samewire.run_file import RunFile
from samewire.schema import config_hash
from samewire.taught import Learned

_IDLE_S = 1.0  # between two looks at what only time brings about


Tell = Callable[..., None]


class Daemon:
    """One live session in this process. `outbox` and `reader` are its only way to Kafka.

    `feed` is the run file's, where somebody has built it already.
    """

    def __init__(  # noqa: PLR0913 - the ways to the outside
        self,
        run: RunFile,
        settings: Kafka,
        *,
        outbox: Outbox,
        reader: Reader,
        clock: Clock,
        feed: Feed | None = None,
        manner: Manner = AS_USUAL,
        tell: Tell = lambda *said, **more: None,
    ) -> None:
        self._run, self._settings, self._manner, self._feed = run, settings, manner, feed
        self._outbox, self._reader, self._clock, self._tell = outbox, reader, clock, tell
        self._env = settings.environment(shadow=manner.shadow)
        self._stop = asyncio.Event()
        self._began, self._code = clock.now_ns(), own_code()
        self._loop: Loop | None = None
        self._source: Source | None = None
        self._names: Names | None = None
        self._first: Beginning | None = None  # its first step, until it was told that this expires
        self.ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()

    def stop(self) -> None:
        """Ends in order once the step under way is written."""
        self._stop.set()
        if self._source is not None:
            self._source.news.set()

    async def run(self) -> None:
        """Until the session ends or `stop`. KafkaError, StateError and whatever a component raises end it at once."""
        try:
            if not self._stop.is_set():
                loop, source = await self._start()
                await self._go_on(loop, source)
        except KafkaError as error:
            await tell_apart(self._outbox.succeeded, error)
            raise
        finally:
            if self._source is not None:
                await self._source.close()
            if self._loop is not None:
                if self._loop.teaching is not None:
                    await self._loop.teaching.close()
                with contextlib.suppress(Exception):  # what failed first is what must be told
                    await self._loop.core.aclose()
            await self._outbox.close()
            await self._reader.close()

    async def _go_on(self, loop: Loop, source: Source) -> None:
        health, caught_up = self._clock.monotonic_ns(), False
        while not self._stop.is_set():
            source.check()
            source.news.clear()
            if await loop.decide():
                await loop.writer.commit()
            elif loop.core.over:
                loop.end()
                await loop.writer.commit()
                said = f"the session came to its end behind {instant_text(loop.standing.ts)}"
                self._tell("session.ended", said=said, events=loop.core.journal.events, digest=loop.core.journal.digest)
                await self._status("stopped")
                return
            else:
                await source.wait(loop.wait_s(_IDLE_S))
            first = not (caught_up or source.behind)
            if first or self._clock.monotonic_ns() - health >= self._settings.health_s * 1e9:
                health, caught_up = self._clock.monotonic_ns(), caught_up or first
                await self._status("catching_up" if source.behind else "live")
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
        await settle(self._reader, [(journal, 0), (snapshots, 0)])
        step, end = await last_step(self._reader, journal, session)
        if step is None or self._manner.new:
            if not self._manner.new:
                await check_none(self._reader, snapshots, journal, session)
            loop, source = await self._begin()
            inputs = 0
        else:
            self._check(step)
            await check_partitions(self._reader, step)
            found = await left(self._reader, snapshots, step, end)
            loop, source, inputs = await self._take_up(found)
        self._loop, self._source = loop, source
        if loop.teaching is not None:
            loop.teaching.begin()
        last, upto = ({}, 0) if step is None or self._manner.new else (step.last, step.course[0])
        await source.start(loop.standing.offsets, loop.standing.control, last, upto)
        took = (self._clock.monotonic_ns() - begun) / 1e9
        core = loop.core.journal
        ready = Ready(
            recovered=step is not None and not self._manner.new,
            inputs=inputs, events=core.events, digest=core.digest, took_s=took,
        )  # fmt: skip
        self.ready.set_result(ready)
        self._tell("session.ready", said=self._stands(ready, loop), **msgspec.structs.asdict(ready))
        if step is None or self._manner.new:  # its first step is committed, and seen a moment later
            await settle(self._reader, [(journal, 0), (snapshots, 0)])
            step, _ = await last_step(self._reader, journal, session)
        if step is not None:
            step = msgspec.structs.replace(step, kept=loop.writer.kept)
            self._first = await beginning_of(self._reader, (journal, snapshots), step, self._manner.journal_ms)
            if self._first.gone:
                stamp = max(0, loop.standing.ts // 1_000_000)
                loop.writer.add(await unneeded(self._reader, snapshots, loop.writer.kept, stamp))
        await self._status("catching_up")
        return loop, source

    def _stands(self, ready: Ready, loop: Loop) -> str:
        """A start that came about, in words."""
        how = f"{ready.inputs:,} inputs again, all with the same answers" if ready.recovered else "a new session"
        where = f"behind {instant_text(loop.standing.ts)}, mode {loop.core.mode.name}"
        shadow = ", a shadow: it sends no orders" if self._manner.shadow else ""
        return f"live since {instant_text(self._clock.now_ns())}, after {ready.took_s:.1f} s: {how}; {where}{shadow}"

    def _check(self, step: Step) -> None:
        """Whether this process may go on with the session. ConfigError that says what has changed."""
        if step.ended:
            said = "it came to its end; begin a new one with --new, or name another"
            raise ConfigError(f"session {step.session}: {said}")
        self._check_place(step)
        if step.config != config_hash(self._run):
            raise ConfigError(
                f"session {step.session}: it ran with configuration {step.config[:12]} and this one is "
                f"{config_hash(self._run)[:12]}; bring the run file back, or begin a new session with --new"
            )
        code = self._code
        if step.code != code and not self._manner.changed_code:
            raise ConfigError(
                f"session {step.session}: it ran with code {step.code[:12]} and this is {code[:12]}; bring that back, "
                "go on with --changed-code where it decides the same, or begin a new session with --new"
            )

    def _check_place(self, step: Step) -> None:
        """ConfigError where it would write beside its predecessor, or is somewhere else."""
        writer, cluster = self._manner.writer, self._manner.cluster
        if step.writer and writer and step.writer != writer:
            raise ConfigError(
                f"session {step.session}: live.transactional_id was {step.writer} and is {writer}; bring it back: who "
                "runs under the other one is not shut out"
            )
        if step.cluster and cluster and step.cluster != cluster:
            raise ConfigError(
                f"session {step.session}: its journal is of cluster {step.cluster} and this is {cluster}: offsets mean "
                "something else here; go back to that one, or begin a new session with --new"
            )

    async def _begin(self) -> tuple[Loop, Source]:
        """A new session: warmed up, with everything that another process needs to take it up in its first step."""
        run = self._run
        self._tell("session.building", said="a new session: reading history, training what the run file says")
        built = wired(untaught(run), None, None, self._feed)
        for text in built.learnt.warnings:
            self._tell("session.warning", said=text)
        names = self._named(built, run_id="")
        core = Core(run, built, self._settings.cut_rules())
        core.course.know(built.learnt.controls)
        slices = await warm_up(run, built.feed, core.wiring, built.start)
        begins = f"the session takes bars that end after {instant_text(core.start)}"
        self._tell("session.warmed_up", said=f"warmed up on {slices:,} slices of history; {begins}", slices=slices)
        offsets, control = await self._beginning(names)
        loop, source = self._made(built, core, names, Standing(offsets=offsets, control=control), [])
        loop.teaching = self._teaching(core, {})
        created = dt.datetime.fromtimestamp(self._began // 10**9, dt.UTC).isoformat()
        said = {"run_id": names.run_id, "name": names.session, "created": created}
        manifest = keeping.manifest_of(run, built, said)
        loop.writer.blob(keeping.MANIFEST, keeping.manifest_bytes(manifest), core.start)
        loop.writer.lasting = keeping.lasting(manifest)
        for artefact in {each.hash: each for each in built.learnt.artefacts.values()}.values():
            loop.writer.blob(*keeping.artefact_blob(artefact), core.start)
        loop.standing.ts = core.start
        loop.rest()
        await loop.writer.commit()
        return loop, source

    async def _take_up(self, found: Found) -> tuple[Loop, Source, int]:
        run, state = self._run, found.state
        said = f"taking run {found.last.run_id} up: everything since its snapshot behind event {state.events:,} again"
        self._tell("session.recovering", said=said, events=found.last.events)
        manifest = keeping.manifest_in(found.blobs)
        artefacts = keeping.artefacts_in(found.blobs)
        recorded: dict[str, Artefact] = {name: artefacts[hash_] for name, hash_ in manifest["models"].items()}
        built = wired(run, None, recorded, self._feed)
        for artefact in artefacts.values():
            built.wiring.admit(artefact)
        built = msgspec.structs.replace(built, learnt=Learned(recorded, keeping.controls_of(manifest)))
        names = self._named(built, run_id=found.last.run_id)
        whole = bool(state.without)
        events, digest = (0, GENESIS) if whole else (state.events, state.digest)
        core = Core(run, built, self._settings.cut_rules(), events=events, digest=digest)
        core.course.know(built.learnt.controls)
        if whole:
            self._tell("session.rebuilding", why=f"{', '.join(state.without)}: no save and load")
            await warm_up(run, built.feed, core.wiring, built.start)
        else:
            core.wiring.load(state.wiring)
        core.course.load(state.slicer)
        sorter = self._sorter(built, names, core)
        recovery = Recovery(self._reader, core, sorter, names.journal)
        count = await recovery.run(found, state, whole=whole)
        last = found.last
        core.book = core.wiring.ledger.book(last.course[0])  # what a report says before the next slice
        core.tally = Tally(**{name: last.tally.get(name, 0) for name in Tally.__struct_fields__})
        standing = Standing(
            seq=last.seq, ts=last.course[0], offsets=last.offsets, control=last.control, slices=core.tally.slices,
            kept_at=state.slices, dead=last.tally.get("dead", 0), vain=last.tally.get("vain", 0),
        )  # fmt: skip
        loop, source = self._made(built, core, names, standing, state.asked + recovery.asked)
        loop.teaching = self._teaching(core, last.plans)
        loop.writer.lasting = keeping.lasting(manifest)
        loop.writer.kept = dict(last.kept) | found.blobs.offsets
        loop.writer.journal = found.journal_end
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
            code=self._code,
            writer=self._manner.writer,
            cluster=self._manner.cluster,
            journal=self._topic("journal"),
            snapshots=self._topic("snapshots"),
            deadletter=self._topic("deadletter"),
            status=self._topic("status"),
            control=self._topic("control"),
            bars=bars,
        )
        return self._names

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
        source.taken = {topic: dict(parts) for topic, parts in standing.offsets.items()}
        pace = Pace(
            snapshot_every=settings.snapshot_every,
            batch_ns=round(settings.batch_ms * 1e6),
            batch_records=settings.batch_records,
            ordered=settings.ordered,
            late=settings.late,
            poison_max=settings.poison_max,
        )
        loop = Loop(
            core=core, source=source, writer=Writer(self._outbox, names), names=names, standing=standing, pace=pace,
            clock=self._clock, codec=codec,
            outgoing=Outgoing(codec, settings.account, shadow=self._manner.shadow),
            asking=Asking(
                names.control, swapping(self._run, built.given, core.wiring), core.wiring.ledger.latches, asked
            ),
            without=keeping.kept_whole(keeping.forgotten(self._run, built), names.journal, self._manner.journal_ms),
            tell=self._tell,
        )  # fmt: skip
        return loop, source

    def _teaching(self, core: Core, saved: dict[str, list[int]]) -> Teaching | None:
        """None where no model is trained again."""
        plans = plans_of(self._run, core.wired, core.ends, core.start, saved)
        if not plans:
            return None

        def train(name: str, known: int) -> Coroutine[Any, Any, Trained | NotReady]:
            return turn(self._run, name, known, allow=self._manner.allow)

        return Teaching(plans, train, wait_s=self._settings.retrain_wait_s, clock=self._clock, tell=self._tell)

    async def _beginning(self, names: Names) -> tuple[Offsets, int]:
        """Where a new session begins to read: everything that its topics of bars hold; of commands only later ones."""
        places: list[Place] = [(topic, part) for topic in names.bars for part in await self._reader.partitions(topic)]
        offsets: Offsets = {}
        for (topic, partition), (first, _) in (await self._reader.bounds(places)).items():
            offsets.setdefault(topic, {})[partition] = first
        control = (names.control, 0)
        return offsets, (await self._reader.bounds([control]))[control][1]

    async def _status(self, state: str) -> None:
        """Says how the session is: a record for whoever asks, and a line in the log."""
        loop, names = self._loop, self._names
        if loop is None or names is None:
            raise KafkaError("status: the session has not begun")
        said = status_of(loop, names, state, self._began, self._clock.now_ns())
        self._tell("session.health", said=in_words(said), **msgspec.structs.asdict(said))
        await transact(self._outbox, [loop.codec.status(said)])
        if self._first is not None and (word := self._first.word(self._clock.now_ns())):
            self._first = None
            self._tell("session.beginning_expires", said=word)
