"""Bounds of each name's weight."""

import numpy as np

from components.optimizers.problem import HARD, Box, Piece, Situation
from components.optimizers.terms.checked import open_sides, price, sides


class WeightBox:
    """min <= w <= max, the same for every name that may move. A name that cannot trade may stand outside."""

    always: bool = True

    def __init__(
        self, *, min: float | None = None, max: float | None = None, soft: float | None = None, firm: bool = False
    ) -> None:
        self._min, self._max = sides(*open_sides(min, max))
        self.bounds: str = "both" if min is not None and max is not None else "below" if max is None else "above"
        self.soft = price(soft)
        self.firm = firm

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        lower, upper = np.where(at.free, self._min, -np.inf), np.where(at.free, self._max, np.inf)
        return (Box(name="box", lower=lower, upper=upper, soft=HARD if self.soft is None else self.soft),)
