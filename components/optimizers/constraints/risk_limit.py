"""Limits of volatility and of tracking error."""

import numpy as np

from components.optimizers.problem import HARD, Piece, RiskCap, Situation
from components.optimizers.terms.checked import above, price
from components.optimizers.terms.variance import AboutName, centre, checked_about, needs_about


class RiskLimit:
    """sqrt((w - b)' S (w - b)) sqrt(slices_per_year) <= max.

    About `zero` that is a volatility a year, about the `benchmark` a tracking error. Where it binds it takes some ten
    times as long as variance in the objective.
    """

    needs_risk = True
    bounds: str = "both"
    cone: bool = True

    def __init__(
        self,
        *,
        max: float,
        about: AboutName = "benchmark",
        slices_per_year: float = 252.0,
        soft: float | None = None,
        firm: bool = False,
    ) -> None:
        self._limit = above("max", max) / float(np.sqrt(above("slices_per_year", slices_per_year)))
        self._slices = slices_per_year
        self._about = checked_about(about)
        self.needs = needs_about(about)
        self.soft = price(soft)
        self.firm = firm

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        soft = HARD if self.soft is None else self.soft
        cap = RiskCap(
            name="risk_limit",
            limit=self._limit,
            about=centre(self._about, at),
            soft=soft,
            slices_per_year=self._slices,
        )
        return (cap,)
