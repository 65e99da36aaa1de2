"""How parents fared, worked out by hand."""

from typing import Any

import msgspec
import numpy as np
import pytest

from components.execution.twap import Twap
from components.metrics.execution import ExecutionFold
from engine.events import MINUTE_NS, Bars, Orders
from engine.universe import universe_of
from tests.components.execution.floor import Floor, minutes, orders
from tests.make import book

TWO = universe_of(("A", "B"))
FOREVER = 2**63 - 1


def fared(rows: list[tuple[Bars, tuple[Orders, ...]]], horizon: int = 3, **options: Any) -> ExecutionFold:
    floor = Floor(Twap(horizon=horizon), TWO, **options)
    fold = ExecutionFold(universe=TWO, interval_ns=MINUTE_NS, point="open", window=lambda ts: (horizon, FOREVER))
    for event, given in rows:
        fold.append((), [event, *given])
        fold.append((), floor.slice(event, *given))
    return fold


def day(prices: list[float], volumes: list[float], given: dict[int, tuple[Orders, ...]]) -> Any:
    return [
        (minutes(k, [p, 20.0], open=[p, 20.0], volume=[v, 100.0]), given.get(k, ()))
        for k, (p, v) in enumerate(zip(prices, volumes, strict=True), start=1)
    ]


def test_price_advantage_slippage_and_fill_ratio_are_as_worked_out_by_hand() -> None:
    rows = day([10.0, 10.0, 11.0, 12.0, 50.0], [1.0, 100.0, 100.0, 400.0, 9.0], {1: (orders(1, [30.0, -9.0]),)})
    table = fared(rows).table()
    assert table["symbol"] == ["A", "B"]
    assert table["end"] == ["finished", "finished"]
    np.testing.assert_allclose(table["price"], [11.0, 20.0])
    np.testing.assert_allclose(table["twap"], [11.0, 20.0])
    np.testing.assert_allclose(table["vwap"], [(1000 + 1100 + 4800) / 600, 20.0])
    np.testing.assert_allclose(table["pa_twap_bps"], [0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(table["pa_vwap_bps"], [-(11.0 / 11.5 - 1) * 1e4, 0.0], atol=1e-9)
    np.testing.assert_allclose(table["arrival_bps"], [1000.0, 0.0], atol=1e-9)  # bought 10 % above the decision
    np.testing.assert_allclose(table["fill_ratio"], [1.0, 1.0])
    np.testing.assert_allclose(table["value"], [330.0, 180.0])


def test_a_bar_that_nobody_traded_has_no_price_to_be_measured_by() -> None:
    given = {1: (orders(1, [30.0, -9.0]),)}
    plain = fared(day([10.0, 10.0, 11.0, 12.0, 50.0], [1.0, 100.0, 100.0, 400.0, 9.0], given)).table()
    idle = fared(day([10.0, 10.0, 90.0, 12.0, 50.0], [1.0, 100.0, 0.0, 400.0, 9.0], given)).table()
    unknown = fared(day([10.0, 10.0, 90.0, 12.0, 50.0], [1.0, 100.0, np.nan, 400.0, 9.0], given)).table()
    assert (plain["twap"][0], idle["twap"][0], unknown["twap"][0]) == (11.0, 11.0, pytest.approx(112 / 3))
    assert idle["vwap"][0] == (1000 + 4800) / 500


def test_two_parents_of_one_symbol_in_one_slice_are_two_rows() -> None:
    both = orders(1, [30.0, 60.0], symbol=[0, 0])
    fold = fared(day([10.0, 10.0, 11.0, 12.0, 12.0], [100.0] * 5, {1: (both,)}))
    assert fold.table()["filled"].tolist() == [30.0, 60.0]
    assert fold.decisions()["orders"].tolist() == [2]


def test_what_is_cancelled_has_no_fill_ratio_and_is_measured_up_to_its_end() -> None:
    given = {1: (orders(1, [30.0, 0.0][:1]),), 3: (orders(3, [-10.0], first=5),)}
    table = fared(day([10.0, 10.0, 12.0, 12.0, 12.0, 12.0, 12.0], [100.0] * 7, given)).table()
    assert table["end"] == ["cancelled", "finished"]
    assert np.isnan(table["fill_ratio"][0])
    assert table["twap"][0] == 11.0  # of the two slices in which it worked


def test_the_horizon_is_measured_whole_and_an_open_parent_is_open() -> None:
    rows = day([10.0, 10.0, 10.0], [100.0] * 3, {1: (orders(1, [30.0]),)})
    (end,) = fared(rows).table()["end"]
    assert end == "open"
    assert fared(rows).figures()["fill_ratio"]["orders"] is None


def test_averages_are_by_orders_by_shares_and_by_value() -> None:
    given = {1: (orders(1, [300.0, -30.0]),)}
    rows = day([10.0, 10.0, 10.0, 10.0, 10.0], [100.0] * 5, given)
    fold = fared(rows, participation=0.5)  # 50 shares of A a bar
    found, by_slice = fold.figures(), fold.decisions()
    assert by_slice["fill_ratio_by_shares"].tolist() == [found["fill_ratio"]["shares"]]
    assert by_slice["pa_vwap_bps_by_value"].tolist() == [found["pa_vwap_bps"]["value"]]
    assert found["fill_ratio"] == {
        "orders": pytest.approx(0.75),
        "shares": pytest.approx(180 / 330),
        "value": pytest.approx((1500 + 600) / (3000 + 600)),
    }
    assert (found["orders"], found["finished"], found["expired"]) == (2, 1, 1)
    assert found["pos_twap"]["orders"] == 0.0


def test_value_is_base_money_with_multipliers_and_rates() -> None:
    """A, at 100, is filled; F is a contract of 50 in another currency at 2 to one, and is not."""
    u = msgspec.structs.replace(
        TWO, multiplier=np.array([1.0, 50.0]), currencies=("USD", "GBP"), currency=np.array([0, 1], np.int32)
    )
    fold = ExecutionFold(universe=u, interval_ns=MINUTE_NS, point="open", window=lambda ts: (2, FOREVER))
    fold.append((), [book(1, [100.0, 100.0], rate=np.array([1.0, 2.0]))])
    floor = Floor(Twap(horizon=2), TWO, participation=0.9)
    for k in range(1, 7):
        event = minutes(k, [100.0, 100.0], volume=[1e6, 0.0])
        given = (orders(k, [100.0, -100.0]),) if k == 1 else ()
        fold.append((), [event, *given, *floor.slice(event, *given)])
    assert fold.figures()["fill_ratio"]["value"] == pytest.approx(10_000 / (10_000 + 100 * 100 * 50 * 2))
    assert fold.table()["fill_ratio"].tolist() == [1.0, 0.0]
    assert not np.signbit(fold.table()["fill_ratio"]).any()
    assert fold.figures()["value"] == 10_000.0


def test_orders_that_nobody_could_work_are_left_out() -> None:
    given = {1: (orders(1, [np.nan, 8.0, 5.0], symbol=[0, 1, 9]),)}
    assert fared(day([10.0] * 5, [100.0] * 5, given)).table()["symbol"] == ["B"]


def test_a_session_without_an_order_has_figures_that_are_not_defined() -> None:
    found = fared([(minutes(1, [10.0, 10.0]), ())]).figures()
    assert found["orders"] == 0
    assert found["pa_twap_bps"] == {"orders": None, "shares": None, "value": None}
