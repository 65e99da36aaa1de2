"""Classes of a user's own that stand within components of ours, and do there what such classes do."""

import numpy as np

from components.strategies.guards import View
from engine.events import FEE_KINDS, Bars, Book, Mask, Matrix, Signal, Target, TargetKind, Vector
from engine.protocols import Conditions, Risk
from engine.universe import Universe


def target_of(book: Book, name: str, weights: Vector) -> Target:
    none = np.full(len(weights), np.nan)
    return Target(
        ts=book.ts, source=name, kind=TargetKind.WEIGHT, value=weights, alpha=none, limit=none.copy(), stop=none.copy()
    )


class Counts:
    """A strategy that goes from name to name with the slices it saw, and does not say so."""

    interval_ns = 0

    def __init__(self, *, universe: Universe, name: str) -> None:
        self._n, self._seen, self._name = len(universe), 0, name

    def on_bars(self, bars: Bars, /) -> None:
        self._seen += 1

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        return target_of(book, self._name, np.where(np.arange(self._n) == self._seen % self._n, 0.5, 0.0))


class Says(Counts):
    """The same with a memory that is kept."""

    def save(self) -> bytes:
        return str(self._seen).encode()

    def load(self, state: bytes, /) -> None:
        self._seen = int(state)


class Turns:
    """A filter that shuts out one name after the other."""

    kind, exit = "turns", "hold"

    def __init__(self) -> None:
        self._asked = 0

    def passes(self, view: View, /) -> Mask:
        self._asked += 1
        return np.arange(len(view.universe)) != self._asked % len(view.universe)


class Blind:
    """A risk model whose estimates are no numbers."""

    def __init__(self, *, universe: Universe) -> None:
        self._n = len(universe)

    def on_bars(self, bars: Bars, /) -> None: ...

    def risk(self) -> Risk:
        return Risk(factors=np.zeros((self._n, 1)), covariance=np.eye(1), specific=np.full(self._n, np.nan))


class Dearer:
    """A cost model whose fees grow with each fill."""

    def __init__(self) -> None:
        self._filled = 0

    def price(self, qty: Vector, reference: Vector, at: Conditions, /) -> Vector:
        return reference

    def fees(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        self._filled += len(qty)
        fees = np.zeros((len(qty), len(FEE_KINDS)))
        fees[:, 0] = 0.01 * self._filled
        return fees

    def rate(self) -> float:
        return 1e-4
