"""Limits that count names: how many may be held, the least weight, the least trade. Heuristic first, then a search.

What one name may weigh is a handful of intervals; which of them is the discrete choice. A relaxed problem lets a name
have all between its outermost intervals, and is convex. Branch and bound splits a name's intervals where the relaxed
weight lies between two of them, and where too many names are held it asks of one: out, or in. The least of all relaxed
optima that are left bounds what any choice could reach, so that an answer says how far it may be from the best.
"""

import heapq
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from components.optimizers.problem import Problem, Rows, Solution, Solver
from components.optimizers.stating import objective
from engine.events import Vector

Interval: TypeAlias = tuple[float, float]
Choice: TypeAlias = tuple[Interval, ...]  # of one name, apart but for (0, 0), which may lie in another

_ZERO = 1e-9  # weights this small are none
_NEAR = 1e-7  # of a weight, within which it is in an interval
_PROVEN = 1e-9  # of return, within which an answer is the best
_SWAPS_MAX = 32  # names in and out that the heuristic tries


@dataclass(frozen=True, slots=True)
class _Node:
    """Choices still open. `held` says of each name: True = counts as held, False = is out, None = open."""

    choices: tuple[Choice, ...]
    held: tuple[bool | None, ...]


@dataclass(order=True, slots=True)
class _Open:
    bound: float
    number: int
    node: _Node = field(compare=False)
    w: Vector = field(compare=False)


@dataclass(slots=True)
class _Best:
    cost: float = float("inf")
    solution: Solution | None = None


class CountedSearch:
    """Problems with `Counted` pieces by a convex route and a search over choices.

    The status is `optimal` where no choice is better by more than 1e-9 of return, else `within G`: the answer meets all
    limits, and the best of all choices is at most G of return better. At most `nodes` relaxed problems are solved for
    the proof, so an answer depends on the problem alone; 0 = the heuristic only, with the gap it leaves.
    """

    name = "counted"

    def __init__(self, *, route: Solver, nodes: int = 500) -> None:
        if nodes < 0:
            raise ValueError(f"counted: nodes is {nodes}; it is the most relaxed problems to solve, at least 0")
        self._route, self._nodes = route, nodes

    def fits(self, problem: Problem, /) -> bool:
        return bool(problem.counted) and self._route.fits(replace(problem, counted=()))

    def solve(self, problem: Problem, /, start: Solution | None = None) -> Solution:
        """The best choice found and how far it may be from the best there is. `start` changes nothing."""
        if (problem.lower > problem.upper).any():
            return Solution(status="infeasible", route="bounds")
        search = _Search(problem, self._route)
        root = search.root()
        if any(not choice for choice in root.choices):
            return Solution(status="infeasible", route=self.name)
        first = search.relaxed(root)
        if first.w is None:
            return first
        best = _Best()
        search.round(root, first.w, best)
        search.swap(root, best)
        bound = search.proved(root, first, best, self._nodes)
        if best.solution is None:
            status = "infeasible" if bound == float("inf") else f"failed: no choice was found in {self._nodes} nodes"
            return Solution(status=status, route=self.name, iterations=search.solved)
        gap = max(best.cost - bound, 0.0)
        status = "optimal" if gap <= _PROVEN else f"within {gap:.2g}"
        route = f"{self.name}, {best.solution.route}"
        return replace(best.solution, status=status, route=route, iterations=search.solved)


