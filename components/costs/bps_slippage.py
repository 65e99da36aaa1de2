"""Slippage of so many basis points of the market's price."""

import numpy as np

from components.costs.rules import BPS, checked_bps
from engine.events import FEE_KINDS, Matrix, Vector
from engine.protocols import Conditions


class BpsSlippage:
    """Purchases above and sales below the market's price by the same share of it.

        price_i = reference_i (1 + sign(qty_i) bps 1e-4)

    Source: zipline, finance/slippage.py, FixedBasisPointsSlippage.

    >>> at = Conditions(ts=0, symbol=np.zeros(2, np.int32))
    >>> BpsSlippage(bps=10).price(np.array([1.0, -1.0]), np.array([50.0, 50.0]), at)
    array([50.05, 49.95])
    """

    def __init__(self, *, bps: float) -> None:
        checked_bps({"bps": bps})
        self._share = bps * BPS

    def price(self, qty: Vector, reference: Vector, at: Conditions, /) -> Vector:
        """(L,) fill price of signed quantities. NaN where the reference is."""
        del at
        return reference * (1.0 + self._share * np.sign(qty))

    def fees(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        """(L, K) zeros: the cost is in the price."""
        del price, at
        return np.zeros((len(qty), len(FEE_KINDS)))

    def rate(self) -> float:
        """One-way cost as a share of the value."""
        return self._share
