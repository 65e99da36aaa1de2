"""The fill rules: a table of cases, and a plain scalar account of the same rules beside the arrays."""

from math import inf, isnan, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.brokers import fill_rules as rules
from engine.events import OrderKind, Status
from tests.make import bars, day

MARKET, LIMIT, STOP, STOP_LIMIT, TRAILING, MOO, MOC = OrderKind
OPEN, STOPS, LIMITS = rules.OPEN, rules.STOPS, rules.LIMITS


def terms(kind, *, limit=nan, stop=nan, trail=nan, best=nan, triggered=False) -> rules.Terms:
    columns = {"limit": limit, "stop": stop, "trail": trail, "best": best}
    arrays = {name: np.atleast_1d(np.array(value, float)) for name, value in columns.items()}
    kinds = np.atleast_1d(np.array(kind, np.int32))
    return rules.Terms(kind=kinds, triggered=np.atleast_1d(np.array(triggered, bool)), **arrays)


def prices(o, h, low, c) -> rules.Prices:
    columns = {"open": o, "high": h, "low": low, "close": c}
    return rules.Prices(**{name: np.atleast_1d(np.array(value, float)) for name, value in columns.items()})


# ---- continuous trading: one line a case, of a purchase; a sale is checked as its mirror image -----------------------

BAR = (100.0, 110.0, 90.0, 105.0)  # open, high, low, close
NONE = nan
# what the order asks for, the bar, the price it trades at (NaN = none), whether it is triggered, when in the bar
CASES = [
    ("a market order trades at the open", terms(MARKET), BAR, 100, False, OPEN),
    ("a market order without an open rests", terms(MARKET), (NONE, NONE, NONE, NONE), NONE, False, OPEN),
    ("a limit above the open trades at the better open", terms(LIMIT, limit=102), BAR, 100, False, OPEN),
    ("a limit at the open trades at the open", terms(LIMIT, limit=100), BAR, 100, False, OPEN),
    ("a limit inside the bar trades at the limit", terms(LIMIT, limit=95), BAR, 95, False, LIMITS),
    ("a limit at the low is touched, not traded through", terms(LIMIT, limit=90), BAR, NONE, False, OPEN),
    ("a limit below the low rests", terms(LIMIT, limit=89), BAR, NONE, False, OPEN),
    ("a limit after a gap trades at the open", terms(LIMIT, limit=120), BAR, 100, False, OPEN),
    ("a stop below the open gaps and trades at the open", terms(STOP, stop=95), BAR, 100, True, OPEN),
    ("a stop at the open trades at the open", terms(STOP, stop=100), BAR, 100, True, OPEN),
    ("a stop inside the bar trades at its trigger", terms(STOP, stop=107), BAR, 107, True, STOPS),
    ("a stop at the high is triggered", terms(STOP, stop=110), BAR, 110, True, STOPS),
    ("a stop above the high rests", terms(STOP, stop=111), BAR, NONE, False, OPEN),
    ("a stop triggered before is a market order", terms(STOP, stop=111, triggered=True), BAR, 100, True, OPEN),
    ("a stop-limit that gaps within its limit", terms(STOP_LIMIT, stop=99, limit=101), BAR, 100, True, OPEN),
    ("a stop-limit that gaps beyond its limit waits", terms(STOP_LIMIT, stop=80, limit=85), BAR, NONE, True, OPEN),
    ("a stop-limit that gaps and falls through it", terms(STOP_LIMIT, stop=99, limit=95), BAR, 95, True, LIMITS),
    ("a stop-limit proved by the close", terms(STOP_LIMIT, stop=104, limit=106), BAR, 104, True, STOPS),
    ("a stop-limit whose close is its limit", terms(STOP_LIMIT, stop=104, limit=105), BAR, 104, True, STOPS),
    ("a stop-limit beyond whose limit it closes", terms(STOP_LIMIT, stop=103, limit=104), BAR, NONE, True, OPEN),
    ("a stop-limit below its trigger, proved", terms(STOP_LIMIT, stop=109, limit=106), BAR, 106, True, STOPS),
    ("a stop-limit never triggered", terms(STOP_LIMIT, stop=111, limit=120), BAR, NONE, False, OPEN),
    ("a triggered one is a limit order", terms(STOP_LIMIT, stop=1, limit=95, triggered=True), BAR, 95, True, LIMITS),
    ("a wide stop-limit trades as the stop", terms(STOP_LIMIT, stop=107, limit=inf), BAR, 107, True, STOPS),
    ("a trailing stop tries the trigger it starts from", terms(TRAILING, stop=108, trail=30), BAR, 108, True, STOPS),
    ("one without starts from the open", terms(TRAILING, trail=10), BAR, 110, True, STOPS),
    ("one without, and too far", terms(TRAILING, trail=11), BAR, NONE, False, OPEN),
    ("it trails the best price before this bar", terms(TRAILING, trail=5, best=97), BAR, 102, True, STOPS),
    ("the low of this bar does not help it", terms(TRAILING, trail=15, best=100), BAR, NONE, False, OPEN),
    ("it gaps", terms(TRAILING, trail=5, best=94), BAR, 100, True, OPEN),
    ("the nearer of start and trail counts", terms(TRAILING, stop=104, trail=5, best=98), BAR, 103, True, STOPS),
    ("a stop without a high cannot be triggered inside", terms(STOP, stop=107), (100, NONE, NONE, 105), NONE, False, 0),
    ("a flat bar trades a limit at it", terms(LIMIT, limit=100), (100, 100, 100, 100), 100, False, OPEN),
]
AROUND = 200.0  # mirrored prices stay above zero


