"""A commission per share, with a minimum and a maximum an order."""

import numpy as np

from components.costs.rules import (
    COMMISSION,
    NOMINAL,
    checked,
    filled_of,
    memo_of,
    multipliers,
    one_column,
    paid_of,
    shares_of,
)
from engine.events import Matrix, Vector
from engine.protocols import Conditions
from engine.universe import Universe


class PerShare:
    """So much money a share, at least `minimum` an order and at most `maximum`, a share of the order's value.

        commission = max(minimum, min(rate shares, maximum value))            of an order

    The maximum never brings a commission below the minimum. A further partial fill costs what the order costs with it,
    less what was paid before. For futures it is money a contract: shares are counted without the multiplier, value
    is taken with it. `maximum` None = none.

    Interactive Brokers, fixed, US shares: `rate: 0.005, minimum: 1, maximum: 0.01`. LEAN: the same with `maximum:
    0.005`; there the maximum also undercuts the minimum, which only shows below a price of rate / maximum.
    zipline: `rate: 0.0075, minimum: 1`.

    Source: interactivebrokers.com, commissions of stocks, fixed pricing; LEAN, InteractiveBrokersFeeModel; zipline,
    finance/commission.py, PerShare.

    >>> costs = PerShare(rate=0.005, minimum=1.0, maximum=0.005)
    >>> at = Conditions(ts=0, symbol=np.zeros(3, np.int32))
    >>> costs.fees(np.array([100.0, -1000.0, 1000.0]), np.array([50.0, 50.0, 0.5]), at)[:, 0]
    array([1. , 5. , 2.5])
    """

    def __init__(
        self, *, rate: float, minimum: float = 0.0, maximum: float | None = None, universe: Universe | None = None
    ) -> None:
        checked({"rate": rate, "minimum": minimum, "maximum": maximum})
        if maximum is not None and maximum >= 1:
            raise ValueError(f"maximum must be below 1, a share of the order's value such as 0.005, got {maximum}")
        self._rate, self._minimum, self._maximum = rate, minimum, maximum
        self._multiplier = multipliers(universe)

    def price(self, qty: Vector, reference: Vector, at: Conditions, /) -> Vector:
        """(L,) the market's price."""
        del qty, at
        return reference

    def fees(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        """(L, K) fees in the symbol's currency, columns FEE_KINDS."""
        shares, value = shares_of(qty, at, self._multiplier), np.abs(qty * price)
        first = self._order(shares, value)
        filled = filled_of(at, self._multiplier)
        if at.filled is None or filled is None:
            return one_column(COMMISSION, first)
        memo = memo_of(at, 1)
        worth = filled * price if memo is None else memo[:, 0]
        before = self._order(at.filled, worth)
        whole = self._order(shares + at.filled, value + worth)
        left = np.maximum(whole - paid_of(at, COMMISSION, before), 0.0)
        return one_column(COMMISSION, np.where((at.filled > 0) & (shares > 0), left, first))

    def memo(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        """(L, 1) traded values, of which `maximum` is a share."""
        del at
        return np.abs(qty * price)[:, None]

    def _order(self, shares: Vector, value: Vector) -> Vector:
        raw = shares * self._rate
        if self._maximum is not None:
            raw = np.minimum(raw, value * self._maximum)
        return np.where(shares > 0, np.maximum(raw, self._minimum), 0.0)

    def rate(self) -> float:
        """One-way cost of a large trade as a share of its value, at a price of 100.

        >>> PerShare(rate=0.005, minimum=1.0).rate()
        5e-05
        """
        most = 0.99 if self._maximum is None else self._maximum
        return min(self._rate / NOMINAL, most)
