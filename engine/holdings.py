"""What is held: cash, positions, average cost and P&L as columns, and the arithmetic of fills and corporate actions.

Columns are replaced, never changed in place, so that a Book may share them.
"""

from math import isfinite, nan
from typing import Any

import numpy as np

from engine.errors import DataError
from engine.events import Codes, Fills, Vector
from engine.open_orders import frozen
from engine.protocols import Bookkeeping
from engine.universe import Universe

COLUMNS = ("cash", "qty", "mark", "entry", "best", "opened", "realised", "fees", "income")
_MOVED = ("qty", "entry", "best", "opened", "realised", "fees")  # of them, by a fill
_NEAR_LOT = 1e-6  # lots, that sums of lots may be beside a whole number
_FEW = 48  # fills up to which a loop is faster than arrays


class Holdings:
    """Cash (C,) and columns (N,): signed shares, mark, average cost, best mark since entry, P&L, fees and income.

    Adding averages the price in, reducing realises against the average, crossing zero starts anew. Shorts have negative
    quantity and their average cost is the average price sold at.
    """

    def __init__(self, *, universe: Universe, cash: float, bookkeeping: Bookkeeping) -> None:
        n, c = len(universe), len(universe.currencies)
        self._universe, self._keeping = universe, bookkeeping
        self._parted = bool((universe.lot != 1.0).any())  # sums of whole shares are exact as they are
        self.cash = np.zeros(c)
        self.cash[0] = cash
        self.qty, self.mark = np.zeros(n), np.full(n, np.nan)
        self.entry, self.best = np.full(n, np.nan), np.full(n, np.nan)
        self.opened = np.zeros(n, np.int64)
        self.realised, self.fees, self.income = np.zeros(n), np.zeros(n), frozen(np.zeros(n))

    def fill(self, fills: Fills) -> None:
        count = len(fills.symbol)
        if count > _FEW and len(set(fills.symbol.tolist())) == count:
            self._many(fills)
        else:  # and where a symbol is filled twice, each fill sees the position the last one left
            self._few(fills)

    def earn(self, s: int, amount: float) -> None:
        """Counts a dividend as income; its cash comes on its own day."""
        self.income = frozen(added(self.income, np.array([s]), np.array([amount])))

    def _few(self, fills: Fills) -> None:
        """Average cost, fill by fill: a handful is done before a single array operation of each kind would be."""
        finite, multipliers, currencies = True, self._universe.multiplier, self._universe.currency
        lots = self._universe.lot if self._parted else None
        qty, entry, best, opened, realised, paid = [getattr(self, name).copy() for name in _MOVED]
        money = self.cash.tolist()
        columns = (fills.symbol, fills.qty, fills.price, np.add.reduce(fills.fees, 1), fills.at)
        for s, dq, price, fee, at in zip(*[column.tolist() for column in columns], strict=True):
            finite = finite and isfinite(dq) and isfinite(price) and price > 0
            before, multiplier = qty.item(s), multipliers.item(s)
            after = before + dq if lots is None else in_lots(before + dq, lots.item(s))
            side = before * dq
            if side < 0:
                cost = entry.item(s)
                closed = before if before * after < 0 else -dq
                realised[s] = realised.item(s) + closed * (price - cost) * multiplier
            if after == 0:
                entry[s] = best[s] = nan
                opened[s] = 0
            elif before == 0 or before * after < 0:
                entry[s], opened[s], mark = price, at, self.mark.item(s)
                best[s] = price if mark != mark or (mark - price) * after < 0 else mark
            elif side > 0:
                entry[s] = (before * entry.item(s) + dq * price) / after
            qty[s] = after
            paid[s] = paid.item(s) + fee
            money[currencies.item(s)] -= dq * price * multiplier + fee
        if not finite:
            raise _unsound(fills)
        self.cash = np.array(money)
        self.qty, self.entry, self.best, self.opened = qty, entry, best, opened
        self.realised, self.fees = realised, paid

    def _many(self, fills: Fills) -> None:
        """The same for many fills, each of another symbol, in arrays.

        Adding averages the price in, reducing realises against the average, crossing zero starts anew.
        """
        s, dq, price, fees = fills.symbol, fills.qty, fills.price, fills.fees.sum(axis=1)
        if not (np.isfinite(dq).all() and np.isfinite(price).all() and (price > 0).all()):
            raise _unsound(fills)
        before, entry, multiplier = self.qty[s], self.entry[s], self._universe.multiplier[s]
        after = before + dq
        if self._parted:
            after = all_in_lots(after, self._universe.lot[s])
        flat, reduces = after == 0, before * dq < 0
        begins = before == 0
        averaged = np.where(begins, price, entry)
        if reduces.any():
            crosses = before * after < 0
            closed = np.where(reduces, np.where(crosses, before, -dq), 0.0)
            self.realised = added(self.realised, s, closed * (price - averaged) * multiplier)
            begins |= crosses
            averaged = np.where(crosses, price, averaged)
        adds = ~(begins | reduces)
        if adds.any():
            averaged[adds] = ((before * entry + dq * price)[adds]) / after[adds]
        best = np.where(begins, self._best_from(after, price, self.mark[s]), self.best[s])
        self.fees = added(self.fees, s, fees)
        self.entry = _put(self.entry, s, np.where(flat, np.nan, averaged))
        self.best = _put(self.best, s, np.where(flat, np.nan, best))
        self.opened = _put(self.opened, s, np.where(flat, 0, np.where(begins, fills.at, self.opened[s])))
        self.qty = _put(self.qty, s, after)
        self.move_cash(s, -dq * price * multiplier - fees)

    @staticmethod
    def _best_from(qty: Vector, price: Vector, mark: Vector) -> Vector:
        """The better of price and mark for the side of this quantity."""
        return np.where(qty > 0, np.fmax(price, mark), np.fmin(price, mark))

    def move_cash(self, symbols: Codes, amount: Vector) -> None:
        cash = self.cash.copy()
        if len(cash) == 1:
            cash[0] += amount.sum()
        else:
            np.add.at(cash, self._universe.currency[symbols], amount)
        self.cash = cash

    def split(self, s: int, ratio: float) -> None:
        """A split: quantity times ratio, prices over ratio; what is no whole share is paid out at the adjusted mark."""
        self.scale(s, ratio)
        self._pay_fraction(s)

    def scale(self, s: int, ratio: float) -> None:
        """A split that leaves fractions of shares as they are."""
        row = np.array([s], np.int32)
        for name in ("mark", "entry", "best"):
            setattr(self, name, _put(getattr(self, name), row, getattr(self, name)[row] / ratio))
        self.qty = _put(self.qty, row, self.qty[row] * ratio)

    def _pay_fraction(self, s: int) -> None:
        fraction = self._fraction(float(self.qty[s]), s)
        if fraction:
            self._sell_off(np.array([s], np.int32), fraction, self._fraction_price(s))

    def _fraction(self, qty: float, s: int) -> float:
        return fraction_of(qty, float(self._universe.lot[s]))

    def _fraction_price(self, s: int) -> float:
        """What a fraction of a share is paid out at: the adjusted mark, or nothing where it is lost."""
        return float(self.mark[s]) if self._keeping.fractions else 0.0

    def _sell_off(self, row: Codes, qty: float, price: float) -> None:
        """Turns part of a position into cash at a price, without an order."""
        s = int(row[0])
        multiplier = float(self._universe.multiplier[s])
        self.realised = added(self.realised, row, np.array([qty * (price - self.entry[s]) * multiplier]))
        self.qty = added(self.qty, row, np.array([-qty]))
        self.move_cash(row, np.array([qty * price * multiplier]))
        if self.qty[s] == 0:
            for name in ("entry", "best"):
                setattr(self, name, _put(getattr(self, name), row, np.array([np.nan])))
            self.opened = _put(self.opened, row, np.array([0]))

    def close_at(self, s: int, price: float) -> None:
        row = np.array([s], np.int32)
        if self.qty[s]:
            if not (price >= 0 and np.isfinite(price)):
                symbol = self._universe.symbols[s]
                raise DataError(f"ledger: delisting of {symbol} states the price {price}; state one of zero or more")
            self._sell_off(row, float(self.qty[s]), price)

    def rename(self, old: int, new: int, ratio: float) -> None:
        """Moves position, cost and marks to the successor; what is held there on the other side is closed against it.

        What is no whole share is paid out at the adjusted mark, as after a split.
        """
        held = self.qty[old]
        self.move(old, new, ratio)
        if held:
            self._pay_fraction(new)

    def move(self, old: int, new: int, ratio: float) -> None:
        """A change of symbol that leaves fractions of shares as they are."""
        rows = np.array([old, new], np.int32)
        if np.isnan(self.mark[new]):
            self.mark = _put(self.mark, rows[1:], self.mark[old : old + 1] / ratio)
        if self.qty[old]:
            self._merge(rows, ratio)

    def _merge(self, rows: Codes, ratio: float) -> None:
        """Adds the position of the first row, rescaled, to that of the second."""
        old, new = int(rows[0]), int(rows[1])
        qty, held = float(self.qty[old]) * ratio, float(self.qty[new])
        cost, there = float(self.entry[old]) / ratio, float(self.entry[new])
        total, stays = qty + held, abs(held) > abs(qty)
        entry = there if stays else cost
        if qty * held > 0:
            entry = (qty * cost + held * there) / total
        elif held:
            closed = -held if not stays else qty
            profit = closed * (there - cost) * float(self._universe.multiplier[new])
            self.realised = added(self.realised, rows[1:], np.array([profit]))
        kept = new if stays else old
        best = float(self.best[kept]) / (1.0 if stays else ratio)
        opened = int(self.opened[kept])
        flat = total == 0
        self.entry = _put(self.entry, rows, np.array([nan, nan if flat else entry]))
        self.best = _put(self.best, rows, np.array([nan, nan if flat else best]))
        self.opened = _put(self.opened, rows, np.array([0, 0 if flat else opened]))
        self.qty = _put(self.qty, rows, np.array([0.0, total]))


