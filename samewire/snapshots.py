"""Snapshots of all that remembers, beside the journal: what verification and a restart may begin from."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.errors import ConfigError, DataError
from engine.events import Bars, Event
from engine.journal import Journal
from engine.protocols import Stateful
from engine.state import pack, unpack
from engine.wiring import Wiring

_KIND, _VERSION = "snapshot", 1
FOLDER = "snapshots"


class Snapshot(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The state between two inputs: behind `events` records of the journal, whose digest was `digest`."""

    events: int
    digest: bytes
    ts: int  # of the last input
    wiring: bytes
    without: list[str]  # components that have no save and load


class Snapshots:
    """Writes a snapshot behind every `every`-th slice of `interval_ns`. A recorder: it stands behind the journal."""

    def __init__(self, folder: Path, *, wiring: Wiring, journal: Journal, every: int, interval_ns: int) -> None:
        self._folder, self._wiring, self._journal = folder / FOLDER, wiring, journal
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
            without=forgetful(self._wiring),
        )
        path = self._folder / f"{self._journal.events:012d}.sws"
        part = path.with_suffix(".part")
        part.write_bytes(state)
        part.rename(path)


def forgetful(wiring: Wiring) -> list[str]:
    """Components whose state cannot be saved."""
    return [named.name for named in wiring.components if not isinstance(named.component, Stateful)]


def read_snapshot(path: Path) -> Snapshot:
    """Raises StateError when the file is damaged."""
    return Snapshot(**unpack(path.read_bytes(), _KIND, _VERSION))


def latest(folder: Path, until: int | None = None) -> Snapshot:
    """The last snapshot of a journal's folder, or the last no later than `until` (UTC ns).

    Raises DataError where there is none, ConfigError where a component of the session could not be saved.
    """
    files = sorted((folder / FOLDER).glob("*.sws"), reverse=True)
    snapshots = map(read_snapshot, files)
    found = next((each for each in snapshots if until is None or each.ts <= until), None)
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
