"""A feed whose bars are also there as longer ones: 5 minutes of minutes, days of hours, weeks of days."""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from adapters.files.when import parse_close
from adapters.operators.buckets import Bucket, Grid, grids_for, longer_text, parse_longer
from adapters.operators.longer_bars import Rule, adjusted, combined, rule_for
from engine.actions import check_actions
from engine.calendar import Sessions
from engine.errors import DataError
from engine.events import INPUT_ORDER, Actions, Bars, Event, Reference, Status
from engine.instants import instant_text
from engine.protocols import Feed, Issue
from engine.sealing import handed, users_own
from engine.universe import Universe

_RANK = {kind: rank for rank, kind in enumerate(INPUT_ORDER)}
_BARS_RANK = _RANK[Bars]
_KEPT_MAX = 64  # slices of an open bucket that wait to be combined together
_EXAMPLES_MAX = 10
_PARTIAL = "not handed out: the data begins within it, so it would not be whole"
_OUTSIDE = "used, but in no longer bar: it closes outside of all sessions"


class Aggregate:
    """The bars of a feed and, made of them, longer bars: `to: [5min, 1d]`.

    A longer bar has the first open, the highest high, the lowest low, the last close and the summed volume of the fresh
    bars that close within (begin, end] of its bucket. `ts` is the end of the bucket, `opened` its beginning. It is
    handed out when the feed has shown that time came to its end, after the shorter bars of that instant and never
    earlier; so one that the data breaks off in is never handed out, nor one that the data begins in (an issue). A
    session's last bar may be shorter.

    With sessions (the feed's `calendar`) a day is a session and parts of it count from the open; without, parts of a
    day count from UTC midnight and a day ends at the feed's `close`, else at UTC midnight. `keep: false` leaves the
    feed's own bars out. Memory: at most 64 slices a longer interval, whatever it spans. `docs/data.md` has the rules.
    """

    def __init__(self, *, of: Feed, to: list[str], keep: bool = True) -> None:
        if not to:
            raise ValueError("to must name at least one interval such as 5min or 1d, got none")
        if getattr(of, "intervals", ()):
            raise ValueError("of is a feed of several intervals already; name them all in one aggregate")
        longer = tuple(sorted(parse_longer(text) for text in to))
        close = getattr(of, "close", None)
        self.sessions: Sessions | None = getattr(of, "sessions", None)
        self.close: str | None = close  # when a date of a user's own table becomes known
        day_end = None if close is None else parse_close(close)
        self._grids = grids_for(longer, of.interval_ns, self.sessions, day_end)
        self._of, self._keep = of, keep
        self.universe, self.sectors = of.universe, of.sectors
        made = (of.interval_ns, *longer) if keep else longer
        self.interval_ns, self.intervals = made[0], made[1:]
        self._known: tuple[int, int] | None = getattr(of, "span", None)
        self.span = self._known if keep else self._span()
        self.beforehand: Any = getattr(of, "beforehand", None)
        self._outside = _Outside()

    def grid(self, interval_ns: int) -> Grid | None:
        """Where the longer bars of an interval begin and end, None for the feed's own."""
        return next((grid for grid in self._grids if grid.interval_ns == interval_ns), None)

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        """Events with start <= ts < end, in bus order; at one instant the shorter bars first."""
        self._outside = _Outside()
        low = start if start is None else min((grid.begin_for(start) for grid in self._grids), default=start) + 1
        low = low if low is None or start is None else min(low, start)
        walk = _Walk(self._grids, self.universe, self._outside, start)
        walk.first = self._first(start)
        inner = self._of.events(low, end)
        if users_own(self._of):
            inner = map(handed, inner)
        found = _with_longer(inner, walk, last=self._last(end), trusted=self.sessions is not None)
        return _from(found, start, self._keep, self._of.interval_ns)

    def bounds(self, start: dt.date | None, end: dt.date | None) -> tuple[int | None, int | None]:
        """The ns range [low, high) of the bars of these trading days, both counting; None = open on that side."""
        return self._of.bounds(start, end)

    def issues(self) -> tuple[Issue, ...]:
        """Counted defects of the last walk, complete once `events` is exhausted."""
        return (*self._of.issues(), *self._outside.issues(self.universe.symbols))

    def hashes(self) -> dict[str, str]:
        """File name -> SHA-256 of each file that was read."""
        return self._of.hashes()

    def _first(self, start: int | None) -> int | None:
        """The instant of the first slice of the whole feed; None = whatever comes first in this walk is."""
        if self._known is not None or start is None:
            return None if self._known is None else self._known[0]
        return next((event.ts for event in self._of.events() if isinstance(event, Bars)), None)

    def _last(self, end: int | None) -> int | None:
        """An instant that the whole feed shows to have come, within a range that ends before it shows that itself."""
        if end is None or self._known is None:
            return None
        return min(end - 1, self._known[1])

    def _span(self) -> tuple[int, int] | None:
        if self._known is None:
            return None
        first, last = (self._grids[0].around(ts) for ts in self._known)
        low, high = self._known
        if last is not None and last.end > high:
            high = last.begin
        return (low if first is None else first.end), high


