"""What a broker does on its own: it charges for what is held over night, calls for margin and recalls what is lent."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from components.brokers.account import Account
from components.brokers.blotter import Blotter
from components.brokers.kinds import WAITS
from components.brokers.margin_call import called, covers, increasing, reductions
from components.brokers.resting import Resting, terms_of
from engine.errors import DataError
from engine.events import (
    DAY_NS,
    Approved,
    Bars,
    Book,
    Charges,
    Codes,
    Ids,
    Mask,
    Note,
    OpenOrders,
    OrderKind,
    Reference,
    TimeInForce,
    Vector,
)
from engine.ids import OrderIds
from engine.protocols import Financing, Stateful
from engine.state import placed

_KIND, _VERSION = "upkeep", 1
_NEAR_ZERO = 1e-9  # shares
# Columns of a book that financing may read, with what a name has that was never in one.
_COLD = {"qty": 0.0, "working": 0.0, "opened": 0, "realised": 0.0, "fees": 0.0, "income": 0.0}
_COLD |= {"mark": np.nan, "entry": np.nan, "best": np.nan}
_MONEY = ("ts", "cash", "unsettled", "rate", "interest", "equity", "translation")


class Demand(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What the broker does to an account: orders of others that it cancels, orders of its own, and why."""

    cancels: Ids
    orders: Approved
    note: Note


