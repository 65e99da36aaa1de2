"""Orders at a limit or stop price toward what is wanted, and what becomes of those that rest: pure functions of arrays.

Nothing here remembers anything: what rests is read from the book, so that a target given again sends nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from components.optimizers.latest import Latest
from components.optimizers.paying import (
    KINDS,
    TIFS,
    Rows,
    Sizing,
    Trades,
    afford,
    expected_cost,
    spendable,
    unit_value,
)
from components.optimizers.sizing import contradicted, cut_note, note, orders_for, round_trades, rounded
from components.optimizers.worked import settled
from engine.events import Book, Codes, LegAction, Mask, Note, OpenOrders, OrderKind, Orders, Target, Vector

_LIMIT, _STOP, _STOP_LIMIT = int(OrderKind.LIMIT), int(OrderKind.STOP), int(OrderKind.STOP_LIMIT)
_TRAILING = int(OrderKind.TRAILING_STOP)
_NEW, _CANCEL, _REPLACE = int(LegAction.NEW), int(LegAction.CANCEL), int(LegAction.REPLACE)
_NEAR = 1e-9  # of a tick, and of a price: what a division may leave


@dataclass(frozen=True, slots=True)
class Prices:
    """The limit and stop prices that targets ask for, (N,) each, NaN = none."""

    limit: Vector
    stop: Vector


def prices_of(targets: tuple[Target, ...]) -> Prices | None:
    """The prices of all targets, None where there is none. Of several for one symbol the first target's counts."""
    limit, stop = targets[0].limit, targets[0].stop
    for target in targets[1:]:
        limit = np.where(np.isnan(limit), target.limit, limit)
        stop = np.where(np.isnan(stop), target.stop, stop)
    return None if np.isnan(limit).all() and np.isnan(stop).all() else Prices(limit, stop)


def on_tick(price: Vector, tick: Vector, up: Mask) -> Vector:
    """Prices as whole ticks, rounded up or down; a tick of 0 leaves a price as it is.

    >>> on_tick(np.array([10.019, 10.011, 10.01, 3.3]), np.array([0.01, 0.01, 0.01, 0.0]), np.array([0, 1, 1, 1]) > 0)
    array([10.01, 10.02, 10.01,  3.3 ])
    """
    stepped = tick > 0
    per_one = np.divide(1.0, tick, out=np.ones(len(tick)), where=stepped)  # a whole number for decimal ticks
    whole = np.abs(per_one - np.rint(per_one)) <= _NEAR * per_one
    steps = np.divide(price, tick, out=np.zeros(len(tick)), where=stepped)
    near = np.maximum(_NEAR, 1e-15 * np.abs(steps))
    count = np.where(up, np.ceil(steps - near), np.floor(steps + near))
    return np.where(stepped, np.where(whole, count / np.rint(per_one), count * tick), price)


def away_from_market(prices: Prices, rows: Rows, buys: Mask, tick: Vector) -> Prices:
    """Prices (L,) of orders for these symbols on their ticks, moved away from the market.

    A limit is passive: bought at or below, so down, and sold at or above, so up. A stop waits on the other side: a
    purchase triggers at or above, so up, and a sale at or below, so down. Rounding never makes an order trade at a
    worse limit, or trigger earlier, than was asked.
    """
    return Prices(on_tick(prices.limit[rows], tick[rows], ~buys), on_tick(prices.stop[rows], tick[rows], buys))


def kinds_of(prices: Prices, rows: Rows, plain: int) -> Codes:
    """The kind of order that each symbol's prices ask for; `plain` is the kind without a price.

    A stop alone is a STOP, with a limit a STOP_LIMIT; a limit alone a LIMIT, or an order for an auction that has one.
    """
    limit, stop = ~np.isnan(prices.limit[rows]), ~np.isnan(prices.stop[rows])
    alone = _LIMIT if plain == OrderKind.MARKET else plain
    return np.select([limit & stop, stop, limit], [_STOP_LIMIT, _STOP, alone], plain).astype(np.int32)


