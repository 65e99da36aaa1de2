"""From wanted shares to orders that can be paid for: pure functions of arrays, shared by all optimizers.

Nothing here remembers anything; what a function needs comes in.
"""

from dataclasses import dataclass
from functools import cached_property
from math import floor
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from components.optimizers.latest import Latest
from engine.events import (
    Book,
    LegAction,
    Mask,
    Note,
    OpenOrders,
    OrderKind,
    Orders,
    Target,
    TargetKind,
    TimeInForce,
    Vector,
)
from engine.ids import OrderIds
from engine.protocols import Conditions, CostModel
from engine.universe import Universe

Rows: TypeAlias = NDArray[Any]  # positions in an array
_CONDITIONAL = (OrderKind.STOP, OrderKind.STOP_LIMIT, OrderKind.TRAILING_STOP)
_QUANTITY = TargetKind.QUANTITY
_ROUND = 1e-9  # of a lot: what a division may leave below a whole number


def _frozen(array: Rows) -> Rows:
    array.flags.writeable = False
    return array


_NO_ROWS, _NANS = _frozen(np.empty(0, np.int32)), _frozen(np.full(1024, np.nan))


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
    `min_order_value` (base money) and `band` (share of equity) drop small trades, never one that closes a position.
    Without `afford`, purchases are sent whole, from the highest alpha to the lowest (NaN last), and cutting them is
    left to the broker. Without `proceeds`, what the sales of a slice bring is not spent on its purchases: where sales
    settle later the broker would cut those.
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

    def __post_init__(self) -> None:
        for option, value, known in (("order", self.order, KINDS), ("time_in_force", self.time_in_force, TIFS)):
            if value not in known:
                raise ValueError(f"{option} must be one of {', '.join(known)}, got {value!r}")
        for key, most in (("reserve_bps", 5_000.0), ("min_order_value", np.inf), ("band", 1.0)):
            number = getattr(self, key)
            if not 0 <= number <= most:
                raise ValueError(f"{key} must be between 0 and {most:g}, got {number}")

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


def wanted_shares(targets: tuple[Target, ...], book: Book, universe: Universe) -> Vector:
    """(N,) shares wanted by all targets together; NaN = leave the position as it is.

        QUANTITY: value     WEIGHT: value * equity / unit     VALUE: value / unit

    NaN in any target leaves the symbol alone, and so does a weight or value of a symbol without a positive mark;
    zero needs no mark.
    """
    total: Vector | None = None
    unit: Vector | None = None
    for target in targets:
        shares = target.value
        if target.kind is not _QUANTITY:
            if unit is None:
                unit = unit_value(universe, book, slice(None))
                usable = unit > 0
            money = shares * book.equity if target.kind is TargetKind.WEIGHT else shares
            shares = np.divide(money, unit, out=np.where(shares == 0, 0.0, np.nan), where=usable)
        total = shares if total is None else total + shares
    if total is None:
        raise ValueError("wanted_shares: it was given no target; call it with one at least")
    return total


def alpha_of(targets: tuple[Target, ...]) -> Vector:
    """(N,) the highest alpha that any target gives a symbol; NaN where none has an opinion."""
    alpha = targets[0].alpha
    for target in targets[1:]:
        alpha = np.fmax(alpha, target.alpha)
    return alpha


def round_trades(wanted: Vector, position: Vector, lot: Vector) -> Vector:
    """Signed trades in whole lots from `position` toward `wanted`, never past it.

    Toward zero when a position grows or shrinks, exact when it closes; one that turns over is closed exactly and
    opened in whole lots, so rounding alone never changes a sign.

    >>> round_trades(np.array([159.0, 0.0, -70.0, 40.0]), np.array([0.0, 7.5, 30.0, 150.0]), np.full(4, 50.0))
    array([ 150. ,   -7.5, -80. , -100. ])
    """
    start = position * (wanted * position > 0.0)  # where the trade begins to count in lots: 0 where it closes or turns
    lots = (wanted - start) / lot
    result: Vector = np.trunc(lots + np.copysign(_ROUND, lots)) * lot - (position - start)
    return result


def expected_cost(sizing: Sizing, trades: Trades) -> tuple[Vector, Vector]:
    """(L,) base money that each trade takes (purchases) or brings (negative), and (L,) its fees.

    At the cost model's price for the mark, moved against us by the reserve.
    """
    at = trades.conditions()
    gap = np.copysign(sizing.reserve_bps * 1e-4, trades.qty) + 1.0
    price = sizing.costs.price(trades.qty, trades.mark, at) * gap
    if sizing.plain:
        return trades.qty * price, np.add.reduce(sizing.costs.fees(trades.qty, price, at), 1)
    multiplier = sizing.universe.multiplier[trades.symbol]
    per_price = trades.unit / trades.mark  # multiplier * rate
    fees = np.add.reduce(sizing.costs.fees(trades.qty * multiplier, price, at), 1)
    return trades.qty * price * per_price, fees * (per_price / multiplier)