def mirrored(asked: rules.Terms) -> rules.Terms:
    fields = {name: AROUND - getattr(asked, name) for name in ("limit", "stop", "best")}
    return rules.Terms(kind=asked.kind, trail=asked.trail, triggered=asked.triggered, **fields)


@pytest.mark.parametrize(("why", "asked", "bar", "price", "triggered", "phase"), CASES, ids=[c[0] for c in CASES])
def test_continuous_trading_case_by_case(why, asked, bar, price, triggered, phase):
    got = rules.continuous(np.array([5.0]), asked, prices(*bar))
    np.testing.assert_array_equal(got.reference, [float(price)])
    assert (got.triggered[0], got.phase[0]) == (triggered, phase)
    o, h, low, c = bar
    sale = rules.continuous(np.array([-5.0]), mirrored(asked), prices(AROUND - o, AROUND - low, AROUND - h, AROUND - c))
    np.testing.assert_array_equal(sale.reference, [AROUND - price])
    assert (sale.triggered[0], sale.phase[0]) == (triggered, phase)


def test_rule_31_a_limit_fills_when_traded_through_and_at_a_touch_only_when_told_so():
    at_low = terms(LIMIT, limit=90)
    assert isnan(rules.continuous(np.ones(1), at_low, prices(*BAR)).reference[0])
    assert rules.continuous(np.ones(1), at_low, prices(*BAR), touch=True).reference[0] == 90
    below = terms(LIMIT, limit=89.99)
    assert isnan(rules.continuous(np.ones(1), below, prices(*BAR), touch=True).reference[0])


def test_rule_32_of_a_stop_and_a_target_in_one_bar_the_stop_goes_first():
    held = np.array([-5.0, -5.0])
    got = rules.continuous(held, terms([LIMIT, STOP], limit=[108, nan], stop=[nan, 92]), rules_two(BAR))
    assert got.reference.tolist() == [108.0, 92.0]
    order = rules.sequence(held, np.array([5.0, 5.0]), got.phase)
    assert order.tolist() == [1, 0]


def rules_two(bar) -> rules.Prices:
    return prices(*([p, p] for p in bar))


