"""When what is held has drifted away from what was wanted."""

import numpy as np

from components.strategies.guards import View, share_of, slices_of


class DriftBand:
    """Due when held weights are further from those wanted last than a band.

        max |w - w*| > single     or     sum |w - w*| > total

    w (N,) counts what works too. w* are the weights of the target as it was said, 0 for what a rule closed since; names
    that it left alone do not count. With `every` it is also due that many slices after it was due last: a strategy
    that picks names by a signal is not asked about them by drift alone. Purchases that never filled are drift as well.
    """

    def __init__(self, *, single: float | None = None, total: float | None = None, every: int | None = None) -> None:
        if single is None and total is None:
            raise ValueError("single or total must be given, got none of them")
        self._single = np.inf if single is None else share_of("single", single)
        self._total = np.inf if total is None else share_of("total", total)
        self._every = np.inf if every is None else slices_of("every", every)

    def due(self, view: View, /) -> bool:
        if view.wanted is None or view.slices >= self._every:
            return True
        away = np.abs(view.weights - view.wanted)
        away = away[~np.isnan(away)]
        return bool(away.size and (away.max() > self._single or away.sum() > self._total))
