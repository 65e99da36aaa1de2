"""Orders of strategies of slower intervals, decided at instants in which nobody traded."""

import numpy as np

from components.execution.immediate import Immediate
from components.execution.twap import Twap
from engine.universe import universe_of
from tests.components.execution.floor import Floor, minute, minutes, orders

TWO = universe_of(("A", "B"))


def test_an_order_decided_where_nobody_traded_is_sent_at_once() -> None:
    floor = Floor(Immediate(), TWO)
    floor.slice(minutes(4, [10.0, 10.0]))
    floor.between(minute(5), orders(5, [100.0, -40.0]))
    floor.slice(minutes(6, [10.0, 10.0]))
    assert floor.sent() == {1: [100.0], 2: [-40.0]}
    assert floor.ends([1, 2]) == {1: ["FINISHED"], 2: ["FINISHED"]}


def test_its_first_step_goes_out_there_and_others_wait_for_the_bar_that_they_were_sent_for() -> None:
    floor = Floor(Twap(horizon=3), TWO)
    floor.slice(minutes(4, [10.0, 10.0]), orders(4, [90.0]))
    floor.between(minute(5), orders(5, [30.0], first=2, symbol=[1]))
    for k in range(6, 10):
        floor.slice(minutes(k, [10.0, 10.0]))
    assert floor.sent() == {1: [30.0] * 3, 2: [10.0] * 3}  # nothing was taken back or sent twice
    assert floor.filled() == {1: 90.0, 2: 30.0}


def test_a_horizon_that_begins_anew_there_sends_its_first_step() -> None:
    floor = Floor(Twap(horizon=4), TWO)
    floor.slice(minutes(1, [10.0, 10.0]), orders(1, [40.0]))
    for k in (2, 3):
        floor.slice(minutes(k, [10.0, 10.0]))
    more = orders(5, [400.0], first=9, action=np.array([2], np.int32), ref=np.array([1], np.uint64))
    floor.between(minute(5), more)
    for k in range(6, 11):
        floor.slice(minutes(k, [10.0, 10.0]))
    assert floor.sent() == {1: [10.0, 10.0, 10.0, 90.0, 100.0, 100.0, 100.0]}  # 10 were in the market
    assert floor.filled() == {1: 420.0}
