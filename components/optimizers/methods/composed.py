"""One problem composed of terms and constraints, solved by the route that fits it."""

from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from components.optimizers.impossible import impossible, unbounded
from components.optimizers.methods.ladder import PINNED, STEPS, Ladder, StepName
from components.optimizers.methods.routes import Routes, SolverName
from components.optimizers.methods.tangency import Tangency
from components.optimizers.needs import lacking, needs_of
from components.optimizers.own import constraint_of, term_of
from components.optimizers.problem import (
    HARD,
    Box,
    Constraint,
    Decision,
    Piece,
    Problem,
    Remark,
    Situation,
    Solution,
    Term,
)
from components.optimizers.remarks import plain
from components.optimizers.rounding_limits import limits_of
from components.optimizers.shadow import binding
from components.optimizers.stating import Stack, stated, unknown
from components.optimizers.terms.checked import above
from engine.events import Actions, Bars, Codes, Reference, Vector
from engine.protocols import Stateful
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "composed", 2


class Search(Protocol):
    """A route of a method's own, and the problem whose multipliers its last answer has."""

    def solve(self, problem: Problem) -> tuple[Solution, tuple[Remark, ...]]: ...

    def priced(self, problem: Problem) -> Problem: ...


class Composed:
    """The weights that minimise the sum of all terms within all constraints.

        objective:   [{use: expected_return, ic: 0.03}, {use: variance, aversion: 5}, {use: linear_cost, buy_bps: 5}]
        constraints: [long_only, {use: budget, full: true}, {use: box, max: 0.05}, {use: sectors, deviation: 0.02}]

    `problem` states what is minimised; each term and constraint has its own formula. A constraint with `soft: price`
    may be violated at that price, in return a slice for a unit of weight. Names that may not move, because the targets
    leave them alone or they have no FRESH bar, are pinned at their weights, and exits at 0 (`pinned`).

    The route is the structured kernel where it has all pieces, else a program that cvxpy compiled once, by PIQP where
    it is quadratic and Clarabel where it has cones; `solver` names another. Whatever the route, an answer counts only
    if the residual of its optimality conditions is within `tolerance`; else the next route is asked, with a Note
    `route`. Constraints that count names are searched with at most `nodes` problems. Where constraints contradict one
    another a Note `infeasible` tells which, and the steps of `fallback` are tried, each a Note `fallback:STEP`:

        relax     caps on turnover are loosened by as much as helps, then other constraints by the least total, a box
                  for all of its names alike; never those that are `firm`, as long_only and listed are, and no_alpha
        turnover  the caps on turnover are dropped
        shrink    the last weights that were accepted, within today's bounds and scaled to what may be invested
        hold      positions are held

    Notes tell the weights before rounding, the route, iterations and residual, and what each constraint that binds
    costs (`shadow.binding`). What is remembered: the last accepted weights, and multipliers to start from.
    """

    name: str = "composed"

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        objective: tuple[Term, ...],
        constraints: tuple[Constraint, ...] = (),
        solver: SolverName = "auto",
        tolerance: float = 1e-7,
        nodes: int = 100,
        fallback: tuple[StepName, ...] = STEPS,
    ) -> None:
        if not objective:
            raise ValueError("objective must have a term at least, e.g. [{use: variance, aversion: 5}]")
        never = impossible(universe, constraints)
        if never:
            raise ValueError(f"constraints must not contradict each other: {never}")
        endless = unbounded(objective, constraints)
        if endless:
            raise ValueError(f"constraints must bound the weights: {endless}")
        _fitting(solver, (*objective, *constraints))
        objective, constraints = tuple(map(term_of, objective)), tuple(map(constraint_of, constraints))
        self._terms, self._constraints = objective, constraints
        self._routes = Routes(solver=solver, tolerance=above("tolerance", tolerance), nodes=nodes)
        for each in constraints:
            if getattr(each, "firm", False) and each.soft is not None:
                raise ValueError(f"{type(each).__name__} is firm and has a price (soft): choose one")
        self._steps = fallback
        Ladder(fallback, ())
        self._yielding = [each for each in constraints if getattr(each, "yields", False)]
        self._stack = Stack()
        self._last: Vector | None = None  # (N,) weights accepted last
        self._symbols = universe.symbols
        self._asked = [(i, term.silent) for i, term in enumerate(objective) if hasattr(term, "silent")]
        self._told: list[int] = []  # terms that have said why they cost nothing
        parts: tuple[Any, ...] = (*objective, *constraints)
        self._parts = parts
        self.needs = needs_of(parts)
        self._handlers: dict[str, tuple[Any, ...]] = {
            method: tuple(getattr(part, method) for part in parts if hasattr(part, method))
            for method in ("on_bars", "on_actions", "on_reference")
        }
        self._waits = [part.waits for part in parts if hasattr(part, "waits")]
        self.needs_risk: bool = any(getattr(part, "needs_risk", False) for part in parts)
        self.lookback: int = max(getattr(part, "lookback", 0) for part in parts)

    def on_bars(self, bars: Bars, /) -> None:
        self._tell("on_bars", bars)

    def on_actions(self, actions: Actions, /) -> None:
        self._tell("on_actions", actions)

    def on_reference(self, reference: Reference, /) -> None:
        self._tell("on_reference", reference)

    def _tell(self, method: str, event: Any) -> None:
        for tell in self._handlers[method]:
            tell(event)

    def weights(self, at: Situation, /) -> Decision:
        return self._decided(at, None)

    def tangency(self, at: Situation, gains: Vector) -> Decision:
        """The highest gains'w / sqrt(w'Sw) within the constraints, for an objective of variance alone, of aversion 1.

        Raises NothingEarnedError where no weights earn more than 0.
        """
        return self._decided(at, Tangency(self._routes, gains))

    def by(self, at: Situation, search: Search) -> Decision:
        """What another route answers within the constraints, with the same fallbacks."""
        return self._decided(at, search)

    def _decided(self, at: Situation, search: Search | None) -> Decision:
        if not at.free.any():
            return Decision(weights=np.full(len(at.w0), np.nan))
        if self.needs_risk and at.risk is None:
            return Decision(weights=None, reason="the risk model has too little history")
        lacks = lacking(self.needs, at) or next((said for wait in self._waits if (said := wait())), "")
        if lacks:
            return Decision(weights=None, reason=lacks)
        said = self._silent(at)
        pieces: list[Piece] = [_pins(at)]
        for term in self._terms:
            pieces += term.cost(at)
        limits, firm = _limits(self._constraints, at)
        pieces += limits
        nameless = unknown(pieces)
        if nameless:
            return Decision(weights=None, reason=nameless)
        problem = self._stack.noted(stated(pieces, at, self._stack))
        routes = self._routes if search is None else search
        solution, remarks = routes.solve(problem)
        remarks = (*said, *remarks)
        if solution.w is None:
            boxes = [piece for piece in pieces if isinstance(piece, Box) and piece.soft == HARD]
            yields = tuple(piece.name for each in self._yielding for piece in each.allows(at))
            ladder = Ladder(self._steps, ("no_alpha", *firm), yields, self._routes)
            problem, solution, more, reason = ladder.descend(problem, boxes, solution, routes, self._last)
            remarks = (*remarks, *more)
            if solution.w is None:
                return Decision(weights=None, reason=reason, remarks=remarks)
        self._last = solution.w
        priced = problem if search is None else search.priced(problem)
        told = () if solution.box is None else binding(priced, solution, at)
        remarks = (*remarks, _weights(solution.w, solution, at), *told)
        return Decision(weights=solution.w, remarks=remarks, limits=limits_of(problem))

    def _silent(self, at: Situation) -> tuple[Remark, ...]:
        """A remark on each term that has nothing to say, once a session."""
        told = []
        for i, ask in self._asked:
            text = ask(at) if i not in self._told else ""
            if text:
                self._told.append(i)
                told.append(plain("silent", text, 1.0))
        return tuple(told)

    def save(self) -> bytes:
        parts = [part.save() if isinstance(part, Stateful) else b"" for part in self._parts]
        fields = {"last": self._last, "memory": self._routes.memory, "parts": parts, "told": self._told}
        return pack(_KIND, _VERSION, symbols=self._symbols, **fields)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since were not held."""
        fields = unpack(state, _KIND, _VERSION)
        before, memory, last = fields["symbols"], fields["memory"], fields["last"]
        if memory is not None:
            memory = memory | {"w": placed(memory["w"], before, self._symbols, 0.0)}
        self._routes.memory = memory
        self._told = list(fields["told"])
        self._last = None if last is None else placed(last, before, self._symbols, 0.0)
        for part, saved in zip(self._parts, fields["parts"], strict=True):
            if isinstance(part, Stateful):
                part.load(saved)


def _fitting(solver: SolverName, parts: tuple[Any, ...]) -> None:
    """Raises ValueError where the solver that is named lacks what a part needs."""
    if solver in ("piqp", "osqp"):
        lacks = [type(part).__name__ for part in parts if getattr(part, "cone", False)]
    else:
        lacks = [type(part).__name__ for part in parts if solver == "kernel" and getattr(part, "tail", False)]
    if lacks:
        raise ValueError(f"solver {solver} has no {lacks[0]}; say auto or clarabel")


def _limits(constraints: tuple[Constraint, ...], at: Situation) -> tuple[list[Piece], list[str]]:
    """What is allowed, and the names of limits that are firm; one that shares its name with a loose one is named so."""
    given = [(piece, getattr(each, "firm", False)) for each in constraints for piece in each.allows(at)]
    loose = {piece.name for piece, firm in given if not firm}
    pieces = [
        replace(piece, name=f"firm {piece.name}") if firm and piece.name in loose else piece for piece, firm in given
    ]
    return pieces, [piece.name for piece, (_, firm) in zip(pieces, given, strict=True) if firm]


def _pins(at: Situation) -> Box:
    """Names that may not move keep their weights, exits have none."""
    fixed = np.where(at.leaving, 0.0, at.w0)
    return Box(name=PINNED, lower=np.where(at.free, -np.inf, fixed), upper=np.where(at.free, np.inf, fixed))


def _weights(w: Vector, solution: Solution, at: Situation) -> Remark:
    rows: Codes = np.flatnonzero(at.free).astype(np.int32)
    certified = f", residual {solution.residual:.1e}" if np.isfinite(solution.residual) else ""
    effort = f"{solution.iterations} iterations{certified}"
    text = f"{len(rows)} weights solved by {solution.route} in {effort}, before rounding"
    return Remark(kind="weights", text=text, symbol=rows, value=w[rows])
