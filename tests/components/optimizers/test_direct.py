"""Targets into orders without an objective."""

import warnings
from typing import Any

import msgspec
import numpy as np
import pytest

from components.costs.bps import Bps
from components.optimizers.direct import Direct
from engine.events import Note, OrderKind, Orders, TargetKind, TimeInForce
from engine.ids import OrderIds
from engine.universe import universe_of
from tests.make import bars, book, day, target


def direct(**options: Any) -> Direct:
    universe = universe_of(("A", "B", "C"))
    optimizer = Direct(universe=universe, ids=OrderIds("s", "opt"), costs=Bps(commission_bps=5), name="opt", **options)
    optimizer.on_bars(bars(day(0), [10.0, 20.0, 40.0]))
    return optimizer


def test_orders_are_market_day_orders_with_the_ids_of_their_slice() -> None:
    (orders,) = direct().on_targets((target(day(0), [0.2, 0.3, 0.0]),), book(day(0), [10, 20, 40], cash=10_000))
    assert isinstance(orders, Orders)
    assert orders.qty.tolist() == [200, 150]
    assert orders.symbol.tolist() == [0, 1]
    assert orders.symbol.dtype == np.int32
    assert set(orders.kind.tolist()) == {OrderKind.MARKET}
    assert set(orders.tif.tolist()) == {TimeInForce.DAY}
    assert orders.ids.tolist() == OrderIds("s", "opt")(ts=day(0), count=2).tolist()
    assert orders.ts == day(0)


def test_rule_38_two_decisions_of_one_instant_never_share_an_id_even_across_a_restart() -> None:
    """Strategies of two intervals decide one after the other where both of their bars end."""
    where, optimizer = book(day(0), [10, 20, 40], cash=10_000), direct()
    (first,) = optimizer.on_targets((target(day(0), [0.2, 0.3, 0.0]),), where)
    again = direct()
    again.load(optimizer.save())
    for each in (optimizer, again):
        (second,) = each.on_targets((target(day(0), [0.0, 0.0, 0.2]),), where)
        assert second.ids.tolist() == OrderIds("s", "opt")(ts=day(0), count=1, first=2).tolist()
    assert not set(first.ids.tolist()) & set(second.ids.tolist())


def test_a_target_that_is_met_gives_nothing() -> None:
    same = target(day(0), [5, 0, 0], kind=TargetKind.QUANTITY)
    assert direct().on_targets((same,), book(day(0), [10, 20, 40], qty=[5, 0, 0])) == ()


def test_a_met_target_in_shares_is_worked_out_again_when_the_position_changes() -> None:
    optimizer, where = direct(), book(day(0), [10, 20, 40], qty=[5, 0, 0])
    same = (target(day(0), [5, 0, 0], kind=TargetKind.QUANTITY),)
    assert optimizer.on_targets(same, where) == ()
    assert optimizer.on_targets(same, where) == ()
    after_split = msgspec.structs.replace(where, qty=np.array([10.0, 0, 0]))
    (orders,) = optimizer.on_targets(same, after_split)
    assert orders.qty.tolist() == [-5]
    working = msgspec.structs.replace(where, working=np.array([0, 2.0, 0]))
    (orders,) = optimizer.on_targets(same, working)
    assert orders.qty.tolist() == [-2]
    assert optimizer.on_targets(same, where) == ()


def test_two_sleeves_are_netted_into_one_trade() -> None:
    long, short = target(day(0), [0.2, 0, 0], source="a"), target(day(0), [-0.1, 0, 0], source="b")
    (orders,) = direct().on_targets((long, short), book(day(0), [10, 20, 40], cash=10_000))
    assert orders.qty.tolist() == [100]


def test_rule_37_the_reserve_keeps_cash_for_the_gap() -> None:
    """Rule 37: reserve cash for the gap to the fill price."""
    everything = (target(day(0), [1.0, 0, 0]),)
    for reserve_bps, qty in ((0.0, 999), (100.0, 989), (1000.0, 908)):
        orders = direct(reserve_bps=reserve_bps).on_targets(everything, book(day(0), [10, 20, 40], cash=10_000))[-1]
        assert orders.qty.tolist() == [qty]


