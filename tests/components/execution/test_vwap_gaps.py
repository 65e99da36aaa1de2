"""VWAP where slices of the running day never come: a horizon counts slices, its profile the time of day."""

from typing import Any

import numpy as np
import pytest

from components.execution.vwap import Vwap
from engine.events import Orders
from tests.components.execution.floor import Floor, minutes, orders
from tests.components.execution.test_paces import ONE, two_days

VOLUMES = {1: 50.0, 2: 10.0, 3: 10.0, 4: 10.0, 5: 20.0, 6: 20.0}  # by the slice behind the decision
DAY = 24 * 60


def sent(decided: int, gone: set[int], again: dict[int, Orders] | None = None, reload_at: int = 0) -> Any:
    """What is sent of 1,000 shares over 5 slices on the second day; what is `gone` behind the decision never comes."""
    floor = Floor(Vwap(universe=ONE, sessions=two_days(), horizon=5), ONE, sessions=two_days())
    for day in (0, DAY):
        for k in range(decided - 3, min(decided + 12, 391)):
            if day and k - decided in gone:
                continue
            given = [orders(DAY + k, [1000.0])] if day and k == decided else []
            given += [again[k - decided]] if day and again and k - decided in again else []
            floor.slice(minutes(day + k, [10.0], volume=[VOLUMES.get(k - decided, 5.0) * 1000]), *given)
            if day and reload_at == k:
                state = floor.desk.save()
                anew: Any = Vwap(universe=ONE, sessions=two_days(), horizon=5)
                floor.desk.pace = anew
                floor.desk.load(state)
    return floor.sent()


def test_without_a_gap_it_is_the_profile() -> None:
    assert sent(20, set()) == {1: [500.0, 100.0, 100.0, 100.0, 200.0]}


@pytest.mark.parametrize("reload_at", [0, 386])
def test_what_a_slice_that_never_came_was_to_trade_is_due_behind_it(reload_at: int) -> None:
    """The close cuts the horizon: four slices are left of five, and the profile is that of the five."""
    assert sent(385, {2}, reload_at=reload_at) == {1: [500.0, 100.0, 200.0, 200.0]}


def test_several_missing_slices_are_caught_up_with_at_once() -> None:
    assert sent(385, {2, 3}) == {1: [500.0, 100.0, 400.0]}  # behind the gap only the last slice is left


def test_a_horizon_that_the_close_does_not_cut_goes_on_for_as_many_slices() -> None:
    """Five steps over six slots of 120 together, the second of which never came."""
    assert sent(20, {2}) == {1: [500.0, 100.0, 67.0, 166.0, 167.0]}


def test_a_horizon_that_begins_anew_has_its_own_beginning() -> None:
    grown = orders(DAY + 23, [5000.0], first=9, action=np.array([2], np.int32), ref=np.array([1], np.uint64))
    plain, gap = sent(20, set(), {3: grown})[1], sent(20, {2}, {3: grown})[1]
    assert plain[:3] == [500.0, 100.0, 100.0]
    assert gap[:2] == [500.0, 100.0]
    assert gap[2:] == plain[3:]  # 5,000 shares from then on, by the profile of the five slices behind it


def test_an_order_that_waits_for_the_opening_begins_with_it() -> None:
    """Decided at the close of the first day: sent at the opening, and a slice that never comes is caught up with."""

    def sent_of(gone: set[int]) -> Any:
        floor = Floor(Vwap(universe=ONE, sessions=two_days(), horizon=5), ONE, sessions=two_days())
        for k in [*range(1, 391), *range(DAY + 1, DAY + 10)]:
            if k - DAY not in gone:
                given = [orders(k, [1000.0])] if k == 390 else []
                floor.slice(minutes(k, [10.0], volume=[VOLUMES.get(k % DAY, 5.0) * 1000]), *given)
        return floor.sent()[1]

    assert sent_of(set()) == [500.0, 100.0, 100.0, 100.0, 200.0]
    assert sent_of({2}) == [500.0, 100.0, 67.0, 166.0, 167.0]
