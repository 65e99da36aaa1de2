"""What a broker refuses, under which rule, and with which numbers."""

import re
from pathlib import Path

import numpy as np
import pytest

from components.brokers.judging import MOST_SHARES
from engine.errors import DataError
from engine.events import HOUR_NS, ActionKind, OrderKind, Refusals, TimeInForce
from tests.components.brokers.made import action, approved, broker, cancel, change, order, refused, replace, universe
from tests.components.brokers.routed import Routed
from tests.make import bars, day

PAGE = Path(__file__).parents[3] / "docs" / "fills.md"
LIMIT, STOP, MOO = OrderKind.LIMIT, OrderKind.STOP, OrderKind.MARKET_ON_OPEN


def why(out):
    """Rule, value and threshold of the one leg that was refused; a number that does not exist is None."""
    (event,) = (event for event in out if isinstance(event, Refusals))
    numbers = (None if np.isnan(number) else number for number in (event.value.item(), event.threshold.item()))
    return event.rule[0], *numbers


# ---- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("qty", [1e308, -1e308, 2.0**54, -(2.0**54)])
@pytest.mark.parametrize("account", [{}, {"short": True}, {"leverage": 2.0}])
def test_a_quantity_that_cannot_be_counted_in_whole_shares_is_refused(qty, account):
    one = broker(**account)
    assert why(one.on_orders(approved([0], [qty]))) == ("quantity", qty, MOST_SHARES)
    assert why(one.on_orders(order(qty, id=2))) == ("quantity", qty, MOST_SHARES)
    assert one.on_bars(bars(day(1), [100.0] * 3))[-1].qty.size == 0


def test_quantities_beyond_counting_that_cancel_out_are_refused_too():
    out = broker(short=True).on_orders(approved([0, 1], [1e308, -1e308]))
    assert refused(out) == {1: "quantity", 2: "quantity"}


@pytest.mark.parametrize("account", [{}, {"short": True}, {"leverage": 2.0}])
def test_the_largest_quantity_that_is_taken_is_cut_to_the_money(account):
    one = broker(cash=10_000.0, **account)
    one.on_orders(approved([0], [MOST_SHARES]))
    assert one.on_bars(bars(day(1), [100.0] * 3))[-1].qty.tolist() == [200.0 if "leverage" in account else 100.0]


@pytest.mark.parametrize("qty", [1e308, -1e308])
def test_a_replace_is_held_to_the_same_bound(qty):
    one = broker(short=True)
    one.on_orders(order(np.copysign(5.0, qty), LIMIT, limit=90.0 if qty > 0 else 110.0))
    assert why(one.on_orders(replace(1, qty))) == ("quantity", qty, MOST_SHARES)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"qty": 0.0}, ("quantity", 0.0, 0.0)),
        ({"qty": np.nan}, ("quantity", None, 0.0)),
        ({"symbol": 9}, ("unknown_symbol", 9.0, 2.0)),
        ({"kind": 77}, ("order_kind", 77.0, float(len(OrderKind) - 1))),
        ({"tif": 55}, ("time_in_force", 55.0, float(len(TimeInForce) - 1))),
        ({"tif": TimeInForce.GOOD_TILL_DATE, "expires": day(0)}, ("time_in_force", 0.0, 0.0)),
        ({"tif": TimeInForce.GOOD_TILL_DATE, "expires": day(0) - HOUR_NS}, ("time_in_force", 3600.0, 0.0)),
    ],
)
def test_value_and_threshold_are_numbers_that_can_be_compared(columns, expected):
    given = {"qty": 5.0} | columns
    assert why(broker().on_orders(order(given.pop("qty"), **given))) == expected


def test_where_there_is_no_number_there_is_none():
    one = broker()
    one.on_bars(bars(day(1), [100.0] * 3, interval_ns=HOUR_NS, opened=day(1) - HOUR_NS))
    assert why(one.on_orders(order(5.0, MOO, ts=day(1)))) == ("auction", None, None)
    one.on_actions(action(ActionKind.DELISTING, 1))
    assert why(one.on_orders(order(5.0, symbol=1, id=2))) == ("delisted", None, None)
    assert why(one.on_orders(cancel(77))) == ("not_open", None, None)
    one.on_orders(order(5.0, id=3))
    assert why(one.on_orders(change(3, limit=5.0))) == ("order_kind", 5.0, None)


def test_an_unknown_action_is_no_replace():
    one = broker()
    one.on_orders(order(5.0, LIMIT, limit=90.0))
    bogus = {"action": np.array([7], np.int32), "ref": np.array([1], np.uint64), "ids": np.array([50], np.uint64)}
    assert why(one.on_orders(approved([0], [8.0], **bogus))) == ("action", 7.0, 2.0)
    assert one._dealing.blotter.all().left.tolist() == [5.0]


