"""Orders that sleep because the market is far from their price, found again by price, id, symbol or date."""

import heapq
from bisect import bisect_right
from collections.abc import Iterable
from math import fsum
from typing import Any

import msgspec
import numpy as np

from components.brokers.kinds import WAITS
from components.brokers.resting import FOREVER, Resting, in_order, joined, no_orders, taken, terms_of
from engine.events import Bars, Mask, Vector

_SLACK = 1024  # rows of orders that have woken, kept beside as many as there are sleepers


class _Batch(msgspec.Struct, eq=False, kw_only=True):
    """Orders that fell asleep together, and which of them still sleep."""

    orders: Resting
    first: int  # handle of its first row
    asleep: Mask


class Sleepers:
    """A price book of resting orders: what it costs to wake some, or to put some to sleep, depends on how many.

    Each sleeper has a handle, its count since the start. Of each symbol a heap holds the prices at which an order wakes
    when the market falls to it, another those at which one wakes when it rises; `falls` and `rises` (N,) are their
    nearest, so that a slice that wakes nobody is two comparisons of arrays, however many orders there are. What woke
    for another reason is passed over when it comes up.

    Memory: the sleepers, and of those that have woken at most as many rows again and a few.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._clear()

    def _clear(self) -> None:
        self._count = 0
        self._batches: list[_Batch] = []
        self._all: Resting | None = no_orders()  # None = not asked for since they changed
        self._live: dict[int, tuple[int, int]] = {}  # handle -> order id, symbol
        self._handles: dict[int, int] = {}  # order id -> handle
        self._of: dict[int, dict[int, float]] = {}  # symbol -> handle -> shares that it sells without a trigger
        self._falling: dict[int, list[tuple[float, int]]] = {}  # symbol -> heap of (price, handle), prices negative
        self._rising: dict[int, list[tuple[float, int]]] = {}
        self._dates: list[tuple[int, int]] = []  # heap of (last instant, handle)
        self._falls, self._rises = np.full(self._n, -np.inf), np.full(self._n, np.inf)
        self._sales = np.zeros(self._n)
        self._unsummed: dict[int, None] = {}  # symbols of which that is out of date

    def __len__(self) -> int:
        return len(self._live)

    # ---- to sleep ----------------------------------------------------------------------------------------------------

    def add(self, orders: Resting) -> None:
        """Puts these orders to sleep; each has a price."""
        first, count = self._count, len(orders.ids)
        self._batches.append(_Batch(orders=orders, first=first, asleep=np.ones(count, bool)))
        self._count += count
        terms, buys = terms_of(orders), orders.left > 0
        waits = WAITS[terms.kind] & ~terms.triggered
        level = np.where(waits, terms.stop, terms.limit)
        rising = buys == waits  # a limit purchase and a stop sale wait for the market to fall
        sold = np.where(waits, 0.0, np.maximum(-orders.left, 0.0))
        columns = (orders.ids, orders.symbol, orders.until, level, rising, sold)
        for handle, row in enumerate(zip(*(column.tolist() for column in columns), strict=True), first):
            order, s, until, price, up, shares = row
            self._live[handle], self._handles[order] = (order, s), handle
            self._of.setdefault(s, {})[handle] = shares
            heap = (self._rising if up else self._falling).setdefault(s, [])
            heapq.heappush(heap, (price if up else -price, handle))
            if until < FOREVER:
                heapq.heappush(self._dates, (until, handle))
        self._changed(orders.symbol.tolist())

    # ---- awake -------------------------------------------------------------------------------------------------------

    def met(self, bars: Bars) -> Resting:
        """Takes out every order whose price this bar may have met, and those whose date has passed."""
        if not self._live:
            return no_orders()
        found: list[int] = []
        low = np.fmin(np.fmin(bars.low, bars.open), np.fmin(bars.close, bars.vwap))
        high = np.fmax(np.fmax(bars.high, bars.open), np.fmax(bars.close, bars.vwap))
        for heaps, price, met in (
            (self._falling, -low, low <= self._falls),
            (self._rising, high, high >= self._rises),
        ):
            if np.count_nonzero(met):
                for s in met.nonzero()[0].tolist():
                    found += _popped(heaps[s], price.item(s))
        found += _popped(self._dates, bars.ts - 1)
        return self._out(found)

    def of_ids(self, ids: Iterable[int]) -> Resting:
        """Takes out the orders of these ids."""
        return self._out([self._handles[order] for order in ids if order in self._handles])

    def of_symbol(self, symbol: int) -> Resting:
        """Takes out the orders of a symbol."""
        return self._out(list(self._of.get(symbol, ())))

    def _out(self, handles: list[int]) -> Resting:
        """Takes these out, as far as they are still asleep."""
        handles = sorted({handle for handle in handles if handle in self._live})
        if not handles:
            return no_orders()
        rows: dict[int, list[int]] = {}  # batch -> its rows
        symbols: list[int] = []
        for handle in handles:
            order, s = self._live.pop(handle)
            del self._handles[order], self._of[s][handle]
            symbols.append(s)
            place = bisect_right(self._batches, handle, key=_first) - 1
            rows.setdefault(place, []).append(handle - self._batches[place].first)
        parts = []
        for place, some in rows.items():
            batch = self._batches[place]
            batch.asleep[some] = False
            parts.append(taken(batch.orders, np.array(some)))
        self._changed(symbols)
        self._forget()
        return joined(*parts)

    def _changed(self, symbols: list[int]) -> None:
        """Finds the nearest prices of these symbols; what is sold of them is summed when somebody asks."""
        self._all = None
        self._unsummed.update(dict.fromkeys(symbols))
        for s in dict.fromkeys(symbols):
            self._falls[s] = -self._nearest(self._falling.get(s))
            self._rises[s] = self._nearest(self._rising.get(s))

    def _nearest(self, heap: list[tuple[float, int]] | None) -> float:
        while heap and heap[0][1] not in self._live:
            heapq.heappop(heap)
        return heap[0][0] if heap else np.inf

    def _forget(self) -> None:
        """Lets go of the rows of orders that have woken, once they are the most."""
        if self._count > 2 * len(self._live) + _SLACK:
            rest = self.all()
            self._clear()
            if rest.ids.size:
                self.add(rest)

    # ---- what there is -----------------------------------------------------------------------------------------------

    def all(self) -> Resting:
        """Every order that sleeps, in the order of acceptance."""
        if self._all is None:
            parts = [taken(batch.orders, batch.asleep) for batch in self._batches if batch.asleep.any()]
            self._all = in_order(joined(*parts))
        return self._all

    def among(self, ids: list[int]) -> set[int]:
        """Which of these ids are those of sleepers."""
        return {order for order in ids if order in self._handles} if self._handles else set()

    def sales(self) -> Vector | None:
        """(N,) shares, negative, that they sell without a trigger. None = none."""
        if not self._live:
            return None
        if self._unsummed:
            self._sales = self._sales.copy()
            for s in self._unsummed:
                self._sales[s] = -fsum(self._of[s].values())
            self._unsummed.clear()
        return self._sales if np.count_nonzero(self._sales) else None


def _first(batch: _Batch) -> int:
    return batch.first


def _popped(heap: list[Any], until: float) -> list[int]:
    """Takes the handles up to this price or instant off a heap."""
    handles = []
    while heap and heap[0][0] <= until:
        handles.append(heapq.heappop(heap)[1])
    return handles
