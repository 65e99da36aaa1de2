"""Weights that weigh today's trades against those of the slices to come."""

from typing import TYPE_CHECKING

import numpy as np

from components.optimizers.methods.opinion import AlphaName, checked_alpha, expected_of
from components.optimizers.methods.planned import Planned, checked
from components.optimizers.methods.room import NO_HISTORY, Room, cannot, decided, positive, room_of, variances
from components.optimizers.methods.within import Asked, bounds, within_of
from components.optimizers.own import constraint_of
from components.optimizers.problem import Box, Constraint, Decision, Impact, Kink, Linear, Piece, Situation, Variance
from components.optimizers.stating import exposures, marginal
from engine.events import Matrix, Vector
from engine.protocols import Risk
from engine.universe import Universe

if TYPE_CHECKING:
    from components.optimizers.methods.horizon import Horizon, Size

_DUST = 1e-6  # of equity: a weight below it is none
_LARGEST = 1e6  # a return over one slice: one beyond it says no more


class MultiPeriod:
    """The first step of the best plan over the next `horizon` slices.

        maximise    sum over h = 1..H of  a_h'w_h - risk_aversion / 2 (w_h + p)' S (w_h + p)
                                          - cost |w_h - w_h-1|_1 - sum k |w_h - w_h-1|^(3/2)
        subject to  sum w_h <= total (= with `fully_invested`),  0 <= w_h <= max_weight

    a_1 is what the targets expect of the next slice (`raw`, or `grinold`: ic * volatility * score), and it decays: a_h
    = a_1 2^(-(h-1) / half_life), or a_1 decay[h-1] where `decay` lists a share for each step. `half_life` is in slices,
    null = it does not decay. `cost` is `turnover_cost_bps` or the one-way rate of the broker's own cost model. With
    `impact` Y, k_i = Y sigma_i sqrt(equity / traded_i) of what a slice of the name trades; a name of unknown trading
    counts as the least traded one. p is what is held and cannot be traded. A name without an alpha counts as a = 0 and
    is not increased. Positions of the plan do not drift with returns.

    With `constraints` every step keeps them: those of weights as they stand today, those of what is traded (`trades`)
    as limits of each step's trade. Weights stay at 0 or above. The first step keeps them to 1e-7; the later ones, which
    are never traded, to what the solver leaves. Whoever stays as today's limits allow keeps those to come, so that a
    plan is impossible just where today is: then limits give as those of the composed problem. What is no row, bound or
    cap raises ValueError at start: prices, limits of risk, limits that count names.

    With impact it is a cone program (Clarabel), else a quadratic one (PIQP), compiled once a size, or with impact and
    more than 320 weights stated each time, and solved cold, so that an answer depends on its arguments alone. Memory:
    the compiled programs.

    Source: Boyd et al. (2017), Multi-period trading via convex optimization, Foundations and Trends in Optimization
    3(1), section 5; impact: Grinold, Kahn (2000), Active portfolio management, chapter 16.
    """

    needs_risk: bool = True

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        horizon: int = 5,
        half_life: float | None = None,
        decay: tuple[float, ...] = (),
        risk_aversion: float = 5.0,
        turnover_cost_bps: float | None = None,
        impact: float = 0.0,
        alpha: AlphaName = "grinold",
        ic: float = 0.05,
        max_weight: float = 1.0,
        max_invest: float = 1.0,
        fully_invested: bool = False,
        universe: Universe | None = None,
        constraints: tuple[Constraint, ...] = (),
    ) -> None:
        positive({"risk_aversion": risk_aversion, "max_weight": max_weight, "max_invest": max_invest})
        positive({"half_life": 1.0 if half_life is None else half_life})
        if horizon < 1:
            raise ValueError(f"horizon must be at least 1 slice, got {horizon}")
        for key, value in (("turnover_cost_bps", turnover_cost_bps or 0.0), ("impact", impact)):
            if not 0 <= value < np.inf:
                raise ValueError(f"{key} must be at least 0, got {value}")
        self._decay = _decays(horizon, half_life, decay)
        self._ic = checked_alpha(alpha, ic)
        self._gamma, self._impact, self._full = risk_aversion, impact, fully_invested
        self._cost = None if turnover_cost_bps is None else turnover_cost_bps * 1e-4
        self._max_weight, self._max_invest = max_weight, max_invest
        self._programs: dict[Size, Horizon] = {}  # sizes are powers of two, so a few dozen at most
        checked(constraints)
        self._within = within_of(self, universe, constraints, Asked(0.0, max_weight))
        self._limits = tuple(map(constraint_of, constraints))

    def weights(self, at: Situation, /) -> Decision:
        room = room_of(at, self._max_invest, self._max_weight)
        if at.risk is None:
            return cannot(NO_HISTORY)
        if not len(room.rows):
            return decided(at, room, np.zeros(0))
        variance = variances(at.risk, room.rows)
        expected = expected_of(at, room.rows, variance, self._ic)
        if isinstance(expected, str):
            return cannot(expected)
        impact = self._impacts(at, room, variance)
        if isinstance(impact, str):
            return cannot(impact)
        if self._within is not None:
            return self._planned(at, room, expected, impact)
        found = self._first(at, at.risk, room, expected, impact)
        return cannot(found) if isinstance(found, str) else decided(at, room, np.where(found < _DUST, 0.0, found))

    def _planned(self, at: Situation, room: Room, expected: Vector, impact: Vector) -> Decision:
        """The first step of a plan within constraints: the one-slice problem, answered by a plan."""
        assert self._within is not None
        rows, whole = room.rows, np.zeros(len(at.w0))
        gains, bent = whole.copy(), whole.copy()
        gains[rows], bent[rows] = self._opinion(expected), impact
        low, high = np.zeros(len(rows)), self._highest(at, room, expected)
        box, _ = bounds(at, room, low, np.full(len(rows), self._max_weight))
        _, total = bounds(at, room, low, high, full=self._full)
        upper = whole + np.inf
        upper[rows] = np.where(np.isfinite(expected), np.inf, high)
        unknown = Box(name="no_alpha", lower=whole - np.inf, upper=upper)
        cost = whole + (at.rate if self._cost is None else self._cost)
        pieces: tuple[Piece, ...] = (
            Linear(name="expected_return", cost=-gains),
            Variance(name="variance", aversion=self._gamma, about=whole),
            Kink(name="linear_cost", up=cost, down=cost, at=at.w0),
            Impact(name="impact", k=bent),
            unknown,
        )
        plan = Planned(self._programs, self._decay, at, ((box, unknown), self._limits))
        return self._within.by(at, (box, total), plan, *pieces)

    def _highest(self, at: Situation, room: Room, expected: Vector) -> Vector:
        """(n,) the most that each name may weigh: one without an opinion no more than it does."""
        w0 = np.nan_to_num(at.w0[room.rows])
        return np.where(np.isfinite(expected), self._max_weight, np.clip(w0, 0.0, self._max_weight))

    def _opinion(self, expected: Vector) -> Vector:
        return np.clip(np.where(np.isfinite(expected), expected, 0.0), -_LARGEST, _LARGEST)

    def _impacts(self, at: Situation, room: Room, variance: Vector) -> Vector | str:
        """(n,) k of the names."""
        traded = at.traded[room.rows]
        known = np.isfinite(traded) & (traded > 0)
        if not self._impact:
            return np.zeros(len(traded))
        if not known.any():
            return "impact: it is not known of any name what a slice trades"
        traded = np.where(known, traded, traded[known].min())
        return np.asarray(self._impact * np.sqrt(variance * at.equity / traded))

    def _first(self, at: Situation, risk: Risk, room: Room, expected: Vector, impact: Vector) -> Vector | str:
        from components.optimizers.methods.horizon import Horizon, Plan, Size
        from components.optimizers.program_matrices import narrowed, size_for

        rows = room.rows
        high = self._highest(at, room, expected)
        R: Matrix = exposures(risk)[rows]
        slots = size_for(len(rows))
        L = np.sqrt(self._gamma) * narrowed(R, slots)
        size = Size(slots, size_for(L.shape[1]), len(self._decay), self._impact > 0, self._full)
        if size not in self._programs:
            self._programs[size] = Horizon(size)
        plan = Plan(
            a=np.outer(self._decay, self._opinion(expected)) - self._gamma * marginal(risk, room.pinned)[rows],
            L=L,
            d=np.sqrt(self._gamma * risk.specific[rows]),
            w0=np.nan_to_num(at.w0[rows]),
            high=high,
            cost=at.rate if self._cost is None else self._cost,
            impact=impact,
            total=min(room.total, float(high.sum())) if self._full else room.total,
        )
        solved: Vector | str = self._programs[size].solve(plan)
        return solved


def _decays(horizon: int, half_life: float | None, decay: tuple[float, ...]) -> Vector:
    """(H,) what is left of an alpha at each step."""
    if decay and half_life is not None:
        raise ValueError("decay and half_life say the same thing; give one of them")
    if decay:
        if len(decay) != horizon or not all(np.isfinite(value) for value in decay):
            raise ValueError(f"decay must list {horizon} finite shares, one for each step, got {list(decay)}")
        return np.array(decay, dtype=np.float64)
    if half_life is None:
        return np.ones(horizon)
    return np.asarray(0.5 ** (np.arange(horizon) / half_life))
