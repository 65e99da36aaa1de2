"""A plan of several slices as a route: today's problem in, today's weights out, with its limits at every step."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from components.optimizers.problem import HARD, Box, Constraint, Problem, Remark, Situation, Solution, TurnoverCap
from components.optimizers.shadow import bound
from components.optimizers.stating import broken, exposures, marginal
from engine.events import Codes, Mask, Matrix, Vector

if TYPE_CHECKING:
    from components.optimizers.methods.horizon import Frame, Horizon, Plan, Size, Steps

_ROUTE = "a plan"
_TOLERANCE = 1e-7  # of a weight, above which an answer breaks a limit: as of the composed problem


def checked(constraints: Sequence[Constraint]) -> None:
    """Raises ValueError for a constraint that cannot be stated at each slice of a plan."""
    for each in constraints:
        reason = "has a price (soft)" if each.soft is not None else ""
        reason = "limits risk, which is no row" if getattr(each, "cone", False) else reason
        reason = "counts names" if getattr(each, "counts", False) else reason
        if reason:
            kind = type(each)
            path = kind.__module__
            said = path.rsplit(".", 1)[-1] if path.startswith("components.") else kind.__name__
            raise ValueError(
                f"constraints: {said} {reason}, which a plan of several slices cannot state; leave it out, or make it "
                "a limit that must hold, or use composed, which plans one slice"
            )


@dataclass(frozen=True, slots=True)
class Later:
    """The limits of slices to come that are not today's. Arrays are (N,)."""

    lower: Vector
    upper: Vector
    down: Vector  # the least that one slice may trade
    up: Vector
    turnover: float


def later_of(at: Situation, limits: Sequence[Box], constraints: Sequence[Constraint]) -> Later:
    """What the method's bounds and the constraints allow of slices to come, prices and opinions being today's.

    A constraint that counts from what is held (`trades`) is asked once more as if what is leaving had left, so that its
    bounds are those of one slice's trade, and as if something were held, since by then it will be.
    """
    held = np.where(at.leaving, 0.0, at.w0)
    if not held.any():
        held = at.free / max(int(np.count_nonzero(at.free)), 1)
    then = replace(at, w0=held, leaving=np.zeros(len(held), bool))
    lower = np.maximum.reduce([box.lower for box in limits])
    upper = np.minimum.reduce([box.upper for box in limits])
    down, up = np.full(len(held), -np.inf), np.full(len(held), np.inf)
    turnover = HARD
    for each in constraints:
        trades = getattr(each, "trades", False)
        for piece in each.allows(then if trades else at):
            if isinstance(piece, TurnoverCap):
                turnover = min(turnover, piece.limit)
            elif isinstance(piece, Box) and trades:
                down, up = np.maximum(down, piece.lower - held), np.minimum(up, piece.upper - held)
            elif isinstance(piece, Box):
                lower, upper = np.maximum(lower, piece.lower), np.minimum(upper, piece.upper)
    return Later(lower, upper, np.minimum(down, 0.0), np.maximum(up, 0.0), turnover)


