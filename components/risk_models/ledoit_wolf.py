"""The Ledoit-Wolf covariance of slice returns over a sliding window."""

from typing import Literal, get_args

import numpy as np

from components.risk_models.history import History
from components.risk_models.late import from_root
from components.risk_models.shrinkage import (
    constant_correlation_shrinkage,
    ledoit_wolf_shrinkage,
    single_factor_shrinkage,
)
from components.risk_models.weighing import stretched
from engine.events import Actions, Bars, Matrix, Vector
from engine.protocols import Risk
from engine.universe import Universe

_KIND, _VERSION = "ledoit_wolf", 3
TargetName = Literal["constant_variance", "constant_correlation", "single_factor"]


class LedoitWolf:
    """Sample covariance S of the last T slice returns, shrunk by the share a toward a target F of structure.

        Sigma = (1 - a) S + a F
        constant_variance      F = m I,  m the mean variance
        constant_correlation   F_ij = r s_i s_j,  F_ii = s_i^2,  r the mean correlation, at least 0
        single_factor          F_ij = b_i b_j,  F_ii = s_i^2,  b the loadings on the equally weighted market

    Each target is one factor at most and a diagonal, so the factored form sqrt((1 - a) / T) X', that factor, that
    diagonal is exact and never needs an N x N matrix. The intensities a are in `shrinkage`, with their sources.

    Returns, missing ones and names without history: `history.History`, `weighing.centred`, `late.completed`. `risk` is
    None until one symbol has `min_slices` returns.

    >>> from engine.universe import universe_of
    >>> model = LedoitWolf(universe=universe_of(("A",)), window=4, min_slices=2)
    >>> for k, close in enumerate([100.0, 110.0, 99.0]):
    ...     model.on_bars(bars(ts=k, close=[close]))
    >>> risk = model.risk()
    >>> float((risk.factors @ risk.covariance @ risk.factors.T)[0, 0] + risk.specific[0])  # of +10 % and -10 %
    0.01...
    """

    def __init__(
        self,
        *,
        universe: Universe,
        window: int = 120,
        min_slices: int = 40,
        late_quantile: float = 0.9,
        target: TargetName = "constant_variance",
    ) -> None:
        if target not in get_args(TargetName):
            raise ValueError(f"target must be one of {', '.join(get_args(TargetName))}, got {target!r}")
        self._history, self._target = History(universe, window, min_slices, late_quantile), target
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
        share, factor, specific = _shrunk(x, self._target)
        y = x * np.sqrt((1 - share) / len(x))
        if factor is not None:
            y = np.vstack([y, np.sqrt(share) * factor])
        return from_root(y, share * specific, ready, self._history.late_quantile)

    def save(self) -> bytes:
        return self._history.save(_KIND, _VERSION)

    def load(self, state: bytes, /) -> None:
        self._history.load(state, _KIND, _VERSION)


def _shrunk(x: Matrix, target: TargetName) -> tuple[float, Vector | None, Vector]:
    """The share of the target, its factor (n,) if it has one, and its diagonal beside that."""
    if target == "constant_variance":
        share, mean = ledoit_wolf_shrinkage(x)
        return share, None, np.full(x.shape[1], mean)
    variances = (x**2).mean(axis=0)
    if target == "constant_correlation":
        share, r = constant_correlation_shrinkage(x)
        return share, np.sqrt(r * variances), (1 - r) * variances
    share, b = single_factor_shrinkage(x)
    return share, b, np.maximum(variances - b**2, 0.0)
