"""A user's components that keep what they saw, for runs of several intervals."""

from typing import Any

import numpy as np

from engine.events import Bars, Book, Features, Signal, Target, TargetKind
from engine.universe import Universe


class LastClose:
    """A model whose opinion is the last close of the bars that it works on."""

    def __init__(self, *, name: str, lookback: int = 1) -> None:
        self._name, self.lookback = name, lookback
        self.seen: list[tuple[int, int]] = []  # (ts, interval)

    def on_bars(self, bars: Bars, /) -> Signal:
        self.seen.append((bars.ts, bars.interval_ns))
        return Signal(ts=bars.ts, asof=bars.ts, source=self._name, value=bars.close, horizon_ns=bars.interval_ns)


class FirstFeature:
    """A model whose opinion is the first feature."""

    lookback = 1

    def __init__(self, *, name: str) -> None:
        self._name = name
        self.seen: list[int] = []

    def on_features(self, features: Features, /) -> Signal:
        self.seen.append(features.ts)
        value = features.value[:, 0].copy()
        return Signal(ts=features.ts, asof=features.ts, source=self._name, value=value, horizon_ns=1)


class Watcher:
    """A strategy that keeps what it is shown, and holds the name whose last signal is highest."""

    interval_ns = 0

    def __init__(self, *, universe: Universe, name: str) -> None:
        self._n, self._name = len(universe), name
        self.calls: list[tuple[int, tuple[Any, ...], Book]] = []

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        self.calls.append((book.ts, tuple((s.ts, s.value) for s in signals), book))
        known = np.nan_to_num(signals[-1].value, nan=-np.inf)
        weight = np.zeros(self._n)
        if np.isfinite(known).any():
            weight[int(np.argmax(known))] = 0.5
        none = np.full(self._n, np.nan)
        return Target(
            ts=book.ts, source=self._name, kind=TargetKind.WEIGHT, value=weight, alpha=none, limit=none, stop=none
        )


class Frozen:
    """A strategy whose interval cannot be set."""

    __slots__ = ()

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> None:
        return None
