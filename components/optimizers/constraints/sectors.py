"""Limits of sectors."""

from components.optimizers.constraints.groups import Limits, group_rows
from components.optimizers.needs import BENCHMARK, SECTORS
from components.optimizers.problem import Piece, Situation
from components.optimizers.terms.checked import open_sides, price


class Sectors:
    """min <= sum of w over a sector <= max; with `deviation`, within it of the benchmark's weight of the sector.

    Sectors are the feed's (`sectors:`). Names without one are in no row.
    """

    def __init__(
        self,
        *,
        min: float | None = None,
        max: float | None = None,
        deviation: float | None = None,
        soft: float | None = None,
        firm: bool = False,
    ) -> None:
        self.soft = price(soft)
        self.bounds: str = "none" if max is None and deviation is None else "sum"
        self.needs = (SECTORS,) if deviation is None else (SECTORS, BENCHMARK)
        self._limits = Limits(*open_sides(min, max), deviation, soft)
        self.firm = firm

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        return (group_rows("sectors", at, at.sector, at.sectors, self._limits),)
