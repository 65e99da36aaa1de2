"""The slicer: bars of single symbols in, slices out. A pure fold without clock, wait or I/O; time is an argument.

Source: Akidau et al. (2015), The Dataflow Model, VLDB 8(12): watermarks, triggers and lateness, here for slices.
"""

import struct
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from engine.cuts import (
    HALTED,
    MISSING,
    PRICES,
    Bar,
    Counts,
    Cut,
    CutRule,
    CutRules,
    Lane,
    LateRow,
    OpenSlice,
    check_like,
    fit,
    told_late,
)
from engine.errors import ConfigError, DataError, StateError
from engine.events import Bars, Event, Mask, Watermark
from engine.open_orders import frozen
from engine.slice_ends import Ends
from engine.state import check_appended, pack, unpack
from engine.universe import Universe

_KIND, _VERSION = "slicer", 1
_LONG_AGO = -(1 << 62)


class Slicer:
    """Slices of all `intervals`, in the order (end, interval), from bars in any order.

    A slice is cut as soon as each symbol that is waited for has its bar; `deadline_ns` after its end if at least
    `quorum` of the members have one; `patience_ns` after its end in any case; or when the source promises that nothing
    as old will follow. A slice waits for those before it. A symbol that misses `absent_after` slices running, each with
    a quorum, is waited for no longer until it has a bar again. Without `early` no slice is cut before its deadline, so
    that corrections until then count.

    A bar whose slice was cut never changes it: it stands in a `Late` before the next slice (in one at once when
    `late_max` wait). Of the same symbol and instant the highest version counts, of the same version the first. How
    often each happened stands in `counts` and, for the journal, in `cuts`, one for each slice of the latest call.

    Each bar that arrives in time and is not corrected gives the same slices in any order, as long as no symbol is
    waited for no longer. After each end with a slice follows a `Watermark`. `now_ns` is when the bars arrived: it may
    only grow, what is older counts as the latest so far. While history is caught up with, pass the instants at which
    it arrived, or every deadline has passed already.

    Memory: slices from `patience_ns` before now to `skew_ns` after, (N, columns); versions of `kept`; `late_max` bars.

    >>> from engine.slice_ends import Clock
    >>> from engine.universe import universe_of
    >>> slicer = Slicer(universe=universe_of(("A", "B")), ends={60: Clock(60)}, start=0, rules=CutRules(deadline_ns=5))
    >>> row = {"ts": 60, "interval_ns": 60, "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 9.0}
    >>> slicer.offer(Bar(symbol=1, **row), 61)
    []
    >>> [type(event).__name__ for event in slicer.offer(Bar(symbol=0, **row), 62)], slicer.cuts[0].rule.name
    (['Bars', 'Watermark'], 'COMPLETE')
    >>> slicer.offer(Bar(symbol=1, **(row | {"ts": 120})), 121), slicer.due
    ([], 125)
    >>> slicer.advance(125)[0].status
    array([1, 0], dtype=int32)
    """

    def __init__(self, *, universe: Universe, ends: dict[int, Ends], start: int, rules: CutRules) -> None:
        if not ends or min(ends) < 1:
            raise ConfigError(f"slicer: ends must name at least one interval above 0 ns, got {sorted(ends)}")
        n, width = len(universe), PRICES + len(universe.extra)
        self._universe, self._n, self._rules = universe, n, rules
        self._patience_ns = rules.patience_ns or rules.deadline_ns
        self._layout = struct.Struct(f"={width}d")
        self._blank = np.full(n * width, np.nan).tobytes()
        self._lanes = {interval: Lane(interval, ends[interval], start, n) for interval in sorted(ends)}
        self._ordered = tuple(self._lanes.values())
        self._members: list[tuple[int, Mask]] = [(start, frozen(np.ones(n, bool)))]
        self._late: list[LateRow] = []
        self._now = self._promise = _LONG_AGO
        self._ts, self._marked = start, start  # of the latest slice, and of the latest watermark
        self._taken, self._lacking = 0, False  # bars so far; whether the next slice lacks its quorum at its deadline
        self._nothing = OpenSlice(0, self._blank, n)
        self._since, self._before = Counts(), Counts()
        self.cuts: list[Cut] = []  # of the latest call, one for each slice
        self.due = self._next_lane().end + rules.deadline_ns  # when to call `advance` at the latest

    @property
    def counts(self) -> Counts:
        """What became of all bars so far, but for those in open slices."""
        return self._before.plus(self._since)

    @property
    def next(self) -> int:
        """Where the slice ends that is cut next."""
        return self._next_lane().end

    @property
    def held(self) -> int:
        """Bars in open slices."""
        return sum(opened.placed for lane in self._ordered for opened in lane.open.values())

    @property
    def awaited(self) -> tuple[int, Mask]:
        """The interval of the slice that is cut next, and the symbols that it waits for (N,)."""
        lane = self._next_lane()
        return lane.interval_ns, lane.waits & self._member(lane.end)

    # ---- what comes in -----------------------------------------------------------------------------------------------

    def offer(self, bar: Bar, now_ns: int, *more: Bar) -> list[Event]:
        """Takes one bar, or several at once. Returns what follows from them and from the time that has passed."""
        out: list[Event] = []
        self.cuts = self.cuts and []
        if now_ns > self._now:
            self._now = now_ns
            if now_ns >= self.due:
                self._cut_ripe(out)
        if self._place(bar) | any([self._place(each) for each in more]):
            self._cut_ripe(out)
        elif len(self._late) >= self._rules.late_max:
            self._tell_late(self._ts, out)
        return out

    def advance(self, now_ns: int) -> list[Event]:
        """The events that follow from the time alone; to be called at `due` when nothing arrives before."""
        out, self.cuts = list[Event](), []
        self._now = max(self._now, now_ns)
        self._cut_ripe(out)
        return out

    def promised(self, ts: int, now_ns: int) -> list[Event]:
        """The source promises that no bar that ends before `ts` will follow."""
        self._promise = max(self._promise, ts)
        return self.advance(now_ns)

    def expect(self, member: Mask, since: int) -> None:
        """Slices that end at `since` or later have these members (N,); DataError where it is earlier than before."""
        last = self._members[-1][0]
        if len(member) != self._n or since < last:
            raise DataError(f"slicer: {len(member)} members from {since}: give {self._n}, from {last} on or later")
        self._members.append((since, frozen(np.array(member, bool))))
        for lane in self._ordered:
            lane.wait_anew(self._member)

    def follow(self, cut: Cut, arrived: Iterable[tuple[Bar, int]]) -> list[Event]:
        """Repeats a recorded cut, whatever the time: of the bars that were taken since the one before, each with now.

        `cut.taken` says which these are. Bars and Late are as they were; a watermark may stand on the other side of
        what `late_max` told. StateError where the recorded slice cannot be the next one.
        """
        out, self.cuts = list[Event](), []
        for lane in self._ordered:  # no bar had come for what was passed over, or it would have been cut
            first = cut.ts + (lane.interval_ns < cut.interval_ns)  # a finer slice of this instant came before
            if lane.end < first and not (lane.ends.empty or (lane.order and lane.order[0] < first)):
                lane.begin, lane.end = lane.ends.after(first - 1)
        lane = self._next_lane()
        self._mark(lane, out)
        for bar, now_ns in arrived:
            self._now = max(self._now, now_ns)
            self._place(bar)
            if len(self._late) >= self._rules.late_max:
                self._tell_late(self._ts, out)
        if (lane.end, lane.interval_ns) != (cut.ts, cut.interval_ns) or self._taken != cut.taken:
            now = f"the next is of {lane.interval_ns} ns at {lane.end} behind {self._taken} bars"
            was = f"of {cut.interval_ns} ns at {cut.ts} behind {cut.taken}"
            raise StateError(f"slicer: a slice {was} was recorded, {now}; feed all cuts and bars since the state")
        self._cut(lane, cut.rule, out)
        self._mark(self._next_lane(), out)
        return out

    def _place(self, bar: Bar) -> bool:
        """Puts one bar where it belongs. Returns whether the next slice may be ripe now."""
        symbol, layout = bar.symbol, self._layout
        self._taken += 1
        lane = self._lanes.get(bar.interval_ns)
        if lane is None or not 0 <= symbol < self._n:
            known = f"{self._n} symbols and intervals of {sorted(self._lanes)} ns"
            raise DataError(f"slicer: a bar of symbol {symbol} and {bar.interval_ns} ns came; it knows {known}")
        if not (bar.halted or fit(bar)):
            self._since.unfit += 1
            return False
        opened = lane.open.get(bar.ts) or self._opened(lane, bar)
        if opened is None:
            return False
        before = opened.versions[symbol]
        if before >= bar.version:
            self._again(opened, bar)
            return False
        at = symbol * layout.size
        try:
            layout.pack_into(opened.rows, at, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, *bar.extra)
        except struct.error as error:
            wanted = f"the universe names {len(self._universe.extra)}"
            raise DataError(f"slicer: a bar of symbol {symbol} has {len(bar.extra)} extra columns; {wanted}") from error
        opened.status[symbol] = HALTED if bar.halted else 0
        opened.versions[symbol] = bar.version
        if before >= 0:
            self._since.revised += 1
            return False
        opened.placed += 1
        if opened.waits[symbol]:
            opened.waiting -= 1
        return opened.waiting <= 0 or self._lacking

    def _opened(self, lane: Lane, bar: Bar) -> OpenSlice | None:
        """A new open slice for this bar; None where there is none, and then the bar is late or counted."""
        if bar.version < 0:
            raise DataError(f"slicer: version {bar.version} of symbol {bar.symbol} at {bar.ts}; count from 0")
        if bar.ts > self._now + self._rules.skew_ns:
            self._since.ahead += 1
            return None
        begin = lane.begin_of(bar.ts)
        if begin is None:
            self._since.outside += 1
        elif bar.ts < lane.end:
            self._be_late(lane, bar)
        if begin is None or bar.ts < lane.end:
            return None
        opened = OpenSlice(begin, self._blank, self._n)
        opened.wait_for(lane.waits & self._member(bar.ts))
        lane.add(bar.ts, opened)
        return opened

    def _be_late(self, lane: Lane, bar: Bar) -> None:
        if bar.halted:
            self._since.unfit += 1  # there is nothing in it to keep
            return
        versions = lane.versions(bar.ts)
        if versions is not None:
            before = versions[bar.symbol]
            if bar.version <= before:
                self._since.duplicates += bar.version == before
                self._since.revised += bar.version < before
                return
            versions[bar.symbol] = bar.version
        values = (bar.open, bar.high, bar.low, bar.close, bar.volume)
        self._since.late += 1
        self._late.append((bar.ts, bar.interval_ns, bar.symbol, bar.version, *values))

    def _again(self, opened: OpenSlice, bar: Bar) -> None:
        """A bar that is there already, in this or in a higher version."""
        if bar.version < opened.versions[bar.symbol]:
            self._since.revised += 1
        elif opened.holds(bar, self._layout):
            self._since.duplicates += 1
        else:
            self._since.conflicts += 1

    # ---- cutting -----------------------------------------------------------------------------------------------------

    def _next_lane(self) -> Lane:
        """The lane whose slice comes next: of one instant the finest first."""
        return min(self._ordered, key=lambda lane: lane.end)

    def _cut_ripe(self, out: list[Event]) -> None:
        """Cuts what can be cut, in order, and sets when to look again."""
        while True:
            lane = self._next_lane()
            self._mark(lane, out)
            if lane.end not in lane.open and not lane.ends.empty:
                if not self._skip(lane):
                    break
                continue
            rule = self._rule(lane)
            if rule is None:
                break
            self._cut(lane, rule, out)
        deadline = lane.end + self._rules.deadline_ns
        self._lacking = self._now >= deadline
        self.due = lane.end + self._patience_ns if self._lacking else deadline

    def _skip(self, lane: Lane) -> bool:
        """Passes over ends without any bar, once none can come in time. Returns whether there was one."""
        grace = self._patience_ns if self._rules.quorum else self._rules.deadline_ns
        last = max(self._now - grace, self._promise - 1)
        last = min(last, lane.order[0] - 1) if lane.order else last
        if last < lane.end:
            return False
        lane.begin, lane.end = lane.ends.after(last)
        return True

    def _rule(self, lane: Lane) -> CutRule | None:
        """The rule by which the next slice of this lane is to be cut now, if any."""
        opened, age = lane.open.get(lane.end), self._now - lane.end
        in_time = age < self._rules.deadline_ns
        if opened is not None and opened.waiting <= 0 and opened.placed and not (in_time and not self._rules.early):
            return CutRule.COMPLETE
        if lane.end < self._promise:
            return CutRule.PASSED
        if not in_time and self._has_quorum(opened, self._member(lane.end)):
            return CutRule.DEADLINE
        return CutRule.PATIENCE if age >= self._patience_ns else None

    def _has_quorum(self, opened: OpenSlice | None, member: Mask) -> bool:
        present = 0 if opened is None else np.count_nonzero(member & (opened.codes() != MISSING))
        return bool(present >= self._rules.quorum * np.count_nonzero(member))

    def _cut(self, lane: Lane, rule: CutRule, out: list[Event]) -> None:
        """Hands out the next slice of this lane, with what came late before it."""
        ts, opened, member = lane.end, lane.open.get(lane.end), self._member(lane.end)
        if self._late:
            self._tell_late(ts, out)
        columns, status = (opened or self._nothing).columns(self._n)
        out.append(
            Bars(
                ts=ts,
                interval_ns=lane.interval_ns,
                opened=lane.begin,
                open=columns[0],
                high=columns[1],
                low=columns[2],
                close=columns[3],
                volume=columns[4],
                vwap=columns[5],
                status=status,
                member=member,
                extra=tuple(columns[PRICES:]),
            )
        )
        missing = np.flatnonzero((status == MISSING) & member).astype(np.int32)
        self._since.placed = 0 if opened is None else opened.placed
        absent = int(np.count_nonzero(~lane.waits[missing]))
        counts, self._since, self._ts = self._since, Counts(), ts
        self._before = self._before.plus(counts)
        known: dict[str, Any] = {"interval_ns": lane.interval_ns, "rule": rule, "taken": self._taken}
        self.cuts.append(Cut(ts=ts, missing=missing, absent=absent, counts=counts, **known))
        lane.close([-1] * self._n if opened is None else opened.versions, self._rules.kept)
        while len(self._members) > 1 and self._members[1][0] <= self._next_lane().end:
            self._members.pop(0)
        if opened is not None and self._rules.absent_after:
            self._note_absent(lane, opened, member)

    def _note_absent(self, lane: Lane, opened: OpenSlice, member: Mask) -> None:
        """Counts who is missing; a slice without a quorum says nothing against the symbols it lacks."""
        if MISSING not in opened.status and not lane.misses.any():
            return
        absent = opened.codes() == MISSING
        more = absent & member if self._has_quorum(opened, member) else np.zeros(self._n, bool)
        lane.misses = np.where(absent, lane.misses + more, 0)
        waits = lane.misses < self._rules.absent_after
        if (waits != lane.waits).any():
            lane.waits = waits
            lane.wait_anew(self._member)

    def _member(self, ts: int) -> Mask:
        return next((member for since, member in reversed(self._members) if since <= ts), self._members[0][1])

    def _tell_late(self, ts: int, out: list[Event]) -> None:
        out += told_late(self._late, ts)
        self._late = []

    def _mark(self, lane: Lane, out: list[Event]) -> None:
        """A watermark once no lane has a slice of the latest instant left."""
        if lane.end > self._ts > self._marked:
            out.append(Watermark(ts=self._ts))
            self._marked = self._ts

    # ---- state -------------------------------------------------------------------------------------------------------

    _PLAIN = ("now", "promise", "ts", "marked", "lacking", "taken")

    def save(self) -> bytes:
        """Everything but `cuts`: between two calls."""
        return pack(
            _KIND,
            _VERSION,
            symbols=self._universe.symbols,
            width=self._layout.size,
            lanes=[lane.save() for lane in self._ordered],
            members=self._members,
            late=self._late,
            counts=[msgspec.structs.astuple(counts) for counts in (self._since, self._before)],
            due=self.due,
            **{name: getattr(self, f"_{name}") for name in self._PLAIN},
        )

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since are members without a bar. StateError otherwise."""
        fields = unpack(state, _KIND, _VERSION)
        check_appended(fields["symbols"], self._universe.symbols)
        found = [lane["interval_ns"] for lane in fields["lanes"]]
        check_like((found, fields["width"] // 8), (list(self._lanes), self._layout.size // 8))
        grown = np.ones(self._n - len(fields["symbols"]), bool)
        self._members = [(since, frozen(np.concatenate([mask, grown]))) for since, mask in fields["members"]]
        for lane, saved in zip(self._ordered, fields["lanes"], strict=True):
            lane.load(saved, self._blank, len(grown))
            lane.wait_anew(self._member)
        self._late = [tuple(row) for row in fields["late"]]
        self._since, self._before = (Counts(*counts) for counts in fields["counts"])
        for name in self._PLAIN:
            setattr(self, f"_{name}", fields[name])
        self.due, self.cuts = fields["due"], []
