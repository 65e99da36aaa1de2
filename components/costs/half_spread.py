"""Half the spread: buys at the ask, sells at the bid."""

import numpy as np

from components.costs.rules import BPS, checked_bps
from engine.events import FEE_KINDS, Matrix, Vector
from engine.protocols import Conditions


class HalfSpread:
    """Purchases at the ask and sales at the bid of the trade's instant, else half a spread of so many basis points.

        price_i = ask_i of purchases, bid_i of sales                  where both are known and 0 < bid_i <= ask_i
                = reference_i (1 + sign(qty_i) bps 1e-4)              elsewhere

    `bps` is half the spread. With `quotes: false` quotes are not looked at. A quote is taken as it is, so it may lie
    on the better side of the market's price, which was a trade a while ago. Feeds name quotes by columns: `bid` and
    `ask` for trades at a close, `bid_open` and `ask_open` for those at an open. Without quotes at the instant of a
    trade `bps: 0` makes it free.

    Source: LEAN, fills at the opposite side of the quote; the half spread as cost: Perold (1988), The implementation
    shortfall, J. Portfolio Management 14(3).

    >>> at = Conditions(ts=0, symbol=np.zeros(3, np.int32), bid=np.array([9.9, 9.9, np.nan]), ask=np.full(3, 10.2))
    >>> HalfSpread(bps=10).price(np.array([1.0, -1.0, 1.0]), np.full(3, 10.0), at)
    array([10.2 ,  9.9 , 10.01])
    """

    def __init__(self, *, bps: float = 0.0, quotes: bool = True) -> None:
        checked_bps({"bps": bps})
        self._share, self._quotes = bps * BPS, quotes

    def price(self, qty: Vector, reference: Vector, at: Conditions, /) -> Vector:
        """(L,) fill price of signed quantities. NaN where the reference is."""
        price: Vector = reference * (1.0 + self._share * np.sign(qty)) if self._share else reference
        if not self._quotes or at.bid is None or at.ask is None:
            return price
        known = (at.bid > 0) & (at.bid <= at.ask) & (qty != 0) & ~np.isnan(reference)
        return np.where(known, np.where(qty > 0, at.ask, at.bid), price)

    def fees(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        """(L, K) zeros: the cost is in the price."""
        del price, at
        return np.zeros((len(qty), len(FEE_KINDS)))

    def rate(self) -> float:
        """One-way cost as a share of the value, without quotes."""
        return self._share
