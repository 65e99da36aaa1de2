"""LEAN's conventions as one plain loop over prices: the oracle of group L, independent of the engine."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.oracles.outcome import Fill, Outcome
from tests.oracles.tape import Market

FREE, LEAST = 0.0025, 0.001  # share of equity kept free, and below which a change is not worth an order
Timing = Literal["next_open", "same_close"]


@dataclass
class Account:
    """Cash and shares of one LEAN account, with the price that each symbol was last seen at."""

    cash: float
    leverage: float
    qty: list[float]
    price: list[float]
    fills: list[Fill] = field(default_factory=list)
    waiting: list[tuple[int, int, float]] = field(default_factory=list)  # from slice, symbol, shares

    def equity(self) -> float:
        return self.cash + sum(q * p for q, p in zip(self.qty, self.price, strict=True) if q)

    def trade(self, t: int, symbol: int, shares: float, price: float) -> None:
        paid = fee(shares, price)
        self.cash -= shares * price + paid
        self.qty[symbol] += shares
        self.fills.append(Fill(t, symbol, shares, price, paid))

    def wanted(self, symbol: int, weight: float) -> float:
        """Shares to trade for this weight: sized without a fee first, then with what the last guess would pay."""
        equity, price, held = self.equity(), self.price[symbol], self.qty[symbol]
        target = weight * (equity - FREE * equity)
        if abs(target - held * price) / self.leverage < LEAST * equity:
            return 0.0
        while True:
            whole = math.floor(target / price) if target >= 0 else math.ceil(target / price)
            if whole == held:
                return 0.0
            target = weight * (equity - fee(whole - held, price) - FREE * equity)
            if abs(whole * price) <= abs(target):
                return whole - held


def fee(shares: float, price: float) -> float:
    """Half a cent a share, at least a dollar; where it is more, at most half a percent of the value."""
    whole = 0.005 * abs(shares)
    return 1.0 if whole < 1.0 else min(whole, 0.005 * abs(shares * price))


Decide = Callable[[Account, int], Iterable[tuple[int, float]]]  # (symbol, weight), in the order of LEAN's calls


def lean(
    market: Market,
    decide: Decide,
    *,
    fill: Timing,
    leverage: float = 2.0,
    cash: float = 1e5,
    waiting: Sequence[tuple[int, int, float]] = (),
) -> Outcome:
    """Fills and equity at each slice of an account that calls `decide` at each close."""
    account = Account(cash, leverage, [0.0] * len(market.symbols), [math.nan] * len(market.symbols))
    account.waiting = list(waiting)
    days, equity = market.days(), []
    quotes = dict(market.extra)
    actions = list(market.actions)
    for t in range(len(market)):
        while actions and actions[0].ts < market.ts[t]:
            _act(account, actions.pop(0))
        if t == 0 or days[t] != days[t - 1]:
            for _, symbol, shares in (order for order in account.waiting if order[0] <= t):
                account.trade(t, symbol, shares, market.open[t, symbol])
            account.waiting = [order for order in account.waiting if order[0] > t]
        account.price = [_last(c, p) for c, p in zip(market.close[t].tolist(), account.price, strict=True)]
        shut = t + 1 == len(market) or days[t + 1] != days[t]
        for symbol, weight in decide(account, t):
            shares = account.wanted(symbol, weight)
            if not shares:
                continue
            if fill == "next_open" or shut:
                account.waiting.append((t + 1, symbol, shares))
            else:
                side = quotes.get("ask" if shares > 0 else "bid", market.close)
                account.trade(t, symbol, shares, side[t, symbol])
        equity.append(account.equity())
    return Outcome(account.fills, equity, account.cash, len(account.fills) + len(account.waiting))


def _last(close: float, before: float) -> float:
    return before if math.isnan(close) else close


def _act(account: Account, action: Any) -> None:
    s = action.symbol
    if math.isnan(action.ratio):
        account.cash += account.qty[s] * action.amount
        return
    exact = account.qty[s] * action.ratio
    account.price[s] /= action.ratio
    account.qty[s] = float(math.trunc(exact))
    account.cash += (exact - account.qty[s]) * account.price[s]