def orders_toward(
    sizing: Sizing, wanted: Vector, alpha: Vector, book: Book, latest: Latest, prices: Prices | None
) -> tuple[Note | Orders, ...]:
    """As `sizing.orders_for`, at the prices that targets ask for.

    An order of ours that rests at what is wanted now, kind, prices and shares, is left alone. One of which only prices
    or shares are no longer wanted is replaced. One of another kind, or of no use, is cancelled, and what is to
    stand in its place is sent once it is gone (rule 40). A stop that has not triggered is no position, but what it
    would trade is not sent twice. Without a target (NaN) orders stay as they are. Orders of an execution policy
    (those with a parent) and trailing stops are left to who sent them, but for cancels as in `orders_for`. Proceeds
    of sales at a price are not spent before they come. A price that is not positive, finite and at least a tick
    leaves its symbol alone (Note `price`).
    """
    if prices is None and (not book.open_orders.ids.size or not _rests_at_price(book.open_orders)):
        return orders_for(sizing, wanted, alpha, book, latest)
    nothing = np.full(len(wanted), np.nan)
    prices = Prices(nothing, nothing) if prices is None else prices
    notes, endless = [], np.isinf(wanted)
    if endless.any():
        notes.append(note(sizing, book, "infinite", np.flatnonzero(endless), wanted[endless]))
        wanted = np.where(endless, np.nan, wanted)
    bad = np.flatnonzero(_bad(prices, sizing.universe.tick) & (wanted == wanted))
    if bad.size:
        notes.append(note(sizing, book, "price", bad, wanted[bad]))
        wanted = wanted.copy()
        wanted[bad] = np.nan
    rest = _resting(sizing, wanted, book, prices)
    base = book.qty + book.working + rest.pending
    trade = round_trades(wanted, base, sizing.universe.lot)
    rest.cancel(trade)
    cancels = _cancels(rest, book.open_orders, wanted, base)
    free = np.ones(len(wanted), bool)
    free[book.open_orders.symbol[cancels]] = False
    rows = np.flatnonzero(((wanted - base) != 0) & free)
    trades, more = rounded(sizing, (base, wanted - base), book, latest, rows)
    notes += more
    if sizing.afford and (trades.qty > 0).any():
        bought = _affordable(sizing, trades, (alpha, prices), book, rest)
        if (bought != trades.qty).any():
            notes.append(cut_note(sizing, book, trades, bought))
            trades = trades.with_qty(bought).pick(np.flatnonzero(bought))
    trades, amends = settled(sizing, trades, wanted, book, latest)
    orders = _legs(sizing, trades, (rest, cancels, prices), book, free & (latest.status == 0))
    return (*notes, *amends) if orders is None else (*notes, *amends, orders)


def _bad(prices: Prices, tick: Vector) -> Mask:
    bad = np.zeros(len(tick), bool)
    for price in (prices.limit, prices.stop):
        bad |= ~np.isnan(price) & ~((price > 0) & (price >= tick * (1 - _NEAR)) & np.isfinite(price))
    return bad


def _rests_at_price(open_orders: OpenOrders) -> bool:
    """Whether an order of ours has a price, so that a target without one has something to say about it."""
    if not np.count_nonzero(open_orders.kind):
        return False
    priced = ~(np.isnan(open_orders.limit) & np.isnan(open_orders.stop))
    return bool((priced & _ours(open_orders)).any())


def _ours(open_orders: OpenOrders) -> Mask:
    mine: Mask = (open_orders.parent == 0) & (open_orders.kind != _TRAILING)
    return mine


@dataclass(slots=True)
class _Resting:
    """Our R open orders of symbols with a target, beside the kind and prices that are wanted of each now."""

    rows: Rows  # of the book's open orders
    symbol: Rows
    left: Vector
    same: Mask  # of the kind that is wanted
    exact: Mask  # at the prices that are wanted
    amends: Mask  # the only one of its symbol, and at a price: it is replaced rather than joined by another
    prices: Prices  # (R,) wanted, on their ticks
    untriggered: Mask
    pending: Vector  # (N,) shares of those that wait for their trigger and are still wanted
    gone: Mask  # to be cancelled

    def cancel(self, trade: Vector) -> None:
        """Marks what is of no use; `trade` (N,) is what is missing to what is wanted beside these orders."""
        missing = trade[self.symbol]
        away = self.left * missing < 0
        turned = np.abs(missing) >= np.abs(self.left)
        self.gone = ~self.same | (~self.exact & ~self.amends) | (away & (turned | ~self.amends))


def _resting(sizing: Sizing, wanted: Vector, book: Book, prices: Prices) -> _Resting:
    open_orders, n = book.open_orders, len(wanted)
    kind, every = open_orders.kind, open_orders.symbol
    waits = (kind == _STOP) | (kind == _STOP_LIMIT) | (kind == _TRAILING)
    plain = np.bincount(every[~waits], weights=open_orders.left[~waits], minlength=n)
    waits &= np.abs(book.working - plain)[every] <= _NEAR  # else they have triggered, and are in `working`
    rows = np.flatnonzero(_ours(open_orders) & ~np.isnan(wanted[every]))
    symbol, left = every[rows].astype(np.intp), open_orders.left[rows]
    asked = away_from_market(prices, symbol, left > 0, sizing.universe.tick)
    limit, stop = open_orders.limit[rows], open_orders.stop[rows]
    same = kind[rows] == kinds_of(prices, symbol, int(KINDS[sizing.order]))
    same &= np.isnan(limit) == np.isnan(asked.limit)
    exact = _equal(limit, asked.limit) & (_equal(stop, asked.stop) | ~waits[rows])
    alone = np.bincount(symbol, minlength=n)[symbol] == 1
    untriggered = waits[rows]
    pending = np.bincount(symbol, weights=np.where(untriggered & same, left, 0.0), minlength=n).astype(float)
    amends = alone & same & ~(np.isnan(limit) & np.isnan(stop))
    return _Resting(rows, symbol, left, same, exact, amends, asked, untriggered, pending, np.zeros(len(rows), bool))


