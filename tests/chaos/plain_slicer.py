"""What each slice must hold, worked out from the rules alone: plain loops, nothing kept that could be worked out again.

It knows nothing of when somebody looks: all that is ripe is cut before the next bar is placed, and again behind it.
"""

from collections.abc import Iterator, Sequence
from math import inf, isnan
from typing import Any

import msgspec

from engine.cuts import Bar, CutRule, CutRules
from engine.events import Status
from engine.slice_ends import Ends

COUNTED = ("placed", "late", "duplicates", "conflicts", "revised", "unfit", "outside", "ahead")


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """A slice that must come: who is in it with which bar, who is a member, and how it was cut."""

    ts: int
    interval_ns: int
    opened: int
    bars: dict[int, Bar]  # by symbol
    member: tuple[bool, ...]
    rule: CutRule
    taken: int
    missing: list[int]
    absent: int
    counts: dict[str, int]  # since the slice before


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A bar that must stand in a Late of `ts`."""

    ts: int
    bar: Bar


class Mark(msgspec.Struct, frozen=True):
    """A watermark that must come."""

    ts: int


Wanted = Slice | Told | Mark


class Plain:
    """`members` are (since, member of each symbol), the earliest first."""

    def __init__(
        self, *, n: int, ends: dict[int, Ends], start: int, rules: CutRules, members: Sequence[tuple[int, Any]]
    ) -> None:
        self._n, self._ends, self._rules, self._members = n, ends, rules, members
        self._next = {interval: ends[interval].after(start) for interval in sorted(ends)}
        self._there: dict[tuple[int, int], dict[int, Bar]] = {}  # (end, interval) -> bars of open slices
        self._gone: dict[int, list[tuple[int, dict[int, int]]]] = {interval: [] for interval in ends}
        self._missed = {(interval, s): 0 for interval in ends for s in range(n)}
        self._late: list[Bar] = []
        self._now, self._promise, self._taken = -inf, -inf, 0
        self._ts = self._marked = start
        self._counts = dict.fromkeys(COUNTED, 0)
        self.out: list[Wanted] = []

    def arrives(self, bar: Bar, now_ns: int) -> None:
        self._now = max(self._now, now_ns)
        self._cut_all()
        self._taken += 1
        self._counts[self._fate(bar)] += 1
        self._cut_all()
        if len(self._late) >= self._rules.late_max:
            self._tell(self._ts)

    def ends(self, promise: int, now_ns: int) -> None:
        self._now, self._promise = max(self._now, now_ns), promise
        self._cut_all()

    @property
    def held(self) -> int:
        return sum(map(len, self._there.values()))

    @property
    def untold(self) -> int:
        return len(self._late)

    def _fate(self, bar: Bar) -> str:
        """Which count it goes to; it is put where it belongs. "placed" counts again when its slice is cut."""
        prices = (bar.open, bar.high, bar.low, bar.close)
        sound = all(0 < price < inf for price in prices) and bar.low == min(prices) and bar.high == max(prices)
        if not bar.halted and not (sound and (isnan(bar.volume) or 0 <= bar.volume < inf)):
            return "unfit"
        key = (bar.ts, bar.interval_ns)
        if key in self._there:
            return self._beside(self._there[key], bar)
        if bar.ts > self._now + self._rules.skew_ns:
            return "ahead"
        if self._ends[bar.interval_ns].begin(bar.ts) is None:
            return "outside"
        if bar.ts < self._next[bar.interval_ns][1]:
            return self._too_late(bar)
        self._there[key] = {bar.symbol: bar}
        return "placed"

    def _beside(self, there: dict[int, Bar], bar: Bar) -> str:
        known = there.get(bar.symbol)
        if known is None or bar.version > known.version:
            there[bar.symbol] = bar
            return "placed" if known is None else "revised"
        if bar.version < known.version:
            return "revised"
        return "duplicates" if _alike(bar, known) else "conflicts"

    def _too_late(self, bar: Bar) -> str:
        if bar.halted:
            return "unfit"
        for end, versions in self._gone[bar.interval_ns][-self._rules.kept :]:
            if end == bar.ts:
                known = versions.get(bar.symbol, -1)
                if bar.version <= known:
                    return "duplicates" if bar.version == known else "revised"
                versions[bar.symbol] = bar.version
        self._late.append(bar)
        return "late"

    def _cut_all(self) -> None:
        while True:
            interval = min(self._next, key=lambda each: (self._next[each][1], each))
            begin, end = self._next[interval]
            if end > self._ts > self._marked:
                self.out.append(Mark(self._ts))
                self._marked = self._ts
            there = self._there.get((end, interval))
            if there is None and not self._ends[interval].empty:
                wait = self._rules.patience_ns if self._rules.quorum else self._rules.deadline_ns
                if self._now < end + wait and self._promise <= end:
                    return
                self._next[interval] = self._ends[interval].after(end)
                continue
            rule = self._rule(there or {}, interval, end)
            if rule is None:
                return
            self._cut(interval, begin, end, rule)

    def _rule(self, there: dict[int, Bar], interval: int, end: int) -> CutRule | None:
        member, up = self.member(end), self._now >= end + self._rules.deadline_ns
        wanted = [s for s in range(self._n) if member[s] and not self._given_up(interval, s)]
        if there and all(s in there for s in wanted) and (up or self._rules.early):
            return CutRule.COMPLETE
        if end < self._promise:
            return CutRule.PASSED
        if up and self._enough(there, member):
            return CutRule.DEADLINE
        return CutRule.PATIENCE if self._now >= end + self._rules.patience_ns else None

    def _given_up(self, interval: int, s: int) -> bool:
        return 0 < self._rules.absent_after <= self._missed[interval, s]

    def _enough(self, there: dict[int, Bar], member: Sequence[bool]) -> bool:
        return sum(1 for s in there if member[s]) >= self._rules.quorum * sum(member)

    def member(self, ts: int) -> tuple[bool, ...]:
        (*_, (_, member)) = [row for row in self._members if row[0] <= ts] or [self._members[0]]
        return tuple(map(bool, member))

    def _cut(self, interval: int, begin: int, end: int, rule: CutRule) -> None:
        self._tell(end)
        there, member = self._there.pop((end, interval), {}), self.member(end)
        missing = [s for s in range(self._n) if member[s] and s not in there]
        counts = self._counts | {"placed": len(there)}
        self._counts = dict.fromkeys(COUNTED, 0)
        absent = sum(1 for s in missing if self._given_up(interval, s))
        known: dict[str, Any] = {"rule": rule, "taken": self._taken, "counts": counts, "missing": missing}
        self.out.append(
            Slice(ts=end, interval_ns=interval, opened=begin, bars=there, member=member, absent=absent, **known)
        )
        self._ts = end
        self._gone[interval].append((end, {s: bar.version for s, bar in there.items()}))
        self._next[interval] = self._ends[interval].after(end)
        for s in range(self._n) if there else ():
            if s in there:
                self._missed[interval, s] = 0
            elif member[s] and self._enough(there, member):
                self._missed[interval, s] += 1

    def _tell(self, ts: int) -> None:
        rows = sorted(self._late, key=lambda bar: (bar.ts, bar.interval_ns, bar.symbol, bar.version))
        self.out += [Told(ts=ts, bar=bar) for bar in rows]
        self._late = []


def _alike(a: Bar, b: Bar) -> bool:
    if a.halted or b.halted:
        return a.halted and b.halted
    return repr((prices_of(a), a.extra)) == repr((prices_of(b), b.extra))


def prices_of(bar: Bar) -> tuple[float, ...]:
    return bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap


def columns_of(wanted: Slice, n: int) -> Iterator[tuple[Status, tuple[float, ...]]]:
    """Status and prices of each symbol."""
    nothing = (float("nan"),) * 6
    for s in range(n):
        bar = wanted.bars.get(s)
        if bar is None:
            yield Status.MISSING, nothing
        else:
            yield (Status.HALTED, nothing) if bar.halted else (Status.FRESH, prices_of(bar))
