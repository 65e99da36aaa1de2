"""Per-symbol P&L and round trips against the ledger: nothing is lost, invented or counted twice."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.metrics.flows import COST_KINDS, INCOME_KINDS
from components.metrics.fold import SessionFold
from components.metrics.trades import RoundTrips
from engine.events import Actions, Book, Charges, Fills, Reference
from engine.protocols import Bookkeeping
from engine.universe import universe_of
from tests.components.metrics.accounts import (
    DELISTING,
    DIVIDEND,
    RENAMED,
    SPLIT,
    Account,
    action,
    charges,
    fills,
    markets,
    random_account,
)
from tests.make import bars, day

SEEDS = st.integers(0, 2**32 - 1)
TWO = universe_of(("AAA", "BBB"))
BORROW, MARGIN_INTEREST, CASH_INTEREST, OTHER = 0, 1, 2, 3


def folded(account: Account) -> SessionFold:
    fold = SessionFold(universe=account.universe, cash=account.cash)
    fold.append((), account.events)
    fold.finish()
    return fold


def price_of(event: Actions, book: Book) -> float:
    """What a fraction is paid out at, from the book before the action."""
    s, kind = int(event.symbol[0]), int(event.kind[0])
    if kind == SPLIT:
        return float(book.mark[s] / event.ratio[0])
    if kind == RENAMED:
        new = int(event.successor[0])
        return float(book.mark[s] / event.ratio[0] if np.isnan(book.mark[new]) else book.mark[new])
    return float(event.amount[0])


def trips_of(account: Account) -> RoundTrips:
    trips, book = RoundTrips(account.universe, account.keeping), None
    for event in account.events:
        if isinstance(event, Book):
            book = event
        elif isinstance(event, Fills):
            columns = (event.symbol, event.qty, event.price, event.fees.sum(axis=1), event.at)
            for s, qty, price, fee, at in zip(*(c.tolist() for c in columns), strict=True):
                trips.fill(event.ts, s, qty, price, fee, at)
        elif isinstance(event, Charges):
            for s, amount in zip(event.symbol.tolist(), event.amount.tolist(), strict=True):
                if s >= 0:
                    trips.charge(s, amount)
        elif isinstance(event, Actions):
            assert book is not None
            pair = (int(event.symbol[0]), int(event.successor[0]))
            price = price_of(event, book)
            trips.act(event.ts, int(event.kind[0]), pair, float(event.ratio[0]), float(event.amount[0]), price)
    return trips


# ---- per-symbol P&L --------------------------------------------------------------------------------------------------


@given(SEEDS, st.sampled_from([1, 2, 3]))
def test_the_pnl_of_the_symbols_adds_up_to_the_change_of_equity(seed: int, currencies: int) -> None:
    account = random_account(seed, currencies=currencies)
    fold = folded(account)
    earned = fold.earned()
    book = fold.book
    assert book is not None
    assert earned["symbol"] == [*"ABCDE", ""]
    assert float(earned["total"].sum()) == pytest.approx(book.equity - account.cash, abs=1e-9 * account.cash)


@given(SEEDS, st.sampled_from([1, 3]))
def test_rows_and_symbols_tell_the_same_costs_and_income(seed: int, currencies: int) -> None:
    fold = folded(random_account(seed, currencies=currencies))
    rows, earned = fold.columns(), fold.earned()
    fees = sum(rows[kind].sum() for kind in ("commission", "exchange", "tax"))
    assert fees == pytest.approx(earned["fees"].sum(), abs=1e-8)
    assert rows["borrow"].sum() == pytest.approx(earned["borrow"].sum(), abs=1e-8)
    assert rows["translation"].sum() == pytest.approx(earned["translation"].sum(), abs=1e-7)
    paid = rows["margin_interest"].sum() + rows["other"].sum() - rows["cash_interest"].sum()
    assert -paid == pytest.approx(earned["interest"].sum(), abs=1e-8)
    after_the_last_row = fold._flows.take()[1][len(COST_KINDS) + INCOME_KINDS.index("dividends")]
    assert rows["dividends"].sum() + after_the_last_row == pytest.approx(earned["income"].sum(), abs=1e-8)


@given(SEEDS)
def test_rule_43_translation_is_apart_from_what_trades_earned(seed: int) -> None:
    """Valued at the rates of their own days the symbols earn what a plain loop over the books says."""
    account = random_account(seed, currencies=2)
    rate, expected, before = np.ones(2), np.zeros(5), np.zeros(5)
    currency, multiplier = account.universe.currency, account.universe.multiplier
    for event in account.events:
        if isinstance(event, Reference):
            rate = event.value[:, 0]
        elif isinstance(event, Book):
            gain = np.where(event.qty != 0, event.qty * (event.mark - event.entry) * multiplier, 0.0)
            now = event.realised + gain - event.fees + event.income
            expected += (now - before) * rate[currency]
            before = now
    np.testing.assert_allclose(folded(account).earned()["total"][:5], expected, atol=1e-7)


def test_borrow_is_told_apart_from_the_fees_of_fills() -> None:
    account = Account(TWO, cash=1000.0)
    account.feed(bars(day(0), [10.0, 20.0]))
    account.feed(fills(day(0), [(0, -10.0, 10.0, 1.5)]))
    account.feed(bars(day(1), [9.0, 20.0]))
    account.feed(charges(day(1), (BORROW, 0, 0, -0.25), (MARGIN_INTEREST, -1, 0, -2.0), (CASH_INTEREST, -1, 0, 0.5)))
    account.feed(fills(day(1), []))
    earned = folded(account).earned()
    assert earned["unrealised"].tolist() == [10.0, 0.0, 0.0]
    assert earned["fees"].tolist() == [1.5, 0.0, 0.0]
    assert earned["borrow"].tolist() == [0.25, 0.0, 0.0]
    assert earned["interest"].tolist() == [0.0, 0.0, -1.5]
    assert earned["total"].tolist() == [8.25, 0.0, -1.5]


# ---- rows ------------------------------------------------------------------------------------------------------------


def test_each_kind_of_charge_has_its_column_and_what_is_paid_is_a_cost() -> None:
    account = Account(TWO, cash=1000.0)
    account.feed(bars(day(0), [10.0, 20.0]))
    kinds = ((BORROW, 0, 0, -1.0), (MARGIN_INTEREST, -1, 0, -2.0), (CASH_INTEREST, -1, 0, 4.0), (OTHER, -1, 0, -8.0))
    account.feed(charges(day(0), *kinds))
    account.feed(fills(day(0), [(0, 10.0, 10.0, 0.5)]))
    rows = folded(account).columns()
    assert [rows[kind][0] for kind in ("borrow", "margin_interest", "cash_interest", "other")] == [1.0, 2.0, 4.0, 8.0]
    assert rows["cost"][0] == 0.5 + 1.0 + 2.0 + 8.0
    assert rows["equity"][0] == 1000.0 - 11.5 + 4.0


def test_fills_of_the_slice_they_were_decided_in_count_in_its_row() -> None:
    account = Account(TWO, cash=1000.0)
    account.feed(bars(day(0), [10.0, 20.0]))
    account.feed(fills(day(0), []))  # the answer to the bars, and its book
    account.feed(fills(day(0), [(0, 10.0, 10.0, 2.0)]))  # the answer to the orders, and the closing book
    account.feed(bars(day(1), [11.0, 20.0]))
    account.feed(fills(day(1), [(1, 5.0, 20.0, 3.0)]))
    account.feed(fills(day(1), [(0, -10.0, 11.0, 1.0)]))
    rows = folded(account).columns()
    assert rows["ts"].tolist() == [day(0), day(1)]
    assert rows["turnover"].tolist() == [0.1, 210 / 998]
    assert rows["commission"].tolist() == [2.0, 4.0]
    assert rows["equity"].tolist() == [998.0, 1004.0]
    assert rows["cash"].tolist() == [898.0, 904.0]
    assert rows["gross"].tolist() == [100 / 998, 100 / 1004]


def test_dividends_count_in_the_row_of_their_ex_date_and_shorts_pay_them() -> None:
    account = Account(TWO, cash=1000.0)
    account.feed(bars(day(0), [10.0, 20.0]))
    account.feed(fills(day(0), [(0, 10.0, 10.0, 0.0), (1, -5.0, 20.0, 0.0)]))
    account.feed(action(day(0) + 1, DIVIDEND, 0, amount=1.0))
    account.feed(action(day(0) + 1, DIVIDEND, 1, amount=0.4))
    account.feed(bars(day(1), [9.0, 20.0]))
    account.feed(fills(day(1), []))
    rows = folded(account).columns()
    assert rows["dividends"].tolist() == [0.0, 8.0]
    assert rows["equity"].tolist() == [1000.0, 998.0]


def test_unsettled_proceeds_stand_beside_the_cash() -> None:
    account = Account(TWO, cash=1000.0)
    account.feed(bars(day(0), [10.0, 20.0]))
    account.feed(fills(day(0), [(0, 10.0, 10.0, 0.0)]))
    account.feed(bars(day(1), [10.0, 20.0]))
    sale = fills(day(1), [(0, -4.0, 10.0, 0.0)])
    account.feed(type(sale)(**{n: getattr(sale, n) for n in sale.__struct_fields__} | {"settles": np.array([day(2)])}))
    account.feed(bars(day(2), [10.0, 20.0]))
    account.feed(fills(day(2), []))
    rows = folded(account).columns()
    assert rows["cash"].tolist() == [900.0, 940.0, 940.0]
    assert rows["unsettled"].tolist() == [0.0, 40.0, 0.0]


def test_rule_43_what_a_rate_does_stands_in_the_row_in_which_it_changed() -> None:
    universe = markets(2)  # B is in EUR
    account = Account(universe, cash=1000.0)
    account.feed(bars(day(0), [10.0] * 5))
    account.feed(fills(day(0), [(1, 10.0, 10.0, 0.0)]))
    account.feed(Reference(ts=day(1), name="rates", rows="currency", value=np.array([[1.0], [1.5]])))
    account.feed(bars(day(1), [10.0, 12.0, 10.0, 10.0, 10.0]))
    account.feed(fills(day(1), []))
    rows, earned = folded(account).columns(), folded(account).earned()
    assert rows["equity"].tolist() == [1000.0, 1030.0]  # 10 shares gained 2 EUR at 1.5; cash owed and shares cancel
    assert rows["translation"].tolist() == [0.0, 0.0]
    assert earned["total"].tolist() == [0.0, 30.0, 0.0, 0.0, 0.0, 0.0]


def test_rule_44_a_name_without_a_bar_keeps_its_last_mark_in_rows_and_pnl() -> None:
    account = Account(TWO, cash=1000.0)
    account.feed(bars(day(0), [10.0, 20.0]))
    account.feed(fills(day(0), [(0, 10.0, 10.0, 0.0)]))
    account.feed(bars(day(1), [12.0, 20.0]))
    account.feed(fills(day(1), []))
    account.feed(bars(day(2), [float("nan"), 20.0]))
    account.feed(fills(day(2), []))
    fold = folded(account)
    assert fold.columns()["equity"].tolist() == [1000.0, 1020.0, 1020.0]
    assert fold.columns()["missing"].tolist() == [0.0, 0.0, 1.0]
    assert fold.columns()["stale"].tolist() == [0.0, 0.0, 120 / 1020]  # and the row says how much of it is so
    assert fold.earned()["unrealised"].tolist() == [20.0, 0.0, 0.0]


def test_saved_and_loaded_in_the_middle_the_pnl_is_the_same() -> None:
    account = random_account(11, currencies=3, days=30)
    whole = folded(account).earned()
    for cut in range(0, len(account.events), 7):
        first = SessionFold(universe=account.universe, cash=account.cash)
        first.append((), account.events[:cut])
        second = SessionFold(universe=account.universe, cash=account.cash)
        second.load(first.save())
        second.append((), account.events[cut:])
        second.finish()
        for name, column in second.earned().items():
            np.testing.assert_array_equal(column, whole[name])


# ---- round trips -----------------------------------------------------------------------------------------------------


@given(SEEDS, st.booleans(), st.booleans())
def test_the_trades_of_a_symbol_add_up_to_what_the_ledger_says_of_it(
    seed: int, dividends: bool, fractions: bool
) -> None:
    account = random_account(seed, keeping=Bookkeeping(dividends=dividends, fractions=fractions))
    trips, book = trips_of(account), account.book
    trades = [*trips.closed, *trips.still_open(book.mark)]
    gross = np.zeros(5)
    for trade in trades:
        gross[trade.symbol] += trade.gross
    held = np.where(book.qty != 0, book.qty * (book.mark - book.entry) * account.universe.multiplier, 0.0)
    # A change of symbol carries a trade to its successor while the ledger keeps the past where it was.
    np.testing.assert_allclose(gross.sum(), (book.realised + held).sum(), atol=1e-7)
    assert sum(trade.income for trade in trades) == pytest.approx(float(book.income.sum()), abs=1e-8)
    paid = sum(float(e.fees.sum()) for e in account.events if isinstance(e, Fills))
    assert sum(trade.fees for trade in trades) == pytest.approx(paid, abs=1e-8)
    assert {trade.symbol for trade in trips.still_open(book.mark)} == set(np.flatnonzero(book.qty).tolist())


def walked(*rows: tuple[float, float], universe: Any = TWO, fee: float = 0.0) -> RoundTrips:
    """Fills of the first symbol, one a day."""
    trips = RoundTrips(universe)
    for k, (qty, price) in enumerate(rows):
        trips.fill(day(k), 0, qty, price, fee, day(k) - 7)
    return trips


def test_a_trade_runs_from_flat_to_flat_whatever_happens_in_between() -> None:
    (trade,) = walked((10, 10.0), (10, 12.0), (-5, 13.0), (-15, 14.0), fee=1.0).closed
    assert (trade.side, trade.quantity, trade.entry) == (1, 20.0, 11.0)
    assert trade.exit == pytest.approx((5 * 13 + 15 * 14) / 20)
    assert trade.gross == pytest.approx(5 * 13 + 15 * 14 - 220)
    assert (trade.fees, trade.net) == (4.0, trade.gross - 4.0)
    assert trade.share == pytest.approx(trade.net / 220)
    assert (trade.opened, trade.closed) == (day(0) - 7, day(3) - 7)


def test_crossing_zero_ends_one_trade_and_begins_the_next() -> None:
    trips = walked((10, 10.0), (-25, 12.0), (15, 9.0), fee=5.0)
    first, second = trips.closed
    assert (first.side, first.quantity, first.gross, first.fees) == (1, 10.0, 20.0, 5.0 + 2.0)
    assert (second.side, second.quantity, second.gross, second.fees) == (-1, 15.0, 45.0, 3.0 + 5.0)
    assert (first.closed, second.opened) == (day(1) - 7, day(1) - 7)


def test_a_short_gains_when_the_price_falls() -> None:
    (trade,) = walked((-10, 10.0), (10, 8.0)).closed
    assert (trade.side, trade.gross, trade.share) == (-1, 20.0, 0.2)


def test_an_open_trade_is_valued_at_the_last_mark_and_has_no_exit() -> None:
    trips = walked((10, 10.0), (-4, 11.0))
    assert trips.closed == []
    (trade,) = trips.still_open(np.array([13.0, np.nan]))
    assert trade.gross == pytest.approx(4 * 1 + 6 * 3)
    assert (trade.closed, trade.closed_ts) == (0, 0)
    assert np.isnan(trade.exit)


def test_rule_25_a_split_rescales_an_open_trade() -> None:
    trips = walked((10, 90.0))
    trips.act(day(0) + 1, SPLIT, (0, 0), 3.0, 0.0, 30.0)
    trips.fill(day(1), 0, -30.0, 33.0, 0.0, day(1))
    (trade,) = trips.closed
    assert (trade.quantity, trade.entry, trade.exit) == (30.0, 30.0, 33.0)
    assert trade.gross == pytest.approx(90.0)


def test_rule_25_the_fraction_that_a_split_leaves_is_an_exit() -> None:
    trips = walked((5, 10.0))
    trips.act(day(0) + 1, SPLIT, (0, 0), 0.5, 0.0, 20.0)  # 2.5 shares: half a share is paid out at 20
    trips.fill(day(1), 0, -2.0, 22.0, 0.0, day(1))
    (trade,) = trips.closed
    assert trade.quantity == 2.5
    assert trade.gross == pytest.approx(0.5 * 20 + 2 * 22 - 50)


def test_rule_25_an_odd_lot_that_a_split_leaves_stays_in_the_trade_as_it_stays_in_the_book() -> None:
    trips = walked((100, 10.0), universe=universe_of(("AAA", "BBB"), lot=100.0))
    trips.act(day(0) + 1, SPLIT, (0, 0), 1.555, 0.0, 6.0)  # 155.5 shares: half a share is paid out, 55 are kept
    trips.fill(day(1), 0, -155.0, 7.0, 0.0, day(1))
    (trade,) = trips.closed
    assert trade.gross == pytest.approx(0.5 * 6 + 155 * 7 - 1000)
    assert trips.still_open(np.array([7.0, 7.0])) == []


def test_rule_23_a_delisting_ends_a_trade_at_its_stated_price() -> None:
    trips = walked((10, 10.0))
    trips.act(day(0) + 1, DELISTING, (0, 0), 1.0, 4.0, 4.0)
    (trade,) = trips.closed
    assert (trade.exit, trade.gross, trade.closed) == (4.0, -60.0, day(0) + 1)


def test_rule_24_a_change_of_symbol_carries_the_trade_over() -> None:
    trips = walked((10, 10.0))
    trips.act(day(0) + 1, RENAMED, (0, 1), 2.0, 0.0, 5.0)
    trips.fill(day(1), 1, -20.0, 6.0, 0.0, day(1))
    (trade,) = trips.closed
    assert (trade.symbol, trade.quantity, trade.entry, trade.gross) == (1, 20.0, 5.0, 20.0)


def test_rule_26_a_dividend_belongs_to_the_trade_that_held_its_right() -> None:
    trips = walked((-10, 10.0))
    trips.act(day(0) + 1, DIVIDEND, (0, 0), 1.0, 0.5, np.nan)
    trips.charge(0, -0.75)
    trips.fill(day(1), 0, 10.0, 10.0, 0.0, day(1))
    (trade,) = trips.closed
    assert (trade.income, trade.borrow, trade.net) == (-5.0, 0.75, -5.75)
