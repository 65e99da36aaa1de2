"""A live session as it lies in its topics: its steps from the first to the last, and what it kept beside them."""

from collections.abc import AsyncIterator
from typing import Any

from adapters.kafka.address import DamagedError, KafkaError
from adapters.kafka.layout import keep_for_ever
from adapters.kafka.live_record import Step, step_of
from adapters.kafka.settling import unsettled
from adapters.kafka.topics import Topic
from adapters.kafka.transport import Reader
from engine.errors import ConfigError, StateError
from engine.events import ControlAction
from engine.journal_reading import Reader as Journal
from engine.journal_reading import Run
from engine.protocols import Artefact
from samewire.live import keeping
from samewire.live.recovery import last_step, left
from samewire.run_file import RunFile
from samewire.schema import config_hash

_SETTLE_S = 2.0  # for what its session has just committed


class Past:
    """One session: `last` is its last step so far, `artefacts` every model it used, by name as in a session directory.

    What it does from now on is not of it.
    """

    def __init__(self, reader: Reader, env: str, run: RunFile) -> None:
        self.run, self.env = run, env
        self.journal = str(Topic(env, "journal", run.session.name))
        self._reader, self._end = reader, 0
        self.manifest: dict[str, Any] = {}
        self.artefacts: dict[str, Artefact] = {}
        self._last: Step | None = None

    async def open(self) -> "Past":
        """Finds it. ConfigError where there is none, or it ran with another configuration; KafkaError if it is cut."""
        name = self.run.session.name
        snapshots = str(Topic(self.env, "snapshots", name))
        await unsettled(self._reader, [(self.journal, 0), (snapshots, 0)], _SETTLE_S)
        step, self._end = await last_step(self._reader, self.journal, name)
        if step is None:
            raise ConfigError(
                f"session {name}: the topic {self.journal} holds no step of it; it never began in {self.env}"
            )
        if step.config != config_hash(self.run):
            raise ConfigError(
                f"session {name}: it ran with configuration {step.config[:12]} and this one is "
                f"{config_hash(self.run)[:12]}; bring the run file back as it was"
            )
        found = await left(self._reader, snapshots, step, self._end, whole=True)
        self._last, self.manifest = step, keeping.manifest_in(found.blobs)
        kept = keeping.artefacts_in(found.blobs)
        named: dict[str, str] = dict(self.manifest["models"])
        if set(kept) - set(named.values()):
            named |= await self._swapped(named)
        if lost := [f"{key} ({hash_[:12]})" for key, hash_ in named.items() if hash_ not in kept]:
            raise KafkaError(f"session {name}: its topics do not hold the artefact of {lost[0]} any more")
        self.artefacts = {key: kept[hash_] for key, hash_ in named.items()}
        return self

    @property
    def last(self) -> Step:
        if self._last is None:
            raise StateError("past: the session was not opened")
        return self._last

    async def steps(self) -> AsyncIterator[Step]:
        """From its first to its last. DamagedError where one is gone."""
        place, seq = (self.journal, 0), 0
        first = (await self._reader.bounds([place]))[place][0]
        async for record in self._reader.read(place, first, self._end):
            step = step_of(record.value, self.journal, record.offset)
            if (step.session, step.run_id) != (self.last.session, self.last.run_id):
                continue
            if step.seq != seq + 1:
                raise DamagedError(
                    f"topic {self.journal}: step {seq + 1} of session {step.session} is not there any more, and "
                    "nobody can read a session back without it; begin the next one with --new, read it back while its "
                    f"first step is kept, or {keep_for_ever(self.journal)}"
                )
            seq = step.seq
            yield step

    async def runs(self) -> AsyncIterator[Run]:
        """Every input with what followed from it, each checked against the running digest."""
        journal = Journal()
        async for step in self.steps():
            for block in step.blocks:
                run = journal.read(block)
                if run is not None:
                    yield run

    async def _swapped(self, named: dict[str, str]) -> dict[str, str]:
        """Artefacts that were put to use while it ran: the n-th of a model is called NAME@n."""
        found: dict[str, str] = {}
        async for run in self.runs():
            said = run.records[0].plain
            if run.records[0].kind != "Control" or ControlAction(said["action"]) is not ControlAction.SWAP_MODEL:
                continue
            model, hash_ = said["component"], said["artefact"]
            mine = [each for key, each in {**named, **found}.items() if key.partition("@")[0] == model]
            if hash_ not in mine:
                found[model if not mine else f"{model}@{len(mine) + 1}"] = hash_
        return found
