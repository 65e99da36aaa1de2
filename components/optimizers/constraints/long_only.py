"""No short positions."""

import numpy as np

from components.optimizers.problem import Box, Piece, Situation


class LongOnly:
    """w >= 0, of names that may move."""

    soft: float | None = None
    always: bool = True
    bounds: str = "below"

    def __init__(self, *, firm: bool = True) -> None:
        self.firm = firm

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        n = len(at.w0)
        return (Box(name="long_only", lower=np.where(at.free, 0.0, -np.inf), upper=np.full(n, np.inf)),)
