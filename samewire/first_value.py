"""The first value in which two events of one type differ, bit for bit."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

import msgspec
import numpy as np

from engine.event_columns import PLANS
from engine.events import Event
from engine.ids import id_text
from engine.state import encode_hook
from samewire.first_row import NOTHING, first_row

_BY_SYMBOL = ("Bars", "Features", "Signal", "Target", "Book")  # rows of their columns are symbols where there are N
_IDS = ("ids", "ref", "parent", "exec_ids", "order_ids")
_encoder = msgspec.msgpack.Encoder(enc_hook=encode_hook)


class Value(msgspec.Struct, frozen=True, eq=False):
    """Where two events differ, and both values. `symbol` is empty where the value is of none."""

    field: str
    symbol: str
    one: Any
    two: Any
    column: int = -1  # of a matrix


def first_value(
    one: Event, two: Event, symbols: Sequence[str], beside: tuple[Iterable[Event], Iterable[Event]] = ((), ())
) -> Value | None:
    """In the order of the type's fields; None where every bit is the same.

    Columns of different lengths are told by the first row that one of them lacks: the order, and what became of it
    in the events `beside` each. Other arrays that differ in dtype or shape are told by those.
    """
    plan = PLANS[one.__class__]
    for name in plan.kind.__struct_fields__:
        found = _plain(name, one, two) if name in plan.plain else _arrays(name, one, two, symbols)
        if found is not None:
            return _of_rows(found, (one, two), symbols, beside) or found
    return None


def _of_rows(
    found: Value,
    both: tuple[Any, Any],
    symbols: Sequence[str],
    beside: tuple[Iterable[Event], Iterable[Event]],
) -> Value | None:
    """What is said instead of the lengths of two columns; None where they are the same, or no row is missing."""
    outer, _, inner = found.field.rpartition(".")
    holders: list[Any] = [getattr(event, outer, None) if outer else event for event in both]
    columns: list[Any] = [getattr(holder, inner, None) for holder in holders]
    if any(column is None or not isinstance(column, np.ndarray | tuple) for column in columns):
        return None
    if len(columns[0]) == len(columns[1]):
        return None
    row = first_row(holders[0], holders[1], beside)
    if row is not None:
        field, place, one, two = row
        return Value(f"{outer}.{field}" if outer else field, _named_at(place, symbols), one, two)
    return _by_place(found, holders, symbols)


def _by_place(found: Value, holders: Sequence[Any], symbols: Sequence[str]) -> Value | None:
    """Of columns with a symbol a row: the first symbol that is another, or that the shorter one lacks."""
    codes: list[Any] = [getattr(holder, "symbol", None) for holder in holders]
    if not all(isinstance(column, np.ndarray) and column.ndim == 1 for column in codes):
        return None
    for a, b in zip_longest(*(column.tolist() for column in codes)):
        if a != b:
            one, two = (NOTHING if place is None else _named_at(place, symbols) or place for place in (a, b))
            return Value("symbol", _named_at(b if a is None else a, symbols), one, two)
    return None


def _named_at(place: int, symbols: Sequence[str]) -> str:
    return symbols[place] if 0 <= place < len(symbols) else ""


def _plain(name: str, one: Event, two: Event) -> Value | None:
    a, b = getattr(one, name), getattr(two, name)
    return None if _encoder.encode(a) == _encoder.encode(b) else Value(name, "", a, b)


def _arrays(field: str, one: Event, two: Event, symbols: Sequence[str]) -> Value | None:
    for (name, a), (other, b) in zip_longest(_named(field, one), _named(field, two), fillvalue=("", None)):
        if a is None and b is None:
            continue
        if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
            return Value(name or other, "", _length(a), _length(b))
        if a.tobytes() != b.tobytes():
            return _in_column(one, name, (a, b), symbols)
    return None


def _named(field: str, event: Event) -> Iterator[tuple[str, Any]]:
    """The arrays of a field by name: those of a nested struct with a dot, those of a tuple by place."""
    value = getattr(event, field)
    if isinstance(value, msgspec.Struct):
        yield from ((f"{field}.{name}", getattr(value, name)) for name in value.__struct_fields__)
    elif isinstance(value, tuple):
        yield from ((f"{field}[{place}]", each) for place, each in enumerate(value))
    else:
        yield field, value


def _in_column(event: Event, name: str, both: tuple[Any, Any], symbols: Sequence[str]) -> Value:
    width = both[0].dtype.itemsize
    bits = [np.frombuffer(each.tobytes(), np.uint8).reshape(-1, width) for each in both]
    flat = int((bits[0] != bits[1]).any(axis=1).argmax())
    at = [int(k) for k in np.unravel_index(flat, both[0].shape)] or [0]
    one, two = (_shown(name, each.reshape(-1)[flat]) for each in both)
    return Value(name, _symbol(event, name, at[0], symbols), one, two, at[1] if len(at) > 1 else -1)


def _length(array: Any) -> str:
    return "absent" if array is None else f"{array.dtype} of shape {tuple(array.shape)}"


def _shown(name: str, value: Any) -> Any:
    """A value as it is read: ids in hexadecimal digits."""
    return id_text(value.item()) if name.rpartition(".")[2] in _IDS else value.item()


def _symbol(event: Any, name: str, row: int, symbols: Sequence[str]) -> str:
    """The symbol that a row of a column speaks of."""
    codes = event.open_orders.symbol if name.startswith("open_orders.") else getattr(event, "symbol", None)
    if codes is not None:
        place = int(codes[row]) if row < len(codes) else -1
    elif event.__class__.__name__ in _BY_SYMBOL and len(_column(event, name)) == len(symbols):
        place = row
    else:
        place = -1
    return _named_at(place, symbols)


def _column(event: Any, name: str) -> Any:
    return event.extra[0] if name.startswith("extra[") else getattr(event, name)
