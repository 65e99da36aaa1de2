"""The weights of the highest ratio of something earned to risk. Pure functions."""

from dataclasses import dataclass

import numpy as np

from components.optimizers.methods.boxed import Curve, least, slope
from engine.events import Vector

_STEPS = 60


@dataclass(frozen=True, slots=True)
class Ratio:
    """(m'x + m0) / sqrt(x'Sx + 2 q'x + s0) over sum x = total, 0 <= x <= high; q, m0 and s0 are of what is pinned."""

    S: Curve
    m: Vector
    q: Vector
    m0: float
    s0: float
    high: Vector
    total: float

    def at(self, x: Vector) -> tuple[float, float]:
        """What x earns, and its variance."""
        return float(self.m @ x) + self.m0, max(float(x @ self.S.times(x) + 2 * self.q @ x) + self.s0, 0.0)


def most_earned(m: Vector, high: Vector, total: float) -> float:
    """The largest m'x over sum x = total, 0 <= x <= high: the best names, filled one after the other."""
    order = np.argsort(-m, kind="stable")
    filled = np.minimum(high[order], np.maximum(total - np.cumsum(high[order]) + high[order], 0.0))
    return float(m[order] @ filled)


def highest(ratio: Ratio) -> Vector:
    """(n,) the x of the highest ratio; some x must earn more than 0.

    It lies on the efficient frontier x(t), which minimises variance / 2 - t * earned, where t = variance / earned.
    Between two corners of the frontier x(t) is a line, whose best t has a closed form; bisection guards the search.
    """
    low = np.zeros(len(ratio.m))
    below, above = 0.0, np.inf
    earned, variance = ratio.at(least(ratio.S, ratio.q, (low, ratio.high), ratio.total))
    t = variance / earned if earned > 0 else float(np.sqrt(ratio.S.diagonal().mean()))
    x = low
    for _ in range(_STEPS):
        x = least(ratio.S, ratio.q - t * ratio.m, (low, ratio.high), ratio.total)
        earned, variance = ratio.at(x)
        if abs(t * earned - variance) <= 1e-12 * variance:
            break
        below, above = (t, above) if earned <= 0 or t * earned < variance else (below, t)
        inside = (x > 0) & (x < ratio.high)
        best = _best(ratio, x, t, slope(ratio.S, ratio.m, inside))
        middle = t * 8 if above == np.inf else float(np.sqrt(max(below, above * 1e-6) * above))
        if abs(best - t) <= 1e-9 * t and abs(t * earned - variance) <= 1e-6 * variance:
            break  # what is left is rounding
        t = best if below < best < above else middle
        if (above < np.inf and above - below <= 1e-14 * above) or t > 1e15 * float(ratio.S.diagonal().max()):
            break
    return x


def _best(ratio: Ratio, x: Vector, t: float, b: Vector) -> float:
    """The t of the highest ratio on the line x + (t' - t) b."""
    earned, variance = ratio.at(x)
    rise = float(ratio.m @ b)
    cross, bend = float(b @ (ratio.S.times(x) + ratio.q)), float(b @ ratio.S.times(b))
    below = earned * bend - rise * cross
    if t * abs(rise) <= 1e-10 * abs(earned):  # a corner: x stays, so its own t may be the best
        return variance / earned if earned > 0 else np.inf
    return t + (rise * variance - earned * cross) / below if below else np.inf
