"""Runs of training in one SQLite file and plain files beside it: what was asked, how it went, what came out.

    store/runs.sqlite          runs, metrics and the names of kept files; WAL, so that several processes write at once
    store/content/ab/abcd...   kept files by the SHA-256 of their content
    store/artefacts/HASH/      trained models, by their hash (written by whoever trains)
    store/runs/ID/run.json     one run as text, for whoever has no samewire at hand

A file is whole or not there; a row is there once its transaction is. What a killed process left begins again.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from adapters.tracking.whole import write_whole
from engine.clock import Clock, SystemClock
from engine.errors import ConfigError, StateError
from engine.learning import Metric

VERSION = 1
BEGIN, END, FAILED = "begin", "end", "failed"
_KIND, _FILE = "samewire run store", "runs.sqlite"
_BUSY_S = 30.0
_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE runs (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, key TEXT NOT NULL, name TEXT NOT NULL, status TEXT NOT NULL,
    attempts INTEGER NOT NULL, began INTEGER NOT NULL, ended INTEGER, facts TEXT NOT NULL, outcome TEXT NOT NULL
);
CREATE TABLE metrics (
    run INTEGER NOT NULL, name TEXT NOT NULL, step INTEGER NOT NULL, value REAL,
    PRIMARY KEY (run, name, step)
) WITHOUT ROWID;
CREATE TABLE files (
    run INTEGER NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (run, name)
) WITHOUT ROWID;
"""
# A WAL that is not synced at each commit may lose the last metrics of a power cut; it is never torn.
_MANNER = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;"


