"""The part of a problem that each name decides for itself, given prices of risk and of rows. Pure functions of arrays.

    w(u) = argmin over lower <= w <= upper of  d/2 w^2 - u w + piecewise linear costs + k |w - w0|^(3/2)

The piecewise linear costs are kinks at a few places and the multipliers of caps at w0 and at 0. Between two places the
derivative is d w + slope, so that w is the median of what the pieces want (optimizer literature: soft threshold).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from components.optimizers.figures import IMPACT, vectors
from components.optimizers.problem import GrossCap, Kink, Problem, TurnoverCap
from engine.events import Matrix, Vector

if TYPE_CHECKING:
    from components.optimizers.kernel_loops import Costs


@dataclass(frozen=True, slots=True)
class Caps:
    """Where the multipliers of caps act: `at` (c, N), w0 for a cap on turnover and 0 for one on gross."""

    at: Matrix
    limit: Vector  # (c,)
    price: Vector  # (c,) inf = hard

    def used(self, w: Vector) -> Vector:
        """(c,) sum |w - at|."""
        total: Vector = np.abs(w - self.at).sum(axis=1)
        return total


@dataclass(frozen=True, slots=True)
class Names:
    """Costs of N names between J places, ascending; the slopes include no cap."""

    d: Vector  # (N,) above 0
    k: Vector | None  # (N,) None = no impact
    side: Matrix  # (J + 1, N) -1 left of w0, +1 right of it, where there is impact
    w0: Vector
    lower: Vector
    upper: Vector
    places: Matrix  # (J, N)
    slopes: Matrix  # (J + 1, N) of the costs between places, ascending
    sides: Matrix  # of each cap (c, J + 1, N): -1 left of where it acts, +1 right of it
    caps: Caps
    inverse: Vector  # (N,) 1 / d

    def taxed(self, prices: Vector) -> Matrix:
        """(J + 1, N) slopes with the caps at these prices."""
        slopes = self.slopes
        for side, price in zip(self.sides, prices.tolist(), strict=True):
            if price:
                slopes = slopes + price * side
        return slopes

    def respond(self, u: Vector, prices: Vector) -> Vector:
        """(N,) w(u) with the caps at these prices."""
        slopes = self.taxed(prices) if len(prices) else self.slopes
        wanted = (u - slopes) * self.inverse if self.k is None else self._against_impact(u - slopes, self.k)
        w: Vector = wanted[0]
        for place, want in zip(self.places, wanted[1:], strict=True):
            w = np.maximum(np.minimum(w, place), want)
        return np.minimum(np.maximum(w, self.lower), self.upper)

    def _against_impact(self, pull: Matrix, k: Vector) -> Matrix:
        """(J + 1, N) what each piece wants: with s = sqrt|w - w0|, d s^2 + 3/2 k s = the pull beyond w0."""
        beyond = (pull - self.d * self.w0) * self.side
        none = beyond <= 0
        rest = np.where(none, 0.0, beyond)
        half = 1.5 * k
        root = 2.0 * rest / np.maximum(half + np.sqrt(half * half + 4.0 * self.d * rest), 1e-300)
        wanted: Matrix = self.w0 + self.side * np.where(none, -np.inf, root * root)
        return wanted

    def costs(self) -> "Costs":
        """The same for the compiled loops."""
        from components.optimizers.kernel_loops import Costs

        k = np.zeros(0) if self.k is None else self.k
        # Copies of what was given: for arrays that are read-only or strided the loops would be compiled once more.
        w0, lower, upper = np.array((self.w0, self.lower, self.upper), np.float64)
        made = (self.slopes, self.places, self.sides, self.inverse, k, self.side, w0, lower, upper, self.caps.at)
        return Costs._make(made)

    def derivative(self, w: Vector, prices: Vector) -> Vector:
        """(N,) derivative of kinks, caps and impact at weights that are at no place."""
        return self._slopes_at(w, prices)[0] + self._impact_at(w)

    def _slopes_at(self, w: Vector, prices: Vector) -> tuple[Vector, Vector]:
        slopes = self.taxed(prices)
        left, right = slopes[0], slopes[0]
        for j, place in enumerate(self.places):
            left = np.where(w > place, slopes[j + 1], left)
            right = np.where(w >= place, slopes[j + 1], right)
        return left, right

    def _impact_at(self, w: Vector) -> Vector | float:
        if self.k is None:
            return 0.0
        moved = w - self.w0
        pushed: Vector = 1.5 * self.k * np.sqrt(np.abs(moved)) * np.sign(moved)
        return pushed


def caps_of(problem: Problem) -> Caps:
    """The caps of a problem, those on turnover first."""
    n = len(problem)
    if not problem.turnover and not problem.gross:
        return Caps(np.zeros((0, n)), np.zeros(0), np.zeros(0))
    at = [problem.w0] * len(problem.turnover) + [np.zeros(n)] * len(problem.gross)
    both: list[TurnoverCap | GrossCap] = [*problem.turnover, *problem.gross]
    limits = np.array([cap.limit for cap in both], np.float64)
    prices = np.array([cap.soft for cap in both], np.float64)
    return Caps(np.array(at).reshape(len(at), n), limits, prices)


@dataclass(frozen=True, slots=True)
class Between:
    """What is the same for any second derivatives and bounds: `Names` has the rest."""

    k: Vector | None
    side: Matrix
    places: Matrix
    slopes: Matrix
    sides: Matrix
    caps: Caps

    def plain(self, w0: Vector) -> tuple[Any, ...]:
        """Places, slopes, impact (empty = none), sides and w0 for compiled loops."""
        return self.places, self.slopes, np.zeros(0) if self.k is None else self.k, self.side, w0


def between(problem: Problem) -> Between:
    """The costs of a problem's names between their places."""
    found: Between | None = problem.derived.get("between")
    if found is None:
        found = problem.derived["between"] = _between(problem)
    return found


