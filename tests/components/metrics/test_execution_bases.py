"""What the fills of a parent are measured against: the bars in which it could trade, in shares of the day it ended."""

from typing import Any

import numpy as np
import pytest

from components.execution.immediate import Immediate
from components.execution.twap import Twap
from components.metrics.execution import ExecutionFold
from engine.events import MINUTE_NS, ActionKind, Actions, Bars
from tests.components.execution.floor import Floor, minute, minutes, orders
from tests.components.metrics.test_execution import FOREVER, TWO

PRICES = (10.0, 11.0, 13.0, 12.0, 50.0, 90.0)


def fared(pace: Any, fill: str, given: dict[int, Any], prices: tuple[float, ...] = PRICES, **options: Any) -> Any:
    """A at these closes, each bar opening at the close before; B at 20."""
    floor = Floor(pace, TWO, fill=fill)
    options = {"window": lambda ts: (pace.horizon, FOREVER), **options}
    point: Any = {"next_open": "open", "same_close": "own_close"}.get(fill, "close")
    fold = ExecutionFold(universe=TWO, interval_ns=MINUTE_NS, point=point, **options)
    for k, price in enumerate(prices, start=1):
        event = minutes(k, [price, 20.0], open=[prices[max(0, k - 2)], 20.0], volume=[100.0 * k, 100.0])
        one = (given[k],) if k in given else ()
        fold.append((), [event, *one])
        fold.append((), floor.slice(event, *one))
    return fold


@pytest.mark.parametrize("fill", ["same_close", "next_open", "next_close"])
def test_an_even_pace_has_no_advantage_to_the_mean_of_its_bars_whenever_the_broker_trades(fill: str) -> None:
    table = fared(Twap(horizon=3), fill, {1: orders(1, [30.0, -9.0])}).table()
    mean = {"same_close": (10 + 11 + 13) / 3, "next_open": (10 + 11 + 13) / 3, "next_close": 12.0}[fill]
    assert table["price"][0] == pytest.approx(mean)
    assert table["twap"][0] == pytest.approx(mean)
    assert table["pa_twap_bps"].tolist() == pytest.approx([0.0, 0.0], abs=1e-9)


def test_what_trades_at_its_own_close_is_measured_by_that_close_and_its_volume() -> None:
    table = fared(Immediate(horizon=1), "same_close", {2: orders(2, [30.0])}).table()
    assert (table["price"][0], table["twap"][0], table["vwap"][0], table["pa_vwap_bps"][0]) == (11.0, 11.0, 11.0, 0.0)
    vwap = fared(Twap(horizon=2), "same_close", {2: orders(2, [30.0])}).table()["vwap"][0]
    assert vwap == pytest.approx((11 * 200 + 13 * 300) / 500)


def test_at_its_own_close_a_cancelled_parent_is_measured_up_to_the_last_slice_in_which_it_could_send() -> None:
    table = fared(Twap(horizon=5), "same_close", {1: orders(1, [50.0]), 3: orders(3, [-10.0], first=5)}).table()
    assert table["end"][0] == "cancelled"
    assert table["twap"][0] == pytest.approx((10 + 11) / 2)
    assert table["price"][0] == pytest.approx((10 + 11) / 2)


def test_at_its_own_close_a_horizon_that_the_session_cuts_ends_before_the_close() -> None:
    """Nothing is sent at the close itself, so that its bar is none of the horizon."""
    until = minutes(3, [1.0, 1.0]).ts
    fold = fared(Twap(horizon=2), "same_close", {1: orders(1, [20.0])}, window=lambda ts: (2, until))
    assert fold.table()["twap"][0] == pytest.approx((10 + 11) / 2)
    assert np.isfinite(fold.figures()["pa_vwap_bps"]["orders"])


def test_the_last_slice_of_a_session_is_measured_too() -> None:
    fold = fared(Immediate(horizon=1), "same_close", {6: orders(6, [30.0])})
    assert fold.table()["pa_twap_bps"].tolist() == [0.0]
    assert fold.table()["twap"].tolist() == [90.0]  # asking twice counts once


# ---- splits ----------------------------------------------------------------------------------------------------------


def split(k: int) -> Actions:
    """Three shares of A for one, behind the k-th bar."""
    one = np.zeros(1, np.int32)
    kind, at, none = np.array([ActionKind.SPLIT], np.int32), np.zeros(1, np.int64), np.array([np.nan])
    return Actions(
        ts=minute(k), kind=kind, symbol=one, ratio=np.array([3.0]), amount=none, pay_at=at, successor=one - 1
    )


def over_a_split(pace: Any, behind: int | None, fill: Any = "next_open") -> Any:
    """Orders of 30 A decided in the first bar; A trades at 12 in all bars, and at 4 behind the split."""
    floor = Floor(pace, TWO, fill=fill)
    point: Any = "own_close" if fill == "same_close" else "close"
    fold = ExecutionFold(universe=TWO, interval_ns=MINUTE_NS, window=lambda ts: (pace.horizon, FOREVER), point=point)

    def bar(k: int) -> Bars:
        part = 3.0 if behind is not None and k > behind else 1.0
        price, volume = [(11.0 + k % 3) / part, 20.0], [100.0 * k * part, 1.0]
        made: Bars = minutes(k, price, volume=volume)
        return made

    for k in range(1, 8):
        event, given = bar(k), (orders(k, [30.0]),) if k == 1 else ()
        fold.append((), [event, *given])
        fold.append((), floor.slice(event, *given))
        if k == behind:
            actions = split(k)
            before, answers = len(floor.said), floor.broker.on_actions(actions)
            floor.take(floor.desk.on_actions(actions))
            floor.take(answers)
            fold.append((), [actions, *floor.said[before:]])
    return fold


@pytest.mark.parametrize("fill", ["next_open", "same_close"])
@pytest.mark.parametrize("behind", [2, 3, 4, 5])
def test_a_split_restates_no_order_that_ended_before_it(behind: int, fill: str) -> None:
    """Done in the second bar at the latest; its horizon may go on over the split."""
    found, plain = (over_a_split(Immediate(horizon=4), at, fill).table() for at in (behind, None))
    assert plain["filled"].tolist() == [30.0]
    for name in ("asked", "filled", "price", "arrival", "twap", "vwap", "pa_twap_bps", "pa_vwap_bps", "value"):
        np.testing.assert_allclose(found[name], plain[name], rtol=1e-12, err_msg=name)


def test_a_split_restates_what_is_still_open() -> None:
    found, plain = (over_a_split(Twap(horizon=5), at).table() for at in (3, None))
    assert (found["asked"].tolist(), plain["asked"].tolist()) == ([90.0], [30.0])
    assert found["filled"].tolist() == [90.0]
    np.testing.assert_allclose(found["pa_twap_bps"], plain["pa_twap_bps"])
