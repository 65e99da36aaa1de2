"""The weights of the highest ratio of expected return to risk."""

from dataclasses import replace
from typing import Literal

import numpy as np

from components.optimizers.methods.boxed import curve_of, least
from components.optimizers.methods.opinion import NO_OPINION, AlphaName, checked_alpha, expected_of
from components.optimizers.methods.ratio import Ratio, highest, most_earned
from components.optimizers.methods.room import (
    NO_HISTORY,
    NO_VARIANCE,
    Room,
    cannot,
    decided,
    moving,
    positive,
    room_of,
    variances,
)
from components.optimizers.methods.routes import SolverName
from components.optimizers.methods.within import TOLERANCE, Asked, bounds, within_of
from components.optimizers.problem import Constraint, Decision, Remark, Situation, Variance
from components.optimizers.stating import exposures, marginal
from engine.events import Vector
from engine.protocols import Risk
from engine.universe import Universe

_NOTHING = "no weights that add up to the total have an expected return above 0"


class MaxSharpe:
    """The tangency portfolio: maximise expected return over risk, names that cannot be traded included.

        maximise a'(w + p) / sqrt((w + p)' S (w + p))   subject to   sum w = total,   0 <= w <= max_weight

    p is what is held and cannot be traded. `alpha` says what a is: `raw`, the targets' alpha as a return over one slice
    beyond that of cash; `grinold`, ic * volatility * score. A name without an alpha counts as a = 0 and is not
    increased; one of no variance gets no weight. Without bounds that bind it is S^-1 a scaled to the total.

    Where no weights earn more than 0 the highest ratio would be that of the largest risk; then `otherwise` holds: the
    weights of least variance (with a remark `fallback`), or positions are held. With `constraints` these hold too, and
    the search is over answers of the composed problem.

    Source: Tobin (1958), Liquidity preference as behavior towards risk, Review of Economic Studies 25(2); Cornuejols,
    Tutuncu (2006), Optimization methods in finance, section 8.2.
    """

    needs_risk: bool = True

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe | None = None,
        alpha: AlphaName = "raw",
        ic: float = 0.05,
        max_weight: float = 1.0,
        max_invest: float = 1.0,
        otherwise: Literal["minimum_variance", "hold"] = "minimum_variance",
        constraints: tuple[Constraint, ...] = (),
        solver: SolverName = "auto",
        tolerance: float = TOLERANCE,
    ) -> None:
        positive({"max_weight": max_weight, "max_invest": max_invest})
        if otherwise not in ("minimum_variance", "hold"):
            raise ValueError(f"otherwise must be minimum_variance or hold, got {otherwise!r}")
        asked = Asked(high=max_weight, solver=solver, tolerance=tolerance)
        self._within = within_of(self, universe, constraints, asked)
        self._ic = checked_alpha(alpha, ic)
        self._max_weight, self._max_invest, self._otherwise = max_weight, max_invest, otherwise

    def weights(self, at: Situation, /) -> Decision:
        room = room_of(at, self._max_invest, self._max_weight)
        if at.risk is None:
            return cannot(NO_HISTORY)
        room, _, remarks = moving(room, variances(at.risk, room.rows))
        if remarks and not len(room.rows):
            return cannot(NO_VARIANCE)
        if not len(room.rows) or room.total == 0:
            return decided(at, room, np.zeros(len(room.rows)), remarks)
        both = np.concatenate([room.rows, np.flatnonzero(room.pinned)])
        expected = expected_of(at, both, variances(at.risk, both), self._ic)
        if isinstance(expected, str):
            return self._fallback(at, room, remarks, expected)
        if not np.isfinite(expected[: len(room.rows)]).any():
            return self._fallback(at, room, remarks, NO_OPINION)
        ratio = self._ratio(at, at.risk, room, expected)
        if most_earned(ratio.m, ratio.high, ratio.total) + ratio.m0 <= 0:
            return self._fallback(at, room, remarks, _NOTHING)
        if self._within is not None:
            gains = np.zeros(len(at.w0))
            gains[both] = np.nan_to_num(expected)
            found = self._within.best_ratio(at, bounds(at, room, np.zeros(len(room.rows)), ratio.high), gains)
            if found.weights is None and self._otherwise == "minimum_variance":
                return self._fallback(at, room, remarks, found.reason)
            return replace(found, remarks=(*remarks, *found.remarks))
        return decided(at, room, highest(ratio), remarks)

    def _ratio(self, at: Situation, risk: Risk, room: Room, expected: Vector) -> Ratio:
        largest = float(np.nanmax(np.abs(expected))) or 1.0
        n, pinned = len(room.rows), room.pinned[room.pinned != 0]
        m, known = np.nan_to_num(expected / largest), np.isfinite(expected[:n])
        high = np.where(known, self._max_weight, np.clip(np.nan_to_num(at.w0[room.rows]), 0.0, self._max_weight))
        pull = marginal(risk, room.pinned)
        return Ratio(
            S=curve_of(exposures(risk)[room.rows], risk.specific[room.rows]),
            m=m[:n],
            q=pull[room.rows],
            m0=float(m[n:] @ pinned),
            s0=float(room.pinned @ pull),
            high=np.minimum(high, room.total),
            total=min(room.total, float(high.sum())),
        )

    def _fallback(self, at: Situation, room: Room, remarks: tuple[Remark, ...], reason: str) -> Decision:
        if self._otherwise == "hold":
            return cannot(reason)
        risk, n = at.risk, len(room.rows)
        assert risk is not None
        if self._within is not None:
            whole = Variance(name="variance", aversion=1.0, about=np.zeros(len(at.w0)))
            found = self._within.weights(at, bounds(at, room, np.zeros(n), np.full(n, self._max_weight)), whole)
            return replace(found, remarks=(*remarks, *found.remarks, _instead(reason)))
        S = curve_of(exposures(risk)[room.rows], risk.specific[room.rows])
        cap = np.full(n, min(self._max_weight, room.total))
        w = least(S, marginal(risk, room.pinned)[room.rows], (np.zeros(n), cap), room.total)
        return decided(at, room, w, (*remarks, _instead(reason)))


def _instead(reason: str) -> Remark:
    text = f"{reason}: weights of least variance instead"
    return Remark(kind="fallback", text=text, symbol=np.empty(0, np.int32), value=np.empty(0))
