"""A process that is killed and started again on the same folder: a journal, snapshots, a source that goes on."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adapters.files.journal_file import FILE, JournalFile, read_blocks, read_journal
from engine.events import Event, Timer
from engine.journal import Journal
from engine.journal_reading import read_runs
from engine.session import Session
from samewire.snapshots import FOLDER, Snapshot, Snapshots, read_snapshot
from tests.chaos.auditor import check
from tests.chaos.transport import LiveSource, bytes_of
from tests.chaos.worlds import World

_MAGIC_BYTES = 19  # in front of the first block
KILLS_MAX = 3


class KilledError(BaseException):
    """The process is gone."""


class Kept:
    """What a straight run said, by record: whether a run that goes on says the same, and where its runs begin."""

    def __init__(self, runs: Sequence[tuple[tuple[str, ...], tuple[bytes, ...]]], digest: bytes) -> None:
        self.runs, self.digest = runs, digest
        ends = np.cumsum([len(run[0]) for run in runs]).tolist()
        self.run_at = {end: k + 1 for k, end in enumerate(ends)} | {0: 0}  # records so far -> runs so far
        self.total = ends[-1]


class Onward:
    """A recorder behind a restart: what the file has already is compared, what is new is written behind it.

    Kills the process after so many new runs. Beside each snapshot it saves where the source stands.
    """

    def __init__(self, folder: Path, parts: tuple[Kept, LiveSource, Journal, Snapshots], begun: int, life: int) -> None:
        self._kept, self._source, self._journal, self._snapshots = parts
        self._folder, self._begun, self._at, self._life = folder, begun, begun, life

    def append(self, origins: Sequence[str], events: Sequence[Any], /) -> None:
        place = self._kept.run_at[self._at]
        said = [origin if i == 0 else getattr(events[i], "source", origin) for i, origin in enumerate(origins)]
        here = f"the run that went on from record {self._begun}"
        check(place < len(self._kept.runs), f"{here} has more inputs: {events[0]}")
        wanted = self._kept.runs[place]
        for a, b in zip(zip(*wanted, strict=True), zip(said, map(bytes_of, events), strict=True), strict=False):
            check(a == b, f"{here} differs at input {place}: {a} became {b}")
        check(len(events) == len(wanted[0]), f"{here} has {len(events)} events at input {place}")
        self._at += len(events)
        if self._at <= self._journal.events:
            return  # it stands in the file already
        before = set(_snapshots(self._folder))
        self._journal.append(origins, events)
        self._snapshots.append(origins, events)
        for path in set(_snapshots(self._folder)) - before:
            path.with_suffix(".source").write_bytes(self._source.snapshot())
        self._life -= 1
        if self._life == 0:
            raise KilledError


def _snapshots(folder: Path) -> list[Path]:
    return sorted((folder / FOLDER).glob("*.sws"))


def _beginning(folder: Path, events: int) -> tuple[Snapshot, bytes] | None:
    """The latest snapshot that is not beyond the journal, with the state of its source."""
    for path in reversed(_snapshots(folder)):
        snapshot = read_snapshot(path)
        if snapshot.events <= events:
            return snapshot, path.with_suffix(".source").read_bytes()
        path.unlink()  # of a time that the journal knows nothing of any more
    return None


async def _inputs(recorded: Sequence[Event], source: LiveSource) -> AsyncIterator[Event]:
    """What was recorded behind the snapshot, then the source, which says that much once more first."""
    for event in recorded:
        yield event
    again = 0
    async for event in source:
        if again < len(recorded):
            same = bytes_of(event) == bytes_of(recorded[again])
            check(same, f"the run that went on: its source gives {event} for the recorded {recorded[again]}")
            again += 1
            continue
        yield event
    check(again == len(recorded), f"the source ended behind {again} of {len(recorded)} recorded inputs")


async def killed(drawn: World, rows: Any, kept: Kept, folder: Path, rng: np.random.Generator) -> int:
    """Killed anywhere, with what the disk got of the journal, and started again, it ends as if nothing had been.

    Returns how often it was killed.
    """
    every, interval = int(rng.integers(1, 8)), min(drawn.ends)
    for kills in range(KILLS_MAX + 1):
        file = JournalFile(folder, at_once=bool(rng.random() < 0.5), resume=True)
        events, digest = file.position.events, file.position.digest
        journal = Journal(file.write, digest=digest, events=events)
        wiring, source, begun = drawn.wiring(), LiveSource(drawn, rows), 0
        state = _beginning(folder, events)
        if state is not None:
            wiring.load(state[0].wiring)
            source.resume(state[1])
            begun = state[0].events
        file.sync()
        behind = [entry for entry in read_journal(folder) if entry.seq >= begun and entry.input]
        recorded = [entry.event for entry in behind if entry.event is not None and not isinstance(entry.event, Timer)]
        left = len(kept.runs) - kept.run_at[events]
        life = int(rng.integers(1, left + 1)) if kills < KILLS_MAX and left else left + 1
        snapshots = Snapshots(folder, wiring=wiring, journal=journal, every=every, interval_ns=interval)
        onward = Onward(folder, (kept, source, journal, snapshots), begun, life)
        try:
            await Session(wiring, recorders=(onward,)).run(_inputs(recorded, source))
            journal.end()
        except KilledError:
            pass
        else:
            file.close()
            _check_whole(folder, kept, journal)
            return kills
        finally:
            file.close()
        _tear(folder / FILE, rng)
    return KILLS_MAX


def _tear(path: Path, rng: np.random.Generator) -> None:
    """What had not reached the disk is gone: mostly a piece of the end, sometimes any part of the file."""
    size = path.stat().st_size
    first = _MAGIC_BYTES if rng.random() < 0.3 else max(_MAGIC_BYTES, size - 4000)
    with path.open("r+b") as file:
        file.truncate(int(rng.integers(first, size + 1)))


def _check_whole(folder: Path, kept: Kept, journal: Journal) -> None:
    """The file and its snapshots say what a run without kills says."""
    check(journal.position == kept.digest, "the digest after kills is not that of the run without one")
    digests = {0: bytes(len(kept.digest))}
    for run in read_runs(read_blocks(folder)):
        digests[run.first + len(run.records)] = run.digest
    check(max(digests) == kept.total, f"the file has {max(digests)} records, not {kept.total}")
    check(sum(1 for _ in read_journal(folder, kept.digest.hex())) == kept.total, "records of the file are missing")
    for snapshot in map(read_snapshot, _snapshots(folder)):
        check(digests.get(snapshot.events) == snapshot.digest, f"the snapshot behind {snapshot.events} is of no run")
