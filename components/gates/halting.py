"""What halts the gate: latches that controls and losses set, and the orders that follow from them."""

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import numpy as np

from components.gates.exposure import sides
from components.gates.form import Why
from components.gates.leaving import Desk, adding
from components.gates.losses import Losses
from engine.events import Book, Control, ControlAction, Event, LegAction, Legs, Mode, Note, Vector
from engine.ids import OrderIds
from engine.latches import Latches

_SLACK = 1.0 + 1e-9  # a loss within rounding of its limit is at the limit
_ACTIVE = Mode.ACTIVE
Pending = Sequence[tuple[Any, Any, Any]]  # ids of orders, symbols, quantities approved since the book, replaces too


class Halting:
    """Trips on losses, folds controls, and sees to it that nothing works on which could add to a position.

    A loss sets the latch of its name at once, since orders may be on their way before the Control that says so comes
    by. While the mode is not ACTIVE each book is looked at: an order that became able to add to a position, because
    something else closed it, is cancelled too.
    """

    def __init__(
        self,
        *,
        ids: OrderIds,
        name: str,
        losses: Losses | None,
        asked: Mapping[str, ControlAction],
        banned: Vector | None,
    ) -> None:
        self.latches = Latches(gate=name)
        self._desk, self._name, self._losses, self._actions = Desk(ids), name, losses, asked
        self._banned = banned  # (N,) 1 = the symbol may not be traded, not even to leave it
        self._cancelled: set[int] = set()  # open orders whose cancel was asked for
        self._closing: set[int] = set()  # its own orders, which close positions

    @property
    def watches(self) -> bool:
        """Whether a book matters."""
        return self._losses is not None or self.latches.mode is not _ACTIVE

    def on_book(self, book: Book, pending: Pending) -> list[Event]:
        """Trips what this book has passed, then keeps to what is latched."""
        flat, said = self.latches.flatten, list[Event]()
        for loss in () if self._losses is None else self._losses.on_book(book, _SLACK):
            if loss.name not in self.latches.set:
                action, reason = self._actions[loss.name], loss.reason
                control = Control(ts=book.ts, action=action, actor=self._name, reason=reason, latch=loss.name)
                self.latches.take(control)
                said.append(control)
        if self.latches.mode is _ACTIVE:
            return said
        begins = self.latches.flatten and not flat
        return said + (self._leave if begins else self._hold)(book.ts, book, pending)

    def on_control(self, control: Control, book: Book | None, pending: Pending) -> list[Event]:
        action, latch, latches = control.action, control.latch, self.latches
        if control.actor == self._name and latches.set.get(latch) is action:
            return []  # its own, and set since it was said
        held, said = latch in latches.set, list[Event]()
        left = latches.take(control)
        if left:
            said.append(Note(ts=control.ts, source=self._name, kind="latch", text=f"{action}: {left}"))
        if held and latch not in latches.set and self._losses is not None:
            self._losses.restart(latch)
        if latches.mode is _ACTIVE:
            self._cancelled.clear()
            return said
        if book is None:
            return said
        return said + (self._leave if action is ControlAction.FLATTEN else self._hold)(control.ts, book, pending)

    def _leave(self, ts: int, book: Book, pending: Pending) -> list[Event]:
        """Cancels of all open orders, then legs that close each position that may be traded."""
        ids, symbol, _ = _working(book, pending)
        self._cancelled.update(ids.tolist())
        said = list[Event]()
        close = self._allowed(book.qty)
        kept = np.flatnonzero(book.qty - close)
        if kept.size:
            text = f"flatten: {len(kept)} positions of banned symbols stay; lift the ban to close them"
            stay, rows = book.qty[kept], kept.astype(np.int32)
            said.append(Note(ts=ts, source=self._name, kind="latch", text=text, symbol=rows, value=stay))
        self._closing.clear()
        return said + self._sent(ts, ids, symbol, close)

    def _sent(self, ts: int, ids: Any, symbol: Any, close: Vector) -> list[Event]:
        """Cancels of these orders and legs that close these positions; the latter are its own from now on."""
        legs = self._desk.legs(ts, ids, symbol, close)
        if legs is None:
            return []
        self._closing.update(legs.ids[legs.action == LegAction.NEW].tolist())
        return [legs]

    def stands(self, orders: Legs, i: int) -> Why | None:
        """What refuses leg i, a cancel: under `flatten` what closes a position is not called back, though an optimizer
        may want it still. None for any other leg; a replace is refused by the mode."""
        if orders.action[i] != LegAction.CANCEL or not self.latches.flatten or int(orders.ref[i]) not in self._closing:
            return None
        return "gate_order", nan, nan

    def _allowed(self, position: Vector) -> Vector:
        return position if self._banned is None else np.where(self._banned > 0, 0.0, position)

    def _hold(self, ts: int, book: Book, pending: Pending) -> list[Event]:
        """Cancels of working orders that could add to a position, each asked for once.

        Under `flatten` also legs that close what no working order closes already.
        """
        ids, symbol, left = _working(book, pending)
        self._cancelled.intersection_update(ids.tolist())
        self._closing.intersection_update(ids.tolist())
        wrong = np.flatnonzero(adding(symbol, left, book.qty)).tolist()
        rows = np.array([i for i in wrong if int(ids[i]) not in self._cancelled], np.intp)
        self._cancelled.update(ids[rows].tolist())
        close = np.zeros(len(book.qty))
        if self.latches.flatten:
            high, low = sides(book, pending)
            close = self._allowed(np.where(book.qty > 0, np.maximum(low, 0.0), np.minimum(high, 0.0)))
        return self._sent(ts, ids[rows], symbol[rows], close)

    def save(self) -> dict[str, Any]:
        losses = None if self._losses is None else self._losses.save()
        orders = {"cancelled": sorted(self._cancelled), "closing": sorted(self._closing)}
        return {"latches": self.latches.save(), "desk": self._desk.save(), "losses": losses} | orders

    def load(self, saved: Mapping[str, Any]) -> None:
        self.latches.load(saved["latches"])
        self._desk.load(saved["desk"])
        self._cancelled = set(saved["cancelled"])
        self._closing = set(saved.get("closing", ()))  # older states have none
        if self._losses is not None and saved["losses"] is not None:
            self._losses.load(saved["losses"])


def _working(book: Book, pending: Pending) -> tuple[Any, Any, Any]:
    """Ids, symbols and signed shares of all orders that are open, or will be: the oldest first.

    An order that is being replaced may trade as it was or as it will be: it stands with the larger of both, and with
    NaN where it changes its side.
    """
    orders: dict[int, tuple[int, float]] = {}
    rows = [(book.open_orders.ids, book.open_orders.symbol, book.open_orders.left), *pending]
    for columns in rows:
        for order, symbol, left in zip(*(column.tolist() for column in columns), strict=True):
            before = orders.get(order, (symbol, left))[1]
            same = before * left > 0
            orders[order] = symbol, (max(before, left, key=abs) if same else nan) if order in orders else left
    ids = np.fromiter(orders, np.uint64, len(orders))
    symbols = np.array([symbol for symbol, _ in orders.values()], np.int32)
    return ids, symbols, np.array([left for _, left in orders.values()])
