"""What the double ensemble does between two of its models: rows weighed anew, columns drawn anew."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.events import Matrix, Vector

Predict = Callable[[NDArray[Any]], Vector]
_ENDS = 0.1  # the share of a loss curve that is its beginning, and its end


class Curve(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Mean rank, from 0 to 1, of each row's loss among all rows, over the first and the last trees of a model; (R,)."""

    start: Vector
    end: Vector


def curve_of(booster: Any, features: NDArray[Any], label: Vector) -> Curve:
    """The ends of the loss curves of rows: squared error after each of the first, and of the last, tenth of the trees.

    Memory: a few vectors of R, however many trees there are.
    """
    trees = booster.num_trees()
    part = max(int(trees * _ENDS), 1)

    def mean_rank(first: int) -> Vector:
        answer = np.zeros(len(label))
        if first:
            answer += booster.predict(features, num_iteration=first, num_threads=1)
        total = np.zeros(len(label))
        for k in range(first, first + part):
            answer += booster.predict(features, start_iteration=k, num_iteration=1, num_threads=1)
            total += shares((answer - label) ** 2)
        return total / part

    return Curve(start=mean_rank(0), end=mean_rank(trees - part))


def shares(value: Vector) -> Vector:
    """Rank of each value, equal ones sharing the mean, over their number: above 0, at most 1.

    >>> shares(np.array([0.3, 0.1, 0.1, 0.5]))
    array([0.75 , 0.375, 0.375, 1.   ])
    """
    _, group, count = np.unique(value, return_inverse=True, return_counts=True)
    rank: Vector = ((2 * np.cumsum(count) - count + 1) / 2.0)[group] / len(value)
    return rank


def binned(value: Vector, bins: int) -> NDArray[Any]:
    """Number 0 .. bins - 1 of the interval of equal width, closed on the right, in which each value lies.

    >>> binned(np.array([0.0, 1.0, 2.0, 4.0]), 4)
    array([0, 0, 1, 3])
    """
    edges = np.linspace(value.min(), value.max(), bins + 1)[1:-1]
    return np.searchsorted(edges, value, side="left")


class Weighing(msgspec.Struct, frozen=True, kw_only=True):
    """Sample reweighting: how much the loss of the ensemble, and the course of the loss, count; in how many bins."""

    alpha1: float
    alpha2: float
    bins: int
    decay: float


def reweighed(how: Weighing, curve: Curve, loss: Vector, k: int) -> Vector:
    """(R,) weights of rows for the next model, after k of them.

        h1 = share of -loss            h2 = share of (curve end / curve start)
        h  = alpha1 h1 + alpha2 h2     w  = 1 / (decay^k mean of h in its bin + 0.1)

    A row that is easy by now, or one whose loss does not fall while that of others does (noise), counts less; hard rows
    that are being learned count more. `decay` below 1 evens weights out with k.
    """
    h = how.alpha1 * shares(-loss) + how.alpha2 * shares(curve.end / curve.start)
    bin_of = binned(h, how.bins)
    count = np.bincount(bin_of, minlength=how.bins)
    mean = np.bincount(bin_of, h, how.bins) / np.maximum(count, 1)
    weight: Vector = 1.0 / (how.decay**k * mean[bin_of] + 0.1)
    return weight


def gains(
    predict: Predict, features: NDArray[Any], label: Vector, used: NDArray[Any], rng: np.random.Generator
) -> Vector:
    """(F,) by how much shuffling each column over the rows raises the squared error, in its own standard deviations.

    Columns that no model uses are 0 without being shuffled, and so is one whose shuffling changes nothing.
    """
    loss = (predict(features) - label) ** 2
    found = np.zeros(features.shape[1])
    shuffled = features.copy()
    for f in used:
        shuffled[:, f] = rng.permutation(features[:, f])
        more = (predict(shuffled) - label) ** 2 - loss
        found[f] = more.mean() / (more.std() + 1e-7)
        shuffled[:, f] = features[:, f]
    return found


def drawn(gain: Vector, bins: int, ratios: tuple[float, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Columns for the next model, ascending: of each bin of gains, best first, the share that `ratios` names."""
    bin_of = binned(gain, bins)
    found: list[int] = []
    for ratio, which in zip(ratios, np.unique(bin_of)[::-1], strict=False):
        columns = np.flatnonzero(bin_of == which)
        found += rng.choice(columns, size=int(np.ceil(ratio * len(columns))), replace=False).tolist()
    return np.array(sorted(found), np.int64)


def mean_of(predicts: list[Predict], columns: list[NDArray[Any]], weights: Vector) -> Predict:
    """Weighed mean of models that each see some columns; added in their order, each row on its own."""

    def predict(features: NDArray[Any]) -> Vector:
        total = np.zeros(len(features))
        for one, seen, weight in zip(predicts, columns, weights.tolist(), strict=True):
            total += weight * one(np.ascontiguousarray(features[:, seen]))
        return total / float(weights.sum())

    return predict


def spread_out(gains_of: list[list[float]], columns: list[NDArray[Any]], width: int) -> Matrix:
    """(K, width) gains of each model's columns, in the places of all columns."""
    out = np.zeros((len(gains_of), width))
    for row, found, seen in zip(out, gains_of, columns, strict=True):
        row[seen] = found
    return out
