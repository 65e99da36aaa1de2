"""Limits of sectors."""

from components.optimizers.constraints.groups import Limits, group_rows
from components.optimizers.problem import Piece, Situation
from components.optimizers.terms.checked import price


class Sectors:
    """min <= sum of w over a sector <= max; with `deviation`, within it of the benchmark's weight of the sector.

    Sectors are the feed's (`sectors:`). Names without one are in no row.
    """

    def __init__(
        self,
        *,
        min: float = -float("inf"),
        max: float = float("inf"),
        deviation: float | None = None,
        soft: float | None = None,
    ) -> None:
        self.soft = price(soft)
        self._limits = Limits(min, max, deviation, soft)

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        return (group_rows("sectors", at, at.sector, at.sectors, self._limits),) if at.sectors else ()
