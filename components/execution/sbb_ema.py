"""Select the better of two bars by the trend of the price."""

from typing import Any

import numpy as np

from components.execution.pace import NEAR, Market, Parents, checked_horizon, even_steps
from engine.events import ActionKind, Actions, Bars, Vector
from engine.state import mutable, pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "sbb_ema", 1
_DUST = 1e-12  # of the price: what sums may leave between the averages of one and the same price


class SbbEma:
    """Of each pair of slices, trades in the one that the trend favours, twice the amount; without a trend, in both.

        trend = sign(EMA_10 - EMA_20) at the end of the bar before the pair
        no trend   a = ceil(floor(rest / lot) / N) lot
        trend      a = 2 ceil(floor(rest / lot) / (N + 1)) lot   in the first slice of the pair where it agrees
                   (down and sell, up and buy), else in the second; N = steps left with this one

    The averages weigh a close j slices old by (1 - 2 / (span + 1))^j, over all closes there are; in a slice without a
    bar they stand. In the last step all that is left is sent. With `as_published` only a sale does so, and only where
    the rule trades in that step at all: what is left of a purchase is not bought. That is the rule to the digit.

    Source: Qlib, SBBStrategyEMA.
    """

    lookback = 200  # the weight of what is older is below 3e-9

    def __init__(
        self,
        *,
        universe: Universe,
        horizon: int,
        fast: int = 10,
        slow: int = 20,
        as_published: bool = False,
        span_days: bool = False,
    ) -> None:
        if not 1 <= fast < slow:
            raise ValueError(f"fast must be at least 1 slice and below slow, got {fast} and {slow}")
        self.horizon, self.span_days, self.completes = checked_horizon(horizon), span_days, not as_published
        self.lookback = 10 * slow
        self._universe, self._keep = universe, 1.0 - 2.0 / (np.array([[fast], [slow]]) + 1.0)
        n = len(universe)
        self._sums = np.zeros((2, 2, n))  # weighted closes and weights, of both averages
        self._trend, self._before = np.zeros(n), np.zeros(n)  # at the end of this slice, and of the one before

    def on_bars(self, bars: Bars, /) -> None:
        fresh = bars.status == 0
        self._sums *= self._keep[None]
        self._sums += np.where(fresh, np.array([bars.close, np.ones(len(fresh))]), 0.0)[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            fast, slow = self._sums[0] / self._sums[1]
        self._before = self._trend
        apart = np.abs(fast - slow) > _DUST * np.abs(slow)  # False of NaN
        self._trend = np.where(fresh, np.where(apart, np.sign(fast - slow), 0.0), self._trend)

    def on_actions(self, actions: Actions, /) -> None:
        for i in np.flatnonzero(actions.kind == ActionKind.SPLIT).tolist():
            self._sums[0, :, actions.symbol[i]] /= actions.ratio[i]

    def due(self, parents: Parents, market: Market, /) -> Vector:
        first = parents.step % 2 == 0
        trend = np.where(first, self._trend[parents.symbol], self._before[parents.symbol])
        lots = np.floor(parents.rest / parents.lot + NEAR)
        double = 2 * np.ceil(lots / (parents.remaining + 1)) * parents.lot
        amount = np.where(trend == 0, even_steps(parents), double)
        amount = np.where((parents.side < 0) & ((parents.remaining == 1) | (amount == 0)), parents.rest, amount)
        trades = (trend == 0) | ((trend == parents.side) == first)
        return parents.side * np.where(trades, np.minimum(amount, parents.rest), 0.0)

    def save(self) -> bytes:
        sums = {"sums": self._sums, "trend": self._trend, "before": self._before}
        return pack(_KIND, _VERSION, symbols=self._universe.symbols, **sums)

    def load(self, state: bytes, /) -> None:
        fields: dict[str, Any] = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._universe.symbols
        self._sums = mutable(placed(fields["sums"], before, now, 0.0))
        self._trend = placed(fields["trend"], before, now, 0.0)
        self._before = placed(fields["before"], before, now, 0.0)