class Upkeep:
    """The broker's own doings, see the page on accounts. Nothing of it costs anything while nothing of it is in use.

    Financing is charged at the first slice of a later UTC date, for the calendar days since the date of the slice
    before, on the book held over them: the one of that slice. A component that defines `on_bars` sees each slice after
    it was charged for the days before.

    A margin call comes when equity < maintenance * gross at the closes of a slice: orders that could increase a
    position are cancelled, and positions are reduced, the largest value first, until gross <= leverage * equity at
    these closes, costs not counted. A recall comes when more is short than the Reference `shortable` (N, 1) lends, NaN
    or inf = any number: open sales of the symbol are cancelled and the excess is bought back. Both are market orders
    that last until they are filled, with ids that follow from name, ts and leg; until then a new order of the symbol is
    refused.
    Where the timing of fills is not the open, `opens` says that they trade at the next opening auction all the same, as
    far as bars of a day go; in shorter ones they trade as every market order does.
    """

    def __init__(self, *, account: Account, name: str, financing: Sequence[Financing], opens: bool) -> None:
        self._universe, self._account, self._margin = account.universe, account, account.margin
        self._name, self._financing, self._opens = name, tuple(financing), opens
        self._learns = [part.on_bars for part in self._financing if hasattr(part, "on_bars")]
        self._ids = OrderIds("broker", name)
        self._sent = (0, 0)  # the latest ts at which it sent orders, how many by then
        self._book: Book | None = None  # of the latest slice
        self._ts = 0  # of the latest slice, 0 = there was none
        self._interval = 0
        self.own: set[int] = set()  # ids of its own orders that may be open; others only read it
        self.floor: Vector | None = None  # (N,) how far below zero a position may be sold; None = any

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do, at any slice."""
        return not (self._financing or self.own) and self._margin.maintenance is None and self.floor is None

    # ---- financing ---------------------------------------------------------------------------------------------------

    def on_book(self, book: Book) -> None:
        if book.ts <= self._ts:  # a book of corporate actions since the slice is not what was held over night
            self._book = book

    def charges(self, bars: Bars) -> tuple[Charges, ...]:
        """What the days before this slice cost and earned; they are booked in the account."""
        days = bars.ts // DAY_NS - self._ts // DAY_NS
        found: tuple[Charges, ...] = ()
        if self._book is not None and self._ts and days > 0:
            answers = [part.charges(self._book, days, bars.ts) for part in self._financing]
            found = tuple(answer for answer in answers if answer is not None)
            for answer in found:
                self._account.charge(answer)
        for learn in self._learns:
            learn(bars)
        self._ts, self._interval = bars.ts, bars.interval_ns
        return found

    # ---- demands -----------------------------------------------------------------------------------------------------

    def busy(self, orders: Blotter) -> Mask | None:
        """(N,) symbols that the broker itself is trading; None = none."""
        if not self.own:
            return None
        left = self._working(orders.all())
        return None if left is None else left != 0

    def recall(self, bars: Bars, orders: Blotter) -> Demand | None:
        """What has to be bought back after the fills of this slice."""
        return None if self.floor is None else self._recall(bars.ts, self.floor, orders, spread=False)

    def on_reference(self, reference: Reference, orders: Blotter) -> Demand | None:
        """A new list of what can be borrowed; sales that rest beyond it are cancelled."""
        if reference.name != "shortable" or not self._margin.short:
            return None
        n, shares = len(self._universe), reference.value
        if shares.shape != (n, 1) or (shares < 0).any():
            raise DataError(
                f"broker: reference 'shortable' of {reference.ts} has shape {shares.shape}; give ({n}, 1) numbers of "
                "shares, 0 = none, NaN = any number"
            )
        self.floor = np.where(np.isnan(shares[:, 0]), -np.inf, -shares[:, 0])
        return self._recall(reference.ts, self.floor, orders, spread=True)

    def _mine(self, resting: Resting) -> Mask:
        """Which of these orders are its own."""
        return np.array([order in self.own for order in resting.ids.tolist()], bool)

    def _working(self, resting: Resting) -> Vector | None:
        """(N,) shares that its own open orders have still to trade; None = it has none."""
        rows = self._mine(resting)
        self.own = set(resting.ids[rows].tolist())
        if not self.own:
            return None
        return _sums(resting.symbol[rows], resting.left[rows], len(self._universe))

    def _recall(self, ts: int, floor: Vector, orders: Blotter, *, spread: bool) -> Demand | None:
        resting, held = orders.all(), self._account.qty
        working = self._working(resting)
        after = held if working is None else held + working
        bought = covers(after, -floor, self._universe.lot)
        beyond = bought > 0
        if spread:
            terms = terms_of(resting)
            passed = WAITS[terms.kind] & ~terms.triggered | self._mine(resting)
            sells = np.where(passed, 0.0, np.minimum(resting.left, 0.0))
            sold = _sums(resting.symbol, sells, len(held))
            beyond = beyond | (sold < 0) & (after + sold < floor - _NEAR_ZERO)
        if not beyond.any():
            return None
        cancels = (bought[resting.symbol] > 0) | beyond[resting.symbol] & (resting.left < 0)
        text = "more is sold short than can be borrowed: open sales are cancelled and the excess is bought back"
        return self._demand(ts, "recall", text, bought, resting.ids[cancels])

    def call(self, bars: Bars, orders: Blotter) -> Demand | None:
        """What has to be sold and covered at the closes of this slice, so that equity carries the positions."""
        account, leverage, maintenance = self._account, self._margin.leverage, self._margin.maintenance
        if maintenance is None:
            return None
        equity, unit = account.equity(bars)
        gross = float(np.nansum(np.abs(account.qty) * unit))
        if not called(equity, gross, maintenance):
            return None
        resting = orders.all()
        working = self._working(resting)
        after = account.qty if working is None else account.qty + working
        excess = float(np.nansum(np.abs(after) * unit)) - leverage * max(equity, 0.0)
        trades = reductions(after, unit, self._universe.lot, excess)
        cancels = increasing(resting.left, account.qty[resting.symbol]) | (trades[resting.symbol] != 0)
        if not (trades.any() or cancels.any()):
            return None
        text = (
            f"equity {equity:.2f} is below {maintenance:g} of the gross value {gross:.2f}: "
            f"positions are reduced until it is {leverage:g} times equity"
        )
        return self._demand(bars.ts, "margin_call", text, trades, resting.ids[cancels])

    def _demand(self, ts: int, kind: str, text: str, trades: Vector, cancels: Ids) -> Demand:
        cancels = np.array([order for order in cancels.tolist() if order not in self.own], np.uint64)
        symbol = np.flatnonzero(trades).astype(np.int32)
        note = Note(ts=ts, source=self._name, kind=kind, text=text, symbol=symbol, value=trades[symbol])
        first = self._sent[1] if self._sent[0] == ts else 0
        count = len(symbol)
        ids = self._ids(ts=ts, count=count, first=first)
        self._sent = (ts, first + count)
        self.own.update(ids.tolist())
        opens = self._opens and self._interval >= DAY_NS
        none, zero = np.full(count, np.nan), np.zeros(count, np.int32)
        orders = Approved(
            ts=ts,
            action=zero,
            ids=ids,
            ref=np.zeros(count, np.uint64),
            symbol=symbol,
            qty=trades[symbol],
            kind=np.full(count, OrderKind.MARKET_ON_OPEN if opens else OrderKind.MARKET, np.int32),
            limit=none,
            stop=none,
            trail=none,
            tif=np.full(count, TimeInForce.GOOD_TILL_CANCELLED, np.int32),
            expires=np.zeros(count, np.int64),
        )
        return Demand(cancels=cancels, orders=orders, note=note)

    # ---- corporate actions and state ---------------------------------------------------------------------------------

    def split(self, symbol: int, ratio: float) -> None:
        """What can be borrowed follows a split."""
        if self.floor is not None:
            self.floor = self.floor.copy()
            self.floor[symbol] *= ratio

    def save(self) -> dict[str, Any]:
        book = self._book
        columns = None if book is None else {name: getattr(book, name) for name in (*_COLD, *_MONEY)}
        return {
            "ts": self._ts,
            "interval": self._interval,
            "book": columns,
            "own": sorted(self.own),
            "sent": self._sent,
            "floor": self.floor,
            "financing": [part.save() if isinstance(part, Stateful) else None for part in self._financing],
        }

    def load(self, fields: dict[str, Any], before: list[str], now: tuple[str, ...]) -> None:
        """Restores by symbol: names appended to the universe since start flat, and can be borrowed without limit."""
        self._ts, self._interval, self._sent = fields["ts"], fields["interval"], tuple(fields["sent"])
        self.own = set(fields["own"])
        self.floor = None if fields["floor"] is None else placed(fields["floor"], before, now, -np.inf)
        self._book = None
        if fields["book"] is not None:
            cold = {name: placed(fields["book"][name], before, now, fill) for name, fill in _COLD.items()}
            self._book = Book(**(fields["book"] | cold), open_orders=_no_orders())
        for part, state in zip(self._financing, fields["financing"], strict=True):
            if isinstance(part, Stateful):
                part.load(state)


def _sums(symbol: Codes, shares: Vector, n: int) -> Vector:
    """(N,) shares by symbol."""
    return np.bincount(symbol, weights=shares, minlength=n).astype(np.float64)


def _no_orders() -> OpenOrders:
    none = np.empty(0)
    ids, codes = np.empty(0, np.uint64), np.empty(0, np.int32)
    return OpenOrders(ids=ids, parent=ids, symbol=codes, left=none, kind=codes, limit=none, stop=none)
