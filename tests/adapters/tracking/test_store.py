"""The run store: what it keeps, what two processes may do at once, and what no accident may break."""

import json
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters.tracking.store import Kept, RunStore, run_id
from engine.errors import ConfigError, StateError
from engine.learning import Metric

FACTS = {"name": "plan", "code": "c1", "parameters": {"num_leaves": 31}}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with closing(RunStore(tmp_path / "store")) as made:
        yield made


def test_what_was_recorded_is_read_back(store: RunStore) -> None:
    run = store.begin("key", FACTS)
    assert run == run_id("key", "c1")
    store.log(run, [Metric("loss", 2, 0.25), Metric("loss", 0, 1.0)])
    store.log(run, [Metric("loss", 2, 0.5), Metric("ic", 0, float("nan"))])
    store.keep(run, "answer.txt", b"42")
    store.end(run, "end", {"artefact": "abc"})
    with closing(RunStore(store.folder, create=False)) as again:
        row = again.run(run[:5])
    assert (row.id, row.key, row.name, row.status, row.attempts) == (run, "key", "plan", "end", 1)
    assert row.ended is not None
    assert row.ended >= row.began
    assert (row.facts, row.outcome) == (FACTS, {"artefact": "abc"})
    assert [kept.name for kept in row.files] == ["answer.txt"]
    assert store.read(row.files[0]) == b"42"
    assert store.metrics(run, "loss") == [(0, 1.0), (2, 0.5)]
    assert store.metrics(run, "ic") == [(0, None)]
    assert store.metric_names(run) == {"ic": 1, "loss": 2}


def test_run_json_says_it_all_without_us(store: RunStore) -> None:
    run = store.begin("key", FACTS)
    path = store.folder / "runs" / run / "run.json"
    assert json.loads(path.read_text())["status"] == "begin"
    store.keep(run, "answer.txt", b"42")
    store.end(run, "failed", {"error": "no data"})
    said = json.loads(path.read_text())
    assert (said["status"], said["outcome"], said["files"][0]["bytes"]) == ("failed", {"error": "no data"}, 2)
    digest = said["files"][0]["sha256"]
    assert (store.folder / "content" / digest[:2] / digest).read_bytes() == b"42"


def test_only_a_run_that_ended_with_its_files_as_they_were_counts_as_ended(store: RunStore) -> None:
    run = store.begin("key", FACTS)
    assert store.ended(run) is None
    store.keep(run, "answer.txt", b"42")
    store.end(run, "end", {})
    row = store.ended(run)
    assert row is not None
    place = store.folder / "content" / row.files[0].sha256[:2] / row.files[0].sha256
    place.write_bytes(b"43")
    assert store.ended(run) is None
    with pytest.raises(StateError, match="is not what was kept"):
        store.read(row.files[0])
    place.unlink()
    assert store.ended(run) is None
    store.begin("key", FACTS)
    store.keep(run, "answer.txt", b"42")
    store.end(run, "end", {})
    ended = store.ended(run)
    assert ended is not None
    assert ended.attempts == 2


def test_runs_are_listed_the_latest_last(store: RunStore) -> None:
    first, second = store.begin("a", FACTS), store.begin("b", FACTS | {"name": "other"})
    assert [row.id for row in store.runs()] == [first, second]
    assert [row.id for row in store.runs("plan")] == [first]
    with pytest.raises(ConfigError, match="no run has an id that begins with 'zz'"):
        store.run("zz")
    with pytest.raises(ConfigError, match="more than one run|no run"):
        store.run("")


WRITER = """
import sys
from pathlib import Path
from adapters.tracking.store import RunStore
from engine.learning import Metric
store = RunStore(Path(sys.argv[1]))
for k in range(20):
    run = store.begin(f"{sys.argv[2]}-{k}", {"name": "plan"})
    for step in range(10):
        store.log(run, [Metric("loss", step, 1.0)])
    store.keep(run, "same.txt", b"the same in both")
    store.end(run, "end", {})
"""


