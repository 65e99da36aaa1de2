"""Limit and stop prices of targets into orders, and what becomes of those that rest."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.costs.bps import Bps
from components.optimizers.latest import Latest
from components.optimizers.paying import Sizing
from components.optimizers.priced import Prices, on_tick, orders_toward, prices_of
from engine.events import Book, LegAction, Note, OpenOrders, OrderKind, Orders
from engine.ids import OrderIds
from engine.universe import Universe, universe_of
from tests.make import book, day, target

NAN = np.nan
LIMIT, STOP, STOP_LIMIT, MARKET = OrderKind.LIMIT, OrderKind.STOP, OrderKind.STOP_LIMIT, OrderKind.MARKET
NEW, CANCEL, REPLACE = LegAction.NEW, LegAction.CANCEL, LegAction.REPLACE


def sizing(tick: float = 0.01, *, universe: Universe | None = None, lot: float = 1.0, **options: Any) -> Sizing:
    given_ = {"reserve_bps": 0.0, "min_order_value": 0.0, "band": 0.0} | options
    where = universe_of(("A", "B", "C"), tick=tick, lot=lot) if universe is None else universe
    return Sizing(where, OrderIds("s", "o"), Bps(), "opt", **given_)


def prices(limit: list[float] | None = None, stop: list[float] | None = None) -> Prices:
    none = [NAN] * len(limit or stop or [])
    return Prices(np.array(limit or none, float), np.array(stop or none, float))


def resting(*rows: tuple[int, int, float, OrderKind, float, float], parent: int = 0) -> OpenOrders:
    """Orders as (id, symbol, left, kind, limit, stop)."""
    ids, symbol, left, kind, limit, stop = zip(*rows, strict=True)
    return OpenOrders(
        ids=np.array(ids, np.uint64),
        parent=np.full(len(rows), parent, np.uint64),
        symbol=np.array(symbol, np.int32),
        left=np.array(left, float),
        kind=np.array(kind, np.int32),
        limit=np.array(limit, float),
        stop=np.array(stop, float),
    )


def place(
    open_orders: OpenOrders | None = None, *, cash: float = 1e6, qty: Any = (0, 0, 0), triggered: bool = False
) -> Book:
    """A book marked at 10, whose working shares are those of the open orders that need no trigger."""
    where = book(day(0), [10.0] * 3, cash=cash, qty=list(qty))
    if open_orders is None:
        return where
    live = triggered | (open_orders.kind == MARKET) | (open_orders.kind == LIMIT) | (open_orders.kind > 4)
    working = np.bincount(open_orders.symbol, weights=np.where(live, open_orders.left, 0.0), minlength=3)
    return msgspec.structs.replace(where, open_orders=open_orders, working=working.astype(float))


def answer(
    wanted: Any, where: Book, wish: Prices | None, what: Sizing | None = None, status: Any = (0, 0, 0)
) -> tuple[Any, ...]:
    latest = Latest(np.array(status, np.int32))
    return orders_toward(what or sizing(), np.array(wanted, float), np.zeros(3), where, latest, wish)


def sent(events: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Legs as (action, ref, symbol, qty, kind, limit, stop), NaN as None."""
    orders = [event for event in events if isinstance(event, Orders)]
    if not orders:
        return []
    (o,) = orders
    columns = (o.action, o.ref, o.symbol, o.qty, o.kind, o.limit, o.stop)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [tuple(None if value != value else value for value in row) for row in rows]


def notes(events: tuple[Any, ...]) -> dict[str, list[int]]:
    return {event.kind: event.symbol.tolist() for event in events if isinstance(event, Note)}


# ---- new orders ------------------------------------------------------------------------------------------------------


def test_prices_make_limit_stop_and_stop_limit_orders() -> None:
    legs = sent(answer([50, 60, 70], place(), prices([9.0, NAN, 11.5], [NAN, 11.0, 11.25])))
    assert legs == [
        (NEW, 0, 0, 50, LIMIT, 9.0, None),
        (NEW, 0, 1, 60, STOP, None, 11.0),
        (NEW, 0, 2, 70, STOP_LIMIT, 11.5, 11.25),
    ]


