"""How much is traded in one rebalance."""

from typing import Literal

import numpy as np

from components.optimizers.problem import HARD, Piece, Situation, TurnoverCap
from components.optimizers.terms.checked import at_least, price


class Turnover:
    """A cap on purchases and sales together.

        l1:       |w - w0|_1 <= max              purchases plus sales
        one_way:  |w - w0|_1 / 2 <= max          half of it

    Libraries call either turnover; say which. Exits that the strategy asks for, and investing again what they bring,
    come on top of the cap: it is for trades that may be left. With `build_up` an account without positions may buy what
    it wants once.
    """

    trades: bool = True

    def __init__(
        self,
        *,
        max: float,
        count: Literal["l1", "one_way"] = "l1",
        build_up: bool = True,
        soft: float | None = None,
        firm: bool = False,
    ) -> None:
        if count not in ("l1", "one_way"):
            raise ValueError(f"count must be l1 or one_way, got {count!r}")
        self._max = at_least("max", max) * (1.0 if count == "l1" else 2.0)
        self._build_up = build_up
        self.bounds: str = "none" if build_up else "both"  # an account without positions may buy anything
        self.soft = price(soft)
        self.firm = firm

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        if self._build_up and not at.w0.any():
            return ()
        forced = 2.0 * float(np.abs(at.w0[at.leaving]).sum())
        return (TurnoverCap(name="turnover", limit=self._max + forced, soft=HARD if self.soft is None else self.soft),)
