"""The price book of orders that sleep, against a plain list of them."""

from typing import Any

import numpy as np
import pytest

from components.brokers.fill_rules import Terms
from components.brokers.resting import FOREVER, Resting, joined, no_orders, taken
from components.brokers.sleepers import Sleepers
from engine.events import OrderKind
from tests.make import bars, day

LIMIT, STOP, STOP_LIMIT = int(OrderKind.LIMIT), int(OrderKind.STOP), int(OrderKind.STOP_LIMIT)
N = 3


def resting(number: int, rows: list[dict[str, Any]]) -> Resting:
    """GTC orders of symbol 0: a limit purchase at 90, but for what the rows say."""
    plain = {"symbol": 0, "left": 1.0, "kind": LIMIT, "limit": 90.0, "stop": np.nan, "until": FOREVER, "hit": False}
    column = {name: np.array([(plain | row)[name] for row in rows]) for name in plain}
    count, none = len(rows), np.full(len(rows), np.nan)
    terms = Terms(
        kind=column["kind"], limit=column["limit"], stop=column["stop"], trail=none, best=none, triggered=column["hit"]
    )
    return Resting(
        ids=np.arange(number + 1, number + 1 + count, dtype=np.uint64),
        symbol=column["symbol"].astype(np.int32),
        left=column["left"],
        state=np.zeros(count, np.int32),
        tif=np.ones(count, np.int32),
        until=column["until"].astype(np.int64),
        accepted=np.zeros(count, np.int64),
        number=np.arange(number, number + count),
        count=np.zeros(count, np.int32),
        seen=np.ones(count, bool),
        terms=terms,
    )


def one_bar(ts: int, low: float, high: float) -> Any:
    """Symbol 0 between these prices, the others far from everything."""
    return bars(ts, [low, 100.0, 100.0], open=[high, 100.0, 100.0])


@pytest.mark.parametrize(
    ("row", "low", "high", "wakes"),
    [
        ({"limit": 90.0}, 90.01, 95.0, False),
        ({"limit": 90.0}, 90.0, 95.0, True),  # a touch may fill
        ({"left": -1.0, "limit": 110.0}, 100.0, 109.99, False),
        ({"left": -1.0, "limit": 110.0}, 100.0, 110.0, True),
        ({"kind": STOP, "stop": 110.0, "limit": np.nan}, 100.0, 109.99, False),
        ({"kind": STOP, "stop": 110.0, "limit": np.nan}, 100.0, 110.0, True),
        ({"kind": STOP, "left": -1.0, "stop": 90.0, "limit": np.nan}, 90.0, 95.0, True),
        ({"kind": STOP_LIMIT, "stop": 110.0, "limit": 90.0}, 85.0, 95.0, False),  # its limit does not count yet
        ({"kind": STOP_LIMIT, "stop": 110.0, "limit": 90.0, "hit": True}, 85.0, 95.0, True),
        ({"kind": STOP_LIMIT, "stop": 110.0, "limit": 90.0, "hit": True}, 100.0, 115.0, False),
        ({"until": day(2) - 1}, 99.0, 101.0, True),  # its date has passed
        ({"until": day(2)}, 99.0, 101.0, False),
    ],
)
def test_an_order_wakes_with_the_bar_that_may_meet_its_price(row, low, high, wakes):
    book = Sleepers(N)
    book.add(resting(0, [row]))
    assert (book.met(one_bar(day(2), low, high)).ids.tolist() == [1]) is wakes
    assert len(book) == (0 if wakes else 1)


def test_those_further_away_sleep_on():
    book = Sleepers(N)
    book.add(resting(0, [{"limit": limit} for limit in (50.0, 90.0, 70.0, 89.0)] + [{"left": -1.0, "limit": 120.0}]))
    assert book.met(one_bar(day(2), 88.0, 100.0)).ids.tolist() == [2, 4]
    assert book.met(one_bar(day(3), 88.0, 100.0)).ids.tolist() == []
    assert book.met(one_bar(day(4), 60.0, 130.0)).ids.tolist() == [3, 5]
    assert book.all().ids.tolist() == [1]


