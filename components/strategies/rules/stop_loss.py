"""Closes what has lost too much against its entry."""

from components.strategies.guards import View, share_of
from components.strategies.rules.gains import below, gain
from engine.events import Vector


class StopLoss:
    """Closes a position whose mark is `loss` or more against its average entry, long or short.

        side (mark - entry) / entry <= -loss

    Judged on the close of the slice and traded as all orders are, so a gap costs what it costs: with `next_open` a fall
    of 30 % overnight through a stop of 8 % is sold after the next open. The entry is the ledger's: it averages
    purchases and follows splits. A name that does not trade keeps its last mark.
    """

    kind = "stop_loss"

    def __init__(self, *, loss: float) -> None:
        self._loss = share_of("loss", loss, 1.0)
        self.text = f"gain against the entry, stopped at -{loss:g}"

    def exits(self, view: View, /) -> Vector:
        return below(gain(view, view.book.entry), -self._loss)
