"""A gate of four symbols, and what it answers, short to write."""

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from components.gates.limits import Limits
from engine.events import (
    Approved,
    Book,
    Control,
    ControlAction,
    OpenOrders,
    Reference,
    Refusals,
)
from engine.ids import OrderIds
from engine.universe import universe_of
from tests.make import bars, day, legs

NAN = np.nan
MARK = [10.0, 20.0, 50.0, 100.0]


def gate(where: Book | None = None, **options: Any) -> Limits:
    made = Limits(universe=universe_of(tuple("ABCD")), ids=OrderIds("s", "risk"), name="risk", **options)
    if where is not None:
        assert made.on_book(where) is None
    return made


_ASKED: WeakKeyDictionary[Limits, int] = WeakKeyDictionary()  # ids asked for


def ask(made: Limits, symbol: list[int], qty: list[float], **columns: Any) -> tuple[list[int], list[str]]:
    """Places of the orders that were approved, from 1, or the ids that were given; `rule` of each refusal.

    Ids not given go on from those asked for of the same gate before.
    """
    first = 0
    if "ids" not in columns:
        first = _ASKED.get(made, 0)
        _ASKED[made] = first + len(symbol)
        columns["ids"] = np.arange(first + 1, first + len(symbol) + 1, dtype=np.uint64)
    answer = made.on_orders(legs(ts=day(0), symbol=symbol, qty=qty, **columns))
    passed = [i - first for e in answer if isinstance(e, Approved) for i in e.ids.tolist()]
    return passed, [rule for e in answer if isinstance(e, Refusals) for rule in e.rule]


def working(*rows: tuple[int, int, float]) -> dict[str, Any]:
    """Columns of a book with these open market orders: (id, symbol, left)."""
    ids, symbol, left = (np.array(column) for column in zip(*rows, strict=True))
    none = np.full(len(ids), NAN)
    orders = OpenOrders(
        ids=ids.astype(np.uint64),
        parent=np.zeros(len(ids), np.uint64),
        symbol=symbol.astype(np.int32),
        left=left.astype(float),
        kind=np.zeros(len(ids), np.int32),
        limit=none,
        stop=none,
    )
    return {"open_orders": orders, "working": np.bincount(orders.symbol, orders.left, minlength=4)}


def control(action: ControlAction, ts: int = day(0)) -> Control:
    return Control(ts=ts, action=action, actor="jo")


def full(**options: Any) -> Limits:
    """A gate of four names of two sectors (D has none) that saw one slice, all of them fresh but D."""
    made = gate(**options)
    seen = bars(ts=day(0), close=[10, 20, 50, NAN], volume=[1000, 1000, 1000, NAN])
    sectors = Reference(ts=day(0), name="sectors", rows="symbol", value=np.array([[0.0], [0.0], [1.0], [NAN]]))
    for method, event in (("on_bars", seen), ("on_reference", sectors)):
        if hasattr(made, method):
            getattr(made, method)(event)
    return made


def codes(*values: int) -> Any:
    return np.array(values, np.int32)


def order_ids(*values: int) -> Any:
    return np.array(values, np.uint64)