@pytest.mark.parametrize(
    ("wanted", "held", "limit", "stop", "placed"),
    [
        (50, 0, 9.019, NAN, (9.01, None)),  # a limit buy rounds down
        (0, 50, 11.011, NAN, (11.02, None)),  # a limit sale up
        (50, 0, NAN, 11.011, (None, 11.02)),  # a buy stop up: never earlier than asked
        (0, 50, NAN, 9.019, (None, 9.01)),  # a sell stop down
        (50, 0, 11.519, 11.011, (11.51, 11.02)),
        (0, 50, 8.511, 9.019, (8.52, 9.01)),
        (50, 0, 9.02, NAN, (9.02, None)),  # on the tick already
        (50, 0, 9.02 - 1e-13, NAN, (9.02, None)),  # and but for a division's last bit
    ],
)
def test_rule_35_prices_round_to_ticks_away_from_the_market(
    wanted: float, held: float, limit: float, stop: float, placed: tuple[float | None, float | None]
) -> None:
    """Rule 35: rounding."""
    (leg,) = sent(answer([wanted, 0, 0], place(qty=(held, 0, 0)), prices([limit, NAN, NAN], [stop, NAN, NAN])))
    assert leg[5:] == placed


@given(price=st.floats(0.02, 1e5), tick=st.sampled_from([0.01, 0.05, 0.25, 0.0001, 1 / 32, 0.3, 0.0]))
def test_rule_35_a_price_on_its_tick_is_near_on_the_right_side_and_stays(price: float, tick: float) -> None:
    for up in (False, True):
        (rounded,) = on_tick(np.array([price]), np.array([tick]), np.array([up]))
        slack = 1e-8 * max(tick, 1e-12) + 1e-12 * price
        assert abs(rounded - price) <= tick + slack
        assert rounded >= price - slack if up else rounded <= price + slack
        assert on_tick(np.array([rounded]), np.array([tick]), np.array([up]))[0] == rounded
        if tick:
            assert rounded / tick == pytest.approx(round(rounded / tick), abs=1e-6)


def test_of_several_targets_the_first_with_a_price_counts() -> None:
    one = msgspec.structs.replace(target(day(0), [1, 1, 1]), limit=np.array([NAN, 9.0, NAN]))
    two = msgspec.structs.replace(target(day(0), [1, 1, 1]), limit=np.array([8.0, 8.0, NAN]))
    found = prices_of((one, two))
    assert found is not None
    np.testing.assert_array_equal(found.limit, [8.0, 9.0, NAN])
    assert prices_of((target(day(0), [1, 1, 1]),)) is None


@pytest.mark.parametrize("price", [0.0, -1.0, np.inf, 0.004])
@pytest.mark.parametrize("key", ["limit", "stop"])
def test_a_price_that_cannot_be_one_leaves_its_symbol_alone_and_says_so(price: float, key: str) -> None:
    wish = prices(**{key: [price, NAN, NAN]})
    events = answer([50, 60, 0], place(), wish)
    assert sent(events) == [(NEW, 0, 1, 60, MARKET, None, None)]
    assert notes(events) == {"price": [0]}


def test_auction_orders_carry_a_limit_of_their_own() -> None:
    what = sizing(order="market_on_close")
    legs = sent(answer([50, 60, 0], place(), prices([9.5, NAN, NAN]), what))
    moc = OrderKind.MARKET_ON_CLOSE
    assert legs == [(NEW, 0, 0, 50, moc, 9.5, None), (NEW, 0, 1, 60, moc, None, None)]
    rests = resting((1, 0, 50, moc, 9.5, NAN), (2, 1, 60, moc, NAN, NAN))
    assert answer([50, 60, 0], place(rests), prices([9.5, NAN, NAN]), what) == ()


# ---- money -----------------------------------------------------------------------------------------------------------


def test_a_limit_buy_needs_the_money_of_its_limit_and_a_stop_that_of_its_trigger() -> None:
    for wish, qty in ((prices([8.0, NAN, NAN]), 125), (prices(stop=[12.5, NAN, NAN]), 80)):
        events = answer([500, 0, 0], place(cash=1000.0), wish)
        assert [leg[3] for leg in sent(events)] == [qty]
        assert notes(events) == {"cut": [0]}


