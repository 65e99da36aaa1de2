"""The limits of the gate: one small formula each, in one table.

A new limit is a line of the table and an option of the gate.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np

from engine.events import Mask, Vector


class Check(msgspec.Struct, frozen=True, eq=False):
    """L orders beside the book they would change: worst case, since working orders of the same side may all fill.

    `before` and `after` count the position and every working order of the order's own side; `gross` and `net` are
    those of the whole book after this order and all orders of the batch before it. Money is in the base currency.
    """

    value: Vector  # |qty| * unit
    unit: Vector  # base money for one share
    before: Vector  # signed shares
    after: Vector
    gross: Vector
    net: Vector
    equity: float


@dataclass(frozen=True)
class Limit:
    """A formula of (L,) values, each refused above the option of the same name.

    A limit with `spares_exits` lets an order pass that only reduces a position: a position can always be left.
    """

    name: str
    formula: Callable[[Check], Vector]
    spares_exits: bool = True


LIMITS: tuple[Limit, ...] = (
    Limit("max_order_value", lambda c: c.value),
    Limit("max_weight", lambda c: np.abs(c.after) * c.unit / c.equity),
    Limit("max_gross", lambda c: c.gross / c.equity),
    Limit("max_net", lambda c: np.abs(c.net) / c.equity),
)


def exits(before: Vector, qty: Vector) -> Mask:
    """(L,) whether an order only reduces: against the position, and no further than flat."""
    result: Mask = (qty * before < 0) & (np.abs(qty) <= np.abs(before))
    return result
