"""Keeps its own books beside the ledger's, from the same events, and complains of the first thing that differs.

Written from the definitions and not from the engine: plain loops over legs.
"""

from collections.abc import Sequence
from math import isclose, isnan
from typing import Any

import numpy as np

from components.brokers.order_states import ENDED, NEXT
from engine.events import (
    ActionKind,
    Actions,
    Approved,
    Bars,
    Book,
    Charges,
    Control,
    ControlAction,
    Fills,
    LegAction,
    Mode,
    Orders,
    OrderState,
    Reference,
    Refusals,
    Reports,
    Status,
)
from tests.chaos.worlds import World

_NEAR = 1e-9


class ViolationError(AssertionError):
    """An identity or a limit that does not hold."""


def check(holds: bool, said: str) -> None:
    if not holds:
        raise ViolationError(said)


def near(a: float, b: float, scale: float) -> bool:
    return isclose(a, b, rel_tol=_NEAR, abs_tol=_NEAR * max(1.0, abs(scale)))


class Auditor:
    """A recorder that checks every event of a session. `scale` of a sum of money is the turnover so far."""

    def __init__(self, world: World, *, fractions: str) -> None:
        n, c = len(world.universe), len(world.universe.currencies)
        self._world, self._u, self._lost = world, world.universe, fractions == "lost"
        self._cash, self._rate = np.zeros(c), np.ones(c)
        self._cash[0] = world.cash
        self._interest, self._owed = np.zeros(c), list[tuple[int, int, float]]()
        self._qty, self._mark = np.zeros(n), np.full(n, np.nan)
        self._realised, self._cost = np.zeros(n), np.zeros(n)  # cost = signed money paid for what is held, at average
        self._fees, self._income = np.zeros(n), np.zeros(n)
        self._mode, self._translation, self._scale = Mode.ACTIVE, 0.0, world.cash
        self._book: Book | None = None
        self._acted = 0  # ts of the latest actions
        self._orders = OrderLives()
        self._room: dict[int, list[float]] = {}  # symbol -> what was approved since the book, signed
        self.checked: dict[str, int] = {}

    def append(self, origins: Sequence[str], events: Sequence[Any], /) -> None:
        asked: dict[int, bool] = {}
        for origin, event in zip(origins, events, strict=True):
            name = type(event).__name__
            self.checked[name] = self.checked.get(name, 0) + 1
            taken = getattr(self, f"_on_{name.lower()}", None)
            if taken is not None:
                taken(event)
            self._orders.see(event)
            if isinstance(event, Orders):
                asked |= {int(i): False for i in event.ids}
            if isinstance(event, Approved):
                self._gate(event, own=not set(event.ids.tolist()) <= set(asked))
            if isinstance(event, Approved) or (isinstance(event, Refusals) and origin == "gate"):
                for i in event.ids.tolist():
                    check(not asked.get(i, False), f"order {i} was answered twice by the gate at {event.ts}")
                    asked[i] = True
        check(all(asked.values()), f"an order of {events[0].ts} was neither approved nor refused")
        self._orders.end_of_run(events[0].ts)

    # ---- money -------------------------------------------------------------------------------------------------------

    def _on_bars(self, bars: Bars) -> None:
        if bars.interval_ns != min(self._world.ends):
            return
        fresh = bars.status == Status.FRESH
        self._mark = np.where(fresh, bars.close, self._mark)
        due = [row for row in self._owed if row[0] <= bars.ts]
        self._owed = [row for row in self._owed if row[0] > bars.ts]
        for _, currency, amount in due:
            self._cash[currency] += amount

    def _on_fills(self, fills: Fills) -> None:
        for i in range(len(fills.symbol)):
            s, qty, price = int(fills.symbol[i]), float(fills.qty[i]), float(fills.price[i])
            fee = float(fills.fees[i].sum())
            check(fee >= 0 and price > 0 and qty != 0, f"a fill of {qty} at {price} for {fee} at {fills.ts}")
            self._trade(s, qty, price)
            self._fees[s] += fee
            self._cash[self._u.currency[s]] -= fee

    def _trade(self, s: int, qty: float, price: float) -> None:
        """Average cost: what reduces realises its share of the cost, what is left after turning over begins anew."""
        multiplier, before = float(self._u.multiplier[s]), float(self._qty[s])
        self._cash[self._u.currency[s]] -= qty * price * multiplier
        self._scale += abs(qty * price * multiplier)
        closes = min(abs(qty), abs(before)) * np.sign(qty) if before * qty < 0 else 0.0
        if closes:
            share = -closes / before
            self._realised[s] += -closes * price * multiplier - self._cost[s] * share
            self._cost[s] *= 1.0 - share
        self._qty[s] = before + qty
        if self._qty[s] == 0:
            self._cost[s] = 0.0
        elif qty != closes:
            self._cost[s] = (self._cost[s] if abs(closes) < abs(before) else 0.0) + (qty - closes) * price * multiplier

    def _on_charges(self, charges: Charges) -> None:
        for s, c, amount in zip(
            charges.symbol.tolist(), charges.currency.tolist(), charges.amount.tolist(), strict=True
        ):
            self._cash[c] += amount
            if s >= 0:
                self._fees[s] -= amount
            else:
                self._interest[c] += amount

    def _on_actions(self, actions: Actions) -> None:
        self._acted = actions.ts
        for i in range(len(actions.kind)):
            kind, s = ActionKind(int(actions.kind[i])), int(actions.symbol[i])
            if kind is ActionKind.SPLIT:
                self._split(s, float(actions.ratio[i]))
            elif kind is ActionKind.DELISTING and self._qty[s]:
                self._trade(s, -float(self._qty[s]), float(actions.amount[i]))
            elif kind is ActionKind.CASH_DIVIDEND:
                amount = float(self._qty[s] * actions.amount[i] * self._u.multiplier[s])
                self._income[s] += amount
                self._owed.append((int(actions.pay_at[i]), int(self._u.currency[s]), amount))

    def _split(self, s: int, ratio: float) -> None:
        exact = float(self._qty[s]) * ratio
        step = min(float(self._u.lot[s]), 1.0)
        whole = float(np.trunc(round(exact / step, 9)) * step)
        self._qty[s], self._mark[s] = exact, self._mark[s] / ratio
        if exact != whole:
            self._trade(s, whole - exact, 0.0 if self._lost else float(self._mark[s]))
            self._qty[s] = whole

    def _on_reference(self, reference: Reference) -> None:
        if reference.name == "rates":
            before = self.equity()
            self._rate = np.array(reference.value[:, 0])
            self._translation += self.equity() - before

    def equity(self) -> float:
        held = np.flatnonzero(self._qty)
        money = self._cash.copy()
        for _, currency, amount in self._owed:
            money[currency] += amount
        value = self._qty[held] * self._mark[held] * self._u.multiplier[held]
        return float(money @ self._rate + value @ self._rate[self._u.currency[held]])

    def _on_book(self, book: Book) -> None:
        self._book, self._room = book, {}
        scale, at = self._scale, f"in the book of {book.ts}"
        for name, mine, theirs in (("cash", self._cash, book.cash), ("interest", self._interest, book.interest)):
            for c in range(len(mine)):
                check(near(mine[c], theirs[c], scale), f"{name} {c} is {theirs[c]!r}, not {mine[c]!r}, {at}")
        columns = {"realised": self._realised, "fees": self._fees, "income": self._income, "qty": self._qty}
        for name, own in columns.items():
            for s, (a, b) in enumerate(zip(own.tolist(), getattr(book, name).tolist(), strict=True)):
                check(near(a, b, scale), f"{name} of {s} is {b!r}, not {a!r}, {at}")
        check(np.array_equal(self._mark, book.mark, equal_nan=True) or _alike(self._mark, book.mark), f"marks {at}")
        check(near(self.equity(), book.equity, scale), f"equity is {book.equity!r}, not {self.equity()!r}, {at}")
        check(near(self._decomposed(book), book.equity, scale), f"P&L does not add up to equity {at}")
        check(near(self._translation, book.translation, scale), f"translation is {book.translation!r} {at}")
        check(bool((book.unsettled >= -_NEAR * scale).all()), f"unsettled is negative {at}")
        check(book.mode == self._mode, f"mode is {book.mode}, not {self._mode}, {at}")
        flat = book.qty == 0
        check(bool((np.isnan(book.entry) == flat).all() and ((book.opened == 0) == flat).all()), f"entry of flat {at}")
        self._orders.compare(book, self._u.lot if book.ts == self._acted else None)

    def _decomposed(self, book: Book) -> float:
        held = np.flatnonzero(book.qty)
        unrealised = np.zeros(len(book.qty))
        unrealised[held] = book.qty[held] * (book.mark[held] - book.entry[held]) * self._u.multiplier[held]
        by_symbol = book.realised + unrealised - book.fees + book.income
        return self._world.cash + float(by_symbol @ book.rate[self._u.currency] + book.interest @ book.rate)

    # ---- limits ------------------------------------------------------------------------------------------------------

    def _on_control(self, control: Control) -> None:
        modes = {
            ControlAction.HALT: Mode.HALTED,
            ControlAction.FLATTEN: Mode.HALTED,
            ControlAction.REDUCE_ONLY: Mode.REDUCE_ONLY,
            ControlAction.RESUME: Mode.ACTIVE,
        }
        self._mode = modes.get(control.action, self._mode)

    def _gate(self, approved: Approved, *, own: bool) -> None:
        """Orders that add risk are within the limits, whatever else is working; none pass that the mode forbids."""
        book = self._book
        for i in np.flatnonzero(approved.action == LegAction.NEW).tolist():
            s, qty = int(approved.symbol[i]), float(approved.qty[i])
            check(book is not None, f"an order was approved before the first book at {approved.ts}")
            assert book is not None
            room = self._room.setdefault(s, [])
            working = [q for o, q in zip(book.open_orders.symbol, book.open_orders.left, strict=True) if o == s] + room
            before = float(book.qty[s]) + sum(q for q in working if q * qty > 0)
            room.append(qty)
            leaves = before * qty < 0 and abs(qty) <= abs(before)
            if own:
                held = float(book.qty[s])
                check(held * qty < 0 and abs(qty) <= abs(held), f"the gate's own order of {qty} for {held} of {s}")
                continue
            check(self._mode is not Mode.HALTED, f"an order passed while halted at {approved.ts}")
            if leaves:
                continue
            check(self._mode is Mode.ACTIVE, f"an order that adds risk passed in {self._mode.name} at {approved.ts}")
            unit = float(book.mark[s] * self._u.multiplier[s] * book.rate[self._u.currency[s]])
            check(not isnan(unit), f"an order for a name without a price passed at {approved.ts}")
            most, weight = self._world.max_order_value, self._world.max_weight
            check(most is None or abs(qty) * unit <= most * (1 + 1e-6), f"order value {abs(qty) * unit} over {most}")
            heavy = abs(before + qty) * unit / book.equity
            check(weight is None or heavy <= weight * (1 + 1e-6), f"weight {heavy} over {weight} at {approved.ts}")


