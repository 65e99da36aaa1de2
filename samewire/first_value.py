"""The first value in which two events of one type differ, bit for bit."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

import msgspec
import numpy as np

from engine.event_columns import PLANS
from engine.events import Event
from engine.ids import id_text
from engine.state import encode_hook

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


def first_value(one: Event, two: Event, symbols: Sequence[str]) -> Value | None:
    """In the order of the type's fields; None where every bit is the same.

    Arrays that differ in dtype or shape are told by those.
    """
    plan = PLANS[one.__class__]
    for name in plan.kind.__struct_fields__:
        found = _plain(name, one, two) if name in plan.plain else _arrays(name, one, two, symbols)
        if found is not None:
            return found
    return None


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
    return symbols[place] if 0 <= place < len(symbols) else ""


def _column(event: Any, name: str) -> Any:
    return event.extra[0] if name.startswith("extra[") else getattr(event, name)
