"""Account kinds: cash that settles, margin calls, shares that must be borrowed, currencies; each by an example."""

import numpy as np
import pytest
from msgspec.structs import replace

from components.brokers.venue import TIMINGS
from components.costs.bps import Bps
from components.financing.borrow_fee import BorrowFee
from components.financing.margin_interest import MarginInterest
from engine.errors import DataError
from engine.events import (
    DAY_NS,
    HOUR_NS,
    ActionKind,
    ChargeKind,
    Charges,
    Fills,
    OrderKind,
    OrderState,
    Reports,
    TimeInForce,
)
from engine.universe import Universe
from tests.components.brokers.made import action, states, universe
from tests.components.brokers.routed import Routed, mixed, rates, shortable
from tests.make import bars, day

A, B, C = range(3)
GTC = np.array([TimeInForce.GOOD_TILL_CANCELLED], np.int32)


def account(cash: float = 10_000.0, of: Universe | None = None, **options) -> Routed:
    """An account that has seen day 0 at prices of 100."""
    of = of or universe(3)
    one = Routed(of, cash=cash, **options)
    one.feed(bars(day(0), [100.0] * len(of), vwap=[100.0] * len(of)))
    return one


# ---- cash ------------------------------------------------------------------------------------------------------------


def test_rule_36_sales_pay_for_purchases_of_the_same_open_where_money_settles_at_once():
    one = account(1_000.0)
    one.send(day(0), [A], [10])
    one.feed(bars(day(1), [100.0] * 3))
    one.send(day(1), [B, A], [10, -10])  # the purchase was sent first
    one.feed(bars(day(2), [100.0] * 3))
    assert one.traded() == [(A, -10, 100.0), (B, 10, 100.0)]


def test_rule_36_money_of_a_sale_that_settles_later_buys_nothing_before():
    """Tuesday 2 January is day 0: sold on Thursday, spent on Monday."""
    one = account(1_000.0, settlement_days=2)
    one.send(day(0), [A], [10])
    one.feed(bars(day(1), [100.0] * 3))
    one.send(day(1), [A, B], [-10, 10])
    book = one.feed(bars(day(2), [100.0] * 3))  # Thursday
    assert one.traded() == [(A, -10, 100.0)]
    assert one.rules() == ["cash"]
    assert (book.cash[0], book.unsettled[0]) == (1000.0, 1000.0)
    one.send(day(2), [B], [10])
    book = one.feed(bars(day(3), [100.0] * 3))  # Friday
    assert one.traded() == []
    assert (book.cash[0], book.unsettled[0]) == (1000.0, 0.0)  # what is decided now trades on Monday
    one.send(day(3), [B], [10])
    one.feed(bars(day(6), [100.0] * 3))
    assert one.traded() == [(B, 10, 100.0)]


def test_rule_36_purchases_are_cut_to_settled_cash_in_the_order_of_acceptance():
    one = account(1_500.0, settlement_days=1)
    one.send(day(0), [A], [10])
    one.feed(bars(day(1), [100.0] * 3))
    one.send(day(1), [B, C, A], [3, 4, -10])
    one.feed(bars(day(2), [100.0] * 3))
    assert one.traded() == [(A, -10, 100.0), (B, 3, 100.0), (C, 2, 100.0)]
    one.send(day(2), [C], [10])
    one.feed(bars(day(3), [100.0] * 3))
    assert one.traded() == [(C, 10, 100.0)]


def test_only_sales_are_stamped_with_a_later_settlement_and_their_fees_are_taken_off():
    one = account(2_000.0, settlement_days=2, costs=Bps(commission_bps=10))
    one.send(day(0), [A], [10])
    one.feed(bars(day(1), [100.0] * 3))
    one.send(day(1), [A, B], [-5, 2])
    book = one.feed(bars(day(2), [100.0] * 3))
    fills = one.out[-1]
    assert isinstance(fills, Fills)
    assert fills.settles is not None
    assert (fills.settles > fills.ts).tolist() == [True, False]
    assert book.unsettled[0] == pytest.approx(500 - 0.5)