class _Outside:
    """Counts bars that close in no session, and the longer ones that the data begins in."""

    def __init__(self) -> None:
        self._count, self._first = 0, list[tuple[int, int]]()
        self._partial: list[str] = []

    def partial(self, length: int, begin: int) -> None:
        self._partial.append(f"{longer_text(length)} from {instant_text(begin)}")

    def add(self, bars: Bars) -> None:
        fresh = (bars.status == Status.FRESH).nonzero()[0].tolist()
        self._count += len(fresh)
        self._first += [(bars.ts, s) for s in fresh[: _EXAMPLES_MAX - len(self._first)]]

    def issues(self, symbols: tuple[str, ...]) -> tuple[Issue, ...]:
        partial = tuple(self._partial)
        found = (Issue(kind="partial_bar", count=len(partial), rule=_PARTIAL, examples=partial),) if partial else ()
        if not self._count:
            return found
        examples = tuple(f"{symbols[s]} {instant_text(ts)}" for ts, s in self._first)
        return (Issue(kind="not_aggregated", count=self._count, rule=_OUTSIDE, examples=examples), *found)


class _Open:
    """The bucket of one interval that time is in, and the slices it has so far."""

    def __init__(self, grid: Grid, rules: tuple[Rule, ...]) -> None:
        self._grid, self._rules = grid, rules
        self._bucket = Bucket(0, 0, 0, 0)
        self._slices: list[Bars] = []
        self._partial = False  # the data begins within the bucket

    @property
    def interval_ns(self) -> int:
        return self._grid.interval_ns

    @property
    def end(self) -> int | None:
        """Where the longer bar ends that is being made, None = none is."""
        return self._bucket.end if self._slices else None

    def add(self, bars: Bars) -> bool:
        """Takes a slice; False where it is in no bucket."""
        if not self._bucket.low < bars.ts <= self._bucket.high:
            bucket = self._grid.around(bars.ts)
            if bucket is None:
                return False
            self._bucket = bucket
        if not self._bucket.opening and bars.opened < self._bucket.begin:
            raise _across(bars, self._bucket.begin, self._grid.interval_ns)
        if len(self._slices) == _KEPT_MAX:
            self._slices = [combined(self._slices, self._rules)]
        self._slices.append(bars)
        return True

    def act(self, actions: Actions, extra: tuple[str, ...]) -> None:
        """Brings what came before a split into shares after it."""
        if self._slices:
            self._slices = [adjusted(combined(self._slices, self._rules), actions, extra)]

    def begins(self, first: Bars) -> int | None:
        """The beginning of the bucket that the data begins in with this slice, None where it begins with one."""
        begin = self._bucket.begin
        self._partial = bool(self._slices) and self._grid.known_from(first.opened, first.ts, first.interval_ns) > begin
        return begin if self._partial else None

    def close(self) -> Bars | None:
        """The longer bar; None for one that is not whole."""
        slices, self._slices = self._slices, []
        if self._partial:
            self._partial = False
            return None
        bucket, length = self._bucket, self._grid.interval_ns
        whole = combined(slices, self._rules)
        return msgspec.structs.replace(whole, ts=bucket.end, opened=bucket.begin, interval_ns=length)


