"""The chain of an audit log: whatever is changed in it is found, and what a kill left is cut and told."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.files.audit_file import FIRST, AuditFile, walk
from engine.errors import DataError, StateError

LINES = 8


def chain(path: Path, *, run: str = "one", lines: int = LINES) -> Path:
    """A header, some lines, a closing one."""
    file = AuditFile(path)
    file.header({"run_id": run})
    for k in range(lines - 2):
        file.write(k * 10, "report", {"id": f"{k:016x}", "left": k / 3, "text": 'a "quoted", é'})
    file.write(99, "closed", {})
    file.close()
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return chain(tmp_path_factory.mktemp("audit") / "audit.jsonl").read_bytes()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("changed") / "audit.jsonl"


def test_a_chain_as_it_was_written_is_intact(tmp_path: Path, whole: bytes) -> None:
    found = walk(chain(tmp_path / "a"))
    assert (found.wrong, found.lines, found.closed) == ("", LINES, True)
    assert found.head == json.loads(whole.splitlines()[-1])["hash"]


def test_the_chain_is_what_the_document_says(whole: bytes) -> None:
    """Recomputed with nothing of ours: SHA-256 over the line without its hash, each line naming the one before."""
    prev = FIRST
    for k, text in enumerate(whole.decode().splitlines()):
        line = json.loads(text)
        said = line.pop("hash")
        body = json.dumps(line, separators=(",", ":"), ensure_ascii=False)
        assert said == hashlib.sha256(body.encode()).hexdigest()
        assert line["seq"] == k
        assert line["prev"] == ("" if k == 0 else prev)
        prev = said if k else FIRST


def test_two_runs_differ_in_their_header_only(tmp_path: Path) -> None:
    one, other = (chain(tmp_path / run, run=run).read_bytes().splitlines() for run in ("one", "two"))
    assert one[0] != other[0]
    assert one[1:] == other[1:]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_single_changed_byte_is_found(whole: bytes, scratch: Path, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != whole[at]))
    scratch.write_bytes(whole[:at] + bytes([byte]) + whole[at + 1 :])
    found = walk(scratch)
    assert found.wrong
    assert found.at == whole[:at].count(b"\n") + 1  # and in the very line


@settings(max_examples=200, deadline=None)
@given(st.integers(0, LINES - 2))
def test_any_removed_line_is_found(whole: bytes, scratch: Path, k: int) -> None:
    lines = whole.splitlines(keepends=True)
    scratch.write_bytes(b"".join(lines[:k] + lines[k + 1 :]))
    found = walk(scratch)
    assert (found.fault, found.at) == ("removed", k + 1)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, LINES - 1), st.integers(0, LINES - 1))
def test_any_two_swapped_lines_are_found(whole: bytes, scratch: Path, i: int, j: int) -> None:
    lines = whole.splitlines(keepends=True)
    lines[i], lines[j] = lines[j], lines[i]
    scratch.write_bytes(b"".join(lines))
    found = walk(scratch)
    assert (found.fault, found.at) == (("reordered", min(i, j) + 1) if i != j else ("", 0))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, LINES - 1), st.integers(0, LINES))
def test_any_repeated_line_is_found(whole: bytes, scratch: Path, of: int, at: int) -> None:
    lines = whole.splitlines(keepends=True)
    scratch.write_bytes(b"".join([*lines[:at], lines[of], *lines[at:]]))
    assert walk(scratch).fault in ("inserted", "reordered", "removed")


@settings(max_examples=100, deadline=None)
@given(st.integers(1, LINES - 1))
def test_a_forged_line_with_a_good_hash_is_found(whole: bytes, scratch: Path, at: int) -> None:
    """Inserted with number, predecessor and hash as they should be: the line behind it gives it away."""
    lines = whole.splitlines(keepends=True)
    prev = FIRST if at == 1 else json.loads(lines[at - 1])["hash"]
    body = f'{{"seq":{at},"ts":1,"kind":"report","facts":{{}},"prev":"{prev}"}}'
    forged = f'{body[:-1]},"hash":"{hashlib.sha256(body.encode()).hexdigest()}"}}\n'.encode()
    scratch.write_bytes(b"".join([*lines[:at], forged, *lines[at:]]))
    assert (walk(scratch).fault, walk(scratch).at) == ("inserted", at + 2)
    if at < LINES - 1:  # in the place of another
        scratch.write_bytes(b"".join([*lines[:at], forged, *lines[at + 1 :]]))
        assert (walk(scratch).fault, walk(scratch).at) == ("changed", at + 2)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_cut_end_is_found_inside_a_line_and_by_a_hash_kept_elsewhere(
    whole: bytes, scratch: Path, data: st.DataObject
) -> None:
    length = data.draw(st.integers(0, len(whole) - 1))
    scratch.write_bytes(whole[:length])
    head = json.loads(whole.splitlines()[-1])["hash"]
    found = walk(scratch, head)
    assert found.head_at == 0
    assert not found.closed
    inside = length == 0 or whole[length - 1 : length] != b"\n"
    assert found.fault == ("cut" if inside else "")


# ---- restarts --------------------------------------------------------------------------------------------------------


def test_a_restart_continues_the_chain(tmp_path: Path) -> None:
    path = chain(tmp_path / "a")
    again = AuditFile(path)
    assert again.continues
    again.header({"run_id": "another"})  # keeps the first
    again.write(100, "session", {})
    again.close()
    found = walk(path)
    assert (found.wrong, found.lines, found.closed) == ("", LINES + 1, False)


def test_a_restart_behind_the_header_alone_begins_the_chain(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "a")
    file.header({"run_id": "one"})
    file.close()
    again = AuditFile(tmp_path / "a")
    again.write(1, "session", {})
    again.close()
    assert walk(tmp_path / "a").wrong == ""


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_torn_tail_is_cut_and_told(whole: bytes, scratch: Path, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, len(whole) - 1))
    scratch.write_bytes(whole[:length])
    kept = whole[: whole[:length].rfind(b"\n") + 1]
    torn = whole[len(kept) : length]
    AuditFile(scratch).close()
    text = scratch.read_bytes()
    assert text.startswith(kept)
    if not torn:
        assert text == kept
        return
    last = json.loads(text.splitlines()[-1])
    assert last["kind"] == "cut"
    assert last["facts"] == {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}
    assert walk(scratch).wrong == ""


def test_a_chain_that_does_not_hold_is_not_continued(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(whole.replace(b'"left":0.0', b'"left":1.0', 1))
    with pytest.raises(StateError, match=r"line 2: changed: .*; keep this file and begin another"):
        AuditFile(path)
    assert path.read_bytes() == whole.replace(b'"left":0.0', b'"left":1.0', 1)


def test_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no audit log"):
        walk(tmp_path / "none")


def test_what_is_no_chain_at_all_is_told(tmp_path: Path) -> None:
    for text in (b"hello\n", b"{}\n", b"\n", b"\x00" * 100 + b"\n"):
        (tmp_path / "a").write_bytes(text)
        assert walk(tmp_path / "a").fault == "changed"
