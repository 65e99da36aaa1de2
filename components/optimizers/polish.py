"""From an answer that is nearly right to one that is exact: what binds is read off it, and that is solved for.

A solver of cones or of long programs stops where its own figures are small; weights and multipliers are then right to
a few digits. Which names stand at a bound or a kink, which scenarios count, which limits bind is known from them
sooner: it is what the conditions of `certificate` would leave there. With these fixed the conditions are equations,
linear but for caps on risk and impact; their answer says anew what binds, until it does not change.

Source: Qi, Sun (1993), A nonsmooth version of Newton's method, Math. Programming 58; Hintermueller, Ito, Kunisch
(2002), The primal-dual active set strategy as a semismooth Newton method, SIAM J. Optimization 13.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from components.optimizers.certificate import Values, certified, curvature, limits_at, shared
from components.optimizers.kernel_names import names_of
from components.optimizers.problem import Problem, Solution, Tail
from components.optimizers.program_duals import Multipliers, balance
from components.optimizers.stating import exposures, marginal
from engine.events import Mask, Matrix, Vector

_STEPS = 25
_DUST = 1e-12  # of what a scenario counts at most
_LEFT = 1e-9  # of the right side, by which equations may be missed
_SURE = 1e-3  # of the tolerance, below which no further step is made


def polished(problem: Problem, solution: Solution, tolerance: float) -> Solution:
    """The best certified answer of a few steps from this one, itself where none is better. O(steps * free^3)."""
    if solution.w is None or solution.box is None or solution.rows is None:
        return solution
    best, now, tried = solution, solution, set[bytes]()
    d = curvature(problem)
    for _ in range(_STEPS):
        binding = _binding(problem, now, d)
        key = binding.key()
        if (key in tried and not problem.risk_caps and not problem.impact.any()) or best.residual <= _SURE * tolerance:
            break
        tried.add(key)
        try:
            now = certified(problem, _solved(problem, now, binding))
        except np.linalg.LinAlgError:
            break
        if not np.isfinite(now.residual):
            break
        best = now if now.residual < best.residual else best
    return best


@dataclass(frozen=True, slots=True)
class _Binding:
    """What each part of an answer is taken to do."""

    w: Vector  # (N,) where names stand; where they are free, about there
    free: Mask  # (N,)
    slope: Vector  # (N,) of kinks and impact there, where names are free
    sides: Matrix  # (c, N) -1, 0 or 1: on which side of w0 (cap on turnover) or 0 (cap on gross)
    values: Values  # rows, caps on turnover and gross, caps on risk
    binds: Mask  # (r,) that are at a limit
    limit: Vector  # (r,) that limit
    z: Vector  # (r,) the multipliers of the others: 0, or their price
    edges: tuple[Mask, ...]  # (T,) scenarios at the value at risk
    shares: tuple[Vector, ...]  # (T,) how much the others count

    def key(self) -> bytes:
        parts = (self.free, np.where(self.free, self.slope, self.w), self.binds, self.limit, self.z)
        return b"".join(part.tobytes() for part in (*parts, *self.edges, *self.shares))


def _binding(problem: Problem, now: Solution, d: Vector) -> _Binding:
    """What the conditions of optimality would leave of each part of the answer."""
    w = now.w
    assert w is not None
    assert now.rows is not None
    values = limits_at(problem, w)
    z = np.concatenate((now.rows, now.turnover, now.gross, now.risk_caps))
    prices = np.maximum(z[len(now.rows) : len(now.rows) + values.count], 0.0)
    price = _smooth(problem, w) + values.pull(z)
    for tail, share in zip(problem.tails, now.tails, strict=True):
        price = price - share @ tail.returns
    names = names_of(problem, d, problem.lower, problem.upper)
    at = names.respond(d * w - price, prices)
    free = (at > problem.lower) & (at < problem.upper)
    for place in names.places:
        free &= at != place
    sides = np.sign(at - names.caps.at)
    slope = names.derivative(at, np.zeros(values.count))
    binds, limit, kept = _of_limits(values, z, d)
    found = [_of_tail(tail, share, w, d) for tail, share in zip(problem.tails, now.tails, strict=True)]
    edges, shares = tuple(edge for edge, _ in found), tuple(share for _, share in found)
    return _Binding(at, free, slope, sides, values, binds, limit, kept, edges, shares)


def _of_tail(tail: Tail, share: Vector, w: Vector, d: Vector) -> tuple[Mask, Vector]:
    """(T,) which scenarios are at the value at risk, and how much the others count: not at all, or fully."""
    most = tail.weight / ((1.0 - tail.level) * len(tail.returns))
    scale = max(float(np.vecdot(tail.returns, tail.returns).mean() * (1.0 / d).mean()), 1e-300)
    there = shared(share * scale - tail.returns @ w, most * scale, tail.weight * scale) / scale
    edge = (there > _DUST * most) & (there < most * (1.0 - _DUST))
    return edge, np.where(~edge & (there > 0.5 * most), most, 0.0)


def _smooth(problem: Problem, w: Vector) -> Vector:
    gradient = problem.q + problem.ridge * (w - problem.rest)
    if problem.risk is not None and problem.aversion:
        gradient = gradient + problem.aversion * marginal(problem.risk, w - problem.about)
    return gradient


def _of_limits(values: Values, z: Vector, d: Vector) -> tuple[Mask, Vector, Vector]:
    """Which limits bind, at which figure, and the multipliers of the others."""
    scale = np.maximum(values.squares() * (1.0 / d).mean(), 1e-300)
    most, hard = values.price * scale, values.price == np.inf
    up = np.clip(np.maximum(z, 0.0) * scale + values.value - values.high, 0.0, most)
    down = np.clip(np.maximum(-z, 0.0) * scale + values.low - values.value, 0.0, most)
    equal = hard & (values.low == values.high)
    above, below = (up > 0) & (up < most) | equal, (down > 0) & (down < most) & ~equal
    price = np.where(hard, 0.0, values.price)
    kept = np.where(above | below, 0.0, np.where(up > 0, price, np.where(down > 0, -price, 0.0)))
    return above | below, np.where(above, values.high, values.low), kept


def _solved(problem: Problem, now: Solution, binding: _Binding) -> Solution:
    """The equations that are left, solved by one Newton step from the answer.

    [ H   0  C' ] [ step         ]     H, C of the free names; C has the limits that bind and the scenarios at the
    [ 0   0  a' ] [ value at risk]     value at risk, in whose rows a has -1
    [ C   a  0  ] [ multipliers  ]
    """
    w, values, free = now.w, binding.values, binding.free
    assert w is not None
    assert now.rows is not None
    moved, m = np.where(free, 0.0, binding.w - w), len(now.rows) + values.count
    prices = np.where(binding.binds[m:], np.maximum(now.risk_caps, 0.0), binding.z[m:])
    H, slope = _curved(problem, w, binding, prices, moved)
    columns = np.concatenate((values.A, binding.sides, values.caps[values.count :]))
    slope = slope + binding.slope + binding.z @ columns
    rows = np.flatnonzero(binding.binds)
    C, short = [columns[rows][:, free]], [(binding.limit - _values(problem, binding, w + moved, moved))[rows]]
    a, owed = [np.zeros((len(rows), len(problem.tails)))], []
    for k, (tail, edge, share) in enumerate(zip(problem.tails, binding.edges, binding.shares, strict=True)):
        slope = slope - share @ tail.returns
        R, mark = tail.returns[edge], np.zeros((int(edge.sum()), len(problem.tails)))
        mark[:, k] = -1.0
        C.append(-R[:, free])
        short.append(R @ (w + moved))
        a.append(mark)
        owed.append(float(share.sum()) - tail.weight if edge.any() else 0.0)
    n, marks = int(free.sum()), len(owed)
    below = np.concatenate((np.concatenate(C), np.concatenate(a)), axis=1)
    K = np.zeros((n + marks + len(below),) * 2)
    K[:n, :n], K[n + marks :, : n + marks], K[: n + marks, n + marks :] = H, below, below.T
    alone = n + np.array([k for k, edge in enumerate(binding.edges) if not edge.any()], np.int64)
    K[alone, alone] = 1.0  # a value at risk that nothing asks for
    found = _equations(K, np.concatenate((-slope[free], owed, *short)))
    w = w + moved
    w[free] += found[:n]
    w = np.clip(w, problem.lower, np.maximum(problem.lower, problem.upper))
    z = binding.z.copy()
    z[rows] = found[n + marks :][: len(rows)]
    return _told(problem, now, binding, w, z, found[n + marks + len(rows) :])


def _values(problem: Problem, binding: _Binding, w: Vector, moved: Vector) -> Vector:
    """(r,) what limits are at w: rows and caps on risk as straight lines, others on the sides that they are."""
    values, m = binding.values, len(problem.low)
    caps = values.caps[values.count :]
    places = [problem.w0] * len(problem.turnover) + [np.zeros(len(w))] * len(problem.gross)
    sums = [float(side @ (w - at)) for side, at in zip(binding.sides, places, strict=True)]
    return np.concatenate((problem.A @ w, sums, values.value[m + values.count :] + caps @ moved))


def _curved(problem: Problem, w: Vector, binding: _Binding, prices: Vector, moved: Vector) -> tuple[Matrix, Vector]:
    """Second derivative of the free names, and the slope of all where the fixed ones have moved; caps on risk apart."""
    free, risk = binding.free, problem.risk
    diagonal, slope = problem.ridge.copy(), _smooth(problem, w) + problem.ridge * moved
    factor, pulls = problem.aversion, []
    if risk is not None:
        for cap, pull, price in zip(
            problem.risk_caps, binding.values.caps[binding.values.count :], prices, strict=True
        ):
            x = w - cap.about
            size = max(float(x @ marginal(risk, x)) ** 0.5, 1e-300)
            factor += price / size
            pulls.append(pull * (price / size) ** 0.5)
        slope = slope + factor * np.array(marginal(risk, moved)) if moved.any() else slope
        diagonal = diagonal + factor * risk.specific
    for pull in pulls:
        slope = slope - pull * float(pull @ moved)
    if problem.impact.any():
        bend = 0.75 * problem.impact / np.maximum(np.sqrt(np.abs(binding.w - problem.w0)), 1e-12)
        slope = slope + bend * (w + moved - binding.w)
        diagonal = diagonal + bend
    H = np.diag(diagonal[free])
    if risk is not None and factor:
        R = exposures(risk)[free]
        H += factor * (R @ R.T)
    for pull in pulls:
        H -= np.outer(pull[free], pull[free])
    return H, slope


def _equations(K: Matrix, right: Vector) -> Vector:
    """Of several answers the shortest: rows may say the same twice."""
    try:
        found = np.asarray(np.linalg.solve(K, right), np.float64)
        left = float(np.abs(K @ found - right).max(initial=0.0))
        if left <= _LEFT * float(np.abs(right).max(initial=0.0)):
            return found
    except np.linalg.LinAlgError:
        pass
    return np.asarray(np.linalg.lstsq(K, right, rcond=1e-13)[0], np.float64)


def _told(problem: Problem, now: Solution, binding: _Binding, w: Vector, z: Vector, edges: Vector) -> Solution:
    """The solution of these weights and multipliers, those of bounds what all others leave."""
    m, turnover, gross = len(problem.low), len(problem.turnover), len(problem.gross)
    tails, place = [], 0
    for edge, share in zip(binding.edges, binding.shares, strict=True):
        whole, count = share.copy(), int(edge.sum())
        whole[edge] = edges[place : place + count]
        place += count
        tails.append(whole)
    caps = [tuple(part.tolist()) for part in np.split(z[m:], [turnover, turnover + gross])]
    made: dict[str, Any] = {"rows": z[:m], "turnover": caps[0], "gross": caps[1], "risk_caps": caps[2]}
    known = Multipliers(box=np.zeros(len(w)), **made, tails=tuple(tails))
    return replace(now, w=w, box=balance(problem, known, w, tails), **made, tails=tuple(tails))