def test_the_proceeds_of_a_sale_at_a_price_are_not_spent_before_they_come() -> None:
    where = place(cash=100.0, qty=(100, 0, 0))
    at_price = sent(answer([0, 50, 0], where, prices([11.0, NAN, NAN])))
    assert [(leg[2], leg[3]) for leg in at_price] == [(0, -100), (1, 10)]
    at_market = sent(answer([0, 50, 0], where, None))
    assert [(leg[2], leg[3]) for leg in at_market] == [(0, -100), (1, 50)]


def test_stops_that_wait_keep_their_money() -> None:
    rests = resting((1, 0, 50, STOP, NAN, 11.0))
    legs = sent(answer([50, 60, 0], place(rests, cash=1000.0), prices(stop=[11.0, NAN, NAN])))
    assert [(leg[2], leg[3]) for leg in legs] == [(1, 45)]


# ---- what rests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "limit", "stop"),
    [
        ((7, 0, 50, LIMIT, 9.01, NAN), 9.019, NAN),
        ((7, 0, 50, STOP, NAN, 11.02), NAN, 11.011),
        ((7, 0, 50, STOP_LIMIT, 11.5, 11.02), 11.5, 11.02),
    ],
)
def test_rule_34_an_order_that_rests_as_wanted_is_left_alone(row: Any, limit: float, stop: float) -> None:
    """Rule 34: targets are idempotent; stops that have not triggered count too, triggered ones once."""
    wish = prices([limit, NAN, NAN], [stop, NAN, NAN])
    assert answer([50, 0, 0], place(resting(row)), wish) == ()
    if row[3] != LIMIT:
        assert answer([50, 0, 0], place(resting(row), triggered=True), wish) == ()


@pytest.mark.parametrize(
    ("wanted", "limit", "leg"),
    [
        (50, 9.5, (REPLACE, 7, 0, None, LIMIT, 9.5, None)),  # another price
        (80, 9.0, (REPLACE, 7, 0, 80, LIMIT, None, None)),  # more of it
        (20, 9.0, (REPLACE, 7, 0, 20, LIMIT, None, None)),  # less
        (80, 9.5, (REPLACE, 7, 0, 80, LIMIT, 9.5, None)),
        (0, 9.0, (CANCEL, 7, 0, 0, LIMIT, None, None)),  # none of it
        (-50, 9.0, (CANCEL, 7, 0, 0, LIMIT, None, None)),
        (50, NAN, (CANCEL, 7, 0, 0, LIMIT, None, None)),  # at the market now: sent once it is gone
    ],
)
def test_rule_40_an_order_that_is_no_longer_wanted_is_replaced_or_cancelled(
    wanted: float, limit: float, leg: Any
) -> None:
    """Rule 40: while an order is being cancelled nothing new is sent for its symbol, since it may still fill."""
    where = place(resting((7, 0, 50, LIMIT, 9.0, NAN)))
    assert sent(answer([wanted, 0, 0], where, prices([limit, NAN, NAN]))) == [leg]


def test_a_partial_fill_leaves_the_rest_of_an_order_as_it_is() -> None:
    where = place(resting((7, 0, 30, LIMIT, 9.0, NAN)), qty=(20, 0, 0))
    assert answer([50, 0, 0], where, prices([9.0, NAN, NAN])) == ()


def test_a_target_of_nan_leaves_what_rests() -> None:
    where = place(resting((7, 0, 50, LIMIT, 9.0, NAN), (8, 1, 5, STOP, NAN, 12.0)))
    assert answer([NAN, NAN, 0], where, None) == ()


def test_a_stop_that_is_not_wanted_any_more_is_cancelled() -> None:
    where = place(resting((7, 0, -50, STOP, NAN, 9.0)), qty=(50, 0, 0))
    assert sent(answer([50, 0, 0], where, None)) == [(CANCEL, 7, 0, 0, STOP, None, None)]
    assert answer([0, 0, 0], where, prices(stop=[9.0, NAN, NAN])) == ()


