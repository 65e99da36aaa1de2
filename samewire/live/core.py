"""A live session without its transport: bars and commands in, what follows from them out."""

from collections.abc import Sequence
from typing import Any

import msgspec

from engine.bus import Bus
from engine.clock import Timers
from engine.course import Course, Input
from engine.cuts import CutRules
from engine.errors import ConfigError, StateError
from engine.events import SESSION_CLOSED, Actions, Approved, Bars, Book, Event, Fills, Mode, Refusals
from engine.instants import instant_text
from engine.journal import GENESIS, Journal
from engine.journal_reading import Record, Run
from engine.saying import FROM_OUTSIDE
from engine.slice_ends import Ends
from engine.slicer import Slicer
from engine.stream_clock import StreamClock
from samewire.hiding import hider
from samewire.live.expected import day_ends, ends_of, known_of, membership_of
from samewire.prepare import Wired
from samewire.run_file import RunFile
from samewire.secret_guard import guards_of

_NEVER = 1 << 62
_NO_CLOCK = 1 << 63  # ns: a bar is not ahead of a slicer that has not been told the time yet either
_LATE_MAX = 1_000_000  # late bars that wait for the next slice


class Tally(msgspec.Struct):
    """What a session has done since it first began."""

    slices: int = 0
    orders: int = 0
    fills: int = 0
    refusals: int = 0
    missing: int = 0
    inputs: int = 0
    at: int = 0  # end of the latest slice, UTC ns


class Core:
    """The wiring, its journal, and the slicer in front of it.

    `events` and `digest` are where the journal stands: 0 and GENESIS for a new session. What a run said is in `said`
    until the next one, the blocks of its journal in `blocks` until somebody takes them.
    """

    def __init__(
        self, run: RunFile, wired: Wired, rules: CutRules, *, events: int = 0, digest: bytes = GENESIS
    ) -> None:
        self.wired, self.wiring = wired, wired.wiring
        self.blocks: list[bytes] = []
        self.journal = Journal(self.blocks.append, events=events, digest=digest)
        self.said: tuple[Sequence[str], Sequence[Event]] = ((), ())
        self.book: Book | None = None
        self.tally = Tally()
        guards: Any = guards_of(run, hider())
        self.bus = Bus(self.wiring.routes, recorders=(*guards, self.journal, self), takes=FROM_OUTSIDE)
        self.intervals = intervals_of(wired)
        self.ends = all_ends(wired)
        self._start = start_of(wired)
        self.slicer = slicer_of(wired, self.ends, rules)
        known, members = known_of(wired.feed, self._start, wired.end), membership_of(wired.feed, self._start)
        self.course = Course(self.slicer, self.wiring.timers, known=known, start=self._start + 1, members=members)
        self._day_end = day_ends(wired.feed)
        self.clock = StreamClock()
        self._limit = (-_NEVER, 0)

    @property
    def start(self) -> int:
        """Bars that end then or earlier are history."""
        return self._start

    @property
    def timers(self) -> Timers:
        return self.wiring.timers

    @property
    def over(self) -> bool:
        """Whether the session has come to its end."""
        end = self.wired.end
        return end is not None and self.slicer.next >= end

    @property
    def mode(self) -> Mode:
        """What the risk gate lets through."""
        return self.wiring.ledger.latches.mode

    @property
    def limit(self) -> int:
        """The end of the slice behind the next: no bar that ends later is taken yet."""
        following, limit = self._limit
        if following != self.slicer.next:
            following = self.slicer.next
            try:
                limit = self.ends[self.intervals[0]].after(following)[1]
            except ConfigError:  # the calendar ends: the next bar says so
                limit = following
            self._limit = (following, limit)
        return limit

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        """A recorder of the bus: keeps the run, and what a health line says."""
        self.said = (origins, events)
        tally = self.tally
        tally.inputs += 1
        for event in events:
            kind = event.__class__
            if kind is Book:
                self.book = event  # type: ignore[assignment]
            elif kind is Bars:
                tally.slices += 1
                tally.at = event.ts
            elif kind is Approved:
                tally.orders += len(event.ids)  # type: ignore[union-attr]
            elif kind is Fills:
                tally.fills += len(event.exec_ids)  # type: ignore[union-attr]
            elif kind is Refusals:
                tally.refusals += len(event.ids)  # type: ignore[union-attr]

    async def enter(self, given: Input) -> Sequence[Event]:
        """Runs one input to its end. Returns it and what followed."""
        await self.bus.feed(given.event)
        self._day(given.event)
        if given.cut is not None:
            self.tally.missing += len(given.cut.missing)
        return self.said[1]

    async def enter_again(self, run: Run) -> None:
        """Runs a recorded input again. StateError where something else follows from it than was recorded."""
        record = run.records[0]
        event = record.event
        if event is None:
            raise StateError(f"journal: the input of record {record.seq} was not kept by value; begin anew with --new")
        if record.kind == "Timer":
            self.timers.entered(record.plain["name"], record.plain["due"])
        if isinstance(event, Actions):
            self.course.act(event)
        await self.bus.feed(event)
        self._day(event)
        if self.journal.position != run.digest:
            raise StateError(
                f"{differing(run, self.said, self.wired.feed.universe.symbols)}; no order is sent: bring back the "
                "code, model, data and configuration it ran with, or begin a new one with --new"
            )

    def _day(self, event: Event) -> None:
        """Where no calendar says when days end: one that had a bar ends at its declared close."""
        if self._day_end is not None and isinstance(event, Bars) and event.interval_ns == self.intervals[0]:
            self.timers.at(self._day_end(event.ts), SESSION_CLOSED, priority=-1)

    def take_blocks(self) -> list[bytes]:
        found, self.blocks[:] = list(self.blocks), []
        return found

    async def aclose(self) -> None:
        await self.bus.aclose()


