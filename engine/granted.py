"""What was approved and has not filled yet: a broker of the user's own fills no more of an order than that."""

from typing import Any

import numpy as np

from engine.errors import ComponentError
from engine.events import ActionKind, Actions, Approved, Book, Fills, LegAction, OrderState, Refusals, Reports, Vector
from engine.ledger import DUPLICATE
from engine.state import mutable, pack, unpack

_VERSION = 3
_MOST = 65_536  # orders, as far as they are over
_SLACK = 1e-9  # of what is left: what rounding of parts may add up to
_NEW, _REPLACE, _SPLIT = int(LegAction.NEW), int(LegAction.REPLACE), int(ActionKind.SPLIT)
_ENDS = (OrderState.CANCELLED, OrderState.EXPIRED, OrderState.FINISHED)
_REPLACED = int(OrderState.REPLACED)


class Granted:
    """Signed shares that each approved order may still fill.

    A replace counts as soon as it was approved, where it asks for more: the broker may have agreed; one that asks for
    less counts once the broker says so. A fill of an order that was not approved is an error. What a broker does on its
    own, such as a liquidation, is a fill of order id 0, none, which reduces a position and never turns it over: the
    position of the latest book with all that filled since.
    Memory: the open orders, and those that are over as long as there are no more than 65,536 of both; no more replaces
    that were not answered; (N,) positions.

    >>> granted = Granted("mine")
    >>> granted.on_approved(legs(Approved, symbol=[0], qty=[5.0]))
    >>> granted.left(1)
    5.0
    """

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self._orders: dict[int, tuple[int, float]] = {}  # symbol, signed shares left
        self._over: dict[int, None] = {}  # those that were filled whole or ended, the earliest first
        self._asked: dict[int, tuple[int, float]] = {}  # by leg: order, shares; replaces that were not answered
        self._held: Vector = np.zeros(0)  # (N,) of the latest book, with the fills since

    def left(self, order: int) -> float:
        """NaN for an order that was not approved here."""
        return self._orders.get(order, (0, float("nan")))[1]

    def on_book(self, book: Book, /) -> None:
        self._held = book.qty.copy()

    def on_approved(self, approved: Approved, /) -> None:
        orders = self._orders
        columns = (approved.action, approved.ids, approved.ref, approved.symbol, approved.qty)
        for action, own, ref, symbol, qty in zip(*(column.tolist() for column in columns), strict=True):
            if action == _NEW:
                orders.setdefault(own, (symbol, qty))  # sent twice is one order
            elif action == _REPLACE and ref in orders:
                self._asked[own] = ref, qty
                if abs(qty) > abs(orders[ref][1]):
                    orders[ref] = symbol, qty
                    self._over.pop(ref, None)
        while len(self._asked) > _MOST:
            del self._asked[next(iter(self._asked))]
        while len(orders) > _MOST and self._over:
            oldest = next(iter(self._over))
            del self._over[oldest], orders[oldest]

    def on_reports(self, reports: Reports, /) -> None:
        """What ended is kept for a while: a fill may have been on its way. What became smaller is no larger again."""
        rows = zip(reports.ids.tolist(), reports.state.tolist(), reports.left.tolist(), strict=True)
        for order, state, left in rows:
            if order not in self._orders:
                continue
            if state in _ENDS:
                self._over[order] = None
            elif state == _REPLACED:
                self._replaced(order, left)

    def _replaced(self, order: int, left: float) -> None:
        """The earliest replace of the order was done: no more is left than that, or than those not answered yet ask."""
        legs = [leg for leg, (of, _) in self._asked.items() if of == order]
        for leg in legs[:1]:
            del self._asked[leg]
        symbol, before = self._orders[order]
        waiting = [abs(self._asked[leg][1]) for leg in legs[1:]]
        most = max([abs(left), *waiting])
        if left * before >= 0 and most < abs(before):
            self._orders[order] = symbol, most if before > 0 else -most

    def on_refusals(self, refusals: Refusals, /) -> None:
        for order, rule in zip(refusals.ids.tolist(), refusals.rule, strict=True):
            self._asked.pop(order, None)
            if rule != DUPLICATE and order in self._orders:
                self._over[order] = None

    def on_fills(self, fills: Fills, /) -> None:
        """Raises ComponentError, naming the broker, for more than is left of an order, its other side, another name,
        an order that was not approved, and for fills of its own that do not reduce a position."""
        rows = zip(fills.order_ids.tolist(), fills.symbol.tolist(), fills.qty.tolist(), strict=True)
        for order, symbol, qty in rows:
            before = self._position(symbol)
            cause = self._of_none(symbol, qty, before) if order == 0 else self._of_order(order, symbol, qty)
            if cause:
                raise ComponentError(self._broker, "Fills", fills.ts, cause)
            if 0 <= symbol < len(self._held):
                self._held[symbol] = before + qty

    def _position(self, symbol: int) -> float:
        return float(self._held[symbol]) if 0 <= symbol < len(self._held) else 0.0

    def _of_none(self, symbol: int, qty: float, held: float) -> str:
        """What is wrong with a fill of the broker's own."""
        if qty * held < 0 and abs(qty) <= abs(held) * (1 + _SLACK):
            return ""
        said = f"it filled {qty:g} of symbol {symbol} of the universe for no order (id 0) at a position of {held:g}"
        return f"{said}; what a broker does on its own reduces a position, and never turns it over"

    def _of_order(self, order: int, of: int, qty: float) -> str:
        """What is wrong with a fill of an order; it counts where nothing is."""
        if order not in self._orders:
            said = f"it filled {qty:g} of order {order:016x}, which was not approved in this session"
            return f"{said}; fill what was approved, and what the broker does on its own for order id 0"
        symbol, left = self._orders[order]
        if of != symbol:
            return f"it filled symbol {of} of the universe for order {order:016x}, which is of symbol {symbol}"
        if qty * left < 0 or not abs(qty) <= abs(left) + _SLACK * max(1.0, abs(left)):
            return f"it filled {qty:g} of order {order:016x}, of which {left:g} were approved and not filled yet"
        whole = abs(qty) >= abs(left)
        self._orders[order] = symbol, 0.0 if whole else left - qty
        if whole:
            self._over[order] = None
        return ""

    def on_actions(self, actions: Actions, /) -> None:
        """A split makes other shares of those that are left."""
        rows: Any = zip(actions.kind.tolist(), actions.symbol.tolist(), actions.ratio.tolist(), strict=True)
        for kind, split, ratio in rows:
            if kind == _SPLIT:
                for order, (symbol, left) in self._orders.items():
                    if symbol == split:
                        self._orders[order] = symbol, left * ratio
                for leg, (order, asked) in self._asked.items():
                    if self._orders.get(order, (-1, 0.0))[0] == split:
                        self._asked[leg] = order, asked * ratio

    def save(self) -> bytes:
        orders = [(order, *of) for order, of in self._orders.items()]
        asked = [(leg, *of) for leg, of in self._asked.items()]
        return pack("granted", _VERSION, orders=orders, over=list(self._over), asked=asked, held=self._held)

    def load(self, state: bytes, /) -> None:
        saved = unpack(state, "granted", _VERSION)
        self._orders = {order: (symbol, left) for order, symbol, left in saved["orders"]}
        self._asked = {leg: (order, asked) for leg, order, asked in saved["asked"]}
        self._over, self._held = dict.fromkeys(saved["over"]), mutable(saved["held"])
