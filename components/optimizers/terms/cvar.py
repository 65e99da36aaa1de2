"""Expected shortfall of the weights over the returns of a window."""

import numpy as np

from components.optimizers.methods.returns import Returns
from components.optimizers.problem import Box, Piece, Situation, Tail
from components.optimizers.terms.checked import above
from engine.events import Actions, Bars
from engine.universe import Universe

_KIND, _VERSION = "cvar", 1


class Shortfall:
    """weight * CVaR_level(-R w): the mean loss of the worst 1 - level of the slices in the window.

    R (T, N) are the returns of the last `window` slices, a missing one the mean of the others in its slice. A name with
    fewer than `min_slices` returns is not increased. Memory: `window` rows of N float64; `lookback` is window + 1.

    Source: Rockafellar, Uryasev (2000), Optimization of conditional value-at-risk, J. of Risk 2(3), theorem 2.
    """

    straight: bool = True
    tail: bool = True

    def __init__(
        self,
        *,
        universe: Universe,
        weight: float = 1.0,
        level: float = 0.95,
        window: int = 250,
        min_slices: int = 60,
    ) -> None:
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, got {level}")
        self._weight, self._level = above("weight", weight), level
        self._returns = Returns(universe, window, min_slices)
        self.lookback: int = self._returns.lookback

    def on_bars(self, bars: Bars, /) -> None:
        self._returns.on_bars(bars)

    def on_actions(self, actions: Actions, /) -> None:
        self._returns.on_actions(actions)

    def waits(self) -> str:
        """What is missing for a cost, empty = nothing."""
        return "" if self._returns.ready().any() else "cvar: no symbol has enough returns yet"

    def cost(self, at: Situation, /) -> tuple[Piece, ...]:
        known = self._returns.ready() | ~at.free
        lower = np.where(known, -np.inf, np.minimum(at.w0, 0.0))
        upper = np.where(known, np.inf, np.maximum(at.w0, 0.0))
        R = self._returns.scenarios()
        return (
            Tail(name="cvar", returns=R, level=self._level, weight=self._weight),
            Box(name="no_returns", lower=lower, upper=upper),
        )

    def save(self) -> bytes:
        return self._returns.save(_KIND, _VERSION)

    def load(self, state: bytes, /) -> None:
        self._returns.load(state, _KIND, _VERSION)
