"""The tables of a session directory, written as the events come."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from math import nan
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from adapters.files import session_rows as rows
from engine.events import (
    ActionKind,
    Actions,
    Bars,
    Book,
    Charges,
    Event,
    Fills,
    Orders,
    Reference,
    Refusals,
    Signal,
    Target,
    Vector,
)
from engine.universe import Universe

ROWS_MAX = 65_536  # rows that wait before they are written as one row group
_ROUTES: MappingProxyType[type[Any], str] = MappingProxyType(
    {
        Orders: "orders",
        Fills: "fills",
        Refusals: "refusals",
        Signal: "signals",
        Target: "targets",
        Charges: "charges",
        Actions: "actions",
    }
)
FILES = tuple(_ROUTES.values())
_BUILD: MappingProxyType[str, Callable[[Sequence[Any], Universe], Any]] = MappingProxyType(
    {
        "orders": rows.orders,
        "fills": rows.fills,
        "refusals": rows.refusals,
        "signals": rows.signals,
        "targets": rows.targets,
        "charges": rows.charges,
        "actions": rows.actions,
    }
)


class SessionDir:
    """Writes orders, fills, refusals, signals, targets, charges and actions as Parquet files into `directory`.

    orders    ts, order_id, symbol, quantity, action, kind, limit, stop, time_in_force, ref (the order it speaks of),
              trail
    fills     ts, order_id, symbol, quantity, price, fee, reference, at (the instant of the fill), exec_id,
              commission, exchange, tax, slippage, participation (of the bar's volume), rate
    refusals  ts, order_id, symbol, quantity, by, rule, value, threshold
    signals   ts, source, symbol, value, asof
    targets   ts, source, symbol, value, kind
    charges   ts, kind, symbol (empty = of none), currency, amount (negative = paid)
    actions   ts, kind, symbol, ratio, amount, pay_at, successor, price (of the fractions it pays out)

    Times are UTC ns, symbols text, ids 16 hexadecimal digits (empty = none), quantities signed shares, fees and
    slippage in the symbol's currency, `rate` the base currency for one unit of it. A NaN signal or target, which says
    nothing, has no row; every other event has its rows in bus order. Memory: the arrays of at most 65,536 rows a
    file. Files are complete once `aclose` has returned.
    """

    def __init__(self, *, directory: Path, universe: Universe) -> None:
        self._directory, self._universe = directory, universe
        self._parts = {name: _Part(directory / f"{name}.parquet") for name in FILES}
        self._interval_ns = 0  # the finest that was seen
        self._volume, self._mark = np.full(len(universe), nan), np.full(len(universe), nan)
        self._rate: Vector | None = None  # (N,) where there are several currencies

    async def write(self, event: Event, /) -> None:
        name = _ROUTES.get(event.__class__)
        if name is None:
            self._remember(event)
            return
        count = len(event.value) if isinstance(event, Signal | Target) else len(event.symbol)  # type: ignore[union-attr]
        if not count:
            return
        part = self._parts[name]
        part.events.append(self._completed(event))
        part.rows += count
        if part.rows >= ROWS_MAX:
            await asyncio.to_thread(self._flush, name)

    def _remember(self, event: Event) -> None:
        """What fills and actions are written with: the volume of the bar, the marks, the rates."""
        if isinstance(event, Bars):
            if not self._interval_ns or event.interval_ns <= self._interval_ns:
                self._interval_ns, self._volume = event.interval_ns, event.volume
        elif isinstance(event, Book):
            self._mark = event.mark
        elif isinstance(event, Reference) and event.name == "rates":
            self._rate = event.value[self._universe.currency, 0]

    def _completed(self, event: Event) -> Any:
        if isinstance(event, Fills):
            rate = np.ones(len(event.symbol)) if self._rate is None else self._rate[event.symbol]
            return rows.Fill(event, self._volume[event.symbol], rate)
        return rows.Action(event, self._prices(event)) if isinstance(event, Actions) else event

    def _prices(self, actions: Actions) -> Vector:
        """What a fraction that each action leaves is paid out at, and a position that is delisted closed at."""
        mark, found = self._mark.copy(), np.full(len(actions.symbol), nan)
        for i, (kind, s) in enumerate(zip(actions.kind.tolist(), actions.symbol.tolist(), strict=True)):
            if kind == ActionKind.SPLIT:
                mark[s] /= actions.ratio[i]
                found[i] = mark[s]
            elif kind == ActionKind.DELISTING:
                found[i] = actions.amount[i]
            elif kind == ActionKind.SYMBOL_CHANGE:
                new = int(actions.successor[i])
                if np.isnan(mark[new]):
                    mark[new] = mark[s] / actions.ratio[i]
                found[i] = mark[new]
        return found

    async def aclose(self) -> None:
        await asyncio.to_thread(self._close)

    def _flush(self, name: str) -> None:
        part = self._parts[name]
        part.file.write(_BUILD[name](part.events, self._universe))
        part.events, part.rows = [], 0

    def _close(self) -> None:
        for name, part in self._parts.items():
            if part.events or not part.file.begun:
                self._flush(name)
            part.file.close()


class _Part:
    """One file and the events that wait for their row group."""

    def __init__(self, path: Path) -> None:
        self.file = TableFile(path)
        self.events: list[Any] = []
        self.rows = 0


class TableFile:
    """A Parquet file that grows by whole Arrow tables of one schema. What comes after `close` is passed over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None
        self._closed = False

    @property
    def begun(self) -> bool:
        return self._writer is not None

    def write(self, table: Any) -> None:
        import pyarrow.parquet as pq

        if self._closed:
            return
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._path, table.schema, **_options(table.schema))
        self._writer.write_table(table, row_group_size=2 * ROWS_MAX)

    def close(self) -> None:
        if self._writer is not None and not self._closed:
            self._writer.close()
        self._closed = True


def _options(schema: Any) -> dict[str, Any]:
    """Text is repeated, so it gets a dictionary; numbers seldom are. Without Arrow's own schema text reads as text."""
    text = [field.name for field in schema if str(field.type).startswith(("dictionary", "string"))]
    return {"compression": "zstd", "use_dictionary": text, "store_schema": False}


def write_columns(path: Path, columns: Mapping[str, Any]) -> None:
    """Writes named columns of one length as a Parquet file; `ts` (int64) as UTC ns.

    For equity.parquet, ic.parquet and pnl.parquet. The file appears whole or not at all.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {name: rows.stamps(np.asarray(c)) if name == "ts" else column_of(c) for name, c in columns.items()}
    if "source" in arrays:
        arrays["source"] = arrays["source"].cast(pa.string())
    table = pa.table(arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    pq.write_table(table, part, **_options(table.schema))
    part.replace(path)


def column_of(values: Any) -> Any:
    """A column of these values; lists hold texts, so that one without rows is a column of texts too."""
    import pyarrow as pa

    return pa.array([], pa.string()) if isinstance(values, list) and not values else pa.array(values)


def write_equity(path: Path, columns: Mapping[str, Any]) -> None:
    """Writes the rows of a session: ts, equity, cash, gross, net, turnover, cost, benchmark, and costs by kind."""
    write_columns(path, columns)
