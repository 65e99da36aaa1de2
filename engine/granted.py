"""What was approved and has not filled yet: a broker of the user's own fills no more of an order than that."""

from typing import Any

from engine.errors import ComponentError
from engine.events import ActionKind, Actions, Approved, Fills, LegAction
from engine.state import pack, unpack

_VERSION = 1
_MOST = 65_536  # of the latest orders
_SLACK = 1e-9  # of what is left: what rounding of parts may add up to
_NEW, _REPLACE, _SPLIT = int(LegAction.NEW), int(LegAction.REPLACE), int(ActionKind.SPLIT)


class Granted:
    """Signed shares that each approved order may still fill.

    A replace counts as soon as it was approved, where it asks for more: the broker may have agreed. Fills of orders
    that nobody in the session sent are the broker's own, such as a liquidation, and not limited.
    Memory: the latest 65,536 orders.

    >>> granted = Granted("mine")
    >>> granted.on_approved(legs(Approved, symbol=[0], qty=[5.0]))
    >>> granted.left(1)
    5.0
    """

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self._orders: dict[int, tuple[int, float]] = {}  # symbol, signed shares left

    def left(self, order: int) -> float:
        """NaN for an order that was not approved here."""
        return self._orders.get(order, (0, float("nan")))[1]

    def on_approved(self, approved: Approved, /) -> None:
        orders = self._orders
        columns = (approved.action, approved.ids, approved.ref, approved.symbol, approved.qty)
        for action, own, ref, symbol, qty in zip(*(column.tolist() for column in columns), strict=True):
            if action == _NEW:
                orders.setdefault(own, (symbol, qty))  # sent twice is one order
            elif action == _REPLACE and ref in orders and abs(qty) > abs(orders[ref][1]):
                orders[ref] = symbol, qty
        while len(orders) > _MOST:
            del orders[next(iter(orders))]

    def on_fills(self, fills: Fills, /) -> None:
        """Raises ComponentError, naming the broker, for more than is left of an order, its other side, another name."""
        rows = zip(fills.order_ids.tolist(), fills.symbol.tolist(), fills.qty.tolist(), strict=True)
        for order, of, qty in rows:
            if order not in self._orders:
                continue
            symbol, left = self._orders[order]
            if of != symbol:
                cause = f"it filled symbol {of} of the universe for order {order:016x}, which is of symbol {symbol}"
                raise ComponentError(self._broker, "Fills", fills.ts, cause)
            if qty * left < 0 or not abs(qty) <= abs(left) + _SLACK * max(1.0, abs(left)):
                cause = f"it filled {qty:g} of order {order:016x}, of which {left:g} were approved and not filled yet"
                raise ComponentError(self._broker, "Fills", fills.ts, cause)
            self._orders[order] = symbol, left - qty if abs(qty) < abs(left) else 0.0

    def on_actions(self, actions: Actions, /) -> None:
        """A split makes other shares of those that are left."""
        rows: Any = zip(actions.kind.tolist(), actions.symbol.tolist(), actions.ratio.tolist(), strict=True)
        for kind, split, ratio in rows:
            if kind == _SPLIT:
                for order, (symbol, left) in self._orders.items():
                    if symbol == split:
                        self._orders[order] = symbol, left * ratio

    def save(self) -> bytes:
        return pack("granted", _VERSION, orders=[(order, *of) for order, of in self._orders.items()])

    def load(self, state: bytes, /) -> None:
        saved = unpack(state, "granted", _VERSION)["orders"]
        self._orders = {order: (symbol, left) for order, symbol, left in saved}
