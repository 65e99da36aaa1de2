"""Limits that count names where no choice of names meets them: what they conflict with, and what is let go.

A search over choices proves little where it ends without one, so a conflict is told by trial: each limit is left out
alone, and those without which weights are found are named.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from components.optimizers.problem import HARD, Box, Counted, Problem, Remark, Solution
from components.optimizers.stating import tightest


class Route(Protocol):
    def solve(self, problem: Problem) -> tuple[Solution, tuple[Remark, ...]]: ...


@dataclass(frozen=True, slots=True)
class Counting:
    """Why choices of names are missing."""

    helps: tuple[str, ...]  # limits without any one of which weights are found, in the order in which they give way
    relaxed: Problem | None  # the problem without the first of them that is not firm
    dropped: str  # what that is

    def told(self, problem: Problem) -> str:
        """One line for a person."""
        names = ", ".join(dict.fromkeys(piece.name for piece in problem.counted))
        none = f"no choice of names was found that satisfies {names} with all other limits"
        if not self.helps:
            return f"{none}, nor without any one of them"
        return f"{none}; without one of these it is: {', '.join(self.helps)}"


def counting(problem: Problem, boxes: Sequence[Box], firm: Sequence[str], routes: Route) -> Counting:
    """What limits that count names conflict with, the limits among the convex ones being possible together.

    What gives way is one limit: a cap on turnover before the least trade, the least weight and the number of names,
    these before the others. The number of names is raised by as few as are enough, all else is dropped.
    """
    helps, first, dropped = [], None, ""
    for label, name, without in _each(problem, boxes):
        if routes.solve(without)[0].w is None:
            continue
        helps.append(label)
        if first is None and name not in firm:
            first, dropped = without, label
            if label.endswith(_MOST):
                first, most = _fewest(problem, without, routes)
                dropped = f"{label} raised to {most}"
    return Counting(tuple(helps), first, dropped)


_MOST = "most"


def _each(problem: Problem, boxes: Sequence[Box]) -> Iterator[tuple[str, str, Problem]]:
    """(what is left out, the name of its constraint, the problem without it) in the order in which limits give way."""
    yield from _caps(problem, "turnover")
    for field in ("least_trade", "least_weight", _MOST):
        for k, piece in enumerate(problem.counted):
            if getattr(piece, field) is not None:
                yield f"{piece.name} {field}", piece.name, _with(problem, k, _without(piece, field))
    yield from _caps(problem, "gross")
    yield from _caps(problem, "risk_caps")
    for i in np.flatnonzero(problem.row_soft == HARD).tolist():
        low, high = problem.low.copy(), problem.high.copy()
        low[i], high[i] = -np.inf, np.inf
        name = problem.names[problem.row_by[i]]
        yield f"{name}[{problem.labels[i]}]", name, replace(problem, low=low, high=high)
    for k, box in enumerate(boxes[1:], 1):  # the first are the pins of names that may not move
        lower, upper, lower_by, upper_by = tightest([*boxes[:k], *boxes[k + 1 :]], problem.names, len(problem))
        yield (
            box.name,
            box.name,
            replace(problem, lower=lower, upper=upper, lower_by=lower_by, upper_by=upper_by),
        )


def _caps(problem: Problem, field: str) -> Iterator[tuple[str, str, Problem]]:
    caps: tuple[Any, ...] = getattr(problem, field)
    for k, cap in enumerate(caps):
        if cap.soft == HARD:
            rest: dict[str, Any] = {field: caps[:k] + caps[k + 1 :]}
            yield cap.name, cap.name, replace(problem, **rest)


def _without(piece: Counted, field: str) -> Counted:
    none: dict[str, Any] = {field: None}
    return replace(piece, **none)


def _with(problem: Problem, k: int, piece: Counted) -> Problem:
    empty = piece.most is None and piece.least_weight is None and piece.least_trade is None
    middle = () if empty else (piece,)
    return replace(problem, counted=(*problem.counted[:k], *middle, *problem.counted[k + 1 :]))


def _fewest(problem: Problem, without: Problem, routes: Route) -> tuple[Problem, int]:
    """The fewest names for which a choice is found, by bisection: all else as it is."""
    low = min(piece.most for piece in problem.counted if piece.most is not None)
    high, found = len(problem), without
    while high - low > 1:
        middle = (low + high) // 2
        counted = tuple(p if p.most is None else replace(p, most=max(p.most, middle)) for p in problem.counted)
        tried = replace(problem, counted=counted)
        if routes.solve(tried)[0].w is None:
            low = middle
        else:
            high, found = middle, tried
    return found, high
