"""The open orders of a broker: those at hand, and those that sleep because the market is far from their price."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from msgspec.structs import replace

from components.brokers.answers import report_of
from components.brokers.fill_rules import Terms, split_quantity
from components.brokers.kinds import WAITS
from components.brokers.order_states import check_steps
from components.brokers.resting import (
    Resting,
    Spent,
    in_order,
    joined,
    no_orders,
    packed,
    resting_of,
    spent_of,
    taken,
    terms_of,
    unpacked,
)
from components.brokers.sleepers import Sleepers
from engine.events import Approved, Bars, Mask, OrderKind, OrderState, Reports, TimeInForce, Vector
from engine.open_orders import split_price
from engine.universe import Universe

_SLEEPY = (OrderKind.LIMIT, OrderKind.STOP, OrderKind.STOP_LIMIT)
_SLEEPS = np.array([kind in _SLEEPY for kind in OrderKind])
_SLEEPS.flags.writeable = False
_LASTS = np.array([tif in (TimeInForce.GOOD_TILL_CANCELLED, TimeInForce.GOOD_TILL_DATE) for tif in TimeInForce])
_LASTS.flags.writeable = False


class Blotter:
    """Open orders as columns, `hand` in the order of acceptance, and those that sleep.

    An order with a price that lasts longer than a session falls asleep after its first bar, and wakes with the bar that
    may meet its price. Asleep it costs nothing.
    """

    def __init__(self, n: int) -> None:
        self._n, self._accepted = n, 0
        self.hand, self._asleep = no_orders(), Sleepers(n)

    def __len__(self) -> int:
        return len(self.hand.ids) + len(self._asleep)

    def accept(self, orders: Approved, rows: Any = None) -> Resting:
        """Takes in these legs, all of them where no rows are named, and gives them back as orders."""
        new = resting_of(orders, self._accepted, rows)
        self._accepted += len(new.ids)
        self.hand = joined(self.hand, new)
        return new

    def among(self, ids: list[int]) -> set[int]:
        """Which of these ids are those of open orders."""
        found = self._asleep.among(ids)
        return found.union(set(ids).intersection(self.hand.ids.tolist())) if self.hand.ids.size else found

    def sales(self) -> Vector | None:
        """(N,) shares, negative, that resting orders sell without a trigger. None = none."""
        hand, asleep = self.hand, self._asleep.sales()
        if not hand.ids.size:
            return asleep
        left = np.minimum(hand.left, 0.0)
        if hand.terms is not None:
            left = np.where(WAITS[hand.terms.kind] & ~hand.terms.triggered, 0.0, left)
        own: Vector = np.bincount(hand.symbol, weights=left, minlength=self._n).astype(np.float64)
        return own if asleep is None else own + asleep

    # ---- sleep -------------------------------------------------------------------------------------------------------

    def wake(self, bars: Bars) -> None:
        """Wakes every order whose price this bar may have met, and those whose date has passed."""
        if len(self._asleep):
            self._take(self._asleep.met(bars))

    def wake_ids(self, ids: Any) -> None:
        """Wakes the orders of these ids."""
        self._take(self._asleep.of_ids(ids.tolist()))

    def wake_symbol(self, symbol: int) -> None:
        self._take(self._asleep.of_symbol(symbol))

    def _take(self, woken: Resting) -> None:
        if woken.ids.size:
            self.hand = in_order(joined(woken, self.hand))

    def rest(self) -> None:
        """Puts to sleep what may: orders with a price, seen by a bar, that outlast their session."""
        hand = self.hand
        if hand.terms is None:
            return
        kind = hand.terms.kind
        market = (kind == OrderKind.STOP) & hand.terms.triggered
        rows = _SLEEPS[kind] & ~market & _LASTS[hand.tif] & hand.seen
        if np.count_nonzero(rows):
            self._asleep.add(taken(hand, rows))
            self._keep(~rows)

    # ---- changes -----------------------------------------------------------------------------------------------------

    def end(self, rows: Any, state: Any, ts: int) -> Reports:
        """Takes rows off the orders at hand and reports their end."""
        ended = taken(self.hand, rows)
        after = np.empty(len(ended.ids), np.int32)
        after[:] = state
        check_steps(ended.state, after)
        keep = np.ones(len(self.hand.ids), bool)
        keep[rows] = False
        self._keep(keep)
        return report_of(replace(ended, state=after, left=np.zeros(len(after))), ts)

    def _keep(self, rows: Mask) -> None:
        self.hand = taken(self.hand, rows) if np.count_nonzero(rows) else no_orders()

    def split(self, rows: Any, ratio: float, of: Universe, ts: int) -> list[Reports]:
        """Quantity and prices of rows at hand, of one symbol, follow a split; what is left without a lot ends."""
        orders, terms = taken(self.hand, rows), None
        left = split_quantity(orders.left, ratio, of.lot[orders.symbol])
        if orders.terms is not None:
            was, buys, tick = orders.terms, orders.left > 0, of.tick.item(orders.symbol.item(0))
            limit = split_price(was.limit, ratio, tick, ~buys)
            stop = split_price(was.stop, ratio, tick, buys)
            terms = replace(was, limit=limit, stop=stop, trail=was.trail / ratio, best=was.best / ratio)
        self.put(rows, {"left": left}, terms)
        self.step(rows, OrderState.REPLACED)
        some, none = rows[left != 0], rows[left == 0]
        out = [report_of(taken(self.hand, some), ts)] if some.size else []
        return [*out, self.end(none, OrderState.CANCELLED, ts)] if none.size else out

    def step(self, rows: Any, state: int) -> None:
        """Moves rows at hand to a state in which they stay open."""
        states = self.hand.state.copy()
        check_steps(states[rows], np.full(len(states[rows]), state))
        states[rows] = state
        self.hand = replace(self.hand, state=states)

    def put(self, rows: Any, columns: dict[str, Any], terms: Terms | None) -> None:
        """Replaces columns of rows at hand, of all where no rows are named; terms of None stay as they are."""
        hand = self.hand
        if rows is not None:
            columns = {name: _placed(getattr(hand, name), rows, column) for name, column in columns.items()}
            if terms is not None:
                before = terms_of(hand)
                fields = {f: _placed(getattr(before, f), rows, getattr(terms, f)) for f in terms.__struct_fields__}
                terms = Terms(**fields)
        self.hand = replace(hand, **columns, terms=hand.terms if terms is None else terms)

    def spend(self, rows: Any, qty: Vector, fees: Any, memo: Any = None) -> None:
        """Adds what rows at hand have just traded, and the cost model's memo of it, to what they had before."""
        before = spent_of(self.hand, 0 if memo is None else memo.shape[1])
        filled, paid, noted = before.filled.copy(), before.paid.copy(), before.memo.copy()
        filled[rows] += np.abs(qty)
        paid[rows] += fees
        if memo is not None:
            noted[rows] += memo
        self.hand = replace(self.hand, spent=Spent(filled=filled, paid=paid, memo=noted))

    def all(self) -> Resting:
        """Every open order, in the order of acceptance."""
        asleep = self._asleep.all()
        if not asleep.ids.size:
            return self.hand
        return in_order(joined(asleep, self.hand))

    def rows_of(self, ids: Iterable[int]) -> list[int]:
        """The row at hand of each id, -1 when there is none."""
        places = {order: row for row, order in enumerate(self.hand.ids.tolist())}
        return [places.get(order, -1) for order in ids]

    # ---- state -------------------------------------------------------------------------------------------------------

    def save(self) -> dict[str, Any]:
        return {"hand": packed(self.hand), "asleep": packed(self._asleep.all()), "accepted": self._accepted}

    def load(self, fields: dict[str, Any]) -> None:
        self.hand, self._accepted = unpacked(fields["hand"]), fields["accepted"]
        self._asleep, asleep = Sleepers(self._n), unpacked(fields["asleep"])
        if asleep.ids.size:
            self._asleep.add(asleep)


def _placed(column: Any, rows: Any, values: Any) -> Any:
    """The column with these values in these rows."""
    column = column.copy()
    column[rows] = values
    return column
