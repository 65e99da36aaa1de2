"""Nothing that comes later in a bar decides what trades before it: neither its money nor its prices."""

from typing import Any

import numpy as np
import pytest

from engine.events import DAY_NS, HOUR_NS, Fills, OrderKind, OrderState, TimeInForce
from tests.components.brokers.made import broker, fills, order, priced, sessions, states, traded, universe
from tests.components.brokers.routed import Routed
from tests.make import bars, day

MARKET, LIMIT, STOP, STOP_LIMIT, TRAILING, MOO, MOC = OrderKind
DAY, GTC, GTD, IOC, FOK = TimeInForce

# ---- money -----------------------------------------------------------------------------------------------------------


def holding_a(*, cash: float = 10_000.0, **options: Any) -> Routed:
    """An account that holds 100 shares of A, bought at 100 on day 1."""
    one = Routed(universe(2), cash=cash, **options)
    flat = [100.0, 100.0]
    one.feed(bars(day(0), flat, vwap=flat))
    one.send(day(0), [0], [100.0])
    one.feed(bars(day(1), flat, vwap=flat))
    return one


LATE_SALES = [
    ({"fill": "next_close"}, [MARKET, MOO]),
    ({"fill": "next_vwap"}, [MARKET, MOO]),
    ({"fill": "close_auction"}, [MARKET, MOO]),
    ({"fill": "next_open"}, [MOC, MARKET]),
    ({"fill": "same_close", "when_closed": "next_open"}, [LIMIT, MARKET]),
]


@pytest.mark.parametrize(("options", "kinds"), LATE_SALES)
def test_what_sells_at_the_close_does_not_pay_for_what_buys_at_the_open(options, kinds):
    one = holding_a(**options)
    one.send(day(1), [0, 1], [-100.0, 100.0], kind=np.array(kinds, np.int32), limit=np.array([110.0, np.nan]))
    one.feed(bars(day(2), [120.0, 100.0], open=[100.0, 100.0], vwap=[110.0, 100.0]))
    assert [(symbol, qty) for symbol, qty, _ in one.traded()] == [(0, -100.0)]
    assert one.rules() == ["cash"]


@pytest.mark.parametrize("fill", ["next_close", "next_vwap"])
def test_what_sells_at_the_open_pays_for_what_buys_at_the_close_of_the_bar(fill):
    one = holding_a(fill=fill)
    one.send(day(1), [1, 0], [100.0, -100.0], kind=np.array([MARKET, MOO], np.int32))
    one.feed(bars(day(2), [120.0, 100.0], open=[100.0, 100.0], vwap=[110.0, 100.0]))
    assert one.traded() == [(0, -100.0, 100.0), (1, 100.0, 100.0)]


def test_at_one_close_a_sale_in_the_auction_pays_for_a_purchase_beside_it():
    one = holding_a(fill="next_close")
    one.send(day(1), [1, 0], [100.0, -100.0], kind=np.array([MARKET, MOC], np.int32))
    one.feed(bars(day(2), [100.0, 100.0]))
    assert one.traded() == [(0, -100.0, 100.0), (1, 100.0, 100.0)]


@pytest.mark.parametrize("close", [50.0, 100.0, 200.0])
@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"fill": "same_close", "when_closed": "next_open"}, MARKET),
        ({"fill": "next_close"}, MOO),
        ({"fill": "next_vwap"}, MOO),
        ({"fill": "close_auction"}, MOO),
    ],
)
def test_the_buying_power_of_a_trade_at_the_open_is_that_at_the_opens(options, kind, close):
    one = holding_a(leverage=2.0, **options)
    one.send(day(1), [1], [150.0], kind=np.array([kind], np.int32))
    one.feed(bars(day(2), [close, 100.0], open=[100.0] * 2, high=[200.0, 100.0], low=[50.0, 100.0], vwap=[close, 100]))
    assert one.traded() == [(1, 100.0, 100.0)]  # 2 * 10,000 of equity less 10,000 of A


@pytest.mark.parametrize(("close", "bought"), [(50.0, 50.0), (100.0, 100.0), (125.0, 125.0)])
def test_the_buying_power_of_a_trade_at_the_close_is_that_at_the_closes(close, bought):
    one = holding_a(leverage=2.0)
    one.send(day(1), [1], [150.0], kind=np.array([MOC], np.int32))
    one.feed(bars(day(2), [close, 100.0], open=[100.0, 100.0]))
    assert one.traded() == [(1, bought, 100.0)]  # the equity is the value of A


def test_a_sale_at_the_close_finds_only_the_shares_that_the_open_has_brought():
    one = broker(cash=300.0, fill="next_close")
    one.on_orders(order(5.0, MOO, tif=IOC))
    one.on_orders(order(-5.0, STOP, stop=100.0, id=2))
    out = one.on_bars(bars(day(1), [100.0] * 3))
    assert traded(out) == {1: 3.0, 2: -3.0}


# ---- what is immediate -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tif", [IOC, FOK])
@pytest.mark.parametrize(
    ("kind", "prices"),
    [
        (LIMIT, {"limit": 95.0}),
        (STOP, {"stop": 105.0}),
        (STOP_LIMIT, {"stop": 105.0, "limit": 107.0}),
        (TRAILING, {"trail": 3.0}),
    ],
)
def test_an_immediate_order_trades_at_the_open_or_ends_with_it(tif, kind, prices):
    one = broker()
    one.on_orders(order(5.0, kind, tif=tif, **prices))
    out = one.on_bars(bars(day(1), [100.0] * 3, open=[100.0] * 3, high=[110.0] * 3, low=[90.0] * 3))
    assert (traded(out), states(out)) == ({}, {1: OrderState.CANCELLED})