def spendable(sizing: Sizing, book: Book, volume: Vector | None = None) -> float:
    """Base money at hand: settled cash in all currencies less what working purchases may still take.

    Purchases asked to be cancelled count too: they may fill first.
    """
    money = float(book.cash.dot(book.rate))
    if np.count_nonzero(book.unsettled):
        money -= float(book.unsettled.dot(book.rate))
    if np.count_nonzero(book.working):
        rows = np.flatnonzero(book.working > 0)
        unit = unit_value(sizing.universe, book, rows)
        waiting = Trades(rows, book.working[rows], book.qty[rows], book.mark[rows], unit, book.ts, volume)
        value, fees = expected_cost(sizing, waiting)
        money -= float(value.sum() + fees.sum())
    return money


def afford(sizing: Sizing, trades: Trades, alpha: Vector, money: float) -> Vector:
    """(L,) trades of which the purchases fit into `money` and, where they may be spent, the proceeds of the sales.

    The rule for which are cut: purchases that cover a short come first, then by alpha from high to low (NaN last),
    then in the order of the universe. In that order each is bought whole while the money lasts; the first that does
    not fit is cut to the lots that do, and those after it wait for another slice.
    """
    value, fees = expected_cost(sizing, trades)
    cost = value + fees
    if not sizing.proceeds:
        cost = np.maximum(cost, 0.0)
    total = np.add.reduce(cost)
    if total <= money:
        return trades.qty
    buys = (trades.qty > 0.0).nonzero()[0]
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
    result[order[first:]] = 0.0
    if first < len(order):
        left = money - (spent.item(first - 1) if first else 0.0)
        row = order[first : first + 1]
        result[row] = _part(sizing, trades.pick(row), value.item(row.item()), left)
    return result


def _part(sizing: Sizing, trade: Trades, value: float, money: float) -> float:
    """Shares in whole lots of one purchase that `money` pays for; the whole of it would take `value` and fees.

    Price and fees are taken at a quantity no smaller than the answer, and neither falls as the quantity grows.
    """
    lot, qty = sizing.universe.lot.item(trade.symbol.item()), trade.qty.item()
    most = floor(max(money, 0.0) * qty / value / lot) * lot
    if not most > 0:
        return 0.0
    qty = min(most, qty)
    bound = trade.with_qty(np.array((qty,)))
    cost, fees = expected_cost(sizing, bound)
    fits = floor(max(money - fees.item(), 0.0) * qty / cost.item() / lot) * lot
    return min(fits, qty)


def contradicted(open_orders: OpenOrders, wanted: Vector, position: Vector) -> Rows:
    """Rows of open orders to cancel: those that trade away from what is wanted, and stops of a position not wanted.

    `position` (N,) counts filled and working shares. NaN wanted contradicts nothing.
    """
    symbol = open_orders.symbol
    stops = np.isin(open_orders.kind, _CONDITIONAL)
    away = (wanted[symbol] - position[symbol]) * open_orders.left < 0
    return np.flatnonzero(np.where(stops, wanted[symbol] == 0, away))


def orders_for(sizing: Sizing, wanted: Vector, alpha: Vector, book: Book, latest: Latest) -> tuple[Note | Orders, ...]:
    """Orders without a price that bring filled and working shares to `wanted` (N,), with notes on what was dropped.

    A symbol gets no order where `wanted` is NaN, where its bar is not FRESH or it has no positive mark (Note
    `untradable`), where the trade rounds to nothing or is below the band or the least value (Note `small`), and while
    an order of it is being cancelled, since that may still fill. Purchases that cash does not cover are cut as
    `afford` says (Note `cut`). Cancels come first, then sales, then purchases.
    """
    position = book.qty + book.working if np.count_nonzero(book.working) else book.qty
    change = wanted - position
    rows = change.nonzero()[0]  # NaN too
    cancels: Rows = _NO_ROWS
    if book.open_orders.ids.size:
        cancels = contradicted(book.open_orders, wanted, position)
        if cancels.size:
            rows = rows[~np.isin(rows, book.open_orders.symbol[cancels])]
    if not rows.size and not cancels.size:
        return ()
    trades, notes = rounded(sizing, (position, change), book, latest, rows)
    if sizing.afford and 1 in (trades.qty > 0.0).tobytes():
        bought = afford(sizing, trades, alpha[trades.symbol], spendable(sizing, book, latest.volume))
        if bought is not trades.qty:
            notes.append(cut_note(sizing, book, trades, bought))
            kept = bought.nonzero()[0]
            trades = trades.with_qty(bought)
            trades = trades if len(kept) == len(bought) else trades.pick(kept)
    elif not sizing.afford and trades.qty.size > 1:
        # A broker that is short of cash serves purchases in their order: the best come first.
        trades = trades.pick(np.where(trades.qty > 0.0, -alpha[trades.symbol], 0.0).argsort(kind="stable"))
    if not trades.qty.size and not cancels.size:
        return tuple(notes)
    return (*notes, legs(sizing, trades, book, cancels))


