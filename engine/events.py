"""The closed vocabulary: every fact that components exchange, frozen and without behaviour.

Nothing that differs between two runs over the same inputs (run id, wall time, host) may stand in an event.
A new type here is an architecture decision; a new field is a review.
"""

from enum import IntEnum, StrEnum
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float64]
Matrix: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
Codes: TypeAlias = NDArray[np.int32]  # a position in the universe, or the value of an IntEnum below
Stamps: TypeAlias = NDArray[np.int64]  # UTC ns, 0 = never
Ids: TypeAlias = NDArray[np.uint64]  # 0 = none

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS

FEE_KINDS = ("commission", "exchange", "tax")  # the columns of Fills.fees
SESSION_OPENED, SESSION_CLOSED = "session_opened", "session_closed"  # names of the timers that a calendar gives rise to
SLICE_DECIDED = "slice_decided"  # of the timer behind all that a slice decided, for an execution policy with work


class Status(IntEnum):
    """State of one symbol's bar in a slice."""

    FRESH = 0
    MISSING = 1  # no bar: prices are NaN, never invented
    HALTED = 2  # the exchange says so: prices are NaN


class Mode(IntEnum):
    """What the gate lets through."""

    ACTIVE = 0
    REDUCE_ONLY = 1
    HALTED = 2


class ControlAction(StrEnum):
    HALT = "halt"
    REDUCE_ONLY = "reduce_only"
    RESUME = "resume"
    FLATTEN = "flatten"
    SWAP_MODEL = "swap_model"
    MODEL_NOT_READY = "model_not_ready"


class ActionKind(IntEnum):
    """A corporate action. `ratio` and `amount` of Actions are read as noted."""

    SPLIT = 0  # ratio = new shares for one old
    CASH_DIVIDEND = 1  # amount = cash per share held at the ex-date, paid at pay_at
    DELISTING = 2  # amount = stated last price; the position is closed at it
    SYMBOL_CHANGE = 3  # successor = position of the new symbol in the universe, ratio = new shares for one old


class TargetKind(StrEnum):
    WEIGHT = "weight"  # share of equity
    QUANTITY = "quantity"  # signed shares
    VALUE = "value"  # signed money in the base currency


class LegAction(IntEnum):
    NEW = 0
    CANCEL = 1
    REPLACE = 2


class OrderKind(IntEnum):
    MARKET = 0
    LIMIT = 1
    STOP = 2
    STOP_LIMIT = 3
    TRAILING_STOP = 4
    MARKET_ON_OPEN = 5
    MARKET_ON_CLOSE = 6


class TimeInForce(IntEnum):
    DAY = 0  # ends with the close of the first session in which a bar opens after it was accepted
    GOOD_TILL_CANCELLED = 1
    GOOD_TILL_DATE = 2
    IMMEDIATE_OR_CANCEL = 3
    FILL_OR_KILL = 4


class ChargeKind(IntEnum):
    """Why money moved without a trade."""

    BORROW = 0  # fee for shares that are sold short
    MARGIN_INTEREST = 1  # on cash that is owed
    CASH_INTEREST = 2  # on cash that is held
    OTHER = 3  # whatever else a real broker books


class OrderState(IntEnum):
    ACCEPTED = 0
    TRIGGERED = 1
    REPLACED = 2
    CANCELLED = 3
    EXPIRED = 4
    FINISHED = 5  # filled whole


class Struct(msgspec.Struct, frozen=True, eq=False, kw_only=True, gc=False):
    """A frozen row of facts: no equality (comparing arrays has no single truth) and no cycles to collect."""


class Timed(msgspec.Struct, frozen=True, eq=False, kw_only=True, tag=True, gc=False):
    ts: int  # UTC ns, the instant the fact became knowable


# ---- inputs, recorded and replayed -----------------------------------------------------------------------------------


class Control(Timed, frozen=True):
    """A command of an operator, a trainer, or a tripped limit."""

    action: ControlAction
    component: str = ""  # the model to swap; empty = the whole session
    artefact: str = ""  # hash of the artefact to swap to
    actor: str = ""
    reason: str = ""
    latch: str = ""  # the tripped limit that this sets or releases; empty = the operator's own


class Reference(Timed, frozen=True):
    """A matrix that changes slowly, e.g. `sectors` (N, 1), `exposures` (N, K), `rates` (C, 1)."""

    name: str
    rows: str  # what a row is: symbol, currency or factor
    value: Matrix
    columns: tuple[str, ...] = ()


class Late(Timed, frozen=True):
    """Bars that came after their slice was cut: history for the next decision, never a past one. Shape (L,)."""

    interval_ns: int
    slice_ts: int
    symbol: Codes
    open: Vector
    high: Vector
    low: Vector
    close: Vector
    volume: Vector


class Bars(Timed, frozen=True):
    """One slice: the bars of every symbol that closed at `ts`, shape (N,). Prices are raw, NaN unless FRESH."""

    interval_ns: int
    opened: int  # the instant the bars began
    open: Vector
    high: Vector
    low: Vector
    close: Vector
    volume: Vector  # shares
    vwap: Vector  # NaN where the feed has none
    status: Codes
    member: Mask  # in the universe at ts
    extra: tuple[Vector, ...] = ()  # bid, ask, ...: named in the universe


class Timer(Timed, frozen=True):
    """A named instant has come. `due` differs from `ts` when a live process was not running at the time."""

    name: str
    due: int


class Actions(Timed, frozen=True):
    """Corporate actions effective before the next open, shape (L,)."""

    kind: Codes
    symbol: Codes
    ratio: Vector
    amount: Vector
    pay_at: Stamps
    successor: Codes