def test_a_trailing_stop_and_the_orders_of_an_execution_policy_stay() -> None:
    trailing = resting((7, 0, -50, OrderKind.TRAILING_STOP, NAN, 9.0), (8, 1, 5, LIMIT, 9.0, NAN))
    where = place(trailing, qty=(50, 0, 0))
    assert sent(answer([50, 5, 0], where, None)) == [(CANCEL, 8, 1, 0, LIMIT, None, None)]
    assert sent(answer([0, 5, 0], where, prices([NAN, 9.0, NAN]))) == [(CANCEL, 7, 0, 0, 4, None, None)]
    children = place(resting((8, 1, 5, LIMIT, 9.0, NAN), parent=3))
    assert answer([0, 5, 0], children, None) == ()
    assert sent(answer([0, 5, 0], children, prices([9.5, 9.5, 9.5]))) == []


def test_several_orders_of_a_symbol_are_joined_or_cancelled() -> None:
    two = place(resting((7, 0, 50, LIMIT, 9.0, NAN), (8, 0, 20, LIMIT, 9.0, NAN)))
    assert answer([70, 0, 0], two, prices([9.0, NAN, NAN])) == ()
    assert sent(answer([75, 0, 0], two, prices([9.0, NAN, NAN]))) == [(NEW, 0, 0, 5, LIMIT, 9.0, None)]
    gone = [(CANCEL, 7, 0, 0, LIMIT, None, None), (CANCEL, 8, 0, 0, LIMIT, None, None)]
    assert sent(answer([60, 0, 0], two, prices([9.0, NAN, NAN]))) == gone
    assert sent(answer([70, 0, 0], two, prices([9.1, NAN, NAN]))) == gone


def test_a_resting_market_order_is_not_touched_by_a_fraction_of_a_share() -> None:
    """A weight moves by less than a lot: the order for an auction rests as it is."""
    rests = resting((7, 0, 50, OrderKind.MARKET_ON_OPEN, NAN, NAN), (8, 1, 5, LIMIT, 9.0, NAN))
    what = sizing(order="market_on_open", time_in_force="gtc")
    assert sent(answer([49.6, NAN, 0], place(rests), None, what)) == []


def test_no_order_is_replaced_while_its_name_is_halted() -> None:
    where = place(resting((7, 0, 50, LIMIT, 9.0, NAN)))
    events = answer([80, 0, 0], where, prices([9.5, NAN, NAN]), status=(2, 0, 0))
    assert sent(events) == []
    assert notes(events) == {"untradable": [0]}


def test_rule_35_a_change_below_the_least_value_leaves_a_resting_order() -> None:
    where = place(resting((7, 0, 50, LIMIT, 9.0, NAN)))
    small = sizing(min_order_value=100.0)
    assert sent(answer([55, 0, 0], where, prices([9.0, NAN, NAN]), small)) == []
    assert sent(answer([55, 0, 0], where, prices([9.5, NAN, NAN]), small))[0][3] is None


def test_rule_35_odd_lots_only_close() -> None:
    lots = sizing(lot=10.0)
    where = place(qty=(37, 37, 0))
    legs = sent(answer([0, 12, 25], where, prices([11.0, 11.0, 9.0]), lots))
    assert [(leg[2], leg[3]) for leg in legs] == [(0, -37), (1, -20), (2, 20)]


# ---- properties ------------------------------------------------------------------------------------------------------


