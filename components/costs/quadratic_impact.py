"""Qlib's impact: a charge that grows with the square of the share of the bar's volume."""

import numpy as np

from components.costs.rules import COMMISSION, checked, multipliers, one_column, shares_of
from engine.events import Matrix, Vector
from engine.protocols import Conditions
from engine.universe import Universe


def impact_rate(impact: float, qty: Vector, at: Conditions, multiplier: Vector | None) -> Vector:
    """(L,) impact (shares / volume)^2; the whole of `impact` where the volume is zero or unknown.

    >>> at = Conditions(ts=0, symbol=np.zeros(3, np.int32), volume=np.array([1000.0, 0.0, np.nan]))
    >>> impact_rate(0.1, np.array([100.0, 1.0, 1.0]), at, None)
    array([0.001, 0.1  , 0.1  ])
    """
    if at.volume is None:
        return np.full(len(qty), impact)
    share = np.divide(shares_of(qty, at, multiplier), at.volume, out=np.ones(len(qty)), where=at.volume > 0)
    return impact * share * share


class QuadraticImpact:
    """Impact as a cost beside the price, in the column of commissions.

        fee_i = |qty_i| price_i impact (|qty_i| / volume_i)^2

    The rate is `impact` whole where the volume of the bar is zero or unknown. Qlib adds it to the rate of its
    commission before the minimum is applied: for that take `by_side` with `impact`.

    Source: Qlib 0.9.7, backtest/exchange.py, `_calc_trade_info_by_order`.

    >>> at = Conditions(ts=0, symbol=np.zeros(1, np.int32), volume=np.array([1000.0]))
    >>> QuadraticImpact(impact=0.1).fees(np.array([100.0]), np.array([20.0]), at)
    array([[2., 0., 0.]])
    """

    def __init__(self, *, impact: float, universe: Universe | None = None) -> None:
        checked({"impact": impact})
        self._impact, self._multiplier = impact, multipliers(universe)

    def price(self, qty: Vector, reference: Vector, at: Conditions, /) -> Vector:
        """(L,) the market's price: the impact is charged, not displaced."""
        del qty, at
        return reference

    def fees(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        """(L, K) fees in the symbol's currency, columns FEE_KINDS."""
        return one_column(COMMISSION, np.abs(qty * price) * impact_rate(self._impact, qty, at, self._multiplier))

    def rate(self) -> float:
        """One-way cost of a trade of a hundredth of the volume, as a share of its value."""
        return min(self._impact * 1e-4, 0.99)
