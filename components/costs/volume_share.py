"""Slippage that grows with the square of the share of the bar's volume: zipline's."""

import numpy as np

from components.costs.rules import against, checked
from engine.events import FEE_KINDS, Matrix, Vector
from engine.protocols import Conditions


class VolumeShare:
    """Displaces the price by the square of what the trade is of the volume of its bar.

        price_i = reference_i (1 + sign(qty_i) impact share_i^2),   share_i = min(|qty_i| / volume_i, limit)

    `limit` bounds the share in the formula, and is the share where the volume is zero or unknown; it limits no
    quantity, which is what the broker's `participation` does. zipline's defaults are `impact: 0.1, limit: 0.025`.

    Source: zipline, finance/slippage.py, VolumeShareSlippage.

    >>> at = Conditions(ts=0, symbol=np.zeros(3, np.int32), volume=np.array([1000.0, 1000.0, np.nan]))
    >>> VolumeShare(impact=0.1).price(np.array([20.0, -900.0, 1.0]), np.full(3, 100.0), at)
    array([100.004  ,  99.99375, 100.00625])
    """

    def __init__(self, *, impact: float = 0.1, limit: float = 0.025) -> None:
        checked({"impact": impact, "limit": limit})
        if limit > 1:
            raise ValueError(f"limit must be at most 1, a share of the bar's volume, got {limit}")
        if impact * limit * limit >= 1:
            raise ValueError(f"impact times limit squared must be below 1, or sales would bring nothing, got {impact}")
        self._impact, self._limit = impact, limit

    def price(self, qty: Vector, reference: Vector, at: Conditions, /) -> Vector:
        """(L,) fill price of signed quantities. NaN where the reference is."""
        share = np.full(len(qty), self._limit)
        if at.volume is not None:
            np.divide(np.abs(qty), at.volume, out=share, where=at.volume > 0)
            share = np.minimum(share, self._limit)
        return against(qty, reference, reference * (self._impact * share * share))

    def fees(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        """(L, K) zeros: the cost is in the price."""
        del price, at
        return np.zeros((len(qty), len(FEE_KINDS)))

    def rate(self) -> float:
        """One-way cost as a share of the value of a trade at the limit."""
        return self._impact * self._limit * self._limit
