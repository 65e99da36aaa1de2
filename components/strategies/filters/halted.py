"""Names that the exchange has not halted."""

from typing import Literal

import numpy as np

from components.strategies.guards import View, exit_of
from engine.events import Mask, Status


class Halted:
    """Passes what is not HALTED in this slice; a name without a bar for another reason passes.

    With `exit: sell` what was halted is sold in the first slice in which it trades again.
    """

    kind = "halted"

    def __init__(self, *, exit: Literal["hold", "sell"] = "hold") -> None:
        self.exit = exit_of(exit)

    def passes(self, view: View, /) -> Mask:
        return np.asarray(view.bars.status != Status.HALTED)
