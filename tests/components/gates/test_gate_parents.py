"""The orders that a policy works are known for as long as they work."""

import numpy as np
import pytest

from engine.events import Approved, Children, OrderState, Refusals, Reports
from tests.components.gates.asked import MARK, gate, order_ids
from tests.make import book, day, legs

COUNT = 65_540  # more than are remembered of those that ended


def ended(count: int, state: OrderState, first: int) -> Reports:
    ids = np.arange(first, first + count, dtype=np.uint64)
    zero = np.zeros(count)
    return Reports(ts=day(0), ids=ids, symbol=zero.astype(np.int32), state=np.full(count, state, np.int32), left=zero)


@pytest.mark.parametrize("restarts", [False, True])
def test_a_parent_that_works_is_known_however_many_ended_since(restarts: bool) -> None:
    made, twin = gate(book(day(0), MARK)), gate(book(day(0), MARK))
    made.on_parents(legs(ts=day(0), symbol=[0] * (COUNT + 1), qty=np.ones(COUNT + 1)))  # 1, 2, ...
    made.on_parent_reports(ended(1, OrderState.REPLACED, first=1))  # goes on
    made.on_parent_reports(ended(COUNT, OrderState.EXPIRED, first=2))
    if restarts:
        twin.load(made.save())
        made = twin
    child = {"symbol": [0], "qty": [1]}
    for parent, kind in ((1, Approved), (2, Refusals), (COUNT + 1, Approved)):
        (answer,) = made.on_orders(legs(Children, day(0), parent=order_ids(parent), ids=order_ids(9 * parent), **child))
        assert answer.__class__ is kind


def test_reports_of_other_orders_end_no_parent() -> None:
    made = gate(book(day(0), MARK))
    made.on_parents(legs(ts=day(0), symbol=[0], qty=[5], ids=order_ids(7)))
    made.on_parent_reports(ended(COUNT, OrderState.FINISHED, first=100))
    assert len(made._parents.save()["ended"]) == 0


def test_a_policy_that_says_of_no_parent_how_it_ended_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.gates.parents._AT_WORK", 100)
    monkeypatch.setattr("components.gates.parents._MOST", 10)
    made = gate(book(day(0), MARK))
    for first in range(1, 1000, 50):
        made.on_parents(legs(ts=day(0), symbol=[0] * 50, qty=np.ones(50), ids=order_ids(*range(first, first + 50))))
    assert [order for order, _ in made._parents.save()["symbols"]] == list(range(891, 1001))
    child = {"symbol": [0], "qty": [1], "ids": order_ids(5000)}
    for parent, kind in ((890, Refusals), (891, Approved)):
        (answer,) = made.on_orders(legs(Children, day(0), parent=order_ids(parent), **child))
        assert answer.__class__ is kind
    made.on_parent_reports(ended(100, OrderState.FINISHED, first=901))
    assert len(made._parents.save()["symbols"]) == 20  # 891 ... 900 work, and the latest 10 that ended
