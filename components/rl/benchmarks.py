"""The prices that an execution is measured by: they look at the whole window of an order, so no policy sees them."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.brokers.beside import Beside
from components.brokers.fill_rules import Point, offered
from components.rl.days import Days
from components.rl.tape import Tape
from engine.events import Vector

Places = NDArray[np.intp]
_CELLS = 2_000_000  # of orders times bars that are looked at at a time


class Benchmarks(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Prices of E orders, NaN where there is none."""

    twap: Vector  # mean market price of the bars in which the order could have traded
    vwap: Vector  # the same weighted with their volume
    arrival: Vector  # the latest close when the order was decided, of a day before where the day had none yet


def benchmarks_of(days: Days, market: Beside, tape: Tape, row: Places, start: Places, end: Places) -> Benchmarks:
    """Of orders of these rows of the days, over the bars from `start + 1` to `end`.

    The market price of a bar is the one at which the timing trades, as the broker offers it: a missing or halted bar,
    and one without volume, counts in neither mean.
    """
    count = len(row)
    twap, vwap = np.full(count, np.nan), np.full(count, np.nan)
    width = int((end - start).max(initial=1))
    point = Point(price=np.ravel(getattr(days, market.column)), volume=np.ravel(days.volume), at=0, by=0)
    status, each = np.ravel(days.status), max(_CELLS // width, 1)
    for first in range(0, count, each):
        part = slice(first, first + each)
        tick = start[part, None] + 1 + np.arange(width)
        inside = tick <= end[part, None]
        at = (row[part, None] * days.bars + np.minimum(tick, days.bars - 1)).ravel()
        price = offered(point, status, at).reshape(inside.shape)
        some = inside & (price > 0)
        price = np.where(some, price, 0.0)
        volume = np.where(some, np.nan_to_num(point.volume[at]).reshape(inside.shape), 0.0)
        bars, traded = some.sum(axis=1), volume.sum(axis=1)
        np.divide(price.sum(axis=1), bars, out=twap[part], where=bars > 0)
        np.divide((price * volume).sum(axis=1), traded, out=vwap[part], where=traded > 0)
    today = tape.last[row, start]
    arrival = np.where(np.isnan(today), _before(days, tape)[row], today)
    return Benchmarks(twap=twap, vwap=vwap, arrival=arrival)


def _before(days: Days, tape: Tape) -> Vector:
    """(D * N,) the latest close of the days before each, in its shares; NaN where there was none."""
    closes = tape.last[:, -1].reshape(len(days), -1)
    out = np.full(closes.shape, np.nan)
    for day in range(1, len(days)):
        latest = np.where(np.isnan(closes[day - 1]), out[day - 1], closes[day - 1])
        out[day] = latest / days.ratio[day]
    return out.ravel()
