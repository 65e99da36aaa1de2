"""The first row that two events of orders do not share, and what became of that order on either side."""

from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from engine.events import Approved, Children, Event, Fills, OpenOrders, Orders, OrderState, Refusals, Reports

NOTHING = "nothing"
_SAID: MappingProxyType[type[Any], str] = MappingProxyType(
    {Orders: "ordered", Children: "sent", Approved: "approved", Fills: "filled", OpenOrders: "working"}
)
_TOLD = (*_SAID, Refusals, Reports)  # what has rows of orders
Row = tuple[str, int, str, str]  # field, position of the symbol, what one side says of the order, what the other does


def first_row(one: Any, two: Any, beside: tuple[Iterable[Event], Iterable[Event]] = ((), ())) -> Row | None:
    """Of two events, or open orders, of different lengths: the first row of either that the other lacks.

    Where the order stands in another event of its own side, `beside`, that is what is said of it. None where neither
    has rows of orders, or both have the same orders in another order.
    """
    if one.__class__ not in _TOLD or two.__class__ is not one.__class__:
        return None
    field = "exec_ids" if isinstance(one, Fills) else "ids"
    mine, its = (getattr(each, field).tolist() for each in (one, two))
    only = [(row, 0) for row, id_ in enumerate(mine) if id_ not in its]
    only += [(row, 1) for row, id_ in enumerate(its) if id_ not in mine]
    if not only:
        return None
    row, side = min(only)
    event = (one, two)[side]
    here, there = _told(event, row), _fate(_order(event, row), beside[1 - side], event.__class__) or NOTHING
    said = (here, there) if side == 0 else (there, here)
    return field, int(event.symbol[row]), *said


def fate(event: Any, others: Sequence[Event]) -> Row | None:
    """The first order of an event of which the others say something else, or nothing. None where there is none."""
    if event.__class__ not in _TOLD:
        return None
    for row in range(len(event.symbol)):
        here, there = _told(event, row), _fate(_order(event, row), others) or NOTHING
        if here != there:
            return "exec_ids" if isinstance(event, Fills) else "ids", int(event.symbol[row]), here, there
    return None


def _order(event: Any, row: int) -> int:
    return int((event.order_ids if isinstance(event, Fills) else event.ids)[row])


def _fate(order: int, events: Iterable[Event], but: type[Any] | None = None) -> str:
    """What the last of these events that speaks of an order says of it; `but`: of events of other types."""
    found = ""
    for event in events:
        if event.__class__ in _TOLD and event.__class__ is not but:
            ids: Any = event.order_ids if isinstance(event, Fills) else event.ids  # type: ignore[union-attr]
            rows = np.flatnonzero(ids == order)
            found = _told(event, int(rows[0])) if rows.size and not isinstance(event, Orders | Children) else found
    return found


def _told(event: Any, row: int) -> str:
    """What an event says of an order, in a word or two."""
    if isinstance(event, Refusals):
        return f"refused by {event.rule[row]}"
    if isinstance(event, Reports):
        return OrderState(int(event.state[row])).name.lower()
    return _SAID[event.__class__]