def in_lots(qty: float, lot: float) -> float:
    """Shares as the number of lots that they are: lots of binary fractions do not add up to what they come to, and a
    position that is sold whole would leave dust. What is no whole number of lots stays as it is.

    >>> in_lots(0.1 + 0.2, 0.1) == 3 * 0.1, in_lots(0.3 - 0.1 - 0.2, 0.1), in_lots(33.25, 0.1)
    (True, 0.0, 33.25)
    """
    lots = qty / lot
    whole = round(lots) if isfinite(lots) else nan
    return whole * lot if abs(lots - whole) <= _NEAR_LOT else qty


def all_in_lots(qty: Vector, lot: Vector) -> Vector:
    """The same of arrays."""
    lots = qty / lot
    whole = np.rint(lots)
    return np.where(np.abs(lots - whole) <= _NEAR_LOT, whole * lot + 0.0, qty)


def fraction_of(qty: float, lot: float) -> float:
    """What of a quantity is no whole share, or no whole lot where a lot is smaller: an odd lot is kept.

    >>> fraction_of(155.5, 100.0), fraction_of(-2.5, 1.0), round(fraction_of(0.25, 0.1), 9)
    (0.5, -0.5, 0.05)
    """
    step = min(lot, 1.0)
    return qty - float(np.trunc(round(qty / step, 9)) * step)


def _unsound(fills: Fills) -> DataError:
    said = f"{fills.qty.tolist()} at {fills.price.tolist()}"
    return DataError(f"ledger: fills of {fills.ts}: {said}; quantity and price must be finite, the price positive")


def _put(array: Any, rows: Any, values: Any) -> Any:
    copy = array.copy()
    copy[rows] = values
    return copy


def added(array: Vector, rows: Any, values: Vector) -> Vector:
    """A copy with these values added at these rows."""
    copy = array.copy()
    copy[rows] += values
    return copy
