"""How far any route's answer is from the optimality conditions of its problem, computed outside of the route.

One scale: weights. Each condition says that something is a fixed point of a small step of known size; the residual is
the longest such step that is left.

- A weight stays where it is when what it costs on its own (kinks, impact, caps at their multipliers, its bounds) is
  minimised together with its price and with d/2 (w - now)^2, d its second derivative in the variance and the ridge.
- A multiplier stays where it is when it moves by its limit's slack times a scale, and is put back to between 0 and
  its price. What is left is divided by the length of the row, so that a violation is a distance in weights.

So the residual is 0 at an optimum, grows in proportion to errors of weights and multipliers, and counts a violated
limit, a multiplier of the wrong sign or above its price, a limit with slack that has a multiplier, prices that differ.

Source: Pang (1997), Error bounds in mathematical programming, Math. Programming 79, on natural residuals.
"""

from dataclasses import dataclass, replace

import numpy as np

from components.optimizers import figures
from components.optimizers.kernel_names import between, names_of
from components.optimizers.problem import GrossCap, Problem, RiskCap, Solution, Tail, TurnoverCap
from components.optimizers.stating import alone, marginal
from engine.events import Mask, Matrix, Vector

_NEAR = 1e-6  # of a weight: where recovered multipliers may be other than 0
_HALVES = 80  # of an interval, to the last digit
_LEAST = 1e-2  # of the median second derivative: what a name has at least, or its error in weights would say nothing


def certified(problem: Problem, solution: Solution) -> Solution:
    """The same solution with its residual."""
    return replace(solution, residual=residual(problem, solution))


def residual(problem: Problem, solution: Solution) -> float:
    """Largest distance from the optimality conditions, as the head of this module says; in weights, O(N K + N m).

    Multipliers that the solution lacks (None, or an empty tuple beside caps) are recovered by least squares from the
    names that are free to move. inf: no weights, figures that are not finite, counted names, or tails without the
    multipliers of their scenarios.
    """
    w = solution.w
    if w is None or problem.counted or len(solution.tails) != len(problem.tails) or not np.isfinite(w).all():
        return float("inf")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if figures.usual(problem) and solution.box is not None and solution.rows is not None:
            found = _usual(problem, w, solution.box, solution.rows)
            if found == found:
                return found
        d = curvature(problem)
        limits = limits_at(problem, w)
        pull = _pull_of_tails(problem, solution)
        z = _known(problem, solution)
        if np.isnan(z).any():
            z = _recovered(problem, limits, w, z, d, pull)
        found = max(_of_names(problem, limits, solution, z, d, pull), _of_limits(limits, z, d))
        for tail, share in zip(problem.tails, solution.tails, strict=True):
            found = max(found, _of_tail(tail, share, w, d))
    return found if found == found else float("inf")


def _usual(problem: Problem, w: Vector, box: Vector, z: Vector) -> float:
    """The residual of a usual problem, of which all multipliers are known, by compiled loops; NaN = not found."""
    from components.optimizers.judging_loops import judged, slack

    d, mean = curved(problem)
    own, vectors = between(problem), figures.vectors(problem)
    answer, aversion = figures.answer_of(problem, (w, box, z), d), figures.aversion(problem)
    of_names = judged(vectors, figures.bounds(problem), own.plain(vectors[figures.W0]), answer, aversion)
    square, price = figures.squares(problem), np.array(z, np.float64)
    of_rows = slack(figures.limits(problem), problem.A @ w, square, price, mean)
    return float(max(of_names, of_rows)) if of_names == of_names and of_rows == of_rows else float("nan")


def curved(problem: Problem) -> tuple[Vector, float]:
    """`curvature` and the mean of 1 over it; kept with the risk where that alone decides, as it mostly does."""
    risk, aversion = problem.risk, problem.aversion
    if risk is None or not aversion or np.count_nonzero(problem.ridge):
        d = curvature(problem)
        return d, float((1.0 / d).mean())
    kept = risk.derived.get("curvature")
    if kept is None or kept[0] != aversion:
        d = curvature(problem)
        kept = (aversion, d, float((1.0 / d).mean()))
        if 2 * np.count_nonzero(alone(risk) > 0) > len(d):  # or returns would have a say in it
            risk.derived["curvature"] = kept
    return kept[1], kept[2]


