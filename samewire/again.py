"""One run file run again and again, over other futures or with other warm-ups, without training twice."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import msgspec

from engine.bus import Bus, Recorder
from engine.events import Bars, Event
from engine.protocols import Artefact, Table
from engine.session import Replay, Session
from engine.wiring import Wiring
from samewire.altered import Alteration, Channel, Cut, altered, channels
from samewire.prepare import Prepared, prepare
from samewire.run_file import ModelSpec, RunFile, untaught
from samewire.taught import model_of
from samewire.warming import latest

AS_IT_IS = Cut()


class Again:
    """Builds the run anew each time; only what its models learned is kept from the first time.

    Everything a run is made of passes the same hands whatever comes after the cut, so two runs differ in nothing but
    that. Sinks are left out: nobody outside hears of futures that are made up.
    """

    def __init__(self, run: RunFile, scratch: Path) -> None:
        self.run_file = run
        self._scratch, self._folders = scratch, 0
        self._tables: dict[str, Table] = {}
        self._close: str | None = None
        self.first: Prepared = prepare(self._altered(run, AS_IT_IS, None))
        self._close = getattr(self.first.feed, "close", None)
        self._tables = {table.path: table for table in self.first.tables}
        self.channels: tuple[Channel, ...] = channels(run, self._close)
        self.artefacts: dict[str, Artefact] = dict(self.first.artefacts)
        self.controls = tuple(event for source in self.first.sources[1:] for event in source.events())
        self._learned = untaught(run)

    @property
    def ends(self) -> dict[str, int]:
        """The instant at which the training of each artefact ends; what it learned from was known earlier."""
        return dict(self.first.ends)

    def train(self, names: Iterable[str], cut: Cut, only: str | None = None) -> dict[str, Artefact]:
        """What these artefacts are with another future after the cut, by name. Of a model that retrains one at most."""
        due = {model_of(name): name for name in names}
        models = tuple(
            replace(spec, turn=self.first.ends[due[spec.component.name]] if spec.retrain else None)
            if spec.component.name in due
            else replace(spec, train=None, retrain=None)
            for spec in self.run_file.models
        )
        learnt = prepare(self._altered(replace(self.run_file, models=models), cut, only)).artefacts
        return {name: learnt[_trained(spec)] for spec in models if (name := due.get(spec.component.name))}

    def prepared(self, recorders: Sequence[Recorder], cut: Cut = AS_IT_IS, only: str | None = None) -> Prepared:
        """A session that is ready: its models answer with what they learned the first time, from the same slice on."""
        ready = prepare(self._altered(self._learned, cut, only))
        artefacts = {artefact.hash: artefact for artefact in self.artefacts.values()}
        session = Session(Wiring(ready.session.wiring.parts, artefacts=artefacts), recorders=recorders)
        sources = (ready.sources[0], Replay(lambda: iter(self.controls)))
        return msgspec.structs.replace(ready, session=session, sources=sources)

    def _altered(self, run: RunFile, cut: Cut, only: str | None) -> RunFile:
        self._folders += 1
        folder = self._scratch / str(self._folders)
        how = Alteration(cut=cut, tables=self._tables, folder=folder, close=self._close, only=only)
        return altered(run, how)


def _trained(spec: ModelSpec) -> str:
    """What the only artefact that was trained is called: the second of its model where the first was read."""
    return f"{spec.component.name}@2" if spec.artefact is not None else spec.component.name


async def warm(prepared: Prepared, needs: Mapping[int, int]) -> None:
    """Feeds so many slices of each interval before the start to whoever keeps estimates, whatever is declared."""
    if prepared.start is None or not any(needs.values()):
        return
    bus = Bus(prepared.session.wiring.warm_routes())
    for event in latest(prepared.feed, prepared.start, needs):
        await bus.feed(event)
    await bus.aclose()


async def drive(prepared: Prepared, goes_on: Callable[[Event], bool]) -> None:
    """Runs a session, warmed up before, as long as its inputs may enter."""

    def of(source: Replay) -> Callable[[], Iterator[Event]]:
        return lambda: takewhile(goes_on, source.events())

    await prepared.session.run(*(Replay(of(source)) for source in prepared.sources))


class Slices:
    """Counts the finest slices of a session, and says when there are enough. `first` is the first that counts."""

    def __init__(self, interval_ns: int, most: int, since: int = 0, lacking: int = 0) -> None:
        self._interval_ns, self._most, self._since, self._lacking = interval_ns, most, since, lacking
        self.ts: list[int] = []
        self.first: int | None = None

    def goes_on(self, event: Event) -> bool:
        """Whether this input may enter: `most` slices (0 = any number) after the first that counts, and no more."""
        if not isinstance(event, Bars) or event.interval_ns != self._interval_ns:
            return not self._full
        if self._full:
            return False
        if self.first is None and len(self.ts) >= self._lacking and event.ts >= self._since:
            self.first = len(self.ts)
        self.ts.append(event.ts)
        return True

    @property
    def _full(self) -> bool:
        return bool(self._most) and self.first is not None and len(self.ts) - self.first >= self._most
