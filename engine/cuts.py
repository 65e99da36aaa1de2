"""What the slicer works with: a bar as it arrives, slices that are open, and the record of how one was cut."""

from bisect import insort
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from struct import Struct as Layout
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError, StateError
from engine.events import SECOND_NS, Codes, Late, Mask, Status, Vector
from engine.open_orders import frozen
from engine.slice_ends import Ends

MISSING, HALTED = int(Status.MISSING), int(Status.HALTED)
PRICES = 6  # open, high, low, close, volume, vwap: the columns of a row before the extra ones
_INF = float("inf")
_NEVER = 1 << 62


class Bar(msgspec.Struct, frozen=True, eq=False, kw_only=True, gc=False):
    """One symbol's bar as it arrived. A higher `version` corrects a lower one of the same symbol and instant."""

    symbol: int  # position in the universe
    ts: int  # UTC ns, its end
    interval_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float  # NaN = unknown
    vwap: float = float("nan")
    extra: tuple[float, ...] = ()
    version: int = 0
    halted: bool = False  # the exchange says that there is no bar; prices are not read


class CutRule(IntEnum):
    """Why a slice was cut when it was."""

    COMPLETE = 0  # every symbol that is waited for is there
    PASSED = 1  # the source promised that nothing as old will follow
    DEADLINE = 2  # its time was up and a quorum was there
    PATIENCE = 3  # its time was up and even a quorum was not


class CutRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a slicer is told about its feed; ConfigError where it cannot be."""

    deadline_ns: int  # after the end of a slice
    quorum: float = 0.0  # share of the members that a slice needs at its deadline
    patience_ns: int = 0  # after the end of a slice, when it is cut without a quorum; 0 = the deadline
    absent_after: int = 3  # slices running after which a symbol is waited for no longer, 0 = always waited for
    early: bool = True  # cut before the deadline what is complete
    skew_ns: int = SECOND_NS  # how far ahead of the clock a bar may end
    kept: int = 8  # cut slices an interval whose versions are remembered
    late_max: int = 65_536  # late bars that wait for the next slice

    def __post_init__(self) -> None:
        least = {"deadline_ns": 0, "absent_after": 0, "skew_ns": 0, "kept": 1, "late_max": 1}
        for name, limit in least.items():
            if getattr(self, name) < limit:
                raise ConfigError(f"slicer: {name} must be at least {limit}, got {getattr(self, name)}")
        if self.patience_ns and self.patience_ns < self.deadline_ns:
            raise ConfigError(
                f"slicer: patience_ns is {self.patience_ns}, before the deadline of {self.deadline_ns}; "
                "make it as long at least, or leave it out"
            )
        if not 0.0 <= self.quorum <= 1.0:
            raise ConfigError(f"slicer: quorum must be a share of the members, 0 to 1, got {self.quorum}")


class Counts(msgspec.Struct, gc=False):
    """What became of bars, each counted once."""

    placed: int = 0  # in a slice that was cut
    late: int = 0  # in a Late, or waiting for the next
    duplicates: int = 0  # the same symbol, instant and version again
    conflicts: int = 0  # the same, with other values: the first counts
    revised: int = 0  # another version of the bar counts instead
    unfit: int = 0  # prices that cannot be, or a halt that is told too late
    outside: int = 0  # of an instant at which no slice ends
    ahead: int = 0  # from the future: the clock or the feed is wrong

    def plus(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(*map(msgspec.structs.astuple, (self, other)), strict=True)))


class Cut(msgspec.Struct, frozen=True, eq=False, kw_only=True, gc=False):
    """How one slice was cut, for the journal. `counts` are of what arrived since the cut before it."""

    ts: int
    interval_ns: int
    rule: CutRule
    taken: int  # bars that the slicer had been given by then, since it began
    missing: Codes  # members without a bar
    absent: int  # how many of these are waited for no longer
    counts: Counts


class OpenSlice:
    """A slice that bars are placed in: rows (N, columns) preallocated, so that a bar is one write."""

    __slots__ = ("begin", "placed", "rows", "status", "versions", "waiting", "waits")

    def __init__(self, begin: int, rows: bytes, n: int) -> None:
        self.begin, self.placed, self.waiting = begin, 0, 0
        self.rows, self.status = bytearray(rows), bytearray([MISSING]) * n
        self.versions = [-1] * n  # -1 = no bar
        self.waits: list[bool] = []  # (N,) whose bars it waits for

    def wait_for(self, waits: Mask) -> None:
        self.waits = waits.tolist()
        self.waiting = int(np.count_nonzero(waits & (self.codes() == MISSING)))

    def codes(self) -> NDArray[Any]:
        """(N,) Status of each symbol, as bytes."""
        return np.frombuffer(bytes(self.status), np.uint8)

    def columns(self, n: int) -> tuple[list[Vector], Codes]:
        """Columns (N,) and status, frozen. Prices are NaN unless FRESH."""
        table = np.frombuffer(bytes(self.rows), np.float64).reshape(n, -1).T.copy()
        if HALTED in self.status:
            table[:, self.codes() == HALTED] = np.nan
        return list(frozen(table)), frozen(self.codes().astype(np.int32))

    def holds(self, bar: Bar, layout: Layout) -> bool:
        """Whether the row of this bar's symbol is what the bar says."""
        if bar.halted or self.status[bar.symbol] == HALTED:
            return bar.halted and self.status[bar.symbol] == HALTED
        at = bar.symbol * layout.size
        row = (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, *bar.extra)
        return layout.pack(*row) == self.rows[at : at + layout.size]


