"""The orders that went to an execution policy: a child has to be of one of them."""

from math import nan
from typing import Any

from components.gates.form import Why
from engine.events import Children, LegAction, Legs, Orders, OrderState, Reports

_MOST = 65_536  # of those that ended
_AT_WORK = 262_144  # of those of which nobody has said that they ended
_NEW = int(LegAction.NEW)
_ENDS = frozenset({int(OrderState.FINISHED), int(OrderState.CANCELLED), int(OrderState.EXPIRED)})


class Parents:
    """Symbols of the orders that the optimizer gave to the execution policy, by id.

    Memory: those that work, by the reports of their policy, and the latest 65,536 that ended; a child of one that ended
    before these is refused. A policy that does not say how its parents ended has the latest 327,680 known.

    >>> parents = Parents()
    >>> parents.on_orders(legs(symbol=[4, 5], qty=[1.0, 1.0]))
    >>> child = {"symbol": [4, 4], "qty": [1.0, 1.0]}
    >>> one, two, odd = (np.array(ids, np.uint64) for ids in ([1, 1], [2, 1], [7, 0]))
    >>> [parents.know(legs(Children, parent=ids, **child)) for ids in (one, two, odd)]
    [True, False, False]
    """

    def __init__(self) -> None:
        self._symbols: dict[int, int] = {}
        self._ended: dict[int, None] = {}  # in order

    def on_orders(self, orders: Orders, /) -> None:
        columns = (orders.ids, orders.symbol, orders.action)
        for order, symbol, action in zip(*(column.tolist() for column in columns), strict=True):
            if action == _NEW:
                self._symbols[order] = symbol
        while len(self._symbols) > _AT_WORK + _MOST:
            oldest = next(iter(self._symbols))
            del self._symbols[oldest]
            self._ended.pop(oldest, None)

    def on_reports(self, reports: Reports, /) -> None:
        """Parents that end, among reports of other orders."""
        for order, state in zip(reports.ids.tolist(), reports.state.tolist(), strict=True):
            if state in _ENDS and order in self._symbols:
                self._ended[order] = None
        while len(self._ended) > _MOST:
            oldest = next(iter(self._ended))
            del self._ended[oldest], self._symbols[oldest]

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

    def save(self) -> dict[str, list[Any]]:
        return {"symbols": list(self._symbols.items()), "ended": list(self._ended)}

    def load(self, saved: Any) -> None:
        """Older states are lists of those that were known; nobody had said which of them ended."""
        known: Any = saved if isinstance(saved, dict) else {"symbols": saved, "ended": []}
        self._symbols = {order: symbol for order, symbol in known["symbols"]}
        self._ended = dict.fromkeys(known["ended"])
