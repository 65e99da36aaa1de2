"""Money at the broker: nothing is lost, nothing is lent, and the ledger agrees."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.brokers import buying
from components.brokers import fill_rules as rules
from components.costs.bps import Bps
from engine.events import Status
from engine.ledger import Ledger
from engine.protocols import Conditions
from tests.components.brokers.made import approved, broker, fills, universe
from tests.make import bars, book, day

N = 4
prices = st.lists(st.floats(1.0, 500.0).map(lambda x: round(x, 2)), min_size=N, max_size=N)
legs_of = st.lists(st.tuples(st.integers(0, N - 1), st.integers(-50, 50).filter(bool)), min_size=1, max_size=12)
costs_of = st.builds(Bps, commission_bps=st.floats(0, 50), slippage_bps=st.floats(0, 50), tax_bps_sell=st.floats(0, 50))


def opened(of, open_prices, *, cash, qty, orders, **options):
    """The fills of one bar after these orders, from a book with these holdings."""
    one = broker(cash=cash, qty=qty, costs=of, universe=universe(N), **options)
    one.on_orders(approved([s for s, _ in orders], [float(q) for _, q in orders]))
    return fills(one.on_bars(bars(day(1), open_prices, open=open_prices))), one


@given(of=costs_of, p=prices, cash=st.floats(0, 50_000), orders=legs_of)
def test_cash_is_never_negative_in_a_cash_account(of, p, cash, orders):
    fill, _ = opened(of, p, cash=cash, qty=[20.0] * N, orders=orders)
    spent = (fill.qty * fill.price).sum() + fill.fees.sum()
    assert cash - spent >= -1e-9 * (1 + cash)


@given(of=costs_of, p=prices, cash=st.floats(0, 50_000), orders=legs_of)
def test_no_position_is_sold_below_zero(of, p, cash, orders):
    fill, _ = opened(of, p, cash=cash, qty=[20.0] * N, orders=orders)
    after = np.full(N, 20.0)
    np.add.at(after, fill.symbol, fill.qty)
    assert (after >= 0).all()
    assert (fill.qty == np.trunc(fill.qty)).all()


@given(of=costs_of, p=prices, cash=st.floats(0, 50_000), orders=legs_of)
def test_money_is_conserved_between_broker_and_ledger(of, p, cash, orders):
    """Cash and value before equal cash and value after, plus slippage and fees, to 1e-9 of equity."""
    fill, one = opened(of, p, cash=cash, qty=[20.0] * N, orders=orders)
    before = cash + 20.0 * sum(p)
    slippage = (fill.qty * (fill.price - fill.reference)).sum()
    held = np.full(N, 20.0)
    np.add.at(held, fill.symbol, fill.qty)
    money = cash - (fill.qty * fill.price).sum() - fill.fees.sum()
    assert money + held @ np.array(p) + slippage + fill.fees.sum() == pytest.approx(before, rel=1e-9)
    ledger = Ledger(universe=universe(N), cash=cash)
    ledger.on_fills(fill)
    assert ledger.book(0).cash[0] == pytest.approx(one._account.cash[0], rel=1e-9, abs=1e-6)


@given(p=prices, orders=legs_of)
def test_trading_at_the_open_without_costs_leaves_equity_at_that_open_unchanged(p, orders):
    fill, _ = opened(Bps(), p, cash=20_000.0, qty=[20.0] * N, orders=orders)
    held = np.full(N, 20.0)
    np.add.at(held, fill.symbol, fill.qty)
    equity = 20_000.0 - (fill.qty * fill.price).sum() + held @ np.array(p)
    assert equity == pytest.approx(20_000.0 + 20.0 * sum(p), rel=1e-12)


@given(p=prices, orders=legs_of, leverage=st.floats(1, 3), qty=st.lists(st.integers(-9, 9), min_size=N, max_size=N))
def test_a_margin_account_never_grows_beyond_leverage_times_equity(p, orders, leverage, qty):
    at, held = np.array(p), np.array(qty, float)
    cash = 10_000.0
    fill, _ = opened(Bps(), p, cash=cash, qty=held, orders=orders, short=True, leverage=leverage)
    after = held.copy()
    np.add.at(after, fill.symbol, fill.qty)
    equity = cash + held @ at
    assert np.abs(after) @ at <= max(leverage * equity, np.abs(held) @ at) + 1e-6


@given(of=costs_of, p=prices, cash=st.floats(0, 20_000), orders=legs_of)
def test_cutting_matches_a_plain_loop_over_every_number_of_lots(of, p, cash, orders):
    """Oracle: try each quantity from the whole order downwards, sales first."""
    fill, one = opened(of, p, cash=cash, qty=[20.0] * N, orders=orders)
    held, wanted = np.full(N, 20.0), []
    free = held.copy()
    for k, (s, q) in enumerate(orders, 1):
        if q > 0 or free[s] + q >= 0:
            wanted.append((k, s, float(q)))
            free[s] += min(q, 0)
    left, expected = cash, {}
    for k, s, q in sorted(wanted, key=lambda row: row[2] > 0):
        size = q
        while size:
            price = of.price(np.array([size]), np.array([p[s]]))
            need = size * price[0] + of.fees(np.array([size]), price).sum()
            if size < 0 or need <= left:
                expected[k], left = size, left - need
                break
            size -= 1.0
    assert dict(zip(fill.order_ids.tolist(), fill.qty.tolist(), strict=True)) == expected


def test_rule_41_the_search_for_the_largest_cut_survives_a_minimum_commission():
    one = np.ones(1)
    for cash in (0.0, 5.0, 105.0, 106.0, 1_000.0, 99_999.0):
        trades = buying.Trades(
            symbol=np.array([0]),
            qty=1e6 * one,
            reference=1.0 * one,
            unit=one,
            multiplier=one,
            rate=one,
            lot=one,
            at=Conditions(ts=0, symbol=np.zeros(1, np.int32)),
        )
        cut = buying.affordable(trades, np.zeros(1, bool), np.zeros(1), Bps(min_commission=5.0), cash)
        assert cut.qty[0] == max(0.0, cash - 5.0)


def test_fractional_lots_are_cut_to_whole_lots():
    one = broker(cash=1.0, qty=[0.0], universe=universe(1, lot=0.001))
    one.on_orders(approved([0], [0.5]))
    assert fills(one.on_bars(bars(day(1), [30.0]))).qty.tolist() == [pytest.approx(0.033)]


def test_rule_30_a_halted_name_takes_no_cash_from_the_others():
    one = broker(cash=1_000.0)
    one.on_orders(approved([0, 1], [10.0, 10.0]))
    out = one.on_bars(bars(day(1), [np.nan, 100.0, 100.0], status=[Status.HALTED, 0, 0]))
    assert fills(out).order_ids.tolist() == [2]


def test_split_quantities_never_grow_beyond_the_ratio():
    for ratio in (0.1, 0.5, 1.5, 2.0, 3.0, 7.0, 20.0):
        qty = np.arange(-50.0, 51.0)
        after = rules.split_quantity(qty, ratio, np.ones(len(qty)))
        assert (np.abs(after) <= np.abs(qty) * ratio + 1e-9).all()
        assert (np.abs(after) > np.abs(qty) * ratio - 1).all()


def test_a_book_of_another_day_replaces_cash_and_positions():
    one = broker(cash=0.0)
    one.on_book(book(day(1), [100.0] * 3, cash=700.0))
    one.on_orders(approved([0], [9.0], ts=day(1)))
    assert fills(one.on_bars(bars(day(2), [100.0] * 3))).qty.tolist() == [7.0]
