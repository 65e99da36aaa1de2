"""Columns of a file by what they mean: spellings, and Arrow columns as numpy arrays."""

import difflib
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np

from adapters.files.rows import PRICES
from engine.errors import DataError
from engine.events import Codes, Matrix, Stamps

# A header counts in any case, with spaces, underscores and dots alike. Earlier spellings win over later ones.
SPELLINGS = {
    "ts": ("ts", "timestamp", "datetime", "date time", "time"),
    "date": ("date", "trade date", "trading date", "session", "day"),
    "symbol": ("symbol", "ticker", "instrument", "code", "name"),
    "open": ("open", "open price", "o"),
    "high": ("high", "high price", "h"),
    "low": ("low", "low price", "l"),
    "close": ("close", "close price", "c", "last", "close/last", "price"),
    "volume": ("volume", "vol", "v", "shares", "volume traded"),
    "vwap": ("vwap",),
    "halted": ("halted",),
    "adj close": ("adj close", "adjusted close", "adjclose"),
}
Prices = Literal["trades", "mid"]  # mid: the mean of bid and ask, field by field
Volume = Literal["shares", "unknown"]  # unknown: no column is read, and every volume is NaN
# Quotes of a bar; those at its close are also what the extra columns bid and ask mean.
_QUOTES = {
    side: {field: (f"{side} {field}", f"{field} {side}") for field in ("open", "high", "low", "close")}
    for side in ("bid", "ask")
}
_FLAGS = {"": 0.0, "0": 0.0, "false": 0.0, "no": 0.0, "1": 1.0, "true": 1.0, "yes": 1.0}
_DAY_MS = 86_400_000
_FIRST_NS = 10**16  # April 1970: integers below are in a coarser unit


class Chunk(msgspec.Struct, frozen=True, eq=False, gc=False):
    """R rows as they stand in a file: stamp (R,), the symbol of a row = names[index], values (K, R)."""

    stamp: Stamps
    names: list[str]
    index: Codes
    values: Matrix


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Which column of a file is what."""

    stamp: str
    dated: bool
    symbol: str | None  # None = the file is of one symbol
    columns: dict[str, str]  # field -> column, in the order of Rows.values; empty = there is none, and it is NaN
    asks: dict[str, str] = {}  # field -> the column whose mean with the other one it is

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.columns)

    @property
    def numbers(self) -> tuple[str, ...]:
        """The columns of values that the file is asked for, each once."""
        return tuple(dict.fromkeys(name for name in (*self.columns.values(), *self.asks.values()) if name))


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What a user says about the columns of a file of bars."""

    extra: tuple[str, ...] = ()
    prices: Prices = "trades"
    volume: Volume = "shares"

    @property
    def said(self) -> tuple[str, ...]:
        """What names a sorted table apart from one of the same file read otherwise; empty as a rule."""
        mid = () if self.prices == "trades" else (f"prices={self.prices}",)
        return mid if self.volume == "shares" else (*mid, f"volume={self.volume}")


_PLAIN = Layout()


def plainly(name: str) -> str:
    """A header as it is compared: in lower case, with blanks for underscores and dots."""
    return " ".join(name.lower().replace("_", " ").replace(".", " ").split())


def header_of(names: list[str], where: str, layout: Layout = _PLAIN, *, one_symbol: bool = False) -> Header:
    """Finds the columns of bars, whatever their spelling, or says which is missing and which is near.

    >>> header_of(["Date", "Open", "High", "Low", "Close", "Volume"], "A.csv", one_symbol=True).columns["open"]
    'Open'
    """
    plain = _by_spelling(names)
    found = {field: _column(plain, field) for field in (*PRICES, "vwap", "halted")}
    asks: dict[str, str] = {}
    lacking = []
    if layout.prices == "mid":
        bids, offers = spelled(names, _QUOTES["bid"]), spelled(names, _QUOTES["ask"])
        lacking = [
            f"{side}_{field}"
            for side, has in (("bid", bids), ("ask", offers))
            for field in _QUOTES[side]
            if field not in has
        ]
        found |= bids | {"vwap": None}
        asks = {field: offers[field] for field in bids if field in offers}
    if layout.volume == "unknown":
        found["volume"] = ""
    extra = {name: name if name in names else _quote(names, name) for name in layout.extra}
    lacking += [field for field in PRICES if found[field] is None and not asks]
    lacking += [name for name, column in extra.items() if column is None]
    columns = {field: name for field, name in (found | extra).items() if name is not None}
    return msgspec.structs.replace(_header(names, where, columns, lacking, one_symbol=one_symbol), asks=asks)


