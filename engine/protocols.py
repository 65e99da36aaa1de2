"""The shapes that components, feeds and sinks fit. No base classes: any class with these methods will do.

A component may also define `on_bars`, `on_book`, `on_reference`, `on_actions`, `on_late`, `on_timer`, `on_fills`,
`on_refusals`, `on_reports`, `on_control` or `on_features`: the wiring routes what the class defines, in a fixed order.
A class may name handlers too slow for the event loop in `slow_handlers`; the bus runs those in a worker thread.
Arrays that went out in an event are read-only from then on: put new ones, or copies, into each event.
"""

import datetime
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol, runtime_checkable

import msgspec
from numpy.typing import NDArray

from engine.events import (
    Approved,
    Bars,
    Book,
    Charges,
    Children,
    Codes,
    Control,
    Event,
    Features,
    Fills,
    Matrix,
    Orders,
    Out,
    Refusals,
    Reports,
    Signal,
    Stamps,
    Target,
    Vector,
)
from engine.universe import Universe


class Artefact(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A trained model as files, by content: what `Model.fit` returns and `Model.swap` takes. Never a pickle."""

    hash: str  # of all files
    files: dict[str, bytes]  # file name -> content, e.g. model.txt and model.json


class Dataset(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """History for training: T slices, N symbols, F features, with the interval each label looks at."""

    names: tuple[str, ...]  # (F,)
    schema: str  # hash of the feature set
    ts: Stamps  # (T,)
    features: NDArray[Any]  # (T, N, F) float32
    label: Matrix  # (T, N), NaN = unknown
    label_from: Stamps  # (T,) the label uses prices from here ...
    label_to: Stamps  # (T,) ... to here: knowable only then
    horizon_ns: int  # what a label spans: its slices times the interval of their bars
    symbols: tuple[str, ...] = ()  # (N,)
    weight: Matrix | None = None  # (T, N) how much each row counts in training, None = all the same
    valid_from: int | None = None  # slices from this ts on are held out to stop by, None = as the model says


class Table(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A user's own data from a file: ts or date, symbol and named columns, rows in time order.

    `ts` (R,) UTC ns, when the row became knowable; `symbol` (R,) position in the universe.
    """

    path: str
    hash: str
    ts: Stamps
    symbol: NDArray[Any]
    columns: dict[str, Vector]


class FeatureSet(Protocol):
    """Turns slices into features, once for all models that name it."""

    names: tuple[str, ...]  # (F,)
    schema: str  # hash of names, windows and code
    lookback: int  # slices after which its values no longer depend on anything older

    def on_bars(self, bars: Bars, /) -> Features: ...


class Model(Protocol):
    """Sees each slice once, in order, and answers every slice: NaN while warming up, never silence.

    It defines `on_features(features) -> Signal` or, when it needs no feature set, `on_bars(bars) -> Signal`.
    """

    lookback: int

    def swap(self, artefact: Artefact, /) -> None:
        """Answers with this artefact from the next slice on."""
        ...


@runtime_checkable
class Trainable(Protocol):
    """A model that learns. `predict` over history equals the wiring's answers bit for bit."""

    def fit(self, dataset: Dataset, /) -> Artefact: ...
    def predict(self, dataset: Dataset, /) -> Matrix: ...


class Strategy(Protocol):
    """Called once a slice of its interval by the decision barrier; None means keep the last target.

    One with something to say of its targets defines `on_target(target)`: it is handed each of its own once that is on
    the bus, before the optimizer sees it, and answers with notes or None.
    """

    interval_ns: int  # 0 = the interval of the session

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None: ...


class Optimizer(Protocol):
    """Wanted positions in, affordable orders out; several sleeves are netted here."""

    def on_bars(self, bars: Bars, /) -> None: ...
    def on_targets(self, targets: tuple[Target, ...], book: Book, /) -> Out: ...


class Execution(Protocol):
    """Works parent orders over the bars of their horizon.

    One that defines `working`, whether it has parents, gets the timer SLICE_DECIDED in `on_timer` behind each slice in
    which it has: nothing else of that slice follows. What `open_parents() -> OpenOrders` says, each its own parent,
    the optimizer sees among the open orders of its book, and strategies as `working` shares.

    Each parent ends in one final report of it: `Reports` with FINISHED, CANCELLED or EXPIRED. By them the gate forgets
    it, and the figures of the session know how it ended; a child that comes behind is refused in the end.
    """

    def on_orders(self, orders: Orders, /) -> Out: ...
    def on_bars(self, bars: Bars, /) -> None: ...
    def on_fills(self, fills: Fills, /) -> None: ...
    def on_book(self, book: Book, /) -> Out: ...


class Gate(Protocol):
    """The risk gate that every order passes. Of all components it alone may say `Approved` and `Control`."""

    def on_book(self, book: Book, /) -> Out: ...
    def on_orders(self, orders: Orders | Children, /) -> tuple[Approved | Refusals, ...]: ...
    def on_control(self, control: Control, /) -> Out: ...


class Bookkeeping(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger must know of the broker whose account it keeps."""

    dividends: bool = True  # False: dividends of Actions are not paid, or come as Charges of a real broker
    fractions: bool = True  # True: what a split leaves below a lot is paid out in cash; False: it is lost


class Broker(Protocol):
    """Takes orders now; fills no earlier than the named timing allows.

    `on_bars` answers with `Charges` and `Reports` (if any) and exactly one `Fills`, possibly empty. One whose orders
    trade in the slice in which they were decided answers `on_orders` with a second `Fills` of the same ts. A broker
    may define `bookkeeping`; without it the ledger pays dividends and fractions in cash.
    """

    def on_orders(self, orders: Approved, /) -> Out: ...
    def on_bars(self, bars: Bars, /) -> tuple[Charges | Reports | Refusals | Fills, ...]: ...


class Risk(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A covariance in factored form, of returns over one slice: factors @ covariance @ factors.T + diag(specific)."""

    factors: Matrix  # (N, K)
    covariance: Matrix  # (K, K)
    specific: Vector  # (N,) variance, never NaN
    # What was computed from the three and is not computed again, by name: whoever keeps something here made it of them
    # alone, so that it shows in no answer.
    derived: dict[str, Any] = msgspec.field(default_factory=dict)


class RiskModel(Protocol):
    """Estimates the covariance slice by slice; a constructor argument of an optimizer.

    It may define `on_actions` and `on_reference`, which the optimizer hands on.
    """

    def on_bars(self, bars: Bars, /) -> None: ...
    def risk(self) -> Risk | None:
        """None while there is too little history.

        Of ours it is the same object, with read-only arrays, until something changes; an array of it that did not
        change may be the same one again, which is quickest: then nothing is copied or compared. Arrays that went out
        are read-only from then on, so new numbers need a new array, or a view, which is copied and compared each time.
        """
        ...


class Conditions(msgspec.Struct, frozen=True, eq=False, kw_only=True, gc=False):
    """What a cost model may know of L trades beside quantity and price. None = not known of any of them.

    In a fill it is the bar that fills; when orders are sized it is the latest bar.
    """

    ts: int
    symbol: Codes  # positions in the universe
    volume: Vector | None = None  # shares that the bar traded, NaN = unknown
    bid: Vector | None = None  # quotes at the instant of the trade
    ask: Vector | None = None
    filled: Vector | None = None  # shares of the same order that filled before, unsigned; None = these are the first
    paid: Matrix | None = None  # (L, K) fees that those cost
    memo: Matrix | None = None  # (L, M) sums of what the cost model's own `memo` said of those; None = not known


class CostModel(Protocol):
    """What trading costs: the same object sizes orders in the optimizer and prices fills in the simulated broker.

    One that keeps estimates defines `on_bars` (and `save`, `load`): the broker calls it once a slice, after the fills
    of that slice, so that a fill is never priced with its own bar's estimate. One whose rates depend on what was
    traded defines `on_fills`, one that must follow splits `on_actions`: the broker calls those too. One whose fees of
    a further partial fill depend on more than `filled` and `paid` defines `memo(qty, price, at)`, (L, M) numbers with
    the arguments of `fees`: the broker adds them up by order and hands the sums to the next fill of it. Asking for
    prices, fees and the rate changes nothing.
    """

    def price(self, qty: Vector, reference: Vector, at: Conditions, /) -> Vector:
        """(L,) fill price of signed quantities at these market prices, slippage included."""
        ...

    def fees(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        """(L, K) fees of fills at these prices, columns FEE_KINDS, never negative."""
        ...

    def rate(self) -> float:
        """One-way cost of a large trade as a share of its value, slippage included."""
        ...


@runtime_checkable
class Stateful(Protocol):
    """Everything of ours that remembers. `load` on a fresh copy, then the same events, gives the same answers."""

    def save(self) -> bytes: ...
    def load(self, state: bytes, /) -> None: ...


class Financing(Protocol):
    """What holding costs or earns: borrow fees, interest. A constructor argument of a simulated broker."""

    def charges(self, book: Book, days: int, ts: int, /) -> Charges | None:
        """Charges for `days` calendar days over which this book was held, None = nothing."""
        ...


class Source(Protocol):
    """Events of non-decreasing ts. `snapshot` resumes after the last event handed out."""

    def __aiter__(self) -> AsyncIterator[Event]: ...
    def snapshot(self) -> bytes: ...


class Sink(Protocol):
    """Takes every event in bus order; it may slow the bus and never drops anything."""

    async def write(self, event: Event, /) -> None: ...
    async def aclose(self) -> None: ...


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    """A defect of the input that was counted instead of refused."""

    kind: str  # e.g. ohlc_inconsistent
    count: int
    rule: str  # what was done about it
    examples: tuple[str, ...] = ()  # at most ten, "SYMBOL date: what"


class Feed(Protocol):
    """History that can be walked any number of times: the same events each time."""

    universe: Universe
    interval_ns: int
    sectors: tuple[str, ...]  # (N,) or empty
    span: tuple[int, int] | None  # ts of its first and last slice, None where it does not know
    # A feed that knows the trading days of its exchange has them as `sessions: Sessions`, and below a day hands out the
    # timers SESSION_OPENED and SESSION_CLOSED at their opens and closes, behind the bars of these instants. A feed may
    # lack the attribute.

    def bounds(self, start: datetime.date | None, end: datetime.date | None) -> tuple[int | None, int | None]:
        """The ns range [low, high) of the bars whose own local trading date lies between two days, both counting.

        Either day may be without a session. Actions of the days after `start` up to `end` lie in it. None = open on
        that side. A feed may lack the method: its days are those of UTC then.
        """
        ...

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        """Events with start <= ts < end, in bus order; memory bounded by a row group."""
        ...

    def issues(self) -> tuple[Issue, ...]:
        """Counted defects, complete once `events` is exhausted."""
        ...

    def hashes(self) -> dict[str, str]:
        """File name -> SHA-256 of each file that was read."""
        ...
