"""Keeps what was closed from coming back at once."""

from typing import Literal

import numpy as np

from components.strategies.guards import View, slices_of
from engine.events import ActionKind, Actions, Mask
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "cool_down", 1


class CoolDown:
    """Blocks a name for `slices` slices after its position was closed.

    The first slice that counts is the one whose book shows the name flat. A stop that is decided at t and filled at the
    next open is seen closed at t + 1: purchases are blocked at t + 1 ... t + slices and may be decided
    again after that. `after: rule` counts positions that a rule closed, `after: any` every position that was closed,
    by the strategy too.
    A position that was turned over was not closed.
    """

    kind = "cool_down"

    def __init__(self, *, slices: int, universe: Universe, after: Literal["rule", "any"] = "rule") -> None:
        if after not in ("rule", "any"):
            raise ValueError(f"after must be rule or any, got {after!r}")
        n = len(universe)
        self._slices, self._any, self._symbols = slices_of("slices", slices), after == "any", universe.symbols
        self._held: Mask = np.zeros(n, bool)  # in the slice before
        self._leaving: Mask = np.zeros(n, bool)  # by a rule, likewise
        self._left = np.zeros(n, np.int64)  # slices that a name is still blocked for, this one included

    def on_actions(self, actions: Actions, /) -> None:
        """A symbol is blocked for as long as what it was called before."""
        for i in np.flatnonzero(actions.kind == ActionKind.SYMBOL_CHANGE).tolist():
            old, new = int(actions.symbol[i]), int(actions.successor[i])
            for column in (self._held, self._leaving, self._left):
                column[new], column[old] = max(column[new], column[old]), 0

    def blocks(self, view: View, leaving: Mask, /) -> Mask:
        held = view.book.qty != 0
        closed = self._held & ~held & (self._any | self._leaving)
        self._left = np.where(closed, self._slices, np.maximum(self._left - 1, 0))
        self._held, self._leaving = held, leaving.copy()
        return self._left > 0

    def save(self) -> bytes:
        columns = {"held": self._held, "leaving": self._leaving, "left": self._left}
        return pack(_KIND, _VERSION, symbols=self._symbols, **columns)

    def load(self, state: bytes, /) -> None:
        fields = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._symbols
        self._held, self._leaving, self._left = (placed(fields[k], before, now, 0) for k in ("held", "leaving", "left"))
