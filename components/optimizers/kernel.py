"""The structured kernel: a rebalance solved by a damped Newton method on its dual, from where the last one ended."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from components.optimizers import figures
from components.optimizers.kernel_ends import bounding, limited, started
from components.optimizers.kernel_loops import Limits, excess, largest, movable, settled, sound
from components.optimizers.kernel_names import bent_inward, names_of
from components.optimizers.kernel_newton import (
    CLOSE,
    EXACT,
    LOOK,
    OPTIMAL,
    STALE,
    STEPS,
    Dual,
    Track,
    newton,
)
from components.optimizers.kernel_risk import FEW, Factors, Shape
from components.optimizers.kernel_search import Point, Stage, impossible, point, stepped
from components.optimizers.problem import GrossCap, Problem, Solution, TurnoverCap
from engine.events import Mask, Vector

_ROWS, _PLACES = 200, 8  # the most rows, and kinks of one problem
_OUTER = 60
_LARGE = 1e200  # a sum of squares whose square is no number
_FLAT = 1e-7  # of the typical second derivative: below it a name is kept near where it was, again and again
_AWAY = 1e4  # a weight nobody holds: where nothing curves the cost, coming there counts as unbounded
_EASY, _SOFTER, _STIFFER = 15, 0.2, 10.0  # Newton steps after which the proximal term is made smaller, else larger


class Kernel:
    """One route to the answer of a `Problem`, fast where its structure is the usual one.

    What it has: a covariance in factors (any number, also as many as slices of history), ridge, kinks, impact, boxes,
    up to 200 hard or soft rows, caps on turnover and gross. It lacks tails, counted names and caps on risk.

    The covariance term and the rows are dualised; then each weight has a closed form of its own, and the dual has as
    many unknowns as factors and rows. It is concave with a continuous gradient, piecewise quadratic without impact. A
    Newton step uses the names that are free to move, settles the signs of the rows' multipliers within its own model,
    and is cut where the slope of the dual has turned. Without second derivative in some name (no specific variance, no
    ridge) a proximal term is added to it and moved along until it no longer matters.

    The answer is unique wherever the problem's is, to 1e-11 of a weight. `start` makes it quicker but can show in the
    last bits: whoever must repeat a decision bit by bit keeps `memory` in its state. Limits are counts of steps.

    Memory: the last risk it met and, where that has nearly as many factors as names, its product (N, N).

    Statuses: optimal; infeasible, with a proof found; unbounded; not finite: NAME; not convex: NAME; no progress.

    Source: Li, Sun, Toh (2018), A highly efficient semismooth Newton augmented Lagrangian method for solving lasso
    problems, SIAM J. Optimization 28(1), for the generalised Newton step; Rockafellar (1976), Monotone operators and
    the proximal point algorithm, SIAM J. Control 14(5).
    """

    name = "kernel"

    def __init__(self) -> None:
        self._shape = Shape()

    def fits(self, problem: Problem) -> bool:
        lacking = problem.tails or problem.counted or problem.risk_caps
        return not lacking and len(problem.low) <= _ROWS and len(problem.kinks) <= _PLACES

    def solve(self, problem: Problem, start: Solution | None = None) -> Solution:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
            fault = "" if _sound(problem) else _fault(problem)
            if fault:
                return Solution(status=fault, route=self.name)
            return self._solved(problem, _remembered(problem, start))

    def _solved(self, problem: Problem, memory: dict[str, Any]) -> Solution:
        form = self._shape.form(problem.risk, problem.aversion, problem.about)
        if self._shape.fault:
            return Solution(status=self._shape.fault, route=self.name)
        stiff = _stiffness(problem)
        whole = stiff + problem.aversion * self._shape.diagonal
        typical = float(np.maximum.reduce(whole, initial=0.0))
        stage = _Setting(problem, stiff, form)
        if np.minimum.reduce(stiff, initial=np.inf) > _FLAT * typical:
            return _answer(problem, _newton(stage.stage(), memory), self.name)
        typical = float(np.median(whole))
        flat = stiff <= _FLAT * typical
        movable = flat & (problem.lower < problem.upper)
        if not movable.any():
            found = _newton(stage.stage(np.where(flat, max(typical, 1e-12), 0.0), problem.w0), memory)
        else:
            found = _proximal(stage, flat, typical or _price(problem), _cold(problem))
        return _answer(problem, found, self.name)


@dataclass(frozen=True, slots=True)
class _Found:
    status: str
    stage: Stage
    at: Point
    steps: int


@dataclass(frozen=True, slots=True)
class _Setting:
    """A problem on its way to a stage: only the proximal term is missing."""

    problem: Problem
    stiff: Vector  # (N,)
    form: Any

    def stage(self, extra: Vector | None = None, center: Vector | None = None) -> Stage:
        """With 1/2 sum extra (w - center)^2 added."""
        problem, stiff = self.problem, self.stiff
        base = problem.ridge * problem.rest - problem.q
        if extra is not None and center is not None:
            stiff, base = stiff + extra, base + extra * center
        lower, upper = figures.bounds(problem)
        names = names_of(problem, stiff, lower, upper)
        if problem.risk is not None:
            base = base + problem.aversion * problem.risk.specific * problem.about
        caps, mean = names.caps, float(np.add.reduce(names.inverse) / max(len(problem), 1))
        found = limited(figures.limits(problem), figures.squares(problem), (caps.limit, caps.price), len(problem), mean)
        limits, norm, whole = Limits(*found[:5]), found[5], found[6]
        return Stage(names, names.costs(), self.form, base, problem.A, limits, norm, whole)


def _stiffness(problem: Problem) -> Vector:
    """(N,) second derivative of what each weight costs on its own."""
    if problem.risk is None or not problem.aversion:
        return problem.ridge
    own: Vector = problem.aversion * problem.risk.specific + problem.ridge
    return own


def _price(problem: Problem) -> float:
    """A typical return of the problem, above 0."""
    sizes = [float(np.abs(problem.q).max(initial=0.0))]
    sizes += [float(np.maximum(kink.up, kink.down).max(initial=0.0)) for kink in problem.kinks]
    return max(sizes) or 1.0


def _sound(problem: Problem) -> bool:
    """Whether nothing at all is wrong, seen at a glance; what is, if so, is for `_fault` to say."""
    p = problem
    if not all(cap.limit >= 0 and cap.soft >= 0 for cap in _caps(p)):
        return False
    if not (np.add.reduce(figures.squares(p)) <= _LARGE and 0 <= p.aversion <= _LARGE):
        return False
    return bool(sound(figures.vectors(p), figures.bounds(p), figures.limits(p), _LARGE))


def _fault(problem: Problem) -> str:
    """Why a problem need not be tried, or nothing."""
    figures = {"q": problem.q, "ridge": problem.ridge, "rest": problem.rest, "impact": problem.impact, "A": problem.A}
    figures |= {"w0": problem.w0, "about": problem.about, "aversion": np.array(problem.aversion)}
    for kink in problem.kinks:
        figures |= {f"{kink.name} up": kink.up, f"{kink.name} down": kink.down, f"{kink.name} at": kink.at}
    for name, figure in figures.items():
        if not np.vdot(figure, figure) <= _LARGE:
            return f"not finite: {name}"
    bounds = {"lower": problem.lower, "upper": problem.upper, "low": problem.low, "high": problem.high}
    bounds["price of rows"] = problem.row_soft
    bounds |= {cap.name: np.array(cap.limit) for cap in _caps(problem)}
    for name, bound in bounds.items():
        if np.isnan(bound).any():
            return f"not finite: {name}"
    bent = bent_inward(problem.kinks)
    signed = (problem.ridge, problem.impact, problem.row_soft, *(np.array([cap.soft]) for cap in _caps(problem)))
    if bent or problem.aversion < 0 or any(float(x.min(initial=0.0)) < 0 for x in signed):
        return f"not convex: {bent or 'aversion, ridge, impact or a price below 0'}"
    return "infeasible" if _crossed(problem) else ""


def _crossed(problem: Problem) -> bool:
    """Bounds that leave nothing, seen at once."""
    if (problem.lower > problem.upper).any() or (problem.lower == np.inf).any() or (problem.upper == -np.inf).any():
        return True
    hard = np.isinf(problem.row_soft)
    if ((problem.low > problem.high) | (problem.low == np.inf) | (problem.high == -np.inf))[hard].any():
        return True
    return any(cap.limit < 0 and np.isinf(cap.soft) for cap in _caps(problem))


def _caps(problem: Problem) -> list[TurnoverCap | GrossCap]:
    return [*problem.turnover, *problem.gross]


def _cold(problem: Problem) -> dict[str, Any]:
    w = np.minimum(np.maximum(problem.w0, problem.lower), problem.upper)
    return {"w": w, "z": np.zeros(_prices(problem))}


def _prices(problem: Problem) -> int:
    """How many multipliers rows and caps have."""
    return len(problem.low) + len(problem.turnover) + len(problem.gross)


def _remembered(problem: Problem, start: Solution | None) -> dict[str, Any]:
    """Weights (N,) and multipliers z (r,) to start from; what is of another shape or not finite is not used."""
    kept = start.memory if start is not None and isinstance(start.memory, dict) else {}
    shapes, memory = {"w": (len(problem),), "z": (_prices(problem),)}, {}
    for key, shape in shapes.items():
        given = kept.get(key)
        if given is not None and np.shape(given) == shape and np.isfinite(given).all():
            memory[key] = np.array(given, np.float64)
    return memory if len(memory) == len(shapes) else _cold(problem) | memory


def _newton(stage: Stage, memory: dict[str, Any]) -> _Found:
    """The optimum of a strictly convex stage."""
    form, limits = stage.form, stage.limits
    if isinstance(form, Factors) and 0 < form.R.shape[1] <= FEW:
        return _compiled(stage, form, memory)
    z = np.minimum(np.maximum(memory["z"], limits.least), limits.most)
    at = point(stage, stage.form.state(memory["w"]), z)
    best, stale, fresh, largest, damp = np.inf, 0, True, _size(stage, z), 1e-2
    for steps in range(STEPS):
        used, e, error = _errors(stage, at)
        if error <= EXACT or (stale >= STALE and best <= CLOSE):
            if fresh:
                return _Found("optimal", stage, at, steps)
            at, fresh = point(stage, at.state, at.z), True
            continue
        stale = 0 if error < 0.5 * best else stale + 1
        best = min(best, error)
        state, to = _step(stage, at, used, e, damp * min(100.0 * error, 1.0))
        before = at
        at, length, rising = stepped(stage, at, state, to)
        fresh = False
        damp = min(3.0 * damp, 1.0) if length < 0.2 else 0.003 * damp if length >= 1.0 else damp
        size = _size(stage, at.z)
        if rising or size > 8.0 * largest:
            largest = max(size, largest)
            if impossible(stage, at.z - before.z) or impossible(stage, at.z):
                return _Found("infeasible", stage, at, steps + 1)
        if length == 0.0:
            at, fresh, stale = point(stage, at.state, at.z), True, max(stale, STALE)
    if impossible(stage, at.z):
        return _Found("infeasible", stage, at, STEPS)
    return _Found("no progress", stage, at, STEPS)


def _compiled(stage: Stage, form: Factors, memory: dict[str, Any]) -> _Found:
    """The same, by the loops that are compiled whole."""
    limits, costs = stage.limits, stage.costs
    about, A = np.array(form.about), stage.A  # copies of what may be read-only: for that they would be compiled again
    A = A if A.flags.c_contiguous and A.flags.writeable else np.array(A, order="C")
    dual = Dual(form.R, form.g, about, A, stage.base, stage.norm, stage.whole)
    track = Track._make(np.array((0.0, np.inf, 0.0, 1.0, 0.0, 1e-2)).reshape((-1, 1)))
    code, at, before = started(costs, limits, dual, form.state(memory["w"]), memory["z"], track)
    while True:
        steps = int(track.steps[0])
        if code != OPTIMAL and (impossible(stage, at[1] - before) or impossible(stage, at[1])):
            return _Found("infeasible", stage, Point(*at), steps)
        if code != LOOK:
            break
        code, at, before = newton(costs, limits, dual, at, track)
    return _Found("optimal" if code == OPTIMAL else "no progress", stage, Point(*at), steps)


def _size(stage: Stage, z: Vector) -> float:
    size: float = largest(z, stage.norm, True)
    return size


def _errors(stage: Stage, at: Point) -> tuple[Vector, Vector, float]:
    """Values of rows and caps (r,), what the state lacks, and the largest of all errors as a distance in weights."""
    caps = stage.names.caps
    used = stage.A @ at.w
    if len(caps.limit):
        used = np.concatenate((used, caps.used(at.w)))
    e = stage.form.state(at.w) - at.state
    error: float = largest(excess(stage.limits, used, at.z), stage.norm, False)
    if error <= CLOSE and e.size:
        error = max(error, float((np.abs(stage.form.repriced(e)) * stage.names.inverse).max(initial=0.0)))
    return used, e, error


def _step(stage: Stage, at: Point, used: Vector, e: Vector, damp: float) -> tuple[Vector, Vector]:
    """A Newton step of the state, and the multipliers of rows that it leads to."""
    names = stage.names
    free, give = movable(stage.costs, at.w)
    A = stage.A[:, free]
    if len(names.caps.limit):
        A = np.concatenate((A, np.sign(at.w[free] - names.caps.at[:, free])))
    step = stage.form.reduced(free, give, A, e, used)
    if not len(used):
        return stage.form.completed(step, used), at.z
    S = step.S
    S.flat[:: len(S) + 1] += stage.whole * max(damp, 1e-14)
    to = settled(np.ascontiguousarray(S), step.v, at.z, stage.limits, 1e-3 * EXACT)
    return stage.form.completed(step, to - at.z), to


def _proximal(setting: _Setting, flat: Mask, curvature: float, memory: dict[str, Any]) -> _Found:
    """The optimum where some names have no second derivative: each round adds one about the last round's answer.

    It always starts from w0, so that where many weights are optimal the answer does not depend on what was before.
    """
    center, extra, steps = memory["w"], curvature, 0
    stage = setting.stage(np.where(flat, extra, 0.0), center)
    far = _AWAY * (1.0 + float(np.abs(setting.problem.w0).max()))
    for _ in range(_OUTER):
        found = _newton(stage, memory)
        steps += found.steps
        if found.status == "infeasible":
            return _Found("infeasible", stage, found.at, steps)
        if found.status == "optimal":
            w = found.at.w
            moved = float(np.abs(w - center)[flat].max(initial=0.0))
            if moved * min(extra / curvature, 1.0) <= EXACT:
                return _Found("optimal", stage, found.at, steps)
            if float(np.abs(w).max()) > far:
                return _Found("unbounded", stage, found.at, steps)
            memory, center = {"w": w, "z": found.at.z}, w
        extra *= _SOFTER if found.steps <= _EASY else _STIFFER
        stage = setting.stage(np.where(flat, extra, 0.0), center)
    return _Found("no progress", stage, found.at, steps)


def _answer(problem: Problem, found: _Found, route: str) -> Solution:
    """The solution with its multipliers; its residual is another's to compute."""
    if found.status != "optimal":
        return Solution(status=found.status, route=route, iterations=found.steps)
    m, t = len(problem.low), len(problem.turnover)
    at, names = found.at, found.stage.names
    u = at.u - found.stage.form.repriced(found.stage.form.state(at.w) - at.state)
    z = at.z
    return Solution(
        status="optimal",
        route=route,
        w=at.w,
        iterations=found.steps,
        box=bounding(found.stage.costs, np.array(names.d), u, z[m:], at.w),
        rows=z[:m],
        turnover=tuple(z[m : m + t].tolist()),
        gross=tuple(z[m + t :].tolist()),
        memory={"w": at.w, "z": z},
    )
