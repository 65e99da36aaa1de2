"""Random accounts for tests: fills, charges, actions and rates through a real ledger, as its bus would carry them."""

from typing import Any

import numpy as np

from engine.events import DAY_NS, Actions, Bars, Charges, Event, Fills, Reference
from engine.ledger import Ledger
from engine.protocols import Bookkeeping
from engine.universe import Universe
from tests.make import bars, day

SPLIT, DIVIDEND, DELISTING, RENAMED = 0, 1, 2, 3


def fills(ts: int, rows: list[tuple[int, float, float, float]], *, at: int | None = None) -> Fills:
    """Rows of (symbol, quantity, price, fee); the market's price is the price itself."""
    symbol, qty, price, fee = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
    n = len(rows)
    fees = np.zeros((n, 3))
    fees[:, 0] = fee
    ids = np.arange(1, n + 1, dtype=np.uint64)
    return Fills(
        ts=ts,
        exec_ids=ids,
        order_ids=ids,
        symbol=np.array(symbol, np.int32),
        qty=np.array(qty, float),
        price=np.array(price, float),
        reference=np.array(price, float),
        fees=fees,
        at=np.full(n, ts if at is None else at),
    )


def charges(ts: int, *rows: tuple[int, int, int, float]) -> Charges:
    """Rows of (kind, symbol, currency, amount)."""
    kind, symbol, currency, amount = zip(*rows, strict=True)
    return Charges(
        ts=ts,
        kind=np.array(kind, np.int32),
        symbol=np.array(symbol, np.int32),
        currency=np.array(currency, np.int32),
        amount=np.array(amount, float),
    )


def action(ts: int, kind: int, symbol: int, *, ratio: float = 1.0, amount: float = 0.0, successor: int = 0) -> Actions:
    return Actions(
        ts=ts,
        kind=np.array([kind], np.int32),
        symbol=np.array([symbol], np.int32),
        ratio=np.array([ratio]),
        amount=np.array([amount]),
        pay_at=np.array([ts + 3 * DAY_NS]),
        successor=np.array([successor], np.int32),
    )


def markets(currencies: int = 1) -> Universe:
    """Five names: lots of one, of fifty and of a tenth, one with a multiplier, spread over the currencies."""
    return Universe(
        symbols=tuple("ABCDE"),
        currencies=("USD", "EUR", "JPY")[:currencies],
        currency=(np.arange(5) % currencies).astype(np.int32),
        multiplier=np.array([1.0, 1.0, 10.0, 1.0, 1.0]),
        lot=np.array([1.0, 50.0, 1.0, 0.1, 1.0]),
        tick=np.zeros(5),
    )


class Account:
    """A ledger that is driven through random days; `events` is everything in bus order, books included."""

    def __init__(self, universe: Universe, *, cash: float = 1e5, keeping: Bookkeeping | None = None) -> None:
        self.keeping = keeping or Bookkeeping()
        self.universe, self.cash = universe, cash
        self.ledger = Ledger(universe=universe, cash=cash, bookkeeping=self.keeping)
        self.events: list[Event] = []

    def feed(self, event: Event) -> None:
        """An event reaches the ledger, and what it answers follows."""
        self.events.append(event)
        handler = getattr(self.ledger, f"on_{type(event).__name__.lower()}", None)
        answer = handler(event) if handler else None
        if answer is not None:
            self.events.append(answer)

    @property
    def book(self) -> Any:
        return self.ledger.book(0)


def random_account(seed: int, *, currencies: int = 1, days: int = 25, keeping: Bookkeeping | None = None) -> Account:
    """Days of trades on both sides, some in a second batch of the same slice, charges, actions and rates."""
    rng = np.random.default_rng(seed)
    universe = markets(currencies)
    account = Account(universe, keeping=keeping)
    close = rng.uniform(20, 80, 5)
    gone: set[int] = set()
    for k in range(days):
        if currencies > 1 and rng.random() < 0.3:
            rates = np.r_[1.0, rng.uniform(0.5, 1.5, currencies - 1)]
            account.feed(Reference(ts=day(k), name="rates", rows="currency", value=rates[:, None]))
        close = close * np.exp(rng.normal(0, 0.03, 5))
        account.feed(_slice(k, close, gone, rng))
        if rng.random() < 0.5:
            account.feed(_charged(k, universe, rng))
        for _ in range(int(rng.integers(1, 3))):  # the second as where orders trade in their own slice
            account.feed(fills(day(k), _trades(account, close, gone, rng), at=day(k) - 5))
        if rng.random() < 0.4:
            _happens(account, k, close, gone, rng)
    return account


def _slice(k: int, close: Any, gone: set[int], rng: Any) -> Bars:
    shown = np.where([i in gone for i in range(5)] | (rng.random(5) < 0.1), np.nan, close)
    return bars(day(k), shown)


def _charged(k: int, universe: Universe, rng: Any) -> Charges:
    s = int(rng.integers(0, 5))
    own = (0, s, int(universe.currency[s]), -float(rng.uniform(0, 3)))
    kind = int(rng.integers(1, 4))
    none = (kind, -1, int(rng.integers(0, len(universe.currencies))), float(rng.normal()))
    return charges(day(k), own, none)


def _trades(account: Account, close: Any, gone: set[int], rng: Any) -> list[tuple[int, float, float, float]]:
    rows = []
    held = {s: float(account.book.qty[s]) for s in range(5)}
    for s in rng.integers(0, 5, int(rng.integers(0, 6))).tolist():
        if s in gone or (not held[s] and np.isnan(account.book.mark[s])):
            continue
        qty = -held[s] if held[s] and rng.random() < 0.4 else float(rng.integers(-9, 10))
        if qty:
            held[s] += qty
            rows.append((s, qty, float(close[s] * rng.uniform(0.98, 1.02)), float(rng.uniform(0, 2))))
    return rows


def _happens(account: Account, k: int, close: Any, gone: set[int], rng: Any) -> None:
    """A corporate action after slice k."""
    known = [s for s in range(5) if s not in gone and np.isfinite(account.book.mark[s])]
    if len(known) < 3:
        return
    s, other = rng.choice(known, 2, replace=False).tolist()
    kind = int(rng.integers(0, 4))
    if kind == SPLIT:
        ratio = float(rng.choice([2.0, 3.0, 0.5, 1.5, 1 / 3]))
        account.feed(action(day(k) + 1, SPLIT, s, ratio=ratio))
        close[s] /= ratio
    elif kind == DIVIDEND:
        account.feed(action(day(k) + 1, DIVIDEND, s, amount=float(rng.uniform(0, 1))))
    elif kind == DELISTING and rng.random() < 0.3:
        account.feed(action(day(k) + 1, DELISTING, s, amount=float(rng.uniform(0, 50))))
        gone.add(s)
    elif kind == RENAMED and rng.random() < 0.3 and _alike(account.universe, s, other):
        account.feed(action(day(k) + 1, RENAMED, s, ratio=float(rng.choice([1.0, 2.0, 0.5])), successor=other))
        gone.add(s)


def _alike(universe: Universe, s: int, other: int) -> bool:
    same = universe.currency[s] == universe.currency[other] and universe.multiplier[s] == universe.multiplier[other]
    return bool(same)