def all_ends(wired: Wired) -> dict[int, Ends]:
    """Where slices end, by interval."""
    return {interval: ends_of(wired.feed, interval) for interval in intervals_of(wired)}


def slicer_of(wired: Wired, ends: dict[int, Ends], rules: CutRules) -> Slicer:
    """The slicer of a session before its first bar, by the rules of its settings.

    Bars from the future are sorted out before it, by a clock that it does not have.
    """
    own = msgspec.structs.replace(rules, skew_ns=_NO_CLOCK, late_max=_LATE_MAX)
    return Slicer(universe=wired.feed.universe, ends=ends, start=start_of(wired), rules=own)


def intervals_of(wired: Wired) -> tuple[int, ...]:
    """Of the slices that a session is made of, the finest first."""
    return tuple(sorted({wired.feed.interval_ns, *wired.parts.intervals}))


def start_of(wired: Wired) -> int:
    """Up to when everything is history: before the session's start, else as far as the feed's files go."""
    if wired.start is not None:
        return wired.start - 1
    span: tuple[int, int] | None = getattr(wired.feed, "span", None)
    if span is None:
        raise ConfigError(
            "session.start: the feed does not know where its history ends; name the first day of the session"
        )
    return span[1]


def differing(run: Run, said: tuple[Sequence[str], Sequence[Event]], symbols: Sequence[str]) -> str:
    """What was decided otherwise than it was recorded, in one sentence."""
    from samewire.differences import Pair, first_difference

    origins, events = said
    for place, record in enumerate(run.records):
        if place >= len(events):
            return _told(record, "nothing")
        event, by = events[place], getattr(events[place], "source", origins[place]) if place else origins[place]
        found = first_difference(Pair(record, by, event, run.records, events), symbols)
        if found is not None:
            where = " ".join(part for part in (found.event, found.field, found.symbol) if part)
            return _text(record, f"{found.component}: {where} was {found.recorded} and is {found.found}")
    return _told(run.records[-1], f"{len(events) - len(run.records)} more events")


def _told(record: Record, found: str) -> str:
    return _text(record, f"{record.origin}: {record.kind} was said, and now {found}")


def _text(record: Record, what: str) -> str:
    return f"the session decides otherwise than it did at event {record.seq}, {_at(record)}: {what}"


def _at(record: Record) -> str:
    return instant_text(int(record.plain["ts"]))
