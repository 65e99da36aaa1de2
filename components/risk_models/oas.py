"""The covariance of slice returns, shrunk as is best for normal returns."""

import numpy as np

from components.risk_models.history import History
from components.risk_models.late import from_root
from components.risk_models.shrinkage import oas_shrinkage
from components.risk_models.weighing import stretched
from engine.events import Actions, Bars
from engine.protocols import Risk
from engine.universe import Universe

_KIND, _VERSION = "oas", 1


class Oas:
    """Sample covariance S of the last T slice returns, shrunk toward its mean variance by oracle approximation.

        Sigma = (1 - a) S + a m I = F F' + a m I,   F = sqrt((1 - a) / T) X',   a as in `shrinkage.oas_shrinkage`

    Nearer to the truth than Ledoit and Wolf's share where slices are few and returns nearly normal. It is that of the
    paper and of scikit-learn; Qlib's `oas` computes another one.

    Returns, missing ones and names without history: `history.History`, `weighing.centred`, `late.completed`. `risk` is
    None until one symbol has `min_slices` returns.
    """

    def __init__(
        self, *, universe: Universe, window: int = 120, min_slices: int = 40, late_quantile: float = 0.9
    ) -> None:
        self._history = History(universe, window, min_slices, late_quantile)
        self.lookback: int = self._history.lookback

    def on_bars(self, bars: Bars, /) -> None:
        self._history.on_bars(bars)

    def on_actions(self, actions: Actions, /) -> None:
        self._history.on_actions(actions)

    def risk(self) -> Risk | None:
        return self._history.answer(self._estimate)

    def _estimate(self) -> Risk | None:
        ready = self._history.ready()
        if not ready.any():
            return None
        x = stretched(self._history.window.rows(), ready)
        share, mean = oas_shrinkage(x)
        specific = np.full(x.shape[1], share * mean)
        return from_root(x * np.sqrt((1 - share) / len(x)), specific, ready, self._history.late_quantile)

    def save(self) -> bytes:
        return self._history.save(_KIND, _VERSION)

    def load(self, state: bytes, /) -> None:
        self._history.load(state, _KIND, _VERSION)
