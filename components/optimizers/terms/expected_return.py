"""Expected return."""

from typing import Literal

import numpy as np

from components.optimizers.problem import Box, Linear, Piece, Situation
from components.optimizers.stating import volatilities
from components.optimizers.terms.checked import above, at_least
from engine.events import Vector


class ExpectedReturn:
    """weight a'w, to be earned.

        grinold:  a_i = ic sigma_i z_i     z the z-score over all names with an opinion, sigma_i the risk model's
        raw:      a_i = alpha_i            alpha is a return over one slice already

    With a `half_life` the opinion fades, and what counts is what it earns on average over the slices that a trade is
    held for: of forecasts that halve every h slices, held for H slices, (1 - 2^(-H/h)) h / (H ln 2). A name without an
    opinion has a = 0 and is not increased (`no_alpha`).

    Where fewer than two names differ in alpha there is no z-score, and a is 0 throughout.

    Source: Grinold (1994), Alpha is volatility times IC times score, J. Portfolio Management 20(4).
    """

    def __init__(
        self,
        *,
        alpha: Literal["grinold", "raw"] = "grinold",
        ic: float = 0.05,
        half_life: float | None = None,
        holding_slices: float = 5.0,
        weight: float = 1.0,
    ) -> None:
        if alpha not in ("grinold", "raw"):
            raise ValueError(f"alpha must be grinold or raw, got {alpha!r}")
        self._ic = above("ic", ic) if alpha == "grinold" else None
        self._scale = at_least("weight", weight)
        if half_life is not None:
            held = above("holding_slices", holding_slices) / above("half_life", half_life) * np.log(2.0)
            self._scale *= float(-np.expm1(-held) / held)
        self.needs_risk = self._ic is not None

    def cost(self, at: Situation, /) -> tuple[Piece, ...]:
        known = np.isfinite(at.alpha)
        a = expected_returns(at, self._ic)
        upper = np.where(known | ~at.free, np.inf, np.maximum(at.w0, 0.0))
        lower = np.where(known | ~at.free, -np.inf, np.minimum(at.w0, 0.0))
        return (
            Linear(name="expected_return", cost=-self._scale * a),
            Box(name="no_alpha", lower=lower, upper=upper),
        )


def expected_returns(at: Situation, ic: float | None) -> Vector:
    """(N,) expected return over one slice: alpha as it is without `ic`, else ic sigma z; 0 without an opinion."""
    known = np.isfinite(at.alpha)
    if ic is None:
        return np.where(known, at.alpha, 0.0)
    given = at.alpha[known]
    largest = float(np.abs(given).max(initial=0.0))
    if at.risk is None or given.size < 2 or largest == 0.0:
        return np.zeros(len(at.alpha))
    scaled = at.alpha / largest  # so that squares of huge scores are numbers
    mean, spread = float(scaled[known].mean()), float(scaled[known].std())
    if not spread > 1e-12:
        return np.zeros(len(at.alpha))
    a: Vector = np.where(known, ic * volatilities(at.risk) * (scaled - mean) / spread, 0.0)
    return a
