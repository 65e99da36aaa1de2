"""The weights of least variance."""

import numpy as np

from components.optimizers.methods.boxed import curve_of, least, unbounded
from components.optimizers.methods.room import NO_HISTORY, cannot, decided, positive, room_of
from components.optimizers.methods.routes import SolverName
from components.optimizers.methods.within import TOLERANCE, Asked, bounds, within_of
from components.optimizers.problem import Constraint, Decision, Situation, Variance
from components.optimizers.stating import exposures, marginal
from engine.universe import Universe


class MinimumVariance:
    """Minimise the variance of the whole portfolio, names that cannot be traded included.

        minimise (w + p)' S (w + p)   subject to   sum w = total,   0 <= w <= max_weight

    p is what is held and cannot be traded. With `long_only: false` weights lie between -max_weight and max_weight;
    without a `max_weight` they have no bounds, and the answer is S^-1 (nu 1 - S p) in closed form. Where
    n * max_weight is less than the total, every name has max_weight. With `constraints` it is the composed problem of
    variance alone, with these beside.

    Source: Markowitz (1952), Portfolio selection, J. Finance 7(1); the closed form: Merton (1972), An analytic
    derivation of the efficient portfolio frontier, J. Financial and Quantitative Analysis 7(4).
    """

    needs_risk: bool = True

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe | None = None,
        long_only: bool = True,
        max_weight: float | None = None,
        max_invest: float = 1.0,
        constraints: tuple[Constraint, ...] = (),
        solver: SolverName = "auto",
        tolerance: float = TOLERANCE,
    ) -> None:
        positive({"max_invest": max_invest, "max_weight": 1.0 if max_weight is None else max_weight})
        cap = np.inf if max_weight is None else max_weight
        asked = Asked(0.0 if long_only else -cap, cap, solver, tolerance)
        self._within = within_of(self, universe, constraints, asked)
        self._long_only, self._max_weight, self._max_invest = long_only, max_weight, max_invest

    def weights(self, at: Situation, /) -> Decision:
        room = room_of(at, self._max_invest, self._max_weight, shorts=not self._long_only)
        if at.risk is None:
            return cannot(NO_HISTORY)
        n = len(room.rows)
        S = curve_of(exposures(at.risk)[room.rows], at.risk.specific[room.rows])
        q = marginal(at.risk, room.pinned)[room.rows]
        if not n:
            return decided(at, room, np.zeros(0))
        if self._within is not None:
            cap = np.inf if self._max_weight is None else self._max_weight
            limits = bounds(at, room, np.full(n, 0.0 if self._long_only else -cap), np.full(n, cap))
            whole = Variance(name="variance", aversion=1.0, about=np.zeros(len(at.w0)))
            return self._within.weights(at, limits, whole)
        if self._long_only:
            cap = room.total if self._max_weight is None else min(self._max_weight, room.total)
            return decided(at, room, least(S, q, (np.zeros(n), np.full(n, cap)), room.total))
        if self._max_weight is None:
            return decided(at, room, unbounded(S, q, room.total))
        cap = self._max_weight
        return decided(at, room, least(S, q, (np.full(n, -cap), np.full(n, cap)), room.total))
