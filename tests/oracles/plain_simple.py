"""Decide on the close, trade at the next open: the plain loops of groups BT, BP and PA."""

import math
from collections.abc import Callable

from tests.oracles.outcome import Fill, Outcome
from tests.oracles.tape import Market

Decide = Callable[[int, float, float], float]  # (slice, cash, shares held) -> shares to trade


def next_open(market: Market, decide: Decide, *, cash: float, reject: bool = False) -> Outcome:
    """One symbol. With `reject` a purchase that the cash does not cover at its open is dropped whole."""
    held, ordered, sent, refused = 0.0, 0.0, 0, 0
    fills, equity = [], []
    for t in range(len(market)):
        opening, close = float(market.open[t, 0]), float(market.close[t, 0])
        if ordered and reject and ordered * opening > cash:
            ordered, refused = 0.0, refused + 1
        if ordered:
            cash, held = cash - ordered * opening, held + ordered
            fills.append(Fill(t, 0, ordered, opening, 0.0))
        ordered = decide(t, cash, held)
        sent += bool(ordered)
        equity.append(cash + held * close)
    return Outcome(fills, equity, cash, sent, refused)


def always_in(market: Market, side: Callable[[int], int], *, cash: float) -> Outcome:
    """backtesting.py: all cash in whole shares, closed and reversed at the open after a change of side."""
    held, wanted, cut, fills, equity = 0.0, 0, 0, [], []
    last = len(market) - 1
    for t in range(len(market)):
        opening, close = float(market.open[t, 0]), float(market.close[t, 0])
        turn = wanted and (held == 0 or (held > 0) != (wanted > 0))
        if turn or (t == last and held):
            worth = cash + held * opening
            after = 0.0 if t == last else wanted * math.floor(worth / opening)
            fills.append(Fill(t, 0, after - held, opening, 0.0))
            cash, held, cut = cash - (after - held) * opening, after, cut + bool(after)
        wanted = side(t) or wanted
        equity.append(cash + held * close)
    return Outcome(fills, equity, cash, len(fills), cut)  # asked for more than there was each time


def at_close(market: Market, amounts: list[float], *, cash: float) -> Outcome:
    """So many shares of each symbol, asked for at every close until the cash covers them, and held."""
    held, fills, equity, refused = [0.0] * len(amounts), list[Fill](), [], 0
    for t, closes in enumerate(market.close.tolist()):
        for s, (qty, close) in enumerate(zip(amounts, closes, strict=True)):
            if held[s]:
                continue
            if qty * close > cash:
                refused += 1
                continue
            held[s], cash = qty, cash - qty * close
            fills.append(Fill(t, s, qty, close, 0.0))
        equity.append(cash + sum(qty * close for qty, close in zip(held, closes, strict=True)))
    return Outcome(fills, equity, cash, len(fills) + refused, refused)