ONE_PRICE = [
    ("a market order", terms(MARKET), 100, False),
    ("an auction order", terms(MOO), 100, False),
    ("an auction order with a limit above", terms(MOC, limit=101), 100, False),
    ("an auction order with a limit below", terms(MOC, limit=99), NONE, False),
    ("a limit at the price", terms(LIMIT, limit=100), 100, False),
    ("a limit above it trades at the price", terms(LIMIT, limit=104), 100, False),
    ("a limit below it", terms(LIMIT, limit=99), NONE, False),
    ("a stop below it trades at the price", terms(STOP, stop=97), 100, True),
    ("a stop at it", terms(STOP, stop=100), 100, True),
    ("a stop above it", terms(STOP, stop=101), NONE, False),
    ("a stop-limit within both", terms(STOP_LIMIT, stop=99, limit=101), 100, True),
    ("a stop-limit beyond its limit is triggered", terms(STOP_LIMIT, stop=98, limit=99), NONE, True),
    ("a stop-limit before its trigger", terms(STOP_LIMIT, stop=101, limit=102), NONE, False),
    ("a triggered stop-limit", terms(STOP_LIMIT, stop=101, limit=102, triggered=True), 100, True),
    ("a trailing stop that meets its first price", terms(TRAILING, trail=1), NONE, False),
    ("a trailing stop", terms(TRAILING, trail=2, best=98), 100, True),
    ("a trailing stop that is too far", terms(TRAILING, trail=2.5, best=98), NONE, False),
]


@pytest.mark.parametrize(("why", "asked", "price", "triggered"), ONE_PRICE, ids=[c[0] for c in ONE_PRICE])
def test_trading_at_one_price_case_by_case(why, asked, price, triggered):
    got = rules.at_one_price(np.array([5.0]), asked, np.array([100.0]))
    np.testing.assert_array_equal(got.reference, [float(price)])
    assert got.triggered[0] == triggered
    sale = rules.at_one_price(np.array([-5.0]), mirrored(asked), np.array([AROUND - 100.0]))
    np.testing.assert_array_equal(sale.reference, [AROUND - price])
    assert sale.triggered[0] == triggered


@pytest.mark.parametrize("asked", [case[1] for case in CASES])
def test_where_there_is_no_price_nothing_trades_triggers_or_moves(asked):
    for got in (
        rules.continuous(np.ones(1), asked, prices(nan, 300, 1, 100)),
        rules.at_one_price(np.ones(1), asked, np.array([nan])),
    ):
        assert isnan(got.reference[0])
        np.testing.assert_array_equal(got.triggered, asked.triggered)
        np.testing.assert_array_equal(got.best, asked.best)


def test_a_trailing_stop_follows_the_extremes_after_it_was_tried():
    up = prices(100, 112, 99, 111)
    sale = rules.continuous(-np.ones(1), terms(TRAILING, trail=13), up)
    assert (isnan(sale.reference[0]), sale.best[0]) == (True, 112.0)
    then = rules.continuous(-np.ones(1), terms(TRAILING, trail=13, best=112), prices(105, 106, 98, 100))
    assert (then.reference[0], then.best[0]) == (99.0, 112.0)
    assert rules.at_one_price(np.ones(1), terms(TRAILING, trail=3, best=98), np.array([97.0])).best[0] == 97.0
    assert isnan(rules.continuous(np.ones(1), terms(STOP, stop=200), up).best[0])


# ---- a plain account of the same rules, one order at a time ----------------------------------------------------------


def plain_trigger(buy, kind, p, o):
    """The trigger of one order that opens at o."""
    _, stop, trail, best, _ = p
    if kind != TRAILING:
        return stop
    away = trail if buy else -trail
    known = [x for x in (stop, best + away) if not isnan(x)]
    return (min(known) if buy else max(known)) if known else o + away


def plain_best(buy, kind, best, bar):
    o, h, low, _ = bar
    seen = [x for x in (best, o, low if buy else h) if not isnan(x)]
    return best if kind != TRAILING else min(seen) if buy else max(seen)


def plain_limit(buy, limit, bar, touch):
    """What a limit order (of NaN: a market order) trades at from the open on."""
    o, h, low, _ = bar
    if isnan(limit) or (o <= limit if buy else o >= limit):
        return o
    extreme = low if buy else h
    through = extreme < limit if buy else extreme > limit
    return limit if through or (touch and extreme == limit) else nan


