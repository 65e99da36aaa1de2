"""Weights inverse to volatility, or to variance."""

from typing import Literal

from components.optimizers.methods.room import (
    NO_HISTORY,
    NO_VARIANCE,
    cannot,
    capped,
    decided,
    moving,
    positive,
    room_of,
    variances,
)
from components.optimizers.problem import Decision, Situation


class InverseVolatility:
    """w_i proportional to 1 / sigma_i, or to 1 / sigma_i^2 with `of: variance`; correlations do not count.

    The best split where all correlations are equal (volatility) or zero (variance). A name of no variance gets no
    weight (remark `no_variance`). What `max_weight` cuts goes to the others in proportion.

    Source: Maillard, Roncalli, Teiletche (2010), The properties of equally weighted risk contribution portfolios,
    J. Portfolio Management 36(4), section 2.
    """

    needs_risk: bool = True

    def __init__(
        self,
        *,
        of: Literal["volatility", "variance"] = "volatility",
        max_weight: float = 1.0,
        max_invest: float = 1.0,
    ) -> None:
        positive({"max_weight": max_weight, "max_invest": max_invest})
        if of not in ("volatility", "variance"):
            raise ValueError(f"of must be volatility or variance, got {of!r}")
        self._power = -0.5 if of == "volatility" else -1.0
        self._max_weight, self._max_invest = max_weight, max_invest

    def weights(self, at: Situation, /) -> Decision:
        room = room_of(at, self._max_invest, self._max_weight)
        if at.risk is None:
            return cannot(NO_HISTORY)
        room, variance, remarks = moving(room, variances(at.risk, room.rows))
        if remarks and not len(room.rows):
            return cannot(NO_VARIANCE)
        shares = (variance / variance.max(initial=0.0)) ** self._power
        return decided(at, room, capped(shares, room.total, self._max_weight), remarks)
