"""The simulated broker: what fills, when, at which price, and what does not."""

import numpy as np
import pytest
from msgspec.structs import replace

from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from engine.events import HOUR_NS, OrderState, Status, TimeInForce, Timer
from tests.components.brokers.made import (
    approved,
    broker,
    fills,
    refused,
    states,
    traded,
    universe,
)
from tests.make import bars, book, day

DAY, GTC, GTD, IOC, FOK = (np.array([int(t)], np.int32) for t in TimeInForce)
ONE = [100.0, 100.0, 100.0]


def later(*, hour: int, close=ONE, **columns):
    """An hourly bar that closes `hour` hours after day 0 and began one hour before."""
    end = day(0) + hour * HOUR_NS
    return bars(end, close, interval_ns=HOUR_NS, opened=end - HOUR_NS, **columns)


# ---- rule 28: the default fill ---------------------------------------------------------------------------------------


def test_rule_28_the_default_fill_is_the_open_of_the_next_slice():
    one = broker(costs=Bps(slippage_bps=10, commission_bps=5))
    assert states(one.on_orders(approved([1], [200.0]))) == {1: OrderState.ACCEPTED}
    out = one.on_bars(bars(day(1), [100.0, 52.0, 100.0], open=[100.0, 51.0, 100.0]))
    fill = fills(out)
    assert states(out) == {1: OrderState.FINISHED}
    assert (fill.symbol.tolist(), fill.qty.tolist(), fill.reference.tolist()) == ([1], [200.0], [51.0])
    np.testing.assert_allclose(fill.price, 51.051)  # 51 and 10 basis points
    np.testing.assert_allclose(fill.fees, [[200 * 51.051 * 0.0005, 0, 0]])
    assert fill.at.tolist() == [day(1) - 23_400 * 10**9]  # the open, 6.5 hours before the close
    assert fill.ts == day(1)


def test_an_empty_slice_has_exactly_one_fills_without_rows():
    out = broker().on_bars(bars(day(1), ONE))
    assert len(out) == 1
    fill = fills(out)
    assert fill.ts == day(1)
    assert [len(getattr(fill, c)) for c in ("exec_ids", "order_ids", "symbol", "qty", "price", "reference", "at")] == [
        0
    ] * 7
    assert fill.fees.shape == (0, 3)