def accepted(orders: Orders | None, where: Book) -> Book:
    """What a broker that does as told, and fills nothing, makes of the book."""
    if orders is None:
        return where
    old = where.open_orders
    rows = [
        [int(i), int(s), float(left), int(k), float(lim), float(stop)]
        for i, s, left, k, lim, stop in zip(old.ids, old.symbol, old.left, old.kind, old.limit, old.stop, strict=True)
    ]
    for j in range(len(orders.ids)):
        known = [row for row in rows if row[0] == int(orders.ref[j])]
        if orders.action[j] == NEW:
            new = (orders.ids[j], orders.symbol[j], orders.qty[j], orders.kind[j], orders.limit[j], orders.stop[j])
            rows.append([int(new[0]), int(new[1]), float(new[2]), int(new[3]), float(new[4]), float(new[5])])
        elif orders.action[j] == CANCEL:
            rows.remove(known[0])
        else:
            for column, value in ((2, orders.qty[j]), (4, orders.limit[j]), (5, orders.stop[j])):
                known[0][column] = known[0][column] if np.isnan(value) else float(value)
    open_orders = resting(*(tuple(row) for row in rows)) if rows else place().open_orders
    if not rows:
        return msgspec.structs.replace(where, open_orders=open_orders, working=np.zeros(3))
    live = (open_orders.kind != STOP) & (open_orders.kind != STOP_LIMIT)
    working = np.bincount(open_orders.symbol, weights=np.where(live, open_orders.left, 0.0), minlength=3)
    return msgspec.structs.replace(where, open_orders=open_orders, working=working.astype(float))


some_price = st.sampled_from([NAN, NAN, 8.0, 9.004, 9.5, 11.0, 12.345])
some_wish = st.tuples(
    st.lists(st.sampled_from([NAN, -30.0, 0.0, 12.5, 40.0, 55.0]), min_size=3, max_size=3),
    st.lists(some_price, min_size=3, max_size=3),
    st.lists(some_price, min_size=3, max_size=3),
)


@settings(max_examples=300, deadline=None)
@given(wishes=st.lists(some_wish, min_size=1, max_size=5), qty=st.lists(st.integers(-50, 80), min_size=3, max_size=3))
def test_rule_34_whatever_came_before_a_target_given_three_times_is_met_and_sends_no_more(
    wishes: list[Any], qty: list[int]
) -> None:
    """After cancels have had their slice: what rests is what is wanted, at its prices, and nothing more is sent."""
    what, where = sizing(afford=False), place(qty=qty)
    for k, (wanted, limit, stop) in enumerate([*wishes, wishes[-1], wishes[-1]]):
        where = msgspec.structs.replace(where, ts=day(k))
        events = answer(wanted, where, prices(limit, stop), what)
        orders = next((event for event in events if isinstance(event, Orders)), None)
        where = accepted(orders, where)
    wanted, limit, stop = wishes[-1]
    again = answer(wanted, msgspec.structs.replace(where, ts=day(99)), prices(limit, stop), what)
    assert sent(again) == []
    asked = np.bincount(where.open_orders.symbol, weights=where.open_orders.left, minlength=3)
    for s in range(3):
        if wanted[s] == wanted[s]:
            assert abs(where.qty[s] + asked[s] - wanted[s]) < 1
            mine = where.open_orders.symbol == s
            assert (np.isnan(where.open_orders.limit[mine]) == np.isnan(limit[s])).all()
            assert (np.isnan(where.open_orders.stop[mine]) == np.isnan(stop[s])).all()


def test_ten_thousand_resting_orders_are_looked_through_once() -> None:
    """No pair of orders is compared: twice the book is at most about twice the steps."""
    n = 10_000
    universe = universe_of(tuple(f"S{i}" for i in range(n)), tick=0.01)
    rng = np.random.default_rng(0)
    limit = np.round(rng.uniform(5, 9, n), 2)
    rests = resting(*((i + 1, i, 10.0, LIMIT, limit[i], NAN) for i in range(n)))
    where = msgspec.structs.replace(
        book(day(0), np.full(n, 10.0), cash=1e9), open_orders=rests, working=np.full(n, 10.0)
    )
    what, latest = sizing(universe=universe), Latest(np.zeros(n, np.int32))
    wish = Prices(limit, np.full(n, NAN))
    wanted = np.full(n, 10.0)
    assert orders_toward(what, wanted, np.zeros(n), where, latest, wish) == ()
    moved = Prices(limit + 0.01, wish.stop)
    (orders,) = orders_toward(what, wanted, np.zeros(n), where, latest, moved)
    assert (orders.action == REPLACE).all()
    assert np.isnan(orders.qty).all()
