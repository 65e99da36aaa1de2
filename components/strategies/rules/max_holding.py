"""Closes what has been held for long enough."""

from collections import deque

import numpy as np

from components.strategies.guards import View, slices_of
from components.strategies.rules.gains import where
from engine.events import DAY_NS, Bars, Vector
from engine.state import pack, unpack

_KIND, _VERSION = "max_holding", 1


class MaxHolding:
    """Closes a position that has been held for `slices` slices, or for `days` calendar days.

    The slice in which a position was opened counts as the first, so `slices: 1` closes it at once. Time runs from the
    first fill of the position; adding to it does not set it back. Memory: `slices` instants.
    """

    kind = "max_holding"

    def __init__(self, *, slices: int | None = None, days: float | None = None) -> None:
        if (slices is None) == (days is None):
            raise ValueError(
                "slices or days must be given, one of the two, got " + ("none" if days is None else "both")
            )
        if days is not None and not 0 < days < np.inf:
            raise ValueError(f"days must be above 0 and finite, got {days}")
        self._days = days
        self._recent: deque[int] = deque(maxlen=slices_of("slices", slices) if slices is not None else 1)
        self.text = "slices held" if slices is not None else "days held"

    def on_bars(self, bars: Bars, /) -> None:
        self._recent.append(bars.ts)

    def exits(self, view: View, /) -> Vector:
        opened = view.book.opened
        if self._days is not None:
            held = (view.ts - opened) / DAY_NS
            return where((opened > 0) & (held >= self._days), held)
        if len(self._recent) < (self._recent.maxlen or 1):
            return np.full(len(opened), np.nan)
        return where((opened > 0) & (opened <= self._recent[0]), np.full(len(opened), float(len(self._recent))))

    def save(self) -> bytes:
        return pack(_KIND, _VERSION, recent=list(self._recent))

    def load(self, state: bytes, /) -> None:
        self._recent = deque(unpack(state, _KIND, _VERSION)["recent"], maxlen=self._recent.maxlen)
