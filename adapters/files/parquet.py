"""Bars from Parquet: a long table in one file or a folder of files."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from adapters.files.by_calendar import Outside
from adapters.files.columns import Chunk, Coder, Header, Layout, Prices, Volume, chunk_of, header_of
from adapters.files.history import BadRows, History, Names, Times, options
from adapters.files.life import Beside
from adapters.files.rows import Rows, RowSource, Survey, Surveyor
from adapters.files.store import GROUP_ROWS, SORT_ROWS_MAX, cache_key, found, sha256_of, stored
from adapters.files.when import Stamped
from engine.errors import DataError
from engine.events import Event
from engine.protocols import Issue


class ParquetFeed:
    """A long table, one row for each symbol and bar: `ts` or `date`, symbol, open, high, low, close, volume.

    `path` is a file or a folder of files by name, flat or in Hive folders such as symbol=AAA. `vwap`, `halted` and the
    numeric columns named in `extra` are read where they are. A table in time order streams, with a row group in memory
    at a time; any other is sorted once, at most `sort_rows_max` rows in memory, and kept in the cache.

    `stamped` is required where rows carry a time, `close` where they carry a date. `docs/data.md` has the rules.
    """

    def __init__(  # noqa: PLR0913 - the options of a run file
        self,
        *,
        path: Path,
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
        self._history = History(_source(path, layout, sort_rows_max), chosen, str(path), beside)
        self.universe = self._history.universe
        self.beforehand = self._history.beforehand
        self.interval_ns = self._history.interval_ns
        self.span: tuple[int, int] | None = self._history.span
        self.sessions = self._history.sessions
        self.sectors = self._history.sectors
        self.close = close  # ends a trading day; when a date of a user's own table becomes known

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        """Events with start <= ts < end, in bus order; memory bounded by a row group."""
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


def _source(path: Path, layout: Layout, rows_max: int) -> RowSource:
    files = _files(path)
    table = _ParquetRows(files, path if path.is_dir() else path.parent, layout)
    survey = table.survey_in_order()
    if survey is not None:
        table.survey = survey
        return table
    hashes = table.hashes()
    key = cache_key(hashes, "parquet", *table.fields, *layout.said)
    return found(key, hashes) or stored(
        table.chunks(None, None), fields=table.fields, dated=table.dated, key=key, hashes=hashes, rows_max=rows_max
    )


def _files(path: Path) -> list[Path]:
    """One file, or all Parquet files under a folder by name; hidden ones and those of a `_temporary` are not ours."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: there is no such file or folder; check feed.path")
    files = sorted(
        file
        for file in path.rglob("*")
        if file.suffix in (".parquet", ".pq") and not any(part[0] in "._" for part in file.relative_to(path).parts)
    )
    if not files:
        raise DataError(f"{path}: the folder holds no .parquet file; check feed.path")
    return files


class _ParquetRows:
    """The rows of Parquet files as they stand: a RowSource once they are known to stand in time order."""

    survey: Survey

    def __init__(self, files: list[Path], root: Path, layout: Layout) -> None:
        self._files, self._root = files, root
        self._headers = [self._header(file, layout) for file in files]
        self.fields = self._headers[0].fields
        for file, header in zip(files, self._headers, strict=True):
            if header.fields != self.fields:
                odd = sorted({*header.fields} ^ {*self.fields})
                raise DataError(f"{file}: column {odd[0]!r} is not in all files of the folder; make them alike")
        self.dated = False
        self._last: dict[tuple[int, int], int] = {}  # (file, row group) -> its last stamp
        self._hashes: dict[str, str] = {}

    def hashes(self) -> dict[str, str]:
        if not self._hashes:
            self._hashes = {file.relative_to(self._root).as_posix(): sha256_of(file) for file in self._files}
        return self._hashes

    def survey_in_order(self) -> Survey | None:
        """One pass over stamps and symbols; None as soon as a row stands before an earlier one."""
        surveyor, coder = Surveyor(), Coder()
        for chunk in self._chunks(None, None, values=False):
            codes = coder.encode(chunk.names, chunk.index)
            if not surveyor.add(chunk.stamp, codes, len(coder)):
                self._last.clear()
                return None
        if not self._last:
            raise DataError(f"{self._files[0]}: it has no row; name a file with bars")
        return surveyor.survey(coder.codes, dated=self.dated)

    def rows(self, low: int | None, high: int | None) -> Iterator[Rows]:
        coder = Coder()
        coder.codes.update({name: code for code, name in enumerate(self.survey.symbols)})
        for chunk in self.chunks(low, high):
            yield Rows(chunk.stamp, coder.encode(chunk.names, chunk.index), chunk.values)

    def chunks(self, low: int | None, high: int | None) -> Iterator[Chunk]:
        return self._chunks(low, high, values=True)

    def _chunks(self, low: int | None, high: int | None, *, values: bool) -> Iterator[Chunk]:
        any_row = False
        for number, (file, whole) in enumerate(zip(self._files, self._headers, strict=True)):
            header = whole if values else msgspec.structs.replace(whole, columns={}, asks={})
            for group, batch in self._batches(number, header, low):
                chunk, dated = chunk_of(batch, header, str(file))
                if not len(chunk.stamp):
                    continue
                if any_row and dated != self.dated:
                    raise DataError(f"{file}: its rows are dated differently from the first of {self._files[0]}")
                self.dated, any_row = dated, True
                if high is not None and chunk.stamp[0] > high:
                    return
                if not values:
                    self._last[number, group] = int(chunk.stamp[-1])
                yield chunk

    def _batches(self, number: int, header: Header, low: int | None) -> Iterator[tuple[int, Any]]:
        """Batches of a file, each with its row group; of an ordered table without those that end before `low`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = self._files[number]
        wanted = [header.stamp, *([header.symbol] if header.symbol else []), *header.numbers]
        given = {name: value for name, value in self._in_path(file).items() if name in wanted}
        columns = [name for name in wanted if name not in given]
        try:
            with pq.ParquetFile(file, read_dictionary=[header.symbol] if header.symbol in columns else None) as opened:
                for group in range(opened.num_row_groups):
                    if low is not None and self._last.get((number, group), low) < low:
                        continue
                    batches = opened.iter_batches(GROUP_ROWS, row_groups=[group], columns=columns, use_threads=False)
                    for batch in batches:
                        for name, value in given.items():
                            batch = batch.append_column(name, pa.repeat(value, batch.num_rows))
                        yield group, batch
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{file}: it cannot be read: {error}; restore the file") from error

    def _header(self, file: Path, layout: Layout) -> Header:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            names = pq.read_schema(file).names
        except (pa.ArrowException, OSError) as error:
            said = str(error).splitlines()[0]
            raise DataError(f"{file}: it is not a readable Parquet file: {said}; check feed.path") from error
        given = [name for name in self._in_path(file) if name not in names]
        return header_of([*names, *given], str(file), layout)

    def _in_path(self, file: Path) -> dict[str, str]:
        """Columns that the folders of a Hive layout name, as in symbol=AAA/part-0.parquet."""
        folders = [part.partition("=") for part in file.relative_to(self._root).parts[:-1]]
        return {name: unquote(value) for name, equal, value in folders if equal}
