"""A risk model of factors whose exposures are given: styles, industries, countries."""

from typing import Any

import numpy as np

from components.risk_models.given import Given
from components.risk_models.history import History, Window
from components.risk_models.late import completed, with_market
from components.risk_models.weighing import checked_lags, memory
from engine.events import Actions, Bars, Mask, Matrix, Reference, Vector
from engine.protocols import Risk
from engine.universe import Universe

_KIND, _VERSION = "given_factors", 1
_COLLINEAR = 1e-10  # of a column's own square: what may be left of it beside the columns before


class GivenFactors:
    """Covariance by exposures that a feed gives, factor returns that a regression over each slice finds.

        r_t = B_(t-1) f_t + u_t,   f_t = (B'WB)^-1 B'W r_t,   Sigma = B cov(f) B' + diag(var(u))

    What the feed gives arrives as events `Reference`, in a run file from files under the feed's `reference:`:

    - `exposures` (N, K): B. The return of a slice is explained by the exposures known at the slice before; the answer
      uses the latest. A row with NaN is unknown: its symbol stays out of the regression and has, beside a high specific
      variance, the mean exposures of the others (`late.completed`). Other columns begin the history of factors anew.
    - `regression_weights` (N, 1): W, for instance roots of market values; 0 or NaN stays out; all alike until given.
    - `factor_covariance` (K, K): takes the place of cov(f), over one slice.
    - `specific_variance` (N, 1): takes the place of var(u), over one slice; NaN = unknown.

    cov and var each have their own half-life (none = the whole window alike), after Newey and West with `lags` above 0.
    Collinear exposures, such as a market beside all industries, get the shortest factor returns that explain as much. A
    slice with no more known returns than factors has no factor returns. A symbol with exposures and fewer than
    `min_slices` residuals has the `late_quantile` of the specific variances of the others.

    `risk` is None until there are exposures, `min_slices` factor returns and a symbol with as many residuals, or what
    takes their place. The factors of `risk` are the same array until exposures change. Splits, dividends and missing
    bars: `history.History`. Memory: windows of N and of K float64. O(N K^2) a slice.

    Source: Grinold, Kahn (2000), Active portfolio management, chapter 3; Menchero, Orr, Wang (2011), The Barra US
    equity model (USE4), sections 4 and 5.
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        window: int = 252,
        min_slices: int = 40,
        late_quantile: float = 0.9,
        factor_half_life: float | None = None,
        factor_correlation_half_life: float | None = None,
        specific_half_life: float | None = None,
        lags: int = 0,
    ) -> None:
        self._history = History(universe, window, min_slices, late_quantile)  # of residuals
        lags = checked_lags(lags, window)
        self._factor = memory("factor_", factor_half_life, factor_correlation_half_life, lags)
        self._specific = memory("specific_", specific_half_life, None, lags)
        self._given = Given(len(universe))
        self._in_force: Matrix | None = None  # the exposures at the last slice
        self._factors: Window | None = None  # of factor returns
        self._shown: tuple[Matrix, Matrix] | None = None  # exposures, and these with the row of the market
        self.lookback: int = self._history.lookback

    def on_reference(self, reference: Reference, /) -> None:
        """Raises DataError for a shape or a number that cannot be."""
        before = self._given.columns, None if self._given.exposures is None else self._given.exposures.shape
        if not self._given.take(reference):
            return
        self._history.changed()
        exposures = self._given.exposures
        if exposures is not None and before != (self._given.columns, exposures.shape):
            self._factors = Window(self._history.window.length, exposures.shape[1])
            self._in_force = None

    def on_bars(self, bars: Bars, /) -> None:
        self._given.check_together(bars.ts)
        returns = self._history.returns(bars)
        left = np.full(len(returns), np.nan)
        if self._in_force is not None and self._factors is not None:
            f, left = regressed(returns, self._in_force, self._given.weights)
            self._factors.push(f)
        self._history.window.push(left)
        self._in_force = self._given.exposures

    def on_actions(self, actions: Actions, /) -> None:
        gone = self._history.on_actions(actions)
        if gone:
            self._in_force = self._given.move(gone, self._in_force)

    def risk(self) -> Risk | None:
        return self._history.answer(self._estimate)

    def _estimate(self) -> Risk | None:
        exposures = self._given.exposures
        if exposures is None:
            return None
        exposed: Mask = self._given.exposed
        covariance, specific = self._covariance(), self._variances(exposed)
        if covariance is None or specific is None:
            return None
        if self._shown is None or self._shown[0] is not exposures:
            self._shown = exposures, with_market(exposures, exposed)
        return completed(self._shown[1], covariance, specific, exposed, self._history.late_quantile)

    def _covariance(self) -> Matrix | None:
        if self._given.factor_covariance is not None:
            return self._given.factor_covariance
        rows = None if self._factors is None else self._factors.rows()
        if rows is None or np.isfinite(rows[:, :1]).sum() < self._history.min_slices:
            return None
        return self._factor.covariance(rows)

    def _variances(self, exposed: Mask) -> Vector | None:
        """(N,) of symbols with exposures; the quantile of the others for those with too little history."""
        result: Vector
        if self._given.specific_variance is not None:
            result = self._given.specific_variance
            known = exposed & np.isfinite(result)
        else:
            known = exposed & self._history.ready()
            result = np.zeros(len(known))
            if known.any():
                rows = self._history.window.rows()
                result[known] = self._specific.variances(rows if known.all() else rows[:, known])
        if known.all():
            return result
        if not known.any():
            return None
        return np.where(known, result, np.quantile(result[known], self._history.late_quantile))

    def save(self) -> bytes:
        factors = np.empty((0, 0)) if self._factors is None else self._factors.rows()
        more: dict[str, Any] = {"factors": factors, "in_force": self._in_force, "given": self._given.fields()}
        return self._history.save(_KIND, _VERSION, more)

    def load(self, state: bytes, /) -> None:
        fields = self._history.load(state, _KIND, _VERSION)
        in_force = self._given.restore(fields, self._history.symbols)
        self._in_force, self._shown, self._factors = in_force, None, None
        if self._given.exposures is not None:
            self._factors = Window(self._history.window.length, self._given.exposures.shape[1])
            self._factors.restore(fields["factors"])


def regressed(returns: Vector, exposures: Matrix, weights: Vector | None) -> tuple[Vector, Vector]:
    """Factor returns (K,) and residuals (N,) of a slice; NaN where a return, an exposure or a weight is unknown."""
    known = np.isfinite(returns) & np.isfinite(exposures).all(axis=1)
    if weights is not None:
        known &= weights > 0
    left = np.full(len(returns), np.nan)
    k = exposures.shape[1]
    if known.sum() <= k:
        return np.full(k, np.nan), left
    whole = bool(known.all())
    own, r = (exposures, returns) if whole else (exposures[known], returns[known])
    weighed = own if weights is None else own * (weights[known] / weights[known].mean())[:, None]
    f = solved(weighed.T @ own, weighed.T @ r)
    left[known] = r - own @ f
    return f, left


def solved(gram: Matrix, right: Vector) -> Vector:
    """f (K,) with gram f = right, the shortest one where columns of exposures depend on each other."""
    size = np.sqrt(np.diag(gram))
    scale = np.where(size > 0, size, 1.0)
    scaled, wanted = gram / np.outer(scale, scale), right / scale
    try:
        pivots = np.diag(np.linalg.cholesky(scaled))
        regular = bool((pivots**2 > _COLLINEAR).all())
    except np.linalg.LinAlgError:
        regular = False
    if regular:
        found: Vector = np.linalg.solve(scaled, wanted) / scale
        return found
    return np.linalg.pinv(scaled, rcond=_COLLINEAR, hermitian=True) @ wanted / scale
