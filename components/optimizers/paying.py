"""What an optimizer's account can pay for: the rules of sizing, trades and their costs, and which purchases are cut.

Nothing here remembers anything; what a function needs comes in.
"""

from dataclasses import dataclass
from functools import cached_property
from math import floor
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.events import Book, Mask, OrderKind, TimeInForce, Vector
from engine.ids import OrderIds
from engine.nested import costs_of
from engine.protocols import Conditions, CostModel
from engine.universe import Universe

Rows: TypeAlias = NDArray[Any]  # positions in an array
_NONE: Vector = np.empty(0)
OrderName: TypeAlias = Literal["market", "market_on_open", "market_on_close"]
TifName: TypeAlias = Literal["day", "gtc", "ioc", "fok"]
KINDS = {
    "market": OrderKind.MARKET,
    "market_on_open": OrderKind.MARKET_ON_OPEN,
    "market_on_close": OrderKind.MARKET_ON_CLOSE,
}
TIFS = {
    "day": TimeInForce.DAY,
    "gtc": TimeInForce.GOOD_TILL_CANCELLED,
    "ioc": TimeInForce.IMMEDIATE_OR_CANCEL,
    "fok": TimeInForce.FILL_OR_KILL,
}


@dataclass(frozen=True)
class Sizing:
    """What turning shares into orders depends on.

    `reserve_bps` is kept back for the gap between the mark and the fill, on purchases and on the proceeds of sales.
    `min_order_value` (base money) and `band` (share of equity) drop small trades, never one that closes a position, one
    that is `needed`, (N,), None = none, nor one that a parent of an execution policy has begun.
    Without `afford`, purchases are sent whole, from the highest alpha to the lowest (NaN last), and cutting them is
    left to the broker. Without `proceeds`, what the sales of a slice bring is not spent on its purchases: where sales
    settle later the broker would cut those. On margin, `leverage` times equity is what positions may be worth;
    None = a cash account, which spends no more than its cash.
    """

    universe: Universe
    ids: OrderIds
    costs: CostModel
    name: str
    reserve_bps: float
    min_order_value: float
    band: float
    order: OrderName = "market"
    time_in_force: TifName = "day"
    afford: bool = True
    proceeds: bool = True
    leverage: float | None = None
    needed: Mask | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "costs", costs_of(self.costs))
        for option, value, known in (("order", self.order, KINDS), ("time_in_force", self.time_in_force, TIFS)):
            if value not in known:
                raise ValueError(f"{option} must be one of {', '.join(known)}, got {value!r}")
        for key, most in (("reserve_bps", 5_000.0), ("min_order_value", np.inf), ("band", 1.0)):
            number = getattr(self, key)
            if not 0 <= number <= most:
                raise ValueError(f"{key} must be between 0 and {most:g}, got {number}")
        if self.leverage is not None and not 1 <= self.leverage < np.inf:
            raise ValueError(f"leverage must be finite and at least 1 (times equity), got {self.leverage}")

    @cached_property
    def single(self) -> bool:
        """Whether a lot is one share of every symbol."""
        return bool((self.universe.lot == 1.0).all())

    @cached_property
    def plain(self) -> bool:
        """Whether one share at price 1 is worth 1 in the base currency, for every symbol."""
        return len(self.universe.currencies) == 1 and bool((self.universe.multiplier == 1).all())


@dataclass(slots=True)
class Trades:
    """Signed trades of L symbols, one each, and where they start: the position is filled plus working shares."""

    symbol: Rows
    qty: Vector
    position: Vector
    mark: Vector
    unit: Vector  # base money for one share
    ts: int = 0
    volume: Vector | None = None  # (N,) of the latest slice

    def pick(self, rows: Rows) -> "Trades":
        taken = (self.symbol[rows], self.qty[rows], self.position[rows], self.mark[rows], self.unit[rows])
        return Trades(*taken, self.ts, self.volume)

    def with_qty(self, qty: Vector) -> "Trades":
        return Trades(self.symbol, qty, self.position, self.mark, self.unit, self.ts, self.volume)

    def conditions(self) -> Conditions:
        volume = None if self.volume is None else self.volume[self.symbol]
        return Conditions(ts=self.ts, symbol=self.symbol, volume=volume)


def unit_value(universe: Universe, book: Book, rows: Rows | slice) -> Vector:
    """Base money for one share: mark * multiplier * rate; NaN where no mark was ever seen."""
    unit: Vector = book.mark[rows] * universe.multiplier[rows]
    return unit if len(book.rate) == 1 else unit * book.rate[universe.currency[rows]]


def expected_cost(sizing: Sizing, trades: Trades) -> tuple[Vector, Vector]:
    """(L,) base money that each trade takes (purchases) or brings (negative), and (L,) its fees.

    At the cost model's price for the mark, moved against us by the reserve. On margin it is not money but buying power:
    what the position grows by takes it, what it shrinks by gives it, (|position + qty| - |position|) price.
    """
    at = trades.conditions()
    gap = np.copysign(sizing.reserve_bps * 1e-4, trades.qty) + 1.0
    price = sizing.costs.price(trades.qty, trades.mark, at) * gap
    qty = trades.qty
    if sizing.leverage is not None:
        qty = np.abs(trades.position + qty) - np.abs(trades.position)
    if sizing.plain:
        return qty * price, np.add.reduce(sizing.costs.fees(trades.qty, price, at), 1)
    multiplier = sizing.universe.multiplier[trades.symbol]
    per_price = trades.unit / trades.mark  # multiplier * rate
    fees = np.add.reduce(sizing.costs.fees(trades.qty * multiplier, price, at), 1)
    return qty * price * per_price, fees * (per_price / multiplier)


