"""The events that the desk says, built from columns."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.events import (
    Children,
    Codes,
    Ids,
    LegAction,
    Note,
    OrderKind,
    Orders,
    OrderState,
    Reports,
    TimeInForce,
    Vector,
)

_NEW, _MARKET, _ONCE = int(LegAction.NEW), int(OrderKind.MARKET), int(TimeInForce.IMMEDIATE_OR_CANCEL)


def legs_of(ids: Ids, symbol: Codes, qty: Vector, *, action: int = _NEW) -> dict[str, Any]:
    """Columns of market orders that live for one bar."""
    count, none = len(ids), np.full(len(ids), np.nan)
    return {
        "ids": ids,
        "action": np.full(count, action, np.int32),
        "symbol": symbol,
        "qty": qty,
        "kind": np.full(count, _MARKET, np.int32),
        "limit": none,
        "stop": none,
        "trail": none,
        "tif": np.full(count, _ONCE, np.int32),
        "expires": np.zeros(count, np.int64),
    }


def children_of(ts: int, columns: Mapping[str, Any]) -> Children:
    """Children of these columns, each for all legs."""
    return Children(ts=ts, **columns)


def reports_of(ts: int, ids: Ids, symbol: Codes, state: Codes, left: Vector) -> Reports:
    """What became of these parents. The arrays are read-only from now on."""
    for column in (ids, symbol, state, left):
        column.setflags(write=False)
    return Reports(ts=ts, ids=ids, symbol=symbol, state=state, left=left)


def columns_of(orders: Orders, rows: Any) -> dict[str, Any]:
    """The columns of these legs."""
    return {name: getattr(orders, name)[rows] for name in orders.__struct_fields__ if name != "ts"}


def turned_away(orders: Orders, rows: Any, source: str) -> list[Any]:
    """What is said of orders that nobody could work: they end at once."""
    symbol, state = orders.symbol[rows], np.full(len(rows), OrderState.CANCELLED, np.int32)
    text = f"{len(rows)} orders are of no symbol of the universe, or of a quantity that is zero or not finite"
    note = Note(ts=orders.ts, source=source, kind="malformed", text=text, symbol=symbol, value=orders.qty[rows])
    return [note, reports_of(orders.ts, orders.ids[rows], symbol, state, np.zeros(len(rows)))]
