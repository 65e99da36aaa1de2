"""What stands in the public topics: the contract with readers that know nothing of this engine.

A field may be added with a default, never changed or taken away: that would be version 2, in a topic of its own.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from engine.events import FEE_KINDS, LegAction, OrderKind, TargetKind, TimeInForce


def words(kind: type[IntEnum]) -> tuple[str, ...]:
    """How the members of an enumeration of events are written in messages, by their value.

    >>> words(LegAction)
    ('new', 'cancel', 'replace')
    """
    return tuple(member.name.lower() for member in kind)


def _said(text: str) -> Meta:
    return Meta(description=text)


def _one_of(names: Sequence[str], text: str) -> Meta:
    return Meta(description=text, extra_json_schema={"enum": list(names)})


Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
Instant: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1, description="UTC nanoseconds since 1970")]
Span: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1, description="nanoseconds")]
Id: TypeAlias = Annotated[str, Meta(pattern="^[0-9a-f]{16}$", description="16 hexadecimal digits")]
Number: TypeAlias = float | None  # null where an event has NaN: JSON has no word for it
Column: TypeAlias = Annotated[list[float | None], _said("one for each of `instruments`, null = none")]
Symbols: TypeAlias = Annotated[list[Name], _said("symbols, each once, in the order of the columns")]


class BarMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One bar of one instrument, knowable at `ts`."""

    instrument: Name
    ts: Annotated[Instant, _said("end of the bar, UTC nanoseconds since 1970")]
    interval_ns: Annotated[int, Meta(ge=1, le=2**63 - 1, description="length of the bar, nanoseconds")]
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Annotated[Number, _said("shares, null = unknown")]
    vwap: Number = None
    extra: Annotated[dict[str, Number], _said("further columns by name, such as bid and ask")] = {}
    revision: Annotated[int, Meta(ge=0, le=2**31 - 1, description="a correction has a higher one")] = 0
    halted: Annotated[bool, _said("the exchange says that there is no bar; prices are null")] = False


class SignalMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What one model says of all instruments after one slice: a whole cross-section in one message."""

    source: Annotated[Name, _said("name of the model")]
    ts: Annotated[Instant, _said("when it was said: end of the slice, UTC nanoseconds since 1970")]
    asof: Annotated[Instant, _said("the slice that it speaks of, UTC nanoseconds since 1970")]
    horizon_ns: Annotated[Span, _said("what the values look ahead to, nanoseconds; 0 = not known")]
    instruments: Symbols
    values: Annotated[Column, _said("expected return over the horizon, or a score; null = no opinion")]
    model_hash: Annotated[str, _said("of the artefact that said it, empty where there is none")] = ""


class TargetMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What one strategy wants of all instruments, before costs and limits: a whole cross-section in one message."""

    source: Annotated[Name, _said("name of the strategy")]
    ts: Annotated[Instant, _said("end of the slice, UTC nanoseconds since 1970")]
    kind: Annotated[str, _one_of([*TargetKind], "share of equity, signed shares, or signed money")]
    instruments: Symbols
    values: Column
    alpha: Annotated[Column, _said("the combined expected return behind it, null = no opinion")]
    limit: Annotated[Column, _said("limit price, null = none")]
    stop: Annotated[Column, _said("stop price, null = none")]


class OrderMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One order, cancellation or replacement that passed the risk gate."""

    id: Id
    ts: Annotated[Instant, _said("when it was approved, UTC nanoseconds since 1970")]
    action: Annotated[str, _one_of(words(LegAction), "")]
    instrument: Name
    quantity: Annotated[float, _said("signed shares")]
    kind: Annotated[str, _one_of(words(OrderKind), "")]
    time_in_force: Annotated[str, _one_of(words(TimeInForce), "")]
    ref: Annotated[Id | None, _said("the order that a cancellation or a replacement speaks of")] = None
    limit: Annotated[Number, _said("limit price")] = None
    stop: Annotated[Number, _said("trigger price")] = None
    trail: Annotated[Number, _said("price distance of a trailing stop")] = None
    expires: Annotated[Instant | None, _said("UTC nanoseconds since 1970")] = None


class FillMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One execution. Its writer gives each a number of its own: the same one again is the same execution."""

    id: Id
    order_id: Id
    ts: Annotated[Instant, _said("when it became known, UTC nanoseconds since 1970")]
    instrument: Name
    quantity: Annotated[float, _said("signed shares")]
    price: float
    at: Annotated[Instant, _said("when it happened, UTC nanoseconds since 1970")]
    fees: Annotated[dict[str, float], _said(f"by kind: {', '.join(FEE_KINDS)}; in the instrument's currency")] = {}
    reference: Annotated[Number, _said("the market's price before slippage and impact")] = None
    settles: Annotated[Instant | None, _said("when the cash is settled, null = at once")] = None


MESSAGES: tuple[type[Any], ...] = (BarMessage, SignalMessage, TargetMessage, OrderMessage, FillMessage)