def spendable(sizing: Sizing, book: Book, volume: Vector | None = None) -> float:
    """Base money at hand: settled cash in all currencies less what working purchases may still take.

    On margin: leverage times cash and positions at their marks, less the value of the positions and what working orders
    may still take, sales that open or add to a short too. Orders asked to be cancelled count too: they may fill first.
    """
    money = float(book.cash.dot(book.rate))
    if sizing.leverage is not None:
        held = book.qty.nonzero()[0]
        value = book.qty[held] * unit_value(sizing.universe, book, held)
        money = sizing.leverage * (money + float(value.sum())) - float(np.abs(value).sum())
    elif np.count_nonzero(book.unsettled):
        money -= float(book.unsettled.dot(book.rate))
    if np.count_nonzero(book.working):
        rows = np.flatnonzero(book.working > 0 if sizing.leverage is None else book.working)
        if rows.size:
            unit = unit_value(sizing.universe, book, rows)
            waiting = Trades(rows, book.working[rows], book.qty[rows], book.mark[rows], unit, book.ts, volume)
            value, fees = expected_cost(sizing, waiting)
            money -= float(np.maximum(value, 0.0).sum() + fees.sum())
    return money


def afford(sizing: Sizing, trades: Trades, alpha: Vector, money: float) -> Vector:
    """(L,) trades of which the purchases fit into `money` and, where they may be spent, the proceeds of the sales.

    The rule for which are cut: purchases that cover a short come first, then by alpha from high to low (NaN last),
    then in the order of the universe. In that order each is bought whole while the money lasts; the first that does
    not fit is cut to the lots that do, and those after it wait for another slice. On margin `money` is buying power:
    reductions, of shorts too, give it and are never cut; a sale that opens a short takes it before any purchase.
    """
    value, fees = expected_cost(sizing, trades)
    cost = value + fees
    if not sizing.proceeds:
        cost = np.maximum(cost, 0.0)
    closed = _NONE if sizing.leverage is None else _closings(trades)
    if closed.size:
        turns = closed.nonzero()[0]
        freed, _ = expected_cost(sizing, trades.pick(turns).with_qty(closed[turns]))
        cost[turns] = (value + fees)[turns] - freed
        money -= float(freed.sum()) if sizing.proceeds else 0.0
    total = np.add.reduce(cost)
    if total <= money:
        return trades.qty
    bought = trades.qty > 0.0
    if sizing.leverage is not None:
        bought &= trades.position + trades.qty > 0.0
    buys = bought.nonzero()[0]
    if not buys.size:
        return trades.qty
    money -= float(total - np.add.reduce(cost[buys]))
    order = buys
    if buys.size > 1:
        score = np.where(np.isnan(alpha[buys]), np.inf, -alpha[buys])
        order = buys[np.lexsort((trades.symbol[buys], score, trades.position[buys] >= 0))]
    spent = cost[order].cumsum()
    first = int(spent.searchsorted(money, "right"))
    result: Vector = trades.qty.copy()
    result[order[first:]] = closed[order[first:]] if closed.size else 0.0
    if first < len(order):
        left = money - (spent.item(first - 1) if first else 0.0)
        row = order[first : first + 1]
        result[row] = _part(sizing, trades.pick(row), value.item(row.item()), left)
    return result


def _closings(trades: Trades) -> Vector:
    """(L,) shares with which purchases that turn a short over close it, 0 elsewhere; empty where there are none.

    What is closed gives buying power and is never cut; only what is opened beyond it takes some and may be.
    """
    turns = (trades.position < 0.0) & (trades.position + trades.qty > 0.0)
    return np.where(turns, -trades.position, 0.0) if turns.any() else _NONE


def _part(sizing: Sizing, trade: Trades, value: float, money: float) -> float:
    """Shares in whole lots of one purchase that `money` pays for; the whole of it would take `value` and fees.

    Price and fees are taken at a quantity no smaller than the answer, and neither falls as the quantity grows.
    """
    lot, qty = sizing.universe.lot.item(trade.symbol.item()), trade.qty.item()
    closes = 0.0 if sizing.leverage is None else max(-trade.position.item(), 0.0)
    if closes:
        _, paid = expected_cost(sizing, trade.with_qty(np.array((closes,))))
        opened = Trades(trade.symbol, trade.qty - closes, np.zeros(1), trade.mark, trade.unit, trade.ts, trade.volume)
        taken, _ = expected_cost(sizing, opened)
        return closes + _part(sizing, opened, taken.item(), money - paid.item())
    most = floor(max(money, 0.0) * qty / value / lot) * lot
    if not most > 0:
        return 0.0
    qty = min(most, qty)
    bound = trade.with_qty(np.array((qty,)))
    cost, fees = expected_cost(sizing, bound)
    fits = floor(max(money - fees.item(), 0.0) * qty / cost.item() / lot) * lot
    return min(fits, qty)