@pytest.mark.parametrize("tif", [IOC, FOK])
@pytest.mark.parametrize(("kind", "prices"), [(LIMIT, {"limit": 100.0}), (STOP, {"stop": 100.0})])
def test_an_immediate_order_that_the_open_satisfies_trades_there(tif, kind, prices):
    one = broker()
    one.on_orders(order(5.0, kind, tif=tif, **prices))
    out = one.on_bars(bars(day(1), [104.0] * 3, open=[100.0] * 3, high=[110.0] * 3, low=[90.0] * 3))
    assert (priced(out), fills(out).at.tolist()) == ({1: (5.0, 100.0)}, [day(1) - 13 * HOUR_NS // 2])


def test_an_immediate_order_sent_out_of_hours_does_not_wait_for_the_close_after_its_open():
    one = broker(fill="same_close", when_closed="next_open")
    one.on_orders(order(5.0, LIMIT, limit=95.0, tif=IOC))
    out = one.on_bars(bars(day(1), [90.0] * 3, open=[100.0] * 3))
    assert (traded(out), states(out)) == ({}, {1: OrderState.CANCELLED})


def test_a_dated_stop_whose_date_lies_inside_a_bar_is_tried_at_the_open_and_ends_untriggered():
    one = broker()
    one.on_orders(order(5.0, STOP, stop=105.0, tif=GTD, expires=day(1) - HOUR_NS))
    out = one.on_bars(bars(day(1), [108.0] * 3, open=[100.0] * 3, high=[110.0] * 3))
    assert (traded(out), states(out)) == ({}, {1: OrderState.EXPIRED})
    again = broker()
    again.on_orders(order(5.0, STOP, stop=105.0, tif=GTD, expires=day(1) - HOUR_NS))
    assert priced(again.on_bars(bars(day(1), [108.0] * 3, open=[106.0] * 3))) == {1: (5.0, 106.0)}


# ---- the rest of the bar is bent -------------------------------------------------------------------------------------

TIMED = [
    {"fill": "next_open"},
    {"fill": "next_close"},
    {"fill": "next_vwap"},
    {"fill": "open_auction"},
    {"fill": "close_auction"},
    {"fill": "same_close"},
    {"fill": "same_close", "when_closed": "next_open"},
]
ACCOUNTS: list[dict[str, Any]] = [
    {},
    {"settlement_days": 2},
    {"leverage": 2.0},
    {"short": True, "leverage": 1.5, "maintenance": 0.3},
    {"short": True, "participation": 0.1, "price_limit": 0.1},
]


def some_bar(random: np.random.Generator, k: int, opening: Any, volume: Any, *, half: bool) -> Any:
    """A bar whose open and volume are given and whose other prices are drawn."""
    spread = np.exp(random.normal(0.0, 0.06, (4, len(opening))))
    close, vwap = opening * spread[0], opening * spread[1]
    high = np.maximum(np.maximum(opening, close), vwap) * np.maximum(spread[2], 1.0)
    low = np.minimum(np.minimum(opening, close), vwap) * np.minimum(spread[3], 1.0)
    times = {"interval_ns": 13 * HOUR_NS // 4, "opened": day(k) - 13 * HOUR_NS // 2} if half else {}
    end = times["opened"] + times["interval_ns"] if half else day(k)
    prices = {"open": opening, "high": high, "low": low, "vwap": vwap, "volume": volume}
    return bars(end, close, **prices, **times)


def some_orders(random: np.random.Generator, one: Routed, ts: int, prices: Any) -> None:
    """Orders of every kind and time in force around these prices, not too few."""
    count = int(random.integers(3, 9))
    symbol = random.integers(0, len(prices), count)
    side = np.where(random.random(count) < 0.6, 1.0, -1.0)
    near = prices[symbol]
    one.send(
        ts,
        symbol.tolist(),
        (side * random.integers(1, 60, count)).tolist(),
        kind=random.choice([*OrderKind, MOO], count).astype(np.int32),
        limit=near * np.exp(random.normal(0.0, 0.04, count)),
        stop=near * np.exp(random.normal(0.0, 0.04, count)),
        trail=near * random.uniform(0.005, 0.05, count),
        tif=random.integers(0, len(TimeInForce), count).astype(np.int32),
        expires=ts + random.integers(1, 3 * DAY_NS, count),
    )


def at_the_open(seed: int, bend: int, options: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The fills stamped at the open of the last bar; all but its open and its volume depends on `bend`."""
    random = np.random.default_rng(seed)
    half = bool(random.random() < 0.3)
    one = Routed(universe(3), cash=10_000.0, sessions=sessions(), **options)
    opening = np.full(3, 100.0)
    for k in range(4):
        opening = opening * np.exp(random.normal(0.0, 0.03, 3))
        volume = random.integers(50, 2_000, 3).astype(np.float64)
        of_prices = np.random.default_rng((seed, bend)) if k == 3 else random
        bar = some_bar(of_prices, k, opening, volume, half=half)
        one.feed(bar)
        if k < 3:
            some_orders(random, one, bar.ts, bar.close)
            opening = bar.close
    (fill,) = [event for event in one.out if isinstance(event, Fills)]
    rows = zip(fill.at, fill.order_ids, fill.qty, fill.price, fill.fees.sum(1), strict=True)
    return [tuple(map(float, row)) for row in rows if row[0] == bar.opened]


@pytest.mark.parametrize("account", ACCOUNTS, ids=str)
@pytest.mark.parametrize("timing", TIMED, ids=lambda timing: "-".join(timing.values()))
def test_what_happens_later_in_a_bar_changes_no_trade_at_its_open(timing, account):
    found = 0
    for seed in range(16):
        first, *others = (at_the_open(seed, bend, timing | account) for bend in range(3))
        assert others == [first, first]
        found += len(first)
    assert found > 2  # market-on-open orders at the least
