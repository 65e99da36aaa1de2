"""From wanted shares to orders that can be paid for: pure functions of arrays, shared by all optimizers.

Nothing here remembers anything; what a function needs comes in.
"""

import msgspec
import numpy as np

from components.optimizers.latest import Latest
from components.optimizers.paying import KINDS, TIFS, Rows, Sizing, Trades, afford, spendable, unit_value
from components.optimizers.worked import settled, worked_on
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
    Vector,
)
from engine.universe import Universe
from engine.worked import parents_among

_CONDITIONAL = (OrderKind.STOP, OrderKind.STOP_LIMIT, OrderKind.TRAILING_STOP)
_QUANTITY = TargetKind.QUANTITY
_ROUND = 1e-9  # of a lot: what a division may leave below a whole number


def _frozen(array: Rows) -> Rows:
    array.flags.writeable = False
    return array


NO_ROWS = _frozen(np.empty(0, np.int32))
# Columns that orders share: their first rows, as many as there are legs.
_NONE, _ZERO, _NEVER = (
    _frozen(np.full(1024, np.nan)),
    _frozen(np.zeros(1024, np.int32)),
    _frozen(np.zeros(1024, np.int64)),
)


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


def round_trades(wanted: Vector, position: Vector, lot: Vector | float) -> Vector:
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


def contradicted(open_orders: OpenOrders, wanted: Vector, position: Vector) -> Rows:
    """Rows of open orders to cancel: those that trade away from what is wanted, and stops of a position not wanted.

    `position` (N,) counts filled and working shares. NaN wanted contradicts nothing. Parents that an execution policy
    works and their children are no such orders: `worked.settled` says what becomes of them.
    """
    symbol = open_orders.symbol
    stops = np.isin(open_orders.kind, _CONDITIONAL)
    away = (wanted[symbol] - position[symbol]) * open_orders.left < 0
    worked = np.isin(open_orders.parent, open_orders.ids[parents_among(open_orders)])
    return np.flatnonzero(np.where(stops, wanted[symbol] == 0, away) & ~worked)


def orders_for(sizing: Sizing, wanted: Vector, alpha: Vector, book: Book, latest: Latest) -> tuple[Note | Orders, ...]:
    """Orders without a price that bring filled and working shares to `wanted` (N,), with notes on what was dropped.

    A symbol gets no order where `wanted` is NaN or infinite (Note `infinite`), where its bar is not FRESH or it has no
    positive mark (Note `untradable`), where the trade rounds to nothing (Note `lot` where nothing is held or working
    either) or is below the band or the least value (Note `small`) and no parent works on it, and while an order of it
    is being cancelled, since that may still fill. Purchases that cash does not cover are cut as `afford` says (Note
    `cut`). Cancels come first, then sales, then purchases.
    """
    position = book.qty + book.working if np.count_nonzero(book.working) else book.qty
    change = wanted - position
    rows = change.nonzero()[0]  # NaN too
    cancels: Rows = NO_ROWS
    if book.open_orders.ids.size:
        cancels = contradicted(book.open_orders, wanted, position)
        if cancels.size:
            rows = rows[~np.isin(rows, book.open_orders.symbol[cancels])]
    if not (rows.size or book.open_orders.ids.size):
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
    amends: tuple[Orders, ...] = ()
    if book.open_orders.ids.size:
        trades, amends = settled(sizing, trades, wanted, book, latest)
    if not trades.qty.size and not cancels.size:
        return (*notes, *amends)
    return (*notes, *amends, legs(sizing, trades, book, cancels))


def told_once(answer: tuple[Note | Orders, ...], before: Rows) -> tuple[tuple[Note | Orders, ...], Rows]:
    """The answer without a Note `lot` that says of the same symbols what was said before, and the symbols of it now.

    A target below a lot stays one for many slices; it is told when it begins, and again when others join it.
    """
    for i, event in enumerate(answer):
        if event.__class__ is Note and event.kind == "lot":
            now: Rows = event.symbol
            return (answer[:i] + answer[i + 1 :] if np.isin(now, before).all() else answer), now
    return answer, NO_ROWS


def cut_note(sizing: Sizing, book: Book, trades: Trades, bought: Vector) -> Note:
    """Which purchases were cut, and the shares that are not bought."""
    short = (bought != trades.qty).nonzero()[0]
    found = note(sizing, book, "cut", trades.symbol[short], (trades.qty - bought)[short])
    if sizing.leverage is None:
        return found
    text = f"{len(short)} purchases were cut to the buying power at leverage {sizing.leverage:g}: shares not bought"
    return msgspec.structs.replace(found, text=text)


