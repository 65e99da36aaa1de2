"""A small file beside the bars, CSV or Parquet: columns of text, numbers and dates by what they mean, all in memory."""

import difflib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.files.columns import floats, plainly, spelled, stamps
from adapters.files.rows import EXAMPLES_MAX
from engine.errors import DataError
from engine.events import DAY_NS, Stamps, Vector
from engine.protocols import Issue

NEVER = int(np.iinfo(np.int64).min)  # an empty date
# A header counts in any case, with spaces, underscores and dots alike. Earlier spellings win over later ones.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "symbol": ("symbol", "ticker", "instrument", "code", "name"),
    "ts": ("ts", "timestamp", "datetime"),
    "date": ("date", "day"),
    "ex_date": ("ex date", "effective date", "date", "day"),
    "kind": ("kind", "type", "action"),
    "ratio": ("ratio", "split ratio", "split new for old"),
    "amount": ("amount", "cash amount", "dividend"),
    "pay_date": ("pay date", "payment date", "payable date"),
    "successor": ("successor", "new symbol"),
    "known_at": ("known at",),
    "from": ("from", "first", "start", "start date"),
    "to": ("to", "last", "end", "end date"),
    "currency": ("currency",),
    "rate": ("rate",),
    "multiplier": ("multiplier",),
    "lot": ("lot", "lot size"),
    "tick": ("tick", "tick size"),
    "sector": ("sector",),
    "factor": ("factor",),
}
UNREAD = "the column is not read: nothing here goes by that name"
_ALIKE = 0.8  # of 1: so near to a name that is read a column is taken for a slip of it
_NO_NUMBER = frozenset(("", "na", "n/a", "nan", "null", "none", "-"))


