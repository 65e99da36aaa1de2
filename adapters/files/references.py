"""Matrices that change slowly, from files: exchange rates, shortable shares, numbers of your own."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from adapters.files.sheet import NEVER, Sheet
from adapters.files.trading_days import TradingDays
from engine.errors import DataError
from engine.events import Codes, Matrix, Reference, Stamps
from engine.instants import instant_text
from engine.protocols import Issue
from engine.universe import Universe


class Series(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Rows in time order: at `ts` (R,) row `place` (R,) of the matrix becomes `value` (R, K). Memory: the file."""

    name: str
    rows: str  # what a row of the matrix is: symbol, currency or factor
    columns: tuple[str, ...]
    ts: Stamps
    place: Codes
    value: Matrix
    start: Matrix  # what is known before the first row, NaN = nothing
    path: Path
    needed: tuple[str, ...] = ()  # rows of the matrix that must be known from the first slice on
    issues: tuple[Issue, ...] = ()


def read_rates(path: Path, universe: Universe, days: TradingDays) -> Series:
    """Rows date or ts, currency, rate: units of the base currency for one unit. Other currencies are left out."""
    sheet = Sheet(path, ("currency", "rate"), ("ts", "date"))
    issues = sheet.unread()
    names, rate = sheet.required("currency"), sheet.number("rate")
    place = {currency: k for k, currency in enumerate(universe.currencies)}
    for row, (name, value) in enumerate(zip(names, rate.tolist(), strict=True)):
        if name not in place:
            continue
        if not 0 < value < np.inf:
            raise DataError(f"{sheet.at(row)}: the rate of {name} is {value}; it must be above 0")
        if not place[name] and value != 1.0:
            raise DataError(f"{sheet.at(row)}: {name} is the base currency, so its rate is 1, not {value:.10g}")
    start = np.full((len(universe.currencies), 1), np.nan)
    start[0] = 1.0
    code = np.array([place.get(name, -1) for name in names], np.int32)
    series = _sorted(sheet, names, code, rate[:, None], ("rate",), days)
    return msgspec.structs.replace(
        series, name="rates", rows="currency", start=start, needed=universe.currencies, issues=issues
    )


def read_reference(path: Path, name: str, universe: Universe, days: TradingDays) -> Series:
    """Rows date or ts, symbol and columns of numbers. Other symbols are left out; an empty number is NaN.

    With a column factor in place of symbol it is a square matrix: each factor is a row and a column of that name.
    """
    keys_only = Sheet(path, (), ("symbol", "factor", "ts", "date"))
    if keys_only.has("factor") and not keys_only.has("symbol"):
        return _of_factors(keys_only, name, days)
    sheet = Sheet(path, ("symbol",), ("ts", "date"))
    place = {symbol: k for k, symbol in enumerate(universe.symbols)}
    symbols = sheet.required("symbol")
    code = np.array([place.get(symbol, -1) for symbol in symbols], np.int32)
    if not (code >= 0).any():
        raise DataError(f"{path}: it names none of the {len(universe)} symbols; check how they are spelled")
    keys = {sheet.column(field) for field in ("symbol", "ts", "date") if sheet.has(field)}
    columns = tuple(column for column in sheet.names if column not in keys)
    if not columns:
        raise DataError(f"{path}: it has no column of numbers beside time and symbol; add one, e.g. {name}")
    value = np.stack([sheet.numbers(column) for column in columns], axis=1)
    series = _sorted(sheet, symbols, code, value, columns, days)
    return msgspec.structs.replace(series, name=name, start=np.full((len(universe), len(columns)), np.nan))


def _of_factors(sheet: Sheet, name: str, days: TradingDays) -> Series:
    factors = sheet.required("factor")
    keys = {sheet.column(field) for field in ("factor", "ts", "date") if sheet.has(field)}
    columns = tuple(column for column in sheet.names if column not in keys)
    place = {column: k for k, column in enumerate(columns)}
    for row, factor in enumerate(factors):
        if factor not in place:
            raise DataError(
                f"{sheet.at(row)}: factor {factor} has no column; the columns are {', '.join(columns) or 'none'}: "
                "each factor is a row and a column"
            )
    value = np.stack([sheet.numbers(column) for column in columns], axis=1)
    code = np.array([place[factor] for factor in factors], np.int32)
    series = _sorted(sheet, factors, code, value, columns, days)
    return msgspec.structs.replace(series, name=name, rows="factor", start=np.full((len(columns),) * 2, np.nan))


def _sorted(
    sheet: Sheet, names: list[str], code: Codes, value: Matrix, columns: tuple[str, ...], days: TradingDays
) -> Series:
    """The rows in time order; `names` (R,) are the symbols or currencies of all rows of the file."""
    field = "ts" if sheet.has("ts") else "date"
    if not sheet.has(field):
        raise DataError(f"{sheet.path}: it has no column date or ts; it has {', '.join(sheet.names)}")
    stamps, dated = sheet.stamps(field)
    missing = np.flatnonzero(stamps == NEVER)
    if len(missing):
        raise DataError(f"{sheet.at(int(missing[0]))}: it has no {field}; fill it or drop the row")
    ts = days.ends(stamps, dated=dated)
    order = np.lexsort((code, ts))
    order = order[code[order] >= 0]
    written = value
    ts, place, value = ts[order], code[order], value[order]
    again = np.flatnonzero((ts[1:] == ts[:-1]) & (place[1:] == place[:-1]))
    differ = ~((value[1:] == value[:-1]) | (np.isnan(value[1:]) & np.isnan(value[:-1]))).all(axis=1)
    clash = again[differ[again]]
    if len(clash):
        one, row = sorted(int(order[clash[0] + k]) for k in (0, 1))
        when = np.datetime_as_string(stamps[row].astype("datetime64[D]" if dated else "datetime64[ns]"))
        said = [" ".join(f"{number:.10g}" for number in sheet_row) for sheet_row in written[[one, row]].tolist()]
        raise DataError(
            f"{sheet.at(row)}: {names[row]} of {when} is {said[1]} here and {said[0]} in {sheet.row_text(one)}; "
            "keep one of them"
        )
    return Series(
        name="",  # its name and its start are for the caller to say
        rows="symbol",
        columns=columns,
        ts=ts,
        place=place,
        value=value,
        start=np.empty((0, 0)),
        path=sheet.path,
    )


def references(series: Series, since: int) -> Iterator[Reference]:
    """What is known at `since` as one event of that instant, then one event for each later instant that changes it."""
    now = series.start.copy()
    cut = int(np.searchsorted(series.ts, since, "right"))
    now[series.place[:cut]] = series.value[:cut]  # of several rows of one place the last stays
    lacking = [name for name, known in zip(series.needed, ~np.isnan(now[:, 0]), strict=False) if not known]
    if lacking:
        raise DataError(
            f"{series.path}: it has no rate of {lacking[0]} at or before the first slice, {instant_text(since)}; "
            "add an earlier row, or start later"
        )
    if cut or series.needed:
        yield _reference(series, since, now)
    starts = np.flatnonzero(np.diff(series.ts[cut:], prepend=since)) + cut
    for begin, end in pairwise([*starts.tolist(), len(series.ts)]):
        before, now = now, now.copy()
        now[series.place[begin:end]] = series.value[begin:end]
        if not np.array_equal(before, now, equal_nan=True):
            yield _reference(series, int(series.ts[begin]), now)


def _reference(series: Series, ts: int, value: Matrix) -> Reference:
    value.flags.writeable = False
    return Reference(ts=ts, name=series.name, rows=series.rows, value=value, columns=series.columns)
