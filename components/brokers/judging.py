"""Which new orders a broker takes, and why not: pure functions of the legs and the standing of the account."""

from typing import NamedTuple, TypeAlias

import msgspec
import numpy as np

from components.brokers.fill_rules import Rows, every, whole_lots
from components.brokers.kinds import AUCTIONS, NEEDS, TAKES, WAITS
from engine.events import Approved, Codes, Mask, OrderKind, TimeInForce, Vector

Line: TypeAlias = tuple[str, Mask, Vector, Vector]  # a rule, which legs break it, their values, the thresholds

MOST_SHARES = 2.0**53  # beyond it a float64 does not count shares one by one
_NEAR_ZERO = 1e-9  # shares
_NEAR_TICK = 1e-6  # ticks


class Standing(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What a new order is held against. Arrays of (N,)."""

    held: Vector  # signed shares
    free: Vector | None  # shares that may be sold: above the floor, less the sales that rest. None = any number
    floor: Vector | None  # how far down a position may be sold
    gone: Mask  # delisted or renamed
    lot: Vector
    tick: Vector
    single: bool  # a lot is one share of every symbol
    auctions: bool  # whether it is known when the auctions are
    lent: bool = False  # whether the floor is what can be borrowed
    busy: Mask | None = None  # the broker itself is trading it, None = none

    def shares(self, s: int) -> float:
        """What may be sold of a symbol."""
        return np.inf if self.free is None else float(self.free[s])

    def beyond(self, s: int, after: float) -> tuple[str, float, float]:
        """The rule against a sale that leaves this many shares to be sold, below zero; its value and threshold."""
        floor = 0.0 if self.floor is None else float(self.floor[s])
        return ("shortable", -(after + floor), -floor) if self.lent else ("short", after + floor, floor)


class Verdict(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Of each leg: the rule that refuses it (empty = it is taken), the value it had, the threshold. (L,)"""

    rule: tuple[str, ...]
    value: Vector
    threshold: Vector


def plain(orders: Approved, standing: Standing) -> bool:
    """Whether every leg is a new market day order that nothing can be said against: the usual case, quickly seen."""
    symbol, qty = orders.symbol, orders.qty
    codes = orders.action
    alike = orders.kind is codes and orders.tif is codes  # one column of zeros, as optimizers send it
    if np.count_nonzero(codes) or not (alike or not (np.count_nonzero(orders.kind) or np.count_nonzero(orders.tif))):
        return False
    symbols = symbol.tolist()
    if not symbols:
        return True
    if min(symbols) < 0 or max(symbols) >= len(standing.held):
        return False
    if standing.busy is not None:
        return False
    at, shares = symbol.astype(np.intp), qty.tolist()
    if 0.0 in shares or (np.count_nonzero(standing.gone) and np.count_nonzero(standing.gone[at])):
        return False
    if not (min(shares) >= -MOST_SHARES and max(shares) <= MOST_SHARES):  # NaN is no whole number of lots
        return False
    lots = qty if standing.single else qty / standing.lot[at]
    if not every(lots == np.rint(lots)):
        return False
    if standing.free is None:
        return True
    after = standing.free[at] + np.minimum(qty, 0.0)
    return len(set(symbols)) == len(symbols) and min(after.tolist()) >= -_NEAR_ZERO


def judge(orders: Approved, rows: Rows, standing: Standing) -> Verdict:
    """The first rule that each of these new legs breaks, in the order of the table below.

    | rule             | refused                                              | value, threshold           |
    | ---------------- | ---------------------------------------------------- | -------------------------- |
    | `unknown_symbol` | a position outside the universe                      | position, largest one      |
    | `quantity`       | zero or NaN                                          | quantity, 0                |
    | `quantity`       | more than 2^53 shares, or infinitely many            | quantity, 2^53             |
    | `lot`            | no whole lots, beyond what closes the position exactly | quantity, lot            |
    | `delisted`       | of a symbol that is delisted or renamed              | NaN, NaN                   |
    | `order_kind`     | unknown                                              | kind, largest one          |
    | `auction`        | an auction order on bars below a day without calendar | NaN, NaN                  |
    | `limit_price`    | missing where its kind needs it, or not above 0      | price, 0                   |
    | `stop_price`     | missing where its kind needs it, or not above 0      | price, 0                   |
    | `trail`          | missing where its kind needs it, or not above 0      | distance, 0                |
    | `tick`           | a limit or stop price between two ticks              | price, tick                |
    | `time_in_force`  | unknown                                              | time in force, largest one |
    | `time_in_force`  | a date that has passed                               | seconds past the date, 0   |
    | `broker_order`   | of a symbol that the broker itself is trading        | NaN, NaN                   |
    | `short`          | a sale beyond the position less the sales that rest  | position after, 0          |
    | `shortable`      | one that takes more short than can be borrowed       | wanted short, available    |

    A symbol without a bar, halted or not listed yet, is no reason to refuse: the order rests. Neither is a stop order
    for which there are no shares yet: it is held against the position when it trades. A price that a kind does not use
    is not looked at.
    """
    rule = [""] * len(rows)
    value, threshold = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for name, broken, had, limit in _broken(orders, rows, standing):
        for k in np.flatnonzero(broken).tolist():
            if not rule[k]:
                rule[k], value[k], threshold[k] = name, had[k], limit[k]
    if standing.free is not None and standing.floor is not None:
        kind = orders.kind[rows]
        waits = WAITS[np.where((kind < 0) | (kind >= len(OrderKind)), 0, kind)]
        qty = np.where(waits, 0.0, orders.qty[rows])
        _forbid_shorts((rule, value, threshold), orders.symbol[rows], qty, standing)
    return Verdict(rule=tuple(rule), value=value, threshold=threshold)


def _broken(orders: Approved, rows: Rows, standing: Standing) -> list[Line]:
    """The lines of the table above, but for the last two."""
    symbol, qty, tif = orders.symbol[rows], orders.qty[rows], orders.tif[rows]
    n = len(standing.held)
    none = np.full(len(rows), np.nan)
    known = (symbol >= 0) & (symbol < n)
    at = np.where(known, symbol, 0)
    shares = np.abs(qty)
    counted = (shares > 0) & (shares <= MOST_SHARES)  # NaN is neither
    lot, held = standing.lot[at], standing.held[at]
    size = np.where(counted, qty, lot)
    expires = orders.expires[rows]
    dated = tif == TimeInForce.GOOD_TILL_DATE
    no_time = (tif < 0) | (tif >= len(TimeInForce))
    passed = dated & (expires <= orders.ts)
    kind = orders.kind[rows]
    no_kind = (kind < 0) | (kind >= len(OrderKind))
    of = np.where(no_kind, 0, kind)
    prices = Asked(limit=orders.limit[rows], stop=orders.stop[rows], trail=orders.trail[rows])
    return [
        ("unknown_symbol", ~known, symbol.astype(float), np.full(len(rows), n - 1.0)),
        ("quantity", ~counted, qty, np.where(shares > MOST_SHARES, MOST_SHARES, 0.0)),
        ("lot", ~fits_lots(size, held, lot), qty, lot),
        ("delisted", standing.gone[at], none, none),
        ("order_kind", no_kind, kind.astype(float), np.full(len(rows), len(OrderKind) - 1.0)),
        ("auction", AUCTIONS[of] & (not standing.auctions), none, none),
        *price_rules(of, prices, standing.tick[at]),
        ("time_in_force", no_time, tif.astype(float), np.full(len(rows), len(TimeInForce) - 1.0)),
        ("time_in_force", passed, (orders.ts - expires) / 1e9, np.zeros(len(rows))),
        ("broker_order", known & (standing.busy is not None and standing.busy[at]), none, none),
    ]


def fits_lots(qty: Vector, held: Vector, lot: Vector) -> Mask:
    """Which quantities can be traded from these positions: whole lots, or what closes an odd one exactly.

    One that turns a position over closes it exactly and opens whole lots on the other side.

    >>> fits_lots(np.array([-100.0, -50.0, -150.0, -250.0, -200.0]), np.full(5, 150.0), np.full(5, 100.0))
    array([ True, False,  True,  True,  True])
    """
    turns = (qty * held < 0) & (np.abs(qty) > np.abs(held))
    mask: Mask = whole_lots(qty, lot) | (qty == -held) | (turns & whole_lots(qty + held, lot))
    return mask


class Asked(NamedTuple):
    """The prices of legs, (L,) each, NaN = none."""

    limit: Vector
    stop: Vector
    trail: Vector


def price_rules(kind: Codes, prices: Asked, tick: Vector) -> list[Line]:
    """Which prices break a rule, with what they are and the threshold: lines of the table above."""
    lines: list[Line] = []
    zero = np.zeros(len(kind))
    ticked: list[Line] = []
    for name, rule in (("limit", "limit_price"), ("stop", "stop_price"), ("trail", "trail")):
        price = getattr(prices, name)
        given = TAKES[name][kind] & ~np.isnan(price)
        missing = NEEDS[name][kind] & ~given
        lines.append((rule, missing | given & ~((price > 0) & (price < np.inf)), price, zero))
        if name != "trail":
            steps = np.divide(price, tick, out=np.zeros(len(kind)), where=given & (tick > 0) & np.isfinite(price))
            ticked.append(("tick", np.abs(steps - np.rint(steps)) > _NEAR_TICK, price, tick))
    return lines + ticked


def _forbid_shorts(verdict: tuple[list[str], Vector, Vector], symbol: Codes, qty: Vector, standing: Standing) -> None:
    """Sales of one symbol see each other, in the order of the legs; purchases that rest do not count."""
    rule, value, threshold = verdict
    free: dict[int, float] = {}
    for k in np.flatnonzero(qty < 0).tolist():
        if rule[k]:
            continue
        s = int(symbol[k])
        after = free.get(s, standing.shares(s)) + float(qty[k])
        if after < -_NEAR_ZERO:
            rule[k], value[k], threshold[k] = standing.beyond(s, after)
        else:
            free[s] = after
