"""The ledger: a pure fold of fills, bars, corporate actions and approved orders into books.

It never asks anybody for anything, and its arrays are replaced, never changed in place, so that a Book may share them.
"""

from math import isfinite, nan
from typing import Any

import numpy as np

from engine.errors import DataError
from engine.events import (
    ActionKind,
    Actions,
    Approved,
    Bars,
    Book,
    Codes,
    Control,
    ControlAction,
    Fills,
    Mode,
    Reference,
    Refusals,
    Reports,
    Vector,
)
from engine.open_orders import OpenLegs
from engine.state import check_appended, pack, unpack
from engine.universe import Universe

_MODES = {
    ControlAction.HALT: Mode.HALTED,
    ControlAction.FLATTEN: Mode.HALTED,
    ControlAction.REDUCE_ONLY: Mode.REDUCE_ONLY,
    ControlAction.RESUME: Mode.ACTIVE,
}
_VERSION = 1
_FEW = 48  # fills up to which a loop is faster than arrays


class Ledger:
    """Cash, signed positions, average cost, P&L, fees, income, equity and working orders.

        equity = sum_c rate_c (cash_c + receivable_c) + sum_i rate_i multiplier_i qty_i mark_i
               = cash at start + sum_i rate_i (realised_i + unrealised_i - fees_i + income_i)     (constant rates)

    A mark is the last valid close; a name that is missing or halted keeps it. Shorts have negative quantity and their
    average cost is the average price sold at. A dividend becomes a receivable at its ex-date and cash at its pay date.
    Memory: arrays of N and the open orders, however long the session runs.
    """

    def __init__(self, *, universe: Universe, cash: float) -> None:
        n, c = len(universe), len(universe.currencies)
        self._universe = universe
        self._cash = np.zeros(c)
        self._cash[0] = cash
        self._rate = np.ones(c)
        self._qty, self._mark = np.zeros(n), np.full(n, np.nan)
        self._entry, self._best = np.full(n, np.nan), np.full(n, np.nan)
        self._opened = np.zeros(n, np.int64)
        self._realised, self._fees, self._income = np.zeros(n), np.zeros(n), np.zeros(n)
        self._receivable = np.zeros(c)
        self._due: list[tuple[int, int, float]] = []  # (pay date, currency, amount), in order of pay date
        self._orders = OpenLegs(n)
        self._mode = Mode.ACTIVE
        self._ts = 0
        self._ones = np.ones(n)
        self._derive()

    def _derive(self) -> None:
        """What follows from positions and rates, worked out only when those change."""
        universe, qty = self._universe, self._qty
        self._held = held = qty.nonzero()[0]
        self._money = float((self._cash + self._receivable).dot(self._rate))
        self._exposure = qty[held] * universe.multiplier[held]
        if len(self._rate) > 1:  # the base currency's own rate is 1
            self._exposure *= self._rate[universe.currency[held]]
        self._shorts = 1 in (self._exposure < 0.0).tobytes()
        if self._shorts:
            self._side = np.where(qty > 0, 1.0, np.where(qty < 0, -1.0, np.nan))

    def on_bars(self, bars: Bars, /) -> None:
        mark = close = bars.close
        if np.count_nonzero(bars.status):
            fresh = bars.status == 0
            mark = np.where(fresh, close, self._mark)
            close = np.where(fresh, close, 0.0)
        if len(mark) != len(self._qty) or not isfinite(self._ones.dot(close)):
            raise DataError(
                f"ledger: a FRESH bar of slice {bars.ts} has no finite close; the feed must call it MISSING"
            )
        self._mark, self._ts = mark, bars.ts
        if len(self._held):
            if self._shorts:
                side = self._side
                self._best = side * np.fmax(side * self._best, side * mark)
            else:
                self._best = np.maximum(self._best, mark)  # NaN where flat, and NaN stays
        if self._due and self._due[0][0] <= bars.ts:
            self._pay(bars.ts)

    def _pay(self, ts: int) -> None:
        self._cash, self._receivable = self._cash.copy(), self._receivable.copy()
        while self._due and self._due[0][0] <= ts:
            _, currency, amount = self._due.pop(0)
            self._cash[currency] += amount
            self._receivable[currency] -= amount
        self._derive()

    def on_fills(self, fills: Fills, /) -> Book:
        count = len(fills.symbol)
        if count:
            if count > _FEW and len(set(fills.symbol.tolist())) == count:
                self._book_many(fills)
            else:  # and where a symbol is filled twice, each fill sees the position the last one left
                self._book_few(fills)
            self._orders.fill(fills.order_ids, fills.qty)
            self._derive()
        return self.book(fills.ts)

    def _book_few(self, fills: Fills) -> None:
        """Average cost, fill by fill: a handful is done before a single array operation of each kind would be."""
        finite, multipliers, currencies = True, self._universe.multiplier, self._universe.currency
        names = ("_qty", "_entry", "_best", "_opened", "_realised", "_fees")
        qty, entry, best, opened, realised, paid = (getattr(self, name).copy() for name in names)
        money = self._cash.tolist()
        columns = (fills.symbol, fills.qty, fills.price, np.add.reduce(fills.fees, 1), fills.at)
        for s, dq, price, fee, at in zip(*(column.tolist() for column in columns), strict=True):
            finite &= isfinite(dq) and isfinite(price) and price > 0
            before, cost, multiplier = qty.item(s), entry.item(s), multipliers.item(s)
            after = before + dq
            reduces = before * dq < 0
            if reduces:
                closed = before if before * after < 0 else -dq
                realised[s] = realised.item(s) + closed * (price - cost) * multiplier
            if after == 0:
                entry[s] = best[s] = nan
                opened[s] = 0
            elif before == 0 or before * after < 0:
                entry[s], opened[s], mark = price, at, self._mark.item(s)
                best[s] = price if mark != mark or (mark - price) * after < 0 else mark
            elif not reduces:
                entry[s] = (before * cost + dq * price) / after
            qty[s] = after
            paid[s] = paid.item(s) + fee
            money[currencies.item(s)] -= dq * price * multiplier + fee
        if not finite:
            raise _unsound(fills)
        self._cash = np.array(money)
        for name, array in zip(names, (qty, entry, best, opened, realised, paid), strict=True):
            setattr(self, name, array)

    def _book_many(self, fills: Fills) -> None:
        """The same for many fills, each of another symbol, in arrays.

        Adding averages the price in, reducing realises against the average, crossing zero starts anew.
        """
        s, dq, price, fees = fills.symbol, fills.qty, fills.price, fills.fees.sum(axis=1)
        if not (np.isfinite(dq).all() and np.isfinite(price).all() and (price > 0).all()):
            raise _unsound(fills)
        before, entry, multiplier = self._qty[s], self._entry[s], self._universe.multiplier[s]
        after = before + dq
        flat, reduces = after == 0, before * dq < 0
        begins = before == 0
        averaged = np.where(begins, price, entry)
        if reduces.any():
            crosses = before * after < 0
            closed = np.where(reduces, np.where(crosses, before, -dq), 0.0)
            self._realised = _added(self._realised, s, closed * (price - averaged) * multiplier)
            begins |= crosses
            averaged = np.where(crosses, price, averaged)
        adds = ~(begins | reduces)
        if adds.any():
            averaged[adds] = ((before * entry + dq * price)[adds]) / after[adds]
        best = np.where(begins, self._best_from(after, price, self._mark[s]), self._best[s])
        self._fees = _added(self._fees, s, fees)
        self._entry = _put(self._entry, s, np.where(flat, np.nan, averaged))
        self._best = _put(self._best, s, np.where(flat, np.nan, best))
        self._opened = _put(self._opened, s, np.where(flat, 0, np.where(begins, fills.at, self._opened[s])))
        self._qty = _put(self._qty, s, after)
        self._move_cash(s, -dq * price * multiplier - fees)

    @staticmethod
    def _best_from(qty: Vector, price: Vector, mark: Vector) -> Vector:
        """The better of price and mark for the side of this quantity."""
        return np.where(qty > 0, np.fmax(price, mark), np.fmin(price, mark))

    def _move_cash(self, symbols: Codes, amount: Vector) -> None:
        cash = self._cash.copy()
        if len(cash) == 1:
            cash[0] += amount.sum()
        else:
            np.add.at(cash, self._universe.currency[symbols], amount)
        self._cash = cash

    def on_actions(self, actions: Actions, /) -> Book:
        self._ts = actions.ts
        for i in range(len(actions.kind)):
            self._act(actions, i)
        self._derive()
        return self.book(actions.ts)

    def _act(self, actions: Actions, i: int) -> None:
        kind, s = ActionKind(int(actions.kind[i])), int(actions.symbol[i])
        row = np.array([s], np.int32)
        if kind is ActionKind.SPLIT:
            self._scale(row, s, float(actions.ratio[i]))
        elif kind is ActionKind.CASH_DIVIDEND:
            amount = float(self._qty[s] * actions.amount[i] * self._universe.multiplier[s])
            if amount:
                self._income = _added(self._income, row, np.array([amount]))
                self._owe(int(actions.pay_at[i]), int(self._universe.currency[s]), amount)
        elif kind is ActionKind.DELISTING:
            self._close_at(row, float(actions.amount[i]))
        elif kind is ActionKind.SYMBOL_CHANGE:
            self._rename(s, int(actions.successor[i]), float(actions.ratio[i]))

    def _owe(self, pay_at: int, currency: int, amount: float) -> None:
        self._receivable = _added(self._receivable, np.array([currency]), np.array([amount]))
        self._due.append((pay_at, currency, amount))
        self._due.sort(key=lambda due: due[0])

    def _scale(self, row: Codes, s: int, ratio: float) -> None:
        """A split: quantity times ratio, prices over ratio; a fraction of a lot is paid out at the adjusted mark."""
        if not (ratio > 0 and np.isfinite(ratio)):
            raise DataError(f"ledger: split of {self._universe.symbols[s]} has ratio {ratio}; it must be positive")
        exact = self._qty[s] * ratio
        whole = np.trunc(np.round(exact, 9) / self._universe.lot[s]) * self._universe.lot[s]
        for name in ("_mark", "_entry", "_best"):
            setattr(self, name, _put(getattr(self, name), row, getattr(self, name)[row] / ratio))
        self._qty = _put(self._qty, row, np.array([exact]))
        self._orders.split(s, ratio)
        if exact != whole:
            self._sell_off(row, exact - whole, float(self._mark[s]))

    def _sell_off(self, row: Codes, qty: float, price: float) -> None:
        """Turns part of a position into cash at a price, without an order."""
        s = int(row[0])
        multiplier = float(self._universe.multiplier[s])
        self._realised = _added(self._realised, row, np.array([qty * (price - self._entry[s]) * multiplier]))
        self._qty = _added(self._qty, row, np.array([-qty]))
        self._move_cash(row, np.array([qty * price * multiplier]))
        if self._qty[s] == 0:
            for name in ("_entry", "_best"):
                setattr(self, name, _put(getattr(self, name), row, np.array([np.nan])))
            self._opened = _put(self._opened, row, np.array([0]))

    def _close_at(self, row: Codes, price: float) -> None:
        s = int(row[0])
        if self._qty[s]:
            if not (price >= 0 and np.isfinite(price)):
                symbol = self._universe.symbols[s]
                raise DataError(f"ledger: delisting of {symbol} states the price {price}; state one of zero or more")
            self._sell_off(row, float(self._qty[s]), price)
        self._orders.drop_symbol(s)

    def _rename(self, old: int, new: int, ratio: float) -> None:
        """Moves position, cost and marks to the successor; what is held there on the other side is closed against it.

        A fraction of a lot is paid out at the adjusted mark, as after a split.
        """
        if not (ratio > 0 and np.isfinite(ratio)):
            symbol = self._universe.symbols[old]
            raise DataError(f"ledger: symbol change of {symbol} has ratio {ratio}; state new shares for one old")
        rows = np.array([old, new], np.int32)
        if np.isnan(self._mark[new]):
            self._mark = _put(self._mark, rows[1:], self._mark[old : old + 1] / ratio)
        if self._qty[old]:
            self._merge(rows, ratio)
            total, lot = float(self._qty[new]), float(self._universe.lot[new])
            fraction = total - float(np.trunc(round(total, 9) / lot) * lot)
            if fraction:
                self._sell_off(rows[1:], fraction, float(self._mark[new]))
        self._orders.drop_symbol(old)

    def _merge(self, rows: Codes, ratio: float) -> None:
        """Adds the position of the first row, rescaled, to that of the second."""
        old, new = int(rows[0]), int(rows[1])
        qty, held = float(self._qty[old]) * ratio, float(self._qty[new])
        cost, there = float(self._entry[old]) / ratio, float(self._entry[new])
        total, stays = qty + held, abs(held) > abs(qty)
        entry = there if stays else cost
        if qty * held > 0:
            entry = (qty * cost + held * there) / total
        elif held:
            closed = -held if not stays else qty
            profit = closed * (there - cost) * float(self._universe.multiplier[new])
            self._realised = _added(self._realised, rows[1:], np.array([profit]))
        kept = new if stays else old
        best = float(self._best[kept]) / (1.0 if stays else ratio)
        opened = int(self._opened[kept])
        flat = total == 0
        self._entry = _put(self._entry, rows, np.array([nan, nan if flat else entry]))
        self._best = _put(self._best, rows, np.array([nan, nan if flat else best]))
        self._opened = _put(self._opened, rows, np.array([0, 0 if flat else opened]))
        self._qty = _put(self._qty, rows, np.array([0.0, total]))

    def on_approved(self, approved: Approved, /) -> None:
        self._orders.accept(approved)

    def on_reports(self, reports: Reports, /) -> None:
        self._orders.report(reports)

    def on_refusals(self, refusals: Refusals, /) -> None:
        self._orders.remove(refusals.ids)

    def on_reference(self, reference: Reference, /) -> None:
        """`rates` (C, 1): base currency for one unit of each currency."""
        if reference.name == "rates":
            rate = reference.value[:, 0]
            if len(rate) != len(self._rate) or not (np.isfinite(rate).all() and (rate > 0).all() and rate[0] == 1.0):
                raise DataError(f"ledger: rates {rate} at {reference.ts}: one positive rate a currency, 1 for the base")
            self._rate = np.array(rate)
            self._derive()

    def on_control(self, control: Control, /) -> None:
        self._mode = _MODES.get(control.action, self._mode)

    def book(self, ts: int) -> Book:
        """The snapshot as of now."""
        held, mark = self._held, self._mark
        equity = self._money
        if len(held):
            equity += float(self._exposure.dot(mark[held]))
        return Book(
            ts=ts,
            cash=self._cash,
            rate=self._rate,
            qty=self._qty,
            working=self._orders.working,
            open_orders=self._orders.legs,
            mark=mark,
            entry=self._entry,
            best=self._best,
            opened=self._opened,
            realised=self._realised,
            fees=self._fees,
            income=self._income,
            equity=equity,
            mode=self._mode,
        )

    _ARRAYS = ("cash", "rate", "qty", "mark", "entry", "best", "opened", "realised", "fees", "income", "receivable")

    def save(self) -> bytes:
        arrays = {name: getattr(self, f"_{name}") for name in self._ARRAYS}
        rest = {"due": self._due, "mode": int(self._mode), "ts": self._ts, "orders": self._orders.save()}
        return pack("ledger", _VERSION, symbols=list(self._universe.symbols), **arrays, **rest)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names that were appended to the universe since start flat."""
        fields = unpack(state, "ledger", _VERSION)
        check_appended(fields["symbols"], self._universe.symbols)
        place = list(range(len(fields["symbols"])))
        for name in self._ARRAYS:
            setattr(self, f"_{name}", _placed(getattr(self, f"_{name}"), fields[name], place))
        self._due = [(pay_at, currency, amount) for pay_at, currency, amount in fields["due"]]
        self._mode, self._ts = Mode(fields["mode"]), fields["ts"]
        self._orders.load(fields["orders"], place)
        self._derive()


def _unsound(fills: Fills) -> DataError:
    said = f"{fills.qty.tolist()} at {fills.price.tolist()}"
    return DataError(f"ledger: fills of {fills.ts}: {said}; quantity and price must be finite, the price positive")


def _put(array: Any, rows: Any, values: Any) -> Any:
    copy = array.copy()
    copy[rows] = values
    return copy


def _added(array: Vector, rows: Any, values: Vector) -> Vector:
    copy = array.copy()
    copy[rows] += values
    return copy


def _placed(now: Any, saved: Any, place: list[int]) -> Any:
    """Saved rows at their symbols' places; currencies keep theirs."""
    if len(saved) != len(place) or len(now) == len(saved):
        return np.array(saved)
    return _put(now, place, saved)
