"""Rows in time order become slices: one `Bars` for every instant at which a symbol of the universe has a row.

Nothing is filled forward: a symbol without a usable row in a slice is MISSING there and its prices are NaN.
"""

from collections.abc import Iterable, Iterator
from itertools import repeat

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters.files.by_calendar import date_of
from adapters.files.quality import Quality
from adapters.files.rows import EXAMPLES_MAX, PRICES, Rows, joined
from adapters.files.when import Timing
from engine.errors import DataError
from engine.events import Bars, Codes, Mask, Matrix, Stamps, Status, Vector

CELLS_MAX = 400_000  # symbols x slices that are laid out at a time: 3.2 MB a column


class Frame(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What the slices of a feed have in common."""

    symbols: tuple[str, ...]  # of the universe
    position: Codes  # symbol code of a row -> position in the universe, -1 = not in it
    first: Stamps  # (N,) stamp of the first row of each symbol
    fields: tuple[str, ...]  # of Rows.values
    extra: tuple[str, ...]
    timing: Timing
    where: str = "feed"  # of the rows, for messages


class Block(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """T slices laid out: columns (T, N), read-only."""

    ts: Stamps
    opened: Stamps
    prices: tuple[Matrix, ...]  # open high low close volume
    vwap: Matrix | None
    status: NDArray[np.int32]
    member: NDArray[np.bool_]
    extra: tuple[Matrix, ...] = ()


def frozen(array: NDArray[np.generic]) -> None:
    """Nobody may write to it, nor to a view of it taken from now on."""
    array.flags.writeable = False


def bars_of(block: Block, interval_ns: int) -> Iterator[Bars]:
    """The slices of a block, one by one: each a view of its rows."""
    for column in (*block.prices, block.vwap, block.status, block.member, *block.extra):
        if column is not None:
            frozen(column)
    unknown = np.full(block.member.shape[1], np.nan)
    frozen(unknown)
    vwap: Iterable[Vector] = repeat(unknown, len(block.ts)) if block.vwap is None else block.vwap
    extra: Iterable[tuple[Vector, ...]] = zip(*block.extra, strict=True) if block.extra else repeat((), len(block.ts))
    columns = zip(*block.prices, vwap, block.status, block.member, extra, strict=True)
    for ts, opened, (o, h, low, c, v, w, status, member, more) in zip(
        block.ts.tolist(), block.opened.tolist(), columns, strict=True
    ):
        yield Bars(
            ts=ts,
            interval_ns=interval_ns,
            opened=opened,
            open=o,
            high=h,
            low=low,
            close=c,
            volume=v,
            vwap=w,
            status=status,
            member=member,
            extra=more,
        )


class Slicer:
    """Cuts one walk over the rows of a feed into slices.

    Memory: the rows of a chunk, CELLS_MAX cells of each column, and one unfinished slice. A row that stops the walk
    stops it at its own slice: all earlier slices are handed out first.
    """

    def __init__(self, frame: Frame, quality: Quality) -> None:
        self._frame, self._quality = frame, quality
        self._n = len(frame.symbols)
        self._begun: dict[int, int] = {}  # end -> beginning of bars that their session cut short
        self._stop: DataError | None = None  # what ends the walk behind the rows selected last

    def slices(self, chunks: Iterable[Rows], start: int | None, end: int | None) -> Iterator[Bars]:
        """Slices with start <= ts < end."""
        left: Rows | None = None
        for chunk in chunks:
            rows = self._selected(chunk, start, end)
            if not len(rows):
                if self._stop is not None:
                    break
                continue
            rows = rows if left is None else joined([left, rows])
            # The last slice may go on in the next chunk.
            cut = int(np.searchsorted(rows.stamp, rows.stamp[-1], "left"))
            left = rows.take(slice(cut, None))
            yield from self._cut(rows.take(slice(0, cut)))
            if len(left) > 2 * self._n + 64:
                left, error = self._without_duplicates(left)
                if error is not None:
                    raise error[0]
            if self._stop is not None:
                break
        if left is not None:
            yield from self._cut(left)
        if self._stop is not None:
            raise self._stop

    def _selected(self, chunk: Rows, start: int | None, end: int | None) -> Rows:
        """The rows of the universe in the range, with `ts` for stamps and positions for codes."""
        position = self._frame.position[chunk.code]
        ts = self._frame.timing.closes(chunk.stamp)
        keep = position >= 0
        if start is not None:
            keep &= ts >= start
        if end is not None:
            keep &= ts < end
        if self._frame.timing.sessions is not None and keep.any():
            keep = self._in_session(chunk, ts, keep)
        rows = Rows(ts, position, chunk.values)
        return rows if keep.all() else rows.take(keep)

    def _in_session(self, chunk: Rows, ts: Stamps, keep: Mask) -> Mask:
        """Which of these rows a calendar lets in; counts the others."""
        timing, stamps = self._frame.timing, chunk.stamp
        unknown = keep & timing.unknown(stamps)
        if unknown.any():
            at = int(np.argmax(unknown))
            self._stop = self._behind_calendar(chunk, at)
            keep = keep & (stamps < stamps[at])
        for kind, stray in timing.strays(stamps, ts).items():
            found = np.flatnonzero(stray & keep)
            if not found.size:
                continue
            when = [timing.stamp_text(stamp) for stamp in stamps[found[:EXAMPLES_MAX]].tolist()]
            error = self._quality.strays(kind, self._frame.position[chunk.code[found]], chunk.values[:, found], when)
            if error is not None:
                self._stop = error
                keep = keep & (stamps < stamps[found[0]])
            if timing.dated or timing.outside != "keep":
                keep = keep & ~stray
        self._begun |= timing.cut_rows(stamps[keep], ts[keep])
        return keep

    def _behind_calendar(self, chunk: Rows, at: int) -> DataError:
        timing, sessions = self._frame.timing, self._frame.timing.sessions
        assert sessions is not None
        first, last = (date_of(int(sessions.label[k])) for k in (0, -1))
        symbol = self._frame.symbols[int(self._frame.position[chunk.code[at]])]
        return DataError(
            f"{self._frame.where}: {symbol} has a bar of {timing.stamp_text(int(chunk.stamp[at]))}, and the calendar "
            f"{sessions.name} is known from {first} to {last}; keep the run within it, or install a newer "
            "exchange_calendars"
        )

    def _cut(self, rows: Rows) -> Iterator[Bars]:
        if not len(rows):
            return
        starts = np.flatnonzero(np.diff(rows.stamp, prepend=rows.stamp[0] - 1))
        bounds = np.append(starts, len(rows))
        step = max(1, CELLS_MAX // self._n)
        for first in range(0, len(starts), step):
            yield from self._emit(rows.take(slice(int(bounds[first]), int(bounds[min(first + step, len(starts))]))))

    def _emit(self, rows: Rows) -> Iterator[Bars]:
        rows, error = self._clean(rows)
        if len(rows):
            yield from bars_of(self._block(rows), self._frame.timing.interval_ns)
        if error is not None:
            raise error

    def _clean(self, rows: Rows) -> tuple[Rows, DataError | None]:
        """Rows that may be used or stand for a symbol's missing bar; with the error that comes after them, if any."""
        rows, differing = self._without_duplicates(rows)
        error = None
        if differing is not None:
            error, ts = differing
            rows = rows.take(rows.stamp < ts)
        halted = self._halted(rows)
        judged = rows if halted is None else rows.take(~halted)
        usable, bad, at = self._quality.usable(judged.stamp, judged.code, judged.values)
        if bad is not None:
            return self._clean(rows.take(rows.stamp < judged.stamp[at]))[0], bad
        if usable is not None:
            # The row stays, so that its slice exists whatever its numbers are; the numbers go.
            judged = Rows(judged.stamp, judged.code, np.where(usable, judged.values, np.nan))
        if halted is None:
            return judged, error
        stopped = rows.take(halted)
        blank = np.full_like(stopped.values, np.nan)
        blank[self._frame.fields.index("halted")] = 1.0
        both = joined([judged, Rows(stopped.stamp, stopped.code, blank)])
        return both.take(np.argsort(both.stamp, kind="stable")), error

    def _halted(self, rows: Rows) -> Mask | None:
        if "halted" not in self._frame.fields:
            return None
        value = rows.values[self._frame.fields.index("halted")]
        halted: Mask = (value != 0) & ~np.isnan(value)
        return halted if halted.any() else None

    def _without_duplicates(self, rows: Rows) -> tuple[Rows, tuple[DataError, int] | None]:
        """One row of each (slice, symbol), and the first pair that differs with its ts."""
        key = np.cumsum(np.diff(rows.stamp, prepend=rows.stamp[:1]) > 0) * self._n + rows.code
        seen = np.zeros(int(key[-1]) // self._n * self._n + self._n if len(key) else 0, np.bool_)
        seen[key] = True
        if np.count_nonzero(seen) == len(rows):
            return rows, None
        order = np.argsort(key, kind="stable")
        again = order[1:][key[order[1:]] == key[order[:-1]]]
        before = order[:-1][key[order[1:]] == key[order[:-1]]]
        a, b = rows.values[:, before], rows.values[:, again]
        differ = ~((a == b) | (np.isnan(a) & np.isnan(b))).all(axis=0)
        kept = np.ones(len(rows), np.bool_)
        kept[again] = False
        found = None
        if differ.any():
            at = int(np.argmax(differ))
            found = self._differing(rows, int(before[at]), int(again[at]))
        counted = np.sort(again if found is None else again[rows.stamp[again] < found[1]])
        self._quality.duplicates(rows.stamp, rows.code, rows.values, counted)
        return rows.take(kept), found

    def _differing(self, rows: Rows, one: int, other: int) -> tuple[DataError, int]:
        ts, close = int(rows.stamp[one]), rows.values[3]
        return DataError(
            f"{self._frame.where}: {self._frame.symbols[int(rows.code[one])]} has two different rows at "
            f"{self._frame.timing.label(ts)}: close {close[one]:.10g} and close {close[other]:.10g}; keep one of them"
        ), ts

    def _block(self, rows: Rows) -> Block:
        """Scatters the rows into (T, N) columns."""
        new = np.diff(rows.stamp, prepend=rows.stamp[0] - 1) > 0
        ts = rows.stamp[new]
        shape = (len(ts), self._n)
        flat = (np.cumsum(new) - 1) * self._n + rows.code
        columns = {}
        for name, value in zip(self._frame.fields, rows.values, strict=True):
            column = np.full(shape, np.nan)
            column.reshape(-1)[flat] = value
            columns[name] = column
        halted = columns.pop("halted", None)
        status = np.where(np.isnan(columns["close"]), np.int32(Status.MISSING), np.int32(Status.FRESH))
        if halted is not None:
            status[halted == 1.0] = Status.HALTED
        self._quality.watch(ts, columns["high"], columns["low"], columns["close"])
        # A symbol is a member from its first row on: when its last one was, nobody knows before the end.
        member = self._frame.first <= ts[:, None]
        prices = tuple(columns[name] for name in PRICES)
        opened = self._frame.timing.opens(ts)
        if self._begun:
            opened = np.array(
                [self._begun.get(at, begin) for at, begin in zip(ts.tolist(), opened.tolist(), strict=True)]
            )
        extra = tuple(columns[name] for name in self._frame.extra)
        return Block(
            ts=ts, opened=opened, prices=prices, vwap=columns.get("vwap"), status=status, member=member, extra=extra
        )
