"""Orders that can still trade, as columns in the order of acceptance."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.events import Approved, Codes, Ids, LegAction, Mask, OpenOrders, OrderKind, OrderState, Reports, Vector
from engine.state import pack, unpack

_CONDITIONAL = (OrderKind.STOP, OrderKind.STOP_LIMIT, OrderKind.TRAILING_STOP)
_CANCELLED, _TRIGGERED = int(OrderState.CANCELLED), int(OrderState.TRIGGERED)  # states from CANCELLED on are ends
_REPLACED = int(OrderState.REPLACED)
_NEW, _REPLACE = int(LegAction.NEW), int(LegAction.REPLACE)
_VERSION = 2
_NEAR_TICK = 1e-6  # ticks
_FEW = 48  # ids up to which a look for each is faster than sorting them


def _empty() -> OpenOrders:
    none, ids, codes = np.empty(0), np.empty(0, np.uint64), np.empty(0, np.int32)
    return OpenOrders(ids=ids, parent=ids, symbol=codes, left=none, kind=codes, limit=none, stop=none)


def frozen(array: Any) -> Any:
    """The array, read-only from now on: a book shares it."""
    array.setflags(False)  # by position, and not through `flags`: it is done seven times a slice
    return array


def split_price(price: Vector, ratio: float, tick: float, up: Mask) -> Vector:
    """Prices of orders after a split: price / ratio, between two ticks the upper one where `up`, else the lower one.

    Away from the market: limits of purchases and stops of sales go down, the others up, so that no limit is worse than
    it was and no stop is met earlier. What is less than a tick stays as it is; so does any price where tick is 0.

    >>> split_price(np.array([50.0, 50.0, 48.0]), 3.0, 0.01, np.array([False, True, True]))
    array([16.66, 16.67, 16.  ])
    """
    exact = price / ratio
    if not tick > 0:
        return exact
    with np.errstate(invalid="ignore"):  # of a price that its kind does not use, and that may be anything
        steps = exact / tick
        between = np.abs(steps - np.rint(steps)) > _NEAR_TICK
        whole = np.where(up, np.ceil(steps), np.floor(steps))
    return np.where(between & (whole > 0), whole * tick, exact)


class OpenLegs:
    """The fold of approved legs, reports, refusals and fills into open orders and working quantity.

    `legs` are the open orders; `working` (N,) is what of them can trade without a trigger. Both are replaced, never
    changed in place. Orders that end are most often the youngest, so those are looked for first, and taking them off
    costs nothing however many rest below them.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._none, self._zero = _empty(), np.zeros(n)
        self._zero.flags.writeable = False
        self.legs: OpenOrders = self._none
        self.working: Vector = self._zero
        self._triggered: NDArray[np.bool_] = np.empty(0, bool)
        self._ids: set[int] | None = None  # of the open orders, None = not asked for since they changed
        # order -> the replaces that ask for new prices, in their order, each as (its own id, limit, stop)
        self._asked: dict[int, list[tuple[int, float, float]]] = {}

    def accept(self, approved: Approved) -> None:
        """New legs become open; a cancel or replace changes nothing until the broker reports it."""
        if not len(approved.ids):
            return
        added = _opened(approved)
        if np.count_nonzero(approved.action):
            self._ask(approved)
            new = approved.action == _NEW
            if not new.any():
                return
            added = _picked(added, new)
        if self.legs.ids.size:
            known, sent = self._known(), added.ids.tolist()
            if not known.isdisjoint(sent):  # sent twice is one order
                added = _picked(added, np.array([order not in known for order in sent]))
            known.update(sent)
        live = np.ones(len(added.ids), bool)
        triggered = ~np.isin(added.kind, _CONDITIONAL) if np.count_nonzero(added.kind) else live
        if not self.legs.ids.size:
            self.legs, self._triggered = added, triggered
            self._sum()
            return
        both = (self.legs, added)
        self.legs = OpenOrders(**{name: np.concatenate([getattr(b, name) for b in both]) for name in _COLUMNS})
        self._triggered = np.concatenate([self._triggered, triggered])
        working = self.working.copy()  # in the order of the legs, as `_sum` does: not a bit of it differs
        np.add.at(working, added.symbol, np.where(triggered, added.left, 0.0))
        self.working = frozen(working)

    def _known(self) -> set[int]:
        if self._ids is None:
            self._ids = set(self.legs.ids.tolist())
        return self._ids

    def _ask(self, approved: Approved) -> None:
        """Keeps the prices that a replace asks for until the broker has said yes or no; NaN asks for none."""
        for i in np.flatnonzero(approved.action == _REPLACE).tolist():
            prices = float(approved.limit[i]), float(approved.stop[i])
            self._asked.setdefault(int(approved.ref[i]), []).append((int(approved.ids[i]), *prices))

    def _reprice(self, rows: NDArray[np.intp]) -> None:
        limit, stop = self.legs.limit.copy(), self.legs.stop.copy()
        for row in rows.tolist():
            waiting = self._asked.get(int(self.legs.ids[row]))
            _, wanted, trigger = waiting.pop(0) if waiting else (0, np.nan, np.nan)
            limit[row] = limit[row] if np.isnan(wanted) else wanted
            stop[row] = stop[row] if np.isnan(trigger) else trigger
        self.legs = msgspec.structs.replace(self.legs, limit=limit, stop=stop)

    def fill(self, ids: Ids, qty: Vector) -> None:
        """Takes filled quantity off; an order with nothing left is gone."""
        if not self.legs.ids.size:
            return
        rows, found = self._find(ids)
        if not found.any():
            return
        left: Vector = self.legs.left.copy()
        np.subtract.at(left, rows[found], qty[found])
        self.legs = msgspec.structs.replace(self.legs, left=left)
        self._keep(left != 0)

    def report(self, reports: Reports) -> None:
        ids, state, legs = reports.ids, reports.state, self.legs
        if _same(ids, legs.ids):  # all that is open, in its order: the usual case
            if not np.count_nonzero(state) and _same(legs.left, reports.left):
                return  # accepted, as approved
            if 0 not in (state >= _CANCELLED).tobytes():
                self._clear()
                return
        rows, found = self._find(ids)
        if not found.any():
            return
        rows, state, quantity = rows[found], state[found], reports.left[found]
        if not np.count_nonzero(state) and _same(legs.left[rows], quantity):
            return  # accepted, as approved
        ended = state >= _CANCELLED
        if self._asked:
            self._answered(reports, rows[state == _REPLACED])
        if 0 not in ended.tobytes():
            self._drop(rows)
            return
        left: Vector = self.legs.left.copy()
        left[rows] = np.where(ended, 0.0, quantity)
        self._triggered = self._triggered.copy()
        self._triggered[rows[state == _TRIGGERED]] = True
        self.legs = msgspec.structs.replace(self.legs, left=left)
        self._keep(left != 0)

    def _answered(self, reports: Reports, replaced: NDArray[np.intp]) -> None:
        """The prices that replaces asked for count now, and what was asked of orders that have ended does not."""
        self._reprice(replaced)
        for order in reports.ids[reports.state >= _CANCELLED].tolist():
            self._asked.pop(order, None)

    def _drop(self, rows: NDArray[np.intp]) -> None:
        keep = np.ones(len(self.legs.ids), bool)
        keep[rows] = False
        self._keep(keep)

    def remove(self, ids: Ids) -> None:
        if self._asked:
            refused = set(ids.tolist())
            kept = {order: [a for a in asked if a[0] not in refused] for order, asked in self._asked.items()}
            self._asked = {order: asked for order, asked in kept.items() if asked}
        rows, found = self._find(ids)
        if found.any():
            self._drop(rows[found])

    def split(self, symbol: int, ratio: float, tick: float) -> None:
        """Quantity and prices of open orders follow a split, see `split_price`.

        The book of the actions is made before the broker's report, which then says what is left in whole lots.
        """
        mine = np.flatnonzero(self.legs.symbol == symbol)
        if not mine.size:
            return
        limit, stop, buys = self.legs.limit.copy(), self.legs.stop.copy(), self.legs.left[mine] > 0
        limit[mine] = split_price(limit[mine], ratio, tick, ~buys)
        stop[mine] = split_price(stop[mine], ratio, tick, buys)
        left = self.legs.left.copy()
        left[mine] *= ratio
        self.legs = msgspec.structs.replace(self.legs, limit=limit, stop=stop, left=left)
        self._sum()

    def drop_symbol(self, symbol: int) -> None:
        if self.legs.ids.size:
            self._keep(self.legs.symbol != symbol)

    def _find(self, ids: Ids) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Row of each id, and whether it is open at all."""
        mine = self.legs.ids
        first = len(mine) - len(ids)
        if first >= 0 and len(ids) and _same(ids, mine[first:]):
            return np.arange(first, len(mine)), np.ones(len(ids), bool)
        if not mine.size or not ids.size or self._known().isdisjoint(ids.tolist()):
            return np.zeros(len(ids), np.intp), np.zeros(len(ids), bool)
        if len(ids) <= _FEW:
            return self._find_each(ids.tolist())
        order = np.argsort(ids, kind="stable")  # the few are sorted, not the many
        place = np.minimum(np.searchsorted(ids, mine, sorter=order), len(ids) - 1)
        rows, found = np.zeros(len(ids), np.intp), np.zeros(len(ids), bool)
        hit = np.flatnonzero(ids[order[place]] == mine)
        which = order[place[hit]]
        rows[which], found[which] = hit, True
        if len(hit) < len(ids):  # an id that stands twice among the few, such as two fills of one order
            _, first_of, group = np.unique(ids, return_index=True, return_inverse=True)
            known = np.zeros(len(first_of), bool)
            row_of = np.zeros(len(first_of), np.intp)
            np.logical_or.at(known, group, found)
            np.maximum.at(row_of, group, rows)
            rows, found = row_of[group], known[group]
        return rows, found

    def _find_each(self, ids: list[int]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        mine, known = self.legs.ids, self._known()
        rows = [int((mine == order).argmax()) if order in known else -1 for order in ids]
        places = np.array(rows, np.intp)
        return np.maximum(places, 0), places >= 0

    def _keep(self, keep: NDArray[np.bool_]) -> None:
        count = int(np.count_nonzero(keep))
        if not count:
            self._clear()
            return
        if count < len(keep):
            youngest = np.count_nonzero(keep[:count]) == count
            rows: Any = slice(count) if youngest else keep
            if self._ids is not None:
                self._ids.difference_update((self.legs.ids[count:] if youngest else self.legs.ids[~keep]).tolist())
            self.legs = _picked(self.legs, rows)
            self._triggered = self._triggered[rows]
        self._sum()

    def _clear(self) -> None:
        self.legs, self.working, self._triggered = self._none, self._zero, self._triggered[:0]
        self._ids = None

    def _sum(self) -> None:
        symbol, left, triggered = self.legs.symbol, self.legs.left, self._triggered
        live = left if np.count_nonzero(triggered) == len(left) else np.where(triggered, left, 0.0)
        self.working = frozen(np.bincount(symbol, weights=live, minlength=self._n).astype(np.float64, copy=False))

    def save(self) -> bytes:
        columns = {name: getattr(self.legs, name) for name in _COLUMNS}
        asked = [(order, *one) for order, asked in self._asked.items() for one in asked]
        return pack("open_orders", _VERSION, triggered=self._triggered, asked=asked, **columns)

    def load(self, state: bytes, place: list[int]) -> None:
        """`place` gives each saved symbol's position now."""
        fields = unpack(state, "open_orders", _VERSION)
        self._triggered = fields.pop("triggered")
        self._asked = {}
        for order, *one in fields.pop("asked"):
            self._asked.setdefault(order, []).append((one[0], one[1], one[2]))
        moved: Codes = np.asarray(place, np.int32)[fields["symbol"]] if len(fields["symbol"]) else fields["symbol"]
        self.legs = OpenOrders(**(fields | {"symbol": moved}))
        self._ids = None
        self._keep(np.ones(len(moved), bool))


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Equal in length and values; that the same array is itself is seen at once."""
    return one is other or (len(one) == len(other) and 0 not in (one == other).tobytes())


def _opened(legs: Approved) -> OpenOrders:
    """These legs as open orders; the `ref` of a new one is its parent."""
    return OpenOrders(
        ids=legs.ids,
        parent=legs.ref,
        symbol=legs.symbol,
        left=legs.qty,
        kind=legs.kind,
        limit=legs.limit,
        stop=legs.stop,
    )


def _picked(legs: OpenOrders, rows: Any) -> OpenOrders:
    return OpenOrders(**{name: getattr(legs, name)[rows] for name in _COLUMNS})


_COLUMNS = OpenOrders.__struct_fields__
