"""What a rebalance of a cash account can pay for, costs included: known before weights are chosen, and kept after."""

from dataclasses import dataclass

import numpy as np

from components.optimizers.paying import Sizing, spendable
from components.optimizers.problem import Remark
from components.optimizers.remarks import plain
from engine.events import Book, Mask, Vector

_MORE = 1.25  # times the trades of last time are expected at most; what they do not cost stays cash

_DUST = 1e-12  # of equity


@dataclass(frozen=True, slots=True)
class Purse:
    """Shares of equity. A trade of value v takes v + room |v|: what it costs, and the reserve for a worse price."""

    money: float  # that may be spent beside what sales bring
    room: float
    trades: float  # |w - w0|_1 of the last rebalance

    def payable(self, w0: Vector, invest: float, leaving: Mask) -> float:
        """What weights may add up to: all that there is, less the expected cost of trades.

        Expected are the trades that there must be, exits and what is to be invested, or 1.25 times those of last time.
        """
        held, exits = float(w0.sum()), float(np.abs(w0[leaving]).sum()) if np.count_nonzero(leaving) else 0.0
        least = exits + max(min(invest, held + self.money) - held + exits, 0.0)
        return self.money + held - self.room * max(least, _MORE * self.trades)

    def paid(self, weights: Vector, w0: Vector) -> tuple[Vector, tuple[Remark, ...]]:
        """The weights with all purchases smaller by one share where trades cost more than expected, and a remark.

        What is missing for another reason than cost is not made up for.
        """
        trade = weights - w0
        bought = float(np.add.reduce(trade, where=trade > 0))
        sold = float(-np.add.reduce(trade, where=trade < 0))
        short = bought * (1.0 + self.room) - sold * (1.0 - self.room) - self.money
        if not 0 < short <= self.room * (bought + sold) + _DUST:
            return weights, ()
        part = short / (bought * (1.0 + self.room))
        smaller = np.where(trade > 0, weights - part * trade, weights)
        text = f"purchases are smaller by {part:.2%}: their costs and the reserve are more than expected"
        return smaller, (plain("cost", text, part),) if part > 1e-6 else ()


def purse_of(sizing: Sizing, book: Book, volume: Vector | None, rate: float, trades: float) -> Purse | None:
    """None where purchases are not cut to cash: on margin, without `afford`, or where sales do not pay for them."""
    if sizing.leverage is not None or not sizing.afford or not sizing.proceeds:
        return None
    room = (1.0 + sizing.reserve_bps * 1e-4) * (1.0 + rate / 2) ** 2 - 1.0  # a price moved, and fees of it
    return Purse(spendable(sizing, book, volume) / book.equity, room, trades)
