"""Derives trades.parquet and pnl.parquet of a finished session from the tables it has written."""

import heapq
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from adapters.files.session_dir import TableFile, write_columns
from adapters.files.session_rows import named, stamps
from components.metrics.fold import SessionFold
from components.metrics.trades import RoundTrips, Trade, TradeFigures, exposure, trade_figures
from engine.events import ActionKind, Stamps, Vector
from engine.protocols import Bookkeeping
from engine.universe import Universe

_ROWS_MAX = 65_536  # trades that wait before they are written
_SIDES = ("short", "long")
_FILLS = ("ts", "symbol", "quantity", "price", "fee", "at", "rate")
_CHARGES = ("ts", "symbol", "amount")
_ACTIONS = ("ts", "kind", "symbol", "ratio", "amount", "successor", "price")


class Traded(msgspec.Struct, frozen=True):
    """What the trades of a session say."""

    figures: TradeFigures
    exposure: float
    still_open: int


def derive(folder: Path, fold: SessionFold, universe: Universe, bookkeeping: Bookkeeping) -> Traded | None:
    """Writes both tables of a session whose sink has closed its files. None, and no trades, where it wrote no fills.

    Memory: a row group of fills and of charges, and a few numbers a trade.
    """
    pnl = fold.earned()
    keep = np.flatnonzero(np.any([pnl[name] != 0.0 for name in ("realised", "unrealised", "fees", "total")], axis=0))
    if not (folder / "fills.parquet").is_file():
        _write_pnl(folder, pnl, keep)
        return None
    trips = _Trips(folder / "trades.parquet", universe, fold.rows.ts)
    trips.walk(folder, bookkeeping)
    trips.finish(fold.book.mark if fold.book is not None else np.full(len(universe), math.nan))
    keep = np.union1d(keep, np.flatnonzero(trips.traded))
    totals = {"traded": trips.traded, "trades": trips.count, "slices": trips.held}
    _write_pnl(folder, pnl | {name: np.append(column, 0) for name, column in totals.items()}, keep)
    return trips.said()


def _write_pnl(folder: Path, pnl: dict[str, Any], keep: Any) -> None:
    """The rows of the symbols that were traded or held, and the last one, of no symbol."""
    rows = np.union1d(keep, [len(pnl["symbol"]) - 1])
    columns = {name: column[rows] for name, column in pnl.items() if name != "symbol"}
    write_columns(folder / "pnl.parquet", {"symbol": [pnl["symbol"][i] for i in rows.tolist()]} | columns)