def test_no_settlement_means_no_stamp():
    one = account()
    one.send(day(0), [A], [1])
    one.feed(bars(day(1), [100.0] * 3))
    assert one.out[-1].settles is None


def test_a_margin_account_trades_on_unsettled_money():
    one = account(1_000.0, settlement_days=2, leverage=1.5)
    one.send(day(0), [A], [15])
    one.feed(bars(day(1), [100.0] * 3))
    one.send(day(1), [A, B], [-15, 15])
    one.feed(bars(day(2), [100.0] * 3))
    assert one.traded() == [(A, -15, 100.0), (B, 15, 100.0)]


@pytest.mark.parametrize("days", [-1, 11])
def test_settlement_days_that_no_market_has_are_refused(days):
    with pytest.raises(ValueError, match=f"settlement_days must be between 0 and 10 trading days, got {days}"):
        account(settlement_days=days)


# ---- margin ----------------------------------------------------------------------------------------------------------


def leveraged(**options) -> Routed:
    """Bought 200 A with 10,000 of equity at leverage 2: maintenance 30 %."""
    one = account(leverage=2.0, maintenance=0.3, **options)
    one.send(day(0), [A], [200])
    one.feed(bars(day(1), [100.0] * 3))
    assert one.traded() == [(A, 200, 100.0)]
    return one


def test_rule_45_a_margin_call_sells_just_enough_to_be_back_at_the_leverage_at_the_next_open():
    """At 70: equity 4,000, gross 14,000; 8,000 may stay, so 6,000 go: 86 shares of 70."""
    one = leveraged()
    one.feed(bars(day(2), [72.0, 100.0, 100.0]))  # equity 4,400 of 14,400: 30.6 %
    assert one.notes() == []
    one.feed(bars(day(3), [70.0, 100.0, 100.0]))  # 28.6 %
    (note,) = one.notes("margin_call")
    assert (note.symbol.tolist(), note.value.tolist(), note.ts) == ([A], [-86.0], day(3))
    assert "equity 4000.00 is below 0.3 of the gross value 14000.00" in note.text
    book = one.feed(bars(day(4), [69.0, 100.0, 100.0], open=[71.0, 100.0, 100.0]))
    assert one.traded() == [(A, -86, 71.0)]
    assert book.qty[A] == 114
    assert list(states(tuple(one.out)).values()) == [OrderState.FINISHED]
    assert one.notes() == [note]


def test_exactly_at_the_maintenance_nothing_happens():
    one = account(leverage=2.0, maintenance=0.25)
    one.send(day(0), [A], [150])
    one.feed(bars(day(1), [100.0] * 3))
    one.feed(bars(day(2), [44.4444444, 100.0, 100.0]))  # equity 1,666.67 of 6,666.67
    assert one.notes()
    two = account(leverage=2.0, maintenance=0.25)
    two.send(day(0), [A], [160])
    two.feed(bars(day(1), [100.0] * 3))
    two.feed(bars(day(2), [50.0, 100.0, 100.0]))  # equity 2,000 of 8,000
    assert two.notes() == []


def test_the_largest_position_is_reduced_first_and_shorts_are_covered():
    one = account(short=True, leverage=3.0, maintenance=0.3)
    one.send(day(0), [A, B, C], [80, -120, 90])
    one.feed(bars(day(1), [100.0] * 3))
    one.feed(bars(day(2), [90.0, 110.0, 90.0]))  # equity 7,100; gross 7,200 + 13,200 + 8,100 = 28,500: 24.9 %
    (note,) = one.notes("margin_call")
    assert (note.symbol.tolist(), note.value.tolist()) == ([B], [66.0])  # 28,500 - 21,300 = 7,200: 66 of 110
    one.feed(bars(day(3), [90.0, 111.0, 90.0]))
    assert one.traded() == [(B, 66, 111.0)]


