"""What several cost models share: checked options, displaced prices, fees that count per order."""

import math
from collections.abc import Mapping

import numpy as np

from engine.events import FEE_KINDS, Matrix, Vector
from engine.protocols import Conditions
from engine.universe import Universe

BPS = 1e-4
COMMISSION, TAX = FEE_KINDS.index("commission"), FEE_KINDS.index("tax")
NOMINAL = 100.0  # the price at which `rate` states what is charged by the share: a share of value depends on the price
_LEAST = 0.01  # of the market's price: a sale never brings less, or a displacement could turn it into a payment


def checked(options: Mapping[str, float | None]) -> None:
    """Raises ValueError unless each is finite and at least 0; None passes."""
    for option, value in options.items():
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{option} must be finite and at least 0, got {value}")


def checked_bps(options: Mapping[str, float]) -> None:
    """Raises ValueError unless each is at least 0 and below 10000, which is the whole price."""
    checked(options)
    for option, value in options.items():
        if value >= 1 / BPS:
            raise ValueError(f"{option} must be below 10000, or sales would bring nothing, got {value}")


def against(qty: Vector, reference: Vector, displacement: Vector | float) -> Vector:
    """The market's price moved against the trader by this much money; a sale brings a hundredth of it at least.

    >>> against(np.array([5.0, -5.0, 0.0, -5.0]), np.full(4, 10.0), np.array([1.0, 1.0, 1.0, 20.0]))
    array([11. ,  9. , 10. ,  0.1])
    """
    moved: Vector = reference + np.sign(qty) * displacement
    return np.maximum(moved, reference * _LEAST)


def multipliers(universe: Universe | None) -> Vector | None:
    """None where one share is one point for every symbol, or no universe says otherwise."""
    return None if universe is None or bool((universe.multiplier == 1).all()) else universe.multiplier


def shares_of(qty: Vector, at: Conditions, multiplier: Vector | None) -> Vector:
    """(L,) unsigned shares or contracts, of quantities that carry the multiplier."""
    return np.abs(qty) if multiplier is None else np.abs(qty) / multiplier[at.symbol]


def filled_of(at: Conditions, multiplier: Vector | None) -> Vector | None:
    """(L,) what filled before of the same orders, with the multiplier in it as in the quantity; None = nothing."""
    return at.filled if at.filled is None or multiplier is None else at.filled * multiplier[at.symbol]


def paid_of(at: Conditions, column: int, assumed: Vector) -> Vector:
    """(L,) what earlier fills of the same orders cost in this column; `assumed` where that is not known."""
    return assumed if at.paid is None else at.paid[:, column]


def memo_of(at: Conditions, width: int) -> Matrix | None:
    """(L, width) what this cost model noted of earlier fills of the same orders; None = that is not known."""
    return None if at.memo is None or at.memo.shape[1] != width else at.memo


def further(now: Vector, before: Vector, minimum: float, at: Conditions, column: int) -> Vector:
    """(L,) fees of fills of which earlier parts traded before, so that the minimum counts once an order.

        fee = max(max(minimum, earned + now) - paid, 0)

    `now` is what the rate makes of this fill; `earned`, what it made of the earlier ones, is the first column of the
    memo. Where there is none it is `paid` if that is above the minimum, else the estimate `before`: what lies below
    the minimum was not charged.
    """
    paid = paid_of(at, column, np.maximum(before, minimum))
    memo = memo_of(at, 1)
    earned = np.where(paid > minimum, paid, np.minimum(before, minimum)) if memo is None else memo[:, 0]
    return np.where(now > 0, np.maximum(np.maximum(earned + now, minimum) - paid, 0.0), 0.0)


def one_column(column: int, fees: Vector) -> Matrix:
    """(L, K) with one column filled."""
    out = np.zeros((len(fees), len(FEE_KINDS)))
    out[:, column] = fees
    return out
