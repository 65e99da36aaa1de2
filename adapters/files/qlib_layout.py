"""Bars from Qlib's binary layout: a calendar, an instruments file, and one float32 file per symbol and field."""

import bisect
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from adapters.files.history import BadRows, History, Names, Times, options, text_of
from adapters.files.rows import PRICES, Rows, Survey
from adapters.files.slices import CELLS_MAX
from adapters.files.store import sha256_of
from adapters.files.when import day_number, parse_close
from engine.errors import DataError
from engine.events import SECOND_NS, Bars, Event, Stamps, Vector
from engine.protocols import Issue

MAPS_MAX = 30_000  # files kept mapped at a time; a kernel's usual limit is 65,530 maps


class QlibFeed:
    """Qlib's daily layout under `path`: calendars/day.txt, instruments/<market>.txt, features/<symbol>/<field>.day.bin.

    A .bin file is float32: the first value is the position in the calendar of the second, NaN = not traded. Prices
    in it are adjusted: raw price = adjusted / factor, raw volume = adjusted * factor. `prices: raw` undoes that and
    needs factor.day.bin; the factor of the last day is 1 only by custom, so adjusted prices know the future.

    With a `market` other than `all`, a symbol is a member on the days that the instruments file names.
    """

    def __init__(  # noqa: PLR0913 - the options of a run file
        self,
        *,
        path: Path,
        close: str,
        open: str | None = None,
        market: str = "all",
        prices: Literal["raw", "adjusted"] = "raw",
        symbols: list[str] | None = None,
        symbols_file: Path | None = None,
        extra: list[str] | None = None,
        bad_rows: BadRows = "missing",
        sectors: Path | None = None,
        currency: str = "CNY",
        lot: float = 1.0,
        tick: float = 0.0,
    ) -> None:
        times = Times(stamped=None, close=close, open=open, interval="1d")
        names = Names(
            symbols=symbols, symbols_file=symbols_file, sectors=sectors, currency=currency, lot=lot, tick=tick
        )
        chosen = options(times, names, extra=extra, bad_rows=bad_rows)
        self._close = parse_close(close)
        rows = _QlibRows(path, market, chosen.extra, raw=prices == "raw")
        self._history = History(rows, chosen, str(path))
        self.universe = self._history.universe
        self.beforehand = self._history.beforehand
        self.interval_ns = self._history.interval_ns
        self.span = self._history.span
        self.sectors = self._history.sectors
        self.close = close  # ends a trading day; when a date of a user's own table becomes known
        self._spans = None if market == "all" else _spans(rows.listed, self.universe.symbols)

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        """Events with start <= ts < end, in bus order; memory bounded by CELLS_MAX cells of each field."""
        for event in self._history.events(start, end):
            yield self._with_members(event) if isinstance(event, Bars) and self._spans is not None else event

    def bounds(self, start: dt.date | None, end: dt.date | None) -> tuple[int | None, int | None]:
        """The ns range [low, high) of the bars of these trading days, both counting; None = open on that side."""
        return self._history.bounds(start, end)

    def issues(self) -> tuple[Issue, ...]:
        """Counted defects of the last walk, complete once `events` is exhausted."""
        return self._history.issues()

    def hashes(self) -> dict[str, str]:
        """File name -> SHA-256 of each file that is read."""
        return self._history.hashes()

    def _with_members(self, bars: Bars) -> Bars:
        assert self._spans is not None
        day = self._close.day(bars.ts - SECOND_NS)  # a close at 24:00 belongs to the day that it ends
        symbol, first, last = self._spans
        member = np.zeros(len(bars.close), np.bool_)
        member[symbol[(first <= day) & (day <= last)]] = True
        member.flags.writeable = False
        return msgspec.structs.replace(bars, member=member)


Listed = list[tuple[str, int, int]]  # symbol, first and last day


def _spans(listed: Listed, symbols: tuple[str, ...]) -> tuple[Stamps, Stamps, Stamps]:
    position = {symbol: k for k, symbol in enumerate(symbols)}
    kept = [(position[symbol], first, last) for symbol, first, last in listed if symbol in position]
    columns = np.array(kept, np.int64).reshape(-1, 3).T
    return columns[0], columns[1], columns[2]


def _days(lines: list[str], path: Path) -> list[int]:
    try:
        return [day_number(dt.date.fromisoformat(line[:10])) for line in lines]
    except ValueError as error:
        raise DataError(f"{path}: a line is not a date such as 2018-01-31: {error}") from None


