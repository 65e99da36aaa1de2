"""Limits of a group of names that the run file lists."""

import numpy as np

from components.optimizers.constraints.groups import Limits, group_rows
from components.optimizers.needs import BENCHMARK, Need
from components.optimizers.problem import Piece, Situation
from components.optimizers.terms.checked import open_sides, price
from engine.universe import Universe


class Group:
    """min <= sum of w over these symbols <= max; with `deviation`, within it of the benchmark's weight of them."""

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        label: str,
        symbols: tuple[str, ...],
        min: float | None = None,
        max: float | None = None,
        deviation: float | None = None,
        soft: float | None = None,
        firm: bool = False,
    ) -> None:
        place = {symbol: i for i, symbol in enumerate(universe.symbols)}
        unknown = [symbol for symbol in symbols if symbol not in place]
        if unknown or not symbols:
            said = f"no symbol {unknown[0]!r} in the universe" if unknown else "it has no symbol"
            raise ValueError(f"symbols of group {label!r}: {said}; list symbols of the feed")
        self._code = np.full(len(universe), -1, np.int32)
        self._code[[place[symbol] for symbol in symbols]] = 0
        self._label = label
        self.soft = price(soft)
        self.needs: tuple[Need, ...] = () if deviation is None else (BENCHMARK,)
        self._limits = Limits(*open_sides(min, max), deviation, soft)
        self.firm = firm

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        return (group_rows(f"group {self._label}", at, self._code, (self._label,), self._limits),)
