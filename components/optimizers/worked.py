"""What becomes of parents that an execution policy works when the optimizer decides again: pure functions of arrays."""

import numpy as np

from components.execution.rows import found_in
from components.optimizers.latest import Latest
from components.optimizers.paying import Rows, Sizing, Trades
from engine.events import Book, LegAction, Mask, OpenOrders, Orders, Vector
from engine.worked import parents_among, parted, unsent

_CANCEL, _REPLACE = int(LegAction.CANCEL), int(LegAction.REPLACE)
_DUST = 1e-9  # of what a parent has left: what a difference of sums may leave


def settled(
    sizing: Sizing, trades: Trades, wanted: Vector, book: Book, latest: Latest
) -> tuple[Trades, tuple[Orders, ...]]:
    """The trades that are to be sent as new orders, and the orders that amend the parents at work.

    `trades` lead from filled and working shares to what is wanted, as if there were no parents: what a parent has not
    sent works in no market, and its children in the market are among the working shares. A parent that would trade just
    what is wanted is left alone, so that a target given again changes nothing, be the rest ever so small. One on the
    right side goes on with the quantity that is wanted now (a replace). One on the other side, or of a symbol in which
    nothing is to be traded any more, is cancelled; a new order in its place need not wait, since what it cancels is in
    no market. Symbols without a target (NaN), or without a FRESH bar, are
    left as they are.
    """
    among = parents_among(book.open_orders)
    parents = np.flatnonzero(among)
    if not parents.size:
        return trades, ()
    symbol, left = book.open_orders.symbol[parents], book.open_orders.left[parents]
    rest = unsent(*parted(book.open_orders, among))
    asked = np.zeros(len(wanted))
    asked[trades.symbol] = trades.qty
    trade, decided = asked[symbol], np.isfinite(wanted[symbol]) & (latest.status[symbol] == 0)
    met = np.abs((wanted - book.qty - book.working)[symbol] - rest) <= _DUST * np.abs(left)
    met &= (trade == 0) | (np.abs(trade - rest) <= _DUST * np.abs(left))  # not what cash had to cut
    kept = np.where(met, left, trade + (left - rest))  # with its children
    alone = np.bincount(symbol, minlength=len(wanted))[symbol] == 1
    on = decided & alone & (kept * left > 0)
    replaced, cancelled = on & (np.abs(kept - left) > _DUST * np.abs(left)), decided & ~on
    new = trades.pick(np.flatnonzero(~np.isin(trades.symbol, symbol[on])))
    rows = np.concatenate([np.flatnonzero(cancelled), np.flatnonzero(replaced)])
    if not rows.size:
        return new, ()
    action = np.where(cancelled[rows], _CANCEL, _REPLACE).astype(np.int32)
    return new, (_amends(sizing, book, action, parents[rows], np.where(cancelled[rows], 0.0, kept[rows])),)


def worked_on(open_orders: OpenOrders, symbol: Rows, qty: Vector) -> Mask:
    """(L,) which of these trades, one a symbol, a parent on the same side has begun and not finished.

    The band decides whether a trade begins. Were it asked again while a parent works, each would stop short of its
    target by just less than the band, always on the near side.
    """
    parents = np.flatnonzero(parents_among(open_orders))
    at, traded = found_in(symbol, open_orders.symbol[parents])
    at, left = at[traded], open_orders.left[parents[traded]]
    begun = np.zeros(len(symbol), bool)
    begun[at[left * qty[at] > 0]] = True
    return begun


def begun_trades(open_orders: OpenOrders, change: Vector) -> Mask | None:
    """As `worked_on`, (N,) of a trade in every symbol; NaN trades nothing. None where nothing is open."""
    if not open_orders.ids.size:
        return None
    return worked_on(open_orders, np.arange(len(change)), change)


def _amends(sizing: Sizing, book: Book, action: Rows, rows: Rows, qty: Vector) -> Orders:
    """Cancels, then replaces of these rows of the open orders, each by what it may still trade."""
    count, none = len(rows), np.full(len(rows), np.nan)
    return Orders(
        ts=book.ts,
        action=action.astype(np.int32),
        ids=sizing.ids.following(ts=book.ts, count=count),
        ref=book.open_orders.ids[rows],
        symbol=book.open_orders.symbol[rows],
        qty=qty,
        kind=book.open_orders.kind[rows],
        limit=none,
        stop=none,
        trail=none,
        tif=np.zeros(count, np.int32),
        expires=np.zeros(count, np.int64),
    )