def _equal(one: Vector, other: Vector) -> Mask:
    close: Mask = np.abs(one - other) <= _NEAR * np.abs(other)
    return close | (np.isnan(one) & np.isnan(other))


def _cancels(rest: _Resting, open_orders: OpenOrders, wanted: Vector, base: Vector) -> Rows:
    """Rows of open orders to cancel, ours and others'."""
    others = contradicted(open_orders, wanted, base)
    others = others[~_ours(open_orders)[others]]
    return np.sort(np.concatenate([rest.rows[rest.gone], others]))


def _affordable(sizing: Sizing, trades: Trades, wish: tuple[Vector, Prices], book: Book, rest: _Resting) -> Vector:
    """(L,) trades with purchases cut to the money there is, each at the worst price that it may pay."""
    alpha, prices = wish
    money = spendable(sizing, book, trades.volume)
    waiting = rest.untriggered & rest.same & ~rest.gone & (rest.left > 0)
    if waiting.any():
        symbol = rest.symbol[waiting]
        unit = unit_value(sizing.universe, book, symbol)
        asked = (symbol, rest.left[waiting], book.qty[symbol], book.mark[symbol], unit, book.ts, trades.volume)
        value, fees = expected_cost(sizing, _at_prices(Trades(*asked), prices))
        money -= float(np.maximum(value, 0.0).sum() + fees.sum())
    limit, stop = prices.limit[trades.symbol], prices.stop[trades.symbol]
    sure = (trades.qty > 0) | (np.isnan(limit) & np.isnan(stop))
    bought = trades.qty.copy()
    bought[sure] = afford(sizing, _at_prices(trades.pick(sure), prices), alpha[trades.symbol[sure]], money)
    return bought


def _at_prices(trades: Trades, prices: Prices) -> Trades:
    """Trades as if the market stood at the limit of each, or at a stop that is dearer than the mark."""
    limit, stop = prices.limit[trades.symbol], prices.stop[trades.symbol]
    at = np.where(np.isnan(limit), np.fmax(trades.mark, stop), limit)
    return Trades(
        trades.symbol, trades.qty, trades.position, at, trades.unit * (at / trades.mark), trades.ts, trades.volume
    )


def _legs(
    sizing: Sizing, trades: Trades, parts: tuple[_Resting, Rows, Prices], book: Book, tradable: Mask
) -> Orders | None:
    """Cancels, replaces, sales, then purchases, each group in the order of the book or of the universe."""
    rest, cancels, prices = parts
    change = np.zeros(len(tradable))
    change[trades.symbol] = trades.qty
    amended = np.flatnonzero(
        rest.amends & ~rest.gone & tradable[rest.symbol] & (~rest.exact | (change[rest.symbol] != 0))
    )
    new = trades.pick(np.flatnonzero(~np.isin(trades.symbol, rest.symbol[rest.amends & ~rest.gone])))
    new = new.pick((new.qty > 0).argsort(kind="stable"))
    counts = [len(cancels), len(amended), len(new.symbol)]
    count = sum(counts)
    if not count:
        return None
    open_orders, none = book.open_orders, np.full(len(cancels), np.nan)
    at = away_from_market(prices, new.symbol, new.qty > 0, sizing.universe.tick)
    row, symbol = rest.rows[amended], rest.symbol[amended]
    more = change[symbol]
    left = np.where(more != 0, rest.left[amended] + more, np.nan)
    limit = rest.prices.limit[amended]
    stop = np.where(rest.untriggered[amended], rest.prices.stop[amended], np.nan)  # a trigger that was met stays met
    kinds = kinds_of(prices, new.symbol, int(KINDS[sizing.order]))
    columns: dict[str, tuple[Any, ...]] = {
        "ref": (open_orders.ids[cancels], open_orders.ids[row], np.zeros(counts[2], np.uint64)),
        "symbol": (open_orders.symbol[cancels], symbol.astype(np.int32), new.symbol.astype(np.int32)),
        "qty": (np.zeros(counts[0]), left, new.qty),
        "kind": (open_orders.kind[cancels], open_orders.kind[row], kinds),
        "limit": (none, np.where(_equal(open_orders.limit[row], limit), np.nan, limit), at.limit),
        "stop": (none, np.where(_equal(open_orders.stop[row], stop), np.nan, stop), at.stop),
    }
    return Orders(
        ts=book.ts,
        action=np.repeat(np.array([_CANCEL, _REPLACE, _NEW], np.int32), counts),
        ids=sizing.ids.following(ts=book.ts, count=count),
        tif=np.full(count, TIFS[sizing.time_in_force], np.int32),
        expires=np.zeros(count, np.int64),
        trail=np.full(count, np.nan),
        **{name: np.concatenate(column) for name, column in columns.items()},
    )
