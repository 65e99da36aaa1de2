"""How many names are held, and how small a position may be."""

import numpy as np

from components.optimizers.problem import Counted, Piece, Situation
from components.optimizers.terms.checked import at_least


class Cardinality:
    """At most `most` names with a weight, each 0 or at least `least_weight`. None = no such limit."""

    soft: float | None = None
    counts: bool = True

    def __init__(self, *, most: int | None = None, least_weight: float = 0.0, firm: bool = False) -> None:
        if most is not None and most < 1:
            raise ValueError(f"most must be at least 1, got {most}")
        at_least("least_weight", least_weight)
        if most is None and not least_weight:
            raise ValueError("most or least_weight must be given: how many names, or how small a position")
        self._most, self._least = most, least_weight
        self.firm = firm

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        least = np.where(at.free, self._least, 0.0) if self._least else None
        return (Counted(name="cardinality", most=self._most, least_weight=least),)
