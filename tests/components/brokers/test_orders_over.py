"""Orders that the simulated broker refuses, cancels, replaces, or ends with their symbol; and its settings."""

import numpy as np
import pytest

from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from engine.events import OrderKind, OrderState, TimeInForce
from tests.components.brokers.made import (
    action,
    approved,
    broker,
    cancel,
    fills,
    refused,
    replace,
    states,
    traded,
    universe,
)
from tests.make import bars, day

DAY, GTC, GTD, IOC, FOK = (np.array([int(t)], np.int32) for t in TimeInForce)
ONE = [100.0, 100.0, 100.0]


# ---- what is refused -------------------------------------------------------------------------------------------------

TABLE = [
    ({"symbol": [3], "qty": [1.0]}, "unknown_symbol"),
    ({"symbol": [-1], "qty": [1.0]}, "unknown_symbol"),
    ({"symbol": [0], "qty": [0.0]}, "quantity"),
    ({"symbol": [0], "qty": [np.nan]}, "quantity"),
    ({"symbol": [0], "qty": [np.inf]}, "quantity"),
    ({"symbol": [0], "qty": [1.5]}, "lot"),
    ({"symbol": [0], "qty": [1.0], "kind": [7]}, "order_kind"),
    ({"symbol": [0], "qty": [1.0], "kind": [-1]}, "order_kind"),
    ({"symbol": [0], "qty": [1.0], "kind": [OrderKind.LIMIT]}, "limit_price"),
    ({"symbol": [0], "qty": [1.0], "kind": [OrderKind.STOP]}, "stop_price"),
    ({"symbol": [0], "qty": [1.0], "kind": [OrderKind.TRAILING_STOP]}, "trail"),
    ({"symbol": [0], "qty": [1.0], "tif": [9]}, "time_in_force"),
    ({"symbol": [0], "qty": [1.0], "tif": [TimeInForce.GOOD_TILL_DATE]}, "time_in_force"),
    ({"symbol": [0], "qty": [-1.0]}, "short"),
    ({"symbol": [0], "qty": [1.5], "kind": [OrderKind.LIMIT]}, "lot"),  # the first rule of the table is the one named
]


@pytest.mark.parametrize(("columns", "rule"), TABLE)
def test_a_bad_leg_is_refused_with_its_rule_and_refuses_no_other(columns, rule):
    one = broker()
    both = {name: np.array([*value, *([1] if name in ("symbol", "qty") else [0])]) for name, value in columns.items()}
    for name in ("kind", "tif"):
        if name in both:
            both[name] = both[name].astype(np.int32)
    out = one.on_orders(approved(both.pop("symbol"), both.pop("qty"), **both))
    assert refused(out) == {1: rule}
    assert states(out) == {2: OrderState.ACCEPTED}


def test_rule_35_an_odd_lot_may_be_sold_when_it_closes_the_position():
    one = broker(qty=[150.0], universe=universe(1, lot=100.0))
    assert refused(one.on_orders(approved([0], [-50.0]))) == {1: "lot"}
    assert refused(one.on_orders(approved([0], [-150.0]))) == {}


@pytest.mark.parametrize(
    ("wanted", "rule"),
    [
        (-100.0, None),  # whole lots
        (-150.0, None),  # closes the position, odd as it is
        (-250.0, None),  # closes it and opens a lot on the other side
        (-300.0, None),
        (-200.0, None),
        (-50.0, "replace_quantity"),  # between two lots, and closes nothing
        (-230.0, "replace_quantity"),  # turns it over into a part of a lot
    ],
)
def test_rule_35_a_replace_may_ask_for_what_a_new_order_may(wanted, rule):
    one = broker(qty=[150.0], universe=universe(1, lot=100.0), short=True)
    kind = {"kind": np.array([OrderKind.LIMIT], np.int32), "limit": np.array([120.0])}
    assert refused(one.on_orders(approved([0], [-400.0], **kind))) == {}
    assert refused(one.on_orders(replace(1, wanted))) == ({} if rule is None else {999: rule})
    out = one.on_bars(bars(day(1), [130.0]))
    assert traded(out) == {1: -400.0 if rule else wanted}
    fresh = broker(qty=[150.0], universe=universe(1, lot=100.0), short=True)
    assert (refused(fresh.on_orders(approved([0], [wanted]))) == {}) is (rule is None)


