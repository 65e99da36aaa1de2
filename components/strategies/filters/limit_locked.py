"""Names that have not run into the exchange's daily price limit."""

from typing import Literal

import numpy as np

from components.features.adjusting import price_factor
from components.strategies.guards import View, exit_of, share_of
from engine.events import Actions, Bars, Mask
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "limit_locked", 1
_SLACK = 1e-9  # of a return


class LimitLocked:
    """Passes for purchases what did not close `limit` or more above its last close, for short sales not so far below.

    A name at its upper limit has buyers queueing: it cannot be bought, and can be sold short. The last close is that of
    the slice before in which the name had a bar, less what splits and dividends since take off, so the limit is one of
    daily slices. A first bar passes. At a limit of 10 % prices round to a tick below it: say 0.095. Names whose limits
    differ take one filter each with the others left to it, or the widest.

    >>> from components.strategies.guards import view_of
    >>> from engine.universe import universe_of
    >>> two = universe_of(("A", "B"))
    >>> locked = LimitLocked(limit=0.095, universe=two)
    >>> slices = [bars(ts=1, close=[10.0, 10.0]), bars(ts=2, close=[10.98, 9.02])]
    >>> for slice_ in slices:
    ...     locked.on_bars(slice_)
    >>> locked.passes(view_of(two, slices[-1], book(2, [10.98, 9.02])))
    array([[False,  True],
           [ True, False]])
    """

    kind = "limit_locked"

    def __init__(self, *, universe: Universe, limit: float = 0.095, exit: Literal["hold", "sell"] = "hold") -> None:
        self.exit, self._limit, self._symbols = exit_of(exit), share_of("limit", limit), universe.symbols
        self.lookback = 20  # a name may have had no bar for a while
        self._close = np.full(len(universe), np.nan)  # the last one, in today's shares
        self._moved = np.full(len(universe), np.nan)

    def on_bars(self, bars: Bars, /) -> None:
        self._moved = bars.close / self._close - 1.0
        self._close = np.where(bars.status == 0, bars.close, self._close)

    def on_actions(self, actions: Actions, /) -> None:
        self._close = self._close * price_factor(actions, self._close)

    def passes(self, view: View, /) -> Mask:
        least = self._limit - _SLACK
        return np.stack([~(self._moved >= least), ~(self._moved <= -least)])

    def save(self) -> bytes:
        return pack(_KIND, _VERSION, symbols=self._symbols, close=self._close, moved=self._moved)

    def load(self, state: bytes, /) -> None:
        fields = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._symbols
        self._close, self._moved = (placed(fields[key], before, now, np.nan) for key in ("close", "moved"))
