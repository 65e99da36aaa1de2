"""Rates for purchases and for sales, with one minimum: how many markets, and Qlib, charge."""

import numpy as np

from components.costs.quadratic_impact import impact_rate
from components.costs.rules import BPS, COMMISSION, checked, filled_of, further, multipliers, one_column
from engine.events import Matrix, Vector
from engine.protocols import Conditions
from engine.universe import Universe

_DUST = 1e-5  # of money: Qlib charges nothing for less


class BySide:
    """A commission in basis points of the traded value that differs by side, at least `minimum` an order.

        rate_i       = (buy or sell) + impact (|qty_i| / volume_i)^2
        commission_i = max(|qty_i| price_i rate_i, minimum)

    `impact` is Qlib's: it raises the rate before the minimum is applied, and counts whole where the volume is unknown
    or zero. Trades worth less than 1e-5 cost nothing. A further partial fill costs what the order costs with it, less
    what was paid before. Qlib's defaults are `buy_bps: 15, sell_bps: 25, minimum: 5`.

    Source: Qlib 0.9.7, backtest/exchange.py, open_cost, close_cost, min_cost and impact_cost.

    >>> costs = BySide(buy_bps=15, sell_bps=25, minimum=5)
    >>> at = Conditions(ts=0, symbol=np.zeros(3, np.int32))
    >>> costs.fees(np.array([1000.0, -1000.0, 1.0]), np.full(3, 10.0), at)[:, 0]
    array([15., 25.,  5.])
    """

    def __init__(
        self,
        *,
        buy_bps: float = 0.0,
        sell_bps: float = 0.0,
        minimum: float = 0.0,
        impact: float = 0.0,
        universe: Universe | None = None,
    ) -> None:
        checked({"buy_bps": buy_bps, "sell_bps": sell_bps, "minimum": minimum, "impact": impact})
        self._buy, self._sell = buy_bps * BPS, sell_bps * BPS
        self._minimum, self._impact = minimum, impact
        self._multiplier = multipliers(universe)

    def price(self, qty: Vector, reference: Vector, at: Conditions, /) -> Vector:
        """(L,) the market's price."""
        del qty, at
        return reference

    def fees(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        """(L, K) fees in the symbol's currency, columns FEE_KINDS."""
        rate = self._rate(qty, at)
        value = np.abs(qty * price)
        own = value * rate
        fees = np.where(value > _DUST, np.maximum(own, self._minimum), 0.0)
        filled = filled_of(at, self._multiplier)
        if filled is not None:
            later = further(own, filled * price * rate, self._minimum, at, COMMISSION)
            fees = np.where((filled > 0) & (value > _DUST), later, fees)
        return one_column(COMMISSION, fees)

    def memo(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        """(L, 1) commissions before the minimum."""
        return (np.abs(qty * price) * self._rate(qty, at))[:, None]

    def _rate(self, qty: Vector, at: Conditions) -> Vector:
        rate: Vector = np.where(qty > 0, self._buy, self._sell)
        return rate + impact_rate(self._impact, qty, at, self._multiplier) if self._impact else rate

    def rate(self) -> float:
        """One-way cost as a share of the value, the mean of both sides; of impact what a hundredth of volume costs.

        >>> BySide(buy_bps=15, sell_bps=25).rate()
        0.002
        """
        return min((self._buy + self._sell) / 2 + self._impact * 1e-4, 0.99)
