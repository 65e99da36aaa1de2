"""The broker against a plain loop over lists: buying power, cuts, settlement, financing, margin calls and recalls."""

from typing import Any

import numpy as np
import pytest

from components.costs.bps import Bps
from components.financing.borrow_fee import BorrowFee
from components.financing.cash_interest import CashInterest
from components.financing.margin_interest import MarginInterest
from engine.events import DAY_NS
from tests.components.brokers.routed import Routed, mixed, rates, shortable
from tests.make import bars, day

UNIVERSE = mixed()
N, CASH = len(UNIVERSE), 20_000.0
LOT, POINT = UNIVERSE.lot.tolist(), UNIVERSE.multiplier.tolist()
OF = UNIVERSE.currency.tolist()
SLIPPAGE, COMMISSION, BORROW, OWED, EARNED = 0.0005, 0.0008, 0.09, 0.12, 0.03
COSTS = Bps(slippage_bps=5, commission_bps=8)
FINANCING = (
    BorrowFee(universe=UNIVERSE, annual_bps=900),
    MarginInterest(universe=UNIVERSE, annual_bps=1200),
    CashInterest(universe=UNIVERSE, annual_bps=300),
)
ACCOUNTS: dict[str, dict[str, Any]] = {
    "cash": {},
    "cash_settles_later": {"settlement_days": 2},
    "leveraged": {"leverage": 2.0, "maintenance": 0.45},
    "short": {"short": True},
    "short_and_leveraged": {"short": True, "leverage": 2.0, "maintenance": 0.4},
}


