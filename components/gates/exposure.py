"""What the whole book may come to in the worst case: every working order of a side fills, and none of the other."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from engine.events import Book, Codes, Vector
from engine.universe import Universe


def unit_of(universe: Universe, book: Book, rows: Any) -> Vector:
    """Base money for one share."""
    unit: Vector = book.mark[rows] * universe.multiplier[rows]
    return unit if len(book.rate) == 1 else unit * book.rate[universe.currency[rows]]


def sides(book: Book, pending: Sequence[tuple[Any, Any, Any]]) -> tuple[Vector, Vector]:
    """(N,) position if all working purchases fill, and if all working sales do; the same array if none work.

    `pending` are ids, symbols and quantities of what was approved since the book.
    """
    waiting = [(book.open_orders.symbol, book.open_orders.left)] if book.open_orders.ids.size else []
    waiting += [(symbol, qty) for _, symbol, qty in pending]
    if not waiting:
        return book.qty, book.qty
    high, low = book.qty, book.qty
    for symbol, left in waiting:  # sums by symbol: orders that rest may be many
        high = high + np.bincount(symbol, weights=np.maximum(left, 0.0), minlength=len(high))
        low = low + np.bincount(symbol, weights=np.minimum(left, 0.0), minlength=len(low))
    return high, low


def in_turn(positions: tuple[Vector, Vector], symbols: Any, qty: Vector) -> Vector:
    """(L,) the position before each order, with all working orders of its own side and those of the batch before it.

    `positions` are those of `sides`.

    >>> in_turn((np.array([10.0]), np.array([4.0])), np.array([0, 0, 0]), np.array([5.0, -1.0, 5.0]))
    array([10.,  4., 15.])
    """
    high, low = (side.tolist() for side in positions)
    before = []
    for symbol, shares in zip(symbols.tolist(), qty.tolist(), strict=True):
        side = high if shares > 0 else low
        before.append(side[symbol])
        side[symbol] += shares
    return np.array(before)


class Sums(msgspec.Struct, eq=False, gc=False):
    """Base money of the whole book, and of each of S sectors: numbers of one group, or (S,) of them.

    `high` and `low` are the net value if all working purchases fill, and if all working sales do.
    """

    gross: Any
    high: Any
    low: Any


class Whole(msgspec.Struct, eq=False, gc=False):
    """Sums before a batch, and what its orders, one after the other, make of them.

    Orders of one batch trade together, so that one that was approved makes room for those behind it; what was working
    before does not.
    """

    all: Sums
    asked: bool = False  # whether a limit asks for sectors
    sector: Codes | None = None  # (N,), None = not known or not asked for
    each: Sums | None = None

    def after(self, symbols: Any, qty: Vector, before: Vector, unit: Vector) -> dict[str, Vector]:
        """The columns of a Check: the book after each order and those before it in the batch."""
        grows, money = (np.abs(before + qty) - np.abs(before)) * unit, qty * unit
        side = np.where(qty > 0, self.all.high, self.all.low)
        found = {"gross": self.all.gross + grows.cumsum(), "net": side + money.cumsum()}
        if not self.asked:
            return found
        if self.sector is None or self.each is None:
            return found | {"sector_gross": np.full(len(qty), np.nan), "sector_net": np.full(len(qty), np.nan)}
        code, each = self.sector[symbols], self.each
        side = np.where(qty > 0, each.high[code], each.low[code])
        found["sector_gross"] = each.gross[code] + _running(code, grows)
        found["sector_net"] = side + _running(code, money)
        return found

    def take(self, symbol: int, qty: float, before: float, unit: float) -> None:
        """Counts an order that was approved."""
        grows, money = (abs(before + qty) - abs(before)) * unit, qty * unit
        every = self.all
        every.gross, every.high, every.low = every.gross + grows, every.high + money, every.low + money
        if self.sector is not None and self.each is not None:
            code, each = int(self.sector[symbol]), self.each
            each.gross[code] += grows
            each.high[code] += money
            each.low[code] += money


def whole_of(
    universe: Universe, book: Book, positions: tuple[Vector, Vector], sector: Codes | None, *, sectors: bool
) -> Whole:
    """The sums of the book as it is, working orders at their worst; `positions` are those of `sides`.

    `sectors` says whether they are asked for, `sector` (N,) what is known of them.
    """
    high, low = positions
    same = high is low
    rows = high.nonzero()[0] if same else np.flatnonzero((high != 0) | (low != 0))
    unit = unit_of(universe, book, rows)
    upper = high[rows] * unit
    lower = upper if same else low[rows] * unit
    worst = np.abs(upper) if same else np.maximum(np.abs(upper), np.abs(lower))
    add = np.add.reduce
    net = float(add(upper))
    every = Sums(float(add(worst)), net, net if same else float(add(lower)))
    if sector is None:
        return Whole(every, sectors)
    code, count = sector[rows], int(sector.max()) + 1
    each = [np.bincount(code, weights=money, minlength=count) for money in (worst, upper, lower)]
    return Whole(every, sectors, sector, Sums(*each))


def _running(code: Codes, amount: Vector) -> Vector:
    """(L,) sums of what came so far in the same group.

    >>> _running(np.array([0, 1, 0]), np.array([1.0, 5.0, 2.0]))
    array([1., 5., 3.])
    """
    sums: dict[int, float] = {}
    out = []
    for group, value in zip(code.tolist(), amount.tolist(), strict=True):
        sums[group] = sums.get(group, 0.0) + value
        out.append(sums[group])
    return np.array(out)


def sector_codes(value: Vector) -> Codes:
    """(N,) sectors from a column of them; names without one are a sector of their own.

    >>> sector_codes(np.array([1.0, np.nan, 0.0]))
    array([1, 2, 0])
    """
    known = np.isfinite(value)
    count = int(value[known].max()) + 1 if known.any() else 0
    codes: Codes = np.where(known, value, count).astype(np.intp)
    return codes
