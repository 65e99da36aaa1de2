"""Round trips: what each position earned between being flat and being flat again, and what they say together."""

import math

import msgspec
import numpy as np

from engine.events import ActionKind, Stamps, Vector
from engine.holdings import fraction_of, in_lots
from engine.protocols import Bookkeeping
from engine.universe import Universe


class Trade(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One round trip. Quantity and prices are in shares of the day it ended, money in the symbol's currency."""

    symbol: int  # position in the universe
    side: int  # 1 = long, -1 = short
    opened: int  # UTC ns of the first fill
    closed: int  # of the last, 0 = open
    opened_ts: int  # ts of the slice of the first fill
    closed_ts: int
    quantity: float  # shares entered, unsigned
    entry: float  # average price of what was entered
    exit: float  # of what was left, NaN while open
    gross: float  # side * (value left - value entered): P&L of prices, slippage included
    fees: float
    borrow: float
    income: float  # dividends
    net: float  # gross - fees - borrow + income
    share: float  # net over the value entered: the trade's return


class _Trip:
    """An open round trip: sums of what was entered and what was left."""

    __slots__ = ("borrow", "entered", "fees", "income", "left", "opened", "opened_ts", "paid", "qty", "received")

    def __init__(self, opened: int, opened_ts: int) -> None:
        self.opened, self.opened_ts = opened, opened_ts
        self.qty = 0.0  # signed shares held
        self.entered = self.paid = 0.0  # shares, and price times shares
        self.left = self.received = 0.0
        self.fees = self.borrow = self.income = 0.0

    def scale(self, ratio: float) -> None:
        self.entered *= ratio
        self.left *= ratio

    def absorb(self, other: "_Trip") -> None:
        """Takes in another trip of the same symbol; what the other side entered is what this side left."""
        same = self.qty * other.qty > 0
        entered, left = (other.entered, other.left) if same else (other.left, other.entered)
        paid, received = (other.paid, other.received) if same else (other.received, other.paid)
        self.entered, self.left = self.entered + entered, self.left + left
        self.paid, self.received = self.paid + paid, self.received + received
        self.qty += other.qty
        self.fees, self.borrow = self.fees + other.fees, self.borrow + other.borrow
        self.income += other.income


class RoundTrips:
    """Trades from flat to flat, out of fills, corporate actions and charges in bus order.

        gross = side * multiplier * (sum of value left - sum of value entered)

    Every fill that adds to a position enters, every one that reduces it leaves; one that crosses zero ends a trade and
    begins the next, its fee shared by quantity. From flat to flat the average cost and any order of lots give the
    same P&L, so that the trades of a symbol add up to what the ledger realised. A split rescales shares and prices, a
    fraction paid out is an exit, a delisting ends the trade at its stated price, a change of symbol carries it over.
    `closed` collects the trades that ended; whoever reads it may clear it. Memory: one record a symbol that is held.
    """

    def __init__(self, universe: Universe, bookkeeping: Bookkeeping = Bookkeeping()) -> None:  # noqa: B008
        self._multiplier, self._lot = universe.multiplier.tolist(), universe.lot.tolist()
        self._keeping = bookkeeping
        self._open: dict[int, _Trip] = {}
        self.closed: list[Trade] = []

    def fill(self, ts: int, s: int, qty: float, price: float, fee: float, at: int) -> None:
        """One fill of slice `ts`."""
        trip = self._open.get(s)
        if trip is None:
            trip = self._open[s] = _Trip(at, ts)
        before = trip.qty
        after = in_lots(before + qty, self._lot[s])
        if before * qty < 0:
            crosses = before * after < 0
            out = abs(before) if crosses else abs(qty)
            part = fee * out / abs(qty) if crosses else fee
            trip.left += out
            trip.received += out * price
            trip.fees += part
            trip.qty = 0.0 if crosses else after
            if crosses or after == 0:
                self._close(s, at, ts, 1 if before > 0 else -1)
            if crosses:
                self.fill(ts, s, after, price, fee - part, at)
            return
        trip.qty = after
        trip.entered += abs(qty)
        trip.paid += abs(qty) * price
        trip.fees += fee

    def charge(self, s: int, amount: float) -> None:
        """Money that moved for a symbol without a trade, negative = paid; without a position it is of no trade."""
        trip = self._open.get(s)
        if trip is not None:
            trip.borrow -= amount

    def act(self, ts: int, kind: int, pair: tuple[int, int], ratio: float, amount: float, price: float) -> None:
        """A corporate action on the first of `pair`; `price` pays for the fraction of a lot that it leaves.

        The second of the pair is the successor of a change of symbol.
        """
        s, successor = pair
        trip = self._open.get(s)
        if trip is None:
            return
        if kind == ActionKind.SPLIT:
            trip.scale(ratio)
            trip.qty *= ratio
            self._pay_fraction(ts, s, price)
        elif kind == ActionKind.CASH_DIVIDEND:
            if self._keeping.dividends:
                trip.income += trip.qty * amount * self._multiplier[s]
        elif kind == ActionKind.DELISTING:
            self._leave(ts, s, trip.qty, amount)
        elif kind == ActionKind.SYMBOL_CHANGE:
            self._rename(ts, s, successor, ratio)
            self._pay_fraction(ts, successor, price)

    def _pay_fraction(self, ts: int, s: int, price: float) -> None:
        trip = self._open.get(s)
        if trip is None:
            return
        fraction = fraction_of(trip.qty, self._lot[s])
        if fraction:
            self._leave(ts, s, fraction, price if self._keeping.fractions else 0.0)

    def _leave(self, ts: int, s: int, qty: float, price: float) -> None:
        """Part of a position goes without a fill."""
        trip = self._open[s]
        side = 1 if trip.qty > 0 else -1
        trip.left += abs(qty)
        trip.received += abs(qty) * price
        trip.qty -= qty
        if trip.qty == 0:
            self._close(s, ts, ts, side)

    def _rename(self, ts: int, old: int, new: int, ratio: float) -> None:
        trip = self._open.pop(old)
        trip.scale(ratio)
        trip.qty *= ratio
        there = self._open.get(new)
        if there is None:
            self._open[new] = trip
            return
        kept, gone = (there, trip) if abs(there.qty) > abs(trip.qty) else (trip, there)
        side = 1 if kept.qty > 0 else -1
        kept.absorb(gone)
        self._open[new] = kept
        if kept.qty == 0:
            self._close(new, ts, ts, side)

    def _close(self, s: int, at: int, ts: int, side: int) -> None:
        trip = self._open.pop(s)
        self.closed.append(self._trade(s, trip, side, (at, ts), math.nan))

    def still_open(self, mark: Vector) -> list[Trade]:
        """The trades that have not ended, valued at these marks (N,), in the order in which they were opened."""
        return [
            self._trade(s, trip, 1 if trip.qty > 0 else -1, (0, 0), float(mark[s])) for s, trip in self._open.items()
        ]

    def _trade(self, s: int, trip: _Trip, side: int, end: tuple[int, int], mark: float) -> Trade:
        multiplier = self._multiplier[s]
        worth = trip.received + (abs(trip.qty) * mark if trip.qty else 0.0)
        gross = side * multiplier * (worth - trip.paid)
        net = gross - trip.fees - trip.borrow + trip.income
        return Trade(
            symbol=s,
            side=side,
            opened=trip.opened,
            closed=end[0],
            opened_ts=trip.opened_ts,
            closed_ts=end[1],
            quantity=trip.entered,
            entry=trip.paid / trip.entered,
            exit=trip.received / trip.left if end[1] and trip.left else math.nan,
            gross=gross,
            fees=trip.fees,
            borrow=trip.borrow,
            income=trip.income,
            net=net,
            share=net / (trip.paid * multiplier) if trip.paid else math.nan,
        )


def win_rate(returns: Vector) -> float:
    """Share of trades with a positive return; NaN without trades.

    >>> win_rate(np.array([0.1, -0.05, 0.2, 0.0]))
    0.5
    """
    return float(np.count_nonzero(returns > 0)) / len(returns) if len(returns) else math.nan


def profit_factor(returns: Vector) -> float:
    """Sum of the positive returns over the sum of the negative ones, unsigned; NaN where none is negative.

    Source: backtesting.py, compute_stats.

    >>> profit_factor(np.array([0.1, -0.05, 0.2]))
    6.000000000000001
    """
    lost = -float(returns[returns < 0].sum())
    return float(returns[returns > 0].sum()) / lost if lost > 0 else math.nan


def average_return(returns: Vector) -> float:
    """Geometric mean: the return that, in every trade one after the other, would have grown the same.

        g = (prod (1 + r_k))^(1/n) - 1,   NaN where a trade lost everything or there is none

    >>> round(average_return(np.array([1.0, -0.5])), 12)
    0.0
    """
    if not len(returns) or not float(returns.min()) > -1.0:
        return math.nan
    return float(np.expm1(np.log1p(returns).mean()))


def exposure(first: Stamps, last: Stamps, slices: int) -> float:
    """Share of slices in which some position was held at some moment.

    `first` and `last` (K,) are the places of the slices in which each trade began and ended, both counting.

    >>> exposure(np.array([1, 2]), np.array([2, 3]), 5)
    0.6
    """
    if not slices:
        return math.nan
    steps = np.zeros(slices + 1)
    np.add.at(steps, np.maximum(first, 0), 1.0)
    np.add.at(steps, np.clip(last, 0, slices - 1) + 1, -1.0)
    return float(np.count_nonzero(np.cumsum(steps[:-1]) > 0)) / slices


class TradeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What closed trades say together; NaN = undefined."""

    trades: int
    win_rate: float
    profit_factor: float
    best: float
    worst: float
    average: float  # geometric
    expectancy: float  # arithmetic mean
    slices: float  # mean slices held


def trade_figures(returns: Vector, slices: Vector) -> TradeFigures:
    """The figures of K closed trades with these returns, held for so many slices."""
    n = len(returns)
    return TradeFigures(
        trades=n,
        win_rate=win_rate(returns),
        profit_factor=profit_factor(returns),
        best=float(returns.max()) if n else math.nan,
        worst=float(returns.min()) if n else math.nan,
        average=average_return(returns),
        expectancy=float(returns.mean()) if n else math.nan,
        slices=float(slices.mean()) if n else math.nan,
    )
