"""A user's own tables with another future: rows that became known after an instant changed, or gone."""

import csv
import io
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters.files.columns import column_of, plainly, stamps
from adapters.files.when import parse_close
from engine.errors import DataError
from engine.events import DAY_NS, Stamps
from engine.protocols import Table

_MORE = ("when", "as of", "asof")  # headers that no table of ours has, and that say when all the same
_SUFFIXES = (".csv", ".parquet", ".pq")
SIZE_MAX = 1 << 29  # bytes of a file, or of all files of a folder, that are copied with another future


def another_table(table: Table, after: int, *, gone: bool, seed: int) -> Table:
    """The rows with ts <= after as they are, the later ones with other values or gone.

    Where no row is left, they are changed instead: a component may refuse an empty table, and be right. Values change
    places among the later rows of their column and are scaled by 0.5 to 2, so that they keep their kind.
    """
    later = table.ts > after
    if gone and not later.all():
        columns = {name: column[~later] for name, column in table.columns.items()}
        return msgspec.structs.replace(table, ts=table.ts[~later], symbol=table.symbol[~later], columns=columns)
    rng, rows = np.random.default_rng([seed, after % 2**63]), np.flatnonzero(later)
    columns = {name: column.copy() for name, column in table.columns.items()}
    for column in columns.values():
        column[rows] = column[_moved(rows.tolist(), rng)] * rng.uniform(0.5, 2.0, len(rows))
        column.flags.writeable = False
    return msgspec.structs.replace(table, columns=columns)


def is_table(path: Path) -> bool:
    """Whether it looks like a table, or a folder that holds one, of a size that can be copied."""
    return bool(files := _tables(path)) and sum(file.stat().st_size for file in files) <= SIZE_MAX


def write_another(path: Path, into: Path, after: int | None, *, gone: bool, seed: int, close: str | None) -> bool:
    """Writes a table, or the folder of tables, as `into`; rows later than `after` are changed or gone, None = none are.

    A row with a date is known at that day's `close`, else from its UTC midnight on: never too late. False where a file
    has no column of dates or times, so that nothing tells what is later in it; nothing that counts is changed then.
    """
    if path.is_dir():
        shutil.copytree(path, into)
    else:
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, into)
    if after is None:
        return True
    future = _Future(after, gone, seed, close)
    known = [_rewrite(file, future) for file in _tables(into)]
    return all(known)


def _tables(path: Path) -> list[Path]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [file for file in files if file.suffix.lower() in _SUFFIXES and file.is_file()]


class _Future(msgspec.Struct, frozen=True):
    """What comes after an instant, and how it differs."""

    after: int
    gone: bool
    seed: int
    close: str | None

    def rows(self, column: Any, where: str, *, dated: bool) -> NDArray[np.int64] | None:
        """The rows to change or to leave out, None = nothing tells."""
        try:
            found, days = stamps(_dashed(column), where, dated=dated)
        except DataError:
            return None
        if days:
            found = self._closes(found)
        return np.flatnonzero(found > self.after)

    def _closes(self, days: Stamps) -> Stamps:
        if self.close is None:
            return days * DAY_NS
        at, each = parse_close(self.close), np.unique(days)
        return np.array([at.instant(day) for day in each.tolist()], np.int64)[np.searchsorted(each, days)]

    def rng(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.after % 2**63])


