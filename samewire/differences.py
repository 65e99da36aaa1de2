"""Where a recorded event and the event that is found now differ: field, symbol and both values."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import msgspec

from engine.event_columns import PLANS
from engine.events import Bars, Event
from engine.journal import content_of, digest_of
from engine.journal_reading import Record
from engine.row_checks import differing
from engine.state import encode_hook
from samewire.first_value import first_value

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
    record = pair.record
    kind = pair.event.__class__.__name__
    if (record.origin, record.kind) != (pair.origin, kind):
        return pair.at("", "", f"{record.kind} of {record.origin}", f"{kind} of {pair.origin}")
    event = record.event
    if event is None:
        return _of_unstored(pair, symbols)
    found = first_value(event, pair.event, symbols)
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
        rows, fields = differing(content, len(pair.event.close), kept.rows, kept.fields)
        if rows and fields:
            return pair.at(fields[0], symbols[rows[0]], NOT_KEPT, _said(float(getattr(pair.event, fields[0])[rows[0]])))
    return pair.at("columns" if isinstance(pair.event, Bars) else "value", "", kept.digest.hex(), own.hex())
