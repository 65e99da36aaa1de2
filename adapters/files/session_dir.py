"""The tables of a session directory, written as the events come."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.events import (
    Event,
    Fills,
    Ids,
    LegAction,
    OrderKind,
    Orders,
    Refusals,
    Signal,
    Target,
    TimeInForce,
)
from engine.universe import Universe

ROWS_MAX = 65_536  # rows that wait before they are written as one row group
FILES = ("orders", "fills", "refusals", "signals", "targets")


class SessionDir:
    """Writes orders, fills, refusals, signals and targets as Parquet files into `directory`.

    orders    ts, order_id, symbol, quantity, action, kind, limit, stop, time_in_force, ref (the order it speaks of)
    fills     ts, order_id, symbol, quantity, price, fee, reference, at (the instant of the fill), exec_id
    refusals  ts, order_id, symbol, quantity, by, rule, value, threshold
    signals   ts, source, symbol, value, asof
    targets   ts, source, symbol, value, kind

    Times are UTC ns, symbols text, ids 16 hexadecimal digits (empty = none), quantities signed shares, fees in the
    symbol's currency. A NaN signal or target, which says nothing, has no row; every other event has its rows in bus
    order. Memory: the arrays of at most 65,536 rows a file. Files are complete once `aclose` has returned.
    """

    def __init__(self, *, directory: Path, universe: Universe) -> None:
        self._directory = directory
        self._parts = {name: _Part(directory / f"{name}.parquet") for name in FILES}
        build: dict[str, Callable[[list[Any]], Any]] = {
            "orders": lambda events: _orders(events, universe),
            "fills": lambda events: _fills(events, universe),
            "refusals": lambda events: _refusals(events, universe),
            "signals": lambda events: _signals(events, universe),
            "targets": lambda events: _targets(events, universe),
        }
        self._build = build
        self._routes: dict[type[Any], str] = {
            Orders: "orders",
            Fills: "fills",
            Refusals: "refusals",
            Signal: "signals",
            Target: "targets",
        }

    async def write(self, event: Event, /) -> None:
        name = self._routes.get(event.__class__)
        if name is None:
            return
        rows = len(event.value) if isinstance(event, Signal | Target) else len(event.symbol)  # type: ignore[union-attr]
        if not rows:
            return
        part = self._parts[name]
        part.events.append(event)
        part.rows += rows
        if part.rows >= ROWS_MAX:
            await asyncio.to_thread(self._flush, name)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._close)

    def _flush(self, name: str) -> None:
        part = self._parts[name]
        part.write(self._build[name](part.events))
        part.events, part.rows = [], 0

    def _close(self) -> None:
        for name, part in self._parts.items():
            if part.events or part.writer is None:
                self._flush(name)
            part.close()


class _Part:
    """One file and the events that wait for their row group."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer: Any = None
        self.events: list[Any] = []
        self.rows = 0
        self._closed = False

    def write(self, table: Any) -> None:
        import pyarrow.parquet as pq

        if self._closed:
            return
        if self.writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            options = _options(table.schema)
            self.writer = pq.ParquetWriter(self.path, table.schema, **options)
        self.writer.write_table(table, row_group_size=2 * ROWS_MAX)

    def close(self) -> None:
        if self.writer is not None and not self._closed:
            self.writer.close()
        self._closed = True


def _options(schema: Any) -> dict[str, Any]:
    """Text is repeated, so it gets a dictionary; numbers seldom are. Without Arrow's own schema text reads as text."""
    text = [field.name for field in schema if str(field.type).startswith(("dictionary", "string"))]
    return {"compression": "zstd", "use_dictionary": text, "store_schema": False}


