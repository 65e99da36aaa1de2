"""How much is invested."""

import numpy as np

from components.optimizers.problem import HARD, Piece, Rows, Situation
from components.optimizers.terms.checked import above, open_sides, price, sides
from engine.events import Matrix


class Budget:
    """low <= sum w <= high.

    Without `min` and `max` the sum is what the targets want invested, at most `most`; with `full` exactly that, else at
    most; and never less than what cannot be sold. `min` and `max` say it outright: 1 and 1 is fully invested, 0 and 0
    neutral in money. A cash account that would be without the cash to pay for its trades gets as much less as they are
    expected to cost (`Situation.payable`).
    """

    def __init__(
        self,
        *,
        min: float | None = None,
        max: float | None = None,
        most: float = 1.0,
        full: bool = False,
        soft: float | None = None,
        firm: bool = False,
    ) -> None:
        self._given = self.always = min is not None or max is not None
        self._min, self._max = sides(*open_sides(min, max))
        self.bounds: str = "sum" if self._max < np.inf or not self._given else "none"
        self._most, self._full = above("most", most), full
        if self._given and full:
            raise ValueError("full belongs to a budget without min and max; say min and max alike instead")
        self._A: Matrix = np.ones((1, 0))  # kept, since a matrix that is the same need not be put together again
        self.soft = price(soft)
        self.firm = firm

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        low, high = self._min, self._max
        if not self._given:
            kept = float(at.w0[~at.free & ~at.leaving].sum())
            high = max(min(at.invest, self._most), kept)
            low = high if self._full else -np.inf
        elif at.payable < high:
            high = max(at.payable, min(high, float(at.w0[~at.free & ~at.leaving].sum())))
            low = min(low, high)
        if self._A.shape[1] != len(at.w0):
            self._A = np.ones((1, len(at.w0)))
        row = Rows(
            name="budget",
            A=self._A,
            low=np.array([low]),
            high=np.array([high]),
            labels=("sum",),
            soft=HARD if self.soft is None else self.soft,
        )
        return (row,)
