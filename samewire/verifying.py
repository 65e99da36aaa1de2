"""Whether a recorded session would be decided the same again: its inputs alone through the wiring of its manifest."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from engine.bus import Bus
from engine.errors import SamewireError, StateError
from engine.events import SESSION_CLOSED, SESSION_OPENED, Control, ControlAction, Event
from engine.journal import Journal
from engine.journal_reading import Reader, Record, Run, read_runs
from engine.protocols import Artefact
from engine.saying import FROM_OUTSIDE
from engine.wiring import Wiring
from samewire.differences import NOT_KEPT, Difference, Pair, first_difference
from samewire.findings import (
    CODE,
    CONFIGURATION,
    DATA,
    LIBRARY,
    MODEL,
    RECORD,
    Finding,
    before_it_runs,
    feed_hashes,
    of_data,
    of_models,
)
from samewire.manifest import lacking
from samewire.prepare import Prepared, prepare
from samewire.recorded import Recorded
from samewire.snapshots import Snapshot
from samewire.walk import Found

LATE, CLOCK, JOURNAL = "late bar", "clock", "journal"
_IDLE = ("session.snapshot_every", "session.record", "sinks", "live")  # of a run file: they decide nothing
_OF_BARS = ("feed.", "session.start", "session.end", "session.currency")  # of a run file: they say which bars there are
_OF_FEEDS = (SESSION_OPENED, SESSION_CLOSED)  # timers that a feed hands out itself, by its calendar
_ORDER = (MODEL, CONFIGURATION, DATA, LIBRARY, CODE)  # which change explains most, where several were made


@dataclass(frozen=True)
class Verdict:
    """What verification found. `events` were the same; `ended`: the recorded session came to its end."""

    events: int
    digest: str
    ended: bool
    difference: Difference | None = None
    cause: str = ""
    findings: tuple[Finding, ...] = ()
    since: int = 0  # the first record that was compared

    @property
    def identical(self) -> bool:
        return self.difference is None


async def verify(
    recorded: Recorded, *, snapshot: Snapshot | None = None, tell: Callable[[int], None] | None = None
) -> Verdict:
    """Runs the recorded inputs through a fresh wiring and compares every event, up to the first that differs.

    Nothing is trained: the artefacts of the session directory are put to use by the recorded controls, and one whose
    hash is not the recorded one is not loaded. With a `snapshot` it begins behind it. `tell` hears the records done.
    Raises StateError for a journal that is damaged, and for a snapshot that is not of this session.
    """
    artefacts, wrong = of_models(recorded)
    findings = [*wrong, *before_it_runs(recorded)]
    check, prepared = await _pass(recorded, artefacts, snapshot, tell)
    findings += of_data(recorded, prepared)
    damaged = any(lacking(recorded.manifest))  # what it lacks is no statement about the journal
    ending = None if damaged else _ending(recorded, check)
    difference = check.difference or ending or _beside(check, findings)
    cause = "" if difference is None else _cause(difference, findings, check.late)
    if difference is not None and cause not in (LATE, MODEL, JOURNAL, RECORD) and difference.component != "input":
        again, _ = await _pass(recorded, artefacts, snapshot, None)
        if again.difference != difference:  # the same inputs, the same code, a moment later
            cause = CLOCK
    return Verdict(
        events=check.reader.events if difference is None else difference.seq,
        digest=check.reader.digest.hex(),
        ended=check.reader.ended,
        difference=difference,
        cause=cause,
        findings=tuple(findings),
        since=check.since,
    )


async def _pass(
    recorded: Recorded,
    artefacts: Mapping[str, Artefact],
    snapshot: Snapshot | None,
    tell: Callable[[int], None] | None,
) -> tuple["_Check", Prepared]:
    prepared = prepare(recorded.run, recorded=artefacts)
    if snapshot is None:
        await prepared.warm_up()
    else:
        prepared.session.wiring.load(snapshot.wiring)
    check = _Check(recorded, prepared, snapshot)
    await check.run(tell)
    return check, prepared


def _ending(recorded: Recorded, check: "_Check") -> Difference | None:
    """A journal that is whole in itself, but not the one that the manifest speaks of: cut, exchanged or made anew."""
    reader = check.reader
    files = {} if reader.opening is None else reader.opening.files
    kept = feed_hashes(recorded)
    if files and files != kept:
        name = next(name for name in sorted({**files, **kept}) if files.get(name) != kept.get(name))
        return Difference(0, 0, "journal", "Opening", name, "", kept.get(name), files.get(name))
    if recorded.digest and recorded.digest != reader.digest.hex():
        found = f"{reader.digest.hex()} after {reader.events:,} events"
        return Difference(reader.events, 0, "journal", "Ending", "digest", "", recorded.digest, found)
    if recorded.manifest.get("ended", True) and not reader.ended:
        return Difference(reader.events, 0, "journal", "Ending", "", "", "the end of the session", "nothing")
    return None


def _beside(check: "_Check", findings: Sequence[Finding]) -> Difference | None:
    """Where every event is the same: what the directory states beside them, and is not so."""
    found = next((finding for finding in findings if finding.cause == RECORD), None)
    if found is None:
        return None
    return Difference(check.reader.events, 0, RECORD, found.what, "", "", found.recorded, found.found)


class _Check:
    """One pass over a journal."""

    def __init__(self, recorded: Recorded, prepared: Prepared, snapshot: Snapshot | None) -> None:
        self._symbols = recorded.symbols
        self._folder = recorded.directory / "journal"
        self._wiring: Wiring = prepared.session.wiring
        self._found = Found(prepared.walk)
        self._log: tuple[Sequence[str], Sequence[Event]] = ((), ())
        self._bus = Bus(self._wiring.routes, recorders=(self,), takes=FROM_OUTSIDE)
        self.reader = Reader()
        self.difference: Difference | None = None
        self.since = 0 if snapshot is None else snapshot.events
        self._from = None if snapshot is None else (snapshot.events, snapshot.digest)
        self._journal = Journal() if snapshot is None else Journal(digest=snapshot.digest, events=snapshot.events)
        self.late: set[int] = set()  # slices of which bars came late

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        self._log = (tuple(origins), tuple(events))

    async def run(self, tell: Callable[[int], None] | None) -> None:
        """Up to the first event that differs, which is `difference` then."""
        from adapters.files.journal_file import read_blocks

        difference: Difference | None = None
        before = (self.reader.events, self.reader.digest)
        begun = self._from is None
        try:
            for run in read_runs(read_blocks(self._folder), self.reader):
                begun, before = begun or before == self._from, (self.reader.events, self.reader.digest)
                if run.records[0].kind == "Late":
                    self.late.add(int(run.records[0].plain["slice_ts"]))
                if not begun or difference is not None:
                    continue  # what came late is told after its slice
                difference = self._clock(run.records[0]) or await self._same(run)
                if tell is not None:
                    tell(self.reader.events)
        finally:
            await self._bus.aclose()
        if not begun and before != self._from:
            raise StateError(
                f"{self._folder}: its snapshot behind event {self.since} is not of this journal; begin at the start"
            )
        self.difference = difference

    def _clock(self, record: Record) -> Difference | None:
        """Timers that the wiring asked for enter where they were recorded, and no others do."""
        pending = self._wiring.timers.heap
        ts, timer = int(record.plain["ts"]), record.kind == "Timer"
        if timer and record.plain["name"] in _OF_FEEDS:
            return None
        due, _, name = pending[0] if pending else (0, 0, "")
        if timer and pending and (due, name) == (record.plain["due"], record.plain["name"]):
            self._wiring.timers.due(ts, after_bars=True)
            return None
        if timer:
            asked = f"Timer {name} of {due}" if pending else "no timer that was asked for"
            return Difference(record.seq, ts, "timers", "Timer", "", "", f"Timer {record.plain['name']} of {ts}", asked)
        if pending and due < ts:
            found = f"Timer {name} of {due}"
            return Difference(record.seq, ts, "timers", "Timer", "", "", f"{record.kind} of {ts}", found)
        return None

    async def _same(self, run: Run) -> Difference | None:
        record = run.records[0]
        event = self._found.at(record.kept.at) if record.kept is not None else record.event
        if event is None or (record.kept is not None and event.__class__.__name__ != record.kind):
            kind = "nothing" if event is None else event.__class__.__name__
            return _whole(record, f"{record.kind} at place {record.kept.at if record.kept else 0} of the feed", kind)
        entered = first_difference(Pair(record, record.origin, event), self._symbols)
        if entered is not None:
            return _known_close(entered, run, self._symbols)
        swap = isinstance(event, Control) and event.action is ControlAction.SWAP_MODEL
        try:
            await self._bus.feed(event)
        except SamewireError as error:
            if swap:
                return Difference(
                    record.seq, event.ts, record.plain["component"], "Control", "artefact", "",
                    record.plain["artefact"], str(error),
                )  # fmt: skip
            return _raised(run, error)
        self._journal.append(*self._log)
        return None if self._journal.position == run.digest else self._first(run)

    def _first(self, run: Run) -> Difference:
        origins, events = self._log
        for place, record in enumerate(run.records):
            if place >= len(events):
                return _whole(record, record.kind, "nothing")
            event = events[place]
            said = getattr(event, "source", origins[place]) if place else origins[place]
            difference = first_difference(Pair(record, said, event, run.records, events), self._symbols)
            if difference is not None:
                return difference
        last, extra = run.records[-1], events[len(run.records) :]
        if extra:
            kind, said = extra[0].__class__.__name__, getattr(extra[0], "source", origins[len(run.records)])
            return Difference(last.seq + 1, extra[0].ts, said, kind, "", "", "nothing", kind)
        return _whole(last, "the digest", "another, of equal events")


def _whole(record: Record, recorded: str, found: str) -> Difference:
    return Difference(record.seq, int(record.plain["ts"]), record.origin, record.kind, "", "", recorded, found)


def _raised(run: Run, error: SamewireError) -> Difference:
    """A component that answered when the session was recorded, and raises now."""
    ts, name = int(run.records[0].plain["ts"]), getattr(error, "component", "")
    record = next((r for r in run.records[1:] if r.origin == name), run.records[0])
    return Difference(record.seq, ts, name or record.origin, record.kind, "", "", "answered", str(error))


def _known_close(difference: Difference, run: Run, symbols: Sequence[str]) -> Difference:
    """The recorded close of bars that are not kept, from the book that was marked at it."""
    if difference.recorded != NOT_KEPT or difference.field != "close":
        return difference
    for record in run.records:
        mark = record.columns.get("mark")
        if record.kind == "Book" and mark is not None:
            recorded = float(mark[symbols.index(difference.symbol)])
            return replace(difference, recorded=recorded)
    return difference


def _cause(difference: Difference, findings: Sequence[Finding], late: set[int]) -> str:
    """The class of what most likely made the difference: by what differs, then by what is known to have changed."""
    if difference.component == "journal":
        return JOURNAL
    if difference.component == RECORD:
        return RECORD
    causes = {finding.cause for finding in findings if not finding.what.startswith(_IDLE)}
    if difference.event == "Bars" and difference.component == "input":
        if difference.ts in late:
            return LATE
        asked = any(f.cause == CONFIGURATION and f.what.startswith(_OF_BARS) for f in findings)
        order = (CONFIGURATION, DATA, CODE) if asked else (DATA, CONFIGURATION, CODE)
        return next((cause for cause in order if cause in causes), DATA)
    if difference.field == "artefact" or (difference.field == "model_hash" and MODEL in causes):
        return MODEL
    if difference.event == "Timer":
        return CLOCK
    named = (difference.component, f"{difference.component}.", f"{difference.component} ")
    own = [f.cause for f in findings if f.what.startswith(named[1:]) or f.what == named[0]]
    # Nothing that is recorded has changed: the component read a clock, a random source or the world outside.
    return next((cause for cause in (*own, *_ORDER) if cause in causes), CLOCK)


def as_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict as numbers and text."""
    return {
        "ok": verdict.identical,
        "identical": verdict.identical,
        "events": verdict.events,
        "since": verdict.since,
        "digest": verdict.digest,
        "ended": verdict.ended,
        "cause": verdict.cause or None,
        "difference": None if verdict.difference is None else msgspec.to_builtins(verdict.difference),
        "findings": [msgspec.to_builtins(finding) for finding in verdict.findings],
    }


def lines(verdict: Verdict, at: Callable[[int], str]) -> Iterator[str]:
    """The verdict in words; `at` writes an instant."""
    count = verdict.events - verdict.since
    if verdict.difference is None:
        begun = f" since event {verdict.since:,}" if verdict.since else ""
        yield f"identical, {count:,} events{begun}, digest {verdict.digest}"
        if not verdict.ended:
            yield "  the session did not come to its end: it was stopped, or it is still running"
    else:
        first = verdict.difference
        beside = first.component == RECORD
        yield (
            f"the events are the same, {count:,} of them; what the session directory says beside them is not"
            if beside
            else f"differs at event {first.seq:,}, after {count:,} that are the same"
        )
        rows = [("slice", at(first.ts) if first.ts else ""), ("component", first.component)]
        rows += [("statement" if beside else "event", first.event)]
        rows += [("field", first.field), ("symbol", first.symbol)]
        rows += [("recorded", str(first.recorded)), ("found", str(first.found)), ("cause", verdict.cause)]
        yield from (f"  {name:<10} {value}" for name, value in rows if value)
    if verdict.findings:
        yield "changed since it was recorded:"
        yield from (f"  {finding}" for finding in verdict.findings)
