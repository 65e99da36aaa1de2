"""From scores to weights: pure functions of one slice, none of which remembers anything."""

import numpy as np

from engine.events import Mask, Vector

_ROUND = 2e-15  # of the largest score: what rounding leaves of a difference that is none
_MOST = 10.0  # times equity: beyond that a gross is a mistake


def checked_gross(gross: float, net: float = 0.0) -> None:
    """Raises ValueError for shares of equity that are none."""
    if not 0 < gross <= _MOST:
        raise ValueError(f"gross must be above 0 and at most {_MOST:g} (a share of equity), got {gross}")
    if not -gross <= net <= gross:
        raise ValueError(f"net must be between -gross and gross ({gross:g}), got {net}")


def checked_cap(max_weight: float | None) -> float:
    """The largest weight of one name, infinite where there is none. Raises ValueError for one that leaves no room."""
    if max_weight is None:
        return np.inf
    if not 0 < max_weight <= _MOST:
        raise ValueError(f"max_weight must be above 0 and at most {_MOST:g} (a share of equity), got {max_weight}")
    return max_weight


def scaled(score: Vector) -> Vector:
    """Scores over the largest of them in size: what follows is the same for any unit, and nothing overflows.

    >>> scaled(np.array([1e300, -5e299]))
    array([ 1. , -0.5])
    """
    most = np.abs(score).max(initial=0.0)
    return score / most if most > 0 else score


def standard(score: Vector) -> Vector:
    """(K,) distance of finite scores from their mean in standard deviations (with K - 1); 0 where all are alike.

    >>> standard(np.array([1.0, 2.0, 3.0]))
    array([-1.,  0.,  1.])
    """
    if len(score) < 2 or alike(score):
        return np.zeros(len(score))
    same = scaled(score)
    off = same - same.mean()
    off[np.abs(off) <= _ROUND] = 0.0  # else a cap could hand what it cuts to a name at the mean
    spread = np.sqrt(off.dot(off) / (len(score) - 1))
    return off / spread if spread > 0 else np.zeros(len(score))


def alike(score: Vector) -> bool:
    """Whether finite scores (K,) tell no name from another."""
    return not len(score) or bool(score.min() == score.max())


def softmax(score: Vector, temperature: float) -> Vector:
    """exp(score / temperature), with sum 1; adding the same to every score changes nothing.

    >>> softmax(np.array([0.0, np.log(3.0)]), 1.0)
    array([0.25, 0.75])
    """
    with np.errstate(over="ignore"):  # a difference beyond all numbers is a weight of 0
        raised = np.exp((score - score.max()) / temperature)
    out: Vector = raised / raised.sum()
    return out


def capped(weight: Vector, cap: float) -> Vector:
    """Weights of zero or more, none above `cap`: what is cut goes to the others in their proportions.

    Where all of them are at the cap the rest is given to nobody.

    >>> capped(np.array([0.6, 0.2, 0.2, 0.0]), 0.4)
    array([0.4, 0.3, 0.3, 0. ])
    >>> capped(np.array([0.5, 0.5]), 0.4)
    array([0.4, 0.4])
    """
    total, out, free = weight.sum(), weight.copy(), weight > 0
    while (over := free & (out > cap)).any():
        out[over] = cap
        free &= ~over
        rest = out[free].sum()
        if rest > 0:
            out[free] = (out[free] / rest) * max(total - cap * np.count_nonzero((weight > 0) & ~free), 0.0)
    return out


def two_legs(raw: Vector, long: float, short: float, cap: float) -> Vector:
    """Weights whose positive ones sum to `long` and whose negative ones to -`short`, each in proportion to `raw`.

    Where the cap leaves a leg short of its sum, or a leg has no name, the other shrinks with it, so that the shares of
    the two stay what they are.

    >>> two_legs(np.array([3.0, 1.0, 0.0, -2.0]), 0.5, 0.5, np.inf)
    array([ 0.375,  0.125,  0.   , -0.5  ])
    >>> two_legs(np.array([3.0, 1.0, 0.0, -2.0]), 0.5, 0.5, 0.2)
    array([ 0.1,  0.1,  0. , -0.2])
    """
    sides = []
    for sign, gross in ((1.0, long), (-1.0, short)):
        part = scaled(np.maximum(sign * raw, 0.0))
        total = part.sum()
        sides.append(capped(part * (gross / total), cap) if total > 0 and gross > 0 else np.zeros(len(raw)))
    share = min(
        (side.sum() / gross for side, gross in zip(sides, (long, short), strict=True) if gross > 0), default=0.0
    )
    reached = [
        share * gross / total if (total := side.sum()) > 0 else 0.0
        for side, gross in zip(sides, (long, short), strict=True)
    ]
    return sides[0] * min(reached[0], 1.0) - sides[1] * min(reached[1], 1.0)


def spread_over(weight: Vector, rows: Mask) -> Vector:
    """Weights (K,) of the names `rows` (N,) among all, NaN for those that have none.

    >>> spread_over(np.array([0.5]), np.array([False, True]))
    array([nan, 0.5])
    """
    out = np.full(len(rows), np.nan)
    out[rows] = weight
    return out
