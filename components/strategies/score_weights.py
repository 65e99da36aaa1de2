"""Weights that follow from scores: by rank, by z-score, by softmax."""

from typing import Literal

import numpy as np

from components.metrics.signal import ranks
from components.strategies.allocation import Allocation, Leavers, Rebalance
from components.strategies.signals import pick
from components.strategies.volatility import Volatility
from components.strategies.weights import (
    alike,
    checked_cap,
    checked_gross,
    softmax,
    spread_over,
    standard,
    two_legs,
)
from engine.events import Actions, Bars, Book, Signal, Target, Vector
from engine.state import pack, unpack
from engine.universe import Universe

_KIND, _VERSION = "score_weights", 1


class ScoreWeights:
    """Every name with a score has a weight in proportion to

                    side: long              side: neutral
        rank        r_i                     r_i - mean r                    r = 1 for the worst, ties share their mean
        zscore      max(z_i, 0)             z_i                             z = (s - mean s) / std s
        softmax     e_i                     e_i - mean e                    e = exp(s / temperature) / sum

    over the names that have a finite score, are members and FRESH at t; with `vol_scaled`, divided by the volatility of
    the last `window` slices (a name without one is left out). Long weights sum to `gross` of equity; neutral ones to
    gross / 2 on each side, so that long and short are worth the same. None is above `max_weight`: what that cuts goes
    to the others of its side, and the two sides stay equal.

    By rank and z-score neither the unit nor the level of scores matters, by softmax the level does not; `temperature`
    is in the unit of the scores. Where all scores are the same, `rank` and `softmax` long give equal weights; else
    there is no ranking and the last target stands, as it does without any score. `leavers`, halted names and
    `rebalance` are as for long_short. With equity of zero or less all is closed.

    >>> from engine.universe import universe_of
    >>> ranked = ScoreWeights(universe=universe_of(("A", "B", "C")), name="ranked", method="rank", side="long")
    >>> ranked.on_bars(bars(ts=1, close=[10.0, 10.0, 10.0]))
    >>> ranked.on_signals((signal(1, [0.1, 0.3, 0.2]),), book(1, [10.0] * 3, cash=600.0)).value
    array([10., 30., 20.])
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        name: str,
        method: Literal["rank", "zscore", "softmax"] = "rank",
        side: Literal["long", "neutral"] = "long",
        temperature: float = 1.0,
        vol_scaled: bool = False,
        window: int = 20,
        gross: float = 1.0,
        max_weight: float | None = None,
        leavers: Leavers = "hold",
        rebalance: Rebalance = "always",
        signal: str | None = None,
        interval_ns: int = 0,
    ) -> None:
        for option, value, known in (
            ("method", method, ("rank", "zscore", "softmax")),
            ("side", side, ("long", "neutral")),
        ):
            if value not in known:
                raise ValueError(f"{option} must be one of {', '.join(known)}, got {value!r}")
        if not 0 < temperature < np.inf:
            raise ValueError(f"temperature must be finite and above 0 (in the unit of the scores), got {temperature}")
        if interval_ns < 0:
            raise ValueError(f"interval_ns must be at least 0, got {interval_ns}")
        checked_gross(gross)
        self.interval_ns = interval_ns
        self._method, self._neutral, self._temperature = method, side == "neutral", temperature
        self._signal, self._name = signal, name
        self._gross, self._cap = gross, checked_cap(max_weight)
        self._allocation = Allocation(universe=universe, name=name, leavers=leavers, rebalance=rebalance)
        volatility = Volatility(universe, window)
        self._volatility = volatility if vol_scaled else None
        self.lookback = window + 1 if vol_scaled else 0

    def on_bars(self, bars: Bars, /) -> None:
        self._allocation.on_bars(bars)
        if self._volatility is not None:
            self._volatility.on_bars(bars)

    def on_actions(self, actions: Actions, /) -> None:
        if self._volatility is not None:
            self._volatility.on_actions(actions)

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        score = pick(signals, self._signal, self._name).value
        rated = self._allocation.able(book) & np.isfinite(score)
        sigma = None if self._volatility is None else self._volatility.value()
        if sigma is not None:
            rated &= np.isfinite(sigma)
        own = score[rated]
        if not len(own) or (alike(own) and (self._neutral or self._method == "zscore")):
            return None
        raw = self._raw(own)
        if sigma is not None:
            raw = raw / sigma[rated]
        sides = (self._gross / 2, self._gross / 2) if self._neutral else (self._gross, 0.0)
        return self._allocation.target(book, spread_over(two_legs(raw, *sides, self._cap), rated), score)

    def _raw(self, score: Vector) -> Vector:
        """(K,) proportions, signed where neutral."""
        if self._method == "zscore":
            return standard(score)  # long takes what is positive
        raw: Vector = ranks(score[None])[0] if self._method == "rank" else softmax(score, self._temperature)
        return raw - raw.mean() if self._neutral else raw

    def save(self) -> bytes:
        moved = None if self._volatility is None else self._volatility.fields()
        return pack(_KIND, _VERSION, **self._allocation.fields(), volatility=moved)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since have no bar yet."""
        fields = unpack(state, _KIND, _VERSION)
        self._allocation.restore(fields)
        if self._volatility is not None:
            self._volatility.restore(fields["volatility"], fields["symbols"])
