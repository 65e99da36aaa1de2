"""What a desk makes of orders, reports and paces that are not what they should be."""

from typing import Any

import numpy as np
import pytest

from components.execution.desk import Desk
from components.execution.immediate import Immediate
from components.execution.twap import Twap
from engine.events import Reports
from engine.ids import OrderIds
from engine.universe import universe_of
from tests.components.execution.floor import ONE, TWO, Floor, minutes, orders


def test_what_the_broker_refuses_is_tried_again_until_the_horizon_ends() -> None:
    floor = Floor(Immediate(horizon=3), ONE, cash=1.0)
    floor.slice(minutes(1, [1000.0]), orders(1, [100.0]))
    for k in range(2, 6):
        floor.slice(minutes(k, [1000.0]))
    assert floor.sent() == {1: [100.0] * 3}
    assert floor.ends([1]) == {1: ["EXPIRED"]}


def test_a_pace_that_asks_for_too_much_for_the_other_side_or_for_nothing_is_held_to_what_is_left() -> None:
    class Wild:
        horizon, span_days, completes = 4, False, False

        def due(self, parents: Any, market: Any, /) -> Any:
            return np.array([np.inf, -50.0, 0.0])[parents.symbol]

    three = universe_of(("A", "B", "C"))
    floor = Floor(Wild(), three)
    floor.slice(minutes(1, [10.0] * 3), orders(1, [100.0, 100.0, 100.0]))
    for k in range(2, 7):
        floor.slice(minutes(k, [10.0] * 3))
    assert floor.sent() == {1: [100.0]}
    assert floor.ends([1, 2, 3]) == {1: ["FINISHED"], 2: ["EXPIRED"], 3: ["EXPIRED"]}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "answered nothing; give an array of 2 signed shares"),
        (5.0, "answered 5.0, of float; give an array of 2"),
        (np.ones((2, 2)), r"answered values of shape \(2, 2\) for 2 parents"),
        (["a", "b"], "answered what are no numbers"),
        ([1.0, np.nan], "answered NaN for 1 of 2 parents, first row 1; 0 sends nothing"),
    ],
)
def test_a_pace_that_answers_what_are_no_shares_is_named(answer: Any, said: str) -> None:
    class Odd:
        horizon, span_days, completes = 2, False, True

        def due(self, parents: Any, market: Any, /) -> Any:
            return answer

    with pytest.raises(ValueError, match=f"Odd.due {said}"):
        Floor(Odd(), TWO).slice(minutes(1, [10.0, 10.0]), orders(1, [5.0, 5.0]))


def test_a_pace_that_answers_for_some_parents_only_is_an_error() -> None:
    class Short:
        horizon, span_days, completes = 2, False, True

        def due(self, parents: Any, market: Any, /) -> Any:
            return np.zeros(1)

    floor = Floor(Short(), TWO)
    with pytest.raises(ValueError, match="Short.due answered 1 values for 2 parents; give one for each"):
        floor.slice(minutes(1, [10.0, 10.0]), orders(1, [5.0, 5.0]))


@pytest.mark.parametrize(("symbol", "qty"), [(7, 10.0), (-1, 10.0), (0, np.nan), (0, np.inf), (0, 0.0)])
def test_an_order_that_nobody_could_work_ends_at_once_and_the_others_are_worked(symbol: int, qty: float) -> None:
    floor = Floor(Twap(horizon=2), TWO)
    floor.slice(minutes(1, [10.0, 10.0]), orders(1, [qty, 8.0], symbol=[symbol, 1]))
    assert floor.ends([1]) == {1: ["CANCELLED"]}
    assert floor.notes() == ["malformed"]
    for k in (2, 3):
        floor.slice(minutes(k, [10.0, 10.0]))
    assert floor.filled() == {2: 8.0}


def test_reports_of_other_orders_change_nothing() -> None:
    desk = Desk(universe=ONE, ids=OrderIds("t", "e"), name="e", pace=Twap(horizon=2))
    none = np.array([77], np.uint64), np.array([0], np.int32)
    desk.on_reports(Reports(ts=1, ids=none[0], symbol=none[1], state=np.array([3], np.int32), left=np.zeros(1)))
    assert not desk.working
