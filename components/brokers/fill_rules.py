"""When an order trades, at which price and how much of it: pure functions of arrays.

Nothing here remembers anything, so that a simulated broker and a vectorised environment can share the rules.
"""

from types import MappingProxyType
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.brokers.kinds import WAITS
from engine.events import Bars, Codes, Ids, Mask, OrderKind, Stamps, Vector

Rows: TypeAlias = NDArray[np.intp]

_EXEC_STEP = np.array(0x9E3779B97F4A7C15, np.uint64)  # odd, so that the fills of one order never share an id
_LAST_FIRST = bytes((True, False))


def every(mask: Mask) -> bool:
    """mask.all(), for the few legs of a slice at a tenth of its cost.

    >>> every(np.array([True, True])), every(np.array([True, False]))
    (True, False)
    """
    return 0 not in mask.tobytes()


class Terms(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What orders ask for beside their quantity, as columns of one shape. A price of NaN is none."""

    kind: Codes  # OrderKind
    limit: Vector
    stop: Vector  # the trigger; of a trailing stop the one it starts from
    trail: Vector  # distance of a trailing stop
    best: Vector  # of a trailing stop: the best price since it was accepted, before this bar
    triggered: Mask


class Prices(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """The bar that each order meets; an open of NaN where nothing can trade."""

    open: Vector
    high: Vector
    low: Vector
    close: Vector


class Outcome(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What a bar does to each order, as columns of the shape of the orders."""

    reference: Vector  # the market's price at which it trades, NaN = it does not
    triggered: Mask  # in this bar or before
    best: Vector
    phase: Codes  # when in the bar: OPEN, STOPS, LIMITS or CLOSE


class Point(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """An instant of a bar at which the market trades at one price, auctions among them. Arrays of (N,)."""

    price: Vector
    volume: Vector  # shares, NaN = unknown
    at: int
    by: int  # orders that were accepted later miss it


OPEN, STOPS, LIMITS, CLOSE = range(4)  # the order of what trades within a bar

# The column of a bar at which a timing trades.
PRICE_AT = MappingProxyType({"next_open": "open", "next_close": "close", "next_vwap": "vwap", "same_close": "close"})


def point_of(bars: Bars, timing: str) -> Point:
    """The price point of a bar that a timing other than an auction names.

    | timing       | price | orders accepted up to |
    | ------------ | ----- | --------------------- |
    | `next_open`  | open  | the open              |
    | `next_close` | close | the open              |
    | `next_vwap`  | vwap  | the open              |
    | `same_close` | close | the close             |

    >>> point_of(bars(day(1), [10.0], open=[9.0]), "next_open").price
    array([9.])
    """
    price = getattr(bars, PRICE_AT[timing])
    if timing == "next_open":
        return Point(price=price, volume=bars.volume, at=bars.opened, by=bars.opened)
    return Point(price=price, volume=bars.volume, at=bars.ts, by=bars.ts if timing == "same_close" else bars.opened)


def opening_auction(bars: Bars, cutoff_ns: int, volume: Vector | None = None) -> Point:
    """The auction at the open of a session's first bar; the volume of the bar where that of the auction is unknown."""
    known = bars.volume if volume is None else volume
    return Point(price=bars.open, volume=known, at=bars.opened, by=bars.opened - cutoff_ns)


def closing_auction(bars: Bars, cutoff_ns: int, volume: Vector | None = None) -> Point:
    """The auction at the close of a session's last bar."""
    known = bars.volume if volume is None else volume
    return Point(price=bars.close, volume=known, at=bars.ts, by=bars.ts - cutoff_ns)


def offered(point: Point, status: Codes, at: Rows) -> Vector:
    """The price that each order meets at a point, NaN where nobody trades.

    A missing or halted bar has no price, and at the prices of a bar without volume nobody traded. An unknown volume
    (NaN) is no reason to rest. `at` is the position of each order's symbol.

    >>> two = bars(day(1), [10.0, np.nan])
    >>> offered(point_of(two, "next_close"), two.status, np.array([1, 0]))
    array([nan, 10.])
    """
    price = point.price[at]
    if np.count_nonzero(status):
        price = np.where(status[at] == 0, price, np.nan)
    if np.count_nonzero(point.volume) < len(point.volume):
        price = np.where(point.volume[at] == 0.0, np.nan, price)
    return price


def in_time(point: Point, accepted: Stamps, until: Stamps) -> Mask:
    """Which orders were accepted early enough for a point, and last until then.

    >>> point = point_of(bars(day(1), [10.0]), "next_close")
    >>> in_time(point, np.array([day(0), day(1), day(0)]), np.array([day(9), day(9), day(0)]))
    array([ True, False, False])
    """
    mask: Mask = (accepted <= point.by) & (until >= point.at)
    return mask


def _as_buyer(qty: Vector, terms: Terms, first: Vector) -> tuple[Vector, Vector, Vector, Mask]:
    """Side, limit, trigger, and who still waits for it, in prices times the side: a sale is a purchase there.

    The trigger of a trailing stop is the best price before this bar and the distance from it, or the one it starts
    from where that is nearer; without either it starts at the distance from the first price it meets.
    """
    side = np.where(qty > 0, 1.0, -1.0)
    limit = np.where(np.isnan(terms.limit), np.inf, side * terms.limit)
    trigger = np.fmin(side * terms.stop, side * terms.best + terms.trail)
    trigger = np.where(np.isnan(trigger), side * first + terms.trail, trigger)
    return side, limit, trigger, WAITS[terms.kind] & ~terms.triggered


def _moved(side: Vector, terms: Terms, price: Vector) -> Vector:
    """The best price of trailing stops after this one: the lowest for a purchase, the highest for a sale."""
    trailing = terms.kind == OrderKind.TRAILING_STOP
    best: Vector = np.where(trailing, side * np.fmin(side * terms.best, price), terms.best)
    return best


def continuous(qty: Vector, terms: Terms, bar: Prices, *, touch: bool = False) -> Outcome:
    """Trading from the open of a bar to its close. Of a purchase, and of a sale mirrored:

    | kind          | trades                                                                                  |
    | ------------- | --------------------------------------------------------------------------------------- |
    | MARKET        | at the open                                                                             |
    | LIMIT         | open <= limit: at the open; else low < limit (`touch`: <=): at the limit                |
    | STOP          | open >= trigger: at the open; else high >= trigger: at the trigger                      |
    | STOP_LIMIT    | open >= trigger: as a limit order from the open on; else high >= trigger and            |
    |               | close <= limit: at the trigger, or at the limit where that is lower; else it rests,     |
    |               | triggered, as a limit order                                                             |
    | TRAILING_STOP | as STOP, with the trigger known from earlier bars; this bar moves it after it was tried |

    What was triggered before is a market order (a limit order) by now. The close has to prove the fill of a stop-limit
    order that is triggered inside a bar, since what came after the trigger is not known otherwise.

    >>> day_one = Prices(open=np.array([10.0]), high=np.array([11.0]), low=np.array([9.0]), close=np.array([10.5]))
    >>> none = np.array([np.nan])
    >>> stop = Terms(kind=np.array([2]), limit=none, stop=np.array([10.8]), trail=none, best=none,
    ...     triggered=np.array([False]))
    >>> continuous(np.array([5.0]), stop, day_one).reference
    array([10.8])
    """
    if not np.count_nonzero(WAITS[terms.kind]):
        return _without_triggers(qty, terms, bar, touch)
    side, limit, trigger, waits = _as_buyer(qty, terms, bar.open)
    buys, valid = side > 0, bar.open > 0
    opened, close = side * bar.open, side * bar.close
    low, high = np.where(buys, bar.low, -bar.high), np.where(buys, bar.high, -bar.low)
    gaps = waits & valid & (opened >= trigger)
    inside = waits & valid & (opened < trigger) & (high >= trigger)
    live = valid & ~waits | gaps
    at_open = live & (opened <= limit)
    at_limit = live & (opened > limit) & ((low <= limit) if touch else (low < limit))
    at_stop = inside & (close <= limit)
    price = np.where(at_open, opened, np.where(at_limit, limit, np.nan))
    price = np.where(at_stop, np.minimum(trigger, limit), price)
    return Outcome(
        reference=side * price,
        triggered=terms.triggered | gaps | inside,
        best=_moved(side, terms, np.where(valid, np.fmin(opened, low), np.nan)),
        phase=np.where(at_stop, STOPS, np.where(at_limit, LIMITS, OPEN)).astype(np.int32),
    )


def _without_triggers(qty: Vector, terms: Terms, bar: Prices, touch: bool) -> Outcome:
    """The same for orders that are all MARKET or LIMIT, the usual case, with nothing to work out for the others."""
    buys = qty > 0
    side = np.where(buys, 1.0, -1.0)
    limit = np.where(np.isnan(terms.limit), np.inf, side * terms.limit)
    opened, low, valid = side * bar.open, np.where(buys, bar.low, -bar.high), bar.open > 0
    at_open = valid & (opened <= limit)
    at_limit = valid & (opened > limit) & ((low <= limit) if touch else (low < limit))
    price = np.where(at_open, opened, np.where(at_limit, limit, np.nan))
    phase = np.where(at_limit, np.int32(LIMITS), np.int32(OPEN))
    return Outcome(reference=side * price, triggered=terms.triggered, best=terms.best, phase=phase)


def at_one_price(qty: Vector, terms: Terms, price: Vector) -> Outcome:
    """Trading at one price p, as in an auction: every kind is tried against p and trades at it. NaN = no trade.

        purchase: limit p <= limit, stop p >= trigger, stop-limit both; a sale mirrored

    A trailing stop is tried first and moved by p afterwards.

    >>> none, p = np.array([np.nan]), np.array([10.0])
    >>> limit = Terms(kind=np.array([1]), limit=np.array([10.0]), stop=none, trail=none, best=none,
    ...     triggered=np.array([False]))
    >>> at_one_price(np.array([5.0]), limit, p).reference, at_one_price(np.array([5.0]), limit, p + 0.1).reference
    (array([10.]), array([nan]))
    """
    side, limit, trigger, waits = _as_buyer(qty, terms, price)
    p, valid = side * price, price > 0
    hit = waits & valid & (p >= trigger)
    trades = (valid & ~waits | hit) & (p <= limit)
    return Outcome(
        reference=np.where(trades, price, np.nan),
        triggered=terms.triggered | hit,
        best=_moved(side, terms, np.where(valid, p, np.nan)),
        phase=np.zeros(np.shape(price), np.int32),
    )


def price_limits(last: Vector, share: float, tick: Vector) -> tuple[Vector, Vector]:
    """The lower and the upper price that an exchange allows: last close times 1 -+ share, rounded to the tick.

    >>> price_limits(np.array([10.05]), 0.1, np.array([0.01]))
    (array([9.05]), array([11.06]))
    """
    step = np.where(tick > 0, tick, np.nan)
    bounds = []
    for exact in (last * (1.0 - share), last * (1.0 + share)):
        whole = np.floor(exact / step + 0.5 + 1e-9) * step
        bounds.append(np.where(np.isnan(step), exact, whole))
    return bounds[0], bounds[1]


def locked(qty: Vector, reference: Vector, lower: Vector, upper: Vector) -> Mask:
    """Which orders find nobody on the other side: purchases at or above the upper limit, sales at or below the lower.

    >>> locked(np.array([1.0, -1.0]), np.array([11.0, 11.0]), np.array([9.0, 9.0]), np.array([11.0, 11.0]))
    array([ True, False])
    """
    slack = 1e-9 * reference
    mask: Mask = np.where(qty > 0, reference >= upper - slack, reference <= lower + slack)
    return mask


class Wanted(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What orders want to trade, in the order of execution. All of shape (L,)."""

    symbol: Rows
    qty: Vector  # signed shares
    whole: Mask  # whole or not at all
    lot: Vector
    place: Rows  # in the room that they share


def room_of(volume: Vector, participation: float) -> Vector:
    """Shares that may trade of these volumes; none where a volume is unknown.

    >>> room_of(np.array([1000.0, np.nan]), 0.1)
    array([100.,   0.])
    """
    room: Vector = np.nan_to_num(volume * participation)
    return room


def rationed(wanted: Wanted, room: Vector | None, held: Vector | None) -> tuple[Vector, Mask]:
    """What volume and position leave of each order, and which sales the position cut.

    `room` is in shares, and what does not fit is cut to whole lots. `held` (N,) is given where a position has a
    floor, as shares above it: then a sale trades what the orders before it leave of them. Orders that trade whole or
    not at all leave their room to the next. None = no such bound.

    >>> symbol = np.zeros(3, int)
    >>> orders = Wanted(symbol=symbol, qty=np.full(3, 60.0), whole=np.array([False, True, False]), lot=np.full(3, 10.0),
    ...     place=symbol)
    >>> rationed(orders, np.array([105.0]), None)[0]
    array([60.,  0., 40.])
    """
    qty, lot = wanted.qty, wanted.lot
    part, beyond = qty.copy(), np.zeros(len(qty), bool)
    room = None if room is None else room.copy()
    held = None if held is None else held.copy()
    for rows in turns(wanted.symbol):
        s, place, size, sells = wanted.symbol[rows], wanted.place[rows], np.abs(qty[rows]), qty[rows] < 0
        most = size
        if held is not None:
            most = np.where(sells, np.minimum(size, np.maximum(held[s], 0.0)), size)
            beyond[rows] = most < size
        if room is not None:
            left = room[place]
            most = np.where(most <= left, most, np.floor(left / lot[rows] + 1e-9) * lot[rows])
        most = np.where(wanted.whole[rows] & (most < size), 0.0, most)
        part[rows] = np.where(sells, -most, most)
        if room is not None:
            room[place] -= most
        if held is not None:
            held[s] += part[rows]
    return part, beyond


def turns(symbol: Rows) -> list[Rows]:
    """Rows of orders, such that each symbol stands once in each and in its order from one to the next.

    >>> [rows.tolist() for rows in turns(np.array([5, 7, 5]))]
    [[0, 1], [2]]
    """
    if (symbol[1:] > symbol[:-1]).all():  # each stands once: most often so
        return [np.arange(len(symbol))] if len(symbol) else []
    order = np.argsort(symbol, kind="stable")
    ranked = symbol[order]
    turn = np.empty(len(symbol), np.intp)
    turn[order] = np.arange(len(symbol)) - np.searchsorted(ranked, ranked)
    return [np.flatnonzero(turn == k) for k in range(int(turn.max(initial=-1)) + 1)]


def sequence(qty: Vector, held: Vector, phase: Codes | None = None) -> Rows | None:
    """The order of execution, None where it is as it stands.

    By the phase of the bar, where one is given: what trades at the open, then the stops inside it, then the limits,
    then the close. Within a phase what brings a position nearer to zero comes first, then as accepted.

    >>> sequence(np.array([5.0, -3.0, 2.0]), np.array([0.0, 3.0, 0.0]))
    array([1, 0, 2])
    >>> sequence(np.array([-3.0, 5.0]), np.array([3.0, 0.0])) is None
    True
    >>> sequence(np.array([-3.0, -3.0]), np.array([3.0, 3.0]), np.array([LIMITS, STOPS]))
    array([1, 0])
    """
    if len(qty) == 1:
        return None
    later = qty * held >= 0.0
    if phase is None:
        return None if _LAST_FIRST not in later.tobytes() else np.argsort(later, kind="stable")
    rank = 2 * phase + later
    return None if every(rank[:-1] <= rank[1:]) else np.argsort(rank, kind="stable")


def repeats(symbol: Codes | Rows) -> bool:
    """Whether a symbol stands twice."""
    return len(set(symbol.tolist())) < len(symbol)


def split_quantity(qty: Vector, ratio: float, lot: Vector) -> Vector:
    """Quantity of open orders after a split, in whole lots; the residue is dropped toward zero.

    >>> split_quantity(np.array([5.0, -5.0]), 1.5, np.array([1.0, 1.0]))
    array([ 7., -7.])
    """
    adjusted: Vector = np.trunc(np.round(qty * ratio / lot, 9)) * lot
    return adjusted


def whole_lots(qty: Vector, lot: Vector) -> Mask:
    """Whether a finite quantity is a whole number of lots, zero excluded.

    >>> whole_lots(np.array([200.0, 150.0, 0.0, 0.3]), np.array([100.0, 100.0, 1.0, 0.1]))
    array([ True, False, False,  True])
    """
    lots = qty / lot
    near = np.rint(lots)
    whole: Mask = (np.abs(lots - near) <= 1e-9 * np.abs(lots)) & (near != 0)
    return whole


def exec_ids(order_ids: Ids, count: Codes) -> Ids:
    """Id of the `count`-th fill of each order, counted from zero: the same order fills under the same ids again."""
    if not np.count_nonzero(count):  # first fills: the usual case
        return order_ids + _EXEC_STEP
    return order_ids + _EXEC_STEP * (count + 1).astype(np.uint64)
