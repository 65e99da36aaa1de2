"""Loadings that are fitted now and then, and what is estimated with them in between."""

from collections.abc import Callable
from typing import Any

import numpy as np

from components.risk_models.history import History, by_symbol, moved
from components.risk_models.late import with_market
from components.risk_models.weighing import stretched
from engine.events import Actions, Bars, Mask, Matrix

Fit = Callable[[Matrix], dict[str, Any]]


class Refits:
    """The parts of a model that are fitted to the window at the first slice of every `refit_every` intervals.

    Intervals are counted from 1970, so that when a session began does not show. Parts are arrays (N, ...) by symbol;
    a symbol that is not `fitted` holds the value in `empty`. Until the first fit one is tried at every slice.

    A fit may take long, so it is put off until its parts are asked for, or saved: what it sees is kept from its slice.
    """

    def __init__(self, history: History, every: int, fit: Fit, empty: dict[str, float]) -> None:
        if every < 1:
            raise ValueError(f"refit_every must be at least 1 slice, got {every}")
        self._history, self._every, self._fit, self._empty = history, every, fit, empty
        self._block = -1
        self.fitted: Mask = np.zeros(len(history.symbols), bool)
        self._parts: dict[str, Any] = {}
        self._due: Matrix | None = None  # what the next fit sees
        self._shown: tuple[Mask, Matrix] | None = None

    @property
    def lookback(self) -> int:
        return self._history.lookback + self._every + 1  # a slice more: days differ in length by hours

    def on_bars(self, bars: Bars) -> None:
        self._history.on_bars(bars)
        block = bars.ts // (bars.interval_ns * self._every)
        if block == self._block and self.fitted.any():
            return
        self._block, self._shown = block, None
        self.fitted = self._history.ready()
        if not self.fitted.any():
            return
        self._due = stretched(self._history.window.rows(), self.fitted)

    @property
    def parts(self) -> dict[str, Any]:
        """Arrays (N, ...) by name, of the latest fit."""
        if self._due is not None:
            found, self._due, self._parts = self._fit(self._due), None, {}
            for name, own in found.items():
                whole = np.full((len(self.fitted), *own.shape[1:]), self._empty[name])
                whole[self.fitted] = own
                self._parts[name] = whole
        return self._parts

    def on_actions(self, actions: Actions) -> None:
        gone = self._history.on_actions(actions)
        if gone:
            self._parts = {name: moved(part, gone, self._empty[name]) for name, part in self.parts.items()}
            self.fitted, self._shown = moved(self.fitted, gone, False), None

    def returns(self) -> tuple[Mask, Matrix] | None:
        """The symbols (N,) that are fitted and still have returns, and those (T, n) as fits see them."""
        use = self.fitted & self._history.ready()
        return (use, stretched(self._history.window.rows(), use)) if use.any() else None

    def factors(self, name: str, use: Mask) -> Matrix:
        """The part (N, K) with the row of the market for symbols not in use; the same array until that changes."""
        if self._shown is None or not np.array_equal(self._shown[0], use):
            self._shown = use, with_market(self.parts[name], use)
        return self._shown[1]

    def save(self, kind: str, version: int, /) -> bytes:
        more = {"every": self._every, "block": self._block, "fitted": self.fitted, "parts": self.parts}
        return self._history.save(kind, version, more)

    def load(self, state: bytes, kind: str, version: int, /) -> None:
        fields = self._history.load(state, kind, version)
        now = self._history.symbols
        self._block, self._shown = fields["block"], None
        self.fitted = by_symbol(fields["fitted"], fields, now, False)
        self._parts = {name: by_symbol(part, fields, now, self._empty[name]) for name, part in fields["parts"].items()}
        self._due = None


def checked_factors(factors: int, least: int = 1) -> int:
    if factors < least:
        raise ValueError(f"factors must be at least {least}, got {factors}")
    return factors
