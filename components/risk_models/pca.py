"""A risk model of principal components."""

import numpy as np

from components.risk_models.estimators import principal
from components.risk_models.history import History
from components.risk_models.late import completed
from components.risk_models.refits import Refits, checked_factors
from components.risk_models.weighing import checked_lags, memory
from engine.events import Actions, Bars, Mask, Matrix
from engine.protocols import Risk
from engine.universe import Universe

_KIND, _VERSION = "pca", 1


class Pca:
    """The leading principal components of slice returns as factors, and what they leave as specific variance.

        V (n, K) leading eigenvectors of X'X,   f_t = V'x_t,   Sigma = V cov(f) V' + diag(var(x - V f))

    V is fitted over the whole window at the first slice of every `refit_every` intervals of the bars (`refits.Refits`);
    cov and var follow at every slice, each with its own half-life (none = the whole window alike), after Newey and
    West with `lags` above 0. Without half-lives and lags, at a refit, the variances of Sigma are those of the returns.
    The factors of `risk` are the same array until a refit, or a symbol that comes or goes.

    Returns, missing ones and names without history: `history.History`, `weighing.centred`, `late.completed`; a symbol
    that becomes ready between refits is late until the next one. Memory: the window and (N, K) loadings.

    Source: Qlib 0.9.7, `model/riskmodel/structured.py`, whose cov has divisor T - 1: `estimators.structured`.
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        window: int = 252,
        min_slices: int = 60,
        late_quantile: float = 0.9,
        factors: int = 10,
        refit_every: int = 20,
        factor_half_life: float | None = None,
        factor_correlation_half_life: float | None = None,
        specific_half_life: float | None = None,
        lags: int = 0,
    ) -> None:
        self._history = History(universe, window, min_slices, late_quantile)
        k, lags = checked_factors(factors), checked_lags(lags, window)
        self._refits = Refits(self._history, refit_every, lambda x: {"loadings": principal(x, k)}, {"loadings": 0.0})
        self._factor = memory("factor_", factor_half_life, factor_correlation_half_life, lags)
        self._specific = memory("specific_", specific_half_life, None, lags)
        self.lookback: int = self._refits.lookback

    def on_bars(self, bars: Bars, /) -> None:
        self._refits.on_bars(bars)

    def on_actions(self, actions: Actions, /) -> None:
        self._refits.on_actions(actions)

    def risk(self) -> Risk | None:
        return self._history.answer(self._estimate)

    def _estimate(self) -> Risk | None:
        found = self._refits.returns()
        if found is None:
            return None
        use, x = found
        f, left = projected(x, self._refits.parts["loadings"], use, self._refits.fitted)
        specific = np.zeros(len(use))
        specific[use] = self._specific.variances(left)
        factors = self._refits.factors("loadings", use)
        return completed(factors, self._factor.covariance(f), specific, use, self._history.late_quantile)

    def save(self) -> bytes:
        return self._refits.save(_KIND, _VERSION)

    def load(self, state: bytes, /) -> None:
        self._refits.load(state, _KIND, _VERSION)


def projected(x: Matrix, loadings: Matrix, use: Mask, fitted: Mask) -> tuple[Matrix, Matrix]:
    """Factor returns f (T, K) of the returns x (T, n) in use, by least squares, and what is left of x.

    Loadings (N, K) are orthonormal over the symbols that were fitted; where some are gone they are not any more.
    """
    own = loadings[use]
    f: Matrix = x @ own
    if not np.array_equal(use, fitted):
        f = f @ np.linalg.pinv(own.T @ own, hermitian=True)
    return f, x - f @ own.T
