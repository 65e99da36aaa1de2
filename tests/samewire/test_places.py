"""No machine's own path stands in what a session writes, and its run file finds its files again all the same."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from samewire import load_run, run
from samewire.diagnostics import RunFileErrors
from samewire.places import joined, relative_text
from samewire.schema import config_hash, dump_run

SCORES = """\
schema: 1
session: {name: placed, start: 2018-02-01, end: 2018-03-29, cash: 1_000_000}
feed: {use: csv, path: ../prices, close: "16:00 America/New_York"}
models: [{name: mine, use: scores, table: mine.csv, stale: 9}]
strategy: {use: topk_dropout, topk: 1, n_drop: 1}
optimizer: direct
broker: {use: simulated, fill: next_open, costs: bps}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a run file in one folder and its prices in another."""
    folder = tmp_path / "a project"
    (folder / "runs of mine").mkdir(parents=True)
    (folder / "prices").mkdir()
    days = [f"2018-{m:02d}-{d:02d}" for m in (2, 3) for d in range(1, 29) if (m, d) not in ((2, 30),)]
    for k, symbol in enumerate(("AAA", "BBB")):
        rows = [f"{day},{10 + k},{11 + k},{9 + k},{10 + k + i / 100},1000" for i, day in enumerate(days)]
        (folder / "prices" / f"{symbol}.csv").write_text("\n".join(["Date,Open,High,Low,Close,Volume", *rows]))
    (folder / "runs of mine" / "mine.csv").write_text("date,symbol,score\n2018-02-05,AAA,1\n2018-02-05,BBB,2\n")
    (folder / "runs of mine" / "run.yaml").write_text(SCORES)
    return folder


def manifest(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "manifest.json").read_text())
    return found


def test_nothing_of_a_session_names_a_place_of_the_machine(project: Path) -> None:
    run(project / "runs of mine" / "run.yaml", out=project / "out" / "one")
    for path in (project / "out" / "one").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert str(project).encode() not in content, path.name
            assert str(Path.home()).encode() + b"/" not in content, path.name
    said = manifest(project / "out" / "one")
    assert said["folder"] == "../../runs of mine"
    assert said["config"]["feed"]["path"] == "../prices"
    assert said["config"]["models"][0]["table"] == "mine.csv"
    assert list(said["tables"]) == ["mine.csv"]


def test_the_run_file_of_a_session_finds_its_files_from_where_it_lies(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(project / "runs of mine" / "run.yaml", out=project / "out" / "one")
    moved = tmp_path / "elsewhere"
    shutil.move(project, moved)  # the whole of it together
    monkeypatch.chdir(tmp_path)
    written = moved / "out" / "one" / "run.yaml"
    again = run(written, out=moved / "out" / "two")
    assert again.summary["digest"] == first.summary["digest"]
    hashes = {manifest(moved / "out" / name)["config_hash"] for name in ("one", "two")}
    assert hashes == {config_hash(load_run(moved / "runs of mine" / "run.yaml")), config_hash(load_run(written))}


def test_a_path_after_set_is_recorded_as_seen_from_the_run_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    shutil.copytree(project / "prices", project / "others")
    run("runs of mine/run.yaml", overrides=["feed.path=others"], out="out/one")
    assert manifest(project / "out" / "one")["config"]["feed"]["path"] == "../others"
    loaded = load_run(project / "out" / "one" / "run.yaml")
    assert loaded == load_run("runs of mine/run.yaml", ["feed.path=others"])


def test_a_session_behind_a_link_is_found_too(project: Path, tmp_path: Path) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    (project / "out").symlink_to(tmp_path / "far" / "away")
    first = run(project / "runs of mine" / "run.yaml", out=project / "out" / "one")
    again = run(project / "out" / "one" / "run.yaml")
    assert again.summary["digest"] == first.summary["digest"]


def test_a_file_says_by_itself_where_its_paths_start(project: Path) -> None:
    other = project / "run.yaml"
    other.write_text(SCORES.replace("schema: 1", "schema: 1\nfolder: runs of mine"))
    assert load_run(other) == load_run(project / "runs of mine" / "run.yaml")
    assert load_run(other).folder == project / "runs of mine"


@pytest.mark.parametrize("said", ["", "null", "[a]", "{a: b}"])
def test_a_folder_that_is_no_path_is_refused_with_its_line(project: Path, said: str) -> None:
    other = project / "run.yaml"
    other.write_text(SCORES.replace("schema: 1", f"schema: 1\nfolder: {said}"))
    with pytest.raises(RunFileErrors, match=r"E107 \S*.*:2:\d+  folder") as caught:
        load_run(other)
    assert [problem.path for problem in caught.value.problems if problem.path == "folder"] == ["folder"]


def test_the_folder_cannot_be_set_from_outside(project: Path) -> None:
    with pytest.raises(RunFileErrors, match="paths after --set start from the working directory"):
        load_run(project / "runs of mine" / "run.yaml", ["folder=prices"])


def test_written_beside_nothing_the_paths_are_absolute_and_it_may_lie_anywhere(project: Path, tmp_path: Path) -> None:
    loaded = load_run(project / "runs of mine" / "run.yaml")
    (tmp_path / "anywhere.yaml").write_text(dump_run(loaded))
    assert load_run(tmp_path / "anywhere.yaml") == loaded


@pytest.mark.parametrize(
    ("folder", "said", "found"),
    [
        ("/a/b", "c", "/a/b/c"),
        ("/a/b", "../../x/./y", "/x/y"),
        ("/a", "link/../x", "/a/link/../x"),  # what a link leads to is not known here
        ("/", "../x", "/x"),
        ("/a", ".", "/a"),
    ],
)
def test_a_path_written_down_is_the_path_read(folder: str, said: str, found: str) -> None:
    whole = joined(Path(folder), Path(said))
    assert whole == Path(found)
    assert joined(Path(folder), Path(relative_text(whole, Path(folder)))) == whole
