"""Distance from weights: a pull toward the strategy's targets, the benchmark, or zero."""

import numpy as np

from components.optimizers.problem import Piece, Ridge, Situation
from components.optimizers.terms.checked import above
from components.optimizers.terms.variance import AboutName, centre, checked_about, needs_about


class Distance:
    """weight/2 |w - b|^2: keeps weights near b, or spread out where b is 0."""

    def __init__(self, *, weight: float, about: AboutName = "targets") -> None:
        self._weight, self._about = above("weight", weight), checked_about(about)
        self.needs = needs_about(about)

    def cost(self, at: Situation, /) -> tuple[Piece, ...]:
        return (Ridge(name="distance", weight=np.full(len(at.w0), self._weight), about=centre(self._about, at)),)
