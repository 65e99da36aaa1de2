"""A user's own numbers from a file: ts or date, symbol, and named columns."""

from pathlib import Path
from typing import Any

import numpy as np

from adapters.files.by_calendar import closes_of, no_days
from adapters.files.columns import Chunk, Header, chunk_of, column_of, table_header_of
from adapters.files.store import sha256_of
from adapters.files.when import LocalTime, Timing, parse_close
from engine.calendar import Sessions
from engine.errors import ConfigError, DataError
from engine.events import DAY_NS, Codes, Mask, Stamps
from engine.protocols import Issue, Table
from engine.universe import Universe

_EXAMPLES_MAX = 10
_EMPTY = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]  # of numbers only, never of symbols


def read_table(path: Path, universe: Universe, *, close: str | None = None, columns: tuple[str, ...] = ()) -> Table:
    """The rows of the universe's symbols in time order, then by symbol, from a Parquet or CSV file.

    A row with a date becomes known at that day's `close`, e.g. "16:00 America/New_York"; one with a time at that time.
    `columns` are the wanted ones, empty = every numeric one. Values that are not finite are NaN. Symbols that are not
    in the universe are left out; two rows of one symbol and instant are refused. Memory: the whole file.
    """
    return checked_table(path, universe, close=close, columns=columns)[0]


def checked_table(
    path: Path,
    universe: Universe,
    *,
    close: str | None = None,
    columns: tuple[str, ...] = (),
    sessions: Sessions | None = None,
) -> tuple[Table, tuple[Issue, ...]]:
    """`read_table`, and what was left out or is not finite.

    With `sessions` a row with a date becomes known at the close of that trading day, and one dated on a day that is
    none at the end of that day, when no slice asks for it.
    """
    table, header = _read(path, columns)
    chunk, dated = chunk_of(table, header, str(path))
    if dated and close is None and sessions is None:
        raise ConfigError(
            f"{path}: its rows carry a date only, so when a row became known is undeclared; "
            'add the close of the trading day, e.g. close: "16:00 America/New_York"'
        )
    position = {symbol: k for k, symbol in enumerate(universe.symbols)}
    symbol = np.array([position.get(name, -1) for name in chunk.names], np.int32)[chunk.index]
    issues = _issues(chunk, symbol, universe)
    order = np.lexsort((symbol, chunk.stamp))
    order = order[symbol[order] >= 0]
    if not len(order):
        said = ", ".join(sorted({*chunk.names})[:5]) or "no row at all"
        raise DataError(f"{path}: none of its symbols is in the universe of {len(universe)} symbols; it has {said}")
    ts, symbol, values = chunk.stamp[order], symbol[order], chunk.values[:, order]
    if dated and sessions is not None:
        ts = _known_at(sessions, ts)
    elif close is not None and dated:
        ts = Timing(dated=True, interval_ns=DAY_NS, close=parse_close(close)).closes(ts)
    _refuse_twice(path, universe, ts, symbol)
    values[~np.isfinite(values)] = np.nan
    for array in (ts, symbol, values):
        array.flags.writeable = False
    named = dict(zip(header.columns, values, strict=True))
    return Table(path=str(path), hash=sha256_of(path), ts=ts, symbol=symbol, columns=named), issues


def _known_at(sessions: Sessions, days: Stamps) -> Stamps:
    """When rows of these days become known; the days stay in order."""
    midnight = LocalTime(86_400, sessions.zone)
    known = closes_of(sessions, days)
    for k in np.flatnonzero(no_days(sessions, days)).tolist():
        known[k] = midnight.instant(int(days[k]))
    return known


def _refuse_twice(path: Path, universe: Universe, ts: Stamps, symbol: Codes) -> None:
    again = np.flatnonzero((ts[1:] == ts[:-1]) & (symbol[1:] == symbol[:-1]))
    if len(again):
        row = int(again[0])
        when = np.datetime_as_string(np.datetime64(int(ts[row]), "ns"), unit="s")
        name = universe.symbols[int(symbol[row])]
        raise DataError(f"{path}: {name} has more than one row at {when}Z ({len(again)} such in all); keep one of them")


def _issues(chunk: Chunk, symbol: Codes, universe: Universe) -> tuple[Issue, ...]:
    counts = np.bincount(chunk.index[symbol < 0], minlength=len(chunk.names)).tolist()
    unknown = sorted((name, count) for name, count in zip(chunk.names, counts, strict=True) if count)
    found = []
    if unknown:
        shown = tuple(f"{name}: {count} rows" for name, count in unknown[:_EXAMPLES_MAX])
        total = sum(count for _, count in unknown)
        found.append(Issue(kind="unknown_symbol", count=total, rule="the rows are left out", examples=shown))
    odd: Mask = ~np.isfinite(chunk.values) & (symbol >= 0)
    if odd.any():
        rows = np.flatnonzero(odd.any(axis=0))[:_EXAMPLES_MAX].tolist()
        shown = tuple(universe.symbols[int(symbol[row])] for row in rows)
        found.append(
            Issue(kind="not_finite", count=int(odd.sum()), rule="the value is NaN: no opinion", examples=shown)
        )
    return tuple(found)


def _read(path: Path, columns: tuple[str, ...]) -> tuple[Any, Header]:
    import pyarrow as pa

    if not path.is_file():
        raise DataError(f"{path}: there is no such file; check the path")
    try:
        table = _table(path, columns)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: it cannot be read: {str(error).splitlines()[0]}; check the path") from error
    names = list(table.column_names)
    if not columns:
        keys = {column_of(names, field) for field in ("ts", "date", "symbol")}
        numeric = [name for name in names if name not in keys and _is_number(table.schema.field(name).type)]
        if not numeric:
            raise DataError(f"{path}: it has no numeric column beside time and symbol; add one, e.g. score")
        columns = tuple(numeric)
    header = table_header_of(names, str(path), columns)
    if not table.num_rows:
        raise DataError(f"{path}: it has no row; name a file with rows")
    return table.combine_chunks().to_batches()[0], header


def _table(path: Path, columns: tuple[str, ...]) -> Any:
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    if path.suffix.lower() in (".parquet", ".pq"):
        return pq.read_table(path, use_threads=False)
    with path.open(encoding="utf-8-sig") as file:
        names = [name.strip().strip('"') for name in file.readline().split(",")]
    texts = [column_of(names, field) for field in ("ts", "date", "symbol")]
    kinds = {name: pa.float64() for name in columns} | {name: pa.string() for name in texts if name is not None}
    convert = pc.ConvertOptions(
        column_types=kinds, null_values=_EMPTY, strings_can_be_null=False, quoted_strings_can_be_null=False
    )
    return pc.read_csv(path, convert_options=convert, read_options=pc.ReadOptions(use_threads=False))


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind))