class _QlibRows:
    """The layout as a RowSource: days of the calendar, many at a time."""

    def __init__(self, path: Path, market: str, extra: tuple[str, ...], *, raw: bool) -> None:
        self._root, self._raw = path, raw
        if not path.is_dir():
            raise DataError(f"{path}: there is no such folder; name the one that holds calendars and features")
        calendar = path / "calendars" / "day.txt"
        self._days = _days([line.strip() for line in text_of(calendar).split("\n") if line.strip()], calendar)
        if not self._days or sorted({*self._days}) != self._days:
            raise DataError(f"{calendar}: its days must stand in order, each once, and be at least one")
        instruments = path / "instruments" / f"{market}.txt"
        self.listed = self._instruments(instruments)
        self._symbols = tuple(sorted({symbol for symbol, _, _ in self.listed}))
        self._read = [calendar, instruments]
        with_vwap = (path / "features" / self._symbols[0].lower() / "vwap.day.bin").is_file()
        self.fields = (*PRICES, *(("vwap",) if with_vwap else ()), *extra)
        self._starts, self._ends = self._extents()
        self.survey = Survey(
            dated=True,
            symbols=self._symbols,
            first=tuple(self._days[max(0, start)] for start in self._starts),
            low=self._days[min(self._starts)],
            high=self._days[max(self._ends) - 1],
            rows=sum(self._ends) - sum(self._starts),
            step=1,
            least=1,
            midnight=False,
        )

    def hashes(self) -> dict[str, str]:
        files = [*self._read, *(self._bin(symbol, field) for symbol in self._symbols for field in self._on_disk())]
        return {file.relative_to(self._root).as_posix(): sha256_of(file) for file in files if file.is_file()}

    def rows(self, low: int | None, high: int | None) -> Iterator[Rows]:
        begin = 0 if low is None else bisect.bisect_left(self._days, low)
        end = len(self._days) if high is None else bisect.bisect_right(self._days, high)
        step = max(1, CELLS_MAX // len(self._symbols))
        kept: dict[tuple[int, str], Vector] = {}
        for first in range(begin, end, step):
            yield self._rows(first, min(first + step, end), kept)

    def _rows(self, begin: int, end: int, kept: dict[tuple[int, str], Vector]) -> Rows:
        cells = {field: np.full((end - begin, len(self._symbols)), np.nan) for field in self._on_disk()}
        for k in range(len(self._symbols)):
            low, high = max(begin, self._starts[k]), min(end, self._ends[k])
            if low < high:
                for field, cell in cells.items():
                    values = self._mapped(k, field, kept)
                    cell[low - begin : high - begin, k] = values[low - self._starts[k] : high - self._starts[k]]
        if self._raw:
            factor = cells.pop("factor")
            with np.errstate(divide="ignore", invalid="ignore"):
                for field in ("open", "high", "low", "close", "vwap"):
                    if field in cells:
                        cells[field] /= factor
                cells["volume"] *= factor
        # A day without any price is how the layout writes that a symbol did not trade.
        there = ~(np.isnan(cells["open"]) & np.isnan(cells["high"]) & np.isnan(cells["low"]) & np.isnan(cells["close"]))
        day, code = np.nonzero(there)
        values = np.array([cells[field][there] for field in self.fields])
        return Rows(np.array(self._days[begin:end], np.int64)[day], code.astype(np.int32), values)

    def _on_disk(self) -> tuple[str, ...]:
        return (*self.fields, "factor") if self._raw else self.fields

    def _bin(self, symbol: str, field: str) -> Path:
        return self._root / "features" / symbol.lower() / f"{field}.day.bin"

    def _mapped(self, k: int, field: str, kept: dict[tuple[int, str], Vector]) -> Any:
        """Values of a field by day since the symbol's first; mapped, so that only pages in use are in memory."""
        if (known := kept.get((k, field))) is not None:
            return known
        path = self._bin(self._symbols[k], field)
        try:
            values = np.memmap(path, "<f4", "r")
        except (OSError, ValueError) as error:
            hint = "; set prices: adjusted, or add the file" if field == "factor" else "; restore the file"
            raise DataError(f"{path}: it cannot be read: {error}{hint}") from error
        if len(values) != self._ends[k] - self._starts[k] + 1 or int(values[0]) != self._starts[k]:
            raise DataError(
                f"{path}: it holds {len(values) - 1} days from {values[0]:g}, close.day.bin of the symbol holds "
                f"{self._ends[k] - self._starts[k]} from {self._starts[k]}; dump the symbol again"
            )
        if len(kept) < MAPS_MAX:
            kept[k, field] = values[1:]
        return values[1:]

    def _instruments(self, path: Path) -> Listed:
        known = sorted(file.stem for file in path.parent.glob("*.txt"))
        if not path.is_file():
            raise DataError(f"{path}: there is no such market; the folder has {', '.join(known) or 'none'}")
        lines = [line.split() for line in text_of(path).splitlines() if line.strip()]
        if not lines or any(len(line) < 3 for line in lines):
            raise DataError(f"{path}: each line must be symbol, first day and last day, at least one line")
        first, last = (_days([line[k] for line in lines], path) for k in (1, 2))
        return [(line[0], a, b) for line, a, b in zip(lines, first, last, strict=True)]

    def _extents(self) -> tuple[list[int], list[int]]:
        """Positions in the calendar of each symbol's first day and of the one after its last."""
        starts, ends = [], []
        for symbol in self._symbols:
            path = self._bin(symbol, "close")
            if not path.is_file():
                raise DataError(f"{path}: there is no such file, but {symbol} is an instrument; dump the symbol again")
            head = np.fromfile(path, "<f4", 1)
            days = path.stat().st_size // 4 - 1
            if days < 1 or not head[0] >= 0 or head[0] + days > len(self._days):
                raise DataError(
                    f"{path}: it holds {max(days, 0)} days, which do not lie in the calendar of {len(self._days)} days"
                )
            starts.append(int(head[0]))
            ends.append(int(head[0]) + days)
        return starts, ends
