"""What stands in the public topics: the contract with readers that know nothing of this engine.

A field may be added with a default, never changed or taken away: that would be version 2, in a topic of its own.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta

from engine.events import FEE_KINDS, LegAction, Mode, OrderKind, TargetKind, TimeInForce

# What is wrong with a record that could not be used.
DEAD_REASONS = ("undecodable", "oversized", "future", "unfit", "unknown_symbol", "unknown_interval", "control")
CONTROL_ACTIONS = ("halt", "resume", "reduce", "flatten", "swap_model")
STATES = ("starting", "catching_up", "live", "stopped")


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
Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
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


class RefusalMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One order, cancellation or replacement that was not let through, and the limit that it broke."""

    id: Id
    ts: Annotated[Instant, _said("when it was refused, UTC nanoseconds since 1970")]
    instrument: Annotated[str, _said("empty where the order was for none of the universe")]
    quantity: Annotated[float, _said("signed shares")]
    limit: Annotated[str, _said("name of the limit, as in a run file")]
    value: Annotated[Number, _said("what the order would have had, in the limit's unit; null = not known")]
    threshold: Annotated[Number, _said("what the limit allows")]
    by: Annotated[str, _said("the gate or the broker")]


class LateMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One bar that came after its slice was cut: decided without it, known from `ts` on."""

    instrument: Name
    ts: Annotated[Instant, _said("the slice from which on it is known, UTC nanoseconds since 1970")]
    slice_ts: Annotated[Instant, _said("end of the bar, and of the slice that it is missing from")]
    interval_ns: Annotated[int, Meta(ge=1, le=2**63 - 1, description="length of the bar, nanoseconds")]
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Annotated[Number, _said("shares, null = unknown")]


class DeadLetterMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One record that could not be used, as it lay in its topic, and why."""

    topic: Annotated[str, _said("where it lies")]
    partition: Count
    offset: Count
    ts: Annotated[Instant, _said("its timestamp, UTC nanoseconds since 1970")]
    reason: Annotated[str, _one_of(DEAD_REASONS, "what kind of thing is wrong with it")]
    text: Annotated[str, _said("what exactly is wrong, for people")]
    size: Annotated[Count, _said("bytes of its body, before any cut")]
    value: Annotated[bytes | None, _said("its body, at most the first 64 KiB, in base64; null = it had none")]
    key: Annotated[bytes | None, _said("its key, at most the first 1 KiB, in base64")] = None


class ControlMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator asks of a session."""

    id: Annotated[Id, _said("the same one again is the same request, which is followed once")]
    ts: Annotated[Instant, _said("when it was asked, UTC nanoseconds since 1970")]
    action: Annotated[str, _one_of(CONTROL_ACTIONS, "")]
    by: Annotated[Name, _said("who asks")]
    reason: str = ""
    component: Annotated[str, _said("the model to swap, empty = the whole session")] = ""
    artefact: Annotated[str, _said("hash of the artefact to swap to")] = ""
    latch: Annotated[str, _said("the tripped limit to release, empty = what an operator set")] = ""


class StatusMessage(msgspec.Struct, frozen=True, kw_only=True):
    """How a session is. Counts are since it first began, restarts included."""

    session: Name
    run_id: Annotated[str, _said("of the process")]
    state: Annotated[str, _one_of(STATES, "")]
    mode: Annotated[str, _one_of([mode.name for mode in Mode], "what the risk gate lets through")]
    started_at: Annotated[Instant, _said("of the process, UTC nanoseconds since 1970")]
    uptime_s: Annotated[float, _said("since then")] = 0.0
    ts: Annotated[Instant | None, _said("end of the latest slice, UTC nanoseconds since 1970")] = None
    slices: Count = 0
    bars: Annotated[Count, _said("records read from the topic of bars")] = 0
    placed: Annotated[Count, _said("bars that stand in a slice")] = 0
    late: Annotated[Count, _said("bars that came after their slice was cut")] = 0
    missing: Annotated[Count, _said("places in slices without a bar")] = 0
    duplicates: Annotated[Count, _said("bars that were there already")] = 0
    conflicts: Annotated[Count, _said("the same bar and revision with other values: the first counts")] = 0
    revised: Annotated[Count, _said("bars of which another revision counts")] = 0
    unfit: Annotated[Count, _said("bars whose prices cannot be")] = 0
    ahead: Annotated[Count, _said("bars from the future")] = 0
    dead_letters: Annotated[Count, _said("records that could not be used")] = 0
    orders: Count = 0
    fills: Count = 0
    refusals: Count = 0
    equity: Annotated[Number, _said("in the base currency")] = None
    lag: Annotated[Count | None, _said("records that lie in the topics read and are not, null = not known")] = None


MESSAGES: tuple[type[Any], ...] = (
    *(BarMessage, SignalMessage, TargetMessage, OrderMessage, FillMessage, RefusalMessage, LateMessage),
    *(DeadLetterMessage, ControlMessage, StatusMessage),
)