class Planned:
    """Answers today's problem with the first step of the best plan whose every step keeps its limits.

    The problem's cost is that of one slice: what is expected, before it decays, risk, and the cost of a trade. Rows and
    gross of the problem hold at each step, its bounds and its cap on turnover at the first one, `Later` from then on.
    Weights that today's limits allow may be kept in all slices to come, so that limits contradict each other in a plan
    just where they do today: who relaxes today's problem asks again.
    """

    def __init__(
        self,
        programs: "dict[Size, Horizon]",
        decays: Vector,
        at: Situation,
        limits: tuple[Sequence[Box], Sequence[Constraint]],
    ) -> None:
        self._programs, self._decays, self._at, self._limits = programs, decays, at, limits
        self._later: Later | None = None

    def priced(self, problem: Problem) -> Problem:
        return problem

    def solve(self, problem: Problem) -> tuple[Solution, tuple[Remark, ...]]:
        unplanned = _unplanned(problem)
        if unplanned:
            return Solution(status=f"a plan of several slices cannot state {unplanned}", route=_ROUTE), ()
        if (problem.lower > problem.upper).any():
            return Solution(status="infeasible", route="bounds"), ()
        self._later = self._later or later_of(self._at, *self._limits)
        lower = np.minimum(self._later.lower, problem.lower)  # today's limits may have been relaxed
        upper = np.maximum(self._later.upper, problem.upper)
        later = replace(self._later, lower=lower, upper=upper)
        moves = (lower < upper) & (later.down < later.up)
        moving = self._at.free & ((problem.lower < problem.upper) | moves)
        w = np.where(moving, 0.0, problem.lower)
        if not moving.any():
            return _still(problem, w), ()
        from components.optimizers.program import why

        rows: Codes = np.flatnonzero(moving).astype(np.int32)
        plan = self._plan(problem, later, rows, w)
        steps = self._program(plan, problem).steps(plan)
        if isinstance(steps, str):
            return Solution(status=why(problem, steps), route=_ROUTE), ()
        w[rows] = np.clip(steps.w[0], problem.lower[rows], problem.upper[rows])
        off = max(broken(problem, w).values(), default=0.0)
        if not off <= _TOLERANCE:
            return Solution(status=f"inaccurate: limits are missed by {off:.1e}", route=_ROUTE), ()
        found = Solution(status="optimal", route=_ROUTE, w=w, iterations=steps.iterations)
        return found, bound(problem, _priced(problem, found, steps, (rows, later)), self._at)

    def _program(self, plan: "Plan", problem: Problem) -> "Horizon":
        from components.optimizers.methods.horizon import Horizon, Size
        from components.optimizers.program_matrices import size_for

        frame = plan.frame
        assert frame is not None
        size = Size(
            slots=size_for(len(plan.w0)),
            columns=size_for(plan.L.shape[1]),
            horizon=len(self._decays),
            impact=bool(problem.impact.any()),
            rows=size_for(len(frame.low)),
            turnover=bool(np.isfinite(frame.turnover).any()),
            trades=bool(np.isfinite(frame.down).any() or np.isfinite(frame.up).any()),
        )
        if size not in self._programs:
            self._programs[size] = Horizon(size)
        return self._programs[size]

    def _plan(self, problem: Problem, later: Later, rows: Codes, fixed: Vector) -> "Plan":
        """The numbers of the plan of the names that move; the others have the weights `fixed` (N,) at every step."""
        from components.optimizers.methods.horizon import Plan
        from components.optimizers.program_matrices import narrowed, size_for

        risk, gamma = problem.risk, problem.aversion
        assert risk is not None
        return Plan(
            a=np.outer(self._decays, -problem.q[rows]) - gamma * marginal(risk, fixed)[rows],
            L=np.sqrt(gamma) * narrowed(exposures(risk)[rows], size_for(len(rows))),
            d=np.sqrt(gamma * risk.specific[rows]),
            w0=problem.w0[rows],
            high=problem.upper[rows],
            cost=float(problem.kinks[0].up.max()),
            impact=problem.impact[rows],
            total=0.0,
            frame=self._frame(problem, later, rows, fixed),
        )

    def _frame(self, problem: Problem, later: Later, rows: Codes, fixed: Vector) -> "Frame":
        from components.optimizers.methods.horizon import Frame

        steps, count = len(self._decays), len(problem.gross)
        still = np.ones(len(fixed), bool)
        still[rows] = False
        turned = float(np.abs(fixed - problem.w0)[still].sum())
        used = problem.A @ fixed
        # The method's bounds hold weights at 0 or above, so that gross is a sum beside what the others hold.
        gross = np.array([cap.limit for cap in problem.gross]) - float(np.abs(fixed).sum())
        first = min((cap.limit for cap in problem.turnover), default=HARD) - turned
        return Frame(
            lower=_stepped(problem.lower[rows], later.lower[rows], steps),
            upper=_stepped(problem.upper[rows], later.upper[rows], steps),
            A=np.concatenate([problem.A[:, rows], np.ones((count, len(rows)))]),
            low=np.concatenate([problem.low - used, np.full(count, -np.inf)]),
            high=np.concatenate([problem.high - used, gross]),
            turnover=np.append([first], np.full(steps - 1, later.turnover)),
            down=later.down[rows],
            up=later.up[rows],
        )


def _stepped(first: Vector, later: Vector, steps: int) -> Matrix:
    """(H, n)"""
    return np.concatenate([first[None], np.repeat(later[None], steps - 1, axis=0)])


def _still(problem: Problem, w: Vector) -> Solution:
    """Bounds leave one answer, allowed or not."""
    if max(broken(problem, w).values(), default=0.0) > _TOLERANCE:
        return Solution(status="infeasible", route="bounds")
    return Solution(status="optimal", route="bounds", w=w)


def _unplanned(problem: Problem) -> str:
    """The name of a limit that a plan cannot state, as one of the user's own may say it; empty = none."""
    found = [problem.names[by] for by in problem.row_by[np.isfinite(problem.row_soft)].tolist()]
    for priced in (problem.turnover, problem.gross, problem.kinks):
        found += [piece.name for piece in priced if piece.soft != HARD]
    found += [piece.name for never in (problem.risk_caps, problem.counted) for piece in never]
    return found[0] if found else ""


def _priced(problem: Problem, solution: Solution, steps: "Steps", where: tuple[Codes, Later]) -> Solution:
    """The answer with the multipliers of today's limits, summed over the steps at which they are the same."""
    rows, later = where
    m, n = len(problem.low), len(problem)
    box = np.zeros(n)
    for side, today, then, sign in (
        (steps.upper, problem.upper, later.upper, 1.0),
        (steps.lower, problem.lower, later.lower, -1.0),
    ):
        same: Mask = (today == then)[rows]
        box[rows] += sign * np.where(same, side.sum(axis=0), side[0])
    sums = (steps.high - steps.low).sum(axis=0)
    caps = [cap.limit for cap in problem.turnover]
    tightest = caps.index(min(caps)) if caps else -1
    price = float(steps.turnover.sum())
    return replace(
        solution,
        box=box,
        rows=sums[:m],
        gross=tuple(sums[m:].tolist()),
        turnover=tuple(price if i == tightest else 0.0 for i in range(len(caps))),
    )
