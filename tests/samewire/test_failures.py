"""A class that raises what nobody foresaw, or a folder that is not there, is told in words and never as a traceback."""

import json
from pathlib import Path

import pytest
import yaml

from adapters.files.journal_file import read_journal
from engine.events import Signal
from samewire import cli
from tests.room import room_for
from tests.samewire.test_cli import RUN, samewire

RAISES = '''\
import numpy as np

from samewire import Note, Signal, Universe


class Odd:
    """A model whose constructor trips."""

    def __init__(self, *, name: str, key: str = "x") -> None:
        {"y": 1}[key]

    def on_bars(self, bars):
        return None


class Late:
    """A model that trips when it is handed its first bars."""

    lookback = 0

    def __init__(self, *, name: str) -> None:
        pass

    def on_bars(self, bars):
        raise KeyError("late")


class Mumbles:
    """A model whose note cannot be written, and which trips a few bars later where it is told to."""

    lookback = 0

    def __init__(self, *, universe: Universe, name: str, trips: bool) -> None:
        self._n, self._name, self._trips, self._slices = len(universe), name, trips, 0

    def on_bars(self, bars):
        self._slices += 1
        if self._trips and self._slices == 30:
            raise KeyError("later")
        value = np.full(self._n, np.nan)
        signal = Signal(ts=bars.ts, asof=bars.ts, source=self._name, value=value, horizon_ns=0)
        if self._slices == 25:
            return (signal, Note(ts=bars.ts, source=self._name, kind="k", text=chr(0xD800)))
        return signal


class Odder:
    """A model whose note is well formed, and no note of a latch, whose positions have symbols."""

    lookback = 0

    def __init__(self, *, universe: Universe, name: str) -> None:
        self._n, self._name = len(universe), name

    def on_bars(self, bars):
        value = np.full(self._n, np.nan)
        signal = Signal(ts=bars.ts, asof=bars.ts, source=self._name, value=value, horizon_ns=0)
        return (signal, Note(ts=bars.ts, source=self._name, kind="latch", value=np.ones(3)))


class Feed:
    """A feed whose constructor trips; `check` never makes one."""

    def __init__(self, *, path: str = "x") -> None:
        raise RuntimeError("the socket\\nis gone")

    def events(self, start=None, end=None):
        return iter(())

    def issues(self):
        return ()

    def hashes(self):
        return {}
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(RAISES)
    return tmp_path


def written(folder: Path, **changes: object) -> Path:
    (folder / "run.yaml").write_text(yaml.safe_dump(RUN | changes))
    return folder


@pytest.mark.parametrize("command", ["check", "replay"])
def test_a_constructor_that_raises_is_told_with_its_class_its_place_and_the_cause(command: str, folder: Path) -> None:
    ran = samewire(command, "run.yaml", cwd=written(folder, models=[{"use": "mine:Odd"}]))
    assert (ran.returncode, "Traceback" in ran.stderr) == (2, False), ran.stderr
    assert "mine:Odd" in ran.stderr
    assert "KeyError: 'x'" in ran.stderr
    assert "run.yaml:" in ran.stderr


def test_a_feed_whose_constructor_raises_is_told_with_its_place_too(folder: Path) -> None:
    ran = samewire("replay", "run.yaml", cwd=written(folder, feed={"use": "mine:Feed"}))
    assert (ran.returncode, "Traceback" in ran.stderr) == (2, False), ran.stderr
    assert "run.yaml:" in ran.stderr
    assert "'mine:Feed': RuntimeError: the socket" in ran.stderr


def test_a_handler_that_raises_is_told_with_its_component(folder: Path) -> None:
    ran = samewire("replay", "run.yaml", "--quiet", cwd=written(folder, models=[{"use": "mine:Late", "name": "m"}]))
    assert (ran.returncode, "Traceback" in ran.stderr) == (1, False), ran.stderr
    assert "KeyError: 'late'" in ran.stderr


def broken(tokens: list[str]) -> None:
    raise ZeroDivisionError("one over\nnothing")


@pytest.fixture
def bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "build_app", lambda: broken)


@pytest.mark.parametrize("trips", [True, False])
def test_what_could_not_be_written_is_told_before_what_failed_after_it(trips: bool, folder: Path) -> None:
    written(folder, models=[{"name": "m", "use": "mine:Mumbles", "trips": trips}], feed={"use": "sample", "symbols": 8})
    ran = samewire("replay", "run.yaml", "--out", "out", cwd=folder)
    assert ran.returncode == 1
    assert "m: failed on Note" in ran.stderr
    assert "of its Note text is a str that is not text in Unicode" in ran.stderr
    assert "out.failed" in ran.stderr
    kept = read_journal(folder / "out.failed" / "journal")
    slices = [entry.event for entry in kept if isinstance(entry.event, Signal)]
    assert len(slices) == 24, "the journal ends with the slice before"


def test_a_recorder_that_fails_is_told_with_who_said_what_and_the_record_is_kept(folder: Path) -> None:
    written(folder, models=[{"name": "m", "use": "mine:Odder"}], feed={"use": "sample", "symbols": 8})
    ran = samewire("replay", "run.yaml", "--out", "out", cwd=folder)
    assert (ran.returncode, "Traceback" in ran.stderr) == (1, False), ran.stderr
    assert "AuditLog: failed on Bars of " in ran.stderr
    assert "Note of m" in ran.stderr
    assert json.loads((folder / "out.failed" / "manifest.json").read_text())["error"].startswith("AuditLog: failed on")


def test_an_error_nobody_foresaw_is_one_line_with_its_type_and_the_next_step(
    bug: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", "run.yaml"]) == 1
    said = capsys.readouterr()
    assert said.err == "ZeroDivisionError: one over nothing; run again with --debug for the traceback\n"
    assert said.out == ""


def test_an_error_nobody_foresaw_is_one_object_in_json(bug: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "run.yaml", "--format", "json"]) == 1
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["ok"], found["error"], found["exit_code"], said.err) == (False, "ZeroDivisionError", 1, "")
    assert "one over nothing" in found["message"]


def test_debug_shows_the_traceback_of_an_error_nobody_foresaw(bug: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "run.yaml", "--debug"]) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "run again" not in said


@pytest.mark.parametrize(("there", "why"), [(False, "does not exist"), (True, "holds no MANIFEST.json")])
@pytest.mark.parametrize("command", ["check", "replay"])
def test_a_missing_artefact_is_a_problem_with_its_place(command: str, there: bool, why: str, folder: Path) -> None:
    if there:
        (folder / "nowhere").mkdir()
    model = {"use": "lightgbm", "features": "rolling", "artefact": "nowhere"}
    ran = samewire(command, "run.yaml", cwd=written(folder, models=[model]))
    assert ran.returncode == 2
    assert "models[0].artefact" in ran.stderr
    assert why in ran.stderr
    assert "run.yaml:" in ran.stderr


@pytest.mark.parametrize("room", [0, 300, 3_000, 30_000])
def test_a_full_disk_is_told_with_the_place_and_what_to_do(
    room: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the journal, the manifest, the tables or the report."""
    run = RUN | {"feed": {"use": "sample", "symbols": 8}, "session": RUN["session"] | {"end": "2018-06-30"}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    words = ["replay", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "out"), "--quiet"]
    with room_for(room):
        code = cli.main(words)
    said = capsys.readouterr().err
    assert code == 3
    assert said.startswith(f"{tmp_path}/out: it cannot be written (")
    assert "free some space" in said
    assert len(said.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]