def test_before_any_bar_nothing_is_sent() -> None:
    optimizer = Direct(universe=universe_of(("A",)), ids=OrderIds("s", "o"), costs=Bps(), name="opt")
    (note,) = optimizer.on_targets((target(day(0), [0.5]),), book(day(0), [10]))
    assert note.kind == "untradable"


def test_the_kind_and_the_life_of_orders_are_options() -> None:
    wish = (target(day(0), [0.2, 0, 0]),)
    for order, kind in (("market_on_open", OrderKind.MARKET_ON_OPEN), ("market_on_close", OrderKind.MARKET_ON_CLOSE)):
        (orders,) = direct(order=order, time_in_force="gtc").on_targets(wish, book(day(0), [10, 20, 40]))
        assert (orders.kind.tolist(), orders.tif.tolist()) == ([kind], [TimeInForce.GOOD_TILL_CANCELLED])
    lives = {"day": 0, "gtc": 1, "ioc": TimeInForce.IMMEDIATE_OR_CANCEL, "fok": TimeInForce.FILL_OR_KILL}
    for name, tif in lives.items():
        (orders,) = direct(time_in_force=name).on_targets(wish, book(day(0), [10, 20, 40]))
        assert orders.tif.tolist() == [tif]


def test_what_cannot_be_paid_may_be_left_to_the_broker() -> None:
    everything = (target(day(0), [2.0, 0, 0]),)
    (orders,) = direct(afford=False).on_targets(everything, book(day(0), [10, 20, 40], cash=10_000))
    assert orders.qty.tolist() == [2000]


def test_what_is_left_to_the_broker_to_cut_comes_best_first_after_the_sales() -> None:
    wish = (target(day(0), [3, 7, -2], kind=TargetKind.QUANTITY, alpha=[np.nan, 0.5, 0.1]),)
    (orders,) = direct(afford=False).on_targets(wish, book(day(0), [10, 20, 40], cash=10_000))
    assert orders.symbol.tolist() == [2, 1, 0]
    (orders,) = direct().on_targets(wish, book(day(0), [10, 20, 40], cash=10_000))
    assert orders.symbol.tolist() == [2, 0, 1]


def test_a_limit_price_makes_a_limit_order() -> None:
    wish = msgspec.structs.replace(target(day(0), [0.2, 0.3, 0]), limit=np.array([9.5, np.nan, np.nan]))
    (orders,) = direct().on_targets((wish,), book(day(0), [10, 20, 40], cash=10_000))
    assert orders.kind.tolist() == [OrderKind.LIMIT, OrderKind.MARKET]
    assert orders.limit[0] == 9.5
    assert np.isnan(orders.limit[1])


@pytest.mark.parametrize("option", [{"order": "limit"}, {"time_in_force": "gtd"}])
def test_options_are_checked(option: dict[str, str]) -> None:
    (key,) = option
    with pytest.raises(ValueError, match=f"{key} must be one of"):
        direct(**option)


def test_a_target_below_a_lot_is_told_once_and_again_when_another_joins_it() -> None:
    optimizer, where = direct(), book(day(0), [10, 20, 40], cash=100)
    few, more = target(day(0), [0.05, 0, 0]), target(day(0), [0.06, 0.1, 0])
    (first,) = optimizer.on_targets((few,), where)
    assert isinstance(first, Note)
    assert (first.kind, first.symbol.tolist(), first.value.tolist()) == ("lot", [0], [0.5])
    assert optimizer.on_targets((few,), where) == ()
    again = direct()
    again.load(optimizer.save())
    assert again.on_targets((few,), where) == ()
    (second,) = again.on_targets((more,), where)
    assert isinstance(second, Note)
    assert second.symbol.tolist() == [0, 1]
    assert again.on_targets((few,), where) == ()
    (third,) = again.on_targets((more,), where)
    assert third.kind == "lot"


@pytest.mark.parametrize("limit", [[np.nan, np.nan, np.nan], [9.0, 19.0, 39.0]])
def test_infinite_targets_are_left_alone_without_a_warning(limit: list[float]) -> None:
    where = book(day(0), [10, 20, 40], qty=[5, -5, 0])
    for kind in TargetKind:
        wish = target(day(0), [np.inf, -np.inf, 0], kind=kind, limit=np.array(limit))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            (note,) = direct().on_targets((wish,), where)
        assert isinstance(note, Note)
        assert (note.kind, note.symbol.tolist()) == ("infinite", [0, 1])