def test_a_missing_bar_wakes_nobody():
    book = Sleepers(N)
    book.add(resting(0, [{}]))
    assert book.met(bars(day(2), [np.nan, 1.0, 1.0])).ids.tolist() == []


class Plain:
    """The same as a list: every question looks at every order."""

    def __init__(self) -> None:
        self.orders = no_orders()

    def add(self, orders: Resting) -> None:
        self.orders = joined(self.orders, orders)

    def out(self, rows: Any) -> Resting:
        woken = taken(self.orders, rows) if rows.any() else no_orders()
        self.orders = taken(self.orders, ~rows) if not rows.all() else no_orders()
        return woken

    def met(self, of: Any) -> Resting:
        if not self.orders.ids.size:
            return self.orders
        terms, s, buys = self.orders.terms, self.orders.symbol, self.orders.left > 0
        assert terms is not None
        waits = (terms.kind != LIMIT) & ~terms.triggered
        level = np.where(waits, terms.stop, terms.limit)
        met = np.where(buys == waits, of.high[s] >= level, of.low[s] <= level)
        return self.out(met | (self.orders.until < of.ts))

    def sales(self) -> Any:
        orders = self.orders
        if not orders.ids.size:
            return np.zeros(N)
        assert orders.terms is not None
        waits = (orders.terms.kind != LIMIT) & ~orders.terms.triggered
        shares = np.where(waits, 0.0, np.minimum(orders.left, 0.0))
        return np.bincount(orders.symbol, weights=shares, minlength=N)


@pytest.mark.parametrize("seed", range(6))
def test_it_finds_what_a_plain_list_finds(seed):
    rng = np.random.default_rng(seed)
    book, plain, number, price = Sleepers(N), Plain(), 0, np.full(N, 100.0)
    woken = 0
    for t in range(400):
        count = int(rng.integers(0, 12))
        rows = [
            {
                "symbol": int(rng.integers(N)),
                "left": float(rng.choice([-3.0, -1.0, 1.0, 2.0])),
                "kind": int(rng.choice([LIMIT, STOP, STOP_LIMIT])),
                "limit": float(rng.integers(60, 140)),
                "stop": float(rng.integers(60, 140)),
                "hit": bool(rng.random() < 0.2),
                "until": int(rng.choice([FOREVER, day(t + 5)])),
            }
            for _ in range(count)
        ]
        if rows:
            new = resting(number, rows)
            number += count
            book.add(new)
            plain.add(new)
        price = price + rng.normal(0, 3, N)
        what = rng.integers(4)
        if what < 2:
            of = bars(day(t), price, open=price + rng.normal(0, 2, N))
            got, expected = book.met(of), plain.met(of)
        elif what == 2 and number:
            ids = rng.integers(1, number + 1, 5)
            got, expected = book.of_ids(ids.tolist()), plain.out(np.isin(plain.orders.ids, ids))
        else:
            s = int(rng.integers(N))
            got, expected = book.of_symbol(s), plain.out(plain.orders.symbol == s)
        woken += len(got.ids)
        assert sorted(got.ids.tolist()) == sorted(expected.ids.tolist())
        for name in ("ids", "left", "symbol", "until", "number"):
            order = np.argsort(plain.orders.number)
            assert getattr(book.all(), name).tolist() == getattr(plain.orders, name)[order].tolist()
        assert (np.zeros(N) if book.sales() is None else book.sales()).tolist() == plain.sales().tolist()
        assert len(book) == len(plain.orders.ids)
    assert woken > 1000


def test_rows_of_those_that_have_woken_are_let_go():
    book = Sleepers(N)
    for t in range(200):
        book.add(resting(100 * t, [{"limit": 90.0 - (i % 2) * 80} for i in range(100)]))
        assert len(book.met(one_bar(day(t), 85.0, 100.0)).ids) == 50
        book.of_ids(book.all().ids[:45].tolist())
    assert len(book) == 200 * 5
    assert sum(len(batch.orders.ids) for batch in book._batches) <= 2 * len(book) + 1024
    assert sum(len(heap) for heap in book._falling.values()) <= 2 * len(book) + 1024
