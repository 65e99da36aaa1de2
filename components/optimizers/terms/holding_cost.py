"""What holding costs while it is held: fees on long positions, and what borrowed shares cost."""

import numpy as np

from components.optimizers.needs import Need
from components.optimizers.needs import reference as reference_needs
from components.optimizers.problem import Kink, Piece, Situation
from components.optimizers.terms.checked import above, at_least


class HoldingCost:
    """sum long (w)+ + short_i (-w)+ a slice, rates a year over `slices_per_year`.

    `reference` names a Reference with a column of each symbol's own borrow rate a year, e.g. 0.03; where it has none,
    and without it, a short position costs `short_bps`.
    """

    straight: bool = True

    def __init__(
        self,
        *,
        long_bps: float = 0.0,
        short_bps: float = 0.0,
        reference: str | None = None,
        slices_per_year: float = 252.0,
    ) -> None:
        year = above("slices_per_year", slices_per_year)
        self._long = at_least("long_bps", long_bps) * 1e-4 / year
        self._short = at_least("short_bps", short_bps) * 1e-4 / year
        self._reference, self._year = reference, year
        self.needs: tuple[Need, ...] = () if reference is None else reference_needs(reference)

    def cost(self, at: Situation, /) -> tuple[Piece, ...]:
        n = len(at.w0)
        short = np.full(n, self._short)
        if self._reference is not None:
            given = at.references[self._reference]
            known = given[:, 0] >= 0
            short[known] = given[known, 0] / self._year
        return (Kink(name="holding_cost", up=np.full(n, self._long), down=short, at=np.zeros(n)),)
