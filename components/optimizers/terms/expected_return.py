"""Expected return."""

from typing import Literal

import numpy as np

from components.optimizers.problem import Box, Linear, Piece, Situation
from components.optimizers.stating import volatilities
from components.optimizers.terms.checked import above, at_least
from engine.events import Vector
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "expected_return", 1


class ExpectedReturn:
    """weight a'w, to be earned.

        grinold:  a_i = ic sigma_i z_i     z the z-score over all names with an opinion, sigma_i the risk model's
        raw:      a_i = alpha_i            alpha is a return over one slice already

    With `smooth` h the z-scores of all rebalances so far count, those of h rebalances ago half as much as the latest,
    and what comes out is made a z-score again: what changes from slice to slice is not worth trading on, what lasts
    is. A name without an opinion adds 0.

    With a `half_life` the opinion fades, and what counts is what it earns on average over the slices that a trade is
    held for: of forecasts that halve every h slices, held for H slices, (1 - 2^(-H/h)) h / (H ln 2). A name without an
    opinion has a = 0 and is not increased (`no_alpha`).

    Where fewer than two names differ in alpha there is no z-score, and a is 0 throughout.

    Source: Grinold (1994), Alpha is volatility times IC times score, J. Portfolio Management 20(4); Garleanu and
    Pedersen (2013), Dynamic trading with predictable returns and transaction costs, J. Finance 68(6), on why opinions
    that last count for more.
    """

    straight: bool = True

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        alpha: Literal["grinold", "raw"] = "grinold",
        ic: float = 0.05,
        smooth: float | None = None,
        half_life: float | None = None,
        holding_slices: float = 5.0,
        weight: float = 1.0,
    ) -> None:
        if alpha not in ("grinold", "raw"):
            raise ValueError(f"alpha must be grinold or raw, got {alpha!r}")
        if smooth is not None and alpha == "raw":
            raise ValueError("smooth belongs to grinold: returns as they are would not be that any more")
        self._ic = above("ic", ic) if alpha == "grinold" else None
        self._scale = at_least("weight", weight)
        if half_life is not None:
            held = above("holding_slices", holding_slices) / above("half_life", half_life) * np.log(2.0)
            self._scale *= float(-np.expm1(-held) / held)
        self._keep = None if smooth is None else float(0.5 ** (1.0 / above("smooth", smooth)))
        self._symbols = universe.symbols
        self._score: Vector = np.zeros(len(universe))  # smoothed
        self.needs_risk = self._ic is not None

    def cost(self, at: Situation, /) -> tuple[Piece, ...]:
        known = np.isfinite(at.alpha)
        upper = np.where(known | ~at.free, np.inf, np.maximum(at.w0, 0.0))
        lower = np.where(known | ~at.free, -np.inf, np.minimum(at.w0, 0.0))
        return (
            Linear(name="expected_return", cost=-self._scale * self._expected(at)),
            Box(name="no_alpha", lower=lower, upper=upper),
        )

    def _expected(self, at: Situation) -> Vector:
        if self._ic is None:
            return np.where(np.isfinite(at.alpha), at.alpha, 0.0)
        z = z_scores(at.alpha)
        if self._keep is not None:
            self._score = self._keep * self._score + (1.0 - self._keep) * z
            z = z_scores(np.where(np.isfinite(at.alpha), self._score, np.nan))
        return np.zeros(len(z)) if at.risk is None else self._ic * volatilities(at.risk) * z

    def save(self) -> bytes:
        return pack(_KIND, _VERSION, symbols=self._symbols, score=self._score)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since had no opinion yet."""
        fields = unpack(state, _KIND, _VERSION)
        self._score = placed(fields["score"], fields["symbols"], self._symbols, 0.0)


def z_scores(values: Vector) -> Vector:
    """(N,) values less their mean over their standard deviation, of the finite ones; 0 elsewhere, and if none differ.

    >>> z_scores(np.array([2.0, 4.0, np.nan])).tolist()
    [-1.0, 1.0, 0.0]
    """
    known = np.isfinite(values)
    given = values[known]
    largest = float(np.abs(given).max(initial=0.0))
    if given.size < 2 or largest == 0.0:
        return np.zeros(len(values))
    scaled = given / largest  # so that squares of huge scores are numbers
    scaled -= scaled.mean()
    spread = float(np.vdot(scaled, scaled) / scaled.size) ** 0.5
    z = np.zeros(len(values))
    if spread > 1e-12:
        z[known] = scaled / spread
    return z
