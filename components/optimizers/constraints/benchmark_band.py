"""Bounds of each name's weight around the benchmark's."""

import numpy as np

from components.optimizers.needs import BENCHMARK
from components.optimizers.problem import HARD, Box, Piece, Situation
from components.optimizers.terms.checked import at_least, price


class BenchmarkBand:
    """max(0, b - deviation) <= w <= b + deviation, without the 0 where `short` is allowed."""

    needs = (BENCHMARK,)
    bounds: str = "both"

    def __init__(self, *, deviation: float, short: bool = False, soft: float | None = None, firm: bool = False) -> None:
        self._deviation, self._short = at_least("deviation", deviation), short
        self.soft = price(soft)
        self.firm = firm

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        middle = at.reachable
        low = middle - self._deviation
        low = low if self._short else np.maximum(low, 0.0)
        lower, upper = np.where(at.free, low, -np.inf), np.where(at.free, middle + self._deviation, np.inf)
        return (Box(name="benchmark_band", lower=lower, upper=upper, soft=HARD if self.soft is None else self.soft),)
