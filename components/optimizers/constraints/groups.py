"""Rows for groups of names: shared by the constraints on sectors and on groups of the user's own."""

import numpy as np

from components.optimizers.problem import HARD, Rows, Situation
from engine.events import Codes, Matrix


def group_rows(name: str, at: Situation, code: Codes, labels: tuple[str, ...], limits: "Limits") -> Rows:
    """One row a group: the sum of its weights within the limits. `code` (N,) is the group of each name, -1 = none."""
    A = limits.members(code, len(labels))
    low, high = np.full(len(labels), -np.inf), np.full(len(labels), np.inf)
    if limits.deviation is not None:
        base = A @ at.reachable
        low, high = base - limits.deviation, base + limits.deviation
    low, high = np.maximum(low, limits.min), np.minimum(high, limits.max)
    return Rows(name=name, A=A, low=low, high=high, labels=labels, soft=HARD if limits.soft is None else limits.soft)


class Limits:
    """The limits of every group: absolute, around the benchmark's weight of the group, or both."""

    __slots__ = ("_A", "_of", "deviation", "max", "min", "soft")

    def __init__(self, low: float, high: float, deviation: float | None, soft: float | None) -> None:
        if not low <= high:
            raise ValueError(f"min must not be above max, got {low} and {high}")
        if deviation is not None and not deviation >= 0:
            raise ValueError(f"deviation must be at least 0, got {deviation}")
        if deviation is None and low == -np.inf and high == np.inf:
            raise ValueError("a limit must be given: min, max or deviation")
        self.min, self.max, self.deviation, self.soft = low, high, deviation, soft
        self._of: Codes | None = None
        self._A: Matrix = np.zeros((0, 0))

    def members(self, code: Codes, count: int) -> Matrix:
        """(count, N) 1 where a name is of a group; kept while the very same codes come, as they mostly do."""
        if code is not self._of:
            self._of = code
            self._A = (code[None, :] == np.arange(count)[:, None]).astype(np.float64)
        return self._A
