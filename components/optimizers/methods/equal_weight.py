"""The same weight for every wanted name."""

import numpy as np

from components.optimizers.methods.room import capped, decided, positive, room_of
from components.optimizers.problem import Decision, Situation


class EqualWeight:
    """w_i = min(total / n, max_weight) over the n names that are wanted and can be traded.

    `total` is the sum of the wanted weights, at most `max_invest`, less what is held and cannot be traded.
    Source: DeMiguel, Garlappi, Uppal (2009), Optimal versus naive diversification, Review of Financial Studies 22(5).
    """

    def __init__(self, *, max_weight: float = 1.0, max_invest: float = 1.0) -> None:
        positive({"max_weight": max_weight, "max_invest": max_invest})
        self._max_weight, self._max_invest = max_weight, max_invest

    def weights(self, at: Situation, /) -> Decision:
        room = room_of(at, self._max_invest, self._max_weight)
        return decided(at, room, capped(np.ones(len(room.rows)), room.total, self._max_weight))
