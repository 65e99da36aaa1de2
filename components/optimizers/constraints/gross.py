"""Leverage: the sum of all positions, long and short."""

from components.optimizers.problem import HARD, GrossCap, Piece, Situation
from components.optimizers.terms.checked import above, price


class Gross:
    """|w|_1 <= max."""

    always: bool = True
    bounds: str = "both"

    def __init__(self, *, max: float, soft: float | None = None, firm: bool = False) -> None:
        self._max = above("max", max)
        self.soft = price(soft)
        self.firm = firm

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        return (GrossCap(name="gross", limit=self._max, soft=HARD if self.soft is None else self.soft),)
