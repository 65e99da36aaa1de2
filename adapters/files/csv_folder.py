"""Bars from CSV: a folder of SYMBOL.csv, or one long file with a symbol column."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from adapters.files.by_calendar import Outside
from adapters.files.columns import Chunk, Header, Layout, Prices, Volume, chunk_of, column_of, header_of
from adapters.files.history import BadRows, History, Names, Times, options
from adapters.files.life import Beside
from adapters.files.store import SORT_ROWS_MAX, Store, cache_key, found, sha256_of, stored
from adapters.files.when import Stamped
from engine.errors import DataError
from engine.events import Event
from engine.protocols import Issue

_BLOCK_BYTES = 1 << 22
_EMPTY = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "-")  # of numbers only, never of symbols


class CsvFeed:
    """A folder of SYMBOL.csv, or one CSV with a symbol column, under the usual spellings of the headers.

    Symbols are text, always: 000001, NO, NULL and TRUE stay what they are. `adjusted` reads `Adj Close` and scales
    open, high and low by the same ratio; otherwise that column is left alone. Files are sorted by time once, at most
    `sort_rows_max` rows in memory at a time, and kept in the cache. `docs/data.md` has the rules.
    """

    def __init__(  # noqa: PLR0913 - the options of a run file
        self,
        *,
        path: Path,
        adjusted: bool = False,
        stamped: Stamped | None = None,
        close: str | None = None,
        open: str | None = None,
        interval: str | None = None,
        calendar: str | None = None,
        outside: Outside = "drop",
        symbols: list[str] | None = None,
        symbols_file: Path | None = None,
        extra: list[str] | None = None,
        bad_rows: BadRows = "missing",
        volume: Volume = "shares",
        prices: Prices = "trades",
        sectors: Path | None = None,
        instruments: Path | None = None,
        actions: Path | None = None,
        delist_after: int | None = None,
        members: Path | None = None,
        rates: Path | None = None,
        reference: dict[str, Path] | None = None,
        currency: str = "USD",
        lot: float = 1.0,
        tick: float = 0.0,
        sort_rows_max: int = SORT_ROWS_MAX,
    ) -> None:
        if sort_rows_max < 1:
            raise ValueError(f"sort_rows_max must be at least 1, got {sort_rows_max}")
        times = Times(stamped=stamped, close=close, open=open, interval=interval, calendar=calendar, outside=outside)
        names = Names(
            symbols=symbols, symbols_file=symbols_file, sectors=sectors, currency=currency, lot=lot, tick=tick
        )
        chosen = options(times, names, extra=extra, bad_rows=bad_rows, volume=volume)
        layout = Layout(extra=chosen.extra, prices=prices, volume=volume)
        beside = Beside(instruments, actions, delist_after, members, rates, reference)
        rows = _CsvRows(path, layout, adjusted=adjusted)
        self._history = History(rows.sorted(sort_rows_max), chosen, str(path), beside)
        self.universe = self._history.universe
        self.beforehand = self._history.beforehand
        self.interval_ns = self._history.interval_ns
        self.span: tuple[int, int] | None = self._history.span
        self.sessions = self._history.sessions
        self.sectors = self._history.sectors
        self.close = close  # ends a trading day; when a date of a user's own table becomes known

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        """Events with start <= ts < end, in bus order; memory bounded by a row group of the cache."""
        return self._history.events(start, end)

    def bounds(self, start: dt.date | None, end: dt.date | None) -> tuple[int | None, int | None]:
        """The ns range [low, high) of the bars of these trading days, both counting; None = open on that side."""
        return self._history.bounds(start, end)

    def issues(self) -> tuple[Issue, ...]:
        """Counted defects of the last walk, complete once `events` is exhausted."""
        return self._history.issues()

    def hashes(self) -> dict[str, str]:
        """File name -> SHA-256 of each file that was read."""
        return self._history.hashes()


class _CsvRows:
    """The rows of CSV files as they stand."""

    def __init__(self, path: Path, layout: Layout, *, adjusted: bool) -> None:
        self._adjusted, self._layout = adjusted, layout
        self._one_symbol = path.is_dir()
        if path.is_dir():
            self._files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".csv")
            if not self._files:
                raise DataError(f"{path}: the folder holds no .csv file; check feed.path")
        elif path.is_file():
            self._files = [path]
        else:
            raise DataError(f"{path}: there is no such file or folder; check feed.path")
        self._dated: bool | None = None

    def sorted(self, rows_max: int) -> Store:
        hashes = {file.name: sha256_of(file) for file in self._files}
        first = self._header(self._files[0])
        how = (f"adjusted={self._adjusted}", f"folder={self._one_symbol}", *first.fields, *self._layout.said)
        key = cache_key(hashes, "csv", *how)
        if (known := found(key, hashes)) is not None:
            return known
        chunks = self._chunks(first.fields)
        # The first chunk tells whether the stamps are dates; it is put back before it is sorted.
        head = next(chunks, None)
        if head is None:
            raise DataError(f"{self._files[0]}: it has no row; name files with bars")

        def all_chunks() -> Iterator[Chunk]:
            yield head
            yield from chunks

        return stored(
            all_chunks(), fields=first.fields, dated=bool(self._dated), key=key, hashes=hashes, rows_max=rows_max
        )

    def _chunks(self, fields: tuple[str, ...]) -> Iterator[Chunk]:
        for file in self._files:
            header = self._header(file)
            if header.fields != fields:
                odd = sorted({*header.fields} ^ {*fields})
                raise DataError(f"{file}: column {odd[0]!r} is not in all files of the folder; make them alike")
            adjusted = self._adjusted_column(file)
            for batch in self._batches(file, header, adjusted):
                if not batch.num_rows:
                    continue
                chunk, dated = chunk_of(batch, header, str(file), symbol=file.stem)
                if self._dated is not None and dated != self._dated:
                    raise DataError(f"{file}: its rows are dated differently from those of {self._files[0]}")
                self._dated = dated
                if adjusted is not None:
                    _adjust(chunk, np.asarray(chunk_of(batch, _only(header, adjusted), str(file))[0].values[0]))
                yield chunk

    def _names(self, file: Path) -> list[str]:
        import csv

        try:
            with file.open(encoding="utf-8-sig", newline="") as opened:
                return next(csv.reader(opened), [])
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{file}: it cannot be read as CSV: {error}") from error

    def _header(self, file: Path) -> Header:
        names = self._names(file)
        if not names:
            raise DataError(f"{file}: it is empty; write a header and rows, or remove the file")
        header = header_of(names, str(file), self._layout, one_symbol=self._one_symbol)
        if len({*names}) < len(names):
            twice = next(name for k, name in enumerate(names) if name in names[:k])
            raise DataError(f"{file}: the column {twice!r} stands twice; rename one")
        return header

    def _adjusted_column(self, file: Path) -> str | None:
        if not self._adjusted:
            return None
        names = self._names(file)
        column = column_of(names, "adj close")
        if column is None:
            raise DataError(f"{file}: adjusted is set, but it has no column Adj Close; it has {', '.join(names)}")
        return column

    def _batches(self, file: Path, header: Header, adjusted: str | None) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.csv as pc

        flag = header.columns.get("halted")
        numbers = [name for name in (*header.numbers, *([adjusted] if adjusted else [])) if name != flag]
        texts = [header.stamp, *([header.symbol] if header.symbol else []), *([flag] if flag else [])]
        convert = pc.ConvertOptions(
            column_types={name: pa.float64() for name in numbers} | {name: pa.string() for name in texts},
            include_columns=[*texts, *numbers],
            null_values=list(_EMPTY),
            strings_can_be_null=False,
            quoted_strings_can_be_null=False,
        )
        read = pc.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES)
        try:
            with pc.open_csv(file, read_options=read, convert_options=convert) as opened:
                yield from opened
        except (pa.ArrowException, OSError) as error:
            said = str(error).splitlines()[0]
            raise DataError(f"{file}: it cannot be read as CSV: {said}; mend the row or the column") from error


def _only(header: Header, column: str) -> Header:
    return Header(stamp=header.stamp, dated=header.dated, symbol=header.symbol, columns={"adjusted": column})


def _adjust(chunk: Chunk, adjusted: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    """Scales open, high, low and close, in this chunk of our own, so that the close is the adjusted one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        chunk.values[:4] *= adjusted / chunk.values[3]
