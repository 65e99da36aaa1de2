"""Closes what has fallen too far from its best."""

import numpy as np

from components.strategies.guards import View, share_of
from components.strategies.rules.gains import below, gain, where
from engine.events import Vector


class TrailingStop:
    """Closes a position whose mark is `drop` or more off its best mark since entry, long or short.

        side (mark - best) / best <= -drop

    The best is the ledger's: of closes since the first fill of the position, that fill's price included, and it follows
    splits. With `after` the stop is set only once the best has been so far above the entry, a share of it.
    """

    kind = "trailing_stop"

    def __init__(self, *, drop: float, after: float = 0.0) -> None:
        self._drop = share_of("drop", drop, 1.0)
        if not 0 <= after < float("inf"):
            raise ValueError(f"after must be at least 0 and finite (a share of the entry), got {after}")
        self._after = after
        self.text = f"gain against the best since entry, stopped at -{drop:g}"

    def exits(self, view: View, /) -> Vector:
        book = view.book
        found = below(gain(view, book.best), -self._drop)
        if self._after:
            reached = np.sign(book.qty) * (book.best - book.entry) / book.entry
            found = where(reached >= self._after, found)
        return found
