"""Names that traded in this slice."""

from typing import Literal

import numpy as np

from components.strategies.guards import View, exit_of
from engine.events import Mask, Status


class Tradable:
    """Passes what has a FRESH bar with volume. A bar whose volume is not known passes.

    >>> from components.strategies.guards import view_of
    >>> from engine.universe import universe_of
    >>> slice_ = bars(ts=1, close=[1.0, np.nan, 1.0], volume=[5.0, np.nan, 0.0])
    >>> Tradable().passes(view_of(universe_of(("A", "B", "C")), slice_, book(1, [1.0, 1.0, 1.0])))
    array([ True, False, False])
    """

    kind = "tradable"

    def __init__(self, *, exit: Literal["hold", "sell"] = "hold") -> None:
        self.exit = exit_of(exit)

    def passes(self, view: View, /) -> Mask:
        bars = view.bars
        return np.asarray((bars.status == Status.FRESH) & (bars.volume != 0))
