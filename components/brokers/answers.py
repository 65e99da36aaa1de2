"""The events a broker answers with, built from its columns."""

from typing import Any

import numpy as np

from components.brokers.buying import Trades
from components.brokers.fill_rules import exec_ids
from components.brokers.resting import Resting, constant, taken
from engine.events import FEE_KINDS, Fills, Matrix, Reports, Vector


def _frozen(array: Any) -> Any:
    array.flags.writeable = False
    return array


# Most slices of most sessions have no fill: they share these columns.
_IDS, _CODES = _frozen(np.empty(0, np.uint64)), _frozen(np.empty(0, np.int32))
_NUMBERS, _STAMPS = _frozen(np.empty(0)), _frozen(np.empty(0, np.int64))
_FEES = _frozen(np.empty((0, len(FEE_KINDS))))


def no_fills(ts: int) -> Fills:
    """The answer to a slice in which nothing traded.

    >>> no_fills(5).qty
    array([], dtype=float64)
    """
    return Fills(
        ts=ts,
        exec_ids=_IDS,
        order_ids=_IDS,
        symbol=_CODES,
        qty=_NUMBERS,
        price=_NUMBERS,
        reference=_NUMBERS,
        fees=_FEES,
        at=_STAMPS,
    )


def fills_of(ts: int, orders: Resting, traded: tuple[Trades, Vector, Matrix], at: Any) -> Fills:
    """What these orders traded, with price and fees, at one instant or one each; quantities of zero are left out."""
    trades, price, fees = traded
    qty, reference = trades.qty, trades.reference
    if 0.0 in qty.tolist():
        some = np.flatnonzero(qty)
        if not some.size:
            return no_fills(ts)
        orders, qty, reference = taken(orders, some), qty[some], reference[some]
        price, fees, at = price[some], fees[some], at if isinstance(at, int) else at[some]
    own = exec_ids(orders.ids, orders.count)
    instants = constant(len(qty), at, np.int64) if isinstance(at, int) else at
    columns: Any = (own, orders.ids, orders.symbol, qty, price, reference, fees, instants)
    for column in columns:
        column.setflags(False)  # by position, and not through `flags`: every fill comes by
    return Fills(
        ts=ts,
        exec_ids=own,
        order_ids=orders.ids,
        symbol=orders.symbol,
        qty=qty,
        price=price,
        reference=reference,
        fees=fees,
        at=instants,
    )


def report_of(orders: Resting, ts: int) -> Reports:
    """The present state of these orders."""
    columns: Any = (orders.ids, orders.symbol, orders.state, orders.left)
    for column in columns:
        column.setflags(False)
    return Reports(ts=ts, ids=orders.ids, symbol=orders.symbol, state=orders.state, left=orders.left)