def test_an_account_without_equity_is_closed_whole_odd_lots_too():
    one = account(of=universe(3, lot=50.0), leverage=2.0, maintenance=0.3)
    one.send(day(0), [A, B], [100, 100])
    one.feed(bars(day(1), [100.0] * 3))
    one.feed(action(ActionKind.SPLIT, B, ratio=0.55))  # 55 shares: an odd lot
    one.feed(bars(day(2), [20.0, 150.0, 100.0]))
    assert one.notes("margin_call")[0].value.tolist() == [-100.0, -55.0]
    book = one.feed(bars(day(3), [19.0, 149.0, 100.0]))
    assert not book.qty.any()


def test_open_orders_that_could_increase_a_position_are_cancelled_and_those_that_reduce_another_stay():
    one = account(20_000.0, leverage=2.0, maintenance=0.3)
    one.send(day(0), [A, B], [350, 40])
    one.feed(bars(day(1), [100.0] * 3))
    columns = {
        "kind": np.full(4, OrderKind.LIMIT, np.int32),
        "limit": np.array([10.0, 200.0, 200.0, 10.0]),
        "tif": np.repeat(GTC, 4),
    }
    one.send(day(1), [A, A, B, C], [5, -5, -5, 5], **columns)  # ids 3, 4, 5, 6
    one.feed(bars(day(2), [60.0, 100.0, 100.0]))  # equity 6,000 of 25,000
    ended = states(tuple(one.out))
    assert {order for order, state in ended.items() if state == OrderState.CANCELLED} == {3, 4, 6}
    book = one.ledger.book(day(2))
    assert book.open_orders.ids.tolist() == [5]


def test_while_the_broker_trades_a_symbol_it_takes_no_order_of_it():
    one = leveraged()
    one.feed(bars(day(3), [70.0, 100.0, 100.0]))
    one.send(day(3), [A, B], [-200, 1])
    assert one.rules() == ["broker_order"]
    one.feed(bars(day(4), [70.0, 100.0, 100.0]))
    assert one.traded()[0] == (A, -86, 70.0)
    one.send(day(4), [A], [-114])
    one.feed(bars(day(5), [70.0, 100.0, 100.0]))
    assert one.traded() == [(A, -114, 70.0)]


def test_a_call_waits_for_the_next_open_at_which_the_name_trades_and_is_not_made_twice():
    one = leveraged()
    one.feed(bars(day(3), [70.0, 100.0, 100.0]))
    one.feed(bars(day(4), [np.nan, 100.0, 100.0]))
    one.feed(bars(day(5), [np.nan, 100.0, 100.0]))
    assert (one.traded(), len(one.notes())) == ([], 1)
    one.feed(bars(day(6), [65.0, 100.0, 100.0], open=[60.0, 100.0, 100.0]))
    assert one.traded() == [(A, -86, 60.0)]


def test_a_market_that_falls_further_is_called_further():
    one = leveraged()
    one.feed(bars(day(3), [70.0, 100.0, 100.0]))
    one.feed(bars(day(4), [np.nan, 100.0, 100.0]))
    one.feed(bars(day(5), [60.0, 100.0, 100.0], open=[60.0, 100.0, 100.0]))  # sold at 60: equity 2,000 of 6,840
    (_, second) = one.notes()
    assert second.value.tolist() == [-48.0]  # 6,840 - 4,000 = 2,840: 48 of 60


@pytest.mark.parametrize("fill", TIMINGS)
def test_a_call_is_filled_at_the_next_open_whatever_the_timing_of_fills(fill):
    one = account(leverage=2.0, maintenance=0.3, fill=fill)
    one.send(day(0), [A], [200])
    one.feed(bars(day(1), [100.0] * 3, vwap=[100.0] * 3))
    one.feed(bars(day(2), [70.0, 100.0, 100.0], vwap=[70.0, 100.0, 100.0]))
    one.feed(bars(day(3), [74.0, 100.0, 100.0], open=[71.0, 100.0, 100.0], vwap=[72.0, 100.0, 100.0]))
    assert one.traded() == [(A, -86, 71.0)]


