"""How much of a name's volume is traded in one rebalance."""

import numpy as np

from components.optimizers.problem import HARD, Box, Piece, Situation
from components.optimizers.terms.checked import above, price


class Participation:
    """|w - w0| equity <= share of the mean money that a slice of the name trades.

    A name whose traded money is not known is not increased: it may be sold.
    """

    bounds: str = "both"
    trades: bool = True

    def __init__(self, *, share: float, soft: float | None = None, firm: bool = False) -> None:
        self._share = above("share", share)
        self.soft = price(soft)
        self.firm = firm

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        most = self._share * at.traded / at.equity
        known = most >= 0
        grows = np.where(known, most, 0.0)
        shrinks = np.where(known, most, np.abs(at.w0))
        long = at.w0 >= 0
        lower = np.where(at.free, at.w0 - np.where(long, shrinks, grows), -np.inf)
        upper = np.where(at.free, at.w0 + np.where(long, grows, shrinks), np.inf)
        return (Box(name="participation", lower=lower, upper=upper, soft=HARD if self.soft is None else self.soft),)
