"""zipline's conventions as a plain loop over one symbol: the oracle of group Z, independent of the engine."""

import math
from collections.abc import Callable

from tests.oracles.outcome import Fill, Outcome
from tests.oracles.tape import Market

CAP, IMPACT, PER_SHARE, LEAST = 0.025, 0.1, 0.0075, 1.0


class Order:
    """What is left of an order, and what its fills have paid so far."""

    def __init__(self, qty: float) -> None:
        self.left, self.done, self.paid = qty, 0.0, 0.0

    def owes(self, shares: float) -> float:
        """The fee of another fill: the order as a whole pays at least the minimum."""
        self.done += abs(shares)
        due = max(PER_SHARE * self.done, LEAST) - self.paid
        self.paid += due
        return due


Decide = Callable[[int, float], float]  # (slice, shares held) -> shares to order


def zipline(market: Market, decide: Decide, *, cash: float = 1e7) -> Outcome:
    """Orders fill at the closes of the slices after theirs, each bar at most its share of the volume."""
    held, sent, waiting, fills, equity, actions = 0.0, 0, [], [], [], list(market.actions)
    for t in range(len(market)):
        while actions and actions[0].ts < market.ts[t]:
            ratio = actions.pop(0).ratio
            if not math.isnan(ratio):
                held = math.floor(round(held * ratio, 9))
                for order in waiting:
                    order.left = math.floor(round(order.left * ratio, 9))
        close, volume = float(market.close[t, 0]), float(market.volume[t, 0])
        room = math.floor(CAP * volume)
        for order in waiting:
            side = 1 if order.left > 0 else -1
            shares = min(abs(order.left), room)
            if shares < 1:
                continue
            room -= shares
            price = close * (1 + side * IMPACT * (shares / volume) ** 2)
            fee = order.owes(shares)
            order.left -= side * shares
            held += side * shares
            cash -= side * shares * price + fee
            fills.append(Fill(t, 0, side * shares, price, fee))
        waiting = [order for order in waiting if order.left]
        qty = decide(t, held)
        if qty:
            waiting.append(Order(qty))
            sent += 1
        equity.append(cash + held * close)
    return Outcome(fills, equity, cash, sent)
