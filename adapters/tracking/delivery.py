"""Brings what a store has recorded to another place, and remembers what is there: late, again, and never twice.

    store/sent.sqlite    what each place was told of each run
    store/sent.lock      held by whoever tells

The store is the queue. Whoever trains writes there and nowhere else, so that no place makes a training wait, nothing
is lost that could not be told, and memory holds one batch. A lost `sent.sqlite` means that all is told once more.
"""

import contextlib
import fcntl
import hashlib
import json
import math
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from adapters.tracking.rest import UnheardError
from adapters.tracking.store import BEGIN, RunRow, RunStore
from engine.errors import StateError
from engine.learning import Metric

METRICS_MAX = 1000  # told at once
_FILE, _LOCK, _STORE = "sent.sqlite", "sent.lock", "runs.sqlite"
_BUSY_S = 30.0
_TABLES = """
CREATE TABLE IF NOT EXISTS runs (
    place TEXT NOT NULL, run TEXT NOT NULL, there TEXT NOT NULL, told TEXT NOT NULL, PRIMARY KEY (place, run)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS metrics (
    place TEXT NOT NULL, run TEXT NOT NULL, name TEXT NOT NULL, step INTEGER NOT NULL, value REAL,
    PRIMARY KEY (place, run, name, step)
) WITHOUT ROWID;
"""
# A value that was told and then replaced is told again: a training that begins again says its steps again.
_UNSENT = """
SELECT m.name, m.step, m.value FROM store.metrics m JOIN store.runs r ON r.n = m.run
LEFT JOIN metrics s ON s.place = ? AND s.run = r.id AND s.name = m.name AND s.step = m.step
WHERE r.id = ? AND (s.run IS NULL OR s.value IS NOT m.value) ORDER BY m.name, m.step LIMIT ?
"""


class GoneError(UnheardError):
    """What was told before is not there any more."""


class RunSink(Protocol):
    """A place that runs are told to besides the store. Told the same again, it has it once.

    Each call raises `UnheardError` where it was not heard. `there` is what the place calls the run.
    """

    address: str  # which tells it from every other place

    def begin(self, row: RunRow, there: str, /) -> str:
        """Tells the facts of a run; `there` is empty where nothing is known of it. Returns what it is called there."""
        ...

    def log(self, row: RunRow, there: str, metrics: Sequence[Metric], /) -> None:
        """At most `METRICS_MAX` metrics."""
        ...

    def end(self, row: RunRow, there: str, /) -> None: ...


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """What a place has by now of the runs of one name."""

    address: str
    runs: int  # that are there as the store has them
    missing: int  # that are not, or not whole
    sent: int = 0  # that this call told something of
    error: str = ""  # why something is missing


