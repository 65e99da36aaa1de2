"""Classes of a user's own that stand within components of ours, and do there what such classes do."""

from typing import Any

import msgspec
import numpy as np
import pytest

from components.strategies.guards import View
from engine.events import FEE_KINDS, Bars, Book, Fills, Mask, Matrix, Note, Signal, Target, TargetKind, Vector
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


class Reuses:
    """A strategy that fills the same array in every slice, between its answers too."""

    interval_ns = 0

    def __init__(self, *, universe: Universe, name: str) -> None:
        self._shares, self._seen, self._name = np.zeros(len(universe)), 0, name

    def on_bars(self, bars: Bars, /) -> None:
        self._seen += 1
        self._shares[:] = 0.0
        self._shares[self._seen // 3 % len(self._shares)] = 3000.0

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        return msgspec.structs.replace(target_of(book, self._name, self._shares), kind=TargetKind.QUANTITY)


class Renews(Reuses):
    """The same with a new array in every answer."""

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        said = super().on_signals(signals, book)
        return msgspec.structs.replace(said, value=said.value.copy())


class Wrong:
    """A strategy that answers wrong in the way that it is told."""

    interval_ns = 0

    def __init__(self, *, universe: Universe, name: str, how: str) -> None:
        self._n, self._name, self._how = len(universe), name, how

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Any:
        right = target_of(book, self._name, np.full(self._n, 0.1))
        if self._how == "raise":
            raise KeyError("x")
        if self._how == "exit":
            raise SystemExit(3)
        changes: dict[str, dict[str, Any]] = {
            "short": {"value": right.value[:-1]},
            "kind": {"kind": "weight"},
            "late": {"ts": right.ts - 1},
            "list": {"value": right.value.tolist()},
            "alpha": {"alpha": right.alpha[:3]},
        }
        return {"a": 1} if self._how == "dict" else msgspec.structs.replace(right, **changes[self._how])


class Writes:
    """A filter that lets all pass and computes in place."""

    kind, exit = "writes", "hold"

    def passes(self, view: View, /) -> Mask:
        for array in (view.position, view.unit, view.wanted, view.book.qty, view.bars.close):
            if array is not None:
                with pytest.raises(ValueError, match="read-only"):
                    array[:] = 0.0
                with pytest.raises(ValueError, match="WRITEABLE"):
                    array.flags.writeable = True
        return np.ones(len(view.universe), bool)

    def save(self) -> bytes:
        return b""

    def load(self, state: bytes, /) -> None: ...


class Saves(Counts):
    """A strategy whose save or load fails in the way that it is told."""

    def __init__(self, *, universe: Universe, name: str, how: str) -> None:
        super().__init__(universe=universe, name=name)
        self._how = how

    def save(self) -> Any:
        if self._how == "raise":
            raise KeyError("k")
        return {"text": "some", "none": None, "array": np.zeros(3), "load": b""}[self._how]

    def load(self, state: bytes, /) -> None:
        raise ValueError("cannot")


class Waits(Counts):
    """A strategy with a handler that is a coroutine."""

    def __init__(self, *, universe: Universe, name: str, method: str) -> None:
        super().__init__(universe=universe, name=name)

        async def waits(*given: Any) -> None: ...

        setattr(self, method, waits)


class Side:
    """A strategy that wants a share of the first name from its sixth answer on, and tells each of its fills."""

    interval_ns = 0

    def __init__(self, *, universe: Universe, name: str, weight: float) -> None:
        self._n, self._name, self._weight, self._asked, self._ts = len(universe), name, weight, 0, 0

    def on_bars(self, bars: Bars, /) -> None:
        self._ts = bars.ts

    def on_fills(self, fills: Fills, /) -> Note:
        assert fills.ts == self._ts
        return Note(ts=fills.ts, source=self._name, kind="filled", text=f"{fills.qty[0]:.0f}")

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        self._asked += 1
        weight = self._weight if self._asked > 5 else 0.0
        return target_of(book, self._name, np.where(np.arange(self._n) == 0, weight, 0.0))
