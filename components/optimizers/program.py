"""The general route: cvxpy states a layout once, each solve moves figures only and hands them to a solver directly."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from components.optimizers.problem import Problem, Solution
from components.optimizers.program_duals import balance, multipliers, unpriced
from components.optimizers.program_layout import Figures, Layout, figured, pinned
from components.optimizers.program_matrices import Matrices
from components.optimizers.stating import broken
from engine.events import Vector

if TYPE_CHECKING:
    from components.optimizers.program_drive import Answer, Shape
    from components.optimizers.program_maps import Maps
    from components.optimizers.program_statement import Statement

Name: TypeAlias = Literal["auto", "piqp", "clarabel", "osqp", "scs", "highs"]

TOLERANCE = 1e-7  # of a weight, above which an answer breaks a constraint that must hold
_CROSSED = 1e-12  # bounds this far apart the wrong way have crossed, those nearer are the same figure rounded
_PROGRAMS_MAX = 16  # layouts that are kept; the one that was not asked for longest goes
_CONIC = ("clarabel", "scs")


@dataclass(slots=True)
class _Program:
    """One layout for one solver."""

    statement: "Statement"
    maps: "Maps | None"
    shape: "Shape | None" = None
    piqp: Any = field(default=None)


class Compiled:
    """Any convex problem: all pieces but those that count names.

    `solver` is `auto` (PIQP for quadratic programs, Clarabel for cones, HiGHS for linear programs) or one by name; what
    solved is told in `route`. Every solve starts cold: the answer depends on the problem alone. Where cvxpy hides what
    is taken from it, cvxpy itself solves, to the same answer and slower.

    Memory: 16 programs; each O(slots * (factors + rows + scenarios)).
    """

    def __init__(self, *, solver: Name = "auto") -> None:
        known = ("auto", "piqp", "clarabel", "osqp", "scs", "highs")
        if solver not in known:
            raise ValueError(f"solver is {solver!r}; it is one of {', '.join(known)}")
        self.name: str = solver
        self.compiled = 0  # programs stated so far: more than a few in a session is a layout that changes
        self._programs: dict[tuple[Layout, str], _Program] = {}
        self._matrices: Matrices | None = None  # of the last problem: most have the same

    def fits(self, problem: Problem, /) -> bool:
        """Whether the solver has every piece. HiGHS gets no quadratic program, PIQP and OSQP no cone."""
        if problem.counted:
            return False
        conic, quadratic = _kind(problem)
        match self.name:
            case "piqp" | "osqp":
                return not conic
            case "highs":
                return not conic and not quadratic
            case _:
                return True

    def handed_to(self, problem: Problem, /) -> str:
        """The solver that a problem goes to."""
        conic, quadratic = _kind(problem)
        if self.name != "auto":
            return self.name
        return "clarabel" if conic else "piqp" if quadratic else "highs"

    def solve(self, problem: Problem, /, start: Solution | None = None) -> Solution:
        """The optimum. `start` changes nothing: see the head of the class."""
        if problem.counted:
            names = ", ".join(piece.name for piece in problem.counted)
            raise ValueError(f"{self.name}: {names} count names, which no convex program can; use the counted route")
        if (problem.lower > problem.upper + _CROSSED).any():
            return Solution(status="infeasible", route="bounds")
        if pinned(problem).all():
            return _nothing_moves(problem)
        figures = figured(problem, self._matrices)
        self._matrices = figures.matrices
        if faulty := figures.faulty():
            return Solution(status=f"failed: {faulty} has an entry that is not a number", route=self.name)
        route = self._route(figures.layout)
        program = self._program(figures.layout, route)
        answer = _directly(program, route, figures) if program.maps is not None else _by_cvxpy(program, route, figures)
        if answer.status != "optimal" or answer.x is None or answer.z is None:
            return Solution(status=why(problem, answer.status), route=route, iterations=answer.iterations)
        return _checked(problem, figures, program, route, answer)

    def _route(self, layout: Layout) -> str:
        if self.name == "auto":
            return "clarabel" if layout.conic else "highs" if layout.linear else "piqp"
        able = layout.linear if self.name == "highs" else self.name in _CONIC or not layout.conic
        if not able:
            kind = "cones" if layout.conic else "a quadratic objective"
            raise ValueError(f"{self.name}: the problem has {kind}, which it cannot solve; use auto or clarabel")
        return self.name

    def _program(self, layout: Layout, route: str) -> _Program:
        key = (layout, route)
        program = self._programs.pop(key, None)
        if program is None:
            from components.optimizers.program_maps import mapped
            from components.optimizers.program_statement import state

            statement = state(layout)
            program = _Program(statement, mapped(statement, route.upper()))
            self.compiled += 1
        self._programs[key] = program
        if len(self._programs) > _PROGRAMS_MAX:
            del self._programs[next(iter(self._programs))]
        return program


def _kind(problem: Problem) -> tuple[bool, bool]:
    """Whether it has cones, and whether its objective is quadratic."""
    free = ~pinned(problem)
    conic = bool(problem.impact[free].any()) or (bool(problem.risk_caps) and problem.risk is not None)
    return conic, (problem.aversion > 0 and problem.risk is not None) or bool(problem.ridge[free].any())


def why(problem: Problem, status: str) -> str:
    """A solver that gave up on a problem that nothing meets is said to have found it so."""
    if status in ("infeasible", "unbounded"):
        return status
    from components.optimizers.elastic import possible

    try:
        return status if possible(problem) else "infeasible"
    except ArithmeticError:
        return status


def _directly(program: _Program, route: str, figures: Figures) -> "Answer":
    from components.optimizers.program_drive import DRIVERS, Piqp, shaped

    assert program.maps is not None
    raw = program.maps.raw(figures.values, figures.idle)
    if program.shape is None or not program.shape.holds(raw):
        program.shape = shaped(program.maps, raw)
    if route != "piqp":
        return DRIVERS[route](program.maps, program.shape, raw)
    program.piqp = program.piqp or Piqp()
    answer: Answer = program.piqp.solve(program.maps, program.shape, raw)
    return answer


def _by_cvxpy(program: _Program, route: str, figures: Figures) -> "Answer":
    """The same program by cvxpy's own way; `x` are the weights, `z` the multipliers in the order of the constraints."""
    import cvxpy as cp

    from components.optimizers.program_drive import Answer

    statement = program.statement
    for name, parameter in statement.parameters.items():
        parameter.save_value(figures.values[name])  # as .value = without its checks: the shapes are ours
    try:
        statement.program.solve(solver=route.upper(), canon_backend="COO", warm_start=False)
    except cp.error.SolverError as error:
        return Answer(f"failed: {str(error).splitlines()[0]}")
    said: str = statement.program.status
    if said != cp.OPTIMAL:
        known = {cp.INFEASIBLE: "infeasible", cp.UNBOUNDED: "unbounded", cp.settings.USER_LIMIT: "iteration_limit"}
        return Answer(known.get(said, "inaccurate" if said.endswith("inaccurate") else f"failed: {said}"))
    z = np.concatenate([np.ravel(c.dual_value) for c in statement.constraints.values()])
    iterations = statement.program.solver_stats.num_iters
    return Answer("optimal", np.asarray(statement.variables["w"].value), z, int(iterations or 0))