def plainly(qty, kind, p, bar, touch):
    """Reference price, triggered and best of one order in one bar, side by side with no arithmetic of sides."""
    limit, _, _, best, triggered = p
    o, h, low, c = bar
    buy = qty > 0
    if not o > 0:
        return nan, triggered, best
    trigger, best = plain_trigger(buy, kind, p, o), plain_best(buy, kind, best, bar)
    if kind not in (STOP, STOP_LIMIT, TRAILING) or triggered or (o >= trigger if buy else o <= trigger):
        return plain_limit(buy, limit, bar, touch), triggered or kind in (STOP, STOP_LIMIT, TRAILING), best
    if not (h >= trigger if buy else low <= trigger):
        return nan, False, best
    if not isnan(limit) and (c > limit if buy else c < limit):
        return nan, True, best
    return trigger if isnan(limit) else min(trigger, limit) if buy else max(trigger, limit), True, best


money = st.integers(50, 150).map(float)
maybe = st.one_of(st.just(nan), money)


@st.composite
def orders(draw):
    kind = draw(st.sampled_from(list(OrderKind)))
    limit = draw(money) if kind in (LIMIT, STOP_LIMIT) else draw(maybe) if kind in (MOO, MOC) else nan
    stop = draw(money) if kind in (STOP, STOP_LIMIT) else draw(maybe) if kind is TRAILING else nan
    trailing = kind is TRAILING
    trail = draw(st.integers(1, 40).map(float)) if trailing else nan
    best = draw(maybe) if trailing else nan
    triggered = draw(st.booleans()) if kind in (STOP, STOP_LIMIT, TRAILING) else False
    return draw(st.sampled_from([-3.0, 3.0])), kind, (limit, stop, trail, best, triggered)


@st.composite
def bars_of(draw):
    if draw(st.integers(0, 9)) == 0:
        return (nan, nan, nan, nan)
    o, c = draw(money), draw(money)
    return o, max(o, c) + draw(st.integers(0, 20)), min(o, c) - draw(st.integers(0, 20)), c


@given(rows=st.lists(st.tuples(orders(), bars_of()), min_size=1, max_size=12), touch=st.booleans())
def test_the_arrays_say_what_a_plain_account_of_the_rules_says(rows, touch):
    asked = np.array([p for (_, _, p), _ in rows], float).T
    got = rules.continuous(
        np.array([q for (q, _, _), _ in rows]),
        terms(
            [k for (_, k, _), _ in rows],
            **dict(zip(("limit", "stop", "trail", "best"), asked[:4], strict=True)),
            triggered=asked[4].astype(bool),
        ),
        prices(*np.array([bar for _, bar in rows], float).T),
        touch=touch,
    )
    for i, ((qty, kind, p), bar) in enumerate(rows):
        price, triggered, best = plainly(qty, kind, p, bar, touch)
        np.testing.assert_array_equal(got.reference[i], price)
        assert got.triggered[i] == triggered
        np.testing.assert_array_equal(got.best[i], best)


@given(rows=st.lists(st.tuples(orders(), bars_of()), min_size=1, max_size=8), touch=st.booleans())
def test_an_order_fares_alone_as_it_does_among_others_of_any_kind(rows, touch):
    def outcome(some):
        asked = np.array([p for (_, _, p), _ in some], float).T
        columns = dict(zip(("limit", "stop", "trail", "best"), asked[:4], strict=True))
        all_terms = terms([k for (_, k, _), _ in some], **columns, triggered=asked[4].astype(bool))
        bar = prices(*np.array([bar for _, bar in some], float).T)
        return rules.continuous(np.array([q for (q, _, _), _ in some]), all_terms, bar, touch=touch)

    together, alone = outcome(rows), [outcome([row]) for row in rows]
    for name in ("reference", "triggered", "best", "phase"):
        column = np.concatenate([getattr(one, name) for one in alone])
        assert column.dtype == getattr(together, name).dtype
        np.testing.assert_array_equal(column, getattr(together, name))


