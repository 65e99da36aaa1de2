"""What the users' components of several cases share: a model without opinion, and a wish in shares."""

import numpy as np

from samewire import DAY_NS, Bars, Signal, Target, TargetKind, Universe, Vector


class Quiet:
    """A model for strategies that look at nothing: no opinion, every slice."""

    lookback = 1

    def __init__(self, *, universe: Universe, name: str) -> None:
        self._none, self._name = np.full(len(universe), np.nan), name

    def on_bars(self, bars: Bars, /) -> Signal:
        return opinion(bars, self._name, self._none)


def opinion(bars: Bars, name: str, value: Vector) -> Signal:
    return Signal(ts=bars.ts, asof=bars.ts, source=name, value=value, horizon_ns=DAY_NS)


def shares(ts: int, name: str, wanted: Vector, alpha: Vector | None = None) -> Target:
    """A target of so many shares."""
    return wish(ts, name, wanted, TargetKind.QUANTITY, alpha)


def wish(ts: int, name: str, value: Vector, kind: TargetKind, alpha: Vector | None = None) -> Target:
    none = np.full(len(value), np.nan)
    alpha = none if alpha is None else alpha
    return Target(ts=ts, source=name, kind=kind, value=value, alpha=alpha, limit=none, stop=none)