def test_within_a_day_a_call_is_filled_at_the_open_of_the_next_bar():
    one = account(leverage=2.0, maintenance=0.3)
    minutes = {"interval_ns": HOUR_NS}
    one.send(day(0), [A], [200])
    one.feed(bars(day(1), [100.0] * 3, opened=day(1) - HOUR_NS, **minutes))
    one.feed(bars(day(1) + HOUR_NS, [70.0, 100.0, 100.0], opened=day(1), **minutes))
    one.feed(bars(day(1) + 2 * HOUR_NS, [71.0, 100.0, 100.0], opened=day(1) + HOUR_NS, **minutes))
    assert one.traded() == [(A, -86, 71.0)]


def test_dividends_that_are_due_count_in_the_equity_of_a_call():
    """At 70 equity is 4,000 of 14,000; a dividend of 2 a share makes it 4,400: enough."""
    one = leveraged()
    event = action(ActionKind.CASH_DIVIDEND, A, amount=2.0)
    one.feed(replace(event, pay_at=np.array([day(9)])))
    one.feed(bars(day(3), [70.0, 100.0, 100.0]))
    assert one.notes() == []


def test_ids_of_the_brokers_own_orders_follow_from_the_slice_and_are_the_same_in_every_run():
    ids = []
    for _ in range(2):
        one = leveraged()
        one.feed(bars(day(3), [70.0, 100.0, 100.0]))
        ids.append([int(i) for event in one.out if isinstance(event, Reports) for i in event.ids])
    assert ids[0] == ids[1]
    assert len(ids[0]) == 1


def test_fills_of_the_brokers_own_orders_are_booked_by_a_ledger_that_knows_no_such_order():
    one = leveraged()
    one.feed(bars(day(3), [70.0, 100.0, 100.0]))
    book = one.ledger.book(day(3))
    assert (book.open_orders.ids.size, book.working.any()) == (0, False)
    book = one.feed(bars(day(4), [70.0, 100.0, 100.0]))
    assert book.qty[A] == 114
    assert book.cash[0] == 10_000 - 20_000 + 86 * 70


def test_a_split_between_call_and_fill_is_followed():
    one = leveraged()
    one.feed(bars(day(0) + 3 * DAY_NS, [70.0, 100.0, 100.0]))
    event = action(ActionKind.SPLIT, A, ratio=2.0)
    one.feed(event)
    one.feed(bars(day(4), [35.0, 100.0, 100.0]))
    assert one.traded() == [(A, -172, 35.0)]


# ---- borrowed shares -------------------------------------------------------------------------------------------------


def test_a_sale_beyond_what_can_be_borrowed_is_refused_and_says_how_much_there_is():
    one = account(short=True)
    one.feed(shortable(day(0), [30.0, 0.0, np.nan]))
    one.send(day(0), [A, A, B, C], [-20, -20, -1, -90])
    refusals = [event for event in one.out if hasattr(event, "rule")][0]
    assert refusals.rule == ("shortable", "shortable")
    assert refusals.ids.tolist() == [2, 3]
    assert (refusals.value.tolist(), refusals.threshold.tolist()) == ([40.0, 1.0], [30.0, 0.0])
    one.feed(bars(day(1), [100.0] * 3))
    assert one.traded() == [(A, -20, 100.0), (C, -80, 100.0)]  # the rest of C is beyond the buying power


def test_without_a_list_any_name_can_be_sold_short():
    one = account(short=True)
    one.send(day(0), [A], [-50])
    one.feed(bars(day(1), [100.0] * 3))
    assert one.traded() == [(A, -50, 100.0)]


def test_a_list_means_nothing_in_an_account_that_may_not_sell_short():
    one = account()
    one.feed(shortable(day(0), [100.0] * 3))
    one.send(day(0), [A], [-1])
    assert one.rules() == ["short"]


def test_selling_what_is_held_needs_no_borrowing():
    one = account(short=True)
    one.send(day(0), [A], [50])
    one.feed(bars(day(1), [100.0] * 3))
    one.feed(shortable(day(1), [0.0] * 3))
    one.send(day(1), [A], [-50])
    one.feed(bars(day(2), [100.0] * 3))
    assert one.traded() == [(A, -50, 100.0)]


