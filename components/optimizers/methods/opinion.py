"""What a method expects of each name, from the alpha behind the targets. Pure functions."""

from typing import Literal, TypeAlias

import numpy as np

from components.optimizers.paying import Rows
from components.optimizers.problem import Situation
from components.optimizers.terms.checked import above
from components.optimizers.terms.expected_return import z_scores
from engine.events import Vector

AlphaName: TypeAlias = Literal["grinold", "raw"]
NO_OPINION = "there is no alpha for any name that may change"
ALIKE = "fewer than two different alphas"


def checked_alpha(alpha: str, ic: float) -> float | None:
    """The information coefficient, None where alphas are returns already."""
    if alpha not in ("grinold", "raw"):
        raise ValueError(f"alpha must be grinold or raw, got {alpha!r}")
    return above("ic", ic) if alpha == "grinold" else None


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
    z = z_scores(alpha)
    if not z.any():
        return ALIKE
    return np.where(np.isfinite(alpha[rows]), ic * np.sqrt(variance) * z[rows], np.nan)