class Kept(msgspec.Struct, frozen=True):
    """A file of a run."""

    name: str
    sha256: str
    bytes: int


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it was recorded."""

    id: str
    key: str  # of its task
    name: str
    status: str  # begin, end or failed; one that was killed stays at begin
    attempts: int  # how often it began
    began: int  # UTC ns, the latest time
    ended: int | None
    facts: dict[str, Any]
    outcome: dict[str, Any]
    files: tuple[Kept, ...] = ()


def run_id(key: str, code: str) -> str:
    """16 hex digits of a task under one state of the code: changed code makes a run of its own."""
    return hashlib.sha256(f"{key}:{code}".encode()).hexdigest()[:16]


class RunStore:
    """A folder of runs. Fits `Tracker`; any number of processes may hold one open, each its own object."""

    def __init__(self, folder: Path, *, clock: Clock | None = None, create: bool = True) -> None:
        self.folder, self._clock = folder, clock or SystemClock()
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder}: it is a file, and a store of runs is a folder; name another place")
        if not (folder / _FILE).is_file():
            if not create:
                raise ConfigError(f"{folder}: no store of runs ({_FILE} is missing); name a folder that training wrote")
            if folder.exists() and any(folder.iterdir()):
                raise ConfigError(f"{folder}: it holds other files and no store of runs; name an empty or a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        self._rows: dict[str, int] = {}
        with _alone(folder):
            self._db = _opened(folder / _FILE)

    def close(self) -> None:
        self._db.close()

    # ---- recording ---------------------------------------------------------------------------------------------------

    def begin(self, key: str, facts: Mapping[str, Any], /) -> str:
        """The id of the run of this key under `facts["code"]`. One that has begun before begins again."""
        made = run_id(key, str(facts.get("code", "")))
        text = _text(facts)
        with _Writing(self._db, self.folder):
            self._db.execute(
                "INSERT INTO runs (id, key, name, status, attempts, began, facts, outcome)"
                " VALUES (?, ?, ?, ?, 1, ?, ?, '{}') ON CONFLICT (id) DO UPDATE SET status = excluded.status,"
                " attempts = attempts + 1, began = excluded.began, ended = NULL, facts = excluded.facts,"
                " outcome = '{}'",
                (made, key, str(facts.get("name", "")), BEGIN, self._clock.now_ns(), text),
            )
        self._written(made)
        return made

    def log(self, run: str, metrics: Sequence[Metric], /) -> None:
        """A step that was logged before is replaced: a training that resumes says its last epoch again."""
        n = self._n(run)
        rows = [(n, metric.name, metric.step, metric.value) for metric in metrics]
        with _Writing(self._db, self.folder):
            self._db.executemany("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?)", rows)

    def keep(self, run: str, name: str, content: bytes, /) -> None:
        if not name or any(sign in name for sign in "/\\\0") or name in (".", ".."):
            raise ValueError(f"run {run}: {name!r} cannot be a file's name; use a plain name")
        digest = hashlib.sha256(content).hexdigest()
        n, place = self._n(run), self._place(digest)
        if not _holds(place, content):
            write_whole(place, content)
        with _Writing(self._db, self.folder):
            self._db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", (n, name, digest, len(content)))

    def end(self, run: str, status: str, facts: Mapping[str, Any], /) -> None:
        if status not in (END, FAILED):
            raise ValueError(f"run {run}: it ends as {END} or {FAILED}, not as {status!r}")
        n, text = self._n(run), _text(facts)
        with _Writing(self._db, self.folder):
            self._db.execute(
                "UPDATE runs SET status = ?, ended = ?, outcome = ? WHERE n = ?",
                (status, self._clock.now_ns(), text, n),
            )
        self._written(run)

    # ---- reading -----------------------------------------------------------------------------------------------------

    def runs(self, name: str | None = None) -> tuple[RunRow, ...]:
        """All runs, the latest last; with a name, those of it. Without their files."""
        where, given = ("", ()) if name is None else (" WHERE name = ?", (name,))
        with _Reading(self.folder):
            found = self._db.execute(f"SELECT {_COLUMNS} FROM runs{where} ORDER BY began, n", given).fetchall()
            return tuple(_row(row) for row in found)

    def run(self, run: str) -> RunRow:
        """A run by its id, or by as much of its beginning as tells it from all others."""
        with _Reading(self.folder):
            found = self._db.execute(
                f"SELECT {_COLUMNS} FROM runs WHERE substr(id, 1, ?) = ? LIMIT 2", (len(run), run)
            ).fetchall()
        if len(found) != 1 or not run:
            said = "no run" if not found else "more than one run"
            raise ConfigError(
                f"{self.folder}: {said} has an id that begins with {run!r}; `samewire runs list` shows all"
            )
        return self._with_files(_row(found[0]))

    def ended(self, run: str) -> RunRow | None:
        """The run of this very id if it came to its end and its files are there as they were kept."""
        with _Reading(self.folder):
            found = self._db.execute(f"SELECT {_COLUMNS} FROM runs WHERE id = ? AND status = ?", (run, END)).fetchone()
        if found is None:
            return None
        row = self._with_files(_row(found))
        try:
            for kept in row.files:
                self.read(kept)
        except StateError:
            return None
        return row

    def metrics(self, run: str, name: str) -> list[tuple[int, float | None]]:
        """(step, value) by step; the value is None where what was logged was NaN."""
        n = self._n(run)
        with _Reading(self.folder):
            rows: list[tuple[int, float | None]] = self._db.execute(
                "SELECT step, value FROM metrics WHERE run = ? AND name = ? ORDER BY step", (n, name)
            ).fetchall()
        return rows

    def metric_names(self, run: str) -> dict[str, int]:
        """How many steps there are of each metric."""
        n = self._n(run)
        with _Reading(self.folder):
            return dict(
                self._db.execute("SELECT name, count(*) FROM metrics WHERE run = ? GROUP BY name ORDER BY name", (n,))
            )

    def read(self, kept: Kept) -> bytes:
        """The content of a file. StateError where it is not what was kept."""
        place = self._place(kept.sha256)
        try:
            content = place.read_bytes()
        except OSError as error:
            raise StateError(f"{place}: {kept.name} cannot be read ({error.strerror}); train it again") from error
        if hashlib.sha256(content).hexdigest() != kept.sha256:
            raise StateError(f"{place}: {kept.name} is not what was kept; delete it and train it again")
        return content

    # ---- below -------------------------------------------------------------------------------------------------------

    def _place(self, digest: str) -> Path:
        return self.folder / "content" / digest[:2] / digest

    def _n(self, run: str) -> int:
        """The row of a run, looked up once."""
        if run not in self._rows:
            with _Reading(self.folder):
                found = self._db.execute("SELECT n FROM runs WHERE id = ?", (run,)).fetchone()
            if found is None:
                raise ConfigError(f"{self.folder}: no run has the id {run!r}; begin it first")
            self._rows[run] = found[0]
        return self._rows[run]

    def _with_files(self, row: RunRow) -> RunRow:
        with _Reading(self.folder):
            found = self._db.execute(
                "SELECT name, sha256, bytes FROM files WHERE run = ? ORDER BY name", (self._n(row.id),)
            ).fetchall()
        return msgspec.structs.replace(row, files=tuple(Kept(*each) for each in found))

    def _written(self, run: str) -> None:
        """`run.json`, as the database has it now."""
        content = msgspec.json.format(msgspec.json.encode(self.run(run)), indent=1)
        write_whole(self.folder / "runs" / run / "run.json", content + b"\n", sync=False)


_COLUMNS = "id, key, name, status, attempts, began, ended, facts, outcome"


def _row(row: tuple[Any, ...]) -> RunRow:
    made, key, name, status, attempts, began, ended, facts, outcome = row
    return RunRow(
        id=made,
        key=key,
        name=name,
        status=status,
        attempts=attempts,
        began=began,
        ended=ended,
        facts=json.loads(facts),
        outcome=json.loads(outcome),
    )


def _holds(place: Path, content: bytes) -> bool:
    """Whether the file is there byte by byte: one that was damaged since is written again, not taken for its name."""
    try:
        return place.read_bytes() == content
    except OSError:
        return False


def _text(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, sort_keys=True, allow_nan=False, ensure_ascii=False)


# ---- the file --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: SQLite waits for nobody while it changes the manner of its journal, it fails at once."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # which lets go of the lock, as the end of a process does


def _opened(path: Path) -> sqlite3.Connection:
    """The database, made where there is none."""
    db = None
    try:
        db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        db.executescript(_MANNER)
        if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            _made(db)
        about = dict(db.execute("SELECT name, value FROM about"))
    except sqlite3.Error as error:
        if db is not None:
            db.close()
        if error.sqlite_errorname in ("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_ERROR"):
            raise StateError(f"{path}: this is no store of runs ({error}); name another folder") from error
        said = f"{path}: it cannot be opened ({error}); free some space or look at who may write there, and run again"
        raise StateError(said) from error
    if about.get("kind") != _KIND or about.get("version") != str(VERSION):
        db.close()
        found = f"{about.get('kind', 'something else')} v{about.get('version', '?')}"
        raise StateError(f"{path}: it is a {found}, and this samewire reads {_KIND} v{VERSION}; name another folder")
    return db


def _made(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'about'").fetchone():
            for statement in _TABLES.split(";"):
                db.execute(statement)
            db.executemany("INSERT INTO about VALUES (?, ?)", [("kind", _KIND), ("version", str(VERSION))])
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


class _Reading:
    """What SQLite cannot read, said as an error of ours."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, sqlite3.Error):
            raise StateError(f"{self._folder / _FILE}: it cannot be read ({error}); restore it or name another folder")


class _Writing:
    """One transaction: all of it or none."""

    def __init__(self, db: sqlite3.Connection, folder: Path) -> None:
        self._db, self._folder = db, folder

    def __enter__(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise self._told(error) from error

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            if error is None:
                self._db.execute("COMMIT")
                return
        except sqlite3.Error as failed:
            error = failed
        with contextlib.suppress(sqlite3.Error):  # it may have rolled back by itself
            self._db.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            raise self._told(error) from error

    def _told(self, error: sqlite3.Error) -> StateError:
        return StateError(
            f"{self._folder / _FILE}: nothing was written ({error}); what was there before is unharmed; "
            "free some space or look at who may write there, and run again"
        )
