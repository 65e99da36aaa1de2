"""The audit log of a session, and `samewire audit verify`."""

import json
import math
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.files.audit_file import FILE, AuditFile, walk
from adapters.files.journal_file import read_journal
from engine.errors import ComponentError
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
    assert text.startswith("intact as far as the chain itself tells; compared with no head: ")
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


# ---- beside manifest and journal -------------------------------------------------------------------------------------


def rewritten(folder: Path, change: Callable[[list[dict[str, Any]]], None], *, manifest: bool = True) -> None:
    """Writes a log anew that differs, every hash of it right, and its head into the manifest."""
    lines = [json.loads(line) for line in (folder / FILE).read_text().splitlines()]
    change(lines)
    (folder / FILE).unlink()
    file = AuditFile(folder / FILE)
    file.header({key: value for key, value in lines[0]["facts"].items() if key not in ("format", "chained")})
    for line in lines[1:]:
        file.write(line["ts"], line["kind"], line["facts"])
    file.close()
    assert not walk(folder / FILE).wrong
    if manifest:
        amended(folder, audit={"lines": file.seq, "head": file.head})


def amended(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    said = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in said.items() if value is not None}))


def first(lines: list[dict[str, Any]], kind: str) -> int:
    return next(at for at, line in enumerate(lines) if line["kind"] == kind)


def another_price(lines: list[dict[str, Any]]) -> None:
    fill = lines[first(lines, "fill")]["facts"]
    fill["price"] = math.nextafter(fill["price"], math.inf)


def without_a_refusal(lines: list[dict[str, Any]]) -> None:
    del lines[first(lines, "refused")]


def with_an_approval(lines: list[dict[str, Any]]) -> None:
    lines.insert(-1, lines[first(lines, "approved")])


def without_the_last_event(lines: list[dict[str, Any]]) -> None:
    del lines[-2]


def of_another_configuration(lines: list[dict[str, Any]]) -> None:
    lines[1]["facts"]["config_hash"] = "ab" * 32


