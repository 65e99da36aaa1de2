"""What a session directory states beside its journal is checked: manifest, tables, and files that were read."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import DataError
from engine.events import DAY_NS, Bars, Signal
from engine.universe import Universe
from samewire import load_run, run
from samewire.audit_check import check_audit
from samewire.manifest import ALWAYS, RESULTS, SCHEMA, lacking
from samewire.read_files import files_of
from samewire.recorded import open_recorded
from samewire.rerunning import first_change
from samewire.verifying import lines
from tests.samewire.forging import verified
from tests.samewire.test_verify_finds import SPEC, copied, patched, session

__all__ = ["session"]  # the fixture


@dataclasses.dataclass(frozen=True)
class Places:
    """Nested options."""

    scales: Path


class Weighted:
    """A model that reads its weights itself."""

    lookback = 0

    def __init__(
        self,
        *,
        universe: Universe,
        name: str,
        path: Path,
        folder: Path | None = None,
        said: str = "",
        places: Places | None = None,
        more: dict[str, tuple[Path, ...]] | None = None,
    ) -> None:
        self._name, self._weight = name, np.resize(json.loads(path.read_text()), len(universe)).astype(float)

    def on_bars(self, bars: Bars, /) -> Signal:
        value = (bars.close / bars.open - 1) * self._weight
        return Signal(ts=bars.ts, asof=bars.ts, source=self._name, value=value, horizon_ns=DAY_NS)

    def save(self) -> bytes:
        return b""

    def load(self, state: bytes, /) -> None: ...


MODEL = {"name": "w", "use": "tests.samewire.test_statements:Weighted"}


# ---- files that components read by themselves ------------------------------------------------------------------------


def test_a_file_that_a_component_reads_has_a_hash_and_is_a_revision_of_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.json").write_text("[1, 2, 3]")
    run(SPEC | {"models": [MODEL | {"path": "w.json"}]}, out=tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert list(manifest["files"]) == ["w.json"]
    assert verified(tmp_path / "out").findings == ()
    assert first_change(open_recorded(tmp_path / "out")) is None
    (tmp_path / "w.json").write_text("[1, 2, 4]")
    verdict = verified(tmp_path / "out")
    assert not verdict.identical
    assert verdict.cause == "data revision"
    assert [(found.cause, found.what) for found in verdict.findings] == [("data revision", "w.json")]
    change = first_change(open_recorded(tmp_path / "out"))
    assert change is not None
    assert (change.cause, change.what) == ("data revision", "w.json")


def test_every_path_among_the_options_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("w.json", "scales.npy", "one.txt", "two.txt", "said.csv", "folder/a/x", "folder/y"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("[1]")
    options: dict[str, Any] = {"path": "w.json", "folder": "folder", "said": "said.csv"}
    options |= {"places": {"scales": "scales.npy"}, "more": {"a": ["one.txt", "two.txt"]}}
    loaded = load_run(SPEC | {"models": [MODEL | options]})
    before = files_of(loaded, ())
    assert sorted(before) == ["folder", "one.txt", "said.csv", "scales.npy", "two.txt", "w.json"]
    assert len({before[name] for name in before if name != "folder"}) == 1  # by content
    (tmp_path / "folder" / "a" / "x").rename(tmp_path / "folder" / "a" / "z")
    after = files_of(loaded, ())
    assert {name for name in after if after[name] != before[name]} == {"folder"}


@pytest.mark.parametrize("name", ["weights", "weights.bin", "weights.v2.h5", "deep/weights", ".weights"])
def test_a_text_that_names_a_file_counts_whatever_the_file_is_called(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.json").write_text("[1, 2, 3]")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"\x00\x01")
    for said in (name, str(tmp_path / name)):
        loaded = load_run(SPEC | {"models": [MODEL | {"path": "w.json", "said": said}]})
        assert sorted(files_of(loaded, ())) == sorted(["w.json", name])
    before = files_of(loaded, ())
    (tmp_path / name).write_bytes(b"\x00\x02")
    after = files_of(loaded, ())
    assert {each for each in after if after[each] != before[each]} == {name}


@pytest.mark.parametrize(
    "said", ["nothing of the kind", "folder", "a" * 300, "a" * 5000, "a\x00b", "w.json/x", ".", ""]
)
def test_a_text_that_names_no_file_is_a_text(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.json").write_text("[1]")
    (tmp_path / "folder").mkdir()
    run_file = load_run(SPEC | {"models": [MODEL | {"path": "w.json"}]})
    (spec,) = run_file.models
    component = dataclasses.replace(spec.component, options=spec.component.options | {"said": said})
    loaded = dataclasses.replace(run_file, models=(dataclasses.replace(spec, component=component),))
    assert list(files_of(loaded, ())) == ["w.json"]


def test_a_file_by_the_name_of_a_setting_of_ours_is_none_that_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("next_open", "market", "day", "places"):
        (tmp_path / name).write_text("1")
    assert files_of(load_run(SPEC), ()) == {}


def test_of_a_very_large_file_that_a_text_names_the_size_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.json").write_text("[1]")
    with (tmp_path / "large").open("wb") as file:
        file.truncate((2 << 30) + 5)  # a hole: it takes no room
    loaded = load_run(SPEC | {"models": [MODEL | {"path": "w.json", "said": "large"}]})
    assert files_of(loaded, ())["large"] == "2147483653 bytes"


def test_a_folder_that_a_model_of_ours_keeps_work_in_has_no_hash(tmp_path: Path) -> None:
    (tmp_path / "bins").mkdir()
    (tmp_path / "bins" / "rows").write_text("[1]")
    rolling = {"name": "rolling", "use": "rolling", "windows": [5]}
    learns = {
        "use": "lightgbm",
        "features": "rolling",
        "bins": str(tmp_path / "bins"),
        "train": {"until": "2018-01-31"},
    }
    loaded = load_run(SPEC | {"features": [rolling], "models": [learns]})
    assert str(loaded.models[0].component.options["bins"]) == str(tmp_path / "bins")
    assert files_of(loaded, ()) == {}


# ---- the manifest ----------------------------------------------------------------------------------------------------


def swapped(manifest: Any) -> None:
    symbols = manifest["universe"]["symbols"]
    symbols[0], symbols[1] = symbols[1], symbols[0]


def stated(*path: str, value: Any) -> Callable[[Any], None]:
    def change(manifest: Any) -> None:
        for key in path[:-1]:
            manifest = manifest[key]
        assert manifest[path[-1]] != value
        manifest[path[-1]] = value

    return change


STATED: dict[str, Callable[[Any], None]] = {
    "universe.symbols[0]": swapped,
    "universe.lot": stated("universe", "lot", value=100.0),
    "universe.tick": stated("universe", "tick", value=0.25),
    "universe.multiplier": stated("universe", "multiplier", value=50.0),
    "universe.currencies[0]": stated("universe", "currencies", value=["EUR"]),
    "config_hash": stated("config_hash", value="ab" * 32),
    "name": stated("name", value="other"),
    "seed": stated("seed", value=8),
    "interval_ns": stated("interval_ns", value=DAY_NS // 24),
    "fill": stated("fill", value="same_close"),
    "feed.use": stated("feed", "use", value="parquet"),
    "components.mom.use": stated("components", "mom", "use", value="other"),
    "ended": stated("ended", value=False),
}


@pytest.mark.parametrize("what", STATED)
def test_what_a_manifest_states_otherwise_is_named(what: str, session: Path, tmp_path: Path) -> None:
    folder = patched(copied(session, tmp_path / "copy"), STATED[what])
    verdict = verified(folder)
    assert not verdict.identical
    assert verdict.cause == "record"
    assert verdict.difference is not None
    assert (verdict.difference.component, verdict.difference.event) == ("record", f"manifest: {what}")
    change = first_change(open_recorded(folder))
    assert change is not None
    assert (change.cause, change.what) == ("record", f"manifest: {what}")
    said = "\n".join(lines(verdict, str))
    assert "the events are the same" in said
    assert f"statement  manifest: {what}" in said


def test_a_session_that_was_stopped_or_failed_contradicts_nothing(session: Path, tmp_path: Path) -> None:
    def stopped(manifest: Any) -> None:
        manifest |= {"ended": False, "digest": ""}
        del manifest["results"]

    assert verified(patched(copied(session, tmp_path / "copy"), stopped)).identical
    assert verified(
        patched(copied(session, tmp_path / "copy"), lambda m: m.update(ended=False, error="it broke"))
    ).identical


SOME = {"calendar.parquet", "decisions.json", "sleeves.parquet", "execution.parquet"}
SOME |= {"execution_decisions.parquet", "execution_slices.parquet"}


def test_every_key_of_a_manifest_is_one_that_its_version_has(session: Path) -> None:
    """A key that is new belongs to the list, or nobody would miss it."""
    manifest = json.loads((session / "manifest.json").read_text())
    assert manifest["schema"] == SCHEMA
    assert not any(lacking(manifest))
    assert set(manifest) == {"schema", *ALWAYS, "audit", "results"}
    assert set(manifest["results"]) == RESULTS - SOME


KEYS = (
    *(
        ("ended",),
        ("folder",),
        ("config",),
        ("config_hash",),
        ("seed",),
        ("fill",),
        ("models",),
        ("tables",),
        ("files",),
    ),
    *(("libraries",), ("python",), ("machine",), ("machine", "zones"), ("code",), ("components",), ("run_id",)),
    *(("components", "mom", "sha256"), ("components", "mom"), ("feed",), ("feed", "hashes"), ("feed", "issues")),
    *(("universe", "lot"), ("audit",), ("audit", "head"), ("results",), ("results", "summary.json"), ("name",)),
    *(("results", "fills.parquet"), ("results", "trades.parquet"), ("created",)),
)


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_a_key_that_was_deleted_is_no_sign_of_an_earlier_version(
    path: tuple[str, ...], session: Path, tmp_path: Path
) -> None:
    def without(manifest: Any) -> None:
        for key in path[:-1]:
            manifest = manifest[key]
        del manifest[path[-1]]

    folder = patched(copied(session, tmp_path / "copy"), without)
    verdict = verified(folder)
    assert (verdict.identical, verdict.cause) == (False, "record")
    assert verdict.difference is not None
    named = f"components.{path[1]}.use" if path == ("components", "mom") else ".".join(path)
    assert verdict.difference.event == f"manifest: {named}"
    if path != ("components", "mom"):
        assert "damaged or altered" in verdict.difference.found
    assert first_change(open_recorded(folder)) is not None


@pytest.mark.parametrize("key", ["universe", "interval_ns", "digest"])
def test_without_what_a_directory_is_opened_with_that_is_said(key: str, session: Path, tmp_path: Path) -> None:
    folder = patched(copied(session, tmp_path / "copy"), lambda manifest: manifest.pop(key))
    with pytest.raises(DataError, match=f"its manifest has no '{key}'; .* damaged or altered, restore it"):
        open_recorded(folder)


@pytest.mark.parametrize("found", [SCHEMA + 1, 0, True, "1", None])
def test_a_manifest_of_another_version_is_not_guessed_at(found: Any, session: Path, tmp_path: Path) -> None:
    folder = patched(copied(session, tmp_path / "copy"), lambda manifest: manifest.update(schema=found))
    with pytest.raises(
        DataError, match=f"its manifest is of schema {found!r}, this samewire reads those up to {SCHEMA}"
    ):
        open_recorded(folder)


def test_a_mapping_of_a_manifest_is_one(session: Path, tmp_path: Path) -> None:
    folder = patched(copied(session, tmp_path / "copy"), lambda manifest: manifest.update(feed=[]))
    with pytest.raises(DataError, match="'feed' of its manifest is a list, not a mapping"):
        open_recorded(folder)


def test_a_digest_that_was_emptied_is_missed(session: Path, tmp_path: Path) -> None:
    folder = patched(copied(session, tmp_path / "copy"), lambda manifest: manifest.update(digest=""))
    verdict = verified(folder)
    assert (verdict.identical, verdict.cause) == (False, "record")
    assert verdict.difference is not None
    assert verdict.difference.event == "manifest: digest"


def test_the_audit_log_knows_that_a_manifest_had_a_version(session: Path, tmp_path: Path) -> None:
    folder = patched(copied(session, tmp_path / "copy"), lambda manifest: manifest.pop("schema"))
    checked = check_audit(folder)
    assert (checked.line, checked.wrong) == (2, "line 2: manifest is 1, the manifest says None")


# ---- what stands beside the journal ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["summary.json", "fills.parquet", "equity.parquet"])
def test_a_table_or_summary_that_is_not_what_was_written_is_named(name: str, session: Path, tmp_path: Path) -> None:
    folder = copied(session, tmp_path / "copy")
    kept = json.loads((folder / "manifest.json").read_text())["results"]
    tables = {path.name for path in folder.glob("*.parquet")}
    assert set(kept) == tables | {"summary.json"}
    assert len(tables) > 5
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    verdict = verified(folder)
    assert (verdict.identical, verdict.cause) == (False, "record")
    assert verdict.difference is not None
    assert (verdict.difference.event, verdict.difference.recorded) == (name, kept[name])
    assert first_change(open_recorded(folder)) is None  # a rerun makes them anew
    (folder / name).unlink()
    gone = verified(folder).difference
    assert gone is not None
    assert (gone.event, gone.found) == (name, None)


def test_a_report_that_was_made_again_is_no_difference(session: Path, tmp_path: Path) -> None:
    folder = copied(session, tmp_path / "copy")
    (folder / "report.html").write_text("another")
    assert verified(folder).identical


def test_of_a_directory_of_an_earlier_version_nothing_is_asked_that_it_does_not_say(
    session: Path, tmp_path: Path
) -> None:
    def older(manifest: Any) -> None:
        for name in ("schema", "files", "results", "components", "config_hash"):
            del manifest[name]
        manifest["config"] = {}

    shutil.rmtree(tmp_path / "copy", ignore_errors=True)
    verdict = verified(patched(copied(session, tmp_path / "copy"), older))
    assert verdict.identical


# ---- names of folders ------------------------------------------------------------------------------------------------


def test_a_session_within_its_project_names_no_folder_and_one_elsewhere_the_way(tmp_path: Path) -> None:
    project = tmp_path / "alice" / "project"
    project.mkdir(parents=True)
    (project / "w.json").write_text("[1, 2, 3]")
    (project / "run.yaml").write_text(json.dumps(SPEC | {"models": [MODEL | {"path": "w.json"}]}))
    for out, folder in ((project / "runs" / "one", "../.."), (tmp_path / "runs" / "one", "../../alice/project")):
        run(project / "run.yaml", out=out)
        assert json.loads((out / "manifest.json").read_text())["folder"] == folder
        named = [name for name in ("manifest.json", "run.yaml") if "alice" in (out / name).read_text()]
        assert named == ([] if folder == "../.." else ["manifest.json", "run.yaml"])
        assert verified(out).identical