def cut_note(sizing: Sizing, book: Book, trades: Trades, bought: Vector) -> Note:
    """Which purchases were cut, and the shares that are not bought."""
    short = (bought != trades.qty).nonzero()[0]
    return note(sizing, book, "cut", trades.symbol[short], (trades.qty - bought)[short])


def rounded(
    sizing: Sizing, moves: tuple[Vector, Vector], book: Book, latest: Latest, rows: Rows
) -> tuple[Trades, list[Note]]:
    """Rounded trades of the symbols that can and need to be traded; `moves` are position and wanted less it, (N,)."""
    notes: list[Note] = []
    start, change, mark = moves[0][rows], moves[1][rows], book.mark[rows]
    unit = mark if sizing.plain else unit_value(sizing.universe, book, rows)
    known = change == change  # not NaN
    usable = known & (unit > 0.0)
    if np.count_nonzero(latest.status):
        usable &= latest.status[rows] == 0
    if not _every(usable):
        blocked = known & ~usable
        if blocked.any():
            notes.append(note(sizing, book, "untradable", rows[blocked], change[blocked]))
        rows, start, change = rows[usable], start[usable], change[usable]
        mark, unit = mark[usable], unit[usable]
    qty = round_trades(start + change, start, sizing.universe.lot[rows])
    keep = qty != 0.0
    least = max(sizing.min_order_value, sizing.band * book.equity)  # base money
    if least > 0:
        small = keep & (np.abs(qty) * unit < least) & (start + qty != 0)
        if small.any():
            notes.append(note(sizing, book, "small", rows[small], qty[small]))
            keep &= ~small
    trades = Trades(rows, qty, start, mark, unit, book.ts, latest.volume)
    return (trades if _every(keep) else trades.pick(keep)), notes


def _every(mask: Mask) -> bool:
    """mask.all(), for a handful of legs at a tenth of its cost."""
    return 0 not in mask.tobytes()


def _nans(count: int) -> Vector:
    """Read-only: orders without a price share one column."""
    return _NANS[:count] if count <= len(_NANS) else np.full(count, np.nan)


def note(sizing: Sizing, book: Book, kind: str, symbol: Rows, qty: Vector) -> Note:
    return Note(
        ts=book.ts,
        source=sizing.name,
        kind=kind,
        text=_WHY[kind].format(count=len(symbol)),
        symbol=symbol.astype(np.int32),
        value=qty,
    )


def legs(sizing: Sizing, trades: Trades, book: Book, cancels: Rows) -> Orders:
    """Cancels of open orders, then sales, then purchases, each in the order of the trades."""
    order = (trades.qty > 0.0).argsort(kind="stable")
    new, gone = len(order), len(cancels)
    count = new + gone
    symbol, qty = trades.symbol[order].astype(np.int32), trades.qty[order]
    zero, zeros, none = np.zeros(count, np.int32), np.zeros(count, np.int64), _nans(count)
    action, ref = zero, zeros.view(np.uint64)
    if gone:
        action = np.repeat(np.array([LegAction.CANCEL, LegAction.NEW], np.int32), [gone, new])
        ref = np.concatenate([book.open_orders.ids[cancels], np.zeros(new, np.uint64)])
        symbol = np.concatenate([book.open_orders.symbol[cancels], symbol])
        qty = np.concatenate([np.zeros(gone), qty])
    return Orders(
        ts=book.ts,
        action=action,
        ids=sizing.ids(ts=book.ts, count=count),
        ref=ref,
        symbol=symbol,
        qty=qty,
        kind=zero if sizing.order == "market" else np.full(count, KINDS[sizing.order], np.int32),
        limit=none,
        stop=none,
        trail=none,
        tif=zero if sizing.time_in_force == "day" else np.full(count, TIFS[sizing.time_in_force], np.int32),
        expires=zeros,
    )


_WHY = {
    "untradable": "{count} wanted trades have no FRESH bar or no price: no order",
    "small": "{count} trades are below min_order_value or band: no order",
    "price": "{count} wanted trades have no positive, finite limit or stop price on the tick: no order",
    "cut": "{count} purchases were cut to the cash at hand and the proceeds of sales: shares not bought",
}