def test_rule_38_an_id_sent_twice_is_one_order():
    one = broker()
    one.on_orders(approved([0], [5.0]))
    assert one.on_orders(approved([0], [5.0])) == ()
    assert traded(one.on_bars(bars(day(1), ONE))) == {1: 5.0}
    assert one.on_orders(approved([0], [5.0], ts=day(1))) == ()  # and still after it has ended
    assert traded(one.on_bars(bars(day(2), ONE))) == {}


@pytest.mark.parametrize("asleep", [False, True])
def test_rule_38_an_id_sent_twice_is_one_order_as_long_as_it_is_open_however_many_came_since(asleep):
    one = broker()
    columns = {"kind": np.array([OrderKind.LIMIT], np.int32), "limit": np.array([50.0]), "tif": GTC}
    one.on_orders(approved([0], [5.0], **columns))
    if asleep:
        one.on_bars(bars(day(1), ONE))
    for k in range(100):
        ids = np.arange(1000 + 200 * k, 1200 + 200 * k, dtype=np.uint64)
        flood = approved([2] * 200, [1.0] * 200, ids=ids, ts=day(1))
        one.on_orders(flood)
    assert one.on_orders(approved([0], [5.0], ts=day(1), **columns)) == ()
    assert one.on_orders(approved([0], [5.0], ts=day(1))) == ()  # nor as another kind of order
    assert traded(one.on_bars(bars(day(2), [40.0, np.nan, np.nan]))) == {1: 5.0}


def test_an_id_twice_in_one_message_is_one_order():
    one = broker()
    ids = np.array([4, 4], np.uint64)
    assert states(one.on_orders(approved([0, 0], [5.0, 5.0], ids=ids))) == {4: OrderState.ACCEPTED}
    assert fills(one.on_bars(bars(day(1), ONE))).qty.tolist() == [5.0]


def test_no_legs_no_answer():
    assert broker().on_orders(approved([], [])) == ()


# ---- cancel and replace ----------------------------------------------------------------------------------------------


def test_a_cancelled_order_does_not_fill():
    one = broker()
    one.on_orders(approved([0, 1], [5.0, 6.0]))
    assert states(one.on_orders(cancel(1))) == {1: OrderState.CANCELLED}
    assert traded(one.on_bars(bars(day(1), ONE))) == {2: 6.0}


def test_a_cancel_of_an_order_that_is_not_open_is_refused():
    one = broker()
    assert refused(one.on_orders(cancel(77))) == {999: "not_open"}


def test_a_replaced_order_fills_its_new_quantity():
    one = broker()
    one.on_orders(approved([0], [5.0]))
    out = one.on_orders(replace(1, 8.0))
    assert states(out) == {1: OrderState.REPLACED}
    assert out[0].left.tolist() == [8.0]
    assert traded(one.on_bars(bars(day(1), ONE))) == {1: 8.0}


@pytest.mark.parametrize("qty", [-5.0, 0.0, 2.5, np.nan])
def test_a_replace_that_turns_or_breaks_the_order_is_refused(qty):
    one = broker()
    one.on_orders(approved([0], [5.0]))
    assert refused(one.on_orders(replace(1, qty))) == {999: "replace_quantity"}
    assert traded(one.on_bars(bars(day(1), ONE))) == {1: 5.0}


def test_a_replace_may_not_sell_more_than_there_is():
    one = broker(qty=[5.0, 0.0, 0.0])
    one.on_orders(approved([0], [-3.0]))
    assert refused(one.on_orders(replace(1, -6.0))) == {999: "short"}
    assert states(one.on_orders(replace(1, -5.0))) == {1: OrderState.REPLACED}


