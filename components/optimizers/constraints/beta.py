"""Limits of beta to the benchmark."""

import numpy as np

from components.optimizers.problem import HARD, Piece, Rows, Situation
from components.optimizers.stating import marginal
from components.optimizers.terms.checked import price, sides


class Beta:
    """min <= beta'w <= max, beta = S b / b'S b to the benchmark b by the risk model.

    With `reference` the first column of that Reference is beta instead, NaN = 1.
    """

    def __init__(
        self, *, min: float, max: float, reference: str | None = None, soft: float | None = None, firm: bool = False
    ) -> None:
        self._min, self._max = sides(min, max)
        self._reference = reference
        self.soft = price(soft)
        self.needs_risk = reference is None
        self.firm = firm

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        beta = None
        if self._reference is not None:
            given = at.references.get(self._reference)
            beta = None if given is None else np.nan_to_num(given[:, 0], nan=1.0)
        elif at.risk is not None and at.benchmark.any():
            pull = marginal(at.risk, at.benchmark)
            variance = float(at.benchmark @ pull)
            beta = pull / variance if variance > 0 else None
        if beta is None:
            return ()
        limits = np.array([self._min]), np.array([self._max])
        soft = HARD if self.soft is None else self.soft
        return (Rows(name="beta", A=beta[None, :], low=limits[0], high=limits[1], labels=("beta",), soft=soft),)
