"""What the wiring does for an execution policy: it shows parents to those who decide, and wakes it behind a slice."""

from typing import Any

import msgspec
import numpy as np

from engine.bus import Route
from engine.clock import Timers
from engine.events import SLICE_DECIDED, Bars, Book, Mask, OpenOrders, Orders, Reports, Vector

_COLUMNS = OpenOrders.__struct_fields__
_DUST = 1e-9  # of a position: what sums of its parts may leave of it


def parents_among(orders: OpenOrders) -> Mask:
    """Which of these orders are parents that an execution policy works: each is its own parent."""
    mask: Mask = (orders.parent == orders.ids) & (orders.ids != 0)
    return mask


def parted(orders: OpenOrders, parents: Mask) -> tuple[OpenOrders, OpenOrders]:
    """The orders that are no parents, and the parents."""

    def rows(which: Mask) -> OpenOrders:
        return OpenOrders(**{name: getattr(orders, name)[which] for name in _COLUMNS})

    return rows(~parents), rows(parents)


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


def unsent(orders: OpenOrders, parents: OpenOrders) -> Vector:
    """(P,) signed shares of each parent that are neither filled nor in the market, by these orders of the book.

    >>> def table(ids, parent, left):
    ...     n, none = len(ids), np.full(len(ids), np.nan)
    ...     columns = {"ids": np.array(ids, np.uint64), "parent": np.array(parent, np.uint64), "left": np.array(left)}
    ...     zero = np.zeros(n, np.int32)
    ...     return OpenOrders(symbol=zero, kind=zero, limit=none, stop=none, **columns)
    >>> unsent(table([8, 9], [7, 0], [25.0, 5.0]), table([7], [7], [100.0]))  # 8 is a child of 7, 9 of nobody
    array([75.])
    """
    rest = parents.left.copy()
    if not (rest.size and orders.ids.size):
        return rest
    place = parents.ids.argsort(kind="stable")
    at = place[np.minimum(np.searchsorted(parents.ids[place], orders.parent), len(place) - 1)]
    child = (parents.ids[at] == orders.parent) & (orders.ids != orders.parent)
    np.subtract.at(rest, at[child], orders.left[child])
    return np.where(rest * parents.left > 0.0, rest, 0.0)


def with_intent(book: Book, parents: OpenOrders) -> Book:
    """The book that a strategy decides by: `working` holds what parents still have to send, as if it were sent.

    To who asks what is wanted, an order that is worked over an hour is an order like any other: it is on its way, and
    must not be wanted a second time or forgotten. Children in the market count once. Open orders stay as they are.
    """
    if not parents.ids.size:
        return book
    working = book.working.copy()
    np.add.at(working, parents.symbol, unsent(book.open_orders, parents))
    nothing = np.abs(book.qty + working) <= _DUST * np.abs(book.qty)  # a position that is being closed is none
    working = np.where(nothing & (book.qty != 0.0), -book.qty, working)
    working.setflags(write=False)
    return msgspec.structs.replace(book, working=working)


class SliceEnds:
    """Asks for the timer SLICE_DECIDED at the instant of each slice in which the policy has parents to work.

    It enters when all bars of the instant, and all that followed from them, have been seen: strategies of slower
    intervals have decided too. A policy asks for it by an attribute `working`, whether it has parents. One that
    has to act at instants of its own, such as the open and the close of a session, names those to come in `wakes(ts)`:
    it is woken there too, though no bar may ever come.
    """

    def __init__(self, policy: Any, timers: Timers) -> None:
        self._policy, self._timers = policy, timers
        self._wakes = getattr(policy, "wakes", lambda ts: ())

    def on_bars(self, bars: Bars, /) -> None:
        self._ask(bars.ts)

    def on_orders(self, orders: Orders, /) -> None:
        self._ask(orders.ts)

    def _ask(self, ts: int) -> None:
        if not self._policy.working:
            return
        self._timers.at(ts, SLICE_DECIDED)
        for instant in self._wakes(ts):
            self._timers.at(instant, SLICE_DECIDED)


def slice_end_routes(policy: Any, timers: Timers, finest: int) -> tuple[Route, ...]:
    """A policy, named or None, that says whether it is `working` is woken behind each slice of the finest interval.

    `finest` is 0 where there is one interval.
    """
    if policy is None or not hasattr(policy.component, "working"):
        return ()
    ends, where = SliceEnds(policy.component, timers), ("interval_ns", finest) if finest else None
    return (Route(Orders, policy.name, ends.on_orders), Route(Bars, policy.name, ends.on_bars, where=where))


def parent_routes(policy: Any, gate: Any) -> tuple[Route, ...]:
    """A gate, named, that asks for them hears of the orders that a policy (None = none) works, and how they ended."""
    asked: tuple[tuple[type[Any], str], ...] = ((Orders, "on_parents"), (Reports, "on_parent_reports"))
    told = [(kind, getattr(gate.component, method, None)) for kind, method in asked if policy is not None]
    return tuple(Route(kind, gate.name, handler) for kind, handler in told if handler is not None)
