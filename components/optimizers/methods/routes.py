"""Which solver answers: the first that fits, has an optimum and whose answer the residual certifies."""

from dataclasses import replace
from typing import Any, Literal, TypeAlias

from components.optimizers.narrowing import Narrowing
from components.optimizers.problem import Problem, Remark, Solution, Solver
from components.optimizers.remarks import plain

SolverName: TypeAlias = Literal["auto", "kernel", "piqp", "clarabel", "osqp", "scs"]
SOLVERS: tuple[SolverName, ...] = ("auto", "kernel", "piqp", "clarabel", "osqp", "scs")
_KERNEL = "kernel"
_NONE = ("infeasible", "unbounded")  # there is no answer: nobody failed


class Routes:
    """Solvers in the order in which they are asked. Memory: compiled programs, the multipliers of the last answer."""

    def __init__(self, *, solver: SolverName, tolerance: float, nodes: int) -> None:
        if solver not in SOLVERS:
            raise ValueError(f"solver must be one of {', '.join(SOLVERS)}, got {solver!r}")
        self._names: tuple[str, ...] = (_KERNEL, "auto", "clarabel") if solver == "auto" else (solver,)
        if nodes < 0:
            raise ValueError(f"nodes must be at least 0, got {nodes}")
        self._tolerance, self._nodes = tolerance, nodes
        self._narrowing = Narrowing()
        self._solvers: dict[str, Solver] = {}
        self.memory: Any = None  # of the kernel's last certified answer, to start from

    def solve(self, problem: Problem) -> tuple[Solution, tuple[Remark, ...]]:
        """The first certified answer; else the last failure, without weights. Tells of each route that failed."""
        narrow = self._narrowing(problem)
        if narrow is None:
            return self._solved(problem)
        before = self.memory
        self.memory = None if before is None else narrow.start(before)
        solution, remarks = self._solved(narrow.problem)
        solution = narrow.spread(solution)
        self.memory = before if solution.w is None or solution.memory is None else solution.memory
        return solution, remarks

    def _solved(self, problem: Problem) -> tuple[Solution, tuple[Remark, ...]]:
        if not problem.counted:
            return self.convex(problem)
        from components.optimizers.counted import CountedSearch

        found = CountedSearch(route=_Certified(self), nodes=self._nodes).solve(problem)
        if found.w is None or found.status == "optimal":
            return found, ()
        told = plain("route", f"{found.iterations} choices of names were tried; the best of all is {found.status}", 0.0)
        return found, (told,)

    def convex(self, problem: Problem) -> tuple[Solution, tuple[Remark, ...]]:
        """As `solve`, of a problem that counts no names."""
        from components.optimizers.certificate import certified
        from components.optimizers.polish import polished
        from components.optimizers.program import Compiled

        failed: list[Remark] = []
        last = Solution(status=f"no solver among {', '.join(self._names)} has all its pieces", route="none")
        asked: set[str] = set()
        agreed = ""
        for solver in map(self._solver, self._names):
            route = solver.handed_to(problem) if isinstance(solver, Compiled) else solver.name
            if route in asked or not solver.fits(problem):
                continue  # the same solver by another name, or one that lacks a piece
            asked.add(route)
            last = solver.solve(problem, self._start(solver.name))
            if last.status == "optimal":
                last = certified(problem, last)
                if last.residual > self._tolerance and solver.name != _KERNEL:
                    last = polished(problem, last, self._tolerance)
                if last.residual <= self._tolerance:
                    self._keep(last)
                    return last, tuple(failed)
                last = replace(last, status=f"residual {last.residual:.1e}, above {self._tolerance:g}")
            last = replace(last, w=None)
            if last.status not in _NONE:
                failed.append(plain("route", f"{last.route} did not answer: {last.status}", last.iterations))
            elif agreed == last.status:
                break  # two that say the same need no third
            agreed = last.status
        return last, tuple(failed)

    def _start(self, name: str) -> Solution | None:
        memory = self.memory if name == _KERNEL else None
        return None if memory is None else Solution(status="optimal", route=name, memory=memory)

    def _keep(self, solution: Solution) -> None:
        if solution.route == _KERNEL:
            self.memory = solution.memory

    def _solver(self, name: str) -> Solver:
        if name not in self._solvers:
            self._solvers[name] = _made(name)
        return self._solvers[name]


class _Certified:
    """The convex routes as one: what a search over choices of names asks."""

    name = "certified"

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def fits(self, problem: Problem, /) -> bool:
        return not problem.counted

    def solve(self, problem: Problem, /, start: Solution | None = None) -> Solution:
        del start  # each choice starts where the last one ended
        return self._routes.convex(problem)[0]


def _made(name: str) -> Solver:
    if name == _KERNEL:
        from components.optimizers.kernel_capped import CappedKernel

        return CappedKernel()
    from components.optimizers.program import Compiled

    return Compiled(solver=name)  # type: ignore[arg-type]