def of_another_journal(lines: list[dict[str, Any]]) -> None:
    lines[-1]["facts"]["journal"] = "ab" * 16


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (another_price, r"line \d+: fill of \d+ ns .*; the journal says fill of \d+ ns"),
        (without_a_refusal, r"line \d+: .*; the journal says refused of \d+ ns .*rule max_gross"),
        (with_an_approval, r"line \d+: approved of .*; the journal has no such event"),
        (without_the_last_event, "it lacks a line that the journal gives: "),
        (of_another_configuration, "line 2: config_hash is abab"),
        (of_another_journal, r"line \d+: it says that the journal ends in abab"),
    ],
)
def test_a_log_that_was_written_anew_is_told_by_the_journal(
    change: Callable[[list[dict[str, Any]]], None], told: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewritten(copy, lambda lines: None)
    assert said(capsys, str(copy))[0] == 0
    rewritten(copy, change)
    code, text = said(capsys, str(copy))
    assert code == 1
    assert re.search(told, text), text
    assert json.loads(said(capsys, str(copy), "--format", "json")[1])["ok"] is False


def headed_anew(lines: list[dict[str, Any]]) -> None:
    lines[0]["facts"]["run_id"] = "ab" * 8


def begun_earlier(lines: list[dict[str, Any]]) -> None:
    lines[0]["facts"]["started"] = "2001-01-01T00:00:00+00:00"


def unclosed(lines: list[dict[str, Any]]) -> None:
    del lines[-1]


def failed(lines: list[dict[str, Any]]) -> None:
    lines[-1]["facts"]["failed"] = "the data ended"


def of_other_files(lines: list[dict[str, Any]]) -> None:
    lines[-1]["facts"]["feed"] = {"other.parquet": "ab" * 32}


def without_libraries(lines: list[dict[str, Any]]) -> None:
    lines[1]["facts"]["libraries"] = {}


def restarted(lines: list[dict[str, Any]]) -> None:
    lines.insert(9, lines[1])


def restarted_last(lines: list[dict[str, Any]]) -> None:
    lines.insert(-1, lines[1])


def begun_late(lines: list[dict[str, Any]]) -> None:
    lines.insert(9, lines.pop(1))


def of_another_instant(lines: list[dict[str, Any]]) -> None:
    lines[4]["ts"] = 1


def in_another_order(lines: list[dict[str, Any]]) -> None:
    lines[5], lines[6] = lines[6], lines[5]


def with_a_fact_more(kind: str) -> Callable[[list[dict[str, Any]]], None]:
    def change(lines: list[dict[str, Any]]) -> None:
        lines[first(lines, kind)]["facts"]["note"] = "it was fine"

    return change


def of_no_journal(lines: list[dict[str, Any]]) -> None:
    lines[-1]["facts"]["journal"] = ""


def without_its_journal(lines: list[dict[str, Any]]) -> None:
    del lines[-1]["facts"]["journal"]


def begun_at_an_instant(lines: list[dict[str, Any]]) -> None:
    lines[1]["ts"] = 5


def closed_at_another_instant(lines: list[dict[str, Any]]) -> None:
    lines[-1]["ts"] = 5


def cut_short(lines: list[dict[str, Any]]) -> None:
    lines.insert(9, {"ts": 0, "kind": "cut", "facts": {"bytes": 3, "sha256": "ab" * 32}})


def closed_early(lines: list[dict[str, Any]]) -> None:
    lines.insert(9, lines[-1])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (headed_anew, "line 1: run_id is abababab"),
        (begun_earlier, "line 1: started is 2001"),
        (unclosed, "it lacks the line `closed`, and the manifest says that the session ended"),
        (failed, r"line \d+: failed is the data ended, the manifest says None"),
        (of_other_files, r"line \d+: feed is .*other.parquet"),
        (without_libraries, "line 2: libraries is {}, the manifest says "),
        (restarted, r"line 11: .*; it stands behind 2 `session`, in the journal it is of process 1"),
        (restarted_last, "2 lines `session`, and the journal is of 1 process"),
        (begun_late, "line 2: .*; it stands behind 0 `session`, in the journal it is of process 1"),
        (of_another_instant, r"line 5: approved of 1 ns .*; the journal says approved of \d\d+ ns"),
        (in_another_order, r"line 6: approved .*; the journal says approved"),
        (with_a_fact_more("approved"), r"line \d+: .*note it was fine.*; the journal says approved"),
        (with_a_fact_more("session"), "line 2: it says note it was fine, of which a line `session` says nothing"),
        (with_a_fact_more("closed"), r"line \d+: it says note it was fine, of which a line `closed` says nothing"),
        (with_a_fact_more("header"), "line 1: it says note it was fine, of which a line `header` says nothing"),
        (of_no_journal, r"line \d+: it says that the journal ends in , it ends in [0-9a-f]+"),
        (without_its_journal, r"line \d+: journal is None|it says that the journal ends in None, it ends in [0-9a-f]+"),
        (begun_at_an_instant, "line 2: it is of 5 ns, and a line `session` of no instant, 0"),
        (closed_at_another_instant, r"line \d+: it is of 5 ns, and the last slice of the journal of \d\d+ ns"),
        (cut_short, r"line 11: it follows a line `cut`"),
        (closed_early, "line 11: it stands behind the line that closes the log"),
    ],
)
def test_what_the_lines_that_tell_of_no_event_say_is_compared_too(
    change: Callable[[list[dict[str, Any]]], None], told: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewritten(copy, change)
    code, text = said(capsys, str(copy))
    assert code == 1
    assert re.search(told, text), text


def test_a_manifest_that_speaks_of_another_journal_is_told(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    amended(copy, digest="ab" * 16)
    code, text = said(capsys, str(copy))
    assert code == 1
    assert re.search(r"the journal ends in [0-9a-f]+ after [0-9,]+ events, the manifest says abab", text), text


@pytest.mark.parametrize("cut", [4, 200, 4_000])
def test_a_journal_that_was_cut_is_not_the_fault_of_the_log(
    cut: int, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / "journal" / "events.swj"
    path.write_bytes(path.read_bytes()[:-cut])
    code, text = said(capsys, str(copy))
    assert code == 1
    assert "restore the journal" in text
    assert "the journal has no such event" not in text


def test_a_changed_line_is_the_first_that_differs(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in (copy / FILE).read_text().splitlines()]
    rewritten(copy, another_price)
    told = json.loads(said(capsys, str(copy), "--format", "json")[1])
    assert told["line"] == first(lines, "fill") + 1


def test_a_session_directory_without_a_head_to_compare_with_is_not_intact(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = walk(copy / FILE).head
    for spoil in (
        lambda: amended(copy, audit=None),
        lambda: amended(copy, audit=None, ended=False),  # the journal knows better
        lambda: (copy / "manifest.json").write_text("{"),
        lambda: (copy / "manifest.json").unlink(),
    ):
        spoil()
        code, text = said(capsys, str(copy))
        assert code == 1
        assert "nothing to compare its head with; name --head" in text
        assert said(capsys, str(copy), "--head", head)[0] == 0


def test_what_a_verdict_rests_on_is_told(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = walk(session / FILE).head
    for arguments, compared in (
        ((str(session),), ["manifest", "journal"]),
        ((str(session), "--head", head), ["head", "journal"]),
        ((str(session / FILE), "--head", head), ["head"]),
        ((str(session / FILE),), []),
    ):
        told = json.loads(said(capsys, *arguments, "--format", "json")[1])
        assert (told["ok"], told["compared"]) == (True, compared)


def test_the_log_of_a_session_that_failed_is_intact_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    explodes = {"use": "tests.samewire.test_execute:Explodes", "name": "mine", "after": 20}
    other = {"use": "topk_dropout", "topk": 10, "n_drop": 2}
    with pytest.raises(ComponentError):
        run(CONFIG | {"strategy": [other, explodes]}, out=tmp_path / "run")
    code, text = said(capsys, str(tmp_path / "run.failed"))
    assert code == 0
    assert re.fullmatch(r"intact, \d+ lines, head [0-9a-f]{64}; its session failed\n", text)
    assert walk(tmp_path / "run.failed" / FILE).lines > 20
