"""Which new orders a broker takes, and why not: pure functions of the legs and the account."""

import msgspec
import numpy as np

from components.brokers.fill_rules import Rows, every, whole_lots
from components.brokers.resting import Resting
from engine.events import Approved, Codes, Mask, OrderKind, TimeInForce, Vector

_NEAR_ZERO = 1e-9  # shares


class Account(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What a new order is held against. Arrays of (N,), but for the open orders."""

    held: Vector  # signed shares
    resting: Resting
    gone: Mask  # delisted or renamed
    lot: Vector
    short: bool  # whether a position may be sold below zero


class Verdict(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Of each leg: the rule that refuses it (empty = it is taken), the value it had, the threshold. (L,)"""

    rule: tuple[str, ...]
    value: Vector
    threshold: Vector


def plain(orders: Approved, account: Account) -> bool:
    """Whether every leg is a new market day order that nothing can be said against: the usual case, quickly seen."""
    symbol, qty = orders.symbol, orders.qty
    if account.resting.ids.size or any(map(np.count_nonzero, (orders.action, orders.kind, orders.tif))):
        return False
    symbols = symbol.tolist()
    if not symbols:
        return True
    if min(symbols) < 0 or max(symbols) >= len(account.held):
        return False
    at = symbol.astype(np.intp)
    if np.count_nonzero(account.gone[at]) or np.count_nonzero(qty) < len(qty):
        return False
    lots = qty / account.lot[at]
    good: Mask = (lots == np.rint(lots)) & np.isfinite(qty)
    if not account.short:
        if len(set(symbols)) < len(symbols):
            return False
        good &= np.minimum(qty, 0.0) + account.held[at] >= -_NEAR_ZERO
    return every(good)


def judge(orders: Approved, rows: Rows, account: Account) -> Verdict:
    """The first rule that each of these new legs breaks, in the order of the table below.

    | rule             | refused                                                | value, threshold           |
    | ---------------- | ------------------------------------------------------ | -------------------------- |
    | `unknown_symbol` | a position outside the universe                        | position, largest one      |
    | `quantity`       | zero, NaN, infinite                                    | quantity, 0                |
    | `lot`            | no whole lots, unless it closes the position exactly   | quantity, lot              |
    | `delisted`       | of a symbol that is delisted or renamed                | position, NaN              |
    | `order_kind`     | anything but a market order                            | kind, kind of market       |
    | `time_in_force`  | unknown, or a date that has passed                     | time in force or date, now |
    | `short`          | a sale beyond the position less sales already resting  | position after, 0          |
    """
    symbol, qty, tif = orders.symbol[rows], orders.qty[rows], orders.tif[rows]
    n = len(account.held)
    none = np.full(len(rows), np.nan)
    known = (symbol >= 0) & (symbol < n)
    at = np.where(known, symbol, 0)
    finite = np.isfinite(qty) & (qty != 0)
    lot, held = account.lot[at], account.held[at]
    size = np.where(finite, qty, lot)
    expires = orders.expires[rows]
    dated = tif == TimeInForce.GOOD_TILL_DATE
    no_time = (tif < 0) | (tif >= len(TimeInForce))
    passed = dated & (expires <= orders.ts)
    table: tuple[tuple[str, Mask, Vector, Vector], ...] = (
        ("unknown_symbol", ~known, symbol.astype(float), np.full(len(rows), n - 1.0)),
        ("quantity", ~finite, qty, np.zeros(len(rows))),
        ("lot", ~whole_lots(size, lot) & (size != -held), qty, lot),
        ("delisted", account.gone[at], symbol.astype(float), none),
        ("order_kind", orders.kind[rows] != OrderKind.MARKET, orders.kind[rows].astype(float), none + OrderKind.MARKET),
        ("time_in_force", no_time | passed, np.where(no_time, tif, expires), none + orders.ts),
    )
    rule = [""] * len(rows)
    value, threshold = none, none.copy()
    for name, broken, had, limit in table:
        for k in np.flatnonzero(broken).tolist():
            if not rule[k]:
                rule[k], value[k], threshold[k] = name, had[k], limit[k]
    if not account.short:
        _forbid_shorts(rule, value, threshold, (symbol, qty, account))
    return Verdict(rule=tuple(rule), value=value, threshold=threshold)


def _forbid_shorts(rule: list[str], value: Vector, threshold: Vector, legs: tuple[Codes, Vector, Account]) -> None:
    """Sales of one symbol see each other, in the order of the legs; purchases that rest do not count."""
    symbol, qty, account = legs
    free: dict[int, float] = {}
    for k in np.flatnonzero(qty < 0).tolist():
        if rule[k]:
            continue
        s = int(symbol[k])
        before = free[s] if s in free else sellable(account, s)
        after = before + float(qty[k])
        if after < -_NEAR_ZERO:
            rule[k], value[k], threshold[k] = "short", after, 0.0
        else:
            free[s] = after


def sellable(account: Account, symbol: int) -> float:
    """The position of a symbol less the sales of it that rest."""
    resting = account.resting
    sales = np.minimum(resting.left[resting.symbol == symbol], 0.0)
    return float(account.held[symbol] + sales.sum())
