"""The gate's own orders: cancels of what could add risk, and market orders that close positions."""

from typing import Any

import numpy as np

from components.gates.form import LEGS
from engine.events import Approved, Codes, Ids, LegAction, Mask, Vector
from engine.ids import OrderIds

NO_IDS, NO_SYMBOLS = np.empty(0, np.uint64), np.empty(0, np.int32)


def adding(symbol: Codes, left: Vector, position: Vector) -> Mask:
    """(M,) which of these orders, in their order, would add to a position (N,) if all of them filled.

    Untriggered stops count: of two orders that each close the same position, the second would open one. NaN adds.

    >>> adding(np.array([0, 0, 0, 1]), np.array([-60.0, -40.0, -1.0, 5.0]), np.array([100.0, 0.0]))
    array([False, False,  True,  True])
    """
    room: dict[int, float] = {}  # of the position, what no order before has closed
    out = np.zeros(len(left), bool)
    for i, (s, size) in enumerate(zip(symbol.tolist(), left.tolist(), strict=True)):
        free = room.get(s, float(position[s]))
        if size * free < 0 and abs(size) <= abs(free):
            room[s] = free + size
        else:
            out[i] = True
    return out


class Desk:
    """Makes the gate's own legs: ids go on within a slice, so that none stands twice."""

    def __init__(self, ids: OrderIds) -> None:
        self._ids = ids
        self._sent = (0, 0)  # slice, own legs sent in it

    def legs(self, ts: int, ref: Ids, cancelled: Codes, position: Vector) -> Approved | None:
        """Cancels of the orders `ref` (of the symbols `cancelled`), then market orders that close `position` (N,).

        Sales come first. None where there is nothing to do.
        """
        rows = np.flatnonzero(position)
        rows = rows[np.argsort(-position[rows] > 0, kind="stable")]
        gone, new = len(ref), len(rows)
        if not gone + new:
            return None
        first = self._sent[1] if self._sent[0] == ts else 0
        self._sent = (ts, first + gone + new)
        none, zero = np.full(gone + new, np.nan), np.zeros(gone + new, np.int32)
        legs = Approved(
            ts=ts,
            action=np.repeat(np.array([LegAction.CANCEL, LegAction.NEW], np.int32), [gone, new]),
            ids=self._ids(ts=ts, count=gone + new, first=first),
            ref=np.concatenate([ref, np.zeros(new, np.uint64)]),
            symbol=np.concatenate([cancelled, rows]).astype(np.int32),
            qty=np.concatenate([np.zeros(gone), -position[rows]]),
            kind=zero,  # OrderKind.MARKET
            limit=none,
            stop=none,
            trail=none,
            tif=zero,  # TimeInForce.DAY
            expires=np.zeros(gone + new, np.int64),
        )
        for name in LEGS:
            getattr(legs, name).setflags(write=False)
        return legs

    def save(self) -> tuple[int, int]:
        return self._sent

    def load(self, saved: Any) -> None:
        self._sent = (saved[0], saved[1])