class _Trips:
    """Walks fills, charges and actions in bus order, writes the trades and counts what they say."""

    def __init__(self, path: Path, universe: Universe, slices: Stamps) -> None:
        self._file, self._universe, self._slices = TableFile(path), universe, slices
        self._code = {symbol: i for i, symbol in enumerate(universe.symbols)} | {"": -1}
        self._returns: list[Vector] = []
        self._spans: list[Any] = []  # (K, 2) places of the first and the last slice of each trade
        self._still_open = 0
        n = len(universe)
        self.traded, self.count, self.held = np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.int64)

    def walk(self, folder: Path, bookkeeping: Bookkeeping) -> None:
        self._trips = trips = RoundTrips(self._universe, bookkeeping)
        others = heapq.merge(
            self._rows(folder / "charges.parquet", _CHARGES, 0), self._rows(folder / "actions.parquet", _ACTIONS, 1)
        )
        other = next(others, None)
        for batch in _batches(folder / "fills.parquet", _FILLS):
            ts, symbol = batch["ts"], self._codes(batch["symbol"])
            value = np.abs(batch["quantity"]) * batch["price"] * self._universe.multiplier[symbol] * batch["rate"]
            self.traded += np.bincount(symbol, weights=value, minlength=len(self.traded))
            columns = [c.tolist() for c in (ts, symbol, *(batch[k] for k in ("quantity", "price", "fee", "at")))]
            start = 0
            while other is not None and (stop := _before(ts, other)) < len(ts):
                self._fill(columns, start, stop)
                _apply(trips, other)
                start, other = stop, next(others, None)
            self._fill(columns, start, len(ts))
        while other is not None:
            _apply(trips, other)
            other = next(others, None)
        self._flush()

    def _fill(self, columns: Sequence[list[Any]], start: int, stop: int) -> None:
        fill = self._trips.fill
        for row in zip(*(column[start:stop] for column in columns), strict=True):
            fill(*row)
        if len(self._trips.closed) >= _ROWS_MAX:
            self._flush()

    def _codes(self, symbols: Any) -> Any:
        """Positions in the universe of a column of text."""
        column = symbols.combine_chunks().dictionary_encode()
        own = np.array([self._code[name] for name in column.dictionary.to_pylist()], np.int32)
        return own[column.indices.to_numpy()] if len(own) else np.empty(0, np.int32)

    def _rows(self, path: Path, names: Sequence[str], rank: int) -> Iterator[tuple[Any, ...]]:
        """(ts, rank, place, values ...) of each row: charges come before the fills of their instant, actions after."""
        count = 0
        for batch in _batches(path, names):
            columns = []
            for name in names[1:]:
                column = batch[name]
                if name in ("symbol", "successor"):
                    column = self._codes(column)
                elif name == "kind":
                    column = np.array([ActionKind[kind.upper()] for kind in column.to_pylist()], np.int32)
                columns.append(column.tolist())
            for row in zip(batch["ts"].tolist(), *columns, strict=True):
                count += 1
                yield (row[0], rank, count, *row[1:])

    def finish(self, mark: Vector) -> None:
        """Writes the trades that have not ended and closes the file."""
        self._flush()
        left = self._trips.still_open(mark)
        self._still_open = len(left)
        self._write(left)
        self._file.close()

    def _flush(self) -> None:
        if self._trips.closed:
            self._write(self._trips.closed)
            self._trips.closed.clear()

    def _write(self, trades: Sequence[Trade]) -> None:
        columns: dict[str, Any] = {
            name: np.array([getattr(trade, name) for trade in trades], kind) for name, kind in _KINDS.items()
        }
        begun = np.searchsorted(self._slices, columns["opened_ts"], side="right") - 1
        ended = np.searchsorted(self._slices, columns["closed_ts"], side="right") - 1
        over = columns["closed_ts"] != 0
        ended = np.where(over, ended, len(self._slices) - 1)
        self._spans.append(np.column_stack([begun, ended]))
        self._returns.append(columns["share"][over])
        np.add.at(self.count, columns["symbol"], 1)
        np.add.at(self.held, columns["symbol"], ended - begun)
        self._file.write(_table(columns, ended - begun, self._universe.symbols))

    def said(self) -> Traded:
        spans = np.concatenate(self._spans)
        closed = np.concatenate(self._returns)
        held = (spans[:, 1] - spans[:, 0])[: len(closed)].astype(np.float64)  # the open ones come last
        share = exposure(spans[:, 0], spans[:, 1], len(self._slices))
        return Traded(trade_figures(closed, held), share, self._still_open)


_KINDS: dict[str, Any] = {
    name: np.int64 if kind is int else np.float64 for name, kind in Trade.__annotations__.items()
} | {"symbol": np.int32}


def _table(columns: dict[str, Any], slices: Any, symbols: Sequence[str]) -> Any:
    import pyarrow as pa

    closed = pa.array(columns["closed"], mask=columns["closed_ts"] == 0).cast(pa.timestamp("ns", tz="UTC"))
    return pa.table(
        {
            "symbol": named(columns["symbol"], symbols),
            "side": named((columns["side"] > 0).astype(np.int32), _SIDES),
            "opened": stamps(columns["opened"]),
            "closed": closed,
            "quantity": columns["quantity"],
            "entry": columns["entry"],
            "exit": columns["exit"],
            "gross": columns["gross"],
            "fees": columns["fees"],
            "borrow": columns["borrow"],
            "income": columns["income"],
            "net": columns["net"],
            "return": columns["share"],
            "slices": slices,
        }
    )


def _batches(path: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The columns of each row group: numbers and instants as arrays, text as Arrow has it. None where no file is."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        return
    with pq.ParquetFile(path) as file:
        for i in range(file.num_row_groups):
            table = file.read_row_group(i, columns=list(names))
            columns = {}
            for name in names:
                column = table[name]
                if pa.types.is_timestamp(column.type):
                    column = column.cast(pa.int64())
                columns[name] = column if pa.types.is_string(column.type) else column.to_numpy()
            yield columns


def _before(ts: Stamps, other: tuple[Any, ...]) -> int:
    """How many of these fills come before a charge (rank 0) or an action (rank 1)."""
    return int(np.searchsorted(ts, other[0], side="right" if other[1] else "left"))


def _apply(trips: RoundTrips, other: tuple[Any, ...]) -> None:
    if other[1] == 0:
        _, _, _, symbol, amount = other
        trips.charge(symbol, amount)
    else:
        ts, _, _, kind, symbol, ratio, amount, successor, price = other
        trips.act(ts, kind, (symbol, successor), ratio, amount, price)
