"""One batch of orders on its way through the gate: what is used up so far, what is unsound, what was refused."""

from typing import Any

import msgspec
import numpy as np

from components.gates.exposure import Whole
from components.gates.form import Why
from components.gates.rules import Check
from engine.events import Book, Legs, Mask, Refusals, Vector


class Batch(msgspec.Struct, eq=False, gc=False):
    """What the orders before this one have used up."""

    book: Book
    high: Vector  # (N,) position if all working purchases fill
    low: Vector  # and if all working sales do
    whole: Whole | None  # None = no limit asks for it
    sent: int  # orders of the last minute
    open: int
    symbols: dict[int, int] = {}  # of the orders that work, by id
    ids: set[int] = set()  # of the legs before

    def take(self, symbol: int, qty: float, check: Check, *, opens: bool) -> None:
        """Counts an order that was approved."""
        # A replace that asks for less frees nothing before the broker has agreed to it.
        if qty > 0:
            self.high[symbol] = max(self.high[symbol], check.after[0])
        else:
            self.low[symbol] = min(self.low[symbol], check.after[0])
        if self.whole is not None:
            self.whole.take(symbol, qty, float(check.before[0]), float(check.unit[0]))
        self.sent += 1
        self.open += opens


def unsound(check: Check, leaves: bool) -> Why | None:
    """What is wrong with the figures themselves: the gate fails closed."""
    unit = float(check.unit[0])
    if not (np.isfinite(check.value[0]) and unit > 0):
        return "price", unit, 0.0
    if not (leaves or (np.isfinite(check.equity) and check.equity > 0)):
        return "equity", check.equity, 0.0
    return None


def every(mask: Mask) -> bool:
    """mask.all(), for a handful of legs at a tenth of its cost."""
    return 0 not in mask.tobytes()


def known(symbols: list[int], n: int) -> bool:
    """Whether each is one of n symbols."""
    return not symbols or (min(symbols) >= 0 and max(symbols) < n)


def refusals(orders: Legs, refused: list[tuple[int, Why]], by: str) -> Refusals:
    """These rows of the orders, each with what refused it."""
    rows: Any = np.array([row for row, _ in refused])
    return Refusals(
        ts=orders.ts,
        by=by,
        ids=orders.ids[rows],
        symbol=orders.symbol[rows],
        qty=orders.qty[rows],
        rule=tuple(rule for _, (rule, _, _) in refused),
        value=np.array([value for _, (_, value, _) in refused], np.float64),
        threshold=np.array([threshold for _, (_, _, threshold) in refused], np.float64),  # an option may be whole
    )
