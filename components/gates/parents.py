"""The orders that went to an execution policy: a child has to be of one of them."""

from collections.abc import Sequence
from math import nan
from typing import Any

from components.gates.form import Why
from engine.events import Children, LegAction, Legs, Orders

_MOST = 65_536  # of the latest parents
_NEW = int(LegAction.NEW)


class Parents:
    """Symbols of the orders that the optimizer gave to the execution policy, by id.

    Memory: the latest 65,536 of them; a child of an older one is refused.

    >>> parents = Parents()
    >>> parents.on_orders(legs(symbol=[4, 5], qty=[1.0, 1.0]))
    >>> child = {"symbol": [4, 4], "qty": [1.0, 1.0]}
    >>> one, two, odd = (np.array(ids, np.uint64) for ids in ([1, 1], [2, 1], [7, 0]))
    >>> [parents.know(legs(Children, parent=ids, **child)) for ids in (one, two, odd)]
    [True, False, False]
    """

    def __init__(self) -> None:
        self._symbols: dict[int, int] = {}

    def on_orders(self, orders: Orders, /) -> None:
        columns = (orders.ids, orders.symbol, orders.action)
        for order, symbol, action in zip(*(column.tolist() for column in columns), strict=True):
            if action == _NEW:
                self._symbols[order] = symbol
        while len(self._symbols) > _MOST:
            del self._symbols[next(iter(self._symbols))]

    def know(self, children: Children) -> bool:
        """Whether each of these is a child of an order of its symbol."""
        rows = zip(children.parent.tolist(), children.symbol.tolist(), strict=True)
        return all(self._symbols.get(parent) == symbol for parent, symbol in rows)

    def orphan(self, legs: Legs, i: int) -> Why | None:
        """What is wrong with the parent that a new leg i names, as a child or by its reference."""
        if legs.action[i] != _NEW:
            return None
        named = [int(legs.ref[i])] if legs.ref[i] else []
        if isinstance(legs, Children):
            named.append(int(legs.parent[i]))
        for parent in named:
            symbol = self._symbols.get(parent)
            if symbol is None:
                return "unknown_parent", nan, 0.0
            if symbol != legs.symbol[i]:
                return "parent_symbol", float(legs.symbol[i]), float(symbol)
        return None

    def save(self) -> list[tuple[int, int]]:
        return list(self._symbols.items())

    def load(self, saved: Sequence[Any]) -> None:
        self._symbols = {order: symbol for order, symbol in saved}
