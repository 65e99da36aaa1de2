"""Where a recorded event and the event that is found now differ: field, symbol and both values."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import msgspec

from engine.event_columns import PLANS
from engine.events import Bars, Event
from engine.journal import Kept, content_of, digest_of
from engine.journal_reading import Record
from engine.row_checks import differing
from engine.state import encode_hook
from samewire.first_row import fate
from samewire.first_value import first_value

NOT_KEPT = "not kept"
_SHOWN = 5  # symbols that a difference names
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
    """A record and what is found in its place, each with the other events of the run that it is of."""

    record: Record
    origin: str
    event: Event
    records: Sequence[Record] = ()
    events: Sequence[Event] = ()

    def at(self, field: str, symbol: str, recorded: Any, found: Any) -> Difference:
        ts = int(self.record.plain.get("ts", 0))
        return Difference(self.record.seq, ts, self.record.origin, self.record.kind, field, symbol, recorded, found)


def first_difference(pair: Pair, symbols: Sequence[str]) -> Difference | None:
    """Where the two differ first, in the order of the event's fields; None where every bit is the same."""
    record = pair.record
    kind = pair.event.__class__.__name__
    if (record.origin, record.kind) != (pair.origin, kind):
        row = None if record.event is None else fate(record.event, pair.events)
        if row is not None and 0 <= row[1] < len(symbols):
            return pair.at(row[0], symbols[row[1]], *row[2:])
        return pair.at("", "", f"{record.kind} of {record.origin}", f"{kind} of {pair.origin}")
    event = record.event
    if event is None:
        return _of_unstored(pair, symbols)
    known = (each.event for each in pair.records)
    found = first_value(event, pair.event, symbols, ([each for each in known if each is not None], pair.events))
    return None if found is None else pair.at(found.field, found.symbol, _said(found.one), _said(found.two))


def _said(value: Any) -> Any:
    """A value as JSON can say it."""
    return str(value) if isinstance(value, float) and not isfinite(value) else value


def _of_unstored(pair: Pair, symbols: Sequence[str]) -> Difference | None:
    """An event of which the journal kept a digest, and of bars short checks by symbol and field."""
    kept, plan = pair.record.kept, PLANS[pair.event.__class__]
    for name, value in zip(plan.plain, plan.values(pair.event), strict=True):
        recorded = pair.record.plain.get(name)
        if _encoder.encode(recorded) != _encoder.encode(value):
            return pair.at(name, "", recorded, value)
    content = content_of(plan, pair.event)
    own = digest_of((content,))
    if kept is None or own == kept.digest:
        return None
    if isinstance(pair.event, Bars) and kept.rows:
        return _of_bars(pair, content, kept, symbols)
    return pair.at("columns" if isinstance(pair.event, Bars) else "value", "", kept.digest.hex(), own.hex())


def _of_bars(pair: Pair, content: bytes, kept: Kept, symbols: Sequence[str]) -> Difference:
    """What the short checks tell: one value where one symbol or one field differs, else which of both do."""
    bars: Any = pair.event
    n = len(bars.close)
    if len(kept.rows) != 2 * n:
        return pair.at("symbols", "", len(kept.rows) // 2, n)
    rows, fields = differing(content, n, kept.rows, kept.fields)
    if not (rows and fields):
        return pair.at("status, member or extra", "", NOT_KEPT, "otherwise")
    if len(rows) == 1 or len(fields) == 1:
        return pair.at(fields[0], symbols[rows[0]], NOT_KEPT, _said(float(getattr(bars, fields[0])[rows[0]])))
    named = ", ".join(symbols[row] for row in rows[:_SHOWN]) + (", ..." if len(rows) > _SHOWN else "")
    return pair.at(", ".join(fields), named, NOT_KEPT, f"otherwise for {len(rows)} symbols")
