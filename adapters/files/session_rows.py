"""Events of a session directory's tables as Arrow tables."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from engine.events import (
    FEE_KINDS,
    ActionKind,
    Actions,
    ChargeKind,
    Charges,
    Fills,
    Ids,
    LegAction,
    OrderKind,
    Orders,
    Refusals,
    Signal,
    Target,
    TimeInForce,
    Vector,
)
from engine.universe import Universe


class Fill(msgspec.Struct, frozen=True, eq=False):
    """Fills and, for each of them, the volume of its bar (NaN = unknown) and the rate of its currency."""

    fills: Fills
    volume: Vector
    rate: Vector


class Action(msgspec.Struct, frozen=True, eq=False):
    """Actions and, for each of them, the price at which it pays out a fraction of a lot, or a whole position."""

    actions: Actions
    price: Vector


def orders(events: Sequence[Orders], universe: Universe) -> Any:
    import pyarrow as pa

    return pa.table(
        {
            "ts": stamps(_each_ts(events)),
            "order_id": hexadecimal(_joined(events, "ids", np.uint64)),
            "symbol": named(_joined(events, "symbol", np.int32), universe.symbols),
            "quantity": _joined(events, "qty", np.float64),
            "action": named(_joined(events, "action", np.int32), _lower(LegAction)),
            "kind": named(_joined(events, "kind", np.int32), _lower(OrderKind)),
            "limit": _joined(events, "limit", np.float64),
            "stop": _joined(events, "stop", np.float64),
            "time_in_force": named(_joined(events, "tif", np.int32), _lower(TimeInForce)),
            "ref": hexadecimal(_joined(events, "ref", np.uint64)),
            "trail": _joined(events, "trail", np.float64),
        }
    )


def fills(events: Sequence[Fill], universe: Universe) -> Any:
    import pyarrow as pa

    made = [event.fills for event in events]
    symbol, qty = _joined(made, "symbol", np.int32), _joined(made, "qty", np.float64)
    price, reference = _joined(made, "price", np.float64), _joined(made, "reference", np.float64)
    fees = np.concatenate([np.empty((0, len(FEE_KINDS))), *(event.fees for event in made)])
    volume = np.concatenate([np.empty(0), *(event.volume for event in events)])
    with np.errstate(divide="ignore", invalid="ignore"):
        participation = np.where(volume > 0, np.abs(qty) / volume, np.nan)
    return pa.table(
        {
            "ts": stamps(_each_ts(made)),
            "order_id": hexadecimal(_joined(made, "order_ids", np.uint64)),
            "symbol": named(symbol, universe.symbols),
            "quantity": qty,
            "price": price,
            "fee": fees.sum(axis=1),
            "reference": reference,
            "at": stamps(_joined(made, "at", np.int64)),
            "exec_id": hexadecimal(_joined(made, "exec_ids", np.uint64)),
            **{kind: fees[:, k] for k, kind in enumerate(FEE_KINDS)},
            "slippage": qty * (price - reference) * universe.multiplier[symbol],
            "participation": participation,
            "rate": np.concatenate([np.empty(0), *(event.rate for event in events)]),
        }
    )


def refusals(events: Sequence[Refusals], universe: Universe) -> Any:
    import pyarrow as pa

    return pa.table(
        {
            "ts": stamps(_each_ts(events)),
            "order_id": hexadecimal(_joined(events, "ids", np.uint64)),
            "symbol": named(_joined(events, "symbol", np.int32), universe.symbols),
            "quantity": _joined(events, "qty", np.float64),
            "by": pa.array([event.by for event in events for _ in event.rule], pa.string()),
            "rule": pa.array([rule for event in events for rule in event.rule], pa.string()),
            "value": _joined(events, "value", np.float64),
            "threshold": _joined(events, "threshold", np.float64),
        }
    )


def signals(events: Sequence[Signal], universe: Universe) -> Any:
    import pyarrow as pa

    columns, rows = _opinions(events, universe)
    asof = np.repeat(np.array([event.asof for event in events], np.int64), rows)
    return pa.table(columns | {"asof": stamps(asof)})


def targets(events: Sequence[Target], universe: Universe) -> Any:
    import pyarrow as pa

    columns, rows = _opinions(events, universe)
    kinds = sorted({str(event.kind) for event in events})
    place = np.array([kinds.index(str(event.kind)) for event in events], np.int32)
    return pa.table(columns | {"kind": named(np.repeat(place, rows), kinds)})


def charges(events: Sequence[Charges], universe: Universe) -> Any:
    import pyarrow as pa

    return pa.table(
        {
            "ts": stamps(_each_ts(events)),
            "kind": named(_joined(events, "kind", np.int32), _lower(ChargeKind)),
            "symbol": named(_joined(events, "symbol", np.int32), universe.symbols),
            "currency": named(_joined(events, "currency", np.int32), universe.currencies),
            "amount": _joined(events, "amount", np.float64),
        }
    )


def actions(events: Sequence[Action], universe: Universe) -> Any:
    import pyarrow as pa

    done = [event.actions for event in events]
    kind = _joined(done, "kind", np.int32)
    successor = np.where(kind == ActionKind.SYMBOL_CHANGE, _joined(done, "successor", np.int32), np.int32(-1))
    return pa.table(
        {
            "ts": stamps(_each_ts(done)),
            "kind": named(kind, _lower(ActionKind)),
            "symbol": named(_joined(done, "symbol", np.int32), universe.symbols),
            "ratio": _joined(done, "ratio", np.float64),
            "amount": _joined(done, "amount", np.float64),
            "pay_at": stamps(_joined(done, "pay_at", np.int64), none=0),
            "successor": named(successor, universe.symbols),
            "price": np.concatenate([np.empty(0), *(event.price for event in events)]),
        }
    )


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
        "ts": stamps(np.repeat(ts, rows)),
        "source": named(np.repeat(place, rows), sources),
        "symbol": named(symbol.astype(np.int32), universe.symbols),
        "value": value[known],
    }
    return columns, rows


def _each_ts(events: Sequence[Any]) -> Any:
    return np.repeat([e.ts for e in events], [len(e.symbol) for e in events]) if events else np.empty(0, np.int64)


def _joined(events: Sequence[Any], name: str, kind: Any) -> Any:
    return np.concatenate([getattr(event, name) for event in events]) if events else np.empty(0, kind)


def _lower(kind: Any) -> list[str]:
    return [member.name.lower() for member in kind]


def stamps(ts: Any, none: int | None = None) -> Any:
    """Instants of UTC ns; null for the value that stands for none."""
    import pyarrow as pa

    mask = None if none is None else ts == none
    return pa.array(ts.astype(np.int64), pa.int64(), mask=mask).cast(pa.timestamp("ns", tz="UTC"))


def named(codes: Any, names: Sequence[str]) -> Any:
    """The names of codes; the empty text for a code that has none, such as the symbol of an order refused for it."""
    import pyarrow as pa

    outside = (codes < 0) | (codes >= len(names))
    if outside.any():
        codes, names = np.where(outside, len(names), codes), [*names, ""]
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(list(names), pa.string()))


def hexadecimal(ids: Ids) -> Any:
    """16 hexadecimal digits each; the empty text for 0, which means none."""
    import pyarrow as pa

    if not ids.any():
        return pa.array([""] * len(ids), pa.string())
    text = ids.astype(">u8").tobytes().hex().encode()
    if not ids.all():
        return pa.array(["" if i == 0 else f"{i:016x}" for i in ids.tolist()], pa.string())
    offsets = np.arange(0, 16 * len(ids) + 1, 16, dtype=np.int32)
    return pa.StringArray.from_buffers(len(ids), pa.py_buffer(offsets), pa.py_buffer(text))
