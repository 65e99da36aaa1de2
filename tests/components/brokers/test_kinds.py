"""Orders with prices at the simulated broker: how they live, rest, trigger, are replaced and end."""

import numpy as np
import pytest

from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from engine.events import HOUR_NS, OrderKind, OrderState, Status, TimeInForce
from tests.components.brokers.made import (
    action,
    approved,
    broker,
    cancel,
    change,
    fills,
    order,
    priced,
    refused,
    states,
    traded,
    universe,
)
from tests.conformance.driving import drive, trading
from tests.conformance.streams import same
from tests.conformance.streams import universe as stocks
from tests.make import bars, book, day

MARKET, LIMIT, STOP, STOP_LIMIT, TRAILING, MOO, MOC = OrderKind
DAY, GTC, GTD, IOC, FOK = TimeInForce
ACCEPTED, TRIGGERED, REPLACED, CANCELLED, EXPIRED, FINISHED = OrderState


def bar(k, o, h=None, low=None, c=None, **columns):
    """Daily bars in which symbol 0 trades so and the others at 100."""
    h, low, c = (o if value is None else value for value in (h, low, c))
    rest = [100.0, 100.0]
    return bars(day(k), [c, *rest], open=[o, *rest], high=[h, *rest], low=[low, *rest], **columns)


# ---- rules 31 and 32 -------------------------------------------------------------------------------------------------


def test_rule_31_a_resting_limit_order_fills_when_the_market_trades_through_it():
    one = broker()
    one.on_orders(order(5.0, LIMIT, limit=95.0))
    assert priced(one.on_bars(bar(1, 100, 102, 95, 99))) == {}
    assert priced(one.on_bars(bar(2, 99, 101, 94.9, 100))) == {1: (5.0, 95.0)}


def test_rule_31_a_resting_limit_order_fills_at_a_better_open_after_a_gap():
    one = broker()
    one.on_orders(order(5.0, LIMIT, limit=95.0))
    one.on_bars(bar(1, 100))
    assert priced(one.on_bars(bar(2, 90, 99, 89, 98))) == {1: (5.0, 90.0)}


def test_rule_31_no_cost_model_takes_a_limit_order_beyond_its_limit():
    for limit, price in ((95.0, 95.0), (100.05, 100.05), (101.0, 100.1)):
        one = broker(costs=Bps(slippage_bps=10))
        one.on_orders(order(5.0, LIMIT, limit=limit))
        fill = fills(one.on_bars(bar(1, 100, 102, 90, 99)))
        np.testing.assert_allclose(fill.price, [price])
    one = broker(costs=Bps(slippage_bps=10), qty=[5.0, 0.0, 0.0])
    one.on_orders(order(-5.0, LIMIT, limit=101.0))
    assert fills(one.on_bars(bar(1, 100, 102, 90, 99))).price.tolist() == [101.0]


def test_rule_32_a_stop_fills_at_its_trigger_with_slippage_and_at_the_open_after_a_gap():
    one = broker(costs=Bps(slippage_bps=100), qty=[9.0, 0.0, 0.0])
    one.on_orders(order(-5.0, STOP, stop=95.0))
    out = one.on_bars(bar(1, 100, 101, 94, 96))
    np.testing.assert_allclose(fills(out).price, [95 * 0.99])
    assert states(out) == {1: FINISHED}
    one.on_orders(order(-4.0, STOP, stop=95.0, id=2))
    np.testing.assert_allclose(fills(one.on_bars(bar(2, 90, 99, 89, 98))).price, [90 * 0.99])


def test_rule_32_of_a_stop_and_a_target_in_one_bar_the_worse_fills_and_the_other_finds_no_shares():
    one = broker(qty=[5.0, 0.0, 0.0])
    assert refused(one.on_orders(order(-5.0, LIMIT, limit=110.0))) == {}
    assert refused(one.on_orders(order(-5.0, STOP, stop=90.0, id=2))) == {}
    out = one.on_bars(bar(1, 100, 115, 85, 100))
    assert priced(out) == {2: (-5.0, 90.0)}
    assert states(out) == {1: CANCELLED, 2: FINISHED}
    assert refused(out) == {1: "short"}


