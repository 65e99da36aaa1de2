"""How much the market takes: shares of the volume, price limits, and what a cost model is told."""

from typing import Any

import numpy as np
import pytest

from components.costs.bps import Bps
from engine.events import FEE_KINDS, HOUR_NS, OrderKind, OrderState, TimeInForce
from engine.protocols import Conditions
from engine.universe import Universe
from tests.components.brokers.made import (
    action,
    approved,
    broker,
    fills,
    order,
    priced,
    refused,
    sessions,
    states,
    traded,
    universe,
)
from tests.make import bars, book, day

MARKET, LIMIT, STOP, STOP_LIMIT, TRAILING, MOO, MOC = OrderKind
DAY, GTC, GTD, IOC, FOK = TimeInForce
ACCEPTED, TRIGGERED, REPLACED, CANCELLED, EXPIRED, FINISHED = OrderState
ONE = [100.0, 100.0, 100.0]


def with_extra(*names: str, n: int = 1, tick: float = 0.0) -> Universe:
    of = universe(n, tick=tick)
    return Universe(**({f: getattr(of, f) for f in of.__struct_fields__} | {"extra": names}))


# ---- rule 33: participation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tif", "first", "second"),
    [
        (GTC, {}, {1: 30.0}),
        (GTD, {}, {1: 30.0}),
        (DAY, {1: EXPIRED}, {}),
        (IOC, {1: CANCELLED}, {}),
    ],
)
def test_rule_33_what_the_volume_does_not_take_rests_or_ends_by_the_time_in_force(tif, first, second):
    one = broker(participation=0.1)
    one.on_orders(order(50.0, tif=tif, expires=day(9)))
    out = one.on_bars(bars(day(1), ONE, volume=[200.0, 1.0, 1.0]))
    assert (traded(out), states(out), refused(out)) == ({1: 20.0}, first, {})
    assert traded(one.on_bars(bars(day(2), ONE))) == second


def test_rule_33_a_fill_or_kill_order_fills_whole_or_not_at_all():
    for volume, filled in ((499.0, {}), (500.0, {1: 50.0})):
        one = broker(participation=0.1)
        one.on_orders(order(50.0, tif=FOK))
        assert traded(one.on_bars(bars(day(1), ONE, volume=[volume, 1.0, 1.0]))) == filled
        assert traded(one.on_bars(bars(day(2), ONE))) == {}