@dataclass(frozen=True, slots=True)
class Values:
    """Rows, caps on turnover, gross and risk in this order: values, limits and prices (r,)."""

    value: Vector
    low: Vector
    high: Vector
    price: Vector
    A: Matrix  # (m, N) gradients of rows: the problem's own, which are many
    caps: Matrix  # (r - m, N) gradients of caps
    count: int  # caps whose gradient is part of what names cost: turnover and gross

    def columns(self) -> Matrix:
        """(r, N) gradients of all."""
        return np.concatenate((self.A, self.caps))

    def squares(self) -> Vector:
        """(r,) squared lengths of the gradients."""
        rows: Vector = np.vecdot(self.A, self.A)
        return np.concatenate((rows, np.vecdot(self.caps, self.caps))) if len(self.caps) else rows

    def pull(self, z: Vector) -> Vector:
        """(N,) gradient of rows and of caps on risk at multipliers z."""
        m = len(self.A)
        rows = np.flatnonzero(z[:m])
        smooth: Vector = z[rows] @ self.A[rows]
        risky = m + self.count
        return smooth + z[risky:] @ self.caps[self.count :] if len(z) > risky else smooth


def curvature(problem: Problem) -> Vector:
    """(N,) second derivative in each weight, factors taken as uncorrelated, at least a share of the typical one."""
    d = problem.ridge
    if problem.risk is not None and problem.aversion:
        d = d + problem.aversion * alone(problem.risk)
    middle = float(np.partition(d, len(d) // 2)[len(d) // 2]) if len(d) else 0.0
    slopes = [problem.q, *(tail.weight * tail.returns for tail in problem.tails)] if not middle else []
    steep = max((float(np.abs(slope).max(initial=0.0)) for slope in slopes), default=0.0)
    typical = middle or float(d.max(initial=0.0)) or steep or 1.0
    least: Vector = np.maximum(d, _LEAST * typical)
    return least


def limits_at(problem: Problem, w: Vector) -> Values:
    """What the weights make of each limit."""
    caps: list[TurnoverCap | GrossCap | RiskCap] = [*problem.turnover, *problem.gross, *problem.risk_caps]
    value, columns = [problem.A @ w], [np.zeros((0, len(w)))]
    for at in (problem.w0,) * len(problem.turnover) + (np.zeros(len(w)),) * len(problem.gross):
        value.append(np.array([np.abs(w - at).sum()]))
        columns.append(np.sign(w - at)[None])
    for risk_cap in problem.risk_caps:
        x = w - risk_cap.about
        pull = marginal(problem.risk, x) if problem.risk is not None else np.zeros(len(w))
        used = max(float(x @ pull), 0.0) ** 0.5
        value.append(np.array([used]))
        columns.append(pull[None] / max(used, 1e-300))
    count = len(caps) - len(problem.risk_caps)
    if not caps:
        return Values(value[0], problem.low, problem.high, problem.row_soft, problem.A, columns[0], 0)
    low = np.concatenate((problem.low, np.full(len(caps), -np.inf)))
    high = np.concatenate((problem.high, [cap.limit for cap in caps]))
    price = np.concatenate((problem.row_soft, [cap.soft for cap in caps]))
    return Values(np.concatenate(value), low, high, price, problem.A, np.concatenate(columns), count)


def _known(problem: Problem, solution: Solution) -> Vector:
    """(r,) multipliers as the solution has them, NaN = it has none."""
    m = len(problem.low)
    found = [np.full(m, np.nan) if solution.rows is None else np.asarray(solution.rows, np.float64)]
    pairs = ((solution.turnover, problem.turnover), (solution.gross, problem.gross))
    for given, caps in (*pairs, (solution.risk_caps, problem.risk_caps)):
        found.append(np.array(given, np.float64) if len(given) == len(caps) else np.full(len(caps), np.nan))
    return np.concatenate(found)


def _pull_of_tails(problem: Problem, solution: Solution) -> Vector | None:
    """(N,) derivative of the tails at the multipliers of their scenarios, None where there are none."""
    if not problem.tails:
        return None
    parts = [-(share @ tail.returns) for tail, share in zip(problem.tails, solution.tails, strict=True)]
    total: Vector = np.sum(parts, axis=0)
    return total


def _of_tail(tail: Tail, share: Vector, w: Vector, d: Vector) -> float:
    """Longest step that the multiplier of a scenario still wants to make.

    They are those of the largest mean loss among shares of 0 to weight / ((1 - level) T) that add up to the weight.
    """
    R, most = tail.returns, tail.weight / ((1.0 - tail.level) * len(tail.returns))
    square = float(np.vecdot(R, R).mean())
    scale = max(square * float((1.0 / d).mean()), 1e-300)
    there = shared(share * scale - R @ w, most * scale, tail.weight * scale)
    left = float(np.abs(share * scale - there).max(initial=0.0))
    return left / float(np.sqrt(max(square, 1.0)))


def shared(wanted: Vector, most: float, total: float) -> Vector:
    """(T,) the nearest figures between 0 and `most` that add up to `total`, at most T times `most`."""
    low, high = float(wanted.min()) - most, float(wanted.max())
    for _ in range(_HALVES):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if float(np.clip(wanted - middle, 0.0, most).sum()) > total else (low, middle)
    found: Vector = np.clip(wanted - 0.5 * (low + high), 0.0, most)
    return found


def _priced(problem: Problem, limits: Values, w: Vector, z: Vector, tails: Vector | None) -> Vector:
    """(N,) derivative of all that is smooth: returns, variance, ridge, rows and caps on risk at their multipliers."""
    gradient = problem.q + problem.ridge * (w - problem.rest)
    if problem.risk is not None and problem.aversion:
        gradient = gradient + problem.aversion * marginal(problem.risk, w - problem.about)
    return gradient + limits.pull(z) if tails is None else gradient + limits.pull(z) + tails


def _of_names(
    problem: Problem, limits: Values, solution: Solution, z: Vector, d: Vector, tails: Vector | None
) -> float:
    """Longest step that a weight, or the multiplier of its bound, still wants to make."""
    w, m, box = solution.w, len(problem.low), solution.box
    assert w is not None
    n, lower, upper = len(w), problem.lower, problem.upper
    price = _priced(problem, limits, w, z, tails)
    outside = float(np.maximum(lower - w, w - upper).max(initial=0.0))
    if box is None:
        names, box = names_of(problem, d, lower, upper), np.zeros(n)
    else:
        names = names_of(problem, d, np.full(n, -np.inf), np.full(n, np.inf))
        over, under = np.maximum(box, 0.0) / d, np.maximum(-box, 0.0) / d
        outside = max(outside, float(np.minimum(over, np.maximum(upper - w, 0.0)).max(initial=0.0)))
        outside = max(outside, float(np.minimum(under, np.maximum(w - lower, 0.0)).max(initial=0.0)))
    moved = names.respond(d * w - price - box, np.maximum(z[m : m + limits.count], 0.0)) - w
    rounding = 4e-16 * (np.abs(price) + np.abs(box)) / d  # a return of 1e20 at a bound leaves no digits of the rest
    return max(outside, float((np.abs(moved) - rounding).max(initial=0.0)))


def _of_limits(limits: Values, z: Vector, d: Vector) -> float:
    """Longest step that the multiplier of a row or cap still wants to make, as a distance in weights."""
    square = limits.squares()
    scale, length = np.maximum(square * (1.0 / d).mean(), 1e-300), np.sqrt(np.maximum(square, 1.0))
    most = limits.price * scale
    above, below = np.maximum(z, 0.0) * scale, np.maximum(-z, 0.0) * scale
    up = above - np.minimum(np.maximum(above - (limits.high - limits.value), 0.0), most)
    down = below - np.minimum(np.maximum(below - (limits.value - limits.low), 0.0), most)
    return float((np.maximum(np.abs(up), np.abs(down)) / length).max(initial=0.0))


def _recovered(problem: Problem, limits: Values, w: Vector, z: Vector, d: Vector, tails: Vector | None) -> Vector:
    """(r,) multipliers with those that are NaN fitted to the names that are free to move; 0 of limits with slack."""
    length = np.sqrt(np.maximum(limits.squares(), 1.0))
    up, down = limits.value > limits.high - _NEAR * length, limits.value < limits.low + _NEAR * length
    unknown = np.flatnonzero(np.isnan(z) & (up | down) & (limits.price > 0))
    z = np.where(np.isnan(z), 0.0, z)
    names = names_of(problem, d, problem.lower, problem.upper)
    free = (w > problem.lower + _NEAR) & (w < problem.upper - _NEAR)
    for place in names.places:
        free &= np.abs(w - place) > _NEAR
    if unknown.size and free.any():
        m = len(problem.low)
        price = _priced(problem, limits, w, z, tails) + names.derivative(w, z[m : m + limits.count])
        columns = limits.columns()[np.ix_(unknown, np.flatnonzero(free))].T
        z[unknown] = _fitted(columns, -price[free], limits.price[unknown], (up[unknown], down[unknown]))
    return z


def _fitted(columns: Matrix, wanted: Vector, price: Vector, may: tuple[Mask, Mask]) -> Vector:
    """Least squares with multipliers between 0 and their price on the sides where their limit is."""
    from scipy.optimize import lsq_linear

    up, down = may
    scale = max(float(np.abs(wanted).max()), 1e-300)
    bounds = np.where(down, -price / scale, -1e-12), np.where(up, price / scale, 1e-12)
    found: Vector = lsq_linear(columns, wanted / scale, bounds, method="bvls", tol=1e-14).x * scale
    return found
