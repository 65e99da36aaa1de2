"""Trades that are too small are not made."""

import numpy as np

from components.optimizers.problem import Counted, Piece, Situation
from components.optimizers.terms.checked import above


class NoTradeZone:
    """|w - w0| is 0 or at least `width`; with `value`, at least so much base money too."""

    soft: float | None = None
    counts: bool = True

    def __init__(self, *, width: float = 0.0, value: float = 0.0, firm: bool = False) -> None:
        if width or not value:
            above("width", width)
        if value:
            above("value", value)
        self._width, self._value = width, value
        self.firm = firm

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        least = np.where(at.free, max(self._width, self._value / at.equity), 0.0)
        return (Counted(name="no_trade_zone", least_trade=least),)