def _alike(a: Any, b: Any) -> bool:
    return bool(np.allclose(a, b, rtol=1e-12, atol=0.0, equal_nan=True))


class OrderLives:
    """Every order from approval to its end, by what Reports, Fills and Refusals say of it.

    The report of an end stands before the fills that bring it, in one answer; so an end counts when the run is over.
    """

    def __init__(self) -> None:
        self._state: dict[int, OrderState] = {}
        self._left: dict[int, float] = {}  # of those that live
        self._ending: dict[int, OrderState] = {}
        self._waiting: set[int] = set()  # approved and not answered yet
        self._execs: set[int] = set()

    def see(self, event: Any) -> None:
        if isinstance(event, Approved):
            self._waiting |= set(event.ids[event.action == LegAction.NEW].tolist()) - set(self._state)
        elif isinstance(event, Refusals):
            self._waiting -= set(event.ids.tolist())
        elif isinstance(event, Reports):
            for row in zip(event.ids.tolist(), event.state.tolist(), event.left.tolist(), strict=True):
                self._report(row[0], OrderState(row[1]), row[2], event.ts)
        elif isinstance(event, Fills):
            columns = (event.exec_ids, event.order_ids, event.qty)
            for execution, order, qty in zip(*(c.tolist() for c in columns), strict=True):
                check(execution not in self._execs, f"execution {execution} came twice at {event.ts}")
                self._execs.add(execution)
                left = self._left.get(order)
                check(left is not None, f"a fill of order {order}, which does not live, at {event.ts}")
                assert left is not None
                held = left * qty > 0 and abs(qty) <= abs(left) * (1 + _NEAR)
                check(held, f"order {order} had {left} left and filled {qty} at {event.ts}")
                self._left[order] = left - qty

    def _report(self, order: int, state: OrderState, left: float, ts: int) -> None:
        before = self._state.get(order)
        if before is None:
            check(state is OrderState.ACCEPTED, f"order {order} begins as {state.name} at {ts}")
            self._waiting.discard(order)
        else:
            check(state in NEXT[before], f"order {order} went from {before.name} to {state.name} at {ts}")
        if state in ENDED:
            check(left == 0, f"order {order} ended as {state.name} with {left} left at {ts}")
            self._ending[order] = state
        else:
            check(left != 0, f"order {order} is {state.name} with nothing left at {ts}")
            if before is not None and state is OrderState.TRIGGERED:
                check(left == self._left[order], f"order {order} was triggered and its quantity changed at {ts}")
            self._left[order] = left
        self._state[order] = state

    def end_of_run(self, ts: int) -> None:
        check(not self._waiting, f"the broker never answered orders {sorted(self._waiting)[:3]} of {ts}")
        for order, state in self._ending.items():
            left = self._left.pop(order)
            whole = abs(left) <= _NEAR
            check(
                whole == (state is OrderState.FINISHED), f"order {order} is {state.name} at {ts} with {left} unfilled"
            )
        self._ending = {}

    def compare(self, book: Book, lot: Any = None) -> None:
        """What the ledger takes for open is what the broker accepted and did not end, with the same left.

        The book of corporate actions is made before the broker has said what is left in whole lots.
        """
        columns = (book.open_orders.ids, book.open_orders.symbol, book.open_orders.left)
        for order, s, left in zip(*(column.tolist() for column in columns), strict=True):
            if order in self._waiting:
                continue
            if lot is not None and order in self._ending:  # the split left less than a lot, which ended it
                check(abs(left) < lot[s], f"order {order} has {left} left in the book of {book.ts}, and it ended")
                continue
            known = order in self._left and order not in self._ending
            check(known, f"order {order} is open in the book of {book.ts} and not at the broker")
            mine = self._left[order]
            fits = near(left, mine, left) if lot is None else abs(left - mine) < lot[s]
            check(fits, f"order {order} has {left} left in the book of {book.ts}, not {mine}")
