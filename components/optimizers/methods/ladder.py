"""What is done where nothing satisfies all constraints: one declared step after the other, each of them told."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, Protocol, TypeAlias

import numpy as np

from components.optimizers.methods.counting import counting
from components.optimizers.problem import Box, Problem, Remark, Solution
from components.optimizers.remarks import amount, plain
from components.optimizers.stating import broken
from engine.events import Vector

StepName: TypeAlias = Literal["relax", "turnover", "shrink", "hold"]
STEPS: tuple[StepName, ...] = ("relax", "turnover", "shrink", "hold")
PINNED = "pinned"  # the bounds of names that may not move
_BROKEN = 1e-7  # of a weight: what a solver may leave


class Route(Protocol):
    def solve(self, problem: Problem) -> tuple[Solution, tuple[Remark, ...]]: ...


class Ladder:
    """The steps in their order; `hold` ends it, and so does its end."""

    def __init__(
        self,
        steps: tuple[StepName, ...],
        firm: tuple[str, ...],
        yields: tuple[str, ...] = (),
        probe: Route | None = None,
    ) -> None:
        """`yields` are rows whose lower limits give before all else, `probe` tells cheaply whether weights exist."""
        for step in steps:
            if step not in STEPS:
                raise ValueError(f"fallback must list {', '.join(STEPS)}, got {step!r}")
        if len(set(steps)) < len(steps):
            raise ValueError(f"fallback names a step twice: {', '.join(steps)}; name each once")
        self._steps = steps
        self._firm = (PINNED, *firm)  # limits that no relaxation loosens
        self._yields, self._probe = yields, probe

    def descend(
        self, problem: Problem, boxes: Sequence[Box], failure: Solution, routes: Route, last: Vector | None
    ) -> tuple[Problem, Solution, tuple[Remark, ...], str]:
        """The problem that was solved in the end, its answer or None, what to tell, and why not the first problem.

        `boxes` are all that must hold, of which the problem has the tightest bounds only.
        """
        reason = failure.status
        told: list[Remark] = []
        loosened: Problem | None = None
        relaxing = _SAID["relax"]
        if failure.status == "infeasible" or problem.counted:
            from components.optimizers.elastic import conflict

            probe = self._probe or routes
            found = conflict(problem, (PINNED,), boxes)
            if found.names:
                amounts = ", ".join(
                    f"{name} by {amount(problem, name, by)}" for name, by in zip(found.names, found.by, strict=True)
                )
                reason = f"no weights satisfy {', '.join(found.names)} together"
                text = f"{reason}; any one of them could be met if it gave way: {amounts}"
                told.append(plain("infeasible", text, len(found.names)))
                loosened = self._relaxed(problem, boxes) if "relax" in self._steps else None
                if loosened is not None and problem.counted and probe.solve(loosened)[0].w is None:
                    counted = counting(loosened, (), self._firm, probe)
                    loosened, relaxing = counted.relaxed, f"{relaxing}, and let go was {counted.dropped}"
            elif problem.counted:
                counted = counting(problem, boxes, self._firm, probe)
                reason, loosened = counted.told(problem), counted.relaxed
                relaxing = f"let go was {counted.dropped}"
                told.append(plain("infeasible", reason, len(counted.helps)))
        for step in self._steps:
            if step == "hold":
                break
            tried = self._tried(step, problem, loosened, last)
            if tried is None:
                continue
            changed, solution = tried
            if solution is None:
                solution, more = routes.solve(changed)
                told += more
            if solution.w is not None:
                done = relaxing if step == "relax" else _SAID[step]
                told.append(plain(f"fallback:{step}", f"{reason}; {done}{_beyond(problem, solution.w)}", 1.0))
                return changed, solution, tuple(told), reason
        told.append(plain("fallback:hold", f"{reason}; {_SAID['hold']}", 1.0))
        return problem, replace(failure, w=None), tuple(told), reason

    def _relaxed(self, problem: Problem, boxes: Sequence[Box]) -> Problem | None:
        """The limits relaxed: as if there were none of those that yield, and these then by what is still lacking."""
        from components.optimizers.elastic import boxes_of, relaxed

        codes = [code for code, name in enumerate(problem.names) if name in self._yields]
        yielding = np.isin(problem.row_by, codes)
        if not yielding.any():
            return relaxed(problem, self._firm, boxes)
        without = replace(problem, low=np.where(yielding, -np.inf, problem.low))
        wider = relaxed(without, self._firm, boxes)
        if wider is None:
            return None
        back = replace(wider, low=np.where(yielding, problem.low, wider.low))
        return relaxed(back, [name for name in problem.names if name not in self._yields], boxes_of(back))

    def _tried(
        self, step: StepName, problem: Problem, loosened: Problem | None, last: Vector | None
    ) -> tuple[Problem, Solution | None] | None:
        """The changed problem of a step, or an answer that needs no solving; None where the step does not apply."""
        if step == "relax":
            return None if loosened is None else (loosened, None)
        if step == "turnover":
            kept = tuple(cap for cap in problem.turnover if cap.name in self._firm)
            return (replace(problem, turnover=kept), None) if len(kept) < len(problem.turnover) else None
        shrunk = None if last is None else _shrunk(problem, last)
        return None if shrunk is None else (problem, Solution(status="optimal", route="last weights", w=shrunk))


_SAID = {
    "relax": "they were relaxed by just so much",
    "turnover": "the cap on turnover was dropped",
    "shrink": "the last weights were kept within today's bounds",
    "hold": "positions are held, exits are sold",
}


def _beyond(problem: Problem, w: Vector) -> str:
    """What the weights break of the problem as it was."""
    over = {name: by for name, by in broken(problem, w).items() if by > _BROKEN}
    return (
        "; beyond its limit: " + ", ".join(f"{name} by {amount(problem, name, by)}" for name, by in over.items())
        if over
        else ""
    )


def _shrunk(problem: Problem, last: Vector) -> Vector | None:
    """The last weights within the bounds, and scaled down to rows of positive sums; None where bounds cross."""
    if (problem.lower > problem.upper).any():
        return None
    w = np.clip(last, problem.lower, problem.upper)
    fixed = problem.lower == problem.upper
    for row, high in zip(problem.A, problem.high, strict=True):
        total, kept = float(row @ w), float(row[fixed] @ w[fixed])
        if total > high and (row >= 0).all() and total > kept:
            w = np.where(~fixed & (row > 0), w * max((high - kept) / (total - kept), 0.0), w)
    return np.clip(w, problem.lower, problem.upper)
