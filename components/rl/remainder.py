"""What orders left undone, priced: the one place, for rewards and for figures alike."""

import numpy as np
from numpy.typing import NDArray

from components.brokers.beside import Beside, Met
from components.rl.days import Days
from components.rl.episodes import Orders
from components.rl.tape import Tape
from engine.events import Status, Vector

Places = NDArray[np.intp]
_CELLS = 2_000_000  # of orders times bars that are looked at at a time


class Remainder:
    """The market in which the rest of an order trades when its last bar is over.

    It trades at the latest close of that bar, with the costs of an order of that size in a bar of the mean volume of
    the order's window (its bars with volume), whatever `participation` says. Quotes are those that a trade in the bar
    of that close meets; where these are of the bar's open they are as far from the close as they were from the open:

        bid = close bid_open / open,    ask = close ask_open / open
    """

    def __init__(self, *, days: Days, orders: Orders, market: Beside, tape: Tape, end: Places) -> None:
        """`end` (E,) is the last bar of each order. `price` (E,) is that close, `quotes` are bid and ask there."""
        row = orders.day * len(days.universe) + orders.symbol
        self._symbol, self._multiplier = orders.symbol, days.universe.multiplier
        came = np.minimum(end, days.length[orders.day] - 1)  # behind the last bar of a day there is no instant
        self._ts, self.price = days.ts[orders.day, came], tape.last[row, end]
        self._volume = _mean_volume(days, row, orders.start, end)
        self.quotes = _latest_quotes(days, market, tape, row, end)
        self._market = market.unlimited()

    def priced(self, e: Places, side: NDArray[np.int32], shares: Vector) -> tuple[Vector, Vector]:
        """(L,) prices of that many shares of orders `e`, slippage included, NaN where there never was one; and fees of
        a share in terms of the price. Shares of 0 have no price."""
        bid, ask = (None, None) if self.quotes is None else (quote[e] for quote in self.quotes)
        met = Met(
            ts=self._ts[e],
            price=self.price[e],
            volume=self._volume[e],
            status=np.full(len(e), Status.FRESH, np.int32),
            bid=bid,
            ask=ask,
        )
        traded = self._market.trade(met, self._symbol[e], side * shares)
        each = shares * self._multiplier[self._symbol[e]]
        fees = np.divide(traded.fees.sum(axis=1), each, out=np.zeros(len(e)), where=each > 0)
        return traded.price, fees


def _mean_volume(days: Days, row: Places, start: Places, end: Places) -> Vector:
    """(E,) mean volume of the bars from `start + 1` to `end` that have some; NaN where none has."""
    out, tick = np.full(len(row), np.nan), np.arange(days.bars)
    each = max(_CELLS // days.bars, 1)
    for first in range(0, len(row), each):
        part = slice(first, first + each)
        window = (tick > start[part, None]) & (tick <= end[part, None])
        volume = np.where(window, np.nan_to_num(days.volume[row[part]]), 0.0)
        bars = (volume > 0).sum(axis=1)
        np.divide(volume.sum(axis=1), bars, out=out[part], where=bars > 0)
    return out


def _latest_quotes(days: Days, market: Beside, tape: Tape, row: Places, end: Places) -> tuple[Vector, Vector] | None:
    """(E,) bid and ask of the latest close up to the bar `end`, NaN where there are none; None = no quotes at all."""
    if market.quotes is None:
        return None
    at, tick = np.zeros(len(row), np.intp), np.arange(days.bars)
    each = max(_CELLS // days.bars, 1)
    for first in range(0, len(row), each):
        part = slice(first, first + each)
        seen = tape.known[row[part]] & (tick <= end[part, None])
        at[part] = days.bars - 1 - seen[:, ::-1].argmax(axis=1)
    known = tape.known[row, at]
    moved = np.where(known, 1.0, np.nan)
    if market.column == "open":
        moved = moved * days.close[row, at] / days.open[row, at]
    bid, ask = (days.extra[place][row, at] * moved for place in market.quotes)
    return bid, ask
