"""A share of what is traded."""

import numpy as np

from components.optimizers.problem import Kink, Piece, Situation
from components.optimizers.terms.checked import above, at_least


class LinearCost:
    """sum (buy (w - w0)+ + sell (w0 - w)+) / holding_slices.

    `buy_bps` and `sell_bps` are basis points of the value traded; what is left out is the one-way rate of the broker's
    own cost model. It is paid once and a return is earned each slice, hence the time that a trade is held for.
    """

    straight: bool = True

    def __init__(
        self, *, buy_bps: float | None = None, sell_bps: float | None = None, holding_slices: float = 5.0
    ) -> None:
        self._buy = None if buy_bps is None else at_least("buy_bps", buy_bps) * 1e-4
        self._sell = None if sell_bps is None else at_least("sell_bps", sell_bps) * 1e-4
        self._slices = above("holding_slices", holding_slices)

    def cost(self, at: Situation, /) -> tuple[Piece, ...]:
        n = len(at.w0)
        up = np.full(n, (at.rate if self._buy is None else self._buy) / self._slices)
        down = np.full(n, (at.rate if self._sell is None else self._sell) / self._slices)
        return (Kink(name="linear_cost", up=up, down=down, at=at.w0),)