@given(rows=st.lists(st.tuples(orders(), maybe), min_size=1, max_size=12))
def test_one_price_is_a_bar_without_extent(rows):
    asked = np.array([p for (_, _, p), _ in rows], float).T
    qty = np.array([q for (q, _, _), _ in rows])
    columns = dict(zip(("limit", "stop", "trail", "best"), asked[:4], strict=True))
    all_terms = terms([k for (_, k, _), _ in rows], **columns, triggered=asked[4].astype(bool))
    price = np.array([p for _, p in rows])
    single = rules.at_one_price(qty, all_terms, price)
    whole = rules.continuous(qty, all_terms, prices(price, price, price, price))
    for name in ("reference", "triggered", "best"):
        np.testing.assert_array_equal(getattr(single, name), getattr(whole, name))


@given(rows=st.lists(st.tuples(orders(), bars_of()), min_size=4, max_size=4))
def test_the_rules_do_not_mind_the_shape(rows):
    asked = np.array([p for (_, _, p), _ in rows], float).T
    qty = np.array([q for (q, _, _), _ in rows])
    columns = dict(zip(("limit", "stop", "trail", "best"), asked[:4], strict=True))
    flat = terms([k for (_, k, _), _ in rows], **columns, triggered=asked[4].astype(bool))
    bar = prices(*np.array([bar for _, bar in rows], float).T)
    square = rules.Terms(**{f: getattr(flat, f).reshape(2, 2) for f in flat.__struct_fields__})
    square_bar = rules.Prices(**{f: getattr(bar, f).reshape(2, 2) for f in bar.__struct_fields__})
    one, two = rules.continuous(qty, flat, bar), rules.continuous(qty.reshape(2, 2), square, square_bar)
    np.testing.assert_array_equal(one.reference, two.reference.ravel())


# ---- price points ----------------------------------------------------------------------------------------------------

SLICE = bars(day(1), [10.0, 20.0], open=[9.0, 19.0], vwap=[9.5, np.nan])


@pytest.mark.parametrize(
    ("timing", "price", "at", "by"),
    [
        ("next_open", [9.0, 19.0], SLICE.opened, SLICE.opened),
        ("next_close", [10.0, 20.0], SLICE.ts, SLICE.opened),
        ("next_vwap", [9.5, nan], SLICE.ts, SLICE.opened),
        ("same_close", [10.0, 20.0], SLICE.ts, SLICE.ts),
    ],
)
def test_each_timing_names_a_price_an_instant_and_the_last_moment_to_send(timing, price, at, by):
    point = rules.point_of(SLICE, timing)
    np.testing.assert_array_equal(point.price, price)
    assert (point.at, point.by) == (at, by)


def test_rule_29_auctions_have_a_cut_off_and_their_own_volume_where_it_is_known():
    opening = rules.opening_auction(SLICE, 120, np.array([5.0, 6.0]))
    closing = rules.closing_auction(SLICE, 600)
    assert (opening.by, opening.at, opening.volume.tolist()) == (SLICE.opened - 120, SLICE.opened, [5.0, 6.0])
    assert (closing.by, closing.at, closing.volume.tolist()) == (SLICE.ts - 600, SLICE.ts, SLICE.volume.tolist())
    accepted = np.array([SLICE.opened - 120, SLICE.opened - 119])
    assert rules.in_time(opening, accepted, np.full(2, 2**62)).tolist() == [True, False]


@pytest.mark.parametrize(
    ("columns", "price"),
    [
        ({}, 10.0),
        ({"status": [Status.MISSING]}, nan),
        ({"status": [Status.HALTED]}, nan),
        ({"volume": [0.0]}, nan),
        ({"volume": [nan]}, 10.0),
    ],
)
def test_rule_30_no_price_is_offered_where_nobody_trades(columns, price):
    one = bars(day(1), [10.0], **columns)
    got = rules.offered(rules.point_of(one, "next_close"), one.status, np.array([0]))
    np.testing.assert_array_equal(got, [price])


# ---- sequence, volume and price limits -------------------------------------------------------------------------------


def test_what_trades_first_is_a_matter_of_the_phase_then_of_reducing_then_of_acceptance():
    qty, held = np.array([5.0, -5.0, 5.0, -5.0]), np.array([0.0, 9.0, 0.0, 9.0])
    phase = np.array([LIMITS, LIMITS, OPEN, STOPS], np.int32)
    assert rules.sequence(qty, held, phase).tolist() == [2, 3, 1, 0]
    assert rules.sequence(qty, held).tolist() == [1, 3, 0, 2]
    assert rules.sequence(qty[:1], held[:1]) is None