class Loop:
    """The same account in plain Python: one position, one order, one day at a time."""

    def __init__(self, short: bool = False, leverage: float = 1.0, maintenance: float = 0.0, settlement_days: int = 0):
        self.short, self.leverage, self.maintenance, self.days = short, leverage, maintenance, settlement_days
        self.cash, self.rate = [CASH, 0.0, 0.0], [1.0, 1.0, 1.0]
        self.held, self.mark, self.lent = [0.0] * N, [float("nan")] * N, [float("inf")] * N
        self.orders: list[tuple[int, float]] = []  # of the client, until the next slice
        self.own: list[tuple[int, float]] = []  # of the broker, until they are filled
        self.unsettled: list[tuple[int, int, float]] = []  # slices of weekdays to come, currency, money
        self.last = -1
        self.fills: list[tuple[int, float, float]] = []
        self.charged = 0.0
        self.calls: list[tuple[str, list[tuple[int, float]]]] = []

    def unit(self, s: int) -> float:
        return POINT[s] * self.rate[OF[s]]

    def margin(self) -> bool:
        return self.short or self.leverage > 1

    def power(self, price: list[float]) -> float:
        cash = sum(c * r for c, r in zip(self.cash, self.rate, strict=True))
        if not self.margin():
            return cash - sum(money * self.rate[c] for _, c, money in self.unsettled)
        values = [self.held[s] * price[s] * self.unit(s) for s in range(N) if self.held[s]]
        return self.leverage * (cash + sum(values)) - sum(map(abs, values))

    def need(self, s: int, q: float, price: float) -> float:
        """Of a trade at the market's price `price`."""
        paid = price * (1 + SLIPPAGE if q > 0 else 1 - SLIPPAGE if q < 0 else 1)
        fee = abs(q) * POINT[s] * paid * COMMISSION * self.rate[OF[s]]
        if self.margin():
            return (abs(self.held[s] + q) - abs(self.held[s])) * paid * self.unit(s) + fee
        out = q * paid * self.unit(s) + fee
        return max(out, 0.0) if self.days else out

    def charge(self, date: int) -> None:
        self.charged, days = 0.0, date - self.last
        if self.last < 0 or not days:
            return
        moved = [0.0, 0.0, 0.0]
        for s in range(N):
            if self.held[s] < 0:
                moved[OF[s]] += self.held[s] * self.mark[s] * POINT[s] * BORROW * days / 360
        for c in range(3):
            settled = self.cash[c] - sum(money for _, of, money in self.unsettled if of == c)
            moved[c] -= max(-self.cash[c], 0.0) * OWED * days / 360
            moved[c] += max(settled, 0.0) * EARNED * days / 360
        self.cash = [a + b for a, b in zip(self.cash, moved, strict=True)]
        self.charged = sum(moved)

    def slice(self, date: int, opens: list[float], closes: list[float], gone: list[bool]) -> None:
        self.charge(date)
        if date != self.last:  # weekdays alone count: money of a sale may be spent when its count is down
            weekdays = sum(1 for d in range(self.last + 1, date + 1) if (d + 3) % 7 < 5) if self.last >= 0 else 0
            self.unsettled = [(left - weekdays, c, money) for left, c, money in self.unsettled]
        shown = [self.mark[s] if gone[s] else opens[s] for s in range(N)]
        power, waiting = self.power(shown), [*self.own, *self.orders]
        due = [(s, q) for s, q in waiting if not gone[s]]
        self.own, self.orders, self.fills = [(s, q) for s, q in self.own if gone[s]], [], []
        due.sort(key=lambda order: order[1] * self.held[order[0]] >= 0)
        for s, wanted in due:
            q = self.most(s, wanted, opens[s], power)
            if q:
                power -= self.need(s, q, opens[s])
                self.trade(s, q, opens[s])
        self.mark = [self.mark[s] if gone[s] else closes[s] for s in range(N)]
        self.last = date
        self.calls = []
        self.recall()
        self.call()
        # Money is settled once the slice before the day on which it may be spent has said so.
        self.unsettled = [entry for entry in self.unsettled if entry[0] > 1]

    def most(self, s: int, wanted: float, price: float, power: float) -> float:
        """The largest part in whole lots beyond what closes a position, tried one lot after the other."""
        side = 1.0 if wanted > 0 else -1.0
        closes = min(abs(wanted), abs(self.held[s])) if wanted * self.held[s] < 0 else 0.0
        size = abs(wanted)
        while size > closes and self.need(s, side * size, price) > power:
            size -= LOT[s]
        return side * max(size, closes)

    def trade(self, s: int, q: float, price: float) -> None:
        paid = price * (1 + SLIPPAGE if q > 0 else 1 - SLIPPAGE)
        out = q * paid * POINT[s] + abs(q) * paid * POINT[s] * COMMISSION
        self.cash[OF[s]] -= out
        self.held[s] += q
        self.fills.append((s, q, paid))
        if q < 0 and self.days:
            self.unsettled.append((self.days, OF[s], -out))

    def recall(self) -> None:
        bought = []
        for s in range(N):
            left = self.held[s] + sum(q for of, q in self.own if of == s)
            if -left > self.lent[s]:
                lots = -(-(-left - self.lent[s]) // LOT[s])
                bought.append((s, min(lots * LOT[s], -left)))
        if bought:
            self.calls.append(("recall", bought))
            self.own += bought

    def call(self) -> None:
        values = [abs(self.held[s]) * self.mark[s] * self.unit(s) if self.held[s] else 0.0 for s in range(N)]
        equity = sum(c * r for c, r in zip(self.cash, self.rate, strict=True))
        equity += sum(self.held[s] * self.mark[s] * self.unit(s) for s in range(N) if self.held[s])
        if equity >= self.maintenance * sum(values):
            return
        left = [self.held[s] + sum(q for of, q in self.own if of == s) for s in range(N)]
        value = [abs(left[s]) * self.mark[s] * self.unit(s) if left[s] else 0.0 for s in range(N)]
        sold = {}
        for s in sorted(range(N), key=lambda s: (-value[s], s)):
            size, step = 0.0, LOT[s]
            while size < abs(left[s]) and sum(value) > self.leverage * max(equity, 0.0) + 1e-9:
                part = min(step, abs(left[s]) - size)
                size += part
                value[s] -= part * self.mark[s] * self.unit(s)
            if size:
                sold[s] = -size if left[s] > 0 else size
        if sold:
            self.calls.append(("margin_call", sorted(sold.items())))
            self.own += sorted(sold.items())

    def send(self, orders: list[tuple[int, float]]) -> None:
        free = list(self.held)
        for s, q in self.own:
            free[s] += min(q, 0.0)
        for s, q in orders:
            if any(of == s for of, _ in self.own):
                continue
            least = -self.lent[s] if self.short else 0.0
            if q < 0 and free[s] + q < least:
                continue
            free[s] += min(q, 0.0)
            self.orders.append((s, q))


def demanded(one: Routed) -> list[tuple[str, list[tuple[int, float]]]]:
    """What the broker did on its own since it was asked last."""
    notes = [(note.kind, list(zip(note.symbol.tolist(), note.value.tolist(), strict=True))) for note in one.notes()]
    one.said.clear()
    return notes


def run(account: str, seed: int) -> dict[str, int]:
    """Both, side by side, over a random market that moves enough to be called."""
    rng = np.random.default_rng(seed)
    options = ACCOUNTS[account]
    one, loop = Routed(UNIVERSE, cash=CASH, costs=COSTS, financing=FINANCING, **options), Loop(**options)
    close, k, seen = np.array([50.0, 20.0, 80.0, 9.0]), 0, {"fills": 0, "margin_call": 0, "recall": 0, "charges": 0}
    for _ in range(25):
        k += int(rng.choice([1, 1, 1, 3]))
        if rng.random() < 0.2:
            now = [1.0, *np.round(rng.uniform(0.7, 1.5, 2), 4).tolist()]
            one.feed(rates(day(k) - 5, now))
            loop.rate = now
        opening = np.round(close * np.exp(rng.normal(0, 0.04, N)), 2)
        close = np.round(opening * np.exp(rng.normal(0, 0.08, N)), 2)
        gone = rng.random(N) < 0.1
        loop.slice(day(k) // DAY_NS, opening.tolist(), close.tolist(), gone.tolist())
        one.feed(bars(day(k), np.where(gone, np.nan, close), open=np.where(gone, np.nan, opening)))
        said = demanded(one)
        assert said == loop.calls, (account, seed, k)
        got = one.traded()
        assert [(s, q) for s, q, _ in got] == [(s, q) for s, q, _ in loop.fills], (account, seed, k)
        assert [price for *_, price in got] == pytest.approx([price for *_, price in loop.fills], rel=1e-12)
        assert one.charged() == pytest.approx(loop.charged, rel=1e-9, abs=1e-9)
        assert one.ledger.book(day(k)).cash.tolist() == pytest.approx(loop.cash, rel=1e-9, abs=1e-6)
        seen["fills"] += len(got)
        seen["charges"] += bool(one.charged())
        for kind, _ in said:
            seen[kind] += 1
        if options.get("short") and rng.random() < 0.2:
            lent = rng.choice([0.0, 15.0, 50.0, np.nan], N).tolist()
            one.feed(shortable(day(k), lent))
            loop.lent, loop.calls = [float("inf") if np.isnan(x) else x for x in lent], []
            loop.recall()
            again = demanded(one)
            assert again == loop.calls
            seen["recall"] += len(again)
        count = int(rng.integers(0, 6))
        symbol = rng.choice(N, count)
        orders = [(int(s), float(q * LOT[s])) for s, q in zip(symbol, rng.integers(-120, 200, count), strict=True) if q]
        loop.send(orders)
        one.send(day(k), [s for s, _ in orders], [q for _, q in orders])
    return seen


@pytest.mark.parametrize("account", ACCOUNTS)
def test_every_fill_charge_call_and_balance_is_that_of_the_plain_loop(account: str) -> None:
    total = {"fills": 0, "margin_call": 0, "recall": 0, "charges": 0}
    for seed in range(40):
        for what, count in run(account, seed).items():
            total[what] += count
    assert total["fills"] > 500
    assert total["charges"] > 500
    assert total["margin_call"] >= 15 or "maintenance" not in ACCOUNTS[account]
    assert total["recall"] > 20 or "short" not in ACCOUNTS[account]