def test_rule_32_the_worse_of_both_goes_first_where_shares_may_be_sold_short_too():
    one = broker(qty=[5.0, 0.0, 0.0], short=True)
    one.on_orders(
        approved(
            [0, 0],
            [-5.0, -5.0],
            kind=np.array([LIMIT, STOP], np.int32),
            limit=np.array([110.0, np.nan]),
            stop=np.array([np.nan, 90.0]),
        )
    )
    assert fills(one.on_bars(bar(1, 100, 115, 85, 100))).order_ids.tolist() == [2, 1]


def test_what_sells_inside_the_bar_does_not_pay_for_what_buys_at_its_open():
    one = broker(cash=0.0, qty=[5.0, 0.0, 0.0])
    one.on_orders(order(-5.0, LIMIT, limit=110.0))
    one.on_orders(order(5.0, symbol=1, id=2, tif=DAY))
    out = one.on_bars(bar(1, 100, 115, 85, 100))
    assert traded(out) == {1: -5.0}
    assert refused(out) == {2: "cash"}


def test_what_buys_at_the_open_can_be_sold_inside_the_bar():
    one = broker()
    one.on_orders(order(5.0))
    assert refused(one.on_orders(order(-5.0, STOP, stop=90.0, id=2))) == {}
    assert traded(one.on_bars(bar(1, 100, 115, 85, 100))) == {1: 5.0, 2: -5.0}


def test_a_purchase_that_the_money_cuts_leaves_a_stop_only_what_was_bought():
    one = broker(cash=300.0)
    one.on_orders(order(5.0, tif=IOC))
    one.on_orders(order(-5.0, STOP, stop=90.0, id=2))
    out = one.on_bars(bar(1, 100, 115, 85, 100))
    assert traded(out) == {1: 3.0, 2: -3.0}
    assert refused(out) == {1: "cash", 2: "short"}


# ---- triggers --------------------------------------------------------------------------------------------------------


def test_a_stop_limit_that_triggers_and_does_not_fill_is_reported_and_rests_as_a_limit_order():
    one = broker()
    one.on_orders(order(5.0, STOP_LIMIT, stop=105.0, limit=106.0))
    out = one.on_bars(bar(1, 100, 110, 99, 109))
    assert (traded(out), states(out)) == ({}, {1: TRIGGERED})
    assert out[0].left.tolist() == [5.0]
    assert priced(one.on_bars(bar(2, 108, 112, 107, 111))) == {}
    assert priced(one.on_bars(bar(3, 108, 112, 105, 111))) == {1: (5.0, 106.0)}


def test_a_stop_that_triggers_where_the_money_is_missing_rests_as_a_market_order():
    one = broker(cash=0.0)
    one.on_orders(order(5.0, STOP, stop=105.0))
    assert states(one.on_bars(bar(1, 100, 110, 99, 109))) == {1: TRIGGERED}
    one.on_book(book(day(1), [109.0, 100.0, 100.0], cash=1_000.0))
    assert priced(one.on_bars(bar(2, 90))) == {1: (5.0, 90.0)}


def test_an_order_that_triggers_and_fills_in_one_bar_reports_both_in_order():
    one = broker()
    one.on_orders(order(5.0, STOP, stop=105.0))
    reports = [event for event in one.on_bars(bar(1, 100, 110, 99, 109)) if hasattr(event, "state")]
    assert [report.state.tolist() for report in reports] == [[TRIGGERED], [FINISHED]]


def test_a_trailing_stop_follows_the_market_bar_by_bar():
    one = broker(qty=[5.0, 0.0, 0.0])
    one.on_orders(order(-5.0, TRAILING, trail=10.0))
    for k, (o, h, low, c) in enumerate([(100, 105, 96, 104), (104, 120, 103, 118), (118, 119, 111, 112)], 1):
        assert traded(one.on_bars(bar(k, o, h, low, c))) == {}
    assert priced(one.on_bars(bar(4, 112, 113, 108, 109))) == {1: (-5.0, 110.0)}