class Lane:
    """The slices of one interval: those that are open, and what is known of those that were cut."""

    __slots__ = ("begin", "cut", "end", "ends", "interval_ns", "misses", "open", "order", "waits")

    def __init__(self, interval_ns: int, ends: Ends, start: int, n: int) -> None:
        self.interval_ns, self.ends = interval_ns, ends
        self.begin, self.end = ends.after(start)  # the next to be cut
        self.open: dict[int, OpenSlice] = {}  # by end
        self.order: list[int] = []  # ends of those, sorted
        self.cut: deque[tuple[int, list[int]]] = deque()  # (end, version of each symbol, -1 = none)
        self.misses: NDArray[Any] = np.zeros(n, np.int64)  # slices running without a bar
        self.waits: Mask = np.ones(n, bool)

    def add(self, end: int, opened: OpenSlice) -> None:
        self.open[end] = opened
        insort(self.order, end)

    def versions(self, end: int) -> list[int] | None:
        """Versions by symbol in a slice that was cut, None where that was too long ago."""
        return next((versions for known, versions in reversed(self.cut) if known == end), None)

    def close(self, versions: list[int], kept: int) -> None:
        """Goes on to the next slice."""
        if self.open.pop(self.end, None) is not None:
            self.order.pop(0)
        self.cut.append((self.end, versions))
        if len(self.cut) > kept:
            self.cut.popleft()
        try:
            self.begin, self.end = self.ends.after(self.end)
        except ConfigError:  # the calendar ends: the next bar says so
            self.begin = self.end = _NEVER

    def begin_of(self, end: int) -> int | None:
        """Where the slice that ends at this very instant begins, None where none does. ConfigError behind them all."""
        begin = self.ends.begin(end)
        if begin is None and self.end == _NEVER:
            self.ends.after(end)
        return begin

    def wait_anew(self, members: Callable[[int], Mask]) -> None:
        for end, opened in self.open.items():
            opened.wait_for(self.waits & members(end))

    def save(self) -> dict[str, Any]:
        opened = [(end, *self._saved(self.open[end])) for end in self.order]
        cut = [(end, np.array(versions)) for end, versions in self.cut]
        known = {"interval_ns": self.interval_ns, "begin": self.begin, "end": self.end}
        return known | {"open": opened, "cut": cut, "misses": self.misses, "waits": self.waits}

    @staticmethod
    def _saved(opened: OpenSlice) -> tuple[Any, ...]:
        return opened.begin, opened.placed, bytes(opened.rows), bytes(opened.status), np.array(opened.versions)

    def load(self, state: dict[str, Any], blank: bytes, more: int) -> None:
        """`more` symbols were appended to the universe since."""
        self.begin, self.end = state["begin"], state["end"]
        n = len(state["misses"]) + more
        self.misses = np.concatenate([state["misses"], np.zeros(more, np.int64)])
        self.waits = np.concatenate([state["waits"], np.ones(more, bool)])
        self.cut = deque((end, [*versions.tolist(), *[-1] * more]) for end, versions in state["cut"])
        self.open, self.order = {}, []
        for end, begin, placed, rows, status, versions in state["open"]:
            opened = OpenSlice(begin, blank, n)
            opened.placed, opened.rows[: len(rows)], opened.status[: len(status)] = placed, rows, status
            opened.versions[: len(versions)] = versions.tolist()
            self.add(end, opened)


def check_like(saved: tuple[list[int], int], mine: tuple[list[int], int]) -> None:
    """Raises StateError where a saved slicer has other intervals (ns), or columns, than this one."""
    if saved != mine:
        said, now = (f"of {intervals} ns and {columns} columns" for intervals, columns in (saved, mine))
        raise StateError(f"slicer: saved state is {said}, this one {now}; start it as it was saved")


LateRow = tuple[int, int, int, int, float, float, float, float, float]  # end, interval, symbol, version, the values


def told_late(rows: list[LateRow], ts: int) -> list[Late]:
    """One Late for each slice that these bars came too late for, by its end and interval; its rows by symbol."""
    groups: dict[tuple[int, int], list[LateRow]] = {}
    for row in sorted(rows, key=lambda row: row[:4]):
        groups.setdefault((row[0], row[1]), []).append(row)
    told = []
    for (slice_ts, interval), group in groups.items():
        table = frozen(np.array([row[4:] for row in group]).T.copy())
        symbol = frozen(np.array([row[2] for row in group], np.int32))
        prices = dict(zip(("open", "high", "low", "close", "volume"), table, strict=True))
        told.append(Late(ts=ts, interval_ns=interval, slice_ts=slice_ts, symbol=symbol, **prices))
    return told


def fit(bar: Bar) -> bool:
    """Whether prices and volume can be those of a bar: finite, above 0, low <= open, close <= high."""
    low, high, volume = bar.low, bar.high, bar.volume
    if not (0.0 < low <= bar.open <= high < _INF and low <= bar.close <= high):
        return False
    return 0.0 <= volume < _INF or volume != volume