def _between(problem: Problem) -> Between:
    caps = caps_of(problem)
    k = vectors(problem)[IMPACT] if np.count_nonzero(problem.impact) else None
    places, jumps, first = _places(problem, caps, k is not None)
    slopes = np.empty((len(jumps) + 1, len(problem)))
    slopes[0] = first
    for j, jump in enumerate(jumps):
        np.add(slopes[j], jump, out=slopes[j + 1])
    sides = np.empty((len(caps.at), *slopes.shape))
    for c, at in enumerate(caps.at):
        sides[c] = _side(places, at)
    return Between(k, slopes if k is None else _side(places, problem.w0), places, slopes, sides, caps)


def names_of(problem: Problem, d: Vector, lower: Vector, upper: Vector) -> Names:
    """The names of a problem with these second derivatives and bounds."""
    own = between(problem)
    given = d, own.k, own.side, problem.w0, lower, upper
    return Names(*given, own.places, own.slopes, own.sides, own.caps, 1.0 / d)


def _side(places: Matrix, at: Vector) -> Matrix:
    """(J + 1, N) +1 for a piece right of `at`, which is one of the places, -1 for one left of it."""
    side = np.full((len(places) + 1, len(at)), -1.0)
    side[1:][places >= at] = 1.0
    return side


def _places(problem: Problem, caps: Caps, impact: bool) -> tuple[Matrix, Matrix, Vector]:
    """Places (J, N) ascending, the jump of the slope at each, and the slope left of all."""
    n = len(problem)
    if len(problem.kinks) == 1 and not len(caps.limit) and not impact:
        kink = problem.kinks[0]
        return np.array(kink.at, np.float64, ndmin=2), (kink.up + kink.down)[None], -kink.down
    at: list[Vector] = []
    jump: list[Vector] = []
    for kink in problem.kinks:
        _add(at, jump, kink.at, kink.up + kink.down)
    for extra in [*caps.at, *([problem.w0] if impact else [])]:
        _add(at, jump, extra, np.zeros(n))
    first = -sum((kink.down for kink in problem.kinks), np.zeros(n))
    places, jumps = np.array(at, np.float64).reshape(len(at), n), np.array(jump, np.float64).reshape(len(at), n)
    if len(at) > 1:
        order = np.argsort(places, axis=0, kind="stable")
        places, jumps = np.take_along_axis(places, order, axis=0), np.take_along_axis(jumps, order, axis=0)
    return places, jumps, first


def _add(at: list[Vector], jump: list[Vector], place: Vector, up: Vector) -> None:
    for j, known in enumerate(at):
        if known is place or np.array_equal(known, place):
            jump[j] = jump[j] + up
            return
    at.append(place)
    jump.append(up)


def bent_inward(kinks: Sequence[Kink]) -> str:
    """Name of the first kink that is not convex, or nothing."""
    for kink in kinks:
        if (kink.up + kink.down < 0).any():
            return kink.name
    return ""
