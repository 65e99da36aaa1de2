"""Market impact: what a trade moves the price by, with the square root of its share of the volume."""

import numpy as np

from components.optimizers.problem import Impact, Piece, Situation
from components.optimizers.stating import volatilities
from components.optimizers.terms.checked import above


class ImpactCost:
    """sum Y sigma_i sqrt(equity / traded_i) |w_i - w0_i|^(3/2) / holding_slices.

    sigma_i is the risk model's volatility over one slice, traded_i the mean money that a slice of the name trades. So
    trading a whole slice's volume costs Y sigma of its value. A name whose traded money is not known counts as the one
    that trades least among those known. Where none is known trades cost no impact, which is said once a session.

    Source: Toth et al. (2011), Anomalous price impact and the critical nature of liquidity, Phys. Rev. X 1, 021006;
    Boyd et al. (2017), Multi-period trading via convex optimization, section 2.3.
    """

    needs_risk = True
    cone: bool = True

    def __init__(self, *, coefficient: float = 1.0, holding_slices: float = 5.0) -> None:
        self._per_slice = above("coefficient", coefficient) / above("holding_slices", holding_slices)

    def silent(self, at: Situation) -> str:
        """Why it costs nothing now, empty = it does."""
        return (
            ""
            if (at.traded > 0).any()
            else "impact: no name's traded money is known, so trades are taken to move no price"
        )

    def cost(self, at: Situation, /) -> tuple[Piece, ...]:
        known = at.traded > 0
        if at.risk is None or not known.any():
            return ()
        traded = np.where(known, at.traded, at.traded[known].min())
        return (Impact(name="impact", k=self._per_slice * volatilities(at.risk) * np.sqrt(at.equity / traded)),)
