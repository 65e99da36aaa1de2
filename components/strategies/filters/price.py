"""Names whose price lies between bounds."""

from typing import Literal

import numpy as np

from components.strategies.guards import View, exit_of
from engine.events import Mask


class Price:
    """Passes names whose last raw close is at least `minimum` and at most `maximum`, in their own currency.

    Raw prices are what was paid: a split moves a name across a bound as it did on the day. A name that never had a
    close does not pass.

    >>> from components.strategies.guards import view_of
    >>> from engine.universe import universe_of
    >>> slice_ = bars(ts=1, close=[4.99, 5.0, np.nan])
    >>> Price(minimum=5).passes(view_of(universe_of(("A", "B", "C")), slice_, book(1, [4.99, 5.0, np.nan])))
    array([False,  True, False])
    """

    kind = "price"

    def __init__(
        self, *, minimum: float = 0.0, maximum: float | None = None, exit: Literal["hold", "sell"] = "hold"
    ) -> None:
        if not 0 <= minimum < np.inf:
            raise ValueError(f"minimum must be at least 0 and finite, got {minimum}")
        if maximum is not None and not maximum >= minimum:
            raise ValueError(f"maximum must be at least minimum ({minimum:g}), got {maximum}")
        self._low, self._high = minimum, np.inf if maximum is None else maximum
        self.exit = exit_of(exit)

    def passes(self, view: View, /) -> Mask:
        mark = view.book.mark
        return np.asarray((mark >= self._low) & (mark <= self._high))