def test_rule_33_an_intraday_day_order_carries_its_rest_to_the_close_of_the_session():
    one = broker(participation=0.1, sessions=sessions(), qty=[0.0])
    one.on_orders(order(50.0, tif=DAY))

    def half_hour(k: int) -> Any:
        end = day(1) - k * HOUR_NS // 2
        return bars(end, [100.0], interval_ns=HOUR_NS // 2, opened=end - HOUR_NS // 2, volume=[200.0])

    assert traded(one.on_bars(half_hour(1))) == {1: 20.0}
    out = one.on_bars(half_hour(0))
    assert (traded(out), states(out)) == ({1: 20.0}, {1: EXPIRED})


def test_rule_33_all_orders_of_a_symbol_share_its_volume_and_reductions_come_first():
    one = broker(participation=0.1, qty=[15.0, 0.0, 0.0])
    one.on_orders(approved([0, 0, 1], [30.0, -15.0, 30.0], tif=np.full(3, GTC, np.int32)))
    assert traded(one.on_bars(bars(day(1), ONE, volume=[300.0, 300.0, 1.0]))) == {1: 15.0, 2: -15.0, 3: 30.0}


def test_rule_33_with_an_unknown_volume_nothing_fills_where_a_share_of_it_is_the_limit():
    one = broker(participation=0.1)
    one.on_orders(order(5.0))
    assert traded(one.on_bars(bars(day(1), ONE, volume=[np.nan] * 3))) == {}
    assert traded(one.on_bars(bars(day(2), ONE))) == {1: 5.0}


def test_rule_33_a_share_below_a_lot_fills_nothing_unless_it_is_the_whole_order():
    one = broker(participation=0.1, universe=universe(3, lot=100.0))
    one.on_orders(approved([0, 1], [100.0, 200.0], tif=np.full(2, GTC, np.int32)))
    assert traded(one.on_bars(bars(day(1), ONE, volume=[990.0, 1990.0, 1.0]))) == {2: 100.0}


def test_partial_fills_of_one_order_have_ids_of_their_own_and_end_it_when_it_is_whole():
    one = broker(participation=0.1)
    one.on_orders(order(50.0))
    outs = [one.on_bars(bars(day(k), ONE, volume=[200.0] * 3)) for k in (1, 2, 3)]
    assert [traded(out) for out in outs] == [{1: 20.0}, {1: 20.0}, {1: 10.0}]
    assert [states(out) for out in outs] == [{}, {}, {1: FINISHED}]
    assert len({int(fills(out).exec_ids[0]) for out in outs}) == 3


def test_money_and_volume_cut_one_after_the_other():
    one = broker(cash=1_500.0, participation=0.1)
    one.on_orders(approved([0, 1], [30.0, 30.0], tif=np.array([GTC, DAY], np.int32)))
    out = one.on_bars(bars(day(1), ONE, volume=[100.0, 200.0, 1.0]))
    assert traded(out) == {1: 10.0, 2: 5.0}
    assert refused(out) == {2: "cash"}
    assert states(out) == {2: CANCELLED}


# ---- price limits ----------------------------------------------------------------------------------------------------


def at(k: int, price: float, close: float | None = None, **columns: Any) -> Any:
    last = price if close is None else close
    return bars(day(k), [last], open=[price], **columns)


@pytest.mark.parametrize(
    ("qty", "opening", "filled"),
    [(5.0, 109.9, True), (5.0, 110.0, False), (-5.0, 110.0, True), (-5.0, 90.0, False), (5.0, 90.0, True)],
)
def test_at_a_price_limit_nobody_takes_the_other_side_and_the_order_rests(qty, opening, filled):
    one = broker(qty=[5.0], price_limit=0.1)
    one.on_orders(order(qty))
    assert bool(traded(one.on_bars(at(1, opening)))) == filled
    one.on_book(book(day(1), [opening], qty=[5.0]))
    assert bool(traded(one.on_bars(at(2, opening)))) == (not filled)


def test_a_limit_purchase_below_the_upper_price_limit_fills_when_the_market_comes_back():
    one = broker(qty=[0.0], price_limit=0.1)
    one.on_orders(order(5.0, LIMIT, limit=105.0))
    assert priced(one.on_bars(bars(day(1), [104.0], open=[110.0], low=[104.0]))) == {1: (5.0, 105.0)}


def test_a_stop_that_is_triggered_at_a_price_limit_is_a_market_order_from_then_on():
    one = broker(qty=[5.0], price_limit=0.1)
    one.on_orders(order(-5.0, STOP, stop=95.0))
    out = one.on_bars(at(1, 90.0))
    assert (traded(out), states(out)) == ({}, {1: TRIGGERED})
    one.on_book(book(day(1), [90.0], qty=[5.0]))
    assert priced(one.on_bars(at(2, 85.0))) == {1: (-5.0, 85.0)}


def test_price_limits_follow_splits():
    one = broker(qty=[5.0], price_limit=0.1)
    one.on_orders(order(5.0))
    one.on_actions(action(0, 0, ratio=2.0))
    one.on_book(book(day(0), [50.0], qty=[10.0]))
    assert traded(one.on_bars(at(1, 54.0))) == {1: 10.0}


def test_limits_that_the_feed_knows_go_before_those_worked_out():
    of = with_extra("limit_up", "limit_down")
    for up, down, opening, filled in (
        (120.0, 80.0, 115.0, True),
        (105.0, 95.0, 105.0, False),
        (np.nan, np.nan, 115.0, False),
    ):
        one = broker(qty=[0.0], price_limit=0.1, universe=of)
        one.on_orders(order(5.0))
        out = one.on_bars(at(1, opening, extra=(np.array([up]), np.array([down]))))
        assert bool(traded(out)) == filled


def test_columns_of_limits_alone_are_enough():
    one = broker(qty=[0.0], universe=with_extra("limit_up"))
    one.on_orders(order(5.0))
    assert traded(one.on_bars(at(1, 100.0, extra=(np.array([100.0]),)))) == {}
    assert traded(one.on_bars(at(2, 100.0, extra=(np.array([101.0]),)))) == {1: 5.0}


def test_an_intraday_price_limit_is_that_of_the_session_before_all_day_long():
    one = broker(qty=[0.0], price_limit=0.1, sessions=sessions())

    def half_hour(k: int, price: float) -> Any:
        end = day(1) - k * HOUR_NS // 2
        return bars(end, [price], interval_ns=HOUR_NS // 2, opened=end - HOUR_NS // 2)

    one.on_bars(half_hour(12, 108.0))
    one.on_book(book(day(1) - 6 * HOUR_NS, [108.0]))
    one.on_orders(order(5.0, ts=day(1) - 6 * HOUR_NS))
    assert traded(one.on_bars(half_hour(11, 112.0))) == {}  # above 110, though close to the last bar
    assert traded(one.on_bars(half_hour(10, 109.0))) == {1: 5.0}


def test_at_the_close_it_is_the_close_before_that_sets_the_limits():
    one = broker(qty=[0.0], price_limit=0.1, fill="same_close")
    one.on_bars(at(1, 100.0, 111.0))
    one.on_book(book(day(1), [111.0]))
    assert states(one.on_orders(order(5.0, ts=day(1)))) == {1: ACCEPTED}
    assert traded(one.on_bars(at(2, 111.0))) == {1: 5.0}


# ---- what a cost model is told ---------------------------------------------------------------------------------------


class Asking:
    """A cost model that keeps what it was asked: a minimum of 10 an order, and the half spread of the quotes."""

    def __init__(self) -> None:
        self.told: list[Conditions] = []
        self.seen: list[int] = []

    def price(self, qty, reference, at, /):
        self.told.append(at)
        if at.bid is None:
            return reference
        return np.where(np.isnan(at.bid), reference, np.where(qty > 0, at.ask, at.bid))

    def fees(self, qty, price, at, /):
        fees = np.zeros((len(qty), len(FEE_KINDS)))
        before = np.zeros(len(qty)) if at.paid is None else at.paid[:, 0]
        filled = np.zeros(len(qty)) if at.filled is None else at.filled
        fees[:, 0] = np.where(qty != 0, np.maximum(10.0, (filled + np.abs(qty)) * 0.4) - before, 0.0)
        return fees

    def rate(self):
        return 0.0

    def on_bars(self, bars, /):
        self.seen.append(bars.ts)

    def save(self):
        return bytes(len(self.seen))

    def load(self, state, /):
        self.seen = [0] * len(state)


def test_rule_41_a_minimum_commission_is_charged_once_an_order_over_its_partial_fills():
    costs: Any = Asking()
    one = broker(participation=0.1, costs=costs)
    one.on_orders(order(50.0))
    paid = [float(fills(one.on_bars(bars(day(k), ONE, volume=[200.0] * 3))).fees[0, 0]) for k in (1, 2, 3)]
    assert paid == [10.0, 6.0, 4.0]  # 10 for 20 shares, 16 for 40, 20 for 50
    assert costs.told[0].filled is None
    assert [told.filled.tolist() for told in costs.told[1:]] == [[20.0], [40.0]]


def test_what_an_order_paid_survives_a_restart():
    costs: Any = Asking()
    one = broker(participation=0.1, costs=costs)
    one.on_orders(order(50.0))
    one.on_bars(bars(day(1), ONE, volume=[200.0] * 3))
    other = broker(participation=0.1, costs=Asking())
    other.load(one.save())
    assert fills(other.on_bars(bars(day(2), ONE, volume=[200.0] * 3))).fees[0, 0] == 6.0


def test_a_cost_model_knows_symbol_volume_and_quotes_of_the_bar_that_fills():
    costs: Any = Asking()
    one = broker(costs=costs, universe=with_extra("bid", "other", "ask", n=2), qty=[0.0, 5.0], fill="next_close")
    one.on_orders(approved([0, 1], [5.0, -5.0]))
    extra = tuple(np.array(column) for column in ([99.0, 98.0], [1.0, 1.0], [101.0, 102.0]))
    out = one.on_bars(bars(day(1), [100.0, 100.0], volume=[7.0, 8.0], extra=extra))
    told = costs.told[0]
    assert (told.ts, told.symbol.tolist(), told.volume.tolist()) == (day(1), [1, 0], [8.0, 7.0])
    assert (told.bid.tolist(), told.ask.tolist()) == ([98.0, 99.0], [102.0, 101.0])
    assert fills(out).price.tolist() == [98.0, 101.0]


def test_a_trade_at_the_open_does_not_meet_the_quotes_of_the_close():
    costs: Any = Asking()
    one = broker(costs=costs, universe=with_extra("bid", "ask", n=1), qty=[0.0])
    one.on_orders(order(5.0))
    one.on_bars(bars(day(1), [100.0], extra=(np.array([99.0]), np.array([101.0]))))
    assert (costs.told[0].bid, costs.told[0].ask) == (None, None)


def test_quotes_of_the_close_say_nothing_of_what_trades_before_it():
    costs: Any = Asking()
    one = broker(costs=costs, universe=with_extra("bid", "ask"), qty=[5.0])
    one.on_orders(order(5.0))
    one.on_orders(order(-5.0, STOP, stop=95.0, id=2))
    one.on_orders(order(5.0, MOC, id=3))
    quotes = np.array([101.0]), np.array([103.0])
    one.on_bars(bars(day(1), [102.0], open=[100.0], low=[90.0], extra=quotes))
    assert [(at.symbol.tolist(), None if at.ask is None else at.ask.tolist()) for at in costs.told] == [
        ([0, 0], None),
        ([0], [103.0]),
    ]


def test_the_volume_it_knows_of_an_auction_is_that_of_the_auction():
    costs: Any = Asking()
    one = broker(costs=costs, universe=with_extra("close_volume"), qty=[0.0])
    one.on_orders(order(5.0, MOC))
    one.on_bars(bars(day(1), [100.0], volume=[7.0], extra=(np.array([3.0]),)))
    assert costs.told[0].volume.tolist() == [3.0]


@pytest.mark.parametrize("fill", ["next_open", "same_close"])
def test_a_cost_model_that_learns_sees_each_slice_once_after_its_fills(fill):
    costs: Any = Asking()
    one = broker(costs=costs, fill=fill)
    one.on_orders(order(5.0))
    for k in (1, 2, 3):
        one.on_bars(bars(day(k), ONE))
        one.on_orders(order(5.0, id=k + 1, ts=day(k)))
        late = 1 if fill == "same_close" else 0  # the orders of a close still trade at it
        assert costs.seen == [day(j) for j in range(1, k + 1 - late)]


def test_a_cost_model_that_learns_is_saved_with_its_broker():
    costs: Any = Asking()
    one, other = broker(costs=Asking(), fill="same_close"), broker(costs=costs, fill="same_close")
    for k in (1, 2):
        one.on_bars(bars(day(k), ONE))
    other.load(one.save())
    other.on_bars(bars(day(3), ONE))
    assert len(costs.seen) == 2


def test_costs_without_quotes_or_estimates_are_asked_for_the_plain_thing():
    one = broker(costs=Bps(commission_bps=5))
    one.on_orders(order(5.0))
    assert fills(one.on_bars(bars(day(1), ONE))).fees[0, 0] == pytest.approx(0.25)
