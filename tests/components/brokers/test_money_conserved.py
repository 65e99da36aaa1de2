"""Money is conserved: over random markets, orders, actions, currencies and charges, in every kind of account."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.costs.bps import Bps
from components.financing.borrow_fee import BorrowFee
from components.financing.cash_interest import CashInterest
from components.financing.margin_interest import MarginInterest
from engine.events import DAY_NS, ActionKind, Actions, Book, Charges, Fills, OrderKind, TimeInForce
from tests.components.brokers.routed import Routed, mixed, rates, shortable
from tests.make import bars, day

UNIVERSE = mixed()
N, CASH = len(UNIVERSE), 20_000.0
ACCOUNTS: dict[str, dict[str, Any]] = {
    "cash": {},
    "cash_settles_later": {"settlement_days": 2},
    "margin": {"leverage": 2.0, "maintenance": 0.3},
    "short": {"short": True, "leverage": 1.5, "maintenance": 0.5},
    "short_at_the_close": {"short": True, "leverage": 3.0, "maintenance": 0.2, "fill": "same_close"},
}


def actions(ts: int, rng: np.random.Generator) -> Actions:
    """A split, a dividend or a delisting."""
    kind = rng.choice([ActionKind.SPLIT, ActionKind.CASH_DIVIDEND, ActionKind.CASH_DIVIDEND, ActionKind.DELISTING])
    return Actions(
        ts=ts,
        kind=np.array([kind], np.int32),
        symbol=np.array([rng.integers(0, N)], np.int32),
        ratio=np.array([rng.choice([0.5, 1.5, 2.0, 3.0])]),
        amount=np.array([round(float(rng.uniform(0, 5)), 2)]),
        pay_at=np.array([ts + int(rng.integers(1, 4)) * DAY_NS]),
        successor=np.array([-1], np.int32),
    )


def profit(book: Book) -> float:
    """What the book says was won and lost, in the base currency at its rates."""
    gap = np.nan_to_num(book.mark - book.entry)
    own = book.realised + gap * book.qty * UNIVERSE.multiplier - book.fees + book.income
    return float(own.dot(book.rate[UNIVERSE.currency]) + book.interest.dot(book.rate))


class Tally:
    """Checks each book against the sums of all that happened before it."""

    def __init__(self) -> None:
        self.cash = np.array([CASH, 0.0, 0.0])  # what fills, charges and paid dividends leave
        self.shift = 0.0  # what a change of rates does to profit expressed at today's rates
        self.due: list[tuple[int, int, float]] = []

    def act(self, event: Actions, before: Book, after: Book) -> None:
        s = int(event.symbol[0])
        if event.kind[0] == ActionKind.CASH_DIVIDEND:
            money = float(before.qty[s] * event.amount[0] * UNIVERSE.multiplier[s])
            self.due.append((int(event.pay_at[0]), int(UNIVERSE.currency[s]), money))
        else:  # what a split leaves of a lot and a delisted position turn into cash
            self.cash += after.cash - before.cash
            change = float((after.cash - before.cash).dot(after.rate))
            assert after.equity - before.equity == pytest.approx(
                change + held_value(after) - held_value(before), rel=1e-9, abs=1e-6
            )

    def book(self, one: Routed, book: Book, ts: int) -> None:
        for event in one.out:
            if isinstance(event, Fills):
                out = event.qty * event.price * UNIVERSE.multiplier[event.symbol] + event.fees.sum(axis=1)
                np.subtract.at(self.cash, UNIVERSE.currency[event.symbol], out)
            elif isinstance(event, Charges):
                np.add.at(self.cash, event.currency, event.amount)
        for entry in [entry for entry in self.due if entry[0] <= ts]:
            self.cash[entry[1]] += entry[2]
            self.due.remove(entry)
        owed = sum(money * float(book.rate[c]) for _, c, money in self.due)
        scale = 1e-9 * (CASH + float(np.abs(book.cash).sum()))
        np.testing.assert_allclose(book.cash, self.cash, rtol=1e-9, atol=scale)
        held = float(self.cash.dot(book.rate)) + owed + held_value(book)
        assert book.equity == pytest.approx(held, rel=1e-9, abs=scale)
        assert book.equity == pytest.approx(
            CASH + profit(book) + self.shift + book.translation, rel=1e-9, abs=10 * scale
        )


def held_value(book: Book) -> float:
    return float(np.nansum(book.qty * book.mark * UNIVERSE.multiplier * book.rate[UNIVERSE.currency]))


def send(one: Routed, ts: int, rng: np.random.Generator, mark: np.ndarray) -> None:
    count = int(rng.integers(0, 6))
    if not count:
        return
    symbol = rng.integers(0, N, count)
    qty = rng.integers(-80, 120, count) * UNIVERSE.lot[symbol]
    kind = rng.choice([OrderKind.MARKET, OrderKind.MARKET, OrderKind.LIMIT, OrderKind.STOP], count).astype(np.int32)
    near = np.round(mark[symbol] * rng.uniform(0.95, 1.05, count), 2)
    columns = {
        "kind": kind,
        "limit": np.where(kind == OrderKind.LIMIT, near, np.nan),
        "stop": np.where(kind == OrderKind.STOP, near, np.nan),
        "tif": rng.choice([TimeInForce.DAY, TimeInForce.GOOD_TILL_CANCELLED], count).astype(np.int32),
    }
    one.send(ts, symbol.tolist(), qty.tolist(), **columns)


def session(options: dict[str, Any], rng: np.random.Generator, slices: int = 14) -> Routed:
    financing = (
        BorrowFee(universe=UNIVERSE, annual_bps=500),
        MarginInterest(universe=UNIVERSE, annual_bps=900),
        CashInterest(universe=UNIVERSE, annual_bps=200, rates={"JPY": -0.01}),
    )
    costs = Bps(commission_bps=5, slippage_bps=5, min_commission=1, tax_bps_sell=10)
    one, tally = Routed(UNIVERSE, cash=CASH, costs=costs, financing=financing, **options), Tally()
    close, k = np.array([50.0, 20.0, 80.0, 9.0]), 0
    for _ in range(slices):
        k += int(rng.choice([1, 1, 1, 3]))
        if rng.random() < 0.3:
            before = one.ledger.book(day(k) - 2)
            one.feed(rates(day(k) - 2, [1.0, *np.round(rng.uniform(0.5, 2.0, 2), 4)]))
            after = one.ledger.book(day(k) - 2)
            tally.shift += profit(before) - profit(after)
        if rng.random() < 0.2:
            one.feed(shortable(day(k) - 2, rng.choice([0.0, 40.0, 200.0, np.nan], N).tolist()))
        opening = np.round(close * np.exp(rng.normal(0, 0.05, N)), 2)
        close = np.round(opening * np.exp(rng.normal(0, 0.08, N)), 2)
        gone = rng.random(N) < 0.1
        shown = np.where(gone, np.nan, close)
        book = one.feed(bars(day(k), shown, open=np.where(gone, np.nan, opening)))
        tally.book(one, book, day(k))
        one.out = []
        send(one, day(k), rng, close)
        tally.book(one, one.ledger.book(day(k)), day(k))
        if rng.random() < 0.3:
            event = actions(day(k) + 1, rng)
            before = one.ledger.book(day(k))
            tally.act(event, before, one.feed(event))
            one.out = []
            if event.kind[0] == ActionKind.SPLIT:
                close[event.symbol[0]] = round(close[event.symbol[0]] / event.ratio[0], 2)
    return one


@pytest.mark.parametrize("account", ACCOUNTS)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_money_is_conserved(account: str, seed: int) -> None:
    """Equity = cash at start + realised + unrealised - fees + income + interest + translation, to 1e-9."""
    session(ACCOUNTS[account], np.random.default_rng(seed))


@pytest.mark.parametrize("account", ACCOUNTS)
def test_the_brokers_account_equals_the_ledgers_book_after_every_slice(account: str) -> None:
    """Before the book is handed to it: the broker works out the same cash and positions on its own."""
    traded = called = 0
    for seed in range(25):
        one = session(ACCOUNTS[account], np.random.default_rng(seed))
        for cash, qty, book in one.before:
            np.testing.assert_array_equal(qty, book.qty)
            np.testing.assert_allclose(cash, book.cash, rtol=1e-9, atol=1e-6)
        traded += sum(len(event.qty) for event in one.said if isinstance(event, Fills))
        called += len(one.notes("margin_call"))
    assert traded > 200
    assert called > 0 or "maintenance" not in ACCOUNTS[account]


@pytest.mark.parametrize("account", ["cash", "cash_settles_later"])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_cash_account_spends_no_more_than_it_has(account: str, seed: int) -> None:
    """Fees of sales and negative interest may still be owed; purchases never are."""
    one = session(ACCOUNTS[account], np.random.default_rng(seed))
    assert all((book.qty >= 0).all() for *_, book in one.before)
