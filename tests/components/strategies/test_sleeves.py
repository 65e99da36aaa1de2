"""Sleeves of capital: whatever happens to the account, the sleeves together are the account."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.strategies.equal_weight import EqualWeight
from components.strategies.fixed_weights import FixedWeights
from components.strategies.long_short import LongShort
from components.strategies.score_weights import ScoreWeights
from components.strategies.sign import Sign
from components.strategies.sleeve import crossed, divided
from components.strategies.sleeves import Sleeves
from engine.errors import StateError
from engine.events import (
    ActionKind,
    Actions,
    Book,
    ChargeKind,
    Charges,
    Fills,
    Mode,
    Reference,
    Signal,
    Status,
    Target,
    TargetKind,
)
from engine.ledger import Ledger
from engine.protocols import Bookkeeping
from engine.universe import Universe
from tests.components.strategies.asked import names
from tests.make import bars, book, day, signal

NAN = np.nan


def sleeves(universe: Universe, *strategies: Any, **options: Any) -> Any:
    return Sleeves(strategies=strategies, universe=universe, name="both", **options)


class Wants:
    """Wants these shares, as long as it is asked; keeps the books it saw."""

    interval_ns = 0

    def __init__(self, *shares: float, alpha: float = NAN, limit: float = NAN) -> None:
        self.shares, self.alpha, self.limit = shares, alpha, limit
        self.books, self.fills = list[Book](), list[Fills]()

    def on_fills(self, fills: Fills, /) -> None:
        self.fills.append(fills)

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        self.books.append(book)
        if not self.shares:
            return None
        value = np.array(self.shares)
        none = np.full(len(value), NAN)
        return Target(
            ts=book.ts,
            source="w",
            kind=TargetKind.QUANTITY,
            value=value,
            alpha=np.full(len(value), self.alpha),
            limit=np.full(len(value), self.limit),
            stop=none,
        )


# ---- against the real ledger -----------------------------------------------------------------------------------------


class Account:
    """A ledger and sleeves that hear of everything, checked after every book."""

    def __init__(self, universe: Universe, made: Any, *, cash: float = 1e6, dividends: bool = True) -> None:
        keeping = Bookkeeping(dividends=dividends, fractions=dividends)
        self.ledger = Ledger(universe=universe, cash=cash, bookkeeping=keeping)
        self.universe, self.made, self.notes = universe, made, list[Any]()
        self.unexplained = 0.0  # share of all money and positions that nothing says whose it is
        plain = made._share_out

        def told(money: float, book: Book) -> None:
            sizes = [
                np.abs(part.has.cash).sum() + np.nansum(np.abs(part.has.qty * book.mark)) for part in made._sleeves
            ]
            self.unexplained = max(self.unexplained, abs(money) / max(sum(sizes), 1.0))
            plain(money, book)

        made._share_out = told
        self.book = self.ledger.book(day(0))

    def seen(self, book: Book) -> None:
        self.book = book
        self.notes += self.made.on_book(book) or ()
        parts = self.made._sleeves
        held = np.sum([part.has.qty for part in parts], axis=0)
        size = np.sum([np.abs(part.has.qty) for part in parts], axis=0)
        assert (np.abs(held - book.qty) <= 1e-8 * np.maximum(np.abs(book.qty), size)).all()
        total = sum(part.equity for part in parts)
        assert total == pytest.approx(book.equity, rel=1e-8, abs=1e-6 * max(map(abs, [part.equity for part in parts])))

    def bars(self, k: int, close: Any, **columns: Any) -> None:
        slice_ = bars(day(k), close, **columns)
        self.ledger.on_bars(slice_)
        self.made.on_bars(slice_)

    def fill(self, k: int, rows: list[tuple[int, float, float, float]]) -> None:
        symbol, qty, price, fee = zip(*rows, strict=True) if rows else ((), (), (), ())
        count = len(rows)
        fees = np.zeros((count, 3))
        fees[:, 0] = fee
        fills = Fills(
            ts=day(k),
            exec_ids=np.arange(count, dtype=np.uint64),
            order_ids=np.zeros(count, np.uint64),
            symbol=np.array(symbol, np.int32),
            qty=np.array(qty, float),
            price=np.array(price, float),
            reference=np.array(price, float),
            fees=fees,
            at=np.full(count, day(k)),
        )
        book = self.ledger.on_fills(fills)
        self.made.on_fills(fills)
        self.seen(book)

    def act(self, k: int, kind: ActionKind, s: int, *, ratio: float = 1.0, amount: float = 0.0, heir: int = -1) -> None:
        actions = Actions(
            ts=day(k) + 1,
            kind=np.array([kind], np.int32),
            symbol=np.array([s], np.int32),
            ratio=np.array([ratio]),
            amount=np.array([amount]),
            pay_at=np.array([day(k + 2)]),
            successor=np.array([heir], np.int32),
        )
        book = self.ledger.on_actions(actions)
        self.made.on_actions(actions)
        self.seen(book)

    def charge(self, k: int, kind: ChargeKind, s: int, amount: float) -> None:
        charges = Charges(
            ts=day(k),
            kind=np.array([kind], np.int32),
            symbol=np.array([s], np.int32),
            currency=np.array([0], np.int32),
            amount=np.array([amount]),
        )
        self.ledger.on_charges(charges)
        self.made.on_charges(charges)

    def decide(self, k: int, score: Any) -> Target | None:
        target: Target | None = self.made.on_signals((signal(day(k), score),), self.book)
        return target


def three(universe: Universe) -> Any:
    return sleeves(
        universe,
        ScoreWeights(universe=universe, name="a", side="long"),
        LongShort(universe=universe, name="b", count=1, gross=1.5),
        Sign(universe=universe, name="c", short=True),
        shares=(3.0, 2.0, 1.0),
        rebalance_every=4,
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), dividends=st.booleans())
def test_sleeves_sum_to_the_account_through_partial_fills_actions_and_refusals(seed: int, dividends: bool) -> None:
    rng, universe = np.random.default_rng(seed), names(5)
    account = Account(universe, three(universe), dividends=dividends)
    close, gone, pending = rng.uniform(5, 80, 5), np.zeros(5, bool), list[tuple[int, float, float, float]]()
    for k in range(14):
        close = close * np.exp(rng.normal(0, 0.03, 5))
        shown = np.where(gone | (rng.random(5) < 0.15), NAN, close)
        account.bars(k, shown)
        if rng.random() < 0.4:
            account.charge(k, ChargeKind.BORROW, int(rng.integers(0, 5)), -float(rng.uniform(0, 50)))
            kind = ChargeKind.MARGIN_INTEREST if rng.random() < 0.5 else ChargeKind.CASH_INTEREST
            account.charge(k, kind, -1, float(rng.normal(0, 50)))
        account.fill(k, pending if rng.random() < 0.8 else [])  # of the slice before; else they were refused
        target = account.decide(k, np.where(rng.random(5) < 0.2, NAN, rng.normal(size=5)))
        pending = []
        if target is not None:
            trade = np.trunc((target.value - account.book.qty) * rng.choice([0.3, 1.0, 1.0], 5))
            rows = np.flatnonzero((trade != 0) & np.isfinite(shown))
            pending = [(int(s), float(trade[s]), float(close[s] * rng.uniform(0.99, 1.01)), 1.5) for s in rows]
        if rng.random() < 0.5:
            s = int(rng.integers(0, 4))
            kind_ = [ActionKind.SPLIT, ActionKind.CASH_DIVIDEND, ActionKind.DELISTING, ActionKind.SYMBOL_CHANGE][
                int(rng.integers(0, 4))
            ]
            ratio = float(rng.choice([0.1, 0.5, 2.0, 3.0]))
            if not gone[s] and np.isfinite(account.book.mark[s]):
                account.act(k, kind_, s, ratio=ratio, amount=float(rng.uniform(0, 5)), heir=4)
                pending = [row for row in pending if row[0] != s]
                close[s] /= ratio if kind_ == ActionKind.SPLIT else 1.0
                gone[s] |= kind_ in (ActionKind.DELISTING, ActionKind.SYMBOL_CHANGE)
        if dividends:  # and fractions paid out: all money has an owner
            assert account.unexplained < 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_state_saved_and_loaded_between_slices_goes_on_the_same(seed: int) -> None:
    def session(load: bool) -> list[Any]:
        rng, universe = np.random.default_rng(seed), names(4)
        account, out = Account(universe, three(universe)), list[Any]()
        for k in range(10):
            close = rng.uniform(5, 50, 4)
            if load:
                fresh = three(universe)
                fresh.load(account.made.save())
                assert fresh.save() == account.made.save()
                account.made = fresh
            account.bars(k, close)
            account.fill(k, [(int(rng.integers(0, 4)), float(rng.integers(-50, 50)) + 0.5, 10.0, 1.0)])
            if k == 5:
                account.act(k, ActionKind.SPLIT, 1, ratio=2.0)
            target = account.decide(k, rng.normal(size=4))
            out.append(None if target is None else target.value.tolist())
        return out + [part.equity for part in account.made._sleeves]

    assert session(load=True) == session(load=False)


# ---- who gets what ---------------------------------------------------------------------------------------------------


def run(account: Account, k: int, price: float, *rows: tuple[int, float]) -> None:
    account.bars(k, [price])
    account.fill(k, [(s, qty, price, 2.0) for s, qty in rows])


def test_capital_begins_in_its_shares_and_a_partial_fill_is_divided_by_what_each_wants() -> None:
    one, other, universe = Wants(60.0), Wants(30.0), names(1)
    account = Account(universe, sleeves(universe, one, other, shares=(3.0, 1.0)), cash=1000.0)
    run(account, 0, 10.0)
    target = account.decide(0, [1.0])
    assert target is not None
    assert target.value.tolist() == [90.0]
    assert [book.equity for book in (one.books[0], other.books[0])] == [750.0, 250.0]
    run(account, 1, 11.0, (0, 45.0))
    account.decide(1, [1.0])
    assert [float(seen.books[1].qty[0]) for seen in (one, other)] == [30.0, 15.0]
    assert one.books[1].cash[0] == pytest.approx(750.0 - 330.0 - 2.0 * 30 / 45)
    assert one.books[1].entry[0] == 11.0
    assert [float(fills.qty[0]) for fills in (*one.fills, *other.fills)] == [30.0, 15.0]


def test_opposite_wishes_are_traded_within_at_the_mark_and_the_rest_goes_out() -> None:
    one, other, universe = Wants(50.0), Wants(-20.0), names(1)
    account = Account(universe, sleeves(universe, one, other), cash=1000.0)
    run(account, 0, 10.0)
    target = account.decide(0, [1.0])
    assert target is not None
    assert target.value.tolist() == [30.0]
    held = [float(part.has.qty[0]) for part in account.made._sleeves]
    assert held == [20.0, -20.0]
    assert sum(part.equity for part in account.made._sleeves) == 1000.0
    run(account, 1, 12.0, (0, 30.0))
    assert [float(part.has.qty[0]) for part in account.made._sleeves] == [50.0, -20.0]
    assert [part.equity for part in account.made._sleeves] == pytest.approx([500 + 40 - 2, 500 - 40])


@pytest.mark.parametrize(
    ("columns", "mode"),
    [({"status": [Status.HALTED]}, Mode.ACTIVE), ({"close": [NAN]}, Mode.ACTIVE), ({}, Mode.HALTED)],
    ids=["halted", "missing", "session halted"],
)
def test_rule_30_nothing_is_traded_within_at_an_old_price(columns: dict[str, Any], mode: Mode) -> None:
    universe = names(1)
    made = sleeves(universe, Wants(50.0), Wants(-20.0))
    made.on_bars(bars(day(0), columns.pop("close", [10.0]), **columns))
    where = msgspec.structs.replace(book(day(0), [10.0], cash=1000.0), mode=mode)
    target = made.on_signals((signal(day(0), [1.0]),), where)
    assert target.value.tolist() == [30.0]
    assert [float(part.has.qty[0]) for part in made._sleeves] == [0.0, 0.0]


def test_an_order_that_was_refused_changes_nothing_and_is_wanted_again() -> None:
    one, other, universe = Wants(60.0), Wants(30.0), names(1)
    account = Account(universe, sleeves(universe, one, other), cash=2000.0)
    for k in range(3):
        run(account, k, 10.0)
        target = account.decide(k, [1.0])
        assert target is not None
        assert target.value.tolist() == [90.0]
    assert [float(part.has.qty[0]) for part in account.made._sleeves] == [0.0, 0.0]


def test_working_shares_are_parts_of_those_who_want_them() -> None:
    one, other, universe = Wants(60.0), Wants(30.0), names(1)
    made = sleeves(universe, one, other)
    made.on_bars(bars(day(0), [10.0]))
    made.on_signals((signal(day(0), [1.0]),), book(day(0), [10.0], cash=2000.0))
    target = made.on_signals((signal(day(0), [1.0]),), book(day(0), [10.0], cash=2000.0, working=np.array([45.0])))
    assert [float(seen.books[1].working[0]) for seen in (one, other)] == [30.0, 15.0]
    assert target.value.tolist() == [90.0]


def test_what_nobody_asked_for_reduces_those_who_hold_it() -> None:
    one, other, universe = Wants(60.0), Wants(30.0), names(1)
    account = Account(universe, sleeves(universe, one, other), cash=2000.0)
    run(account, 0, 10.0)
    account.decide(0, [1.0])
    run(account, 1, 10.0, (0, 90.0))
    run(account, 2, 9.0, (0, -45.0))  # the broker liquidates half
    assert [float(part.has.qty[0]) for part in account.made._sleeves] == [30.0, 15.0]
    run(account, 3, 9.0, (0, -45.0))
    assert [float(part.has.qty[0]) for part in account.made._sleeves] == [0.0, 0.0]
    assert np.isnan(account.made._sleeves[0].has.entry[0])


def test_dividends_go_by_position_even_where_the_account_is_flat() -> None:
    one, other, universe = Wants(40.0), Wants(-40.0), names(1)
    account = Account(universe, sleeves(universe, one, other), cash=1000.0)
    run(account, 0, 10.0)
    account.decide(0, [1.0])
    account.act(0, ActionKind.CASH_DIVIDEND, 0, amount=0.5)
    assert account.book.equity == 1000.0
    assert [part.equity for part in account.made._sleeves] == [520.0, 480.0]


def test_dividends_that_the_account_does_not_get_are_nobodys() -> None:
    one, other, universe = Wants(60.0), Wants(0.0), names(1)
    account = Account(universe, sleeves(universe, one, other), cash=2000.0, dividends=False)
    run(account, 0, 10.0)
    account.decide(0, [1.0])
    account.bars(1, [10.0])
    account.fill(1, [(0, 60.0, 10.0, 0.0)])
    account.act(1, ActionKind.CASH_DIVIDEND, 0, amount=0.5)
    assert [part.equity for part in account.made._sleeves] == [1000.0, 1000.0]


def test_borrow_fees_go_to_the_short_sleeve_and_interest_by_cash() -> None:
    one, other, universe = Wants(40.0), Wants(-40.0), names(1)
    account = Account(universe, sleeves(universe, one, other), cash=1000.0)
    run(account, 0, 10.0)
    account.decide(0, [1.0])
    account.charge(1, ChargeKind.BORROW, 0, -6.0)
    account.charge(1, ChargeKind.CASH_INTEREST, -1, 10.0)  # cash is 100 and 900 - 6
    run(account, 1, 10.0)
    assert [part.equity for part in account.made._sleeves] == pytest.approx([500 + 1000 / 994, 494 + 8940 / 994])


def test_a_delisting_closes_each_sleeve_at_the_stated_price() -> None:
    one, other, universe = Wants(40.0), Wants(-10.0), names(1)
    account = Account(universe, sleeves(universe, one, other), cash=1000.0)
    run(account, 0, 10.0)
    account.decide(0, [1.0])
    account.bars(1, [10.0])
    account.fill(1, [(0, 30.0, 10.0, 0.0)])
    account.act(1, ActionKind.DELISTING, 0, amount=4.0)
    assert [part.equity for part in account.made._sleeves] == [500 - 240, 500 + 60]
    assert [float(part.has.qty[0]) for part in account.made._sleeves] == [0.0, 0.0]


def test_rates_of_exchange_move_the_sleeve_that_has_the_money() -> None:
    universe = msgspec.structs.replace(names(1), currencies=("USD", "EUR"), currency=np.array([1], np.int32))
    account = Account(universe, sleeves(universe, Wants(40.0), Wants(0.0)), cash=1000.0)
    run(account, 0, 10.0)
    account.decide(0, [1.0])
    account.bars(1, [10.0])
    account.fill(1, [(0, 40.0, 10.0, 0.0)])
    account.ledger.on_reference(Reference(ts=day(1), name="rates", rows="currency", value=np.array([[1.0], [1.5]])))
    account.bars(2, [11.0])
    account.fill(2, [])
    assert [part.equity for part in account.made._sleeves] == [500 + 40 * 1.5, 500.0]


def test_what_an_account_holds_already_is_shared_at_the_start() -> None:
    one, other, universe = Wants(), Wants(10.0), names(1)
    made = sleeves(universe, one, other, shares=(1.0, 3.0))
    made.on_bars(bars(day(0), [10.0]))
    target = made.on_signals((signal(day(0), [1.0]),), book(day(0), [10.0], cash=600.0, qty=[40.0]))
    assert [float(seen.books[0].qty[0]) for seen in (one, other)] == [10.0, 30.0]
    assert [seen.books[0].equity for seen in (one, other)] == [250.0, 750.0]
    assert target.value.tolist() == [20.0]  # the silent one keeps what it has


# ---- what is decided -------------------------------------------------------------------------------------------------


def test_before_any_sleeve_has_a_target_there_is_none_and_silence_keeps_the_last() -> None:
    universe = names(2)
    silent, loud = Wants(), Wants()
    made = sleeves(universe, silent, loud)
    made.on_bars(bars(day(0), [10.0, 10.0]))
    where = book(day(0), [10.0, 10.0], cash=1000.0)
    assert made.on_signals((signal(day(0), [1, 2]),), where) is None
    loud.shares = (5.0, -3.0)
    assert made.on_signals((signal(day(0), [1, 2]),), where).value.tolist() == [5.0, -3.0]
    loud.shares = ()
    assert made.on_signals((signal(day(0), [1, 2]),), where).value.tolist() == [5.0, -3.0]


def test_alphas_are_meant_by_capital_over_those_that_have_one_and_prices_are_the_first() -> None:
    universe = names(1)
    parts = (Wants(1.0, alpha=0.1), Wants(1.0), Wants(1.0, alpha=0.4, limit=9.0), Wants(1.0, limit=8.0))
    made = sleeves(universe, *parts, shares=(1.0, 5.0, 2.0, 1.0))
    made.on_bars(bars(day(0), [10.0]))
    target = made.on_signals((signal(day(0), [1.0]),), book(day(0), [10.0], cash=1000.0))
    assert target.alpha.tolist() == pytest.approx([(0.1 + 0.8) / 3])
    assert target.limit.tolist() == [9.0]
    assert np.isnan(target.stop).all()


def test_each_sleeve_reads_its_own_signal() -> None:
    universe = names(2)
    made = sleeves(
        universe,
        LongShort(universe=universe, name="a", count=1, signal="slow"),
        LongShort(universe=universe, name="b", count=1, signal="fast"),
        shares=(3.0, 1.0),
    )
    made.on_bars(bars(day(0), [10.0, 10.0]))
    two = (signal(day(0), [2, 1], source="slow"), signal(day(0), [1, 2], source="fast"))
    target = made.on_signals(two, book(day(0), [10.0, 10.0], cash=1000.0))
    assert target.value.tolist() == [25.0, -25.0]


def test_a_rebalance_of_capital_moves_cash_and_no_shares() -> None:
    one, other, universe = Wants(50.0), Wants(0.0), names(1)
    account = Account(universe, sleeves(universe, one, other, rebalance_every=3), cash=1000.0)
    for k, price in enumerate([10.0, 10.0, 20.0, 20.0]):
        account.bars(k, [price])
        account.fill(k, [(0, 50.0, 10.0, 0.0)] if k == 1 else [])
        account.decide(k, [1.0])
    assert [round(seen.equity, 6) for seen in one.books] == [500, 500, 750, 750]
    assert [round(seen.equity, 6) for seen in other.books] == [500, 500, 750, 750]
    assert [float(part.has.qty[0]) for part in account.made._sleeves] == [50.0, 0.0]


def test_the_equity_of_each_sleeve_is_told_once_a_slice() -> None:
    universe = names(1)
    account = Account(universe, sleeves(universe, Wants(50.0), Wants(0.0), names=("core", "cash")), cash=1000.0)
    for k, price in enumerate([10.0, 12.0]):
        account.bars(k, [price])
        account.fill(k, [(0, 50.0, 10.0, 0.0)] if k else [])
        account.decide(k, [1.0])
    account.act(1, ActionKind.SPLIT, 0, ratio=2.0)
    assert [(note.kind, note.source, note.text, note.value.tolist()) for note in account.notes] == [
        ("sleeve", "both", "core", [500.0]),
        ("sleeve", "both", "cash", [500.0]),
        ("sleeve", "both", "core", [600.0]),
        ("sleeve", "both", "cash", [500.0]),
    ]


def test_an_unchanged_slice_wants_exactly_what_is_held() -> None:
    universe = names(3)
    parts = [FixedWeights(universe=universe, name=n, weights={"S0": 0.3, "S2": 0.5}, rebalance="changes") for n in "ab"]
    account = Account(universe, sleeves(universe, *parts, shares=(0.7, 0.3)))
    traded = []
    for k in range(6):
        account.bars(k, [10.0 + k, 20.0, 30.0 - k])
        account.fill(k, [(int(s), float(q), 10.0, 0.0) for s, q in traded])
        target = account.decide(k, [NAN] * 3)
        assert target is not None
        change = target.value - account.book.qty
        traded = [(s, change[s]) for s in np.flatnonzero(change)]
        assert bool(traded) == (k == 0)


def test_sleeves_within_sleeves_are_sleeves() -> None:
    universe = names(2)
    inner = sleeves(universe, EqualWeight(universe=universe, name="a"), Wants(0.0, 0.0))
    account = Account(universe, sleeves(universe, inner, EqualWeight(universe=universe, name="b")))
    account.bars(0, [10.0, 20.0])
    account.fill(0, [])
    target = account.decide(0, [NAN, NAN])
    assert target is not None
    assert target.value.tolist() == [37_500.0, 18_750.0]
    account.bars(1, [11.0, 20.0])
    account.fill(1, [(0, 37_500.0, 10.0, 9.0), (1, 10_000.0, 20.0, 9.0)])
    told = [note.text for note in account.notes if note.source == "both"]
    assert told == ["sleeve 1", "sleeve 2", "sleeve 1: sleeve 1", "sleeve 1: sleeve 2"] * 2


# ---- the arithmetic --------------------------------------------------------------------------------------------------


@given(
    qty=st.floats(-1e6, 1e6).filter(lambda q: abs(q) > 1e-3),
    pending=st.lists(st.floats(-1e5, 1e5), min_size=3, max_size=3),
    held=st.lists(st.floats(-1e5, 1e5), min_size=3, max_size=3),
)
def test_parts_of_a_trade_sum_to_it(qty: float, pending: list[float], held: list[float]) -> None:
    share = np.array([0.5, 0.3, 0.2])
    both = np.array([qty, -qty])  # two symbols at once, each as if alone
    one, other = np.array(pending), np.array(held)
    whole = divided(both, np.stack([one, -one], axis=1), np.stack([other, -other], axis=1), share)
    out = whole[:, 0]
    assert (-whole[:, 1]).tolist() == out.tolist()
    assert out.sum() == pytest.approx(qty, rel=1e-8, abs=1e-8 * max(abs(h) for h in (*held, 1.0)))
    wants = np.maximum(np.sign(qty) * np.array(pending), 0.0)
    if wants.sum() >= abs(qty) * (1 + 1e-6):  # nobody gets more than it wants while others want more
        assert (np.abs(out) <= wants * (1 + 1e-6) + 1e-3).all()


@given(change=st.lists(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=2), min_size=1, max_size=5))
def test_what_crosses_sums_to_nothing_and_is_as_much_as_can(change: list[list[float]]) -> None:
    wanted = np.array(change)
    met = crossed(wanted)
    np.testing.assert_allclose(met.sum(axis=0), 0.0, atol=1e-8)
    left = wanted - met
    assert (met * wanted >= 0).all()
    assert (np.abs(met) <= np.abs(wanted) * (1 + 1e-12)).all()
    for column in left.T:  # what is left all goes one way
        assert column.max() <= 1e-8 or column.min() >= -1e-8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda u: sleeves(u), "strategies must name at least one"),
        (lambda u: sleeves(u, Wants(), shares=(1.0, 2.0)), "shares must have one value for each of the 1 strategies"),
        (lambda u: sleeves(u, Wants(), names=("a", "b")), "names must have one value"),
        (lambda u: sleeves(u, Wants(), shares=(0.0,)), "shares must be finite and above 0, got 0.0"),
        (lambda u: sleeves(u, Wants(), Wants(), names=("a", "a")), "names must differ"),
        (lambda u: sleeves(u, Wants(), rebalance_every=-1), "rebalance_every must be at least 0"),
    ],
)
def test_options_are_checked(make: Callable[[Universe], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(names(1))


def test_state_of_another_number_of_sleeves_is_refused() -> None:
    universe = names(1)
    state = sleeves(universe, Wants()).save()
    with pytest.raises(StateError, match="1 sleeves were saved and there are 2 now"):
        sleeves(universe, Wants(), Wants()).load(state)