def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    """The store does not even exist when they begin."""
    folder = tmp_path / "store"
    both = [subprocess.Popen([sys.executable, "-c", WRITER, str(folder), name]) for name in ("a", "b")]
    assert [each.wait() for each in both] == [0, 0]
    with closing(RunStore(folder, create=False)) as store:
        rows = store.runs()
        assert len(rows) == 40
        assert {row.status for row in rows} == {"end"}
        assert all(store.metric_names(row.id) == {"loss": 10} for row in rows)
        assert all(store.ended(row.id) for row in rows)


KILLED = """
import os, sys
from pathlib import Path
from adapters.tracking.store import RunStore
from engine.learning import Metric
store = RunStore(Path(sys.argv[1]))
run = store.begin("key", {"name": "plan"})
store.log(run, [Metric("loss", 0, 1.0)])
Path.rename = lambda *_: os.kill(os.getpid(), 9)
store.keep(run, "answer.txt", b"42" * 1000)
"""


def test_a_kill_while_it_saves_leaves_what_was_there(store: RunStore) -> None:
    before = store.begin("before", FACTS)
    store.keep(before, "answer.txt", b"41")
    store.end(before, "end", {})
    killed = subprocess.run([sys.executable, "-c", KILLED, str(store.folder)], check=False)
    assert killed.returncode == -9
    with closing(RunStore(store.folder)) as again:
        assert again.ended(before) is not None
        row = again.run(run_id("key", ""))
        assert (row.status, row.files) == ("begin", ())
        assert again.metrics(row.id, "loss") == [(0, 1.0)]
        again.begin("key", {"name": "plan"})
        again.keep(row.id, "answer.txt", b"42" * 1000)
        again.end(row.id, "end", {})
        assert again.ended(row.id) is not None


def test_a_full_disk_is_told_and_breaks_nothing(store: RunStore) -> None:
    """No file may grow beyond a limit, as on a disk without space."""
    run = store.begin("key", FACTS)
    store.keep(run, "small.txt", b"1")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = max(path.stat().st_size for path in store.folder.glob("runs.sqlite*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5000, limits[1]))
    try:
        with pytest.raises(StateError, match="cannot be written.*free some space"):
            store.keep(run, "large.bin", os.urandom(1_000_000))
        with pytest.raises(StateError, match="nothing was written.*free some space"):
            store.log(run, [Metric("loss", k, 1.0) for k in range(50_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert store.metric_names(run) == {}
    assert [kept.name for kept in store.run(run).files] == ["small.txt"]
    assert not [path for path in store.folder.rglob(".*") if path.is_file()]
    store.log(run, [Metric("loss", 0, 1.0)])
    store.keep(run, "large.bin", b"2" * 1000)
    store.end(run, "end", {})
    assert store.ended(run) is not None


def test_what_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no store of runs \(runs.sqlite is missing\)"):
        RunStore(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="it is a file"):
        RunStore(tmp_path / "file")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(ConfigError, match="it holds other files and no store of runs"):
        RunStore(tmp_path / "mine")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "runs.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StateError, match="this is no store of runs"):
        RunStore(tmp_path / "torn")


def test_another_database_or_version_is_refused(store: RunStore, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with closing(sqlite3.connect(tmp_path / "other" / "runs.sqlite")) as db, db:
        db.execute("CREATE TABLE mine (x)")
    with pytest.raises(StateError, match="this is no store of runs"):
        RunStore(tmp_path / "other")
    with closing(sqlite3.connect(store.folder / "runs.sqlite")) as db, db:
        db.execute("UPDATE about SET value = '99' WHERE name = 'version'")
    with pytest.raises(StateError, match="samewire run store v99, and this samewire reads samewire run store v1"):
        RunStore(store.folder)


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\0b"])
def test_a_file_stays_within_the_store(store: RunStore, name: str) -> None:
    run = store.begin("key", FACTS)
    with pytest.raises(ValueError, match="cannot be a file's name"):
        store.keep(run, name, b"1")
    with pytest.raises(StateError):
        store.read(Kept("a", "0" * 64, 1))
