"""The weights of the highest diversification ratio."""

from dataclasses import replace

import numpy as np

from components.optimizers.methods.boxed import curve_of
from components.optimizers.methods.ratio import Ratio, highest
from components.optimizers.methods.room import (
    NO_HISTORY,
    NO_VARIANCE,
    cannot,
    decided,
    moving,
    positive,
    room_of,
    variances,
)
from components.optimizers.methods.routes import SolverName
from components.optimizers.methods.within import TOLERANCE, Asked, bounds, within_of
from components.optimizers.problem import Constraint, Decision, Situation
from components.optimizers.stating import exposures, marginal
from engine.universe import Universe


class MaxDiversification:
    """Maximise the mean volatility of the names over the volatility of the portfolio.

        maximise s'(w + p) / sqrt((w + p)' S (w + p)),  s = sqrt(diag S)
        subject to  sum w = total,  0 <= w <= max_weight

    p is what is held and cannot be traded. It is the tangency portfolio of returns that are proportional to volatility,
    and inverse volatility where all correlations are equal. A name of no variance gets no weight (`no_variance`).
    With `constraints` these hold too, and the search is over answers of the composed problem.

    Source: Choueifaty, Coignard (2008), Toward maximum diversification, J. Portfolio Management 35(1).
    """

    needs_risk: bool = True

    def __init__(
        self,
        *,
        universe: Universe | None = None,
        max_weight: float = 1.0,
        max_invest: float = 1.0,
        constraints: tuple[Constraint, ...] = (),
        solver: SolverName = "auto",
        tolerance: float = TOLERANCE,
    ) -> None:
        positive({"max_weight": max_weight, "max_invest": max_invest})
        asked = Asked(high=max_weight, solver=solver, tolerance=tolerance)
        self._within = within_of(self, universe, constraints, asked)
        self._max_weight, self._max_invest = max_weight, max_invest

    def weights(self, at: Situation, /) -> Decision:
        room = room_of(at, self._max_invest, self._max_weight)
        if at.risk is None:
            return cannot(NO_HISTORY)
        risk = at.risk
        room, variance, remarks = moving(room, variances(risk, room.rows))
        if remarks and not len(room.rows):
            return cannot(NO_VARIANCE)
        n = len(room.rows)
        if not n or room.total == 0:
            return decided(at, room, np.zeros(n), remarks)
        if self._within is not None:
            every = np.sqrt(np.maximum(variances(risk, np.arange(len(at.w0))), 0.0))
            limits = bounds(at, room, np.zeros(n), np.full(n, self._max_weight))
            found = self._within.best_ratio(at, limits, every)
            return replace(found, remarks=(*remarks, *found.remarks))
        sigma = np.sqrt(variance)
        held = np.flatnonzero(room.pinned)
        pull = marginal(risk, room.pinned)
        ratio = Ratio(
            S=curve_of(exposures(risk)[room.rows], risk.specific[room.rows]),
            m=sigma / sigma.max(),
            q=pull[room.rows],
            m0=float(np.sqrt(variances(risk, held)) @ room.pinned[held]) / float(sigma.max()),
            s0=float(room.pinned @ pull),
            high=np.full(n, min(self._max_weight, room.total)),
            total=min(room.total, n * self._max_weight),
        )
        return decided(at, room, highest(ratio), remarks)