def test_rule_42_a_recall_is_an_event_and_buys_back_the_excess_at_the_next_open():
    one = account(short=True)
    one.send(day(0), [A], [-50])
    one.feed(bars(day(1), [100.0] * 3))
    one.feed(shortable(day(1), [20.0, np.nan, np.inf]))
    (note,) = one.notes("recall")
    assert (note.symbol.tolist(), note.value.tolist(), note.ts) == ([A], [30.0], day(1))
    book = one.feed(bars(day(2), [103.0] * 3, open=[102.0] * 3))
    assert one.traded() == [(A, 30, 102.0)]
    assert book.qty[A] == -20
    one.feed(bars(day(3), [103.0] * 3))
    assert len(one.notes()) == 1


def test_a_recall_cancels_sales_that_rest_beyond_the_new_list():
    one = account(short=True)
    one.send(day(0), [A], [-5], kind=np.array([OrderKind.LIMIT], np.int32), limit=np.array([200.0]), tif=GTC)
    one.feed(bars(day(1), [100.0] * 3))
    one.feed(shortable(day(1), [4.0, 0.0, 0.0]))
    assert states(tuple(one.out)) == {1: OrderState.CANCELLED}
    assert one.notes("recall")[0].value.tolist() == []
    assert one.ledger.book(day(1)).open_orders.ids.size == 0


def test_what_the_broker_sells_of_a_long_position_is_no_short_sale_for_a_recall():
    one = account(short=True, leverage=2.0, maintenance=0.3)
    one.send(day(0), [A], [200])
    one.feed(bars(day(1), [100.0] * 3))
    one.feed(bars(day(2), [52.0, 100.0, 100.0]))  # equity 400 of 10,400: 185 are to be sold
    assert one.notes("margin_call")[0].value.tolist() == [-185.0]
    one.feed(shortable(day(2), [0.0] * 3))
    assert one.notes("recall") == []


def test_a_split_of_a_borrowed_share_is_no_recall():
    one = account(short=True)
    one.feed(shortable(day(0), [50.0] * 3))
    one.send(day(0), [A], [-50])
    one.feed(bars(day(1), [100.0] * 3))
    event = action(ActionKind.SPLIT, A, ratio=2.0)
    one.feed(event)
    one.feed(bars(day(2), [50.0, 100.0, 100.0]))
    assert one.notes() == []
    assert one.ledger.book(day(2)).qty[A] == -100


@pytest.mark.parametrize("bad", [[1.0, 2.0], [1.0, -2.0, 3.0]])
def test_a_list_that_does_not_fit_is_an_error_that_says_what_fits(bad):
    with pytest.raises(DataError, match=r"'shortable' .* give \(3, 1\) numbers"):
        account(short=True).feed(shortable(day(0), bad))


# ---- currencies, futures and financing -------------------------------------------------------------------------------


def test_rule_43_buying_power_counts_all_currencies_at_the_rate_of_the_instant():
    one = account(1_000.0, of=mixed())
    one.feed(rates(day(0), [1.0, 2.0, 1.0]))  # since the book of that slice: one EUR is two USD
    one.send(day(0), [2], [10])
    book = one.feed(bars(day(1), [100.0] * 4))
    assert one.traded() == [(2, 5, 100.0)]
    assert book.cash.tolist() == [1000.0, -500.0, 0.0]  # paid in EUR, which may go negative
    one.send(day(1), [0], [1])
    one.feed(bars(day(2), [100.0] * 4))
    assert (one.traded(), one.rules()) == ([], ["cash"])  # 1,000 USD less 500 EUR at two
    one.feed(rates(day(2), [1.0, 1.5, 1.0]))
    one.send(day(2), [0], [9])
    one.feed(bars(day(3), [100.0] * 4))
    assert one.traded() == [(0, 2, 100.0)]  # 250 USD since


