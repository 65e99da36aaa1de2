"""Events as rows of plain values: one a leg or symbol where the event has columns, else one an event."""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import Any

import numpy as np

from engine.events import (
    ActionKind,
    Actions,
    Approved,
    Bars,
    Book,
    ChargeKind,
    Charges,
    Children,
    Control,
    Event,
    Features,
    Fills,
    Late,
    LegAction,
    Note,
    OrderKind,
    Orders,
    OrderState,
    Reference,
    Refusals,
    Reports,
    Signal,
    Status,
    Target,
    TimeInForce,
    Timer,
    Watermark,
)
from engine.ids import id_text

TOPICS: MappingProxyType[str, tuple[type[Any], ...]] = MappingProxyType(
    {
        "actions": (Actions,),
        "approved": (Approved,),
        "bars": (Bars,),
        "books": (Book,),
        "charges": (Charges,),
        "children": (Children,),
        "controls": (Control,),
        "fills": (Fills,),
        "late": (Late,),
        "notes": (Note,),
        "orders": (Orders,),
        "references": (Reference,),
        "refusals": (Refusals,),
        "reports": (Reports,),
        "signals": (Signal,),
        "targets": (Target,),
        "timers": (Timer,),
        "watermarks": (Watermark,),
        "all": (object,),
    }
)
_LEGS: tuple[tuple[str, type[IntEnum]], ...] = (("action", LegAction), ("kind", OrderKind), ("tif", TimeInForce))
_CODES: MappingProxyType[type[Any], tuple[tuple[str, type[IntEnum]], ...]] = MappingProxyType(
    {
        Orders: _LEGS,
        Children: _LEGS,
        Approved: _LEGS,
        Actions: (("kind", ActionKind),),
        Reports: (("state", OrderState),),
        Charges: (("kind", ChargeKind),),
        Bars: (("status", Status),),
    }
)
_OPINIONS = (Signal, Target)
_STAMPS = ("at", "settles", "pay_at", "expires", "asof", "opened", "due", "slice_ts")
_IDS = ("ids", "ref", "parent", "exec_ids", "order_ids")
_MONEY = ("cash", "unsettled", "rate", "interest")  # of a book, by currency


def stamp(ns: int) -> str:
    """UTC ns as text, without what is zero.

    >>> stamp(1_514_926_800_000_000_000), stamp(1), stamp(0)
    ('2018-01-02T21:00:00Z', '1970-01-01T00:00:00.000000001Z', '')
    """
    if not ns:
        return ""
    text = str(np.datetime64(int(ns), "ns"))
    whole, _, part = text.partition(".")
    return f"{whole}.{part}Z" if part.strip("0") else f"{whole}Z"


def rows(event: Event, symbols: Sequence[str], only: int | None = None) -> Iterator[dict[str, Any]]:
    """The rows of one event. `only` keeps those of the symbol at this position of the universe.

    A NaN is None. Symbols about which a signal or target says nothing have no row. Features have one row an event:
    their values are not in a journal.
    """
    if isinstance(event, Features | Reference):
        if only is None:
            yield {"ts": stamp(event.ts), **_scalars(event)}
    elif isinstance(event, Bars | Signal | Target):
        yield from _by_symbol(event, symbols, only)
    elif isinstance(event, Book):
        yield from _book(event, symbols, only)
    elif isinstance(getattr(event, "symbol", None), np.ndarray) and (len(event.symbol) or not isinstance(event, Note)):  # type: ignore[union-attr]
        yield from _by_leg(event, symbols, only)
    elif only is None:
        row = {"ts": stamp(event.ts), **_scalars(event)}
        values = event.value.tolist() if isinstance(event, Note) else []
        yield from ({**row, "value": _plain(value)} for value in values) if values else (row,)


def _scalars(event: Any) -> dict[str, Any]:
    found = {}
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if name != "ts" and isinstance(value, str | int | float | bool):
            found[name] = stamp(int(value)) if name in _STAMPS else _plain(value)
    return found


def _columns(event: Any, n: int) -> dict[str, Any]:
    """Columns of length n; a matrix is summed over its kinds."""
    found = {}
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if isinstance(value, np.ndarray) and len(value) == n and name != "symbol":
            found[name] = value.sum(axis=1) if value.ndim == 2 else value
        elif name == "rule":
            found[name] = value
    return found


def _cell(event: Any, name: str, value: Any) -> Any:
    codes = dict(_CODES.get(event.__class__, ()))
    if name in codes:
        return codes[name](int(value)).name.lower()
    if name in _IDS:
        return id_text(int(value)) if value else ""
    if name in _STAMPS:
        return stamp(int(value))
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and value != value else value


def _by_symbol(event: Bars | Signal | Target, symbols: Sequence[str], only: int | None) -> Iterator[dict[str, Any]]:
    scalars, columns = _scalars(event), _columns(event, len(symbols))
    for i in range(len(symbols)) if only is None else (only,):
        if isinstance(event, _OPINIONS) and np.isnan(event.value[i]):
            continue
        cells = {name: _cell(event, name, column[i]) for name, column in columns.items()}
        yield {"ts": stamp(event.ts), **scalars, "symbol": symbols[i], **cells}


def _by_leg(event: Any, symbols: Sequence[str], only: int | None) -> Iterator[dict[str, Any]]:
    scalars, columns = _scalars(event), _columns(event, len(event.symbol))
    for i, place in enumerate(event.symbol.tolist()):
        if only is None or place == only:
            cells = {name: _cell(event, name, column[i]) for name, column in columns.items()}
            if isinstance(event, Actions):
                cells["successor"] = _successor(event, i, symbols)
            known = 0 <= place < len(symbols)  # an order may have been refused because its symbol is unknown
            yield {"ts": stamp(event.ts), **scalars, "symbol": symbols[place] if known else "", **cells}


def _successor(actions: Actions, i: int, symbols: Sequence[str]) -> str:
    """The symbol that a change of symbol leads to, empty for every other action."""
    new = int(actions.successor[i])
    changes = actions.kind[i] == ActionKind.SYMBOL_CHANGE and 0 <= new < len(symbols)
    return symbols[new] if changes else ""


def _book(event: Book, symbols: Sequence[str], only: int | None) -> Iterator[dict[str, Any]]:
    """The account; with a symbol, its position."""
    if only is None:
        cash = float((event.cash * event.rate).sum())
        held = int(np.count_nonzero(event.qty))
        yield {
            "ts": stamp(event.ts),
            "equity": event.equity,
            "cash": cash,
            "unsettled": float((event.unsettled * event.rate).sum()),
            "positions": held,
            "open_orders": len(event.open_orders.ids),
            "mode": event.mode.name.lower() if hasattr(event.mode, "name") else event.mode,
        }
        return
    columns = {name: c for name, c in _columns(event, len(symbols)).items() if name not in _MONEY}
    cells = {name: _cell(event, name, column[only]) for name, column in columns.items()}
    yield {"ts": stamp(event.ts), "symbol": symbols[only], **cells}
