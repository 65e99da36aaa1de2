"""Sizes positions to a volatility."""

from math import inf, isfinite
from typing import Any

import numpy as np

from components.strategies.guards import View, handlers_of, share_of
from components.strategies.rules.steps import Steps
from engine.events import Actions, Bars, Reference, Vector
from engine.nested import risk_model_of
from engine.protocols import RiskModel, Stateful
from engine.state import pack, unpack

_KIND, _VERSION = "volatility_target", 2
_ROUNDING = 1e-12  # of the sizes that a variance is the sum of


class VolatilityTarget:
    """Multiplies all that is wanted so that its estimated volatility is `target` a year, within a leverage.

        factor = min(target / sigma, max_leverage / sum |w|),   sigma = sqrt(slices_per_year  w' S w)

    w are the wanted weights before any factor, S the covariance of a slice by `risk_model`. Where S says nothing yet,
    or w has no risk, only the leverage counts, and the factor is at most 1. Where w' S w is no variance (NaN, infinite,
    negative), the last factor stands, within the leverage, and a note says so as it begins. The factor moves once it is
    off by more than `band` of itself. A long-only account without margin has a `max_leverage` of 1 at most.

    Source: Moreira, Muir (2017), Volatility-managed portfolios, J. Finance 72(4), with the variance forecast of the
    wanted positions in place of a realised one.
    """

    kind = "volatility_target"

    def __init__(
        self,
        *,
        target: float,
        risk_model: RiskModel,
        max_leverage: float = 1.0,
        slices_per_year: float = 252.0,
        band: float = 0.1,
    ) -> None:
        self._target, self._leverage = share_of("target", target), share_of("max_leverage", max_leverage, 10.0)
        if not 0 < slices_per_year < np.inf:
            raise ValueError(f"slices_per_year must be above 0 and finite, got {slices_per_year}")
        self._year, self._model, self._steps = slices_per_year, risk_model_of(risk_model), Steps(band=band)
        self._unsure = False
        self.remark = ""
        self.wraps: tuple[Any, ...] = (risk_model,)
        self.lookback: int = getattr(risk_model, "lookback", 0)

    def on_bars(self, bars: Bars, /) -> None:
        self._model.on_bars(bars)

    def on_actions(self, actions: Actions, /) -> None:
        for handler in handlers_of((self._model,), "on_actions"):
            handler(actions)

    def on_reference(self, reference: Reference, /) -> None:
        for handler in handlers_of((self._model,), "on_reference"):
            handler(reference)

    def scale(self, view: View, weights: Vector, /) -> float:
        self.remark = ""
        gross = float(np.abs(weights).sum())
        if gross == 0:
            return self._steps.now  # nothing is wanted: whatever it is multiplied by
        variance, most = self._variance(weights), self._leverage / gross
        before, self._unsure = self._unsure, not 0 <= variance < inf
        if self._unsure:
            if not before:
                self.remark = f"the estimated variance of what is wanted is {variance:.4g}, so the last factor stands"
            self._steps.now = min(self._steps.now, most)
            return self._steps.now
        sigma = float(np.sqrt(variance * self._year))
        wanted = min(self._target / sigma, most) if sigma > 0 else min(1.0, most)
        factor = self._steps.toward(wanted)
        if factor > most:  # a step is no reason to borrow
            self._steps.now = factor = most
        return factor

    def _variance(self, weights: Vector) -> float:
        """A slice's, of these weights; 0 where it is not known."""
        risk = self._model.risk()
        if risk is None:
            return 0.0
        exposure = risk.factors.T @ weights
        variance = float(exposure @ risk.covariance @ exposure + risk.specific @ weights**2)
        size = float(np.abs(exposure) @ np.abs(risk.covariance) @ np.abs(exposure))
        rounded = isfinite(variance) and -_ROUNDING * size <= variance < 0
        return 0.0 if rounded else variance

    def save(self) -> bytes:
        model = self._model.save() if isinstance(self._model, Stateful) else b""
        return pack(_KIND, _VERSION, now=self._steps.now, unsure=self._unsure, model=model)

    def load(self, state: bytes, /) -> None:
        fields = unpack(state, _KIND, _VERSION)
        self._steps.now, self._unsure = fields["now"], fields["unsure"]
        if isinstance(self._model, Stateful):
            self._model.load(fields["model"])