def test_a_future_counts_its_multiplier_in_power_margin_and_fees():
    one = account(10_000.0, of=mixed(), leverage=2.0, maintenance=0.4, costs=Bps(commission_bps=10))
    one.send(day(0), [3], [100])
    book = one.feed(bars(day(1), [100.0] * 4))
    assert one.traded() == [(3, 19, 100.0)]  # 19 * 1,000 points and fees of 19; 20 need 20,020
    assert book.fees[3] == pytest.approx(19.0)
    one.feed(bars(day(2), [100.0, 100.0, 100.0, 70.0]))  # equity 4,281 of 13,300: 32 %
    assert one.notes("margin_call")[0].value.tolist() == [-7.0]  # 13,300 - 8,562 = 4,738: 7 of 700


def test_rule_42_financing_of_a_weekend_is_charged_before_the_fills_of_monday():
    financing = (BorrowFee(universe=universe(3), annual_bps=360), MarginInterest(universe=universe(3), annual_bps=720))
    one = account(short=True, leverage=3.0, financing=financing)
    one.send(day(0), [A, B], [-50, 250])
    one.feed(bars(day(3), [100.0] * 3))  # Friday; nothing was held since Tuesday
    assert one.charged() == 0.0
    one.send(day(3), [A], [50])
    book = one.feed(bars(day(6), [110.0] * 3, open=[104.0] * 3))  # covered at Monday's open, charged at Friday's close
    kinds = [event.kind.tolist() for event in one.out if isinstance(event, Charges)]
    assert kinds == [[ChargeKind.BORROW], [ChargeKind.MARGIN_INTEREST]]
    assert isinstance(one.out[0], Charges)
    assert isinstance(one.out[-1], Fills)
    assert book.fees[A] == pytest.approx(5_000 * 0.036 * 3 / 360)
    assert book.interest[0] == pytest.approx(-10_000 * 0.072 * 3 / 360)
    assert one.traded() == [(A, 50, 104.0)]


def test_the_rate_that_a_slice_says_counts_for_the_days_after_it():
    of = mixed(extra=("borrow_rate",))
    one = Routed(of, cash=10_000.0, short=True, financing=(BorrowFee(universe=of),))

    def feed(k: int, rate: float) -> float:
        one.feed(bars(day(k), [100.0] * 4, extra=(np.full(4, rate),)))
        return one.charged()

    feed(0, 0.9)
    one.send(day(0), [A], [-10])
    assert [feed(1, 0.36), feed(2, np.nan), feed(3, 0.18), feed(6, 0.9)] == pytest.approx([0.0, -1.0, -1.0, -1.5])


def test_charges_come_once_a_day_however_many_slices_it_has():
    one = account(leverage=3.0, financing=(MarginInterest(universe=universe(3), annual_bps=360),))
    one.send(day(0), [A], [200])
    total = 0.0
    for k in range(1, 60):
        one.feed(bars(day(0) + k * HOUR_NS, [100.0] * 3, opened=day(0) + (k - 1) * HOUR_NS, interval_ns=HOUR_NS))
        total += one.charged()
    assert total == pytest.approx(-10_000 * (1.0001**3 - 1), rel=1e-9)  # three midnights, and interest on interest


def test_a_position_that_is_delisted_over_the_weekend_was_borrowed_over_it():
    one = account(short=True, financing=(BorrowFee(universe=universe(3), annual_bps=360),))
    one.send(day(0), [A], [-10])
    one.feed(bars(day(1), [100.0] * 3))
    one.feed(replace(action(ActionKind.DELISTING, A, amount=90.0), ts=day(1) + 1))
    one.feed(bars(day(4), [np.nan, 100.0, 100.0]))
    assert one.charged() == pytest.approx(-1_000 * 0.036 * 3 / 360)


def test_nothing_is_charged_where_no_financing_is_named():
    one = account(short=True, leverage=3.0)
    one.send(day(0), [A], [-100])
    for k in (1, 4, 9):
        one.feed(bars(day(k), [100.0] * 3))
    assert not any(isinstance(event, Charges) for event in one.said)
