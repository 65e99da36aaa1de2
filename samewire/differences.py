"""Where a recorded event and the event that is found now differ: field, symbol and both values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from engine.event_columns import PLANS
from engine.events import Bars, Event
from engine.ids import id_text
from engine.journal import content_of, digest_of
from engine.journal_reading import Record
from engine.row_checks import differing
from engine.state import encode_hook

_BY_SYMBOL = ("Bars", "Features", "Signal", "Target", "Book")  # rows of their columns are symbols where there are N
_IDS = ("ids", "ref", "parent", "exec_ids", "order_ids")
NOT_KEPT = "not kept"
_encoder = msgspec.msgpack.Encoder(enc_hook=encode_hook)


@dataclass(frozen=True)
class Difference:
    """One difference: `seq` is the record's place in the journal, `ts` its instant. No field: of the event."""

    seq: int
    ts: int
    component: str
    event: str
    field: str
    symbol: str
    recorded: Any
    found: Any


class Pair(msgspec.Struct, frozen=True, eq=False):
    """A record and what is found in its place."""

    record: Record
    origin: str
    event: Event

    def at(self, field: str, symbol: str, recorded: Any, found: Any) -> Difference:
        ts = int(self.record.plain.get("ts", 0))
        return Difference(self.record.seq, ts, self.record.origin, self.record.kind, field, symbol, recorded, found)


def first_difference(pair: Pair, symbols: Sequence[str]) -> Difference | None:
    """Where the two differ first, in the order of the event's fields; None where every bit is the same."""
    record, event = pair.record, pair.event
    plan = PLANS[event.__class__]
    if (record.origin, record.kind) != (pair.origin, plan.name):
        return pair.at("", "", f"{record.kind} of {record.origin}", f"{plan.name} of {pair.origin}")
    values: list[Any] = msgspec.msgpack.decode(_encoder.encode(plan.values(event)))
    for name, value in zip(plan.plain, values, strict=True):
        kept = record.plain.get(name)
        if _encoder.encode(kept) != _encoder.encode(value):
            return pair.at(name, "", kept, value)
    if record.kept is not None:
        return _of_unstored(pair, symbols)
    arrays = plan.arrays(event)
    for name, array in zip(plan.columns, (*arrays, *[None] * len(plan.columns)), strict=False):
        found = _of_column(pair, name, (record.columns.get(name), array), symbols)
        if found is not None:
            return found
    tail: tuple[Any, ...] = getattr(event, plan.tail) if plan.tail else ()
    for place, each in enumerate(zip(record.tail, tail, strict=len(record.tail) == len(tail))):
        found = _of_column(pair, f"{plan.tail}[{place}]", each, symbols)
        if found is not None:
            return found
    return None if len(record.tail) == len(tail) else pair.at(plan.tail, "", len(record.tail), len(tail))


def _of_column(pair: Pair, name: str, both: tuple[Any, Any], symbols: Sequence[str]) -> Difference | None:
    kept, now = both
    if kept is None or now is None:
        return None if kept is now else pair.at(name, "", _length(kept), _length(now))
    if kept.shape != now.shape or kept.dtype != now.dtype:
        return pair.at(name, "", _length(kept), _length(now))
    if kept.tobytes() == now.tobytes():
        return None
    width = kept.dtype.itemsize
    bits = [np.frombuffer(each.tobytes(), np.uint8).reshape(-1, width) for each in both]
    flat = int((bits[0] != bits[1]).any(axis=1).argmax())
    row = np.unravel_index(flat, kept.shape)[0] if kept.shape else 0
    values = [_shown(name, each.reshape(-1)[flat]) for each in both]
    return pair.at(name, _symbol(pair, name, int(row), symbols), *values)


def _length(array: Any) -> str:
    return "absent" if array is None else f"{array.dtype} of shape {tuple(array.shape)}"


def _shown(name: str, value: Any) -> Any:
    """A value as JSON can say it: ids in hexadecimal digits, NaN as text."""
    plain = value.item()
    if name.rpartition(".")[2] in _IDS:
        return id_text(plain)
    return plain if not isinstance(plain, float) or np.isfinite(plain) else str(plain)


def _symbol(pair: Pair, name: str, row: int, symbols: Sequence[str]) -> str:
    """The symbol that a row of a column speaks of; empty where it speaks of none."""
    columns = pair.record.columns
    codes = columns.get("open_orders.symbol" if name.startswith("open_orders.") else "symbol")
    if codes is not None and row < len(codes):
        place = int(codes[row])
    elif pair.record.kind in _BY_SYMBOL and len(columns.get(name, ())) == len(symbols):
        place = row
    else:
        return ""
    return symbols[place] if 0 <= place < len(symbols) else ""


def _of_unstored(pair: Pair, symbols: Sequence[str]) -> Difference | None:
    """An event of which the journal kept a digest, and of bars short checks by symbol and field."""
    kept = pair.record.kept
    plan = PLANS[pair.event.__class__]
    content = content_of(plan, pair.event)
    own = digest_of((content,))
    if kept is None or own == kept.digest:
        return None
    if isinstance(pair.event, Bars) and kept.rows:
        rows, fields = differing(content, len(pair.event.close), kept.rows, kept.fields)
        if rows and fields:
            return pair.at(fields[0], symbols[rows[0]], NOT_KEPT, _shown("", getattr(pair.event, fields[0])[rows[0]]))
    return pair.at("columns" if isinstance(pair.event, Bars) else "value", "", kept.digest.hex(), own.hex())
