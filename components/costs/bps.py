"""Costs in basis points of the traded value."""

import numpy as np

from components.costs.rules import BPS, COMMISSION, TAX, checked, checked_bps, filled_of, further, multipliers
from engine.events import FEE_KINDS, Matrix, Vector
from engine.protocols import Conditions
from engine.universe import Universe


class Bps:
    """Slippage, commission with a minimum, and a tax on sales, each in basis points of the traded value.

        price_i      = reference_i (1 + sign(qty_i) slippage)
        commission_i = max(|qty_i| price_i commission, min_commission)
        tax_i        = |qty_i| price_i tax                                   of sales only

    `min_commission` is in the currency of the symbol and is charged once an order: what a further partial fill costs
    is the commission of all that filled, at least the minimum, less what was paid before. A quantity of zero costs
    nothing. For a symbol with a multiplier the caller gives `fees` the quantity times the multiplier.

    >>> costs = Bps(commission_bps=5, slippage_bps=10, min_commission=1.0, tax_bps_sell=10)
    >>> price = costs.price(np.array([100.0, -100.0]), np.array([50.0, 50.0]))
    >>> price
    array([50.05, 49.95])
    >>> costs.fees(np.array([100.0, -100.0]), price).round(4)  # commission, exchange, tax
    array([[2.5025, 0.    , 0.    ], [2.4975, 0.    , 4.995 ]])
    """

    def __init__(
        self,
        *,
        commission_bps: float = 0.0,
        slippage_bps: float = 0.0,
        min_commission: float = 0.0,
        tax_bps_sell: float = 0.0,
        universe: Universe | None = None,
    ) -> None:
        given = {"commission_bps": commission_bps, "min_commission": min_commission, "tax_bps_sell": tax_bps_sell}
        checked(given)
        checked_bps({"slippage_bps": slippage_bps})
        self._commission, self._slippage = commission_bps * BPS, slippage_bps * BPS
        self._minimum, self._tax = min_commission, tax_bps_sell * BPS
        self._multiplier = multipliers(universe)

    def price(self, qty: Vector, reference: Vector, at: Conditions | None = None, /) -> Vector:
        """(L,) fill price of signed quantities: slippage goes against the trader. NaN where the reference is."""
        del at
        if not self._slippage:
            return reference
        return reference * (1.0 + self._slippage * np.sign(qty))

    def fees(self, qty: Vector, price: Vector, at: Conditions | None = None, /) -> Matrix:
        """(L, K) fees in the symbol's currency, columns FEE_KINDS."""
        fees = np.zeros((len(qty), len(FEE_KINDS)))
        value = np.abs(qty * price)
        if self._minimum:
            fees[:, COMMISSION] = self._least(qty, value, at)
        elif self._commission:
            fees[:, COMMISSION] = value * self._commission
        if self._tax:
            fees[:, TAX] = np.where(qty < 0, value * self._tax, 0.0)
        return fees

    def _least(self, qty: Vector, value: Vector, at: Conditions | None) -> Vector:
        """Commissions with the minimum, once an order."""
        own = value * self._commission
        first = np.where(qty != 0, np.maximum(own, self._minimum), 0.0)
        filled = None if at is None else filled_of(at, self._multiplier)
        if at is None or filled is None:
            return first
        per_share = np.divide(own, np.abs(qty), out=np.zeros(len(qty)), where=qty != 0)
        later = further(own, per_share * filled, self._minimum, at, COMMISSION)
        return np.where(filled > 0, later, first)

    def memo(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        """(L, 1) commissions before the minimum."""
        del at
        return (np.abs(qty * price) * self._commission)[:, None]

    def rate(self) -> float:
        """One-way cost of a large trade as a share of its value: the tax on sales counts half.

        >>> round(Bps(commission_bps=5, slippage_bps=5, tax_bps_sell=10).rate(), 6)
        0.0015
        """
        return self._commission + self._slippage + self._tax / 2