def rounded(
    sizing: Sizing, moves: tuple[Vector, Vector], book: Book, latest: Latest, rows: Rows
) -> tuple[Trades, list[Note]]:
    """Rounded trades of the symbols that can and need to be traded; `moves` are position and wanted less it, (N,)."""
    notes: list[Note] = []
    start, change, mark = moves[0][rows], moves[1][rows], book.mark[rows]
    unit = mark if sizing.plain else unit_value(sizing.universe, book, rows)
    known = np.isfinite(change)
    usable = known & (unit > 0.0)
    if np.count_nonzero(latest.status):
        usable &= latest.status[rows] == 0
    if not _every(usable):
        endless = np.isinf(change)
        if endless.any():
            notes.append(note(sizing, book, "infinite", rows[endless], change[endless]))
        blocked = known & ~usable
        if blocked.any():
            notes.append(note(sizing, book, "untradable", rows[blocked], change[blocked]))
        rows, start, change = rows[usable], start[usable], change[usable]
        mark, unit = mark[usable], unit[usable]
    lot = 1.0 if sizing.single else sizing.universe.lot[rows]
    qty = round_trades(start + change, start, lot)
    keep = qty != 0.0
    if not _every(keep):
        none = ~keep & (start == 0.0) & (np.abs(change) > _ROUND * lot)
        if none.any():
            notes.append(note(sizing, book, "lot", rows[none], change[none]))
    least = max(sizing.min_order_value, sizing.band * book.equity)  # base money
    if least > 0:
        small = keep & (np.abs(qty) * unit < least) & (start + qty != 0)
        if small.any():
            small &= _droppable(sizing, book, rows, qty)
        if small.any():
            notes.append(note(sizing, book, "small", rows[small], qty[small]))
            keep &= ~small
    trades = Trades(rows, qty, start, mark, unit, book.ts, latest.volume)
    return (trades if _every(keep) else trades.pick(keep)), notes


def _droppable(sizing: Sizing, book: Book, rows: Rows, qty: Vector) -> Mask:
    """(L,) the trades that a limit does not need and no parent has begun: these may be too small."""
    free = np.ones(len(rows), bool) if sizing.needed is None else ~sizing.needed[rows]
    if book.open_orders.ids.size:
        free &= ~worked_on(book.open_orders, rows, qty)
    return free


def _every(mask: Mask) -> bool:
    """mask.all(), for a handful of legs at a tenth of its cost."""
    return 0 not in mask.tobytes()


def _first(count: int, column: Rows) -> Rows:
    """So many rows of a column that is the same throughout."""
    return column[:count] if count <= len(column) else np.full(count, column[0])


def note(sizing: Sizing, book: Book, kind: str, symbol: Rows, qty: Vector) -> Note:
    return Note(
        ts=book.ts,
        source=sizing.name,
        kind=kind,
        text=_WHY[kind].format(count=len(symbol), least=max(sizing.min_order_value, sizing.band * book.equity)),
        symbol=symbol.astype(np.int32),
        value=qty,
    )


def legs(sizing: Sizing, trades: Trades, book: Book, cancels: Rows) -> Orders:
    """Cancels of open orders, then sales, then purchases, each in the order of the trades."""
    order = (trades.qty > 0.0).argsort(kind="stable")
    new, gone = len(order), len(cancels)
    count = new + gone
    symbol, qty = trades.symbol[order].astype(np.int32), trades.qty[order]
    zero, never, none = _first(count, _ZERO), _first(count, _NEVER), _first(count, _NONE)
    action, ref = zero, never.view(np.uint64)
    if gone:
        action = np.repeat(np.array([LegAction.CANCEL, LegAction.NEW], np.int32), [gone, new])
        ref = np.concatenate([book.open_orders.ids[cancels], np.zeros(new, np.uint64)])
        symbol = np.concatenate([book.open_orders.symbol[cancels], symbol])
        qty = np.concatenate([np.zeros(gone), qty])
    return Orders(
        ts=book.ts,
        action=action,
        ids=sizing.ids.following(ts=book.ts, count=count),
        ref=ref,
        symbol=symbol,
        qty=qty,
        kind=zero if sizing.order == "market" else np.full(count, KINDS[sizing.order], np.int32),
        limit=none,
        stop=none,
        trail=none,
        tif=zero if sizing.time_in_force == "day" else np.full(count, TIFS[sizing.time_in_force], np.int32),
        expires=never,
    )


_WHY = {
    "untradable": "{count} wanted trades have no FRESH bar or no price: no order",
    "infinite": "{count} targets are infinite: left alone",
    "lot": "{count} wanted positions are less than a lot: no order",
    "small": "{count} trades are below {least:,.2f}, by min_order_value or band: no order",
    "price": "{count} wanted trades have no positive, finite limit or stop price on the tick: no order",
    "cut": "{count} purchases were cut to the cash at hand and the proceeds of sales: shares not bought",
}
