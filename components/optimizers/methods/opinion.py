"""What a method expects of each name, from the alpha behind the targets. Pure functions."""

from typing import Literal, TypeAlias

import numpy as np

from components.optimizers.paying import Rows
from components.optimizers.problem import Situation
from engine.events import Vector

AlphaName: TypeAlias = Literal["grinold", "raw"]
NO_OPINION = "there is no alpha for any name that may change"
ALIKE = "fewer than two different alphas"


def checked_alpha(alpha: str, ic: float) -> float | None:
    """The information coefficient, None where alphas are returns already."""
    if alpha not in ("grinold", "raw"):
        raise ValueError(f"alpha must be grinold or raw, got {alpha!r}")
    if not 0 < ic < np.inf:
        raise ValueError(f"ic must be above 0, got {ic}")
    return ic if alpha == "grinold" else None


def expected_of(at: Situation, rows: Rows, variance: Vector, ic: float | None) -> Vector | str:
    """(n,) expected returns over one slice, NaN = no opinion; or why there are none.

        raw (ic None)   a_i = alpha_i
        grinold         a_i = ic * sigma_i * z_i,   z the score over all names with an alpha

    Source: Grinold (1994), Alpha is volatility times IC times score, J. Portfolio Management 20(4).
    """
    alpha = np.where(np.isfinite(at.alpha), at.alpha, np.nan)
    if not np.isfinite(alpha[rows]).any():
        return NO_OPINION
    if ic is None:
        return alpha[rows]
    known = alpha[np.isfinite(alpha)]
    largest = float(np.abs(known).max())
    if not largest > 0:
        return ALIKE
    known = known / largest  # so that no square overflows
    spread = float(known.std())
    if known.size < 2 or not spread > 1e-12:
        return ALIKE
    return np.asarray(ic * np.sqrt(variance) * (alpha[rows] / largest - known.mean()) / spread)
