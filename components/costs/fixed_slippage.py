"""Slippage of a fixed amount of money a share."""

import numpy as np

from components.costs.rules import NOMINAL, against, checked
from engine.events import FEE_KINDS, Matrix, Vector
from engine.protocols import Conditions


class FixedSlippage:
    """Purchases above and sales below the market's price by the same amount, in units of price.

        price_i = reference_i + sign(qty_i) amount

    A sale brings a hundredth of the market's price at least. A fixed spread of 0.02 is an amount of 0.01.

    Source: zipline, finance/slippage.py, FixedSlippage, whose `spread` is twice the amount.

    >>> at = Conditions(ts=0, symbol=np.zeros(2, np.int32))
    >>> FixedSlippage(amount=0.05).price(np.array([1.0, -1.0]), np.array([50.0, 50.0]), at)
    array([50.05, 49.95])
    """

    def __init__(self, *, amount: float) -> None:
        checked({"amount": amount})
        self._amount = amount

    def price(self, qty: Vector, reference: Vector, at: Conditions, /) -> Vector:
        """(L,) fill price of signed quantities. NaN where the reference is."""
        del at
        return against(qty, reference, self._amount)

    def fees(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        """(L, K) zeros: the cost is in the price."""
        del price, at
        return np.zeros((len(qty), len(FEE_KINDS)))

    def rate(self) -> float:
        """One-way cost as a share of the value, at a price of 100."""
        return min(self._amount / NOMINAL, 0.99)