def write_columns(path: Path, columns: Mapping[str, Any]) -> None:
    """Writes named columns of one length as a Parquet file; `ts` (int64) as UTC ns.

    For equity.parquet and ic.parquet. The file appears whole or not at all.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {name: _stamps(np.asarray(c)) if name == "ts" else pa.array(c) for name, c in columns.items()}
    if "source" in arrays:
        arrays["source"] = arrays["source"].cast(pa.string())
    table = pa.table(arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    pq.write_table(table, part, **_options(table.schema))
    part.replace(path)


def write_equity(path: Path, columns: Mapping[str, Any]) -> None:
    """Writes the rows of a session: ts, equity, cash, gross, net, turnover, cost, benchmark, and costs by kind."""
    write_columns(path, columns)


def _orders(events: Sequence[Orders], universe: Universe) -> Any:
    import pyarrow as pa

    return pa.table(
        {
            "ts": _stamps(_each_ts(events)),
            "order_id": _hex(_joined(events, "ids", np.uint64)),
            "symbol": _named(_joined(events, "symbol", np.int32), universe.symbols),
            "quantity": _joined(events, "qty", np.float64),
            "action": _named(_joined(events, "action", np.int32), _lower(LegAction)),
            "kind": _named(_joined(events, "kind", np.int32), _lower(OrderKind)),
            "limit": _joined(events, "limit", np.float64),
            "stop": _joined(events, "stop", np.float64),
            "time_in_force": _named(_joined(events, "tif", np.int32), _lower(TimeInForce)),
            "ref": _hex(_joined(events, "ref", np.uint64)),
        }
    )


def _fills(events: Sequence[Fills], universe: Universe) -> Any:
    import pyarrow as pa

    fees = [event.fees.sum(axis=1) for event in events]
    return pa.table(
        {
            "ts": _stamps(_each_ts(events)),
            "order_id": _hex(_joined(events, "order_ids", np.uint64)),
            "symbol": _named(_joined(events, "symbol", np.int32), universe.symbols),
            "quantity": _joined(events, "qty", np.float64),
            "price": _joined(events, "price", np.float64),
            "fee": np.concatenate([np.empty(0), *fees]),
            "reference": _joined(events, "reference", np.float64),
            "at": _stamps(_joined(events, "at", np.int64)),
            "exec_id": _hex(_joined(events, "exec_ids", np.uint64)),
        }
    )


def _refusals(events: Sequence[Refusals], universe: Universe) -> Any:
    import pyarrow as pa

    return pa.table(
        {
            "ts": _stamps(_each_ts(events)),
            "order_id": _hex(_joined(events, "ids", np.uint64)),
            "symbol": _named(_joined(events, "symbol", np.int32), universe.symbols),
            "quantity": _joined(events, "qty", np.float64),
            "by": pa.array([event.by for event in events for _ in event.rule], pa.string()),
            "rule": pa.array([rule for event in events for rule in event.rule], pa.string()),
            "value": _joined(events, "value", np.float64),
            "threshold": _joined(events, "threshold", np.float64),
        }
    )


def _signals(events: Sequence[Signal], universe: Universe) -> Any:
    import pyarrow as pa

    columns, rows = _opinions(events, universe)
    asof = np.repeat(np.array([event.asof for event in events], np.int64), rows)
    return pa.table(columns | {"asof": _stamps(asof)})


def _targets(events: Sequence[Target], universe: Universe) -> Any:
    import pyarrow as pa

    columns, rows = _opinions(events, universe)
    kinds = sorted({str(event.kind) for event in events})
    place = np.array([kinds.index(str(event.kind)) for event in events], np.int32)
    return pa.table(columns | {"kind": _named(np.repeat(place, rows), kinds)})


def _opinions(events: Sequence[Signal] | Sequence[Target], universe: Universe) -> tuple[dict[str, Any], Any]:
    """ts, source, symbol and value of every value that is not NaN, and how many rows each event has."""
    n = len(universe)
    value = np.concatenate([event.value for event in events]) if events else np.empty(0)
    known = ~np.isnan(value)
    rows = np.count_nonzero(known.reshape(len(events), n), axis=1)
    sources = sorted({event.source for event in events})
    place = np.array([sources.index(event.source) for event in events], np.int32)
    ts = np.array([event.ts for event in events], np.int64)
    symbol = np.flatnonzero(known) % n
    columns = {
        "ts": _stamps(np.repeat(ts, rows)),
        "source": _named(np.repeat(place, rows), sources),
        "symbol": _named(symbol.astype(np.int32), universe.symbols),
        "value": value[known],
    }
    return columns, rows


def _each_ts(events: Sequence[Any]) -> Any:
    return np.repeat([e.ts for e in events], [len(e.symbol) for e in events]) if events else np.empty(0, np.int64)


def _joined(events: Sequence[Any], name: str, kind: Any) -> Any:
    return np.concatenate([getattr(event, name) for event in events]) if events else np.empty(0, kind)


def _lower(kind: Any) -> list[str]:
    return [member.name.lower() for member in kind]


def _stamps(ts: Any) -> Any:
    import pyarrow as pa

    return pa.array(ts.astype(np.int64), pa.int64()).cast(pa.timestamp("ns", tz="UTC"))


def _named(codes: Any, names: Sequence[str]) -> Any:
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(list(names), pa.string()))


def _hex(ids: Ids) -> Any:
    """16 hexadecimal digits each; the empty text for 0, which means none."""
    import pyarrow as pa

    if not ids.any():
        return pa.array([""] * len(ids), pa.string())
    text = ids.astype(">u8").tobytes().hex().encode()
    if not ids.all():
        return pa.array(["" if i == 0 else f"{i:016x}" for i in ids.tolist()], pa.string())
    offsets = np.arange(0, 16 * len(ids) + 1, 16, dtype=np.int32)
    return pa.StringArray.from_buffers(len(ids), pa.py_buffer(offsets), pa.py_buffer(text))
