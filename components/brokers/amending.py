"""Cancels and replaces of open orders: what a leg asks for, and why it may be refused."""

import math
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from components.brokers import fill_rules as rules
from components.brokers.blotter import Blotter
from components.brokers.judging import MOST_SHARES, Asked, Standing, fits_lots, price_rules
from components.brokers.kinds import TAKES, WAITS
from components.brokers.resting import Resting, terms_of
from engine.events import Approved, LegAction, OrderState

_NEAR_ZERO = 1e-9  # shares
_PRICES = ("limit", "stop", "trail")
_KNOWN = (int(LegAction.CANCEL), int(LegAction.REPLACE))


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Why a leg is refused: the rule, the value it had, the threshold."""

    rule: str
    value: float
    threshold: float


def unfit(orders: Approved, legs: Any, blotter: Blotter, own: set[int]) -> dict[int, Refused]:
    """Legs that change no order, whatever it is, by what is wrong with them; `own` are the broker's own orders.

    | rule           | refused                                                      | value, threshold    |
    | -------------- | ------------------------------------------------------------ | ------------------- |
    | `action`       | unknown                                                      | action, largest one |
    | `broker_order` | of an order that the broker has sent, such as a liquidation  | NaN, NaN            |
    """
    found: dict[int, Refused] = {}
    refs: list[int] = orders.ref[legs].tolist()
    rows = blotter.rows_of(refs) if own else [-1] * len(refs)
    for leg, code, ref, row in zip(legs.tolist(), orders.action[legs].tolist(), refs, rows, strict=True):
        if code not in _KNOWN:
            found[leg] = Refused(rule="action", value=float(code), threshold=float(max(_KNOWN)))
        elif row >= 0 and ref in own:
            found[leg] = Refused(rule="broker_order", value=math.nan, threshold=math.nan)
    return found


def rows_to_cancel(orders: Approved, legs: Any, blotter: Blotter) -> tuple[list[int], list[int]]:
    """Rows at hand that these legs cancel, each once, and the legs whose order is not open."""
    rows: dict[int, None] = {}
    unknown: list[int] = []
    for leg, row in zip(legs, blotter.rows_of(orders.ref[legs].tolist()), strict=True):
        if row < 0 or row in rows:
            unknown.append(leg)
        else:
            rows[row] = None
    return list(rows), unknown


def amended(orders: Approved, leg: int, hand: Resting, row: int, standing: Standing) -> Resting | Refused:
    """The orders at hand with one of them replaced: a quantity or a price of NaN stays as it is.

    | rule               | refused                                                    | value, threshold            |
    | ------------------ | ---------------------------------------------------------- | --------------------------- |
    | `replace_symbol`   | another symbol than that of the order: the gate judged it  | symbol asked for, its own   |
    | `quantity`         | more than 2^53 shares, or infinitely many                  | quantity, 2^53              |
    | `replace_quantity` | nothing asked for, zero, the other side, or as rule `lot`  | quantity, what is left now  |
    | `order_kind`       | a price that its kind does not have                        | price, NaN                  |
    | `triggered`        | a trigger of an order that has been triggered              | price, NaN                  |
    | `limit_price` ...  | a price asked for that breaks a rule for new orders        | price, as for new orders    |
    | `short`            | a sale beyond the position less the other sales that rest  | position after, as for them |

    The quantity is what is left to trade from now on. The order keeps its place; no bar that began before the replace
    fills it. Prices that stay as they are, are not looked at: a split may have left one between two ticks.
    """
    before, s = hand.left.item(row), hand.symbol.item(row)
    if orders.symbol.item(leg) != s:
        return Refused(rule="replace_symbol", value=float(orders.symbol.item(leg)), threshold=float(s))
    terms = terms_of(hand)
    new = {name: getattr(orders, name).item(leg) for name in _PRICES}
    asked = {name: price for name, price in new.items() if not math.isnan(price)}
    wanted = orders.qty.item(leg)
    if math.isnan(wanted) and asked:
        wanted = before
    why = _quantity(wanted, before, s, standing) or _prices(asked, terms, row, standing.tick.item(s))
    waits = bool(WAITS[terms.kind[row]]) and not terms.triggered[row]
    if why is None and wanted < 0 and not waits and standing.free is not None:
        after = standing.free.item(s) - min(before, 0.0) + wanted
        if after < -_NEAR_ZERO:
            rule, value, threshold = standing.beyond(s, after)
            why = Refused(rule=rule, value=value, threshold=threshold)
    if why is not None:
        return why
    columns: dict[str, Any] = {"left": _with(hand.left, row, wanted)}
    columns["accepted"] = _with(hand.accepted, row, orders.ts)
    columns["state"] = _with(hand.state, row, OrderState.REPLACED)
    if asked:
        prices = {name: _with(getattr(terms, name), row, price) for name, price in asked.items()}
        columns["terms"] = replace(terms, **prices)
    return replace(hand, **columns)


def _quantity(wanted: float, before: float, s: int, standing: Standing) -> Refused | None:
    if abs(wanted) > MOST_SHARES:
        return Refused(rule="quantity", value=wanted, threshold=MOST_SHARES)
    if math.isfinite(wanted) and wanted * before > 0:
        one = slice(s, s + 1)
        if wanted == before or fits_lots(np.array([wanted]), standing.held[one], standing.lot[one])[0]:
            return None
    return Refused(rule="replace_quantity", value=wanted, threshold=before)


def _prices(asked: dict[str, float], terms: rules.Terms, row: int, tick: float) -> Refused | None:
    kind = terms.kind[row : row + 1]
    for name, price in asked.items():
        if not TAKES[name][kind[0]]:
            return Refused(rule="order_kind", value=price, threshold=math.nan)
        if name != "limit" and terms.triggered[row]:
            return Refused(rule="triggered", value=price, threshold=math.nan)
    prices = Asked(**{name: np.array([asked.get(name, math.nan)]) for name in _PRICES})
    for rule, broken, value, threshold in price_rules(kind, prices, np.array([tick])):
        if broken[0] and not math.isnan(value[0]):  # NaN = stays as it is
            return Refused(rule=rule, value=float(value[0]), threshold=float(threshold[0]))
    return None


def _with(column: Any, row: int, value: float) -> Any:
    column = column.copy()
    column[row] = value
    return column