def test_a_cancel_frees_the_shares_for_a_sale_in_the_same_message():
    one = broker(qty=[5.0, 0.0, 0.0])
    one.on_orders(approved([0], [-5.0]))
    columns = {
        "action": np.array([0, 1], np.int32),
        "ref": np.array([0, 1], np.uint64),
        "ids": np.array([2, 3], np.uint64),
    }
    out = one.on_orders(approved([0, 0], [-4.0, 0.0], **columns))
    assert states(out) == {1: OrderState.CANCELLED, 2: OrderState.ACCEPTED}


# ---- rules 23 and 25: corporate actions ------------------------------------------------------------------------------


def test_rule_25_splits_apply_to_open_orders_and_drop_the_residue_toward_zero():
    one = broker()
    one.on_orders(approved([0, 1], [5.0, 5.0]))
    out = one.on_actions(action(0, 0, ratio=1.5))
    assert (states(out), out[0].left.tolist()) == ({1: OrderState.REPLACED}, [7.0])
    assert traded(one.on_bars(bars(day(1), ONE))) == {1: 7.0, 2: 5.0}


def test_a_reverse_split_that_leaves_no_lot_cancels_the_order():
    one = broker()
    one.on_orders(approved([0], [5.0]))
    assert states(one.on_actions(action(0, 0, ratio=0.1))) == {1: OrderState.CANCELLED}


@pytest.mark.parametrize("kind", [2, 3])
def test_rule_23_a_delisted_or_renamed_symbol_loses_its_orders_and_takes_no_more(kind):
    one = broker()
    one.on_orders(approved([0, 1], [5.0, 5.0]))
    assert states(one.on_actions(action(kind, 0, successor=2))) == {1: OrderState.CANCELLED}
    assert refused(one.on_orders(approved([0], [5.0], ids=np.array([9], np.uint64)))) == {9: "delisted"}
    assert traded(one.on_bars(bars(day(1), ONE))) == {2: 5.0}


def test_a_dividend_changes_no_order():
    one = broker()
    one.on_orders(approved([0], [5.0]))
    assert one.on_actions(action(1, 0, amount=1.0)) == ()


# ---- settings --------------------------------------------------------------------------------------------------------


def test_a_timing_that_does_not_exist_is_refused_and_those_that_do_are_listed():
    with pytest.raises(ValueError, match="fill 'soon' is no fill timing; use one of: next_open, next_close"):
        Simulated(universe=universe(1), costs=Bps(), name="broker", fill="soon")


def test_fill_has_no_default():
    with pytest.raises(TypeError, match="fill"):
        Simulated(universe=universe(1), costs=Bps(), name="broker")


@pytest.mark.parametrize("leverage", [0.5, np.nan, np.inf])
def test_leverage_below_one_or_not_finite_is_refused(leverage):
    with pytest.raises(ValueError, match="leverage must be finite and at least 1"):
        Simulated(universe=universe(1), costs=Bps(), name="broker", fill="next_open", leverage=leverage)


def test_state_moves_with_its_symbols_into_a_longer_universe():
    one = broker(qty=[5.0, 0.0, 0.0])
    one.on_orders(approved([0], [-5.0]))
    wide = Simulated(universe=universe(4), costs=Bps(), name="broker", fill="next_open")
    wide.load(one.save())
    assert traded(wide.on_bars(bars(day(1), [*ONE, 100.0]))) == {1: -5.0}


def test_exec_ids_depend_on_order_and_fill_number_alone():
    first, second = broker(), broker(cash=5e6)
    for one in (first, second):
        one.on_orders(approved([0], [5.0]))
    assert first.on_bars(bars(day(1), ONE))[-1].exec_ids == second.on_bars(bars(day(1), [3.0, 2.0, 1.0]))[-1].exec_ids