class Watermark(Timed, frozen=True):
    """Nothing earlier than `ts` will follow."""


# ---- decisions -------------------------------------------------------------------------------------------------------


class Features(Timed, frozen=True):
    schema: str  # hash of names, windows and code
    value: Matrix  # (N, F), NaN = unknown


class Signal(Timed, frozen=True):
    source: str
    asof: int  # the slice it speaks of
    value: Vector  # (N,) expected return over the horizon, or a score; NaN = no opinion
    horizon_ns: int  # 0 = not known yet
    model_hash: str = ""


class Target(Timed, frozen=True):
    source: str
    kind: TargetKind
    value: Vector  # (N,) signed
    alpha: Vector  # (N,) the combined expected return behind it, NaN = no opinion
    limit: Vector  # (N,) limit price, NaN = none
    stop: Vector  # (N,) stop price, NaN = none


class Legs(Timed, frozen=True):
    """Columns of L order legs, any number per symbol.

    A STOP or STOP_LIMIT carries its trigger in `stop`. A TRAILING_STOP carries the distance it keeps from the best
    price since it was accepted in `trail`, and in `stop` the trigger it starts from (NaN = the distance from the first
    price it sees). `limit` is the limit price of LIMIT and STOP_LIMIT, and of an auction order that has one.
    """

    action: Codes
    ids: Ids
    ref: Ids  # the order that a cancel or a replace speaks of
    symbol: Codes
    qty: Vector  # signed shares
    kind: Codes
    limit: Vector
    stop: Vector
    tif: Codes
    expires: Stamps
    trail: Vector  # price distance of a trailing stop, NaN = none


class Orders(Legs, frozen=True):
    """What the optimizer wants."""


class Children(Legs, frozen=True):
    """What the execution policy sends."""

    parent: Ids


class Approved(Legs, frozen=True):
    """What passed the gate: the only orders a broker accepts."""


class Refusals(Timed, frozen=True):
    """Legs that a gate or a broker refused, each with the rule, the value it had and the threshold. Shape (L,)."""

    by: str
    ids: Ids
    symbol: Codes
    qty: Vector
    rule: tuple[str, ...]
    value: Vector
    threshold: Vector


class Reports(Timed, frozen=True):
    """Changes of order state, shape (L,)."""

    ids: Ids
    symbol: Codes
    state: Codes
    left: Vector  # signed quantity that may still trade


class Fills(Timed, frozen=True):
    exec_ids: Ids
    order_ids: Ids
    symbol: Codes
    qty: Vector  # signed shares
    price: Vector
    reference: Vector  # the market's price before slippage and impact
    fees: Matrix  # (L, K) in the symbol's currency, columns FEE_KINDS
    at: Stamps  # the instant of each
    settles: Stamps | None = None  # when the cash of each is settled, None = at once


class Charges(Timed, frozen=True):
    """Money that moves without a trade, shape (L,): borrow fees, interest."""

    kind: Codes  # ChargeKind
    symbol: Codes  # -1 = of no symbol
    currency: Codes  # position in the universe's currencies
    amount: Vector  # in that currency, negative = paid


class OpenOrders(Struct, frozen=True):
    """Orders that can still trade, as legs (L,), in the order of acceptance."""

    ids: Ids
    parent: Ids
    symbol: Codes
    left: Vector
    kind: Codes
    limit: Vector
    stop: Vector


class Book(Timed, frozen=True):
    """The ledger's frozen snapshot: C currencies, N symbols. Money of a symbol is in its own currency."""

    cash: Vector  # (C,) what is not settled yet included
    unsettled: Vector  # (C,) of it, proceeds of sales that cannot be spent yet
    rate: Vector  # (C,) base currency for one unit
    qty: Vector  # (N,) signed shares
    working: Vector  # (N,) signed shares that can still trade without a trigger
    open_orders: OpenOrders
    mark: Vector  # (N,) last valid close, NaN = never seen
    entry: Vector  # (N,) average cost, NaN = flat
    best: Vector  # (N,) best mark since entry, NaN = flat
    opened: Stamps  # (N,) 0 = flat
    realised: Vector  # (N,) P&L of closed quantity since the start, before fees
    fees: Vector  # (N,) since the start, borrow fees included
    income: Vector  # (N,) dividends since the start, negative where a short paid them
    interest: Vector  # (C,) interest and other charges of no symbol since the start, negative = paid
    equity: float  # base currency
    translation: float = 0.0  # base currency, since the start: what changes of exchange rates did to it
    mode: Mode = Mode.ACTIVE


class Note(Timed, frozen=True):
    """What a component wants remembered: a dual, a fallback, a drop, a rounding. Shape (L,)."""

    source: str
    kind: str
    text: str = ""
    symbol: Codes = msgspec.field(default_factory=lambda: np.empty(0, np.int32))
    value: Vector = msgspec.field(default_factory=lambda: np.empty(0))


Event: TypeAlias = (
    Control
    | Reference
    | Late
    | Bars
    | Timer
    | Actions
    | Watermark
    | Features
    | Signal
    | Target
    | Orders
    | Children
    | Approved
    | Refusals
    | Reports
    | Fills
    | Charges
    | Book
    | Note
)
Out: TypeAlias = Event | tuple[Event, ...] | None  # what any handler returns

# Inputs of equal ts enter in this order; what follows an input is derived.
INPUT_ORDER: tuple[type[Any], ...] = (Control, Reference, Late, Bars, Timer, Actions, Watermark)
EVENT_TYPES: tuple[type[Any], ...] = (
    *INPUT_ORDER,
    *(Features, Signal, Target, Orders, Children, Approved, Refusals, Reports, Fills, Charges, Book, Note),
)