class Delivery:
    """Tells one place. An object belongs to one thread."""

    def __init__(self, folder: Path, sink: RunSink) -> None:
        self._folder, self._sink = folder, sink
        self._quiet: set[tuple[str, int, int | None]] = set()  # runs that ended and were told, as they were then

    def deliver(
        self, name: str, *, ended: Callable[[], bool] = lambda: False, all_of_it: bool = True
    ) -> tuple[int, str]:
        """Tells what is missing of the runs of this name, until `ended`. How many it told something of; why not all.

        Without `all_of_it` runs that had ended and were told are not looked at again: after its end a run gets no more
        than a figure or two.
        """
        error, sent = "", 0
        with _alone(self._folder / _LOCK), self._opened() as (store, ledger):
            for row in store.runs(name):
                if ended():
                    break
                if not all_of_it and _as_it_was(row) in self._quiet:
                    continue
                try:
                    sent += self._run(store, ledger, row, ended)
                except UnheardError as unheard:
                    error = error or str(unheard)
                    if unheard.all_of_it:
                        break
        return sent, error

    def state(self, name: str, *, sent: int = 0, error: str = "") -> Delivered:
        """What is there by now; tells nothing and waits for nobody."""
        with self._opened() as (store, ledger):
            whole = [ledger.whole(store.run(row.id)) for row in store.runs(name)]
        missing = len(whole) - sum(whole)
        said = error if missing else ""
        return Delivered(address=self._sink.address, runs=sum(whole), missing=missing, sent=sent, error=said)

    def _run(self, store: RunStore, ledger: "_Ledger", row: RunRow, ended: Callable[[], bool]) -> bool:
        row = store.run(row.id)  # with its files, and as it is now
        if ledger.whole(row):
            self._quiet |= {_as_it_was(row)} if row.status != BEGIN else set()
            return False
        try:
            self._tell(ledger, row, ended)
        except GoneError:  # somebody emptied the place: all is told anew, once
            ledger.forget(row.id)
            self._tell(ledger, row, ended)
        return True

    def _tell(self, ledger: "_Ledger", row: RunRow, ended: Callable[[], bool]) -> None:
        there, told = ledger.known(row.id)
        if told != _digest(row):
            there = self._sink.begin(row, there)
            ledger.note(row.id, there, "")
        while some := ledger.unsent(row.id):
            if ended():
                return
            self._sink.log(row, there, some)
            ledger.mark(row.id, some)
        if row.status != BEGIN:
            self._sink.end(row, there)
        ledger.note(row.id, there, _digest(row))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[RunStore, "_Ledger"]]:
        """Both databases."""
        with contextlib.closing(RunStore(self._folder, create=False)) as store:
            ledger = _Ledger(self._folder, self._sink.address)
            try:
                yield store, ledger
            except sqlite3.Error as error:
                raise _unkept(self._folder, error) from error
            finally:
                ledger.close()


class _Ledger:
    """What one place was told."""

    def __init__(self, folder: Path, place: str) -> None:
        self._place = place
        self._db = sqlite3.connect(folder / _FILE, timeout=_BUSY_S, isolation_level=None)
        try:
            self._db.execute("PRAGMA synchronous=NORMAL")
            for statement in _TABLES.split(";"):
                self._db.execute(statement)
            self._db.execute("ATTACH ? AS store", (str(folder / _STORE),))
        except sqlite3.Error as error:
            self._db.close()
            raise _unkept(folder, error) from error

    def close(self) -> None:
        self._db.close()

    def known(self, run: str) -> tuple[str, str]:
        """What the place calls the run, and what it was told of it; empty where nothing."""
        found = self._db.execute("SELECT there, told FROM runs WHERE place = ? AND run = ?", (self._place, run))
        row: tuple[str, str] | None = found.fetchone()
        return row or ("", "")

    def note(self, run: str, there: str, told: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)", (self._place, run, there, told))

    def forget(self, run: str) -> None:
        for table in ("runs", "metrics"):
            self._db.execute(f"DELETE FROM {table} WHERE place = ? AND run = ?", (self._place, run))

    def unsent(self, run: str, most: int = METRICS_MAX) -> list[Metric]:
        found = self._db.execute(_UNSENT, (self._place, run, most))
        return [Metric(name, step, math.nan if value is None else value) for name, step, value in found]

    def mark(self, run: str, metrics: Sequence[Metric]) -> None:
        rows = [(self._place, run, metric.name, metric.step, metric.value) for metric in metrics]
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?, ?)", rows)
        self._db.execute("COMMIT")

    def whole(self, row: RunRow) -> bool:
        return self.known(row.id)[1] == _digest(row) and not self.unsent(row.id, 1)


def _as_it_was(row: RunRow) -> tuple[str, int, int | None]:
    return row.id, row.attempts, row.ended


def _digest(row: RunRow) -> str:
    """Of all that is told of a run beside its metrics."""
    said = json.dumps(msgspec.to_builtins(row), sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _unkept(folder: Path, error: sqlite3.Error) -> StateError:
    return StateError(f"{folder / _FILE}: it cannot be used ({error}); free some space, or delete it: all is told anew")


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
