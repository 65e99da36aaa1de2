"""Names in which enough money changes hands."""

from typing import Literal

import numpy as np

from components.strategies.guards import View, exit_of, slices_of
from engine.events import Bars, Mask
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "adv", 1


class Adv:
    """Passes names whose mean traded value over the last `window` slices is at least `minimum`, in base money.

        mean over slices of  close * volume * multiplier,  at today's rate of exchange

    A slice without a bar, or whose volume is not known, counts as nothing traded: a name that trades one day in five
    is not as liquid as its busy days. While there have been fewer slices than `window`, the mean is of those.
    Money traded needs no adjustment for splits. Memory: `window` rows of N float64.

    >>> from components.strategies.guards import view_of
    >>> from engine.universe import universe_of
    >>> two = universe_of(("A", "B"))
    >>> busy = Adv(minimum=100.0, window=2, universe=two)
    >>> slices = [bars(ts=k, close=[10.0, 10.0], volume=[20.0, 5.0 * k]) for k in (1, 2)]
    >>> for slice_ in slices:
    ...     busy.on_bars(slice_)
    >>> busy.passes(view_of(two, slices[-1], book(2, [10.0, 10.0])))
    array([ True, False])
    """

    kind = "adv"

    def __init__(
        self, *, minimum: float, universe: Universe, window: int = 20, exit: Literal["hold", "sell"] = "hold"
    ) -> None:
        if not 0 < minimum < np.inf:
            raise ValueError(f"minimum must be above 0 and finite (base money a slice), got {minimum}")
        self.exit = exit_of(exit)
        self.lookback = slices_of("window", window)
        self._minimum, self._universe = minimum, universe
        self._traded = np.zeros((window, len(universe)))  # a ring, in the currency of each symbol
        self._next, self._count = 0, 0

    def on_bars(self, bars: Bars, /) -> None:
        self._traded[self._next] = np.nan_to_num(bars.close * bars.volume, nan=0.0)
        self._next = (self._next + 1) % len(self._traded)
        self._count = min(self._count + 1, len(self._traded))

    def passes(self, view: View, /) -> Mask:
        universe = self._universe
        unit = universe.multiplier * view.book.rate[universe.currency]
        return np.asarray(self._traded.sum(axis=0) / max(self._count, 1) * unit >= self._minimum)

    def save(self) -> bytes:
        ring = np.roll(self._traded, -self._next, axis=0)
        return pack(_KIND, _VERSION, symbols=self._universe.symbols, traded=ring, count=self._count)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol; of more slices than are kept now the latest count."""
        fields = unpack(state, _KIND, _VERSION)
        rows = placed(fields["traded"], fields["symbols"], self._universe.symbols, 0.0)
        kept = rows[len(rows) - min(fields["count"], len(self._traded)) :]
        self._traded[:] = 0.0
        self._traded[: len(kept)] = kept
        self._next, self._count = len(kept) % len(self._traded), len(kept)