class Sheet:
    """The rows of one file in the order in which they stand: the fields that it must have, and those that it may."""

    def __init__(self, path: Path, needed: tuple[str, ...], others: tuple[str, ...] = ()) -> None:
        import pyarrow as pa

        self.path = path
        if not path.is_file():
            raise DataError(f"{path}: there is no such file; check the path")
        self._csv = path.suffix.lower() not in (".parquet", ".pq")
        try:
            self._table = _csv(path) if self._csv else _parquet(path)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: it cannot be read: {str(error).splitlines()[0]}; check the path") from error
        self.names: list[str] = list(self._table.column_names)
        self._fields = (*needed, *others)
        self._found = spelled(self.names, {field: SPELLINGS[field] for field in self._fields})
        lacking = [field for field in needed if field not in self._found]
        if lacking:
            raise DataError(f"{path}: it has no column {', '.join(lacking)}; it has {', '.join(self.names) or 'none'}")
        if not self._table.num_rows:
            raise DataError(f"{path}: it has no row; name a file with rows, or leave it out")

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def has(self, field: str) -> bool:
        return field in self._found

    def column(self, field: str) -> str:
        """The name of the column in the file."""
        return self._found[field]

    def unread(self) -> tuple[Issue, ...]:
        """The columns that mean nothing here, as an issue; an error for one that looks like a slip of a field's name.

        A slip is near to a spelling of a field that the file lacks, e.g. `multiplierr`.
        """
        used = {*self._found.values()}
        odd = [name for name in self.names if name not in used]
        ways = [way for field in self._fields if field not in self._found for way in SPELLINGS[field]]
        for name in odd:
            near = difflib.get_close_matches(plainly(name), ways, n=1, cutoff=_ALIKE)
            if near:
                raise DataError(
                    f"{self.path}: it has the column {name!r}, which nothing reads; did you mean "
                    f"{near[0].replace(' ', '_')!r}? Rename the column, or take it out"
                )
        if not odd:
            return ()
        said = tuple(f"{self.path.name}: {name or 'one without a name'}" for name in odd)
        return (Issue(kind="unknown_column", count=len(odd), rule=UNREAD, examples=said[:EXAMPLES_MAX]),)

    def at(self, row: int) -> str:
        """Where a row stands, for messages: the line of a CSV, the number of a row of Parquet."""
        return f"{self.path}: {self.row_text(row)}"

    def row_text(self, row: int) -> str:
        """The same without the file."""
        return f"line {row + 2}" if self._csv else f"row {row + 1}"

    def texts(self, field: str) -> list[str]:
        """Text without the blanks around it, empty where there is none."""
        import pyarrow as pa

        column = self._of(self._found[field])
        return [str(value).strip() for value in column.cast(pa.string()).fill_null("").to_pylist()]

    def required(self, field: str) -> list[str]:
        """Text that no row may lack."""
        found = self.texts(field)
        if "" in found:
            raise DataError(f"{self.at(found.index(''))}: it has no {field}; fill it or drop the row")
        return found

    def numbers(self, column: str) -> Vector:
        """(R,) of a column by its name, NaN where it is empty."""
        import pyarrow as pa

        found = self._of(column)
        if not pa.types.is_string(found.type) and not pa.types.is_large_string(found.type):
            try:
                values: Vector = np.array(floats(found), np.float64)
            except pa.ArrowException as error:
                raise DataError(f"{self.path}: its column {column!r} is not numeric: {error}; mend it") from error
            return values
        texts = [str(text).strip() for text in found.fill_null("").to_pylist()]
        return np.array([self._number(text, row, column) for row, text in enumerate(texts)])

    def number(self, field: str, empty: float = np.nan) -> Vector:
        """(R,) of a field; `empty` where the file lacks the column or a row has nothing in it."""
        if field not in self._found:
            return np.full(len(self), empty)
        values = self.numbers(self._found[field])
        return np.where(np.isnan(values), empty, values)

    def _number(self, text: str, row: int, column: str) -> float:
        if text.lower() in _NO_NUMBER:
            return np.nan
        try:
            return float(text)
        except ValueError:
            raise DataError(f"{self.at(row)}: {column} {text!r} is not a number; mend the row") from None

    def stamps(self, field: str) -> tuple[Stamps, bool]:
        """(R,) days since 1970 or UTC ns, NEVER where it is empty or not there, and whether they are days."""
        if field not in self._found:
            return np.full(len(self), NEVER), True
        column = self._of(self._found[field])
        filled = np.array([text != "" for text in self.texts(field)])
        found = np.full(len(self), NEVER)
        if not filled.any():
            return found, True
        where = f"{self.path}: its column {self._found[field]!r}"
        known, dated = stamps(column.filter(_mask(filled)), where, dated=field != "ts" and _midnights(column))
        found[filled] = known
        return found, dated

    def _of(self, name: str) -> Any:
        import pyarrow as pa

        column = self._table.column(name).combine_chunks()
        return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def together(issues: tuple[Issue, ...]) -> tuple[Issue, ...]:
    """Issues of one kind and rule from several files as one."""
    found: dict[tuple[str, str], Issue] = {}
    for issue in issues:
        known = found.get(key := (issue.kind, issue.rule))
        found[key] = (
            issue
            if known is None
            else Issue(
                kind=issue.kind,
                count=known.count + issue.count,
                rule=issue.rule,
                examples=(*known.examples, *issue.examples)[:EXAMPLES_MAX],
            )
        )
    return tuple(found.values())


def _mask(filled: NDArray[np.bool_]) -> Any:
    import pyarrow as pa

    return pa.array(filled)


def _midnights(column: Any) -> bool:
    """Whether timestamps are midnights that stand for dates, as pandas writes them."""
    import pyarrow as pa

    if not pa.types.is_timestamp(column.type) or column.type.tz is not None:
        return False
    ns = column.drop_null().cast(pa.timestamp("ns")).cast(pa.int64()).to_numpy()
    return not (ns % DAY_NS).any()


def _parquet(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(path, use_threads=False, partitioning=None)


def _csv(path: Path) -> Any:
    """Every column as text: what is a number, a date or a code such as 000001 is for the reader to say."""
    import csv

    import pyarrow as pa
    import pyarrow.csv as pc

    with path.open(encoding="utf-8-sig", newline="") as file:
        names = next(csv.reader(file), [])
    twice = next((name for k, name in enumerate(names) if name in names[:k]), None)
    if twice is not None:
        raise DataError(f"{path}: the column {twice!r} stands twice; rename one")
    if not names:
        raise DataError(f"{path}: it is empty; write a header and rows, or leave it out")
    convert = pc.ConvertOptions(
        column_types={name: pa.string() for name in names},
        strings_can_be_null=False,
        quoted_strings_can_be_null=False,
    )
    return pc.read_csv(path, convert_options=convert, read_options=pc.ReadOptions(use_threads=False))