def test_a_halted_name_neither_fills_nor_triggers_and_its_orders_rest():
    one = broker(qty=[5.0, 0.0, 0.0])
    one.on_orders(order(-5.0, STOP, stop=105.0))
    one.on_orders(order(5.0, LIMIT, limit=120.0, id=2))
    halted = bars(day(1), [np.nan, 100.0, 100.0], status=[Status.HALTED, 0, 0])
    assert (traded(one.on_bars(halted)), states(one.on_bars(bar(2, 100, volume=[0.0, 1.0, 1.0])))) == ({}, {})
    assert states(one.on_orders(order(1.0, id=3))) == {3: ACCEPTED}
    assert traded(one.on_bars(bar(3, 100))) == {1: -5.0, 2: 5.0, 3: 1.0}


# ---- time in force ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tif", "first", "second"),
    [
        (DAY, {1: EXPIRED}, {}),
        (GTC, {}, {1: FINISHED}),
        (GTD, {}, {1: EXPIRED}),
        (IOC, {1: CANCELLED}, {}),
        (FOK, {1: CANCELLED}, {}),
    ],
)
def test_a_limit_order_that_is_not_met_ends_by_its_time_in_force(tif, first, second):
    one = broker()
    one.on_orders(order(5.0, LIMIT, limit=90.0, tif=tif, expires=day(1) if tif is GTD else 0))
    assert states(one.on_bars(bar(1, 100))) == first
    assert states(one.on_bars(bar(2, 89))) == second


def test_a_dated_order_fills_inside_a_bar_only_if_the_bar_ends_by_its_date():
    for hours, filled in ((-1, {}), (0, {1: 5.0})):
        one = broker()
        one.on_orders(order(5.0, LIMIT, limit=95.0, tif=GTD, expires=day(1) + hours * HOUR_NS))
        assert traded(one.on_bars(bar(1, 100, 101, 94, 100))) == filled


def test_orders_of_all_kinds_rest_side_by_side_and_keep_their_turn():
    one = broker(cash=1_500.0)
    one.on_orders(order(10.0, LIMIT, limit=95.0))
    one.on_bars(bar(1, 100))
    one.on_orders(order(10.0, id=2, ts=day(1), tif=DAY))  # a later order does not take the money of an earlier one
    assert traded(one.on_bars(bar(2, 90))) == {1: 10.0, 2: 6.0}


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "prices", "rule"),
    [
        (LIMIT, {}, "limit_price"),
        (LIMIT, {"limit": 0.0}, "limit_price"),
        (LIMIT, {"limit": -1.0}, "limit_price"),
        (LIMIT, {"limit": np.inf}, "limit_price"),
        (STOP, {}, "stop_price"),
        (STOP, {"stop": 0.0}, "stop_price"),
        (STOP_LIMIT, {"stop": 100.0}, "limit_price"),
        (STOP_LIMIT, {"limit": 100.0}, "stop_price"),
        (TRAILING, {}, "trail"),
        (TRAILING, {"trail": -2.0}, "trail"),
        (TRAILING, {"trail": np.inf}, "trail"),
        (TRAILING, {"trail": 2.0, "stop": -5.0}, "stop_price"),
        (MOO, {"limit": -5.0}, "limit_price"),
        (LIMIT, {"limit": 100.03}, "tick"),
        (STOP, {"stop": 100.03}, "tick"),
    ],
)
def test_a_price_that_breaks_a_rule_is_refused_with_the_price(kind, prices, rule):
    one = broker(universe=universe(3, tick=0.05))
    out = one.on_orders(order(5.0, kind, **prices))
    assert refused(out) == {1: rule}
    assert out[0].threshold[0] == (0.05 if rule == "tick" else 0.0)


@pytest.mark.parametrize(
    ("kind", "prices"),
    [
        (LIMIT, {"limit": 100.05}),
        (TRAILING, {"trail": 1.23}),
        (MOC, {}),
        (MARKET, {"limit": 99.99}),
        (TRAILING, {"trail": 1.0, "stop": 95.0}),
    ],
)
def test_good_prices_and_those_that_a_kind_does_not_use_are_taken(kind, prices):
    one = broker(universe=universe(3, tick=0.05))
    assert refused(one.on_orders(order(5.0, kind, **prices))) == {}


