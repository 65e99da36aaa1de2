"""A risk model of latent factors by maximum likelihood."""

from typing import Any

import numpy as np

from components.risk_models.estimators import factor_analysis
from components.risk_models.history import History
from components.risk_models.late import completed
from components.risk_models.refits import Refits, checked_factors
from components.risk_models.weighing import checked_lags, memory
from engine.events import Actions, Bars, Matrix
from engine.protocols import Risk
from engine.universe import Universe

_KIND, _VERSION = "factor_analysis", 1


class FactorAnalysis:
    """The most likely K latent factors W of slice returns with a variance of its own, psi_i, for each symbol.

        x_t = W f_t + u_t,   f_t ~ N(0, I),   u_t ~ N(0, diag(psi))

    W and psi are fitted over the whole window, to returns in units of their volatility, at the first slice of every
    `refit_every` intervals (`refits.Refits`). At every slice one step of expectation maximisation with W held brings
    the covariance of f and the variances of u up to date, each with its own half-life (none = the whole window alike),
    after Newey and West with `lags` above 0:

        A = C W' / psi,  C = (I + W' diag(1 / psi) W)^-1,  g_t = A x_t
        cov(f) = C + cov(g),   var(u_i) = var(x_i - w_i g) + w_i C w_i',   Sigma = W cov(f) W' + diag(var(u))

    Both are sums of squares, so Sigma is never indefinite; right after a fit, without half-lives and lags, they are I
    and psi. The factors of `risk` are the same array until a refit, or a symbol that comes or goes.

    Returns, missing ones and names without history: `history.History`, `weighing.centred`, `late.completed`; a symbol
    that becomes ready between refits is late until the next one. A fit takes dozens of rounds of
    O(T n min(T, n)).

    Source: Barber (2012), Bayesian reasoning and machine learning, section 21.2; Rubin, Thayer (1982), EM algorithms
    for ML factor analysis, Psychometrika 47(1).
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        window: int = 252,
        min_slices: int = 60,
        late_quantile: float = 0.9,
        factors: int = 5,
        refit_every: int = 20,
        factor_half_life: float | None = None,
        factor_correlation_half_life: float | None = None,
        specific_half_life: float | None = None,
        lags: int = 0,
    ) -> None:
        self._history = History(universe, window, min_slices, late_quantile)
        self._factors, lags = checked_factors(factors), checked_lags(lags, window)
        self._refits = Refits(self._history, refit_every, self._fit, {"loadings": 0.0, "scores": 0.0})
        self._factor = memory("factor_", factor_half_life, factor_correlation_half_life, lags)
        self._specific = memory("specific_", specific_half_life, None, lags)
        self.lookback: int = self._refits.lookback

    def on_bars(self, bars: Bars, /) -> None:
        self._refits.on_bars(bars)

    def on_actions(self, actions: Actions, /) -> None:
        self._refits.on_actions(actions)

    def _fit(self, x: Matrix) -> dict[str, Any]:
        """Loadings W, and W / psi, in units of returns; a constant symbol has neither."""
        s = np.sqrt((x**2).mean(axis=0))
        moving = s > 0
        z = np.divide(x, s, out=np.zeros_like(x), where=moving)
        W, noise = factor_analysis(z, self._factors)
        scores = np.where(moving[:, None], W / noise[:, None], 0.0) / np.where(moving, s, 1.0)[:, None]
        return {"loadings": W * s[:, None], "scores": scores}

    def risk(self) -> Risk | None:
        return self._history.answer(self._estimate)

    def _estimate(self) -> Risk | None:
        found = self._refits.returns()
        if found is None:
            return None
        use, x = found
        W, turned = self._refits.parts["loadings"][use], self._refits.parts["scores"][use]
        C = np.linalg.inv(np.eye(W.shape[1]) + W.T @ turned)
        C = (C + C.T) / 2
        g = x @ turned @ C
        specific = np.zeros(len(use))
        specific[use] = self._specific.variances(x - g @ W.T) + np.einsum("ij,ij->i", W @ C, W)
        factors = self._refits.factors("loadings", use)
        return completed(factors, C + self._factor.covariance(g), specific, use, self._history.late_quantile)

    def save(self) -> bytes:
        return self._refits.save(_KIND, _VERSION)

    def load(self, state: bytes, /) -> None:
        self._refits.load(state, _KIND, _VERSION)
