"""The limits of the gate: one small formula each, in one table.

A new limit is a line of the table and an option of the gate.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np

from engine.events import Codes, LegAction, Mask, OrderKind, Vector

_NONE = np.empty(0)


class Check(msgspec.Struct, frozen=True, eq=False, gc=False):
    """L orders beside the book they would change: worst case, since working orders of the same side may all fill.

    `before` and `after` count the position and every working order of the order's own side; `gross`, `net` and those
    of the sector are of the whole book after this order and all orders of the batch before it. Money is in the base
    currency. What no limit asks for is not worked out, and empty.
    """

    value: Vector  # |qty| * unit
    unit: Vector  # base money for one share
    before: Vector  # signed shares
    after: Vector
    equity: float
    qty: Vector = _NONE  # signed shares
    gross: Vector = _NONE
    net: Vector = _NONE
    sector_gross: Vector = _NONE  # NaN where no sectors are known
    sector_net: Vector = _NONE
    gap: Vector = _NONE  # share of the mark, see `price_gap`
    volume: Vector = _NONE  # mean shares that a bar traded, NaN = unknown
    age: Vector = _NONE  # seconds since the symbol's latest fresh bar, NaN = it never had one
    sent: Vector = _NONE  # orders of the last minute, this one included
    open: Vector = _NONE  # open orders, this one included; 0 for a replace, which opens none
    restricted: Vector = _NONE  # 1 = the symbol may only be reduced
    banned: Vector = _NONE  # 1 = it may not be traded


@dataclass(frozen=True)
class Limit:
    """A formula of (L,) values, each refused above the option of the same name.

    A limit with `spares_exits` lets an order pass that only reduces a position. `needs` names what of a Check has to be
    worked out for it.
    """

    name: str
    formula: Callable[[Check], Vector]
    needs: str = ""
    spares_exits: bool = True


LIMITS: tuple[Limit, ...] = (
    Limit("banned", lambda c: np.abs(c.qty) * c.banned, "lists", spares_exits=False),
    Limit("restricted", lambda c: np.abs(c.qty) * c.restricted, "lists"),
    Limit("price_collar", lambda c: c.gap, "gap", spares_exits=False),
    Limit("max_bar_age", lambda c: c.age, "age"),
    Limit("max_order_value", lambda c: c.value),
    Limit("max_order_qty", lambda c: np.abs(c.qty), "qty"),
    Limit("max_participation", lambda c: _ratio(np.abs(c.qty), c.volume), "volume"),
    Limit("max_orders_per_minute", lambda c: c.sent, "sent"),
    Limit("max_open_orders", lambda c: c.open, "open"),
    Limit("max_position", lambda c: np.abs(c.after)),
    Limit("max_weight", lambda c: np.abs(c.after) * c.unit / c.equity),
    Limit("max_sector_gross", lambda c: c.sector_gross / c.equity, "sectors"),
    Limit("max_sector_net", lambda c: np.abs(c.sector_net) / c.equity, "sectors"),
    Limit("max_gross", lambda c: c.gross / c.equity, "whole"),
    Limit("max_net", lambda c: np.abs(c.net) / c.equity, "whole"),
)


def exits(before: Vector, qty: Vector) -> Mask:
    """(L,) whether an order only reduces: against the position, and no further than flat."""
    result: Mask = (qty * before < 0) & (np.abs(qty) <= np.abs(before))
    return result


def price_gap(prices: tuple[Vector, Vector], mark: Vector, kind: Codes, action: Codes) -> Vector:
    """(L,) how far the limit or the stop price, whichever is further, lies from the mark, as a share of the mark.

    0 for an order without a price. NaN for one that lacks the price of its kind; a replace may leave its prices alone.

    >>> limit, stop, none = np.array([95.0, np.nan, np.nan]), np.array([np.nan, 120.0, np.nan]), np.zeros(3, int)
    >>> price_gap((limit, stop), np.full(3, 100.0), np.array([1, 2, 0]), none).round(6)
    array([0.05, 0.2 , 0.  ])
    """
    if not np.count_nonzero(kind) and all(np.count_nonzero(np.isnan(price)) == len(price) for price in prices):
        return np.zeros(len(mark))  # orders at the market, the usual case
    with np.errstate(divide="ignore", invalid="ignore"):  # a mark of 0 is refused as no price
        far = [np.abs(price / mark - 1.0) for price in prices]
    given = [~np.isnan(price) for price in prices]
    new = action == LegAction.NEW
    both = kind == OrderKind.STOP_LIMIT
    lacks = ((kind == OrderKind.LIMIT) | both) & ~given[0] | ((kind == OrderKind.STOP) | both) & ~given[1]
    gap: Vector = np.fmax(*(np.where(has, each, 0.0) for has, each in zip(given, far, strict=True)))
    return np.where(new & lacks, np.nan, gap)


def _ratio(one: Vector, other: Vector) -> Vector:
    """A share of nothing is infinite, and of the unknown unknown: both are above any limit."""
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Vector = one / other
    return result
