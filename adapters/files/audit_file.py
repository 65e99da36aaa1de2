"""The audit log on disk: JSON lines, each with the hash of the line before it, and the walk that checks them.

A line is one object with the keys seq, ts, kind, facts, prev, hash in this order and without spaces. `hash` is the
SHA-256 of the line without it, as it stands in the file; `prev` is the hash of the line before. The first line is the
header: it tells one run from another (run id, wall clock), has a hash of its own, and no later line depends on it, so
that two runs over the same inputs have the same chain.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from engine.errors import DataError, StateError

FILE = "audit.jsonl"
FORMAT = "samewire audit 1"
FIRST = "0" * 64  # what the first line of the chain follows
HEADER, SESSION, CUT, CLOSED = "header", "session", "cut", "closed"  # kinds of lines that tell of no event
_MARK = b',"hash":"'
_TAIL = len(_MARK) + 64 + 2  # mark, hash, quote and brace
_LINE_MAX = 1 << 20  # bytes
_encoder = msgspec.json.Encoder()


class Line(msgspec.Struct, frozen=True):
    """One line without its hash, in the order of its keys."""

    seq: int
    ts: int  # UTC ns of the event, 0 = before the first
    kind: str
    facts: dict[str, Any]
    prev: str


_decoder = msgspec.json.Decoder(Line)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a walk over the chain found. `wrong` is empty where it is intact; `at` is the line's number from 1."""

    lines: int  # that are right, from the first on
    head: str  # hash of the last of them
    closed: bool  # whether the last says that the session ended
    fault: str = ""  # changed, removed, inserted, reordered, cut
    wrong: str = ""
    at: int = 0
    good_bytes: int = 0  # length of the lines that are right
    head_at: int = 0  # the line whose hash was asked for, 0 = none


class AuditFile:
    """Appends lines to a chain; one that is there already is checked and continued.

    What a kill left half-written at the end is cut, and a line `cut` says how many bytes. Anything else that is wrong
    is a StateError: nothing is appended to a chain that does not hold.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.seq, self.head, self.continues = path, 0, FIRST, False
        torn = self._continued() if path.is_file() and path.stat().st_size else b""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("ab")
        if torn:
            self.write(0, CUT, {"bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()})

    def _continued(self) -> bytes:
        """Takes up the chain of the file; returns what was half-written and is cut off."""
        found = walk(self.path)
        if found.wrong and found.fault != "cut":
            raise StateError(f"{self.path}: line {found.at}: {found.wrong}; keep this file and begin another")
        with self.path.open("r+b") as file:
            file.seek(found.good_bytes)
            torn = file.read()
            file.truncate(found.good_bytes)
        self.seq, self.continues = found.lines, found.lines > 0
        self.head = found.head if found.lines > 1 else FIRST
        return torn

    def header(self, facts: dict[str, Any]) -> None:
        """The first line. A chain that goes on keeps its own."""
        if self.seq == 0:
            self._put(Line(0, 0, HEADER, {"format": FORMAT, **facts, "chained": False}, ""))

    def write(self, ts: int, kind: str, facts: dict[str, Any]) -> None:
        if self.seq == 0:
            self.header({})
        self.head = self._put(Line(self.seq, ts, kind, facts, self.head))

    def _put(self, line: Line) -> str:
        text, found = encoded(line)
        self._file.write(text)
        self.seq += 1
        return found

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def encoded(line: Line) -> tuple[bytes, str]:
    """A line as it stands in the file, and its hash."""
    body = _encoder.encode(line)
    found = hashlib.sha256(body).hexdigest()
    return b'%b%b%b"}\n' % (body[:-1], _MARK, found.encode()), found


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines as they stand, each with its newline. DataError where there is no such file."""
    try:
        with path.open("rb") as file:
            while line := file.readline(_LINE_MAX):
                yield line
    except OSError as error:
        raise DataError(f"{path}: no audit log ({error.strerror}); name a session directory or its {FILE}") from None


def parsed(line: bytes) -> tuple[Line, str] | None:
    """A line and its hash, or None where its text is not what the hash says."""
    if not line.endswith(b'"}\n') or line[-_TAIL - 1 : -67] != _MARK:
        return None
    said = line[-67:-3]
    body = line[: -_TAIL - 1] + b"}"
    if hashlib.sha256(body).hexdigest().encode() != said:
        return None
    try:
        return _decoder.decode(body), said.decode()
    except msgspec.MsgspecError:
        return None


def hash_of(line: Line) -> str:
    """The hash that a line would have in a file."""
    return encoded(line)[1]


def walk(path: Path, head: str = "") -> Verdict:
    """Checks the whole chain; the first line that is wrong ends the walk. With `head`, finds the line of that hash."""
    lines = read_lines(path)
    prev, count, good, closed, head_at, last = FIRST, 0, 0, False, 0, FIRST
    for raw in lines:
        found = parsed(raw)
        fault = _fault(raw, found, (count, prev), lines)
        if fault is not None or found is None:
            kind, said = fault or ("changed", "")
            return Verdict(
                lines=count,
                head=last,
                closed=closed,
                fault=kind,
                wrong=said,
                at=count + 1,
                good_bytes=good,
                head_at=head_at,
            )
        line, last = found
        prev = last if count else FIRST
        count, good, closed = count + 1, good + len(raw), line.kind == CLOSED
        if last == head:
            head_at = count
    if not count:
        return Verdict(lines=0, head=FIRST, closed=False, fault="cut", wrong="cut: the file is empty", at=1)
    return Verdict(lines=count, head=last, closed=closed, good_bytes=good, head_at=head_at)


def _fault(
    raw: bytes, found: tuple[Line, str] | None, expected: tuple[int, str], rest: Iterator[bytes]
) -> tuple[str, str] | None:
    """What is wrong with this line, in one word and in a sentence; None = nothing. Looks ahead where something is."""
    seq, prev = expected
    if found is None:
        if not raw.endswith(b"\n") and len(raw) < _LINE_MAX:
            return "cut", "cut: the file ends inside this line"
        return "changed", "changed: its text does not give its hash"
    line = found[0]
    if line.seq > seq:
        later = any(other is not None and other[0].seq == seq for other in map(parsed, rest))
        if later:
            return "reordered", f"reordered: it is number {line.seq}, and number {seq} stands further down"
        gone = f"number {seq}" if line.seq == seq + 1 else f"numbers {seq} to {line.seq - 1}"
        return "removed", f"removed: {gone} should stand before number {line.seq}"
    if line.seq < seq:
        return "inserted", f"inserted: number {line.seq} was there already"
    if (line.kind == HEADER) != (seq == 0) or line.prev != ("" if seq == 0 else prev):
        return "changed", "changed: it was not written after the line before it; one of the two was replaced"
    return None
