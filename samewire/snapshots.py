"""Snapshots of all that remembers, beside the journal: what verification and a restart may begin from."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import ComponentError, ConfigError, DataError, StateError
from engine.events import Bars, Event
from engine.journal import Journal
from engine.protocols import Stateful
from engine.sealing import from_outside
from engine.state import pack, unpack
from engine.wiring import Wiring
from samewire.hiding import Hider
from samewire.provenance import named
from samewire.registry import resolve
from samewire.run_file import RunFile

_KIND, _VERSION = "snapshot", 1
FOLDER = "snapshots"
# Groups whose classes may remember what they saw; those that stand within another component are reached by it alone.
_REMEMBER = (
    *("learners", "strategies", "filters", "rules", "schedules", "methods", "terms", "constraints", "risk_models"),
    *("costs", "financing"),
)


class Snapshot(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The state between two inputs: behind `events` records of the journal, whose digest was `digest`."""

    events: int
    digest: bytes
    ts: int  # of the last input
    wiring: bytes
    without: list[str]  # components that have no save and load


class Snapshots:
    """Writes a snapshot behind every `every`-th slice of `interval_ns`. A recorder: it stands behind the journal.

    `run` is the run file that the wiring was built from: what stands within its components is told by it.
    """

    def __init__(  # noqa: PLR0913 - what a snapshot is made from and when
        self,
        folder: Path,
        *,
        wiring: Wiring,
        journal: Journal,
        every: int,
        interval_ns: int,
        hide: Hider | None = None,
        run: RunFile | None = None,
    ) -> None:
        self._folder, self._wiring, self._journal, self._hide = folder / FOLDER, wiring, journal, hide
        self._within = [] if run is None else list(forgetful_within(run))
        self._every, self._interval_ns, self._slices = every, interval_ns, 0
        self._folder.mkdir(parents=True, exist_ok=True)

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        first = events[0]
        if not isinstance(first, Bars) or first.interval_ns != self._interval_ns:
            return
        self._slices += 1
        if self._slices % self._every:
            return
        state = pack(
            _KIND,
            _VERSION,
            events=self._journal.events,
            digest=self._journal.position,
            ts=first.ts,
            wiring=self._wiring.save(),
            without=[*forgetful(self._wiring), *self._within],
        )
        if self._hide and self._hide.stands_in(state):
            self._refuse(first, self._hide)
        path = self._folder / f"{self._journal.events:012d}.sws"
        part = path.with_suffix(".part")
        part.write_bytes(state)
        part.rename(path)

    def _refuse(self, at: Event, hide: Hider) -> None:
        """Ends the session: names who saves a secret."""
        saving = (named for named in self._wiring.components if isinstance(named.component, Stateful))
        name = next((named.name for named in saving if hide.stands_in(named.component.save())), "wiring")
        cause = "what it saves holds a secret; leave it out of save(), load() finds it in the component again"
        raise ComponentError(name, type(at).__name__, at.ts, cause)


def forgetful(wiring: Wiring) -> list[str]:
    """Components whose state cannot be saved."""
    return [named.name for named in wiring.components if not isinstance(named.component, Stateful)]


def forgetful_within(run: RunFile) -> Iterator[str]:
    """Classes of the user's own within other components, by their names in the run file, that have no save and load.

    Components of ours that have neither remember nothing.
    """
    for name, component in named(run):
        if component.group not in _REMEMBER:
            continue
        kind: Any = resolve(component.group, component.use)
        if from_outside(kind) and not issubclass(kind, Stateful):
            yield name


def read_snapshot(path: Path) -> Snapshot:
    """Raises StateError, which names the file, when it is damaged or of another version."""
    try:
        return Snapshot(**unpack(path.read_bytes(), _KIND, _VERSION))
    except (StateError, msgspec.MsgspecError, OSError, TypeError, ValueError, LookupError) as error:
        raise StateError(f"{path}: {error}") from error


def latest(folder: Path, until: int | None = None, passed: list[str] | None = None) -> Snapshot:
    """The last snapshot of a journal's folder, or the last no later than `until` (UTC ns).

    One that is damaged is in the way of none that was asked for by an instant: what is wrong with those that were
    passed over is added to `passed`. Raises StateError where the
    last is damaged, or no other is early enough; DataError where there is none; ConfigError where a component of the
    session could not be saved.
    """
    found, damaged = None, None
    for path in sorted((folder / FOLDER).glob("*.sws"), reverse=True):
        try:
            each = read_snapshot(path)
        except StateError as error:
            damaged = damaged or error
            if passed is not None:
                passed.append(str(error))
            if until is None:
                break
        else:
            if until is None or each.ts <= until:
                found = each
                break
    if found is None and damaged is not None:
        said = "name an earlier instant for one before it" if until is None else "begin at the start"
        raise StateError(f"{damaged}; {said}") from damaged
    if found is None:
        raise DataError(
            f"{folder}: no snapshot of this session is that old; set session.snapshot_every, or begin at its start"
        )
    if found.without:
        raise ConfigError(
            f"{found.without[0]}: it has no save and load, so that the session cannot be taken up in its middle; "
            "give it both, or begin at the start"
        )
    return found
