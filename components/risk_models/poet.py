"""Principal components, and correlations of what they leave where these are large."""

from typing import Any

import numpy as np

from components.risk_models.estimators import Thresholding, correlations, poet_rate, principal, thresholded
from components.risk_models.history import History
from components.risk_models.late import completed, with_market
from components.risk_models.pca import projected
from components.risk_models.refits import Refits, checked_factors
from components.risk_models.weighing import checked_lags, memory
from engine.events import Actions, Bars, Matrix, Vector
from engine.protocols import Risk
from engine.universe import Universe

_KIND, _VERSION = "poet", 1
_RULES = ("soft", "hard", "scad")


class Poet:
    """Principal orthogonal complement thresholding: `pca`, with large correlations of the residuals kept.

        Sigma = V cov(f) V' + D^(1/2) R D^(1/2),   D = diag(var(x - V f))

    R are the correlations of the residuals, each moved toward 0 by `threshold` times 1 / sqrt(n) + sqrt(log n / T)
    (without factors sqrt(log n / T)), the rate at which they are noise: `soft`, `hard` or `scad`. V and R are fitted
    over the whole window at the first slice of every `refit_every` intervals (`refits.Refits`), cov and D follow at
    every slice.

    R may come out indefinite. Then the correlations of each group of symbols that hang together are shrunk alike, by as
    little as makes them possible; variances stay. A group of m symbols is m - 1 columns of the factors.

    Returns, missing ones and names without history: `history.History`, `weighing.centred`, `late.completed`; a symbol
    that becomes ready between refits is late until the next one. A refit is O(T n^2 + m^3), m the largest group.

    Source: Fan, Liao, Mincheva (2013), Large covariance estimation by thresholding principal orthogonal complements,
    J. Royal Statistical Society B 75(4); Qlib 0.9.7, `model/riskmodel/poet.py`.
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        window: int = 252,
        min_slices: int = 60,
        late_quantile: float = 0.9,
        factors: int = 5,
        threshold: float = 1.0,
        rule: Thresholding = "soft",
        refit_every: int = 20,
        factor_half_life: float | None = None,
        factor_correlation_half_life: float | None = None,
        specific_half_life: float | None = None,
        lags: int = 0,
    ) -> None:
        if rule not in _RULES:
            raise ValueError(f"rule must be one of {', '.join(_RULES)}, got {rule!r}")
        if not 0 <= threshold < np.inf:
            raise ValueError(f"threshold must be at least 0, got {threshold}")
        self._history = History(universe, window, min_slices, late_quantile)
        self._factors, lags = checked_factors(factors, 0), checked_lags(lags, window)
        self._threshold, self._rule = threshold, rule
        self._refits = Refits(self._history, refit_every, self._fit, {"loadings": 0.0, "together": 0.0, "alone": 1.0})
        self._factor = memory("factor_", factor_half_life, factor_correlation_half_life, lags)
        self._specific = memory("specific_", specific_half_life, None, lags)
        self.lookback: int = self._refits.lookback

    def on_bars(self, bars: Bars, /) -> None:
        self._refits.on_bars(bars)

    def on_actions(self, actions: Actions, /) -> None:
        self._refits.on_actions(actions)

    def _fit(self, x: Matrix) -> dict[str, Any]:
        length, n = x.shape
        V = principal(x, self._factors) if self._factors else np.zeros((n, 0))
        R = correlations(x - x @ V @ V.T)
        rate = self._threshold * poet_rate(length, n, self._factors)
        together, alone = split(thresholded(R, rate, self._rule))
        return {"loadings": V, "together": together, "alone": alone}

    def risk(self) -> Risk | None:
        return self._history.answer(self._estimate)

    def _estimate(self) -> Risk | None:
        found = self._refits.returns()
        if found is None:
            return None
        use, x = found
        parts = self._refits.parts
        f, left = projected(x, parts["loadings"], use, self._refits.fitted)
        variances = np.zeros(len(use))
        variances[use] = self._specific.variances(left)
        factors = np.hstack([parts["loadings"], parts["together"] * np.sqrt(variances)[:, None]])
        k = f.shape[1]
        covariance = np.eye(factors.shape[1])
        covariance[:k, :k] = self._factor.covariance(f)
        specific = variances * parts["alone"]
        return completed(with_market(factors, use), covariance, specific, use, self._history.late_quantile)

    def save(self) -> bytes:
        return self._refits.save(_KIND, _VERSION)

    def load(self, state: bytes, /) -> None:
        self._refits.load(state, _KIND, _VERSION)


def split(R: Matrix) -> tuple[Matrix, Vector]:
    """Q (n, M) and q (n,) >= 0 with Q Q' + diag(q) = R, a sparse matrix of correlations.

    Where a group of R is indefinite its correlations are scaled down until its least eigenvalue is 0.

    >>> Q, q = split(np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    >>> Q @ Q.T + 0.0, q
    (array([[0.5, 0.5, 0. ],
           [0.5, 0.5, 0. ],
           [0. , 0. , 0. ]]), array([0.5, 0.5, 1. ]))
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    count, group = connected_components(csr_matrix(R != 0), directed=False)
    q, columns = np.ones(len(R)), []
    for g in np.flatnonzero(np.bincount(group, minlength=count) > 1):
        own = np.flatnonzero(group == g)
        values, vectors = np.linalg.eigh(R[np.ix_(own, own)] - np.eye(len(own)))
        least = min(float(values[0]), 0.0)
        scale = min(1.0, -1.0 / least) if least else 1.0
        q[own] = 1.0 + scale * least
        column = np.zeros((len(R), len(own) - 1))
        column[own] = vectors[:, 1:] * np.sqrt(scale * np.maximum(values[1:] - least, 0.0))
        columns.append(column)
    return np.hstack([np.zeros((len(R), 0)), *columns]), np.maximum(q, 0.0)
