"""The ledger: a pure fold of fills, bars, corporate actions and approved orders into books.

It never asks anybody for anything, and its arrays are replaced, never changed in place, so that a Book may share them.
"""

from math import isfinite
from typing import Any

import numpy as np

from engine.actions import check_actions
from engine.errors import DataError
from engine.events import (
    ActionKind,
    Actions,
    Approved,
    Bars,
    Book,
    Charges,
    Control,
    Fills,
    OpenOrders,
    Reference,
    Refusals,
    Reports,
    Stamps,
)
from engine.holdings import COLUMNS, Holdings, added
from engine.latches import Latches
from engine.open_orders import OpenLegs, frozen
from engine.protocols import Bookkeeping
from engine.state import check_appended, pack, unpack
from engine.universe import Universe

_VERSION = 3
_ORDERS = OpenOrders.__struct_fields__
_PAID = Bookkeeping()
DUPLICATE = "duplicate"  # the rule that refuses an id whose order works already, and goes on to


class Ledger:
    """Cash, signed positions, average cost, P&L, fees, income, interest, equity and working orders.

        equity = sum_c rate_c (cash_c + receivable_c) + sum_i rate_i multiplier_i qty_i mark_i
               = cash at start + sum_i rate_i (realised_i + unrealised_i - fees_i + income_i)
                               + sum_c rate_c interest_c                                          (constant rates)

    When rates change, `translation` takes in what that alone does to equity. Proceeds of sales count as cash at once
    and as unsettled until they settle. A mark is the last valid close; a name that is missing or halted keeps it. A
    dividend becomes a receivable at its ex-date and cash at its pay date. What is held is in `Holdings`. `gate` is the
    gate's name, whose `resume` releases nothing.
    Memory: arrays of N and the open orders, however long the session runs.
    """

    def __init__(self, *, universe: Universe, cash: float, bookkeeping: Bookkeeping = _PAID, gate: str = "") -> None:
        n, c = len(universe), len(universe.currencies)
        self._universe, self._keeping = universe, bookkeeping
        self._has = Holdings(universe=universe, cash=cash, bookkeeping=bookkeeping)
        self._rate, self._receivable = frozen(np.ones(c)), np.zeros(c)
        self._unsettled, self._interest = frozen(np.zeros(c)), frozen(np.zeros(c))
        self._translation = 0.0
        self._settling: list[tuple[int, int, float]] = []  # (instant, currency, amount), in order of the instant
        self._due: list[tuple[int, int, float]] = []  # (pay date, currency, amount), in order of pay date
        self._orders = OpenLegs(n)
        self._shown: OpenOrders | None = None  # the open orders of the latest book
        self.latches = Latches(gate=gate)
        self._ts = 0
        self._ones = np.ones(n)
        self._derive()

    def _derive(self) -> None:
        """What follows from positions and rates, worked out only when those change. A book shares these columns."""
        has = self._has
        for column in (
            has.cash,
            has.qty,
            has.mark,
            has.entry,
            has.best,
            has.opened,
            has.realised,
            has.fees,
            has.income,
        ):
            frozen(column)
        universe, qty = self._universe, has.qty
        self._held = held = qty.nonzero()[0]
        self._money = float((has.cash + self._receivable).dot(self._rate))
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
            mark = np.where(fresh, close, self._has.mark)
            frozen(mark)
            close = np.where(fresh, close, 0.0)
        if len(mark) != len(self._has.qty) or not isfinite(self._ones.dot(close)):
            raise DataError(
                f"ledger: a FRESH bar of slice {bars.ts} has no finite close; the feed must call it MISSING"
            )
        self._has.mark, self._ts = mark, bars.ts
        if len(self._held):
            best = self._has.best
            if self._shorts:
                side = self._side
                best = side * np.fmax(side * best, side * mark)
            else:
                best = np.maximum(best, mark)  # NaN where flat, and NaN stays
            self._has.best = frozen(best)
        if self._due and self._due[0][0] <= bars.ts:
            self._pay(bars.ts)
        if self._settling and self._settling[0][0] <= bars.ts:
            self._settling = [entry for entry in self._settling if entry[0] > bars.ts]
            self._sum_unsettled()

    def _pay(self, ts: int) -> None:
        self._has.cash, self._receivable = self._has.cash.copy(), self._receivable.copy()
        while self._due and self._due[0][0] <= ts:
            _, currency, amount = self._due.pop(0)
            self._has.cash[currency] += amount
            self._receivable[currency] -= amount
        self._derive()

    def on_fills(self, fills: Fills, /) -> Book:
        if len(fills.symbol):
            self._has.fill(fills)
            if fills.settles is not None:
                self._settle_later(fills, fills.settles)
            self._orders.fill(fills.order_ids, fills.qty)
            self._derive()
        return self.book(fills.ts)

    def _settle_later(self, fills: Fills, settles: Stamps) -> None:
        """What sales brought, net of fees, is unsettled until its instant."""
        s = fills.symbol
        brought = -fills.qty * fills.price * self._universe.multiplier[s] - fills.fees.sum(axis=1)
        for i in np.flatnonzero((fills.qty < 0) & (brought > 0) & (settles > fills.ts)).tolist():
            self._settling.append((int(settles[i]), int(self._universe.currency[s[i]]), float(brought[i])))
        self._settling.sort(key=lambda entry: entry[0])
        self._sum_unsettled()

    def _sum_unsettled(self) -> None:
        self._unsettled = np.zeros(len(self._unsettled))  # summed anew: what is all settled is exactly zero
        for _, currency, amount in self._settling:
            self._unsettled[currency] += amount
        self._unsettled = frozen(self._unsettled)

    def on_charges(self, charges: Charges, /) -> None:
        """Books money that moves without a trade; the book that shows it comes with the fills of the slice."""
        cash, fees, interest = self._has.cash.copy(), self._has.fees.copy(), self._interest.copy()
        columns = (charges.symbol, charges.currency, charges.amount)
        for s, currency, amount in zip(*(column.tolist() for column in columns), strict=True):
            if not isfinite(amount):
                raise DataError(f"ledger: a charge of {charges.ts} is {amount}; it must be finite")
            cash[currency] += amount
            if s >= 0:
                fees[s] -= amount
            else:
                interest[currency] += amount
        self._has.cash, self._has.fees, self._interest = cash, fees, frozen(interest)
        self._derive()

    def on_actions(self, actions: Actions, /) -> Book:
        check_actions("ledger", actions, self._universe)
        self._ts = actions.ts
        for i in range(len(actions.kind)):
            self._act(actions, i)
        self._derive()
        return self.book(actions.ts)

    def _act(self, actions: Actions, i: int) -> None:
        kind, s = ActionKind(int(actions.kind[i])), int(actions.symbol[i])
        if kind is ActionKind.SPLIT:
            self._has.split(s, float(actions.ratio[i]))
            self._orders.split(s, float(actions.ratio[i]), float(self._universe.tick[s]))
        elif kind is ActionKind.CASH_DIVIDEND and self._keeping.dividends:
            amount = float(self._has.qty[s] * actions.amount[i] * self._universe.multiplier[s])
            if amount:
                self._has.earn(s, amount)
                self._owe(int(actions.pay_at[i]), int(self._universe.currency[s]), amount)
        elif kind is ActionKind.DELISTING:
            self._has.close_at(s, float(actions.amount[i]))
            self._orders.drop_symbol(s)
        elif kind is ActionKind.SYMBOL_CHANGE:
            self._has.rename(s, int(actions.successor[i]), float(actions.ratio[i]))
            self._orders.drop_symbol(s)

    def _owe(self, pay_at: int, currency: int, amount: float) -> None:
        self._receivable = added(self._receivable, np.array([currency]), np.array([amount]))
        self._due.append((pay_at, currency, amount))
        self._due.sort(key=lambda due: due[0])

    def on_approved(self, approved: Approved, /) -> None:
        self._orders.accept(approved)

    def on_reports(self, reports: Reports, /) -> None:
        self._orders.report(reports)

    def on_refusals(self, refusals: Refusals, /) -> None:
        gone = np.array([rule != DUPLICATE for rule in refusals.rule], bool)
        self._orders.remove(refusals.ids[gone])

    def on_reference(self, reference: Reference, /) -> None:
        """`rates` (C, 1): base currency for one unit of each currency."""
        if reference.name == "rates":
            rate = reference.value[:, 0]
            if len(rate) != len(self._rate) or not (np.isfinite(rate).all() and (rate > 0).all() and rate[0] == 1.0):
                raise DataError(f"ledger: rates {rate} at {reference.ts}: one positive rate a currency, 1 for the base")
            before = self.book(reference.ts).equity
            self._rate = frozen(np.array(rate))
            self._derive()
            self._translation += self.book(reference.ts).equity - before

    def on_control(self, control: Control, /) -> None:
        self.latches.take(control)  # the gate tells what of it could not be done

    def book(self, ts: int) -> Book:
        """The snapshot as of now."""
        has, held, equity = self._has, self._held, self._money
        mark, orders = has.mark, self._orders.legs
        if orders is not self._shown:
            for name in _ORDERS:
                frozen(getattr(orders, name))
            self._shown = orders
        if len(held):
            equity += float(self._exposure.dot(mark[held]))
        return Book(
            ts=ts,
            cash=has.cash,
            unsettled=self._unsettled,
            rate=self._rate,
            qty=has.qty,
            working=self._orders.working,
            open_orders=orders,
            mark=mark,
            entry=has.entry,
            best=has.best,
            opened=has.opened,
            realised=has.realised,
            fees=has.fees,
            income=has.income,
            interest=self._interest,
            equity=equity,
            translation=self._translation,
            mode=self.latches.mode,
        )

    _ARRAYS = ("rate", "receivable", "unsettled", "interest")

    def save(self) -> bytes:
        arrays = {name: getattr(self, f"_{name}") for name in self._ARRAYS}
        arrays |= {name: getattr(self._has, name) for name in COLUMNS}
        rest = {"due": self._due, "latches": self.latches.save(), "ts": self._ts, "orders": self._orders.save()}
        rest |= {"settling": self._settling, "translation": self._translation}
        return pack("ledger", _VERSION, symbols=list(self._universe.symbols), **arrays, **rest)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names that were appended to the universe since start flat."""
        fields = unpack(state, "ledger", _VERSION)
        check_appended(fields["symbols"], self._universe.symbols)
        place = list(range(len(fields["symbols"])))
        for name in self._ARRAYS:
            setattr(self, f"_{name}", frozen(np.array(fields[name])))
        for name in COLUMNS:
            setattr(self._has, name, _placed(getattr(self._has, name), fields[name]))
        self._due = [(pay_at, currency, amount) for pay_at, currency, amount in fields["due"]]
        self._settling = [(at, currency, amount) for at, currency, amount in fields["settling"]]
        self.latches.load(fields["latches"])
        self._ts, self._translation = fields["ts"], fields["translation"]
        self._orders.load(fields["orders"], place)
        self._derive()


def _placed(now: Any, saved: Any) -> Any:
    """Saved rows first, where they stood; what was appended to the universe since starts as it is now."""
    return np.concatenate([saved, now[len(saved) :]])