def _checked(problem: Problem, figures: Figures, program: _Program, route: str, answer: "Answer") -> Solution:
    """Weights within their bounds and the multipliers, unless the answer breaks what must hold."""
    assert answer.x is not None
    assert answer.z is not None
    maps, constraints = program.maps, program.statement.constraints
    if maps is not None:
        x = answer.x[maps.variables["w"]]
        found = {name: answer.z[maps.constraints[name]] for name in constraints}
    else:
        x, sizes = answer.x, [c.size for c in constraints.values()]
        found = dict(zip(constraints, np.split(answer.z, np.cumsum(sizes)[:-1]), strict=True))
    w = np.where(pinned(problem), problem.lower, 0.0)
    w[figures.free] = x[: len(figures.free)]
    w = np.clip(w, problem.lower, np.maximum(problem.lower, problem.upper))
    if not np.isfinite(w).all():
        return Solution(status="failed: weights are not finite", route=route, iterations=answer.iterations)
    if max(broken(problem, w).values(), default=0.0) > TOLERANCE:
        return Solution(status="inaccurate", route=route, iterations=answer.iterations)
    told = multipliers(problem, figures, w, found)
    return Solution(
        status="optimal",
        route=route,
        w=w,
        iterations=answer.iterations,
        box=told.box,
        rows=told.rows,
        turnover=told.turnover,
        gross=told.gross,
        risk_caps=told.risk_caps,
        tails=told.tails,
    )


def _nothing_moves(problem: Problem) -> Solution:
    """Bounds leave one answer, allowed or not."""
    w: Vector = problem.lower.copy()
    if max(broken(problem, w).values(), default=0.0) > TOLERANCE:
        return Solution(status="infeasible", route="bounds")
    known = unpriced(problem, w)
    box = balance(problem, known, w, list(known.tails))
    return Solution(
        status="optimal",
        route="bounds",
        w=w,
        box=box,
        rows=known.rows,
        turnover=known.turnover,
        gross=known.gross,
        risk_caps=known.risk_caps,
        tails=known.tails,
    )