# ---- cancel and replace ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rests", [0, 3])  # bars it has rested for
def test_orders_that_rest_can_be_cancelled_at_any_time(rests):
    one = broker()
    one.on_orders(order(5.0, LIMIT, limit=95.0))
    for k in range(rests):
        one.on_bars(bar(k + 1, 100))
    assert states(one.on_orders(cancel(1, ts=day(rests)))) == {1: CANCELLED}
    assert traded(one.on_bars(bar(rests + 1, 80))) == {}
    assert refused(one.on_orders(cancel(1, ts=day(rests + 1)))) == {999: "not_open"}


def test_two_cancels_of_one_order_end_it_once():
    one = broker()
    one.on_orders(order(5.0, LIMIT, limit=95.0))
    out = one.on_orders(
        approved(
            [0, 0], [0.0, 0.0], action=np.ones(2, np.int32), ref=np.ones(2, np.uint64), ids=np.array([7, 8], np.uint64)
        )
    )
    assert (states(out), refused(out)) == ({1: CANCELLED}, {8: "not_open"})


def test_a_cancel_goes_before_a_replace_of_the_same_order():
    one = broker()
    one.on_orders(order(5.0, LIMIT, limit=95.0))
    out = one.on_orders(
        approved(
            [0, 0],
            [8.0, 0.0],
            action=np.array([2, 1], np.int32),
            ref=np.ones(2, np.uint64),
            ids=np.array([7, 8], np.uint64),
        )
    )
    assert (states(out), refused(out)) == ({1: CANCELLED}, {7: "not_open"})


@pytest.mark.parametrize("rests", [0, 2])
def test_a_replace_changes_what_it_names_and_leaves_the_rest(rests):
    one = broker()
    one.on_orders(order(5.0, LIMIT, limit=95.0))
    for k in range(rests):
        one.on_bars(bar(k + 1, 100))
    assert states(one.on_orders(change(1, limit=97.0, ts=day(rests)))) == {1: REPLACED}
    assert priced(one.on_bars(bar(rests + 1, 100, 101, 96, 99))) == {1: (5.0, 97.0)}