@pytest.mark.parametrize("ratio", [0.0, -2.0, np.nan, np.inf])
def test_a_split_without_a_ratio_is_an_error_and_changes_nothing(ratio):
    one = broker()
    one.on_orders(order(10.0, LIMIT, limit=90.0))
    with pytest.raises(DataError, match=f"broker: split of S0 has ratio {ratio}; it must be positive"):
        one.on_actions(action(ActionKind.SPLIT, 0, ratio=ratio))
    assert one._dealing.blotter.all().left.tolist() == [10.0]


def test_the_page_lists_every_rule():
    text = PAGE.read_text().partition("## What is refused")[2]
    folder = Path(__file__).parents[3] / "components" / "brokers"
    source = "".join((folder / name).read_text() for name in ("judging.py", "amending.py"))
    tables = re.findall(r"^    \| `(\w+)`", source, re.MULTILINE)
    assert len(tables) > 12
    for rule in {*tables, "action", "cash", "buying_power", "broker_order", "not_open"}:
        assert re.search(rf"^\| `{rule}`", text, re.MULTILINE), rule


# ---- orders of the broker's own --------------------------------------------------------------------------------------


def called():
    """An account in which the broker sells on its own from day 2 on, and the id of its order."""
    one = Routed(universe(1), cash=10_000.0, leverage=2.0, maintenance=0.4)
    one.feed(bars(day(0), [100.0]))
    one.send(day(0), [0], [200.0])
    one.feed(bars(day(1), [100.0]))
    one.feed(bars(day(2), [80.0]))
    own = one.broker._dealing.blotter.all().ids
    assert own.size == 1
    return one, own


@pytest.mark.parametrize(("code", "qty"), [(1, 0.0), (2, -1.0)])
def test_nobody_cancels_or_replaces_an_order_of_the_broker(code, qty):
    one, own = called()
    one.send(day(2), [0], [qty], action=np.array([code], np.int32), ref=own)
    assert why(one.out) == ("broker_order", None, None)
    one.feed(bars(day(3), [80.0]))
    ((_, sold, _),) = one.traded()
    assert sold < -1.0
    one.send(day(3), [0], [qty], action=np.array([code], np.int32), ref=own)
    assert one.rules() == ["not_open"]  # it has traded


# ---- prices after a split --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rests", [0, 1])
@pytest.mark.parametrize(
    ("qty", "kind", "given", "adjusted"),
    [
        (90.0, LIMIT, {"limit": 50.0}, {"limit": 16.66}),
        (-90.0, LIMIT, {"limit": 150.0}, {"limit": 50.0}),
        (-90.0, LIMIT, {"limit": 151.0}, {"limit": 50.34}),
        (90.0, STOP, {"stop": 200.0}, {"stop": 66.67}),
        (-90.0, STOP, {"stop": 50.0}, {"stop": 16.66}),
        (90.0, OrderKind.STOP_LIMIT, {"stop": 200.0, "limit": 200.0}, {"stop": 66.67, "limit": 66.66}),
        (90.0, LIMIT, {"limit": 0.02}, {"limit": 0.02 / 3}),  # nothing is left of it in ticks
    ],
)
def test_rule_25_open_prices_are_rounded_to_the_tick_away_from_the_market(qty, kind, given, adjusted, rests):
    one = Routed(universe(1, tick=0.01), cash=1e6, short=True)
    one.feed(bars(day(0), [100.0]))
    prices = {name: np.array([price]) for name, price in given.items()}
    columns = {"kind": np.array([kind], np.int32), "tif": np.array([1], np.int32)}
    one.send(day(0), [0], [qty], **columns, **prices)
    for k in range(rests):
        one.feed(bars(day(k + 1), [100.0]))
    one.feed(action(ActionKind.SPLIT, 0, ratio=3.0))
    book, resting = one.ledger.book(day(rests)).open_orders, one.broker._dealing.blotter.all()
    for name, price in adjusted.items():
        assert getattr(book, name).item() == pytest.approx(price, abs=1e-12)
        assert getattr(book, name).item() == getattr(resting.terms, name).item()
    one.send(day(rests) + 2, [0], [qty], action=np.array([2], np.int32), ref=np.array([1], np.uint64))
    assert one.rules() == []  # a quantity alone can be replaced
    assert one.ledger.book(day(rests)).open_orders.left.tolist() == [qty]


def test_only_the_prices_that_a_replace_asks_for_are_held_against_the_rules():
    one = broker(universe=universe(3, tick=0.01))
    one.on_orders(order(90.0, OrderKind.STOP_LIMIT, stop=0.02, limit=0.02))
    one.on_actions(action(ActionKind.SPLIT, 0, ratio=3.0))
    assert refused(one.on_orders(change(1, limit=0.03))) == {}
    assert why(one.on_orders(change(1, limit=0.035, own=998))) == ("tick", 0.035, 0.01)
