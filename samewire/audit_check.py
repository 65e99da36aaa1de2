"""Whether the audit log of a session directory says what its manifest and its journal say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from adapters.files.audit_file import (
    CLOSED,
    CUT,
    FILE,
    FORMAT,
    HEADER,
    SESSION,
    Line,
    Verdict,
    hash_of,
    parsed,
    read_lines,
    walk,
)
from adapters.files.audit_log import TOLD, told
from adapters.files.journal_file import read_blocks
from engine.errors import DataError
from engine.journal_reading import Reader, read_runs
from samewire.manifest import versioned
from samewire.recorded import Recorded, open_recorded

_NOT_OF_EVENTS = (HEADER, SESSION, CUT, CLOSED)
_NO_HEAD = "nothing to compare its head with; name --head"


@dataclass(frozen=True)
class Checked:
    """What was found of an audit log. `wrong` is empty where nothing is; `line` counts from 1, 0 = of no line."""

    path: Path
    found: Verdict
    wrong: str = ""
    line: int = 0
    compared: tuple[str, ...] = ()  # what it was compared with: head, manifest, journal
    said: tuple[str, ...] = ()  # what beside the verdict a reader must know


def check_audit(place: Path, head: str = "") -> Checked:
    """Walks the chain; compares its head with `head` or the manifest, and in a session directory its lines with those
    that follow from the journal. DataError where there is no log, or no journal beside a manifest.
    """
    whole = place.is_dir()
    path = place / FILE if whole else place
    recorded = _recorded(place) if whole else None
    kept = _kept(recorded)
    found = walk(path, head or str(kept.get("head", "")))
    compared = ("head",) if head else ("manifest",) if kept else ()
    wrong, line = _of_chain(found, head, kept)
    said = tuple(_beside(found, head, recorded))
    if wrong:
        return Checked(path, found, wrong, line, compared, said)
    if recorded is None:
        if whole and not head:
            return Checked(path, found, f"the manifest cannot be read: {_NO_HEAD}", 0, compared, said)
        return Checked(path, found, compared=compared, said=said)
    beside = _of_journal(recorded, path)
    wrong, line = beside.wrong, beside.line
    if (wrong or not beside.ended) and (journal := _of_the_journal_itself(recorded)):
        wrong, line = journal, 0
    if not wrong and not compared and (recorded.ended or beside.ended):
        wrong, line = f"the manifest does not say how it ends: {_NO_HEAD}", 0
    if beside.behind:
        said = (*said, f"{many(beside.behind)} behind the end of the journal, compared with nothing")
    return Checked(path, found, wrong, line, (*compared, "journal"), said)


def _recorded(directory: Path) -> Recorded | None:
    try:
        return open_recorded(directory)
    except DataError:
        return None


def _kept(recorded: Recorded | None) -> dict[str, Any]:
    """What the manifest says of the log, empty where it says nothing that can be compared."""
    said = None if recorded is None else recorded.manifest.get("audit")
    return said if isinstance(said, dict) and isinstance(said.get("head"), str) and said["head"] else {}


def _of_chain(found: Verdict, head: str, kept: dict[str, Any]) -> tuple[str, int]:
    """What is wrong and in which line; an empty text where nothing is."""
    if found.wrong:
        return f"line {found.at}: {found.wrong}", found.at
    if head:
        ends = f"no line has the hash {head}; the log was cut or written anew"
        return ("", 0) if found.head_at else (ends, found.lines + 1)
    if kept and (found.head, found.lines) != (kept["head"], kept.get("lines")):
        said = f"it has {many(found.lines)} and ends in {found.head}, the manifest says {kept.get('lines')} lines and "
        return f"{said}{kept['head']}; it was cut, continued or written anew", found.lines + 1
    return "", 0


def _beside(found: Verdict, head: str, recorded: Recorded | None) -> Iterator[str]:
    more = found.lines - found.head_at if head and found.head_at else 0
    if more:
        yield f"{many(more)} after the hash that was asked for"
    if recorded is not None and "error" in recorded.manifest:
        yield "its session failed"
    elif not found.closed:
        yield "its session has not ended, or its end was cut"


def many(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"


# ---- beside the journal ----------------------------------------------------------------------------------------------


class _Log:
    """The lines of a log that tell of events, each with its number from 1; what the others say is looked at too."""

    def __init__(self, path: Path, recorded: Recorded) -> None:
        self._path, self._recorded, self._manifest = path, recorded, recorded.manifest
        self.lines = self.sessions = 0
        self.journal = ""  # the digest that its closing line states
        self.closed, self.closed_at = False, 0
        self.wrong: tuple[str, int] = ("", 0)  # the first that is

    def __iter__(self) -> Iterator[tuple[int, Line, str]]:
        before = ""
        for raw in read_lines(self._path):
            found = parsed(raw)
            if found is None:  # the walk has told of it
                return
            line, hash_ = found
            self.lines += 1
            if self.closed:
                self._say("it stands behind the line that closes the log")
            if before == CUT and line.kind != SESSION:
                self._say("it follows a line `cut`, behind which a process begins with a line `session`")
            before = line.kind
            if line.kind not in _NOT_OF_EVENTS:
                yield self.lines, line, hash_
            else:
                self._of_session(line)

    def _say(self, wrong: str) -> None:
        if not self.wrong[0]:
            self.wrong = f"line {self.lines}: {wrong}", self.lines

    def _of_session(self, line: Line) -> None:
        """A line that tells of no event, beside the manifest."""
        manifest = self._manifest
        if line.kind == HEADER:
            kept = {"run_id": manifest.get("run_id"), "started": manifest.get("created")}
            self._compare(line, kept, {"format": FORMAT, "chained": False})
        elif line.kind == SESSION:
            self.sessions += 1
            kept = {name: manifest.get(name) for name in ("name", "config_hash", "seed", "models", "libraries")}
            self._compare(line, kept | {"manifest": manifest.get("schema")}, {})
        elif line.kind == CUT:
            self._compare(line, {}, {name: line.facts.get(name) for name in ("bytes", "sha256")})
        else:
            self.closed, self.closed_at, self.journal = True, line.ts, str(line.facts.get("journal"))
            kept = {"failed": manifest.get("error"), "feed": manifest.get("feed", {}).get("hashes")}
            self._compare(line, kept, {"journal": line.facts.get("journal")})

    def _compare(self, line: Line, kept: Mapping[str, Any], always: Mapping[str, Any]) -> None:
        """What a line says beside what the manifest keeps, and what each of its kind says. It says nothing else."""
        facts, kind = line.facts, line.kind
        for name, its in kept.items():
            if facts.get(name) != its:
                self._say(f"{name} is {facts.get(name)}, the manifest says {its}")
        for name, its in always.items():
            if facts.get(name) != its:
                self._say(f"{name} is {facts.get(name)}, in each line `{kind}` it is {its}")
        odd = [name for name in facts if name not in kept and name not in always]
        if odd:
            self._say(f"it says {odd[0]} {facts[odd[0]]}, of which a line `{kind}` says nothing")
        if line.ts and kind != CLOSED:
            self._say(f"it is of {line.ts} ns, and a line `{kind}` of no instant, 0")

    def beside(self, processes: int) -> tuple[str, int]:
        """What is wrong with the log as a whole, of a session that so many processes wrote the journal of."""
        if self.wrong[0]:
            return self.wrong
        if self.sessions != max(1, processes):
            of = "1 process" if processes == 1 else f"{processes} processes"
            said = f"it has {many(self.sessions)} `session`, and the journal is of {of}; it was written anew"
            return said, self.lines
        if not self.closed and (self._recorded.ended or "error" in self._manifest):
            return "it lacks the line `closed`, and the manifest says that the session ended", self.lines + 1
        return "", 0


class _Derived:
    """The lines that follow from a journal, one after the other, each with the number of its input."""

    def __init__(self, recorded: Recorded) -> None:
        self._recorded, self.reader, self.inputs = recorded, Reader(), 0
        self.processes = 0  # that wrote the journal
        self.slice_ts = 0  # of the latest slice

    def __iter__(self) -> Iterator[tuple[int, str, dict[str, Any], int]]:
        symbols = self._recorded.symbols
        opening = None
        for run in read_runs(read_blocks(self._recorded.directory / "journal"), self.reader):
            self.inputs += 1
            if self.reader.opening is not opening:
                opening, self.processes = self.reader.opening, self.processes + 1
            entered = run.records[0]
            if entered.kind == "Bars" and entered.plain["interval_ns"] == self._recorded.interval_ns:
                self.slice_ts = int(entered.plain["ts"])
            for record in run.records:
                if record.kind in TOLD and (event := record.event) is not None:
                    for kind, facts in told(event, record.origin, symbols):
                        yield event.ts, kind, facts, self.inputs


@dataclass(frozen=True)
class _Beside:
    """What is wrong and in which line; whether the journal came to its end, and how many lines stand behind that."""

    wrong: str
    line: int
    ended: bool
    behind: int = 0


def _of_journal(recorded: Recorded, path: Path) -> _Beside:
    """The log beside the journal, one line at a time.

    Of a session that was killed either may lack the end: the journal what waited for the disk, the log the lines of
    the last input.
    """
    log, derived = _Log(path, recorded), _Derived(recorded)
    behind = 0
    lacking: tuple[str, int] = ("", 0)  # the first line that is not in the log, and the number of its input
    for written, follows in zip_longest(log, derived):
        if written is None:
            ts, kind, facts, number = follows
            lacking = lacking if lacking[0] else (_named(kind, facts, ts), number)
        elif follows is None:
            number, line, _ = written
            if derived.reader.ended or recorded.digest:
                said = f"line {number}: {_named(line.kind, line.facts, line.ts)}; the journal has no such event"
                return _Beside(said, number, derived.reader.ended)
            behind += 1
        else:
            number, line, hash_ = written
            ts, kind, facts, _ = follows
            there = ""
            if hash_of(Line(line.seq, ts, kind, facts, line.prev)) != hash_:
                there = f"the journal says {_named(kind, facts, ts)}"
            elif log.sessions != derived.processes:
                there = (
                    f"it stands behind {log.sessions} `session`, in the journal it is of process {derived.processes}"
                )
            if there:
                said = f"line {number}: {_named(line.kind, line.facts, line.ts)}; {there}"
                return _Beside(said, number, derived.reader.ended)
    ended = derived.reader.ended
    if lacking[0] and (ended or lacking[1] < derived.inputs):
        return _Beside(f"it lacks a line that the journal gives: {lacking[0]}", log.lines + 1, ended)
    return _Beside(*_of_ends(recorded, log, derived), ended, behind)


def _of_ends(recorded: Recorded, log: _Log, derived: _Derived) -> tuple[str, int]:
    """What the log says of the session as a whole, beside the manifest and the digest of the journal."""
    wrong = log.beside(derived.processes)
    if wrong[0]:
        return wrong
    digest = derived.reader.digest.hex()
    if recorded.digest and recorded.digest != digest:
        return f"the journal ends in {digest}, the manifest says {recorded.digest}", 0  # told in full by the caller
    if log.closed and log.journal != digest:
        return f"line {log.lines}: it says that the journal ends in {log.journal}, it ends in {digest}", log.lines
    if log.closed and versioned(recorded.manifest) and log.closed_at != derived.slice_ts:
        said = f"it is of {log.closed_at} ns, and the last slice of the journal of {derived.slice_ts} ns"
        return f"line {log.lines}: {said}", log.lines
    return "", 0


def _of_the_journal_itself(recorded: Recorded) -> str:
    """Whether the journal is the one that the manifest speaks of: a log is judged by no other."""
    reader = Reader()
    for _ in read_runs(read_blocks(recorded.directory / "journal"), reader):
        pass
    found = reader.digest.hex()
    if recorded.digest and recorded.digest != found:
        said = f"the journal ends in {found} after {reader.events:,} events, the manifest says {recorded.digest}"
        return f"{said}; it was cut or exchanged, restore the journal"
    if recorded.digest and recorded.ended and not reader.ended:
        return "the journal lacks its end; it was cut, restore the journal"
    return ""


def _named(kind: str, facts: dict[str, Any], ts: int) -> str:
    """A line in a few words: its kind and what it is about, at the instant of its event."""
    about = " ".join(f"{key} {value}" for key, value in facts.items())
    return f"{kind} of {ts} ns ({about})"
