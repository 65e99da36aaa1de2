"""Names that have been listed for a while."""

from typing import Literal

import numpy as np

from components.strategies.guards import View, exit_of, slices_of
from engine.events import ActionKind, Actions, Bars, Mask
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "age", 1


class Age:
    """Passes names whose first bar is at least `slices` slices old. The slice of the first bar is 0 slices old.

    Slices count from the first bar, also those in which the name then had none; a symbol takes on the age of what it
    was called before. What was listed before the history began counts from where that begins, which is why as many
    slices of it are read before the session. Memory: N counts.

    >>> from components.strategies.guards import view_of
    >>> from engine.universe import universe_of
    >>> seasoned = Age(slices=1, universe=universe_of(("A", "B")))
    >>> slices = [bars(ts=1, close=[1.0, np.nan]), bars(ts=2, close=[1.0, 1.0])]
    >>> for slice_ in slices:
    ...     seasoned.on_bars(slice_)
    >>> seasoned.passes(view_of(universe_of(("A", "B")), slices[-1], book(2, [1.0, 1.0])))
    array([ True, False])
    """

    kind = "age"

    def __init__(self, *, slices: int, universe: Universe, exit: Literal["hold", "sell"] = "hold") -> None:
        self._slices, self._symbols = slices_of("slices", slices), universe.symbols
        self.exit, self.lookback = exit_of(exit), slices + 1  # one with age 0
        self._age = np.full(len(universe), -1)  # -1 = no bar yet

    def on_bars(self, bars: Bars, /) -> None:
        # What is older than asked for needs no count, so that the state is a function of a bounded history.
        self._age = np.where((self._age >= 0) | (bars.status == 0), np.minimum(self._age + 1, self._slices), -1)

    def on_actions(self, actions: Actions, /) -> None:
        for i in np.flatnonzero(actions.kind == ActionKind.SYMBOL_CHANGE).tolist():
            new = int(actions.successor[i])
            self._age[new] = max(self._age[new], self._age[int(actions.symbol[i])])

    def passes(self, view: View, /) -> Mask:
        return np.asarray(self._age >= self._slices)

    def save(self) -> bytes:
        return pack(_KIND, _VERSION, symbols=self._symbols, age=self._age)

    def load(self, state: bytes, /) -> None:
        fields = unpack(state, _KIND, _VERSION)
        self._age = np.minimum(placed(fields["age"], fields["symbols"], self._symbols, -1), self._slices)
