"""Limits of exposures to factors."""

import numpy as np

from components.optimizers.problem import HARD, Piece, Rows, Situation
from components.optimizers.terms.checked import price, sides


class Exposures:
    """min <= X'(w - b) <= max for each factor, b the benchmark or, without `active`, 0. 0 and 0 is neutrality.

    X are the columns of the Reference `reference`, a NaN exposure counts 0; `factors` names those that are limited,
    none = all.
    """

    def __init__(
        self,
        *,
        min: float,
        max: float,
        reference: str = "exposures",
        factors: tuple[str, ...] = (),
        active: bool = True,
        soft: float | None = None,
    ) -> None:
        self._min, self._max = sides(min, max)
        self._reference, self._factors, self._active = reference, factors, active
        self.soft = price(soft)

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        given = at.references.get(self._reference)
        if given is None:
            return ()
        names = at.columns[self._reference]
        chosen = [k for k, name in enumerate(names) if not self._factors or name in self._factors]
        A = np.nan_to_num(given[:, chosen].T, nan=0.0)
        base = A @ at.benchmark if self._active else np.zeros(len(chosen))
        row = Rows(
            name="exposures",
            A=A,
            low=base + self._min,
            high=base + self._max,
            labels=tuple(names[k] for k in chosen),
            soft=HARD if self.soft is None else self.soft,
        )
        return (row,)
