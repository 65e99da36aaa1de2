"""The audit log of a session, and `samewire audit verify`."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from adapters.files.audit_file import FILE, walk
from adapters.files.journal_file import read_journal
from engine.events import Approved, Fills, Refusals, Reports
from samewire import run
from samewire.cli import main

CONFIG = {
    "schema": 1,
    "session": {"name": "audited", "cash": 1_000_000, "start": "2018-01-02", "end": "2018-02-28"},
    "feed": {"use": "sample"},
    "models": [{"use": "momentum", "window": 5}],
    "strategy": {"use": "topk_dropout", "topk": 10, "n_drop": 2},
    "optimizer": {"use": "direct"},
    "risk": {"max_gross": 0.6},
    "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5}},
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audited") / "run"
    run(CONFIG, out=folder)
    return folder


@pytest.fixture
def copy(session: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(session, tmp_path / "copy"))


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["audit", "verify", *arguments])
    return code, capsys.readouterr().out


def test_every_state_of_an_order_has_a_line(session: Path) -> None:
    lines = [json.loads(line) for line in (session / FILE).read_text().splitlines()]
    found = Counter(line["kind"] for line in lines)
    legs: Counter[str] = Counter()
    kinds = {Approved: "approved", Refusals: "refused", Reports: "report", Fills: "fill"}
    for entry in read_journal(session / "journal"):
        if type(entry.event) in kinds:
            legs[kinds[type(entry.event)]] += len(entry.event.symbol)
    assert found == legs + Counter(header=1, session=1, closed=1)
    assert min(legs.values()) > 0
    assert len(legs) == 4
    made = lines[1]["facts"]
    assert made["config_hash"] == json.loads((session / "manifest.json").read_text())["config_hash"]
    assert lines[-1]["facts"]["journal"] == json.loads((session / "manifest.json").read_text())["digest"]


def test_two_replays_have_the_same_chain_but_for_the_header(session: Path, tmp_path: Path) -> None:
    run(CONFIG, out=tmp_path / "again")
    one, other = ((folder / FILE).read_bytes().splitlines() for folder in (session, tmp_path / "again"))
    assert one[1:] == other[1:]


def test_without_a_session_directory_there_is_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(CONFIG)
    assert list(tmp_path.rglob("*")) == []


def test_a_good_log_is_intact(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = walk(session / FILE).head
    code, text = said(capsys, str(session))
    assert (code, text) == (0, f"intact, {walk(session / FILE).lines} lines, head {head}\n")
    assert said(capsys, str(session / FILE), "--head", head)[0] == 0
    code, text = said(capsys, str(session), "--format", "json")
    told = json.loads(text)
    assert (code, told["ok"], told["head"], told["closed"]) == (0, True, head, True)


def test_a_changed_line_is_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copy / FILE
    path.write_bytes(path.read_bytes().replace(b'"max_gross"', b'"max_gruss"', 1))
    code, text = said(capsys, str(copy))
    assert code == 1
    assert "changed: its text does not give its hash" in text
    code, text = said(capsys, str(copy), "--format", "json")
    assert json.loads(text)["ok"] is False
    assert json.loads(text)["line"] == walk(path).at


def test_a_cut_end_is_found_by_the_manifest_and_by_a_head_kept_elsewhere(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / FILE
    head = walk(path).head
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))
    code, text = said(capsys, str(copy))
    assert code == 1
    assert f"the manifest says {len(lines)} lines" in text
    code, text = said(capsys, str(path), "--head", head)
    assert code == 1
    assert "the log was cut or written anew" in text
    code, text = said(capsys, str(path))  # the chain alone cannot know
    assert code == 0
    assert "its session has not ended, or its end was cut" in text


def test_what_was_added_behind_a_head_is_counted(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (session / FILE).read_text().splitlines()
    code, text = said(capsys, str(session), "--head", json.loads(lines[-4])["hash"])
    assert code == 0
    assert "3 lines after the hash that was asked for" in text


def test_a_head_that_is_no_hash_and_a_place_without_a_log_are_told(
    tmp_path: Path, session: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "verify", str(session), "--head", "abc"]) == 2
    assert "is no hash" in capsys.readouterr().err
    assert main(["audit", "verify", str(tmp_path)]) == 3
    assert "no audit log" in capsys.readouterr().err
