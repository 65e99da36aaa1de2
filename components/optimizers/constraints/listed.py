"""Names that must go, and names that must stay."""

from typing import Literal

import numpy as np

from components.optimizers.problem import Box, Piece, Situation
from engine.universe import Universe


class Listed:
    """Bounds of listed names: `sell` holds none, `hold` leaves each as it is, `no_buy` lets them only shrink."""

    soft: float | None = None

    def __init__(
        self,
        *,
        universe: Universe,
        symbols: tuple[str, ...],
        rule: Literal["sell", "hold", "no_buy"],
        firm: bool = True,
    ) -> None:
        if rule not in ("sell", "hold", "no_buy"):
            raise ValueError(f"rule must be sell, hold or no_buy, got {rule!r}")
        place = {symbol: i for i, symbol in enumerate(universe.symbols)}
        unknown = [symbol for symbol in symbols if symbol not in place]
        if unknown:
            raise ValueError(f"symbols: no {unknown[0]!r} in the universe; list symbols of the feed")
        self._rows = np.zeros(len(universe), bool)
        self._rows[[place[symbol] for symbol in symbols]] = True
        self._rule = rule
        self.firm = firm

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        here = at.free & self._rows
        if self._rule == "sell":
            low = high = np.zeros(len(at.w0))
        elif self._rule == "hold":
            low = high = at.w0
        else:
            low, high = np.minimum(at.w0, 0.0), np.maximum(at.w0, 0.0)
        return (
            Box(name=f"listed {self._rule}", lower=np.where(here, low, -np.inf), upper=np.where(here, high, np.inf)),
        )