def _quote(names: list[str], name: str) -> str | None:
    """The bid or ask of a bar's close, or of what `bid_open` and so on name, where no column has that very name."""
    side, _, field = name.partition("_")
    field = field or "close"
    return spelled(names, {field: _QUOTES[side][field]}).get(field) if field in _QUOTES.get(side, {}) else None


def table_header_of(names: list[str], where: str, wanted: tuple[str, ...]) -> Header:
    """Finds stamp and symbol of a user's own table; the values are the wanted columns."""
    lacking = [name for name in wanted if name not in names]
    return _header(names, where, {name: name for name in wanted}, lacking, one_symbol=False)


def column_of(names: list[str], field: str) -> str | None:
    """The column that means this field, under any of its spellings."""
    return _column(_by_spelling(names), field)


def spelled(names: list[str], spellings: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """The columns of fields that a file has, under any of these spellings."""
    plain = _by_spelling(names)
    found = {field: next((plain[one] for one in ways if one in plain), None) for field, ways in spellings.items()}
    return {field: name for field, name in found.items() if name is not None}


def _by_spelling(names: list[str]) -> dict[str, str]:
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(plainly(name), name)
    return plain


def _column(plain: dict[str, str], field: str) -> str | None:
    return next((plain[spelling] for spelling in SPELLINGS[field] if spelling in plain), None)


def _header(names: list[str], where: str, columns: dict[str, str], lacking: list[str], *, one_symbol: bool) -> Header:
    plain = _by_spelling(names)
    ts, date = _column(plain, "ts"), _column(plain, "date")
    symbol = None if one_symbol else _column(plain, "symbol")
    stamp = date if ts is None else ts
    lacking = lacking + ["date or ts"] * (stamp is None) + ["symbol"] * (symbol is None and not one_symbol)
    if lacking or stamp is None:
        near = difflib.get_close_matches(lacking[0], names, n=1)
        hint = f"did you mean its column {near[0]!r}? " if near else ""
        raise DataError(
            f"{where}: it has no column {', '.join(lacking)}; {hint}it has {', '.join(names) or 'none'}; "
            "rename the column or name the file that has it"
        )
    return Header(stamp=stamp, dated=ts is None, symbol=symbol, columns=columns)


def floats(column: Any) -> Any:
    """(R,) float64 of a numeric, boolean or text column; null is NaN."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not pa.types.is_float64(column.type):
        column = column.cast(pa.float64())
    return column.to_numpy(zero_copy_only=False)


def flags(column: Any) -> Any:
    """(R,) float64 of a column of flags: numbers, booleans, or text such as true and 0; what is empty is 0."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return floats(column)
    texts = column.dictionary_encode()
    known = []
    for text in texts.dictionary.to_pylist():
        value = _FLAGS.get(text.strip().lower())
        if value is None:
            raise ValueError(f"{text!r} is neither true nor false")
        known.append(value)
    index = texts.indices.fill_null(-1).to_numpy()
    return np.append(np.array(known), 0.0)[index]


def stamps(column: Any, where: str, *, dated: bool) -> tuple[Stamps, bool]:
    """Stamps of an Arrow array, days where it holds dates, else UTC ns; and whether they are days."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if column.null_count:
        raise DataError(f"{where}: {column.null_count} rows have no date or time; fill or drop them")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return parsed(column, where)
    if pa.types.is_date(kind):
        return column.cast(pa.date32()).cast(pa.int32()).to_numpy().astype(np.int64), True
    if pa.types.is_timestamp(kind):
        if dated:
            return _midnights(column, where), True
        return column.cast(pa.timestamp("ns", kind.tz)).cast(pa.int64()).to_numpy(), False
    if not pa.types.is_integer(kind):
        raise DataError(f"{where}: its date or time column is of type {kind}; write dates, timestamps, text or UTC ns")
    return _integers(column.cast(pa.int64()).to_numpy(), where)


def _midnights(column: Any, where: str) -> Stamps:
    import pyarrow as pa

    ms = column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64()).to_numpy()
    if (ms % _DAY_MS).any():
        raise DataError(f"{where}: its date column holds times; call it ts and declare stamped: open or close")
    days: Stamps = ms // _DAY_MS
    return days


def _integers(values: Stamps, where: str) -> tuple[Stamps, bool]:
    """20180102 as a date, else UTC ns."""
    dates = (values >= 19_000_101) & (values <= 21_001_231)
    if len(values) and dates.all():
        years, rest = values // 10_000, values % 10_000
        months = (years - 1970) * 12 + rest // 100 - 1
        days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + rest % 100 - 1
        # A month 13 or a 30th of February has run on into another month.
        month = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        wrong = (month != months) | (months // 12 != years - 1970)
        if wrong.any():
            raise DataError(f"{where}: {values[wrong][0]} is not a date; write dates as YYYYMMDD and mend the row")
        return days, True
    neither = values[~dates & (values < _FIRST_NS)]
    if len(neither) or dates.any():
        odd = neither[0] if len(neither) else values[dates][0]
        raise DataError(f"{where}: integer stamps must be UTC ns or YYYYMMDD, all alike, got {odd}; convert the column")
    return values, False


def parsed(column: Any, where: str) -> tuple[Stamps, bool]:
    """Text stamps: ISO dates (also YYYYMMDD) as days, ISO instants (UTC unless they name an offset) as ns."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not len(column):
        return np.empty(0, np.int64), True
    first = str(column[0])
    try:
        if len(first) == 8 and first.isdigit():
            return _integers(column.cast(pa.int64()).to_numpy(), where)
        if len(first) <= 10:
            return column.cast(pa.date32()).cast(pa.int32()).to_numpy().astype(np.int64), True
        zoned = first.endswith("Z") or "+" in first[10:] or "-" in first[10:]
        kind = pa.timestamp("ns", "UTC") if zoned else pa.timestamp("ns")
        return pc.cast(column, kind).cast(pa.int64()).to_numpy(), False
    except pa.ArrowInvalid as error:
        said = str(error).splitlines()[0]
        raise DataError(
            f"{where}: a date or time cannot be read ({said}); write 2018-01-31 or 2018-01-31T16:00:00Z"
        ) from None


def symbols(column: Any, where: str) -> tuple[list[str], Codes]:
    """The distinct symbols of an Arrow array as text, and the index of each row among them."""
    import pyarrow as pa

    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    if coded.indices.null_count or coded.dictionary.null_count:
        raise DataError(f"{where}: some rows have no symbol; name one in each row")
    names, index = [str(name) for name in coded.dictionary.to_pylist()], coded.indices.to_numpy().astype(np.int32)
    used = np.bincount(index, minlength=len(names)) > 0
    if any(keep and not name.strip() for name, keep in zip(names, used.tolist(), strict=True)):
        raise DataError(f"{where}: some rows have an empty symbol; name one in each row")
    if used.all():
        return names, index
    # A categorical may name symbols that no row has: those are not in the file.
    place = np.cumsum(used, dtype=np.int32) - 1
    return [name for name, kept in zip(names, used.tolist(), strict=True) if kept], place[index].astype(np.int32)


def chunk_of(table: Any, header: Header, where: str, *, symbol: str = "") -> tuple[Chunk, bool]:
    """One record batch as arrays, and whether its stamps are days."""
    stamp, dated = stamps(table.column(header.stamp), where, dated=header.dated)
    if header.symbol is None:
        names, index = [symbol], np.zeros(len(stamp), np.int32)
    else:
        names, index = symbols(table.column(header.symbol), where)
    values = np.empty((len(header.columns), len(stamp)))
    for k, (field, column) in enumerate(header.columns.items()):
        if not column:
            values[k] = np.nan
            continue
        try:
            values[k] = flags(table.column(column)) if field == "halted" else floats(table.column(column))
            if field in header.asks:
                values[k] = (values[k] + floats(table.column(header.asks[field]))) / 2.0
        except Exception as error:
            raise DataError(f"{where}: its column {column!r} is not numeric: {error}; mend or rename it") from error
    return Chunk(stamp, names, index, values), dated


class Coder:
    """Gives each symbol a code in the order of its first row."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.codes)

    def encode(self, names: list[str], index: Codes) -> Codes:
        codes = np.array([self.codes.setdefault(name, len(self.codes)) for name in names], np.int32)
        return codes[index] if len(codes) else np.empty(0, np.int32)
