"""Cancels and replaces of what has no pace: orders that passed on, children, those that ended or never were."""

from typing import Any

import numpy as np
import pytest

from components.execution.twap import Twap
from engine.events import Children, LegAction, Note, OrderKind, Orders, Refusals, Reports, TimeInForce
from tests.components.execution.floor import ONE, Floor, minutes, orders

LIMIT: dict[str, Any] = {"kind": np.array([OrderKind.LIMIT], np.int32), "limit": np.array([9.0])}
LASTS: dict[str, Any] = {"tif": np.array([TimeInForce.GOOD_TILL_CANCELLED], np.int32)}


def amends(k: int, ref: int, action: LegAction, qty: float = 0.0, **columns: Any) -> Orders:
    named: dict[str, Any] = {"action": np.array([action], np.int32), "ref": np.array([ref], np.uint64)}
    return orders(k, [qty], first=100 + k, **named, **columns)


def resting() -> Floor:
    """A limit order of 100 shares at 9 that passed on as parent 1, in a market at 10."""
    floor = Floor(Twap(horizon=4), ONE)
    floor.slice(minutes(1, [10.0]), orders(1, [100.0], **LIMIT, **LASTS))
    return floor


@pytest.mark.parametrize("action", [LegAction.CANCEL, LegAction.REPLACE])
@pytest.mark.parametrize("ref", [1, 77])
def test_amendments_of_an_order_that_ended_or_that_nobody_knows_are_refused_as_not_open(
    action: LegAction, ref: int
) -> None:
    floor = Floor(Twap(horizon=2), ONE)
    floor.slice(minutes(1, [10.0]), orders(1, [100.0]))
    for k in range(2, 9):
        floor.slice(minutes(k, [10.0]))
    assert not floor.desk.working
    said = floor.slice(minutes(9, [10.0]), amends(9, ref, action, 60.0))
    (refused,) = (event for event in said if isinstance(event, Refusals))
    assert (refused.rule, refused.ids.tolist(), refused.by) == (("not_open",), [109], "broker")
    assert not floor.desk.working
    assert floor.filled() == {1: 100.0}


@pytest.mark.parametrize("qty", [60.0, 150.0])
def test_an_order_that_passed_on_is_replaced_by_its_own_name(qty: float) -> None:
    floor = resting()
    said = floor.slice(minutes(2, [10.0]), amends(2, 1, LegAction.REPLACE, qty, limit=np.array([9.5])))
    assert [event.kind for event in said if isinstance(event, Note)] == []
    rests = floor.ledger.book(0).open_orders
    assert (rests.left.tolist(), rests.limit.tolist(), rests.parent.tolist()) == ([qty], [9.5], [1])
    told = [
        row
        for event in said
        if isinstance(event, Reports)
        for row in zip(event.ids.tolist(), event.left.tolist(), strict=True)
    ]
    assert told == [(rests.ids[0], qty), (1, qty)]  # the child, and its parent with it
    assert floor.ends([1]) == {1: []}
    floor.slice(minutes(3, [8.0], open=[9.0]))
    floor.slice(minutes(4, [8.0]))
    assert floor.filled() == {1: qty}
    assert floor.ends([1]) == {1: ["FINISHED"]}
    assert not floor.desk.working


def test_an_order_that_passed_on_grows_in_parts_and_ends_when_the_last_is_filled() -> None:
    """A part of it fills beyond what was first ordered: its parent goes on until the market is done with it."""
    floor = Floor(Twap(horizon=4), ONE, participation=0.1)
    floor.slice(minutes(1, [10.0]), orders(1, [100.0], **LIMIT, **LASTS))
    floor.slice(minutes(2, [10.0]), amends(2, 1, LegAction.REPLACE, 150.0))
    floor.slice(minutes(3, [8.0], volume=[1000.0]))  # a hundred of them
    assert floor.ends([1]) == {1: []}
    floor.slice(minutes(4, [8.0], volume=[1e6]))
    floor.slice(minutes(5, [8.0]))
    assert floor.filled() == {1: 150.0}
    assert floor.ends([1]) == {1: ["FINISHED"]}


def test_an_order_that_passed_on_is_cancelled_by_its_own_name_and_by_that_of_its_child() -> None:
    for by_child in (False, True):
        floor = resting()
        ref = int(floor.ledger.book(0).open_orders.ids[0]) if by_child else 1
        floor.slice(minutes(2, [10.0]), amends(2, ref, LegAction.CANCEL))
        floor.slice(minutes(3, [10.0]))
        assert floor.ends([1]) == {1: ["CANCELLED"]}
        assert not floor.ledger.book(0).open_orders.ids.size


def test_a_child_at_a_pace_is_not_made_larger_than_its_parent() -> None:
    """It is the desk's own to amend, for as long as it is in the market: the parent is the one to name."""
    floor = Floor(Twap(horizon=4), ONE)
    floor.slice(minutes(1, [10.0]), orders(1, [100.0]))
    (child,) = floor.of(Children)
    said = floor.between(minutes(1, [10.0]).ts + 1, amends(1, int(child.ids[0]), LegAction.REPLACE, 500.0))
    assert [event.kind for event in said if isinstance(event, Note)] == ["replace"]
    assert floor.ledger.book(0).open_orders.left.tolist() == [25.0]
    for k in range(2, 8):
        floor.slice(minutes(k, [10.0]))
    assert floor.filled() == {1: 100.0}


def test_what_waits_to_be_passed_on_is_part_of_the_state() -> None:
    floor = Floor(Twap(horizon=2), ONE)
    floor.desk.on_bars(minutes(1, [10.0]))
    floor.desk.on_orders(amends(1, 77, LegAction.CANCEL))
    assert floor.desk.working
    other = Floor(Twap(horizon=2), ONE)
    other.desk.load(floor.desk.save())
    assert other.desk.working
    said = other.between(minutes(1, [10.0]).ts)
    assert [event.rule for event in said if isinstance(event, Refusals)] == [("not_open",)]
