"""A session that is killed and taken up again from its directory decides what it would have decided unharmed.

Over the whole stack: journal file with a torn tail, snapshots, what is replayed between the last snapshot and the kill,
sources that begin where they stopped.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from adapters.files.journal_file import FILE, JournalFile, read_blocks
from engine.bus import Bus
from engine.errors import DataError
from engine.events import Bars, Control, Event, Timer
from engine.journal import Journal
from engine.journal_reading import Reader, Run, read_runs
from engine.session import Replay, Session
from engine.state import encode_hook, pack
from samewire.prepare import Prepared, prepare
from samewire.snapshots import Snapshots, latest
from samewire.walk import Found, Walk
from tests.samewire.test_determinism import opened

EVERY = 9  # slices between snapshots
_encode = msgspec.msgpack.Encoder(enc_hook=encode_hook).encode


class Killed(BaseException):
    """Not one that anything may catch on its way."""


class Log:
    """The hash of every event; raises once so many slices were seen. It stands behind the journal."""

    def __init__(self, stop: int = 0) -> None:
        self.events: list[tuple[str, str, str]] = []
        self._left = stop

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        for origin, event in zip(origins, events, strict=True):
            self.events.append((origin, type(event).__name__, hashlib.sha256(_encode(event)).hexdigest()))
        if isinstance(events[0], Bars):
            self._left -= 1
            if self._left == 0:
                raise Killed


def fresh(name: str, directory: Path | None, log: Log, write: Any) -> Prepared:
    """All of a session anew, its models trained again: nothing of an earlier process is left."""
    return prepare(opened(name, f"session.snapshot_every={EVERY}").run_file, directory, write, recorders=(log,))


async def begun(name: str, folder: Path, stop: int = 0) -> Log:
    """Runs a session from its start into its directory, until it ends or is killed behind a slice."""
    log, file = Log(stop), JournalFile(folder / "journal")
    try:
        prepared = fresh(name, folder, log, file.write)
        await prepared.run()
        prepared.journal.end()
    except Killed:
        pass
    finally:
        file.close()
    return log


async def taken_up(name: str, folder: Path, stop: int = 0) -> Log:
    """What a new process does with the directory of a killed one."""
    log, file = Log(stop), JournalFile(folder / "journal", resume=True)
    at = file.position
    try:
        prepared = fresh(name, None, log, None)
        wiring, walk = prepared.session.wiring, Walk(prepared.walk)
        sources = [Replay(walk.events), *prepared.sources[1:]]
        for source, count in zip(sources, await caught_up(prepared, folder / "journal", at), strict=False):
            source.resume(pack("replay", 1, handed=count))
        files = prepared.feed.hashes()
        drawn = walk if files else None
        journal = Journal(file.write, drawn=drawn, files=files, digest=at.digest, events=at.events)
        interval = prepared.feed.interval_ns
        saving = Snapshots(folder / "journal", wiring=wiring, journal=journal, every=EVERY, interval_ns=interval)
        await Session(wiring, recorders=[journal, log, saving]).run(*sources)
        journal.end()
    except Killed:
        pass
    finally:
        file.close()
    return log


async def caught_up(prepared: Prepared, folder: Path, at: Reader) -> tuple[int, int]:
    """From the last snapshot to where the journal stands. Returns how many events of each source entered until then.

    They are counted, since sources that are merged have been read one event further than what has entered.
    """
    wiring, found, reader = prepared.session.wiring, Found(prepared.walk), Reader()
    journal, since = Journal(), 0
    try:
        snapshot = latest(folder)
    except DataError:
        await prepared.warm_up()
    else:
        wiring.load(snapshot.wiring)
        since, journal = snapshot.events, Journal(digest=snapshot.digest, events=snapshot.events)
    bus = Bus(wiring.routes, recorders=(journal,))
    history = controls = 0
    for run in read_runs(read_blocks(folder), reader):
        event = entered(run, found)
        controls += isinstance(event, Control)
        history += not isinstance(event, Control | Timer)
        if run.first < since:
            continue
        if isinstance(event, Timer):
            assert wiring.timers.due(event.ts, after_bars=True) is not None
        await bus.feed(event)
        assert journal.position == run.digest, "between snapshot and kill it decides what it had decided"
    await bus.aclose()
    assert (journal.position, journal.events) == (at.digest, at.events)
    return history, controls


def entered(run: Run, found: Found) -> Event:
    record = run.records[0]
    event = found.at(record.kept.at) if record.kept is not None else record.event
    assert event is not None
    return event


def digest_of(folder: Path) -> tuple[bytes, int, bool]:
    reader = Reader()
    for _ in read_runs(read_blocks(folder / "journal"), reader):
        pass
    return reader.digest, reader.events, reader.ended


def kills(name: str, slices: int) -> list[int]:
    """After how many slices it is killed the first and, later, the second time: other ones for each session."""
    rng = np.random.default_rng([41, *name.encode()])
    first = int(rng.integers(1, slices - 2))
    return [first, int(rng.integers(1, slices - first - 1))]


SESSIONS = {"topk": 100, "late answers": 100, "trained, mean_variance": 60, "several intervals": 100, "sleeves": 100}


@pytest.mark.parametrize("name", SESSIONS)
async def test_a_session_killed_twice_is_the_session_that_was_not(name: str, tmp_path: Path) -> None:
    whole = await begun(name, tmp_path / "whole")
    first, second = kills(name, SESSIONS[name])
    folder = tmp_path / "killed"
    logs = [await begun(name, folder, first)]
    with (folder / "journal" / FILE).open("ab") as file:
        file.write(b"\x99\x00\x00\x00\x07")  # the beginning of a block
    logs.append(await taken_up(name, folder, second))
    logs.append(await taken_up(name, folder))
    assert all(log.events for log in logs)
    together = [event for log in logs for event in log.events]
    differ = [(k, a, b) for k, (a, b) in enumerate(zip(whole.events, together, strict=False)) if a != b]
    assert differ[:1] == []
    assert len(together) == len(whole.events)
    assert digest_of(folder) == digest_of(tmp_path / "whole")
    assert digest_of(folder)[1:] == (len(whole.events), True)


@pytest.mark.parametrize("stop", [1, EVERY - 1, EVERY, EVERY + 1])
async def test_about_a_snapshot_it_is_taken_up_too(stop: int, tmp_path: Path) -> None:
    """Killed before there is one, just before, on, and just behind one."""
    whole = await begun("late answers", tmp_path / "whole", 25)
    folder = tmp_path / "killed"
    logs = [await begun("late answers", folder, stop), await taken_up("late answers", folder, 25 - stop)]
    assert [event for log in logs for event in log.events] == whole.events
    assert digest_of(folder) == digest_of(tmp_path / "whole")


async def test_a_snapshot_of_another_instant_would_be_found(tmp_path: Path) -> None:
    """The digests between snapshot and kill tell a state that is not the one of its place."""
    from engine.state import unpack

    folder = tmp_path / "killed"
    await begun("topk", folder, 3 * EVERY + 4)
    *_, before, last = sorted((folder / "journal" / "snapshots").glob("*.sws"))
    old, new = (unpack(path.read_bytes(), "snapshot", 1) for path in (before, last))
    last.write_bytes(pack("snapshot", 1, **(new | {"wiring": old["wiring"]})))
    with pytest.raises(AssertionError, match="decides what it had decided"):
        await taken_up("topk", folder)
