"""Limits of exposures to factors."""

import numpy as np

from components.optimizers.needs import reference as reference_needs
from components.optimizers.problem import HARD, Piece, Rows, Situation
from components.optimizers.terms.checked import price, sides
from engine.events import Matrix


class Exposures:
    """min <= X'(w - b) <= max for each factor, b the benchmark or, without `active`, 0. 0 and 0 is neutrality.

    X are the columns of the Reference `reference`, a NaN exposure counts 0; `factors` names those that are limited,
    none = all.
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        min: float,
        max: float,
        reference: str = "exposures",
        factors: tuple[str, ...] = (),
        active: bool = True,
        soft: float | None = None,
        firm: bool = False,
    ) -> None:
        self._min, self._max = sides(min, max)
        self._reference, self._factors, self._active = reference, factors, active
        self.soft = price(soft)
        self.needs = reference_needs(reference, factors)
        self._given: Matrix | None = None
        self._A: Matrix = np.zeros((0, 0))
        self._labels: tuple[str, ...] = ()
        self.firm = firm

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        given = at.references[self._reference]
        if given is not self._given:  # it changes rarely
            names = at.columns[self._reference]
            unknown = [name for name in self._factors if name not in names]
            if unknown:  # without it the limit would be none, and nobody would know
                known = ", ".join(names)
                raise ValueError(f"factors: no {unknown[0]!r} in the Reference {self._reference}; it has {known}")
            chosen = [k for k, name in enumerate(names) if not self._factors or name in self._factors]
            self._given, self._labels = given, tuple(names[k] for k in chosen)
            self._A = np.ascontiguousarray(np.nan_to_num(given[:, chosen].T, nan=0.0))
        A = self._A
        base = A @ at.reachable if self._active else np.zeros(len(A))
        row = Rows(
            name="exposures",
            A=A,
            low=base + self._min,
            high=base + self._max,
            labels=self._labels,
            soft=HARD if self.soft is None else self.soft,
        )
        return (row,)
