"""Qlib's strategies, exchange and account as plain loops: the oracle of group Q, independent of the engine."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


class Trade(NamedTuple):
    t: int
    symbol: int
    qty: float
    price: float
    fee: float


@dataclass
class Rules:
    """Costs by side with a minimum, lots, and the limit of a day's change beyond which a name cannot be traded."""

    open_cost: float = 0.0005
    close_cost: float = 0.0015
    min_cost: float = 5.0
    unit: float = 1.0
    limit: float = math.inf
    risk_degree: float = 0.95

    def lots(self, amount: float) -> float:
        return math.floor((amount + 0.1) / self.unit) * self.unit

    def cost(self, value: float, rate: float) -> float:
        return max(value * rate, self.min_cost) if value > 1e-5 else 0.0


@dataclass
class Days:
    """T days of N names: closes (NaN = suspended), changes, and scores as stamped. Row 0 comes before the first."""

    close: np.ndarray[Any, Any]
    change: np.ndarray[Any, Any]
    score: np.ndarray[Any, Any]


@dataclass
class Account:
    cash: float
    qty: dict[int, float] = field(default_factory=dict)  # in the order in which names were bought
    mark: dict[int, float] = field(default_factory=dict)
    age: dict[int, int] = field(default_factory=dict)  # bars held
    trades: list[Trade] = field(default_factory=list)
    turnover: float = 0.0
    cost: float = 0.0

    def value(self) -> float:
        return self.cash + sum(q * self.mark[s] for s, q in self.qty.items())

    def deal(self, t: int, symbol: int, qty: float, price: float, rules: Rules) -> None:
        """One order through the exchange: cut to what is held or can be paid, then booked."""
        rate = rules.open_cost if qty > 0 else rules.close_cost
        held = self.qty.get(symbol, 0.0)
        if qty < 0:
            qty = -held if -qty >= held else -rules.lots(min(held, -qty))
            if self.cash - qty * price < rules.cost(-qty * price, rate):
                return
        elif self.cash < rules.cost(qty * price, rate):
            return
        elif self.cash < qty * price + rules.cost(qty * price, rate):
            enough = rate > 0 and self.cash >= rules.min_cost / rate + rules.min_cost
            paid = self.cash / (1 + rate) if enough or not rate else self.cash - rules.min_cost
            qty = rules.lots(min(paid / price, qty))
        else:
            qty = rules.lots(qty)
        if not qty:
            return
        value = abs(qty) * price
        fee = rules.cost(value, rate)
        self.cash -= qty * price + fee
        self.turnover, self.cost = self.turnover + value, self.cost + fee
        self.trades.append(Trade(t, symbol, qty, price, fee))
        if held + qty:
            self.qty[symbol] = held + qty
            self.age.setdefault(symbol, 0)
            self.mark[symbol] = price if not held else self.mark[symbol]
        else:
            del self.qty[symbol], self.age[symbol]


Decide = Callable[[int, Account], list[tuple[int, float]]]  # orders of day t, in sequence


@dataclass
class Ran:
    """The account at the end of each day, one row a day from day 1 on."""

    account: list[float] = field(default_factory=list)
    cash: list[float] = field(default_factory=list)
    gross: list[float] = field(default_factory=list)  # return before costs
    turnover: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    holdings: list[dict[int, float]] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)


def run(days: Days, decide: Decide, rules: Rules, cash: float) -> Ran:
    """Day after day: orders in sequence at that day's close, then marks, then the figures of the day."""
    account, out, before = Account(cash), Ran(), cash
    for t in range(1, len(days.close)):
        spent, traded = account.cost, account.turnover
        for symbol, qty in decide(t, account):
            if tradable(days, rules, t, symbol, both=False, buy=qty > 0):
                account.deal(t, symbol, qty, float(days.close[t, symbol]), rules)
        for s in account.qty:
            close = float(days.close[t, s])
            account.mark[s] = account.mark[s] if math.isnan(close) else close
            account.age[s] += 1
        now, paid = account.value(), account.cost - spent
        out.account.append(now)
        out.cash.append(account.cash)
        out.gross.append((now - before + paid) / before)
        out.turnover.append((account.turnover - traded) / before)
        out.cost.append(paid / before)
        out.holdings.append(dict(account.qty))
        before = now
    out.trades = account.trades
    return out


def tradable(days: Days, rules: Rules, t: int, symbol: int, *, both: bool = True, buy: bool = True) -> bool:
    change = days.change[t, symbol]
    up, down = change >= rules.limit, change <= -rules.limit
    limited = up or down if both else (up if buy else down)
    return not math.isnan(days.close[t, symbol]) and not limited


def topk_dropout(days: Days, rules: Rules, *, topk: int, n_drop: int) -> Decide:
    """Reference 2.1 with its defaults: sells from the bottom, buys from the top, one bar held at least."""

    def down(names: list[int], score: Any) -> list[int]:
        return sorted(names, key=lambda s: math.inf if math.isnan(score[s]) else -score[s])

    def decide(t: int, account: Account) -> list[tuple[int, float]]:
        score = days.score[t - 1]
        known = [s for s in range(len(score)) if not math.isnan(score[s])]
        if not known:
            return []
        last = down(sorted(account.qty), score)  # Qlib leaves the order of ties to chance
        fresh = [s for s in down(known, score) if s not in account.qty]
        today = fresh[: n_drop + topk - len(last)]
        both = down(last + today, score)
        worst = both[-n_drop:] if n_drop else both
        sells = [s for s in last if s in worst]
        buys = today[: len(sells) + topk - len(last)]
        orders, cash = [], account.cash
        for s in list(account.qty):
            if s in sells and tradable(days, rules, t, s) and account.age[s] >= 1:
                value = account.qty[s] * float(days.close[t, s])
                orders.append((s, -account.qty[s]))
                cash += value - rules.cost(value, rules.close_cost)
        for s in buys:
            if tradable(days, rules, t, s):
                budget = rules.risk_degree * cash / len(buys)
                orders.append((s, rules.lots(budget / float(days.close[t, s]))))
        return [order for order in orders if order[1]]

    return decide


def equal_weight(days: Days, rules: Rules, *, topk: int) -> Decide:
    """Equal weights of the top names by generator WOInteract: sized at the last close, nothing on the first day."""

    def decide(t: int, account: Account) -> list[tuple[int, float]]:
        if t == 1:
            return []
        score = days.score[t - 1]
        top = sorted((s for s in range(len(score)) if not math.isnan(score[s])), key=lambda s: -score[s])[:topk]
        value = rules.risk_degree * account.value()
        wanted = {}
        for s in top:
            if tradable(days, rules, t, s) and tradable(days, rules, t - 1, s):
                wanted[s] = value / topk / float(days.close[t - 1, s])
            elif s in account.qty:
                wanted[s] = value / topk / account.mark[s]
        orders = []
        for s in sorted(set(wanted) | set(account.qty)):
            held = account.qty.get(s, 0.0)
            change = wanted.get(s, 0.0) - held
            if not tradable(days, rules, t, s):
                continue
            whole = -held if s not in wanted else math.copysign(rules.lots(abs(change)), change)
            if whole:
                orders.append((s, whole))
        return sorted(orders, key=lambda order: order[1] > 0)

    return decide