class _Search:
    """One problem's search."""

    def __init__(self, problem: Problem, route: Solver) -> None:
        self.problem, self.route, self.solved = problem, route, 0
        limits = [piece.most for piece in problem.counted if piece.most is not None]
        self.most = min(limits, default=len(problem))

    def root(self) -> _Node:
        choices = tuple(_choices(self.problem, i, self.most < len(self.problem)) for i in range(len(self.problem)))
        return _Node(choices, tuple(_held(choice) for choice in choices))

    def relaxed(self, node: _Node) -> Solution:
        """The convex problem of the intervals' hulls; where all is long, with the count as shares of upper bounds."""
        if sum(is_in is True for is_in in node.held) > self.most:
            return Solution(status="infeasible", route=CountedSearch.name)
        self.solved += 1
        lower = np.array([min(c[0] for c in choice) for choice in node.choices])
        upper = np.array([max(c[1] for c in choice) for choice in node.choices])
        made = replace(self.problem, lower=lower, upper=upper, counted=())
        if self.most < len(lower) and (lower >= 0).all() and np.isfinite(upper).all():
            made = _counting(made, self.most)
        return self.route.solve(made)

    def round(self, node: _Node, w: Vector, best: _Best) -> None:
        """A choice near the relaxed weights: the largest names stay, each in the interval nearest to it."""
        wanted = sorted(range(len(w)), key=lambda i: (node.held[i] is not True, -abs(w[i]), i))
        kept = set(wanted[: self.most])
        choices = []
        for i, choice in enumerate(node.choices):
            allowed = tuple(c for c in choice if i in kept or c == (0.0, 0.0)) or choice
            choices.append((min(allowed, key=lambda c: (_beyond(c, w[i]), c)),))
        self.offer(tuple(choices), best)

    def offer(self, choices: tuple[Choice, ...], best: _Best) -> bool:
        """Solves with every choice made and keeps what is better."""
        if sum(_held(choice) is True for choice in choices) > self.most:
            return False
        self.solved += 1
        lower, upper = (np.array([choice[0][side] for choice in choices]) for side in (0, 1))
        answer = self.route.solve(replace(self.problem, lower=lower, upper=upper, counted=()))
        if answer.w is None:
            return False
        cost = objective(self.problem, answer.w)
        if cost >= best.cost - _PROVEN:
            return False
        best.cost, best.solution = cost, answer
        return True

    def swap(self, root: _Node, best: _Best) -> None:
        """Changes one name, or one in for one out, as long as that helps: by what the bounds' multipliers promise."""
        for _ in range(_SWAPS_MAX):
            if best.solution is None or best.solution.w is None or best.solution.box is None:
                return
            if not any(self.offer(choices, best) for choices in self._neighbours(root, best.solution)):
                return

    def _neighbours(self, root: _Node, known: Solution) -> list[tuple[Choice, ...]]:
        assert known.w is not None
        assert known.box is not None
        w, pull = known.w, known.box  # above 0: the name would rise, below 0: it would fall
        now = [min(choice, key=lambda c: (_beyond(c, w[i]), c)) for i, choice in enumerate(root.choices)]
        promising = sorted(range(len(w)), key=lambda i: (-abs(pull[i]), i))[:4]
        small = sorted((i for i in range(len(w)) if abs(w[i]) > _ZERO), key=lambda i: (abs(w[i]), i))[:3]
        found: list[tuple[Choice, ...]] = []
        for i in promising:
            others = [c for c in root.choices[i] if c != now[i]]
            for choice in sorted(others, key=lambda c: (_beyond(c, w[i] + 1e-6 * np.sign(pull[i])), c))[:2]:
                for out in [None, *(j for j in small if j != i and (0.0, 0.0) in root.choices[j])]:
                    made: list[Choice] = [(c,) for c in now]
                    made[i] = (choice,)
                    if out is not None:
                        made[out] = ((0.0, 0.0),)
                    found.append(tuple(made))
        return found

    def proved(self, root: _Node, first: Solution, best: _Best, nodes: int) -> float:
        """What no choice can be below: the least relaxed optimum that is open after `nodes` of them."""
        assert first.w is not None
        opened = [_Open(objective(self.problem, first.w), 0, root, first.w)]
        number, end = 0, self.solved + nodes
        while opened and opened[0].bound < best.cost - _PROVEN and self.solved < end:
            at = heapq.heappop(opened)
            children = self._split(at.node, at.w)
            if children is None:  # the relaxed weights are a choice themselves
                self.offer(self._made(at.node, at.w), best)
                if best.cost > at.bound + _PROVEN:  # but for rounding: it stays a bound
                    return at.bound
                continue
            for child in children:
                answer = self.relaxed(child)
                if answer.status not in ("optimal", "infeasible"):
                    return at.bound  # a route that fails proves nothing
                if answer.w is None:
                    continue
                number += 1
                bound = max(at.bound, objective(self.problem, answer.w))
                if bound < best.cost - _PROVEN:
                    self.round(child, answer.w, best)
                    heapq.heappush(opened, _Open(bound, number, child, answer.w))
        return min(opened[0].bound, best.cost) if opened else best.cost

    def _made(self, node: _Node, w: Vector) -> tuple[Choice, ...]:
        choices = []
        for i, choice in enumerate(node.choices):
            near = [c for c in choice if _beyond(c, w[i]) <= _NEAR]
            out = [c for c in near if c == (0.0, 0.0)]
            choices.append(((out or near or list(choice))[0],))
        return tuple(choices)

    def _split(self, node: _Node, w: Vector) -> list[_Node] | None:
        """Two parts of a node that the relaxed weights are in neither of, or None where they break nothing."""
        off = [min(_beyond(c, w[i]) for c in choice) for i, choice in enumerate(node.choices)]
        worst = int(np.argmax(off))
        if off[worst] > _NEAR:
            choice = node.choices[worst]
            parts = (tuple(c for c in choice if c[1] < w[worst]), tuple(c for c in choice if c[0] > w[worst]))
            return [_narrowed(node, worst, part, self.most) for part in parts if part]
        held = [i for i in range(len(w)) if node.held[i] is True or abs(w[i]) > _NEAR]
        if len(held) <= self.most:
            return None
        undecided = [i for i in held if node.held[i] is None]
        if not undecided:
            return None
        one = max(undecided, key=lambda i: (abs(w[i]), -i))
        inside = tuple(c for c in node.choices[one] if c != (0.0, 0.0))
        return [_narrowed(node, one, part, self.most) for part in (inside, ((0.0, 0.0),))]


