"""Costs in basis points of the traded value."""

import math

import numpy as np

from engine.events import FEE_KINDS, Matrix, Vector

_BPS = 1e-4
_COMMISSION, _TAX = FEE_KINDS.index("commission"), FEE_KINDS.index("tax")


class Bps:
    """Slippage, commission with a minimum, and a tax on sales, each in basis points of the traded value.

        price_i      = reference_i (1 + sign(qty_i) slippage)
        commission_i = max(|qty_i| price_i commission, min_commission)
        tax_i        = |qty_i| price_i tax                                   of sales only

    `min_commission` is in the currency of the symbol and is charged once a fill. A quantity of zero costs nothing.
    For a symbol with a multiplier the caller gives `fees` the quantity times the multiplier.

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
    ) -> None:
        given = {
            "commission_bps": commission_bps,
            "slippage_bps": slippage_bps,
            "min_commission": min_commission,
            "tax_bps_sell": tax_bps_sell,
        }
        for option, value in given.items():
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{option} must be finite and at least 0, got {value}")
        if slippage_bps >= 1 / _BPS:
            raise ValueError(f"slippage_bps must be below 10000, or sales would bring nothing, got {slippage_bps}")
        self._commission, self._slippage = commission_bps * _BPS, slippage_bps * _BPS
        self._minimum, self._tax = min_commission, tax_bps_sell * _BPS

    def price(self, qty: Vector, reference: Vector, /) -> Vector:
        """(L,) fill price of signed quantities: slippage goes against the trader. NaN where the reference is."""
        if not self._slippage:
            return reference
        return reference * (1.0 + self._slippage * np.sign(qty))

    def fees(self, qty: Vector, price: Vector, /) -> Matrix:
        """(L, K) fees in the symbol's currency, columns FEE_KINDS."""
        fees = np.zeros((len(qty), len(FEE_KINDS)))
        value = np.abs(qty * price)
        if self._minimum:
            fees[:, _COMMISSION] = np.where(qty != 0, np.maximum(value * self._commission, self._minimum), 0.0)
        elif self._commission:
            fees[:, _COMMISSION] = value * self._commission
        if self._tax:
            fees[:, _TAX] = np.where(qty < 0, value * self._tax, 0.0)
        return fees

    def rate(self) -> float:
        """One-way cost of a large trade as a share of its value: the tax on sales counts half.

        >>> round(Bps(commission_bps=5, slippage_bps=5, tax_bps_sell=10).rate(), 6)
        0.0015
        """
        return self._commission + self._slippage + self._tax / 2
