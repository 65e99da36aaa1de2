"""What a live session was given, run once more through a fresh wiring: compared, folded, written as a directory."""

import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from engine.bus import Recorder
from engine.clock import Clock
from engine.errors import ComponentError, SamewireError, StateError
from engine.events import Event
from engine.journal_reading import Reader as Journal
from engine.journal_reading import Run
from engine.protocols import Artefact
from samewire.auditing import NOTHING
from samewire.execute import concluded
from samewire.hiding import hider
from samewire.keeping import Keeping, names_of
from samewire.live.core import differing
from samewire.live.following import Following
from samewire.live.past import Past
from samewire.prepare import Prepared, prepare
from samewire.result import Result
from samewire.run_file import RunFile
from samewire.scrubbing import raise_scrubbed, scrub


class DiffersError(StateError):
    """Something else follows from the recorded inputs than was recorded."""

    exit_code = 1


class Place(msgspec.Struct, frozen=True):
    """Where the session directory is to appear, None = nowhere."""

    out: Path | None = None
    overwrite: bool = False


class Said:
    """A recorder that keeps what the latest run said."""

    def __init__(self) -> None:
        self.latest: tuple[Sequence[str], Sequence[Event]] = ((), ())

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        self.latest = (tuple(origins), tuple(events))


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """How a past session is run once more."""

    drive: Callable[[Prepared], Awaitable[None]]
    recorders: tuple[Recorder, ...] = ()
    recorded: Mapping[str, Any] = NOTHING  # its own manifest, where the directory is to speak of it
    ended: bool = True
    # Writes the journal that it has of its own, and returns the digest of that.
    blocks: Callable[[Callable[[bytes], None]], Awaitable[str]] | None = None


async def run_again(past: Past, how: Again, place: Place, clock: Clock) -> Result:
    """Builds the session anew with the artefacts that it had, drives it, and folds what follows as a replay does.

    Where `drive` finds a difference, what was recorded is kept beside `place` as NAME.failed, for `samewire verify`.
    """
    wall, cpu = clock.monotonic_ns(), clock.cpu_ns()
    run, kept = past.run, _kept(past.run, how, place, clock)
    scratch = Path(tempfile.mkdtemp(prefix="samewire-"))
    try:
        folder = scratch if kept is None else kept.folder
        audit = () if kept is None else (kept.audit,)
        made = prepare(
            _alone(run), folder, None if kept is None else kept.journal.write,
            recorded=past.artefacts, recorders=(*audit, *how.recorders),
        )  # fmt: skip
        prepared = msgspec.structs.replace(made, run_file=run)
        _write_models(past.artefacts, folder)
        if kept is not None:
            kept.begin(prepared)
        try:
            await how.drive(prepared)
        except (DiffersError, ComponentError) as error:
            told = scrub(error, hider())
            if kept is not None and isinstance(told, SamewireError):
                kept.fail(prepared, told, digest=await _as_it_was(kept, how))
            raise
        if how.ended:
            prepared.journal.end()
        took = (clock.monotonic_ns() - wall) / 1e9, (clock.cpu_ns() - cpu) / 1e9
        result = concluded(prepared, folder, kept, took, ended=how.ended)
        return result if place.out is None else Result(place.out, result.summary)
    except BaseException as error:  # noqa: BLE001 - raised again without secrets
        if kept is not None:
            kept.discard()
        raise_scrubbed(error, hider())
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _kept(run: RunFile, how: Again, place: Place, clock: Clock) -> Keeping | None:
    if place.out is None:
        return None
    recorded = how.recorded
    names = {key: recorded[key] for key in ("run_id", "name", "created")} if recorded else names_of(run, clock, "")
    return Keeping(place.out, place.overwrite, names, recorded=recorded)


async def _as_it_was(kept: Keeping, how: Again) -> str:
    """Puts the journal that was recorded in place of the one so far, and returns its digest."""
    from adapters.files.journal_file import FILE, JournalFile

    if how.blocks is None:
        return ""
    folder = kept.folder / "journal"
    kept.journal.close()
    (folder / FILE).unlink()
    file = JournalFile(folder)
    digest = await how.blocks(file.write)
    file.close()
    return digest


def _alone(run: RunFile) -> RunFile:
    """The same without sinks of others, which have heard of it already, and with its bars by value."""
    session = run.session.model_copy(update={"record": "values"})
    return replace(run, session=session, sinks=tuple(sink for sink in run.sinks if sink.use == "session_dir"))


def _write_models(artefacts: Mapping[str, Artefact], folder: Path) -> None:
    from components.models.artefact import write_artefact

    for name, artefact in artefacts.items():
        write_artefact(artefact, folder / "models" / name)


# ---- as it was seen --------------------------------------------------------------------------------------------------


class Seen:
    """Feeds the recorded inputs of a past session and compares every answer, and every slice with `bars`, if any."""

    def __init__(self, past: Past, bars: Callable[[], Following] | None = None) -> None:
        self._past, self._making, self._said = past, bars, Said()
        self._journal = Journal()
        self.following: Following | None = None
        self.inputs = 0

    async def run(self, place: Place, clock: Clock) -> Result:
        """The session again. DiffersError with the first difference; StateError where bars are not as they were."""
        last = self._past.last
        how = Again(
            drive=self._drive,
            recorders=(self._said,),
            recorded=self._past.manifest,
            ended=last.ended,
            blocks=self._blocks,
        )
        return await run_again(self._past, how, place, clock)

    async def _blocks(self, write: Callable[[bytes], None]) -> str:
        async for step in self._past.steps():
            for block in step.blocks:
                write(block)
        return self._past.last.digest.hex()

    async def _drive(self, prepared: Prepared) -> None:
        await prepared.warm_up()
        bus, following = prepared.bus, None if self._making is None else self._making()
        self.following = following
        try:
            async for step in self._past.steps():
                runs = []
                for block in step.blocks:
                    run = self._journal.read(block)
                    if run is not None:
                        runs.append(run)
                        await self._same(prepared, run)
                if following is not None:
                    await following.add(step, runs)
            if following is not None:
                await following.settle()
            if self._past.last.ended:
                prepared.session.wiring.barrier.check()
        finally:
            await bus.aclose()

    async def _same(self, prepared: Prepared, run: Run) -> None:
        record = run.records[0]
        event = record.event
        if event is None:
            raise StateError(f"journal: the input of record {record.seq} was not kept by value; it cannot be run again")
        if record.kind == "Timer":
            prepared.session.wiring.timers.entered(record.plain["name"], record.plain["due"])
        self._said.latest = ((), ())
        try:
            await prepared.bus.feed(event)
        except ComponentError as error:
            raise DiffersError(f"the session went on at event {record.seq}, and now: {error}") from error
        self.inputs += 1
        if prepared.journal.position != run.digest:
            raise DiffersError(differing(run, self._said.latest, prepared.feed.universe.symbols))