def _dashed(column: Any) -> Any:
    """2018/01/31 as 2018-01-31. Where the year does not come first nothing says which is the month: that stays."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    return pc.replace_substring_regex(column, r"^(\d{4})/(\d{2})/(\d{2})", r"\1-\2-\3")


def _rewrite(file: Path, future: _Future) -> bool:
    return _rewrite_csv(file, future) if file.suffix.lower() == ".csv" else _rewrite_parquet(file, future)


def _stamp(names: list[str]) -> tuple[str | None, bool]:
    """The column that says when, and whether by date."""
    ts = column_of(names, "ts")
    date = column_of(names, "date") or next((name for name in names if plainly(name) in _MORE), None)
    return ts or date, ts is None and date is not None and plainly(date) not in _MORE


def _rewrite_parquet(file: Path, future: _Future) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file, use_threads=False)
    except (pa.ArrowException, OSError):
        return False
    name, dated = _stamp(list(table.column_names))
    rows = future.rows(table.column(name).combine_chunks(), str(file), dated=dated) if name else None
    if rows is None:
        return False
    if future.gone and len(rows) < table.num_rows:
        table = table.take(pa.array(np.setdiff1d(np.arange(table.num_rows), rows)))
    else:
        table = _changed(table, rows, future.rng())
    pq.write_table(table, file)
    return True


def _changed(table: Any, rows: NDArray[np.int64], rng: np.random.Generator) -> Any:
    """The table with other numbers in these rows; text stays, integers change places only."""
    import pyarrow as pa

    names = list(table.column_names)
    stamp = {column_of(names, "ts"), column_of(names, "date"), _stamp(names)[0]}
    for place, name in enumerate(names):
        kind = table.schema.field(name).type
        if name in stamp or not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            continue
        order = np.arange(table.num_rows)
        order[rows] = _moved(rows.tolist(), rng)
        column = table.column(name).combine_chunks().take(pa.array(order))
        if pa.types.is_floating(kind):
            factor = np.ones(len(order))
            factor[rows] = rng.uniform(0.5, 2.0, len(rows))
            # Null stays null: it is not NaN to whoever reads the file.
            empty = column.is_null().to_numpy(zero_copy_only=False)
            column = pa.array(column.to_numpy(zero_copy_only=False) * factor, mask=empty).cast(kind)
        table = table.set_column(place, table.schema.field(name), column)
    return table


def _rewrite_csv(file: Path, future: _Future) -> bool:
    """Earlier lines stay to the letter, so that a reader with a parser of its own sees no other past."""
    import pyarrow as pa

    try:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    except UnicodeDecodeError:
        return False
    cells = list(csv.reader(lines))
    names = [name.lstrip("\ufeff").strip() for name in cells[0]] if cells else []
    name, dated = _stamp(names)
    whole = len(cells) == len(lines) and all(len(row) == len(names) for row in cells)
    if name is None or not whole or len(cells) < 2:
        return False
    texts = [row[names.index(name)] for row in cells[1:]]
    rows = future.rows(pa.array(texts), str(file), dated=dated)
    if rows is None:
        return False
    if future.gone and len(rows) < len(texts):
        gone = set((rows + 1).tolist())
        lines = [line for k, line in enumerate(lines) if k not in gone]
    else:
        _change_lines(lines, cells, rows + 1, names.index(name), future.rng())
    file.write_text("".join(lines), encoding="utf-8")
    return True


def _change_lines(
    lines: list[str], cells: list[list[str]], rows: NDArray[np.int64], stamp: int, rng: np.random.Generator
) -> None:
    """Other numbers in these lines; what is not a number stays."""
    later = rows.tolist()
    for place in range(len(cells[0])):
        numbers = {k: value for k in later if (value := _number(cells[k][place])) is not None}
        known = list(numbers)
        if place == stamp or not known:
            continue
        whole = all(value.is_integer() for value in numbers.values())  # codes, flags and ranks stay what they are
        for k, other, factor in zip(known, _moved(known, rng), rng.uniform(0.5, 2.0, len(known)).tolist(), strict=True):
            cells[k][place] = str(int(numbers[other])) if whole else repr(numbers[other] * factor)
    for k in later:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells[k])
        lines[k] = text.getvalue()


def _moved(rows: list[int], rng: np.random.Generator) -> list[int]:
    """The rows in another order, if there is another."""
    order: list[int] = rng.permutation(rows).tolist()
    return order if order != rows else order[1:] + order[:1]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None
