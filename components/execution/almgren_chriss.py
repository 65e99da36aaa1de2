"""The optimal trajectory of Almgren and Chriss."""

from typing import Any, ClassVar

import numpy as np

from components.execution.pace import Market, Parents, checked_horizon, even_steps, full_lots, on_pace
from components.features.adjusting import price_factor
from engine.events import DAY_NS, Actions, Bars, Matrix, Vector
from engine.state import mutable, pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "almgren_chriss", 2
_STRAIGHT = 1e-9  # kappa T below which the trajectory is a straight line


class AlmgrenChriss:
    """Trades faster while the price may move against what is left, slower where trading is dear.

        kappa = arccosh(lambda sigma^2 / (2 eta) + 1)
        a_k   = min(round((Q (1 - sinh kappa (T - k - 1) / sinh kappa T) - done) / lot) lot, rest),   a_{T-1} = rest

    `sigma` is the unbiased standard deviation of the last `window` log returns of a slice that the symbol has, from one
    close to the next; without it, while there is too little history or where prices stand still, the order is cut in
    equal parts. Below a day only bars that follow each other have a return: what a night, a break or a slice that never
    came did to the price is no volatility of a slice. Nor is a split or a cash dividend. lambda is `risk_aversion`, eta
    the temporary impact. Closed form: the shares left after k steps are Q sinh kappa (T - k) / sinh kappa T, which
    minimises E + lambda V of the cost for linear temporary impact. What a slice did not fill is caught up with in the
    next one.

    With `as_published` each step is rounded down for itself, and what a bar or the rounding left waits for the last:

        a_k   = floor(Q (sinh kappa (T - k) - sinh kappa (T - k - 1)) / sinh kappa T / lot) lot,   a_{T-1} = rest

    Source: Almgren, Chriss (2001), Optimal execution of portfolio transactions, Journal of Risk 3, equations 16 to 18;
    options, and the rounding of `as_published`, as Qlib, ACStrategy.
    """

    completes: ClassVar[bool] = True

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        horizon: int,
        risk_aversion: float = 1e-6,
        eta: float = 2.5e-6,
        window: int = 20,
        as_published: bool = False,
        span_days: bool = False,
    ) -> None:
        if not (risk_aversion >= 0 and np.isfinite(risk_aversion)):
            raise ValueError(f"risk_aversion must be finite and at least 0, got {risk_aversion}")
        if not (eta > 0 and np.isfinite(eta)):
            raise ValueError(f"eta must be finite and above 0, got {eta}")
        if window < 2:
            raise ValueError(f"window must be at least 2 returns, got {window}")
        self.horizon, self.span_days, self.lookback = checked_horizon(horizon), span_days, window + 1
        self._universe, self._ratio, self._published = universe, risk_aversion / eta, as_published
        self._window = window
        self._returns: Matrix = np.full((window, len(universe)), np.nan)  # each symbol's own, in turn
        self._known: Vector = np.zeros(len(universe))  # how many each has had
        self._last: Vector = np.full(len(universe), np.nan)
        self._ts = 0

    def on_bars(self, bars: Bars, /) -> None:
        close = np.where(bars.status == 0, bars.close, np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            moved = np.log(close / self._last)
        if bars.interval_ns >= DAY_NS or bars.ts - self._ts <= bars.interval_ns:
            rows = np.flatnonzero(np.isfinite(moved))
            self._returns[(self._known[rows] % self._window).astype(np.intp), rows] = moved[rows]
            self._known[rows] += 1
        self._last, self._ts = close, bars.ts

    def on_actions(self, actions: Actions, /) -> None:
        """Neither a split nor a cash dividend is a return."""
        self._last = self._last * price_factor(actions, self._last)

    def sigma(self) -> Vector:
        """(N,) volatility a slice; NaN until `window` returns are known."""
        sigma = np.full(len(self._universe), np.nan)
        rows = self._known >= self._window
        sigma[rows] = self._returns[:, rows].std(axis=0, ddof=1)
        return sigma

    def due(self, parents: Parents, market: Market, /) -> Vector:
        sigma = self.sigma()[parents.symbol]
        kappa = np.arccosh(self._ratio * np.where(sigma > 0, sigma, 0.0) ** 2 / 2 + 1)
        curved = kappa * parents.steps > _STRAIGHT
        step, steps = parents.step.astype(float), parents.steps.astype(float)
        if self._published:
            sent = full_lots(parents.size * np.nan_to_num(schedule(kappa, step, steps)), parents.lot)
            sent = np.where(curved, sent, even_steps(parents))
            return parents.side * np.minimum(sent, parents.rest)
        share = np.where(curved, 1.0 - still(kappa, step + 1, steps), (step + 1) / steps)
        return parents.side * on_pace(parents, share)

    def save(self) -> bytes:
        seen = {"returns": self._returns, "known": self._known, "last": self._last, "ts": self._ts}
        return pack(_KIND, _VERSION, symbols=self._universe.symbols, **seen)

    def load(self, state: bytes, /) -> None:
        fields: dict[str, Any] = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._universe.symbols
        self._returns = mutable(placed(fields["returns"], before, now, np.nan))
        self._known = mutable(placed(fields["known"], before, now, 0.0))
        self._last, self._ts = placed(fields["last"], before, now, np.nan), fields["ts"]


def schedule(kappa: Vector, step: Vector, steps: Vector) -> Vector:
    """The share of the order that each step trades: (sinh k(T-j) - sinh k(T-j-1)) / sinh kT, without overflow.

    >>> schedule(np.array([1.0]), np.array([0.0]), np.array([2.0])).round(6)
    array([0.675973])
    """
    share: Vector = still(kappa, step, steps) - still(kappa, step + 1, steps)
    return share


def still(kappa: Vector, step: Vector, steps: Vector) -> Vector:
    """The share of the order that is left after `step` steps, sinh k(T-j) / sinh kT; NaN for k = 0."""
    x, left = kappa * steps, kappa * (steps - step)
    with np.errstate(invalid="ignore"):
        share: Vector = np.exp(left - x) * -np.expm1(-2 * left) / -np.expm1(-2 * x)  # without overflow
    return share
