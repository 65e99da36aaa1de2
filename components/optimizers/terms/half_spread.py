"""Half the quoted spread of each name."""

import numpy as np

from components.optimizers.problem import Kink, Piece, Situation
from components.optimizers.terms.checked import above, at_least


class HalfSpreadCost:
    """sum h |w - w0| / holding_slices, h half the spread of the latest quotes as a share of the price.

    A name without quotes costs `bps`. Feeds give quotes by the columns `bid` and `ask`.
    """

    straight: bool = True

    def __init__(self, *, bps: float, multiple: float = 1.0, holding_slices: float = 5.0) -> None:
        self._else = at_least("bps", bps) * 1e-4
        self._per_slice = above("multiple", multiple) / above("holding_slices", holding_slices)

    def cost(self, at: Situation, /) -> tuple[Piece, ...]:
        half = np.where(np.isnan(at.half_spread), self._else, at.half_spread) * self._per_slice
        return (Kink(name="half_spread", up=half, down=half, at=at.w0),)