def _narrowed(node: _Node, i: int, choice: Choice, most: int) -> _Node:
    """The node with one name's choice less; once as many are in as may be, all others are out."""
    choices, held = list(node.choices), list(node.held)
    choices[i], held[i] = choice, _held(choice)
    if sum(is_in is True for is_in in held) >= most:
        for j, is_in in enumerate(held):
            if is_in is None:
                choices[j], held[j] = ((0.0, 0.0),), False
    return _Node(tuple(choices), tuple(held))


def _held(choice: Choice) -> bool | None:
    out = [c == (0.0, 0.0) for c in choice]
    return False if all(out) else None if any(out) else True


def _beyond(interval: Interval, w: float) -> float:
    return max(interval[0] - w, w - interval[1], 0.0)


def _choices(problem: Problem, i: int, counts: bool) -> Choice:
    """Where one name's weight may be: within bounds, 0 or at least the least weight, still or at least the least trade.

    Where names are counted, 0 is a choice of its own beside intervals that it lies in.
    """
    weight, trade, w0 = 0.0, 0.0, float(problem.w0[i])
    for piece in problem.counted:
        weight = max(weight, 0.0 if piece.least_weight is None else float(piece.least_weight[i]))
        trade = max(trade, 0.0 if piece.least_trade is None else float(piece.least_trade[i]))
    bounds = [(float(problem.lower[i]), float(problem.upper[i]))]
    inf = float("inf")
    weights = [(-inf, -weight), (0.0, 0.0), (weight, inf)] if weight > 0 else [(-inf, inf)]
    trades = [(-inf, w0 - trade), (w0, w0), (w0 + trade, inf)] if trade > 0 else [(-inf, inf)]
    found = _both(_both(bounds, weights), trades)
    if counts and any(c[0] <= 0.0 <= c[1] for c in found):
        found = sorted({(0.0, 0.0), *found})
    return tuple(found)


def _both(one: list[Interval], other: list[Interval]) -> list[Interval]:
    met = [(max(a[0], b[0]), min(a[1], b[1])) for a in one for b in other]
    return sorted({c for c in met if c[0] <= c[1]})


def _counting(problem: Problem, most: int) -> Problem:
    """With a row that any choice meets: the sum of w / upper counts each name held at most once."""
    open_ = problem.upper > 0
    row = np.where(open_, 1.0 / np.where(open_, problem.upper, 1.0), 0.0)
    rows = Rows(name="count", A=row[None], low=np.array([-np.inf]), high=np.array([float(most)]), labels=("names",))
    return replace(
        problem,
        A=np.concatenate([problem.A, rows.A]),
        low=np.concatenate([problem.low, rows.low]),
        high=np.concatenate([problem.high, rows.high]),
        row_by=np.concatenate([problem.row_by, np.array([len(problem.names)], np.int32)]),
        row_soft=np.concatenate([problem.row_soft, np.array([rows.soft])]),
        labels=(*problem.labels, *rows.labels),
        names=(*problem.names, rows.name),
    )