def test_rule_28_a_bar_that_began_before_the_order_never_fills_it():
    one = broker()
    one.on_orders(approved([0], [1.0], ts=day(0) + HOUR_NS // 2))
    assert traded(one.on_bars(later(hour=1))) == {}
    assert traded(one.on_bars(later(hour=2))) == {1: 1.0}


def test_a_bar_that_begins_at_the_very_instant_of_acceptance_fills():
    one = broker()
    one.on_orders(approved([0], [1.0]))
    assert traded(one.on_bars(later(hour=1))) == {1: 1.0}


def test_a_multiplier_scales_fees_and_money():
    futures = replace(universe(1), multiplier=np.array([50.0]))
    one = broker(cash=60_000.0, qty=[0.0], costs=Bps(commission_bps=10), universe=futures)
    one.on_orders(approved([0], [20.0]))
    fill = fills(one.on_bars(bars(day(1), [100.0])))
    assert fill.qty.tolist() == [11.0]  # 12 lots of 5,000 and 10 basis points would need 60,060
    np.testing.assert_allclose(fill.fees[0, 0], 11 * 5000 * 0.001)


# ---- rule 30: stale prices -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.MISSING, Status.HALTED])
def test_rule_30_no_fill_and_a_good_till_cancelled_order_rests(status):
    one = broker()
    one.on_orders(approved([0], [5.0], tif=GTC))
    out = one.on_bars(bars(day(1), [np.nan, 100.0, 100.0], status=[status, 0, 0]))
    assert (traded(out), states(out)) == ({}, {})
    assert traded(one.on_bars(bars(day(2), ONE))) == {1: 5.0}


def test_rule_06_on_a_bar_without_volume_nothing_fills_and_the_order_rests():
    one = broker()
    one.on_orders(approved([0, 1], [5.0, 5.0], tif=np.full(2, TimeInForce.GOOD_TILL_CANCELLED, np.int32)))
    assert traded(one.on_bars(bars(day(1), ONE, volume=[0.0, 1.0, 1.0]))) == {2: 5.0}
    assert traded(one.on_bars(bars(day(2), ONE))) == {1: 5.0}


def test_rule_06_an_unknown_volume_is_no_reason_to_rest():
    one = broker()
    one.on_orders(approved([0, 1], [5.0, 5.0]))
    assert traded(one.on_bars(bars(day(1), ONE, volume=[np.nan, np.nan, 0.0]))) == {1: 5.0, 2: 5.0}


def test_a_day_order_expires_with_the_daily_slice_in_which_its_symbol_had_no_bar():
    one = broker()
    one.on_orders(approved([0, 1], [5.0, 6.0]))
    out = one.on_bars(bars(day(1), [np.nan, 100.0, 100.0]))
    assert traded(out) == {2: 6.0}
    assert states(out) == {1: OrderState.EXPIRED, 2: OrderState.FINISHED}
    assert traded(one.on_bars(bars(day(2), ONE))) == {}


def test_a_day_order_of_an_intraday_session_ends_when_that_session_closes():
    one = broker()
    one.on_orders(approved([0], [5.0], ts=day(0)))
    assert states(one.on_bars(later(hour=1, close=[np.nan, 100.0, 100.0]))) == {}
    closed = Timer(ts=day(0) + 2 * HOUR_NS, name="session_closed", due=day(0) + 2 * HOUR_NS)
    assert states(one.on_timer(closed)) == {1: OrderState.EXPIRED}
    assert one.on_timer(closed) is None


def test_a_day_order_sent_after_the_last_bar_survives_the_close_of_that_session():
    one = broker()
    one.on_orders(approved([0], [5.0], ts=day(0)))
    assert one.on_timer(Timer(ts=day(0), name="session_closed", due=day(0))) is None
    assert traded(one.on_bars(later(hour=24))) == {1: 5.0}


def test_other_timers_end_nothing():
    one = broker()
    one.on_orders(approved([0], [5.0]))
    one.on_bars(later(hour=1, close=[np.nan, 100.0, 100.0]))
    assert one.on_timer(Timer(ts=day(1), name="session_opened", due=day(1))) is None


@pytest.mark.parametrize("tif", [IOC, FOK])
def test_an_immediate_order_is_cancelled_by_the_first_bar_it_could_not_trade_at(tif):
    one = broker()
    one.on_orders(approved([0], [5.0], tif=tif))
    assert states(one.on_bars(later(hour=1, close=[np.nan, 100.0, 100.0]))) == {1: OrderState.CANCELLED}


def test_a_dated_order_expires_with_the_first_bar_that_ends_after_its_date():
    one = broker()
    one.on_orders(approved([0], [5.0], tif=GTD, expires=np.array([day(0) + HOUR_NS])))
    gone = [np.nan, 100.0, 100.0]
    assert states(one.on_bars(later(hour=1, close=gone))) == {}
    assert states(one.on_bars(later(hour=2, close=gone))) == {1: OrderState.EXPIRED}


def test_a_dated_order_trades_at_the_open_that_is_its_date():
    one = broker()
    one.on_orders(approved([0], [5.0], tif=GTD, expires=np.array([day(0) + HOUR_NS])))
    assert traded(one.on_bars(later(hour=2, close=ONE))) == {1: 5.0}


# ---- rule 36: sequencing and cash ------------------------------------------------------------------------------------


def test_rule_36_sells_fill_before_buys_and_pay_for_them():
    one = broker(cash=0.0, qty=[10.0, 0.0, 0.0])
    one.on_orders(approved([1, 0], [10.0, -10.0]))
    fill = fills(one.on_bars(bars(day(1), ONE)))
    assert fill.symbol.tolist() == [0, 1]
    assert fill.qty.tolist() == [-10.0, 10.0]


def test_rule_36_buys_are_cut_in_leg_order_to_whole_lots_of_the_cash_left():
    one = broker(cash=1_000.0)
    one.on_orders(approved([0, 1, 2], [6.0, 6.0, 1.0]))
    out = one.on_bars(bars(day(1), [100.0, 150.0, 50.0]))
    assert traded(out) == {1: 6.0, 2: 2.0, 3: 1.0}  # 600, then 300 of 900, then 50: a cheap one still fits
    assert states(out) == {1: OrderState.FINISHED, 2: OrderState.CANCELLED, 3: OrderState.FINISHED}
    assert refused(out) == {2: "cash"}
    refusal = next(event for event in out if type(event).__name__ == "Refusals")
    assert (refusal.qty.tolist(), refusal.value.tolist(), refusal.threshold.tolist()) == ([4.0], [900.0], [400.0])
    assert one.on_bars(bars(day(2), ONE))[0].qty.size == 0


def test_a_buy_that_cannot_pay_for_one_lot_does_not_fill_at_all():
    one = broker(cash=50.0)
    one.on_orders(approved([0], [3.0]))
    out = one.on_bars(bars(day(1), ONE))
    assert (traded(out), states(out), refused(out)) == ({}, {1: OrderState.CANCELLED}, {1: "cash"})


def test_the_rest_of_a_cut_good_till_cancelled_order_waits_for_money():
    one = broker(cash=250.0)
    one.on_orders(approved([0], [5.0], tif=GTC))
    out = one.on_bars(bars(day(1), ONE))
    assert (traded(out), states(out), refused(out)) == ({1: 2.0}, {}, {})
    one.on_book(book(day(1), ONE, cash=10_000.0, qty=[2.0, 0.0, 0.0]))
    again = one.on_bars(bars(day(2), ONE))
    assert (traded(again), states(again)) == ({1: 3.0}, {1: OrderState.FINISHED})
    assert fills(out).exec_ids[0] != fills(again).exec_ids[0]


def test_a_fill_or_kill_order_that_would_be_cut_does_not_trade_and_leaves_its_money_to_the_next():
    one = broker(cash=500.0)
    one.on_orders(approved([0, 1], [6.0, 5.0], tif=np.array([4, 0], np.int32)))
    out = one.on_bars(bars(day(1), ONE))
    assert traded(out) == {2: 5.0}
    assert states(out)[1] == OrderState.CANCELLED


def test_rule_41_commission_counts_when_buys_are_cut():
    one = broker(cash=1_000.0, costs=Bps(commission_bps=10))
    one.on_orders(approved([0], [10.0]))
    assert traded(one.on_bars(bars(day(1), ONE))) == {1: 9.0}


def test_own_fills_keep_cash_current_until_the_next_book():
    one = broker(cash=1_000.0)
    one.on_orders(approved([0], [8.0]))
    one.on_bars(bars(day(1), ONE))
    one.on_orders(approved([0], [8.0], ts=day(1), ids=np.array([7], np.uint64)))
    assert traded(one.on_bars(bars(day(2), ONE))) == {7: 2.0}


def test_foreign_names_are_paid_from_the_sum_in_the_base_currency():
    two = universe(2)
    mixed = type(two)(
        symbols=two.symbols,
        currencies=("USD", "EUR"),
        currency=np.array([0, 1], np.int32),
        multiplier=two.multiplier,
        lot=two.lot,
        tick=two.tick,
    )
    one = Simulated(universe=mixed, costs=Bps(), name="broker", fill="next_open")
    rates = {"rate": np.array([1.0, 2.0]), "cash": np.array([1_000.0, 0.0])}
    of = book(day(0), [100.0, 100.0])
    one.on_book(type(of)(**({f: getattr(of, f) for f in of.__struct_fields__} | rates)))
    one.on_orders(approved([1], [6.0]))
    assert traded(one.on_bars(bars(day(1), [100.0, 100.0]))) == {1: 5.0}


# ---- shorts and leverage ---------------------------------------------------------------------------------------------


def test_a_sale_beyond_the_position_is_refused_unless_shorts_are_allowed():
    one = broker(qty=[5.0, 0.0, 0.0])
    assert refused(one.on_orders(approved([0], [-6.0]))) == {1: "short"}
    other = broker(qty=[5.0, 0.0, 0.0], short=True)
    assert states(other.on_orders(approved([0], [-6.0]))) == {1: OrderState.ACCEPTED}
    assert traded(other.on_bars(bars(day(1), ONE))) == {1: -6.0}


def test_sales_of_one_symbol_see_each_other_and_those_that_rest():
    one = broker(qty=[5.0, 0.0, 0.0])
    assert refused(one.on_orders(approved([0, 0], [-3.0, -3.0]))) == {2: "short"}
    assert refused(one.on_orders(approved([0], [-3.0], ids=np.array([8], np.uint64)))) == {8: "short"}
    assert refused(one.on_orders(approved([0], [-2.0], ids=np.array([9], np.uint64)))) == {}


def test_shorts_are_cut_to_equity():
    one = broker(cash=1_000.0, short=True)
    one.on_orders(approved([0], [-15.0]))
    out = one.on_bars(bars(day(1), ONE))
    assert (traded(out), refused(out)) == ({1: -10.0}, {1: "buying_power"})


def test_covering_a_short_is_never_cut():
    one = broker(cash=1_000.0, qty=[-9.0, 0.0, 0.0], short=True)
    one.on_orders(approved([0], [9.0]))
    assert traded(one.on_bars(bars(day(1), [500.0, 100.0, 100.0]))) == {1: 9.0}


def test_an_order_through_zero_is_cut_beyond_zero_only():
    one = broker(cash=0.0, qty=[4.0, 0.0, 0.0], short=True)
    one.on_orders(approved([0], [-20.0]))
    assert traded(one.on_bars(bars(day(1), ONE))) == {1: -8.0}  # equity 400: four shares short at 100


def test_an_order_through_zero_that_needs_nothing_in_an_account_below_its_limit_closes_and_adds_what_it_frees():
    one = broker(cash=1000.0, qty=[-5.0, -2.0, 0.0], short=True)  # equity 300, positions 700
    one.on_orders(approved([1], [4.0]))
    assert traded(one.on_bars(bars(day(1), ONE))) == {1: 2.0}


def test_two_orders_of_one_symbol_share_the_buying_power_of_a_margin_account():
    one = broker(cash=1_000.0, short=True)
    one.on_orders(approved([0, 0], [8.0, 8.0]))
    assert traded(one.on_bars(bars(day(1), ONE))) == {1: 8.0, 2: 2.0}


def test_leverage_multiplies_what_equity_can_hold():
    one = broker(cash=1_000.0, leverage=2.0)
    one.on_orders(approved([0], [30.0]))
    assert traded(one.on_bars(bars(day(1), ONE))) == {1: 20.0}


def test_rule_44_a_margin_account_values_a_name_without_a_bar_at_its_mark():
    one = broker(cash=0.0, qty=[0.0, 10.0, 0.0], leverage=2.0)
    one.on_orders(approved([0], [30.0]))
    assert traded(one.on_bars(bars(day(1), [100.0, np.nan, 100.0]))) == {1: 10.0}
