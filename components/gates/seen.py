"""What the gate keeps of bars: volumes of the last slices, and when each symbol last had a fresh bar."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.calendar import Sessions
from engine.events import MINUTE_NS, SECOND_NS, ActionKind, Actions, Bars, Children, Legs, Vector
from engine.state import check_appended, placed


class Seen:
    """Volumes of the last `slices` slices, and the ts of each symbol's latest fresh bar.

    A slice in which a symbol had no fresh bar counts for nothing, one in which nothing traded as zero. A split changes
    the shares that were traded before it, and a successor takes the volumes of what it was called before.
    Memory: `slices` rows of N float64.

    >>> seen = Seen(n=2, slices=2)
    >>> for k, volume in enumerate(([10.0, 30.0], [20.0, np.nan], [40.0, np.nan])):
    ...     seen.on_bars(bars(ts=k + 1, close=[1.0, np.nan if k else 1.0], volume=volume))
    >>> orders = legs(ts=2 * SECOND_NS, symbol=[0, 1], qty=[1.0, 1.0])
    >>> seen.mean(np.array([0, 1])), seen.age(orders, np.array([0, 1])).round(3)
    (array([30., nan]), array([2., 2.]))
    """

    def __init__(self, *, n: int, slices: int, sessions: Sessions | None = None) -> None:
        self._sessions = sessions
        self._volume = np.full((slices, n), np.nan)
        self._next = 0
        self._fresh = np.zeros(n, np.int64)

    def on_bars(self, bars: Bars, /) -> None:
        row = self._volume[self._next]
        row[:] = bars.volume
        if np.count_nonzero(bars.status):
            fresh = bars.status == 0
            row[~fresh] = np.nan
            self._fresh[fresh] = bars.ts
        else:
            self._fresh[:] = bars.ts
        self._next = (self._next + 1) % len(self._volume)

    def on_actions(self, actions: Actions, /) -> None:
        for i in range(len(actions.kind)):
            kind, s, ratio = int(actions.kind[i]), int(actions.symbol[i]), float(actions.ratio[i])
            if kind == ActionKind.SPLIT:
                self._volume[:, s] *= ratio
            elif kind == ActionKind.SYMBOL_CHANGE:
                old, new = self._volume[:, s] * ratio, self._volume[:, int(actions.successor[i])]
                new[np.isnan(new)] = old[np.isnan(new)]

    def mean(self, symbols: Any) -> Vector:
        """(L,) shares that a bar traded, NaN = not known."""
        part = self._volume[:, symbols]
        known = np.isfinite(part)
        with np.errstate(invalid="ignore"):
            mean: Vector = np.where(known, part, 0.0).sum(axis=0) / known.sum(axis=0)
        return mean

    def age(self, orders: Legs, symbols: Any) -> Vector:
        """(L,) seconds since the latest fresh bar, NaN = there was none.

        A child that waited for trading to begin is as old as its bar was when trading had stopped.
        """
        ts, fresh = orders.ts, self._fresh[symbols]
        if isinstance(orders, Children) and self._sessions is not None:
            ts = self._sessions.stopped_before(ts)
        return np.where(fresh != 0, np.maximum(ts - fresh, 0) / SECOND_NS, np.nan)

    def save(self) -> dict[str, Any]:
        return {"volume": np.roll(self._volume, -self._next, axis=0), "fresh": self._fresh}

    def load(self, saved: dict[str, Any], before: Sequence[str], now: Sequence[str]) -> None:
        """Restores by symbol; of more slices than are kept now the latest count."""
        check_appended(before, now)
        kept = placed(saved["volume"], before, now, np.nan)[-len(self._volume) :]
        self._volume[:], self._next = np.nan, len(kept) % len(self._volume)
        self._volume[: len(kept)] = kept
        self._fresh = placed(saved["fresh"], before, now, 0)


class LastMinute:
    """How many orders were sent in the minute that ends at an instant, which itself counts: (ts - 60 s, ts].

    Memory: one pair of numbers for each instant of a minute at which orders were sent.
    """

    def __init__(self) -> None:
        self._sent: deque[tuple[int, int]] = deque()  # ts, orders
        self._count = 0

    def add(self, ts: int, count: int) -> None:
        self._sent.append((ts, count))
        self._count += count

    def at(self, ts: int) -> int:
        while self._sent and self._sent[0][0] <= ts - MINUTE_NS:
            self._count -= self._sent.popleft()[1]
        return self._count

    def save(self) -> list[tuple[int, int]]:
        return list(self._sent)

    def load(self, saved: Sequence[tuple[int, int]]) -> None:
        self._sent = deque((ts, count) for ts, count in saved)
        self._count = sum(count for _, count in self._sent)
