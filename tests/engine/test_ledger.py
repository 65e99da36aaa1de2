"""The ledger against a slow plain one, its identities, and the rules of accounting."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import DataError
from engine.events import (
    ActionKind,
    Actions,
    Approved,
    Control,
    ControlAction,
    Fills,
    LegAction,
    Mode,
    OrderKind,
    OrderState,
    Reference,
    Refusals,
    Reports,
)
from engine.ledger import Ledger
from engine.universe import Universe, universe_of
from tests.make import bars, day, legs

N = 4
UNIVERSE = universe_of(("A", "B", "C", "D"))


def fills(ts: int, rows: list[tuple[int, float, float, float]], ids: list[int] | None = None) -> Fills:
    """Rows of (symbol, quantity, price, fee)."""
    n = len(rows)
    columns = np.array(rows, np.float64).reshape(n, 4)
    order_ids = np.array(ids if ids is not None else range(1, n + 1), np.uint64)
    return Fills(
        ts=ts,
        exec_ids=order_ids,
        order_ids=order_ids,
        symbol=columns[:, 0].astype(np.int32),
        qty=columns[:, 1],
        price=columns[:, 2],
        reference=columns[:, 2],
        fees=np.stack([columns[:, 3], np.zeros(n), np.zeros(n)], axis=1),
        at=np.full(n, ts, np.int64),
    )


def action(ts: int, kind: ActionKind, symbol: int, **columns: Any) -> Actions:
    row = {"ratio": np.nan, "amount": np.nan, "pay_at": 0, "successor": -1} | columns
    return Actions(
        ts=ts,
        kind=np.array([kind], np.int32),
        symbol=np.array([symbol], np.int32),
        ratio=np.array([row["ratio"]], float),
        amount=np.array([row["amount"]], float),
        pay_at=np.array([row["pay_at"]], np.int64),
        successor=np.array([row["successor"]], np.int32),
    )


def started(cash: float = 10_000.0, universe: Universe = UNIVERSE) -> Ledger:
    ledger = Ledger(universe=universe, cash=cash)
    ledger.on_bars(bars(day(0), [10.0, 20.0, 30.0, 40.0][: len(universe)]))
    return ledger


@dataclass
class Plain:
    """The same fold, one symbol and one fill at a time."""

    cash: float
    qty: list[float] = field(default_factory=lambda: [0.0] * N)
    entry: list[float] = field(default_factory=lambda: [0.0] * N)
    mark: list[float] = field(default_factory=lambda: [float("nan")] * N)
    realised: float = 0.0
    fees: float = 0.0

    def fill(self, s: int, qty: float, price: float, fee: float) -> None:
        self.cash -= qty * price + fee
        self.fees += fee
        left = qty
        if self.qty[s] * qty < 0:
            closed = min(abs(qty), abs(self.qty[s])) * (1 if self.qty[s] > 0 else -1)
            self.realised += closed * (price - self.entry[s])
            self.qty[s] -= closed
            left = qty + closed
        if left:
            self.entry[s] = (self.qty[s] * self.entry[s] + left * price) / (self.qty[s] + left)
            self.qty[s] += left

    def equity(self) -> float:
        return self.cash + sum(q * m for q, m in zip(self.qty, self.mark, strict=True) if q)


quantities = st.integers(-500, 500).filter(bool).map(float)
prices = st.floats(0.5, 500).map(lambda p: round(p, 2))
trades = st.tuples(st.integers(0, N - 1), quantities, prices, st.floats(0, 20).map(lambda f: round(f, 2)))
slices = st.tuples(
    st.lists(st.one_of(prices, st.just(float("nan"))), min_size=N, max_size=N), st.lists(trades, max_size=5)
)


@given(st.lists(slices, min_size=1, max_size=12))
@settings(max_examples=150, deadline=None)
def test_it_equals_a_plain_ledger_and_its_identities_hold_after_every_slice(session: list[Any]) -> None:
    cash = 1e6
    ledger, plain = Ledger(universe=UNIVERSE, cash=cash), Plain(cash)
    ledger.on_bars(bars(day(0), [100.0] * N))
    plain.mark = [100.0] * N
    for k, (close, rows) in enumerate(session, start=1):
        ledger.on_bars(bars(day(k), close))
        plain.mark = [m if np.isnan(c) else c for c, m in zip(close, plain.mark, strict=True)]
        book = ledger.on_fills(fills(day(k), rows))
        for row in rows:
            plain.fill(*row)
        held = book.qty != 0
        assert book.qty.tolist() == plain.qty
        assert book.cash[0] == pytest.approx(plain.cash, abs=1e-6)
        assert book.equity == pytest.approx(plain.equity(), abs=1e-6)
        assert book.realised.sum() == pytest.approx(plain.realised, abs=1e-6)
        assert book.entry[held] == pytest.approx([e for e, q in zip(plain.entry, plain.qty, strict=True) if q])
        assert np.isnan(book.entry[~held]).all()
        assert (book.opened[held] > 0).all()
        assert not book.opened[~held].any()
        unrealised = (book.qty[held] * (book.mark[held] - book.entry[held])).sum()
        assert book.equity == pytest.approx(cash + book.realised.sum() + unrealised - book.fees.sum(), abs=1e-6)


@given(st.lists(trades.map(lambda t: (t[0], t[1])), min_size=1, max_size=6))
def test_trading_at_the_mark_without_fees_leaves_equity_unchanged(rows: list[tuple[int, float]]) -> None:
    ledger = started()
    marks = [10.0, 20.0, 30.0, 40.0]
    book = ledger.on_fills(fills(day(0), [(s, q, marks[s], 0.0) for s, q in rows]))
    assert book.equity == pytest.approx(10_000.0, abs=1e-9)


@given(st.lists(slices, min_size=2, max_size=8), st.data())
@settings(max_examples=50, deadline=None)
def test_saved_and_loaded_anywhere_it_goes_on_the_same(session: list[Any], pick: Any) -> None:
    cut = pick.draw(st.integers(0, len(session) - 1))
    whole, first, second = (Ledger(universe=UNIVERSE, cash=1e6) for _ in range(3))
    for ledger in (whole, first):
        ledger.on_bars(bars(day(0), [100.0] * N))
    for k, (close, rows) in enumerate(session, start=1):
        if k - 1 == cut:
            second.load(first.save())
            first = second
        for ledger in (whole, first):
            ledger.on_bars(bars(day(k), close))
            ledger.on_fills(fills(day(k), rows))
        assert first.save() == whole.save()


def test_rule_44_a_name_without_a_bar_keeps_its_last_mark() -> None:
    ledger = started()
    ledger.on_fills(fills(day(0), [(0, 100, 10, 0)]))
    ledger.on_bars(bars(day(1), [np.nan, 21.0, 30.0, 40.0]))
    book = ledger.on_fills(fills(day(1), []))
    assert book.mark.tolist() == [10.0, 21.0, 30.0, 40.0]
    assert book.equity == 10_000.0


def test_a_short_gains_when_the_price_falls_and_its_best_mark_is_the_lowest() -> None:
    ledger = started()
    ledger.on_fills(fills(day(0), [(1, -50, 20, 0)]))
    for k, close in enumerate([15.0, 25.0], start=1):
        ledger.on_bars(bars(day(k), [10.0, close, 30.0, 40.0]))
    book = ledger.on_fills(fills(day(2), []))
    assert (book.qty[1], book.entry[1], book.best[1], book.equity) == (-50, 20, 15, 9_750)


def test_crossing_zero_realises_the_old_side_and_starts_the_new_one_at_the_price() -> None:
    ledger = started()
    ledger.on_fills(fills(day(0), [(0, 100, 10, 0)]))
    ledger.on_bars(bars(day(1), [12.0, 20.0, 30.0, 40.0]))
    book = ledger.on_fills(fills(day(1), [(0, -150, 12, 1.0)]))
    assert (book.qty[0], book.entry[0], book.realised[0], book.fees[0]) == (-50, 12, 200, 1)
    assert book.opened[0] == day(1)


def test_leverage_shows_as_negative_cash() -> None:
    book = started(1_000.0).on_fills(fills(day(0), [(0, 300, 10, 0)]))
    assert (book.cash[0], book.equity) == (-2_000.0, 1_000.0)


def test_rule_25_a_split_scales_quantity_cost_marks_and_open_limits_and_pays_the_fraction_out() -> None:
    ledger = started()
    ledger.on_fills(fills(day(0), [(0, 101, 10, 0)]))
    ledger.on_approved(
        legs(Approved, symbol=[0], qty=[10], kind=np.array([OrderKind.LIMIT], np.int32), limit=np.array([9.0]))
    )
    before = ledger.book(day(0)).equity
    book = ledger.on_actions(action(day(0) + 1, ActionKind.SPLIT, 0, ratio=1.5))
    assert book.qty[0] == 151  # 151.5, and the half to cash
    assert book.mark[0] == pytest.approx(10 / 1.5)
    assert book.entry[0] == pytest.approx(10 / 1.5)
    assert book.cash[0] == pytest.approx(10_000 - 1010 + 0.5 * 10 / 1.5)
    assert book.equity == pytest.approx(before)
    assert book.open_orders.limit.tolist() == [6.0]
    assert (book.open_orders.left.tolist(), book.working[0]) == ([15.0], 15.0)  # as the broker will report


def test_rule_26_a_dividend_is_owed_at_the_ex_date_paid_at_the_pay_date_and_shorts_pay_it() -> None:
    ledger = started()
    ledger.on_fills(fills(day(0), [(0, 100, 10, 0), (1, -100, 20, 0)]))
    for s, amount in [(0, 0.5), (1, 0.2)]:
        book = ledger.on_actions(action(day(0) + 1, ActionKind.CASH_DIVIDEND, s, amount=amount, pay_at=day(2)))
    assert book.income.tolist() == [50, -20, 0, 0]
    assert (book.equity, book.cash[0]) == (10_030, 11_000)
    for k, cash in [(1, 11_000), (2, 11_030)]:
        ledger.on_bars(bars(day(k), [10.0, 20.0, 30.0, 40.0]))
        book = ledger.on_fills(fills(day(k), []))
        assert (book.cash[0], book.equity) == (cash, 10_030)


def test_rule_23_a_delisting_closes_at_the_stated_price_and_drops_open_orders() -> None:
    ledger = started()
    ledger.on_fills(fills(day(0), [(0, 100, 10, 0)]))
    ledger.on_approved(legs(Approved, symbol=[0, 1], qty=[10, 10]))
    book = ledger.on_actions(action(day(0) + 1, ActionKind.DELISTING, 0, amount=4.0))
    assert (book.qty[0], book.cash[0], book.realised[0]) == (0, 9_400, -600)
    assert book.open_orders.symbol.tolist() == [1]
    ledger.on_fills(fills(day(0), [(1, 1, 20, 0)]))
    with pytest.raises(DataError, match="delisting of B states the price nan"):
        ledger.on_actions(action(day(0) + 1, ActionKind.DELISTING, 1))


def test_rule_24_a_symbol_change_moves_the_position_at_its_cost() -> None:
    ledger = started()
    ledger.on_fills(fills(day(0), [(0, 100, 9, 0)]))
    book = ledger.on_actions(action(day(0) + 1, ActionKind.SYMBOL_CHANGE, 0, successor=3, ratio=2.0))
    assert book.qty.tolist() == [0, 0, 0, 200]
    assert book.entry[3] == 4.5
    assert np.isnan(book.entry[0])


@given(
    st.integers(-300, 300),
    st.integers(-300, 300),
    st.sampled_from([0.5, 1.0, 2.0, 0.75]),
    st.floats(5, 50).map(lambda p: round(p, 2)),
)
def test_rule_24_a_symbol_change_keeps_money_and_the_identity(old: int, new: int, ratio: float, price: float) -> None:
    ledger = started()
    rows = [(0, float(old), price, 1.0), (3, float(new), 40.0, 1.0)]
    ledger.on_fills(fills(day(0), [row for row in rows if row[1]]))
    before = ledger.book(day(0))
    after = ledger.on_actions(action(day(0) + 1, ActionKind.SYMBOL_CHANGE, 0, successor=3, ratio=ratio))
    held = after.qty != 0
    unrealised = (after.qty[held] * (after.mark[held] - after.entry[held])).sum()
    assert after.qty[0] == 0
    assert after.qty[3] == np.trunc(old * ratio + new)
    moved = old * (ratio * 40.0 - 10.0)  # the successor has a mark of its own
    assert after.equity == pytest.approx(before.equity + moved, abs=1e-6)
    assert after.equity == pytest.approx(10_000 + after.realised.sum() + unrealised - after.fees.sum(), abs=1e-6)
    assert (after.opened[held] > 0).all()


def test_a_symbol_change_without_a_ratio_is_refused() -> None:
    with pytest.raises(DataError, match="symbol change of A has ratio nan; it must be positive"):
        started().on_actions(action(day(0) + 1, ActionKind.SYMBOL_CHANGE, 0, successor=3))


def test_rule_43_currencies_are_converted_at_the_rate_of_the_event() -> None:
    universe = Universe(
        symbols=("US", "EU"),
        currencies=("USD", "EUR"),
        currency=np.array([0, 1], np.int32),
        multiplier=np.array([1.0, 10.0]),
        lot=np.ones(2),
        tick=np.zeros(2),
    )
    ledger = started(1_000.0, universe)
    ledger.on_reference(Reference(ts=day(0), name="rates", rows="currency", value=np.array([[1.0], [1.2]])))
    book = ledger.on_fills(fills(day(0), [(1, 2, 20, 5)]))
    assert book.cash.tolist() == [1_000, -405]
    assert book.equity == pytest.approx(1_000 - 5 * 1.2)
    ledger.on_reference(Reference(ts=day(0), name="rates", rows="currency", value=np.array([[1.0], [1.5]])))
    assert ledger.book(day(0)).equity == pytest.approx(1_000 - 5 * 1.5)
    with pytest.raises(DataError, match="one positive rate a currency"):
        ledger.on_reference(Reference(ts=day(0), name="rates", rows="currency", value=np.array([[1.0], [np.nan]])))


def test_working_orders_are_what_can_trade_without_a_trigger() -> None:
    ledger = started()
    kinds = np.array([OrderKind.MARKET, OrderKind.LIMIT, OrderKind.STOP], np.int32)
    ledger.on_approved(legs(Approved, symbol=[0, 0, 1], qty=[10, 5, -7], kind=kinds))
    assert ledger.book(day(0)).working.tolist() == [15, 0, 0, 0]

    def report(order: int, state: OrderState, left: float) -> None:
        row = np.array([order], np.uint64)
        symbol = np.array([0 if order < 3 else 1], np.int32)
        ledger.on_reports(
            Reports(ts=0, ids=row, symbol=symbol, state=np.array([state], np.int32), left=np.array([left]))
        )

    report(1, OrderState.ACCEPTED, 10)
    report(3, OrderState.TRIGGERED, -7)
    assert ledger.book(day(0)).working.tolist() == [15, -7, 0, 0]
    assert ledger.on_fills(fills(day(0), [(0, 4, 10, 0)], ids=[1])).working.tolist() == [11, -7, 0, 0]
    report(2, OrderState.REPLACED, 3)
    assert ledger.book(day(0)).working.tolist() == [9, -7, 0, 0]
    report(1, OrderState.EXPIRED, 6)
    book = ledger.book(day(0))
    assert (book.working.tolist(), book.open_orders.ids.tolist()) == ([3, -7, 0, 0], [2, 3])
    nothing = np.array([np.nan])
    refused = np.array([3], np.uint64)
    ledger.on_refusals(
        Refusals(
            ts=0,
            by="x",
            ids=refused,
            symbol=refused.astype(np.int32),
            qty=nothing,
            rule=("r",),
            value=nothing,
            threshold=nothing,
        )
    )
    assert ledger.book(day(0)).working.tolist() == [3, 0, 0, 0]


def test_an_approved_cancel_changes_nothing_until_it_is_reported() -> None:
    ledger = started()
    ledger.on_approved(legs(Approved, symbol=[0], qty=[10]))
    cancel = legs(
        Approved, symbol=[0], qty=[0], action=np.array([LegAction.CANCEL], np.int32), ref=np.array([1], np.uint64)
    )
    ledger.on_approved(cancel)
    assert ledger.book(day(0)).working.tolist() == [10, 0, 0, 0]


def test_an_order_that_is_approved_twice_is_one_order() -> None:
    ledger = started()
    ledger.on_approved(legs(Approved, symbol=[0], qty=[10]))
    ledger.on_approved(legs(Approved, symbol=[0, 1], qty=[10, 5]))
    book = ledger.book(day(0))
    assert (book.working.tolist(), book.open_orders.ids.tolist()) == ([10, 5, 0, 0], [1, 2])


def test_the_mode_follows_the_controls() -> None:
    ledger = started()
    for said, mode in [
        (ControlAction.REDUCE_ONLY, Mode.REDUCE_ONLY),
        (ControlAction.SWAP_MODEL, Mode.REDUCE_ONLY),
        (ControlAction.FLATTEN, Mode.HALTED),
        (ControlAction.RESUME, Mode.ACTIVE),
    ]:
        ledger.on_control(Control(ts=day(0), action=said, actor="jo"))
        assert ledger.book(day(0)).mode is mode


@pytest.mark.parametrize("close", [np.nan, np.inf])
def test_rule_17_a_price_that_is_not_finite_never_enters(close: float) -> None:
    with pytest.raises(DataError, match="has no finite close"):
        started().on_bars(bars(day(1), [close, 1.0, 1.0, 1.0], status=[0, 0, 0, 0]))


@pytest.mark.parametrize(("qty", "price"), [(1, np.nan), (np.nan, 1), (1, 0), (1, -5), (np.inf, 1)])
def test_a_fill_that_is_not_finite_or_has_no_positive_price_is_refused(qty: float, price: float) -> None:
    with pytest.raises(DataError, match="must be finite, the price positive"):
        started().on_fills(fills(day(0), [(0, qty, price, 0)]))


def test_a_book_is_not_changed_by_what_comes_later() -> None:
    ledger = started()
    first = ledger.on_fills(fills(day(0), [(0, 100, 10, 1)]))
    kept = {name: np.array(getattr(first, name)) for name in ("cash", "qty", "entry", "best", "opened", "fees", "mark")}
    ledger.on_bars(bars(day(1), [12.0, 1.0, 1.0, 1.0]))
    ledger.on_fills(fills(day(1), [(0, -30, 12, 1), (1, 5, 1, 1)]))
    ledger.on_actions(action(day(1) + 1, ActionKind.SPLIT, 0, ratio=2.0))
    for name, values in kept.items():
        np.testing.assert_array_equal(getattr(first, name), values)


def test_names_appended_to_the_universe_start_flat_after_a_restart() -> None:
    old = started()
    old.on_fills(fills(day(0), [(1, 5, 20, 1)]))
    old.on_approved(legs(Approved, symbol=[1], qty=[3]))
    new = Ledger(universe=universe_of(("A", "B", "C", "D", "NEW")), cash=0.0)
    new.load(old.save())
    book = new.book(day(1))
    assert book.qty.tolist() == [0, 5, 0, 0, 0]
    assert book.working.tolist() == [0, 3, 0, 0, 0]
    assert book.equity == old.book(day(1)).equity


def test_nobody_writes_into_the_ledger_through_a_book() -> None:
    ledger = started()
    books = [ledger.on_fills(fills(day(0), [(0, 5.0, 10.0, 1.0), (1, -5.0, 20.0, 1.0)]))]
    ledger.on_approved(legs(Approved, day(0), symbol=[0], qty=[10.0]))
    ledger.on_bars(bars(day(1), [11.0, np.nan, 30.0, 40.0]))
    books.append(ledger.on_fills(fills(day(1), [])))
    names = ("cash", "unsettled", "rate", "qty", "working", "mark", "entry", "best", "opened", "realised", "fees")
    for book in books[1:]:
        for name in (*names, "income", "interest"):
            with pytest.raises(ValueError, match="read-only"):
                getattr(book, name)[0] = 7
