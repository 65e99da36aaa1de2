"""Each wrong run file and the exact text that its author is shown."""

import json
import os
from pathlib import Path

import pytest

from samewire.diagnostics import CODES, RunFileErrors
from samewire.schema import load_run

BAD = Path(__file__).parent / "bad"
FILES = sorted(path.stem for path in BAD.glob("*.yaml"))


def shown(name: str) -> RunFileErrors:
    with pytest.raises(RunFileErrors) as caught:
        load_run(f"{name}.yaml")
    return caught.value


@pytest.mark.parametrize("name", FILES)
def test_the_author_is_shown_every_problem_with_its_place(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    errors = shown(name)
    golden = BAD / f"{name}.txt"
    if os.environ.get("SAMEWIRE_WRITE_GOLDEN"):
        golden.write_text(f"{errors}\n")
    assert f"{errors}\n" == golden.read_text()
    assert errors.exit_code == 2


@pytest.mark.parametrize("name", FILES)
def test_json_says_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    errors = shown(name)
    said = json.loads(json.dumps(errors.as_json()))
    assert said["ok"] is False
    assert said["file"] == f"{name}.yaml"
    assert [p["code"] for p in said["problems"]] == [p.code for p in errors.problems]
    for problem in said["problems"]:
        assert f"{problem['code']} " in str(errors)
        if problem["line"]:
            assert f"{name}.yaml:{problem['line']}:{problem['column']}" in str(errors)


@pytest.mark.parametrize("name", FILES)
def test_problems_are_sorted_by_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    places = [(p.where.line, p.where.column) for p in shown(name).problems]
    assert places == sorted(places)


def test_every_code_has_a_bad_file_that_shows_it_and_a_paragraph_in_the_index(tmp_path: Path) -> None:
    told = "".join((BAD / f"{name}.txt").read_text() for name in FILES)
    index = (Path(__file__).parent.parent.parent / "docs" / "errors.md").read_text()
    assert [code for code in CODES if code not in told and code != "E120"] == []  # E120 is of --set, not of a file
    assert [code for code in CODES if f"## {code}" not in index] == []


def test_no_source_line_runs_over_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    caret = [line for line in str(shown("a_long_line")).splitlines() if set(line) <= set(" |^") and "^" in line]
    assert max(map(len, caret)) < 180


def test_a_missing_file_is_one_problem(tmp_path: Path) -> None:
    with pytest.raises(RunFileErrors, match=r"E100.*nothere\.yaml.*(?s:.)*No such file") as caught:
        load_run(tmp_path / "nothere.yaml")
    assert len(caught.value.problems) == 1


def test_a_folder_is_no_run_file(tmp_path: Path) -> None:
    with pytest.raises(RunFileErrors, match="Is a directory"):
        load_run(tmp_path)


def test_bytes_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_bytes(b"schema: 1\nsession: {name: \xff}\n")
    with pytest.raises(RunFileErrors, match="byte 26 is not UTF-8"):
        load_run(tmp_path / "run.yaml")


def test_a_file_beyond_a_megabyte_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("# " + "x" * 1_000_001)
    with pytest.raises(RunFileErrors, match="more than 1000000 bytes"):
        load_run(tmp_path / "run.yaml")


def test_control_characters_are_refused(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_bytes(b"schema: 1\nsession: {name: \x07}\n")
    with pytest.raises(RunFileErrors, match="E101"):
        load_run(tmp_path / "run.yaml")
