"""Fill timings: the price point of a bar at which orders trade, auctions, sessions, and what is sent out of hours."""

import numpy as np
import pytest

from engine.errors import ConfigError
from engine.events import HOUR_NS, MINUTE_NS, Fills, OrderKind, OrderState, Status, TimeInForce, Timer
from engine.universe import Universe
from tests.components.brokers.made import (
    approved,
    broker,
    change,
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


def one_name(**options):
    return broker(qty=options.pop("qty", [0.0]), **options)


def daily(k, o=100.0, h=120.0, low=80.0, c=110.0, vwap=105.0, **columns):
    return bars(day(k), [c], open=[o], high=[h], low=[low], vwap=[vwap], **columns)


def hourly(k, hour, o=100.0, c=None, **columns):
    """The bar of day k that ends `hour` half hours before its close at hour 0, e.g. -1, and lasts half an hour."""
    end = day(k) + hour * HOUR_NS // 2
    close = o if c is None else c
    return bars(end, [close], open=[o], interval_ns=HOUR_NS // 2, opened=end - HOUR_NS // 2, **columns)


# ---- one price a bar -------------------------------------------------------------------------------------------------

AT = {"next_open": 100.0, "next_close": 110.0, "next_vwap": 105.0, "open_auction": 100.0, "close_auction": 110.0}


@pytest.mark.parametrize(("fill", "price"), AT.items())
def test_rule_28_a_market_order_trades_at_the_price_that_the_timing_names(fill, price):
    one = one_name(fill=fill)
    one.on_orders(order(5.0, tif=DAY))
    out = one.on_bars(daily(1))
    assert priced(out) == {1: (5.0, price)}
    at_open = fill in ("next_open", "open_auction")
    assert fills(out).at.tolist() == [daily(1).opened if at_open else day(1)]


@pytest.mark.parametrize(("fill", "price"), [case for case in AT.items() if case[0] != "next_open"])
def test_every_kind_meets_that_price_and_no_other(fill, price):
    for kind, prices, filled in (
        (LIMIT, {"limit": price}, True),
        (LIMIT, {"limit": price - 1}, False),
        (STOP, {"stop": price}, True),
        (STOP, {"stop": price + 1}, False),
        (STOP_LIMIT, {"stop": price - 1, "limit": price + 1}, True),
        (STOP_LIMIT, {"stop": price - 2, "limit": price - 1}, False),
        (TRAILING, {"trail": 5.0, "stop": price - 1}, True),
        (TRAILING, {"trail": 5.0}, False),
    ):
        one = one_name(fill=fill)
        one.on_orders(order(5.0, kind, **prices))
        assert priced(one.on_bars(daily(1))) == ({1: (5.0, price)} if filled else {})


@pytest.mark.parametrize("fill", AT)
def test_a_bar_that_began_before_the_order_fills_it_with_no_timing_but_the_close_auction(fill):
    one = one_name(fill=fill)
    one.on_orders(order(5.0, ts=day(1) - HOUR_NS))
    assert bool(traded(one.on_bars(daily(1)))) == (fill == "close_auction")


@pytest.mark.parametrize("fill", [*AT, "same_close"])
@pytest.mark.parametrize("columns", [{"status": [Status.HALTED]}, {"volume": [0.0]}])
def test_rule_30_with_every_timing_a_bar_in_which_nobody_trades_fills_nothing(fill, columns):
    one = one_name(fill=fill)
    one.on_bars(daily(0, **columns))
    out = one.on_orders(order(5.0))
    assert not any(isinstance(event, Fills) for event in out)
    assert traded(one.on_bars(daily(1, **columns))) == {}
    assert len(traded(one.on_bars(daily(2)))) == 1


def test_a_bar_without_a_vwap_fills_nothing_at_it():
    one = one_name(fill="next_vwap")
    one.on_bars(daily(0))
    one.on_orders(order(5.0))
    assert traded(one.on_bars(daily(1, vwap=np.nan))) == {}
    assert priced(one.on_bars(daily(2))) == {1: (5.0, 105.0)}


def test_a_feed_without_any_vwap_is_an_error_at_the_first_bar_in_which_something_traded():
    one = one_name(fill="next_vwap")
    one.on_bars(daily(0, vwap=np.nan, volume=[0.0]))
    one.on_bars(daily(1, vwap=np.nan, status=[Status.HALTED]))
    with pytest.raises(ConfigError, match="'next_vwap' trades at the column vwap.*e.g. fill: next_close"):
        one.on_bars(daily(2, vwap=np.nan))


def test_that_a_bar_had_a_vwap_is_kept_with_the_state():
    one, other = one_name(fill="next_vwap"), one_name(fill="next_vwap")
    one.on_bars(daily(0))
    other.load(one.save())
    assert traded(other.on_bars(daily(1, vwap=np.nan))) == {}


def test_the_buying_power_of_a_margin_account_is_that_at_the_price_of_the_trade():
    one = one_name(fill="next_close", cash=0.0, qty=[10.0], leverage=2.0)
    one.on_orders(order(100.0))
    assert priced(one.on_bars(daily(1, o=50.0, c=110.0))) == {1: (10.0, 110.0)}


# ---- same close ------------------------------------------------------------------------------------------------------


def test_an_order_trades_at_the_close_it_was_decided_on_and_the_second_fills_says_so():
    one = one_name(fill="same_close")
    assert traded(one.on_bars(daily(0))) == {}
    out = one.on_orders(order(5.0, tif=DAY))
    assert priced(out) == {1: (5.0, 110.0)}
    assert [event.ts for event in out] == [day(0)] * len(out)
    assert states(out) == {1: FINISHED}
    assert traded(one.on_bars(daily(1))) == {}


def test_what_does_not_trade_at_the_close_ends_or_waits_for_the_next_close():
    one = one_name(fill="same_close")
    one.on_bars(daily(0))
    legs = approved(
        [0, 0, 0],
        [5.0] * 3,
        kind=np.full(3, LIMIT, np.int32),
        limit=np.full(3, 105.0),
        tif=np.array([DAY, IOC, GTC], np.int32),
    )
    out = one.on_orders(legs)
    assert not any(isinstance(event, Fills) for event in out)
    assert states(out) == {1: EXPIRED, 2: CANCELLED, 3: ACCEPTED}
    assert priced(one.on_bars(daily(1, c=104.0))) == {3: (5.0, 104.0)}


def test_money_is_shared_between_the_orders_of_one_close():
    one = one_name(fill="same_close", cash=1_000.0)
    one.on_bars(daily(0))
    assert traded(one.on_orders(order(5.0))) == {1: 5.0}
    out = one.on_orders(order(9.0, id=2, tif=DAY))
    assert (traded(out), refused(out)) == ({2: 4.0}, {2: "cash"})


def test_orders_that_come_after_the_close_do_not_trade_at_it():
    one = one_name(fill="same_close")
    one.on_bars(daily(0))
    assert states(one.on_orders(order(5.0, ts=day(0) + 1))) == {1: ACCEPTED}
    assert priced(one.on_bars(daily(1))) == {1: (5.0, 110.0)}


def test_an_intraday_day_order_waits_for_later_closes_of_its_session():
    one = one_name(fill="same_close", sessions=sessions())
    one.on_bars(hourly(1, -2))
    assert states(one.on_orders(order(5.0, LIMIT, limit=99.0, tif=DAY, ts=day(1) - HOUR_NS))) == {1: ACCEPTED}
    assert states(one.on_bars(hourly(1, -1))) == {}
    assert states(one.on_bars(hourly(1, 0))) == {1: EXPIRED}


def test_the_last_bar_is_kept_with_the_state_so_that_orders_may_still_trade_at_it():
    one, other = one_name(fill="same_close", participation=0.1), one_name(fill="same_close", participation=0.1)
    one.on_bars(daily(0, volume=[100.0]))
    one.on_orders(order(6.0))
    other.load(one.save())
    assert traded(other.on_orders(order(6.0, id=2))) == {2: 4.0}


def test_a_replace_at_the_close_trades_at_the_close():
    one = one_name(fill="same_close")
    one.on_bars(daily(0))
    one.on_orders(order(5.0, LIMIT, limit=105.0))
    one.on_bars(daily(1))
    assert priced(one.on_orders(change(1, limit=115.0, ts=day(1)))) == {1: (5.0, 110.0)}


# ---- sent out of hours -----------------------------------------------------------------------------------------------


def test_an_order_sent_when_the_market_is_shut_trades_at_the_next_open_if_so_told():
    one = one_name(fill="same_close", when_closed="next_open")
    one.on_bars(daily(0))
    assert states(one.on_orders(order(5.0, tif=DAY))) == {1: ACCEPTED}
    out = one.on_bars(daily(1))
    assert (priced(out), fills(out).at.tolist()) == ({1: (5.0, 100.0)}, [daily(1).opened])


def test_what_does_not_trade_at_that_open_meets_the_close():
    one = one_name(fill="same_close", when_closed="next_open")
    one.on_bars(daily(0))
    one.on_orders(order(5.0, STOP, stop=105.0))
    out = one.on_bars(daily(1))
    assert (priced(out), fills(out).at.tolist()) == ({1: (5.0, 110.0)}, [day(1)])


def test_an_intraday_order_trades_at_its_close_in_the_session_and_at_the_next_open_after_it():
    one = one_name(fill="same_close", when_closed="next_open", sessions=sessions())
    one.on_bars(hourly(1, -1, c=101.0))
    assert priced(one.on_orders(order(5.0, ts=day(1) - HOUR_NS // 2))) == {1: (5.0, 101.0)}
    one.on_bars(hourly(1, 0, c=102.0))
    assert states(one.on_orders(order(5.0, id=2, ts=day(1)))) == {2: ACCEPTED}
    assert priced(one.on_bars(hourly(2, -12, o=103.0, c=104.0))) == {2: (5.0, 103.0)}


# ---- auctions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minutes", "filled"), [(2, True), (1, False)])
def test_rule_29_an_order_for_the_opening_auction_keeps_its_cut_off(minutes, filled):
    one = one_name(fill="open_auction")
    one.on_orders(order(5.0, ts=daily(1).opened - minutes * MINUTE_NS, tif=DAY))
    out = one.on_bars(daily(1))
    assert bool(traded(out)) == filled
    assert states(out) == {1: FINISHED if filled else EXPIRED}


@pytest.mark.parametrize(("cutoff", "minutes", "filled"), [("10min", 10, True), ("10min", 9, False), ("30s", 1, True)])
def test_rule_29_an_order_for_the_closing_auction_keeps_its_cut_off(cutoff, minutes, filled):
    one = one_name(fill="close_auction", close_cutoff=cutoff)
    one.on_orders(order(5.0, ts=day(1) - minutes * MINUTE_NS))
    assert bool(traded(one.on_bars(daily(1)))) == filled
    assert bool(traded(one.on_bars(daily(2)))) == (not filled)


@pytest.mark.parametrize("fill", [*AT, "same_close"])
def test_rule_29_auction_orders_trade_in_their_auction_whatever_the_timing(fill):
    one = one_name(fill=fill)
    one.on_bars(daily(0))
    one.on_orders(order(5.0, MOO))
    one.on_orders(order(5.0, MOC, id=2))
    assert priced(one.on_bars(daily(1))) == {1: (5.0, 100.0), 2: (5.0, 110.0)}


def test_rule_29_an_auction_takes_orders_of_its_own_volume_where_it_is_known():
    for name, kind, price in (("open_volume", MOO, 100.0), ("close_volume", MOC, 110.0)):
        of = with_extra(universe(1), name)
        one = one_name(universe=of, participation=0.1)
        one.on_orders(order(50.0, kind))
        one.on_orders(order(50.0, id=2))
        out = one.on_bars(daily(1, volume=[300.0], extra=(np.array([200.0]),)))
        assert priced(out) == {1: (20.0, price), 2: (30.0, 100.0)}
    without = one_name(participation=0.1)
    without.on_orders(order(50.0, MOC))
    without.on_orders(order(50.0, id=2))
    assert priced(without.on_bars(daily(1, volume=[300.0]))) == {2: (30.0, 100.0)}


def with_extra(of: Universe, *names: str) -> Universe:
    return Universe(**({f: getattr(of, f) for f in of.__struct_fields__} | {"extra": names}))


def test_rule_29_auctions_of_intraday_bars_are_those_of_the_calendar():
    one = one_name(sessions=sessions())
    one.on_bars(hourly(0, 0))
    one.on_orders(order(5.0, MOO, ts=day(0)))
    one.on_orders(order(5.0, MOC, id=2, ts=day(0)))
    assert priced(one.on_bars(hourly(1, -12, o=101.0))) == {1: (5.0, 101.0)}
    one.on_orders(order(5.0, MOO, id=3, ts=day(1) - 6 * HOUR_NS))
    for hour in range(-11, 0):
        assert priced(one.on_bars(hourly(1, hour))) == {}
    assert priced(one.on_bars(hourly(1, 0, c=102.0))) == {2: (5.0, 102.0)}
    assert priced(one.on_bars(hourly(2, -12, o=103.0))) == {3: (5.0, 103.0)}


def test_rule_29_an_intraday_closing_auction_takes_orders_that_came_in_its_last_bar():
    one = one_name(sessions=sessions())
    one.on_bars(hourly(1, -1))
    one.on_orders(order(5.0, MOC, ts=day(1) - 20 * MINUTE_NS, tif=DAY))
    one.on_orders(order(5.0, MOC, id=2, ts=day(1) - 5 * MINUTE_NS, tif=IOC))
    assert priced(one.on_bars(hourly(1, 0, c=102.0))) == {1: (5.0, 102.0)}
    assert priced(one.on_bars(hourly(2, 0, c=103.0))) == {2: (5.0, 103.0)}


def test_an_auction_order_may_have_a_limit():
    one = one_name()
    one.on_orders(order(5.0, MOO, limit=99.0))
    one.on_orders(order(5.0, MOC, id=2, limit=111.0))
    assert priced(one.on_bars(daily(1))) == {2: (5.0, 110.0)}
    assert priced(one.on_bars(daily(2, o=98.0))) == {1: (5.0, 98.0)}


@pytest.mark.parametrize(
    "options",
    [
        {"fill": "open_auction"},
        {"fill": "close_auction"},
        {"fill": "same_close", "when_closed": "next_open"},
        {"price_limit": 0.1},
    ],
)
def test_bars_below_a_day_without_a_calendar_are_refused_where_the_session_must_be_known(options):
    one = one_name(**options)
    with pytest.raises(ConfigError, match="set feed.calendar, e.g. calendar: XNYS"):
        one.on_bars(hourly(1, 0))


def test_an_auction_order_on_bars_below_a_day_without_a_calendar_is_refused():
    one = one_name()
    one.on_bars(hourly(1, -1))
    assert refused(one.on_orders(order(5.0, MOC, ts=day(1) - HOUR_NS))) == {1: "auction"}


# ---- sessions --------------------------------------------------------------------------------------------------------


def test_rule_12_an_intraday_day_order_ends_with_the_close_of_its_session_by_the_calendar():
    one = one_name(sessions=sessions())
    one.on_bars(hourly(1, -2))
    one.on_orders(order(5.0, LIMIT, limit=90.0, tif=DAY, ts=day(1) - HOUR_NS))
    assert states(one.on_bars(hourly(1, -1))) == {}
    assert states(one.on_bars(hourly(1, 0))) == {1: EXPIRED}
    assert one.on_timer(Timer(ts=day(1), name="session_closed", due=day(1))) is None


def test_rule_12_a_day_order_sent_after_the_last_bar_is_one_of_the_next_session():
    one = one_name(sessions=sessions())
    one.on_bars(hourly(1, 0))
    one.on_orders(order(5.0, LIMIT, limit=90.0, tif=DAY, ts=day(1)))
    assert one.on_timer(Timer(ts=day(1), name="session_closed", due=day(1))) is None
    assert states(one.on_bars(hourly(2, -12))) == {}
    assert states(one.on_bars(hourly(2, 0))) == {1: EXPIRED}


# ---- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"when_closed": "never"}, "when_closed 'never' is unknown"),
        ({"participation": 0.0}, "participation must be above 0"),
        ({"participation": 1.5}, "participation must be above 0"),
        ({"price_limit": 1.0}, "price_limit must be above 0"),
        ({"open_cutoff": "soon"}, "open_cutoff must be a duration such as 2min"),
        ({"close_cutoff": "-2min"}, "close_cutoff must be a duration"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_what_may_stand_there(options, said):
    with pytest.raises(ValueError, match=said):
        broker(**options)


def test_a_book_between_the_slices_does_not_matter_to_a_close():
    one = one_name(fill="same_close", cash=0.0)
    one.on_bars(daily(0))
    one.on_book(book(day(0), [110.0], cash=550.0))
    assert traded(one.on_orders(order(9.0))) == {1: 5.0}