def wanted(symbol, qty, *, whole=None, lot=1.0) -> rules.Wanted:
    s = np.array(symbol)
    return rules.Wanted(
        symbol=s,
        qty=np.array(qty, float),
        whole=np.zeros(len(s), bool) if whole is None else np.array(whole),
        lot=np.full(len(s), lot),
        place=s,
    )


@pytest.mark.parametrize(
    ("qty", "whole", "lot", "room", "part"),
    [
        ([60, 60], None, 1, 100, [60, 40]),
        ([60, -60], None, 1, 100, [60, -40]),  # both sides take of the same volume
        ([60, 60], None, 30, 100, [60, 30]),
        ([60, 60], [False, True], 1, 100, [60, 0]),
        ([60, 60, 10], [True, True, False], 1, 65, [60, 0, 5]),
        ([7], None, 10, 7, [7]),  # an odd lot that fits whole
        ([17], None, 10, 16, [10]),
        ([5], None, 1, 0, [0]),
    ],
)
def test_rule_33_orders_share_the_volume_in_order_in_whole_lots(qty, whole, lot, room, part):
    orders = wanted([0] * len(qty), qty, whole=whole, lot=lot)
    assert rules.rationed(orders, np.array([float(room)]), None)[0].tolist() == part


def test_a_sale_trades_what_is_left_of_the_position_when_its_turn_comes():
    orders = wanted([0, 0, 0], [-60, 10, -60])
    part, beyond = rules.rationed(orders, None, np.array([100.0]))
    assert part.tolist() == [-60, 10, -50]
    assert beyond.tolist() == [False, False, True]


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3), st.integers(-90, 90).filter(bool), st.booleans()), min_size=1, max_size=25
    ),
    room=st.lists(st.integers(0, 150), min_size=4, max_size=4),
    held=st.one_of(st.none(), st.lists(st.integers(0, 100), min_size=4, max_size=4)),
    lot=st.sampled_from([1, 7, 10]),
)
def test_rationing_is_what_taking_the_orders_one_by_one_gives(rows, room, held, lot):
    orders = wanted([s for s, _, _ in rows], [q for _, q, _ in rows], whole=[w for _, _, w in rows], lot=lot)
    shares = None if held is None else np.array(held, float)
    part, _ = rules.rationed(orders, np.array(room, float), shares)
    room, held = list(room), None if held is None else list(held)
    for i, (s, qty, whole) in enumerate(rows):
        most = abs(qty)
        if held is not None and qty < 0:
            most = min(most, held[s])
        if most > room[s]:
            most = room[s] // lot * lot
        if whole and most < abs(qty):
            most = 0
        room[s] -= most
        signed = most if qty > 0 else -most
        if held is not None:
            held[s] += signed
        assert part[i] == signed


@pytest.mark.parametrize(
    ("qty", "reference", "blocked"),
    [
        (1, 10.99, False),
        (1, 11.0, True),
        (1, 12.0, True),
        (-1, 11.0, False),
        (-1, 9.0, True),
        (-1, 9.01, False),
        (1, 9.0, False),
        (1, nan, False),
    ],
)
def test_nobody_sells_at_the_upper_price_limit_nor_buys_at_the_lower(qty, reference, blocked):
    lower, upper = rules.price_limits(np.array([10.0]), 0.1, np.array([0.01]))
    assert rules.locked(np.array([float(qty)]), np.array([reference]), lower, upper)[0] == blocked


def test_price_limits_are_rounded_to_the_tick_and_unknown_where_the_close_is():
    lower, upper = rules.price_limits(np.array([10.04, nan, 10.04]), 0.1, np.array([0.01, 0.01, 0.0]))
    np.testing.assert_allclose(lower, [9.04, nan, 9.036])
    np.testing.assert_allclose(upper, [11.04, nan, 11.044])
    assert not rules.locked(np.ones(1), np.array([1e9]), np.array([nan]), np.array([nan]))[0]