def _across(bars: Bars, begin: int, length: int) -> DataError:
    one, other = longer_text(bars.interval_ns), longer_text(length)
    return DataError(
        f"aggregate: the bar of {one} that ends at {instant_text(bars.ts)} lies across {instant_text(begin)}, where a "
        f"bar of {other} begins; check stamped: and calendar: of the feed, or name an interval that its bars fill"
    )


class _Walk:
    """The open buckets of one walk over a feed, shortest first."""

    def __init__(self, grids: tuple[Grid, ...], universe: Universe, outside: _Outside, start: int | None) -> None:
        rules = tuple(rule_for(name) for name in universe.extra)
        self._open = tuple(_Open(grid, rules) for grid in grids)
        self._universe, self._outside, self._start = universe, outside, start
        self.first: int | None = None  # the first slice of the data; None = that of this walk
        self._begun = False

    def ended(self, until: int) -> Iterable[Bars]:
        """The longer bars that end at `until` or before, by their end, the shorter first."""
        if all(each.end is None or each.end > until for each in self._open):
            return ()
        due = [(end, k) for k, each in enumerate(self._open) if (end := each.end) is not None and end <= until]
        made = (self._open[k].close() for _, k in sorted(due))
        return [bars for bars in made if bars is not None]

    def add(self, bars: Bars) -> None:
        inside = [each.add(bars) for each in self._open]
        if not all(inside) and (self._start is None or bars.ts >= self._start):
            self._outside.add(bars)
        if not self._begun:
            self._begin(bars)

    def _begin(self, bars: Bars) -> None:
        """Looks, at the first slice, which buckets the data begins in."""
        self._begun = True
        if self.first is not None and bars.ts > self.first:
            return
        for each in self._open:
            if (begin := each.begins(bars)) is not None:
                self._outside.partial(each.interval_ns, begin)

    def act(self, actions: Actions) -> None:
        check_actions("aggregate", actions, self._universe)
        for each in self._open:
            each.act(actions, self._universe.extra)


def _with_longer(inner: Iterable[Event], walk: _Walk, *, last: int | None, trusted: bool) -> Iterator[Event]:
    """All events with the longer bars between them.

    What is not a bar waits for the next bar, which shows that time came so far. Behind the last bar only a calendar's
    events show that (`trusted`), or a range known to go on until `last`.
    """
    waiting: list[Event] = []
    shown = last
    for event in inner:
        if event.__class__ is not Bars:
            waiting.append(event)
            continue
        for held in waiting:
            yield from walk.ended(_before(held))
            yield from _told(held, walk)
        waiting.clear()
        yield from walk.ended(event.ts - 1)
        walk.add(event)
        yield event
        yield from walk.ended(event.ts)
        shown = event.ts if last is None else max(last, event.ts)
    for held in waiting:
        if trusted or (shown is not None and _before(held) <= shown):
            yield from walk.ended(_before(held))
        yield from _told(held, walk)
    if shown is not None:
        yield from walk.ended(shown)


def _before(event: Event) -> int:
    """The latest instant whose bars stand before this event."""
    return event.ts if _RANK.get(event.__class__, _BARS_RANK) > _BARS_RANK else event.ts - 1


def _told(event: Event, walk: _Walk) -> Iterator[Event]:
    if isinstance(event, Actions):
        walk.act(event)
    yield event


def _from(events: Iterator[Event], start: int | None, keep: bool, finest: int) -> Iterator[Event]:
    """The events from `start` on. References from before stand as of the first of them: they hold on."""
    before: dict[str, Reference] = {}
    begun = start is None
    for event in events:
        if not begun:
            begun = event.ts >= (start or 0)
            if not begun:
                if isinstance(event, Reference):
                    before[event.name] = event
                continue
        if not keep and isinstance(event, Bars) and event.interval_ns == finest:
            continue
        for reference in before.values():
            yield msgspec.structs.replace(reference, ts=event.ts)
        before.clear()
        yield event
