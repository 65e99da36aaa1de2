"""When day orders end on bars below a day: without a calendar, over a hole in the bars, and waiting for an auction."""

import pytest

from engine.events import HOUR_NS, OrderKind, OrderState, TimeInForce, Timer
from tests.components.brokers.made import broker, order, priced, sessions, states
from tests.make import bars, day

MARKET, LIMIT, STOP, STOP_LIMIT, TRAILING, MOO, MOC = OrderKind
DAY, GTC, GTD, IOC, FOK = TimeInForce
ACCEPTED, TRIGGERED, REPLACED, CANCELLED, EXPIRED, FINISHED = OrderState


def hourly(k, hour, price=100.0, **columns):
    """The bar that ends `hour` hours from the close of day k and lasts one."""
    end = day(k) + hour * HOUR_NS
    return bars(end, [price], interval_ns=HOUR_NS, opened=end - HOUR_NS, **columns)


def waiting(*, kind=LIMIT, tif=DAY, **options):
    """A broker with one order, sent three hours before the close of day 1, that no price of 100 fills."""
    one = broker(qty=[0.0], **options)
    one.on_bars(hourly(1, -3))
    prices = {"limit": 50.0} if kind == LIMIT else {}
    assert states(one.on_orders(order(5.0, kind, ts=day(1) - 3 * HOUR_NS, tif=tif, **prices))) == {1: ACCEPTED}
    return one


def test_without_a_calendar_a_day_order_ends_before_the_first_bar_of_a_later_date():
    one = waiting()
    assert states(one.on_bars(hourly(1, -2))) == {}
    assert states(one.on_bars(hourly(1, 0))) == {}
    out = one.on_bars(hourly(2, -6, 40.0))
    assert (states(out), priced(out)) == ({1: EXPIRED}, {})


def test_without_a_calendar_a_day_order_sent_after_the_last_bar_is_one_of_the_next_date():
    one = waiting()
    assert priced(one.on_bars(hourly(2, -6, 40.0))) == {1: (5.0, 40.0)}


def test_other_orders_outlast_the_date():
    one = waiting(tif=GTC)
    one.on_bars(hourly(1, -2))
    assert priced(one.on_bars(hourly(2, -6, 40.0))) == {1: (5.0, 40.0)}


def test_the_date_is_kept_with_the_state():
    one, other = waiting(), broker(qty=[0.0])
    one.on_bars(hourly(1, -2))
    other.load(one.save())
    assert states(other.on_bars(hourly(2, -6, 40.0))) == {1: EXPIRED}


def test_a_bar_that_ends_at_midnight_is_one_of_the_date_on_which_it_began():
    one = waiting()
    midnight = 3  # hours from the close at 21:00
    one.on_bars(hourly(1, midnight - 1))
    assert states(one.on_bars(hourly(1, midnight))) == {}
    assert states(one.on_bars(hourly(1, midnight + 1))) == {1: EXPIRED}


def test_where_a_timer_says_when_sessions_end_midnight_does_not():
    one = waiting()
    one.on_bars(hourly(1, -2))
    ended = one.on_timer(Timer(ts=day(1), name="session_closed", due=day(1)))
    assert states(ended) == {1: EXPIRED}
    one.on_bars(hourly(1, 2))
    one.on_orders(order(5.0, LIMIT, limit=50.0, tif=DAY, id=2, ts=day(1) + 2 * HOUR_NS))
    assert states(one.on_bars(hourly(1, 3))) == {}
    assert priced(one.on_bars(hourly(1, 5, 40.0))) == {2: (5.0, 40.0)}


def test_a_day_order_ends_before_the_next_trading_day_where_the_last_bar_of_its_own_is_missing():
    one = waiting(sessions=sessions())
    one.on_bars(hourly(1, -2))
    out = one.on_bars(hourly(2, -5, 40.0))
    assert (states(out), priced(out)) == ({1: EXPIRED}, {})


# ---- auctions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "fill"), [(MOO, "next_open"), (MARKET, "open_auction")])
def test_a_day_order_for_the_opening_auction_sent_in_a_session_waits_for_the_next_one(kind, fill):
    one = waiting(kind=kind, fill=fill, sessions=sessions())
    for hour in (-2, -1, 0):
        assert states(one.on_bars(hourly(1, hour))) == {}
    assert one.on_timer(Timer(ts=day(1), name="session_closed", due=day(1))) is None
    opening = day(2) - 13 * HOUR_NS // 2
    first = bars(opening + HOUR_NS, [42.0], open=[41.0], interval_ns=HOUR_NS, opened=opening)
    assert priced(one.on_bars(first)) == {1: (5.0, 41.0)}


@pytest.mark.parametrize(("kind", "fill"), [(MOO, "next_open"), (MARKET, "open_auction")])
def test_a_day_order_for_an_opening_auction_without_a_price_ends_with_it(kind, fill):
    one = waiting(kind=kind, fill=fill, sessions=sessions())
    one.on_bars(hourly(1, 0))
    opening = day(2) - 13 * HOUR_NS // 2
    first = bars(opening + HOUR_NS, [41.0], volume=[0.0], interval_ns=HOUR_NS, opened=opening)
    assert states(one.on_bars(first)) == {1: EXPIRED}


def test_a_day_order_too_late_for_one_closing_auction_is_one_for_the_next():
    one = waiting(kind=MOC, sessions=sessions(), close_cutoff="4h")
    for hour in (-2, -1, 0):
        assert states(one.on_bars(hourly(1, hour))) == {}
    one.on_bars(hourly(2, -1))
    assert priced(one.on_bars(hourly(2, 0, 41.0))) == {1: (5.0, 41.0)}


def test_a_day_order_for_a_closing_auction_that_never_came_ends_with_its_day():
    one = waiting(kind=MOC, sessions=sessions())
    one.on_bars(hourly(1, -2))
    assert states(one.on_bars(hourly(2, -5))) == {1: EXPIRED}