def test_a_replaced_order_does_not_fill_in_a_bar_that_began_before_the_replace():
    one = broker()
    one.on_orders(order(5.0, LIMIT, limit=95.0))
    one.on_orders(change(1, limit=101.0, ts=day(0) + HOUR_NS // 2))
    early = bars(day(0) + HOUR_NS, [100.0] * 3, interval_ns=HOUR_NS, opened=day(0))
    assert traded(one.on_bars(early)) == {}
    assert traded(one.on_bars(bar(1, 100))) == {1: 5.0}


@pytest.mark.parametrize(
    ("kind", "prices", "changes", "rule"),
    [
        (MARKET, {}, {"limit": 5.0}, "order_kind"),
        (LIMIT, {"limit": 90.0}, {"stop": 5.0}, "order_kind"),
        (LIMIT, {"limit": 90.0}, {"limit": -5.0}, "limit_price"),
        (LIMIT, {"limit": 90.0}, {"limit": 90.03}, "tick"),
        (LIMIT, {"limit": 90.0}, {}, "replace_quantity"),
        (TRAILING, {"trail": 5.0}, {"trail": 0.0}, "trail"),
    ],
)
def test_a_replace_that_breaks_a_rule_is_refused_and_changes_nothing(kind, prices, changes, rule):
    one = broker(universe=universe(3, tick=0.05))
    one.on_orders(order(5.0, kind, **prices))
    assert refused(one.on_orders(change(1, **changes))) == {999: rule}
    after = one.on_bars(bar(1, 100, 101, 89, 100))
    assert traded(after) == ({1: 5.0} if kind is not TRAILING else {})


def test_a_replace_of_another_symbol_than_the_orders_own_is_refused():
    """The gate judged it by the price and the position of the symbol that it names."""
    one = broker(universe=universe(3))
    one.on_orders(order(5.0, LIMIT, limit=90.0, symbol=1))
    assert refused(one.on_orders(change(1, 2.0))) == {999: "replace_symbol"}


def test_a_trigger_cannot_be_replaced_once_it_has_acted_but_the_limit_can():
    one = broker()
    one.on_orders(order(5.0, STOP_LIMIT, stop=105.0, limit=106.0))
    one.on_bars(bar(1, 110))
    assert refused(one.on_orders(change(1, stop=120.0, ts=day(1)))) == {999: "triggered"}
    assert states(one.on_orders(change(1, limit=111.0, ts=day(1)))) == {1: REPLACED}
    assert priced(one.on_bars(bar(2, 110))) == {1: (5.0, 110.0)}  # it stays triggered


def test_a_trailing_stop_takes_a_new_distance():
    one = broker(qty=[5.0, 0.0, 0.0])
    one.on_orders(order(-5.0, TRAILING, trail=20.0))
    one.on_bars(bar(1, 100, 110, 99, 109))
    one.on_orders(change(1, trail=5.0, ts=day(1)))
    assert priced(one.on_bars(bar(2, 109, 109, 104, 106))) == {1: (-5.0, 105.0)}


def test_rule_40_a_replace_counts_what_has_filled_until_it_is_known():
    one = broker(cash=250.0)
    one.on_orders(order(5.0))
    assert traded(one.on_bars(bar(1, 100))) == {1: 2.0}
    one.on_book(book(day(1), [100.0] * 3, cash=10_000.0, qty=[2.0, 0.0, 0.0]))
    assert one.on_orders(change(1, 1.0, ts=day(1)))[0].left.tolist() == [1.0]  # one more, not one in all
    assert traded(one.on_bars(bar(2, 100))) == {1: 1.0}


def test_rule_40_an_order_may_fill_until_its_cancel_arrives():
    one = broker()
    one.on_orders(order(5.0))
    assert traded(one.on_bars(bar(1, 100))) == {1: 5.0}
    assert refused(one.on_orders(cancel(1, ts=day(1)))) == {999: "not_open"}


# ---- corporate actions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rests", [0, 2])
def test_rule_25_a_split_changes_quantity_and_prices_of_resting_orders(rests):
    one = broker(qty=[40.0, 0.0, 0.0])
    one.on_orders(order(10.0, LIMIT, limit=90.0))
    one.on_orders(order(-10.0, STOP, stop=80.0, id=2))
    for k in range(rests):
        one.on_bars(bar(k + 1, 100))
    split = action(0, 0, ratio=2.0)
    assert states(one.on_actions(split)) == {1: REPLACED, 2: REPLACED}
    one.on_book(book(day(rests), [50.0, 100.0, 100.0], cash=1e6, qty=[80.0, 0.0, 0.0]))
    assert priced(one.on_bars(bar(rests + 1, 50, 51, 44, 50))) == {1: (20.0, 45.0)}
    assert priced(one.on_bars(bar(rests + 2, 50, 51, 39, 50))) == {2: (-20.0, 40.0)}


def test_rule_25_a_split_moves_distance_and_best_price_of_a_trailing_stop():
    one = broker(qty=[5.0, 0.0, 0.0])
    one.on_orders(order(-5.0, TRAILING, trail=20.0))
    one.on_bars(bar(1, 100, 110, 99, 109))
    one.on_actions(action(0, 0, ratio=2.0))
    one.on_book(book(day(1), [54.5, 100.0, 100.0], qty=[10.0, 0.0, 0.0]))
    assert priced(one.on_bars(bar(2, 54, 54, 44, 46))) == {1: (-10.0, 45.0)}


@pytest.mark.parametrize("kind", [2, 3])
def test_rule_23_a_symbol_that_is_gone_takes_its_resting_orders_with_it(kind):
    one = broker()
    one.on_orders(order(10.0, LIMIT, limit=90.0))
    one.on_bars(bar(1, 100))
    assert states(one.on_actions(action(kind, 0, successor=2))) == {1: CANCELLED}
    assert traded(one.on_bars(bar(2, 80))) == {}


@pytest.mark.parametrize("fill", ["next_open", "next_close", "open_auction", "same_close"])
@pytest.mark.parametrize("seed", range(4))
def test_orders_that_sleep_do_what_they_would_do_awake(fill, seed):
    asleep, awake = (
        Simulated(universe=stocks(), costs=Bps(slippage_bps=5), name="b", fill=fill, short=True) for _ in range(2)
    )
    awake._dealing.blotter.rest = lambda: None
    events = trading(seed)
    assert same(drive(asleep, events), drive(awake, events))
