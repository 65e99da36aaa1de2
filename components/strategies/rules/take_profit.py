"""Closes what has gained enough."""

from components.strategies.guards import View, share_of
from components.strategies.rules.gains import above, gain
from engine.events import Vector


class TakeProfit:
    """Closes a position whose mark is `gain` or more in favour of it against its average entry, long or short.

        side (mark - entry) / entry >= gain

    A short gains at most 1, its whole price.
    """

    kind = "take_profit"

    def __init__(self, *, gain: float) -> None:
        self._gain = share_of("gain", gain)
        self.text = f"gain against the entry, taken at {gain:g}"

    def exits(self, view: View, /) -> Vector:
        return above(gain(view, view.book.entry), self._gain)
