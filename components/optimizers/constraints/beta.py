"""Limits of beta to the benchmark."""

import numpy as np

from components.optimizers.needs import BENCHMARK, Need
from components.optimizers.needs import reference as reference_needs
from components.optimizers.problem import HARD, Piece, Rows, Situation
from components.optimizers.stating import marginal
from components.optimizers.terms.checked import price, sides
from engine.events import Vector


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
        self.needs: tuple[Need, ...] = (BENCHMARK,) if reference is None else reference_needs(reference)
        self.firm = firm

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        limits = np.array([self._min]), np.array([self._max])
        soft = HARD if self.soft is None else self.soft
        row = self._betas(at)[None, :]
        return (Rows(name="beta", A=row, low=limits[0], high=limits[1], labels=("beta",), soft=soft),)

    def _betas(self, at: Situation) -> Vector:
        """(N,) to the benchmark. One without risk has none: 0 then."""
        if self._reference is not None:
            return np.nan_to_num(at.references[self._reference][:, 0], nan=1.0)
        pull = np.zeros(len(at.w0)) if at.risk is None else marginal(at.risk, at.benchmark)
        variance = float(at.benchmark @ pull)
        return pull / variance if variance > 0 else np.zeros(len(pull))
