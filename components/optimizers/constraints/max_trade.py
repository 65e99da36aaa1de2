"""How much of one name is traded in one rebalance."""

import numpy as np

from components.optimizers.problem import HARD, Box, Piece, Situation
from components.optimizers.terms.checked import above, price


class MaxTrade:
    """|w - w0| <= max, for each name that may move."""

    bounds: str = "both"
    trades: bool = True

    def __init__(self, *, max: float, soft: float | None = None, firm: bool = False) -> None:
        self._max = above("max", max)
        self.soft = price(soft)
        self.firm = firm

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        lower, upper = np.where(at.free, at.w0 - self._max, -np.inf), np.where(at.free, at.w0 + self._max, np.inf)
        return (Box(name="max_trade", lower=lower, upper=upper, soft=HARD if self.soft is None else self.soft),)
