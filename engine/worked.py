"""What the wiring does for an execution policy: it shows its parents to the optimizer, and wakes it behind a slice."""

from typing import Any

import msgspec
import numpy as np

from engine.bus import Route
from engine.clock import Timers
from engine.events import SLICE_DECIDED, Bars, Book, Mask, OpenOrders, Orders

_COLUMNS = OpenOrders.__struct_fields__


def parents_among(orders: OpenOrders) -> Mask:
    """Which of these orders are parents that an execution policy works: each is its own parent."""
    mask: Mask = (orders.parent == orders.ids) & (orders.ids != 0)
    return mask


def with_parents(book: Book, parents: OpenOrders) -> Book:
    """The book that an optimizer decides by: parents stand among the open orders, and are not in `working`.

    What a parent has left is in no market, so that nothing but the optimizer's word keeps it going.
    """
    if not parents.ids.size:
        return book
    columns = [np.concatenate([getattr(book.open_orders, name), getattr(parents, name)]) for name in _COLUMNS]
    for column in columns:
        column.setflags(write=False)
    return msgspec.structs.replace(book, open_orders=OpenOrders(**dict(zip(_COLUMNS, columns, strict=True))))


class SliceEnds:
    """Asks for the timer SLICE_DECIDED at the instant of each slice in which the policy has parents to work.

    It enters when all bars of the instant, and all that followed from them, have been seen: strategies of slower
    intervals have decided too. A policy asks for it by an attribute `working`, whether it has parents.
    """

    def __init__(self, policy: Any, timers: Timers) -> None:
        self._policy, self._timers = policy, timers

    def on_bars(self, bars: Bars, /) -> None:
        if self._policy.working:
            self._timers.at(bars.ts, SLICE_DECIDED)

    def on_orders(self, orders: Orders, /) -> None:
        if self._policy.working:
            self._timers.at(orders.ts, SLICE_DECIDED)


def slice_end_routes(policy: Any, timers: Timers, finest: int) -> tuple[Route, ...]:
    """A policy, named or None, that says whether it is `working` is woken behind each slice of the finest interval.

    `finest` is 0 where there is one interval.
    """
    if policy is None or not hasattr(policy.component, "working"):
        return ()
    ends, where = SliceEnds(policy.component, timers), ("interval_ns", finest) if finest else None
    return (Route(Orders, policy.name, ends.on_orders), Route(Bars, policy.name, ends.on_bars, where=where))
