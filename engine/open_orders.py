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


class _Young(msgspec.Struct, frozen=True, eq=False):
    """The orders of the latest batch, kept apart from those that rest until somebody asks for all of them."""

    legs: OpenOrders
    triggered: Mask
    number: NDArray[np.int64]
    before: Vector  # (N,) what was working without them


class OpenLegs:
    """The fold of approved legs, reports, refusals and fills into open orders and working quantity.

    `legs` are the open orders; `working` (N,) is what of them can trade without a trigger. Both are replaced, never
    changed in place. Orders that end are most often the youngest, so those are looked for first, and while nobody asks
    for all orders in between they come and go at no cost however many rest below them.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._none, self._zero = _empty(), np.zeros(n)
        self._zero.flags.writeable = False
        self._legs: OpenOrders = self._none
        self.working: Vector = self._zero
        self._triggered: NDArray[np.bool_] = np.empty(0, bool)
        self._young: _Young | None = None  # only while others rest
        # id -> number of the open orders, and the numbers of those in `_legs`, ascending; None = not asked for so far
        self._by_id: dict[int, int] | None = None
        self._number: NDArray[np.int64] = np.empty(0, np.int64)
        # order -> the replaces that ask for new prices, in their order, each as (its own id, limit, stop)
        self._asked: dict[int, list[tuple[int, float, float]]] = {}

    @property
    def legs(self) -> OpenOrders:
        """The open orders, in the order of acceptance."""
        young = self._young
        if young is not None:
            self._young, both = None, (self._legs, young.legs)
            self._legs = OpenOrders(**{name: np.concatenate([getattr(b, name) for b in both]) for name in _COLUMNS})
            self._triggered = np.concatenate([self._triggered, young.triggered])
            self._number = np.concatenate([self._number, young.number])
        return self._legs

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
            known = self._numbers()
            fresh = np.array([order not in known for order in added.ids.tolist()])
            if not fresh.all():  # sent twice is one order
                added = _picked(added, fresh)
            if not added.ids.size:
                return
        live = np.ones(len(added.ids), bool)
        plain = approved.kind is approved.action or not np.count_nonzero(added.kind)  # one column of zeros, or like it
        triggered = live if plain else ~np.isin(added.kind, _CONDITIONAL)
        if not self.legs.ids.size:
            self._legs, self._triggered, self._by_id = added, triggered, None
            self._sum()
            return
        first = self._number.item(-1) + 1
        number = np.arange(first, first + len(live))
        known = self._numbers()
        for order, place in zip(added.ids.tolist(), number.tolist(), strict=True):
            known.setdefault(order, place)
        self._young = _Young(added, triggered, number, self.working)
        working = self.working.copy()  # in the order of the legs, as `_sum` does: not a bit of it differs
        np.add.at(working, added.symbol, np.where(triggered, added.left, 0.0))
        self.working = frozen(working)

    def _numbers(self) -> dict[int, int]:
        """The number of each open order by its id: `_number` has them by row, ascending."""
        if self._by_id is None:
            ids = self.legs.ids.tolist()
            self._number = np.arange(len(ids))
            self._by_id = dict(zip(reversed(ids), reversed(range(len(ids))), strict=True))
        return self._by_id

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
        self._legs = msgspec.structs.replace(self.legs, limit=limit, stop=stop)

    def fill(self, ids: Ids, qty: Vector) -> None:
        """Takes filled quantity off; an order with nothing left is gone."""
        if not self.legs.ids.size:
            return
        rows, found = self._find(ids)
        if not found.any():
            return
        left: Vector = self.legs.left.copy()
        np.subtract.at(left, rows[found], qty[found])
        self._legs = msgspec.structs.replace(self.legs, left=left)
        self._keep(left != 0)

    def report(self, reports: Reports) -> None:
        if self._young is not None and not self._asked:
            reports = self._without_young(reports, self._young)
            if not len(reports.ids):
                return
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
        self._legs = msgspec.structs.replace(self.legs, left=left)
        self._keep(left != 0)

    def _without_young(self, reports: Reports, young: _Young) -> Reports:
        """What is left to take in of a report that says last of the youngest orders: all as approved, or all ended."""
        first = len(reports.ids) - len(young.legs.ids)
        if first < 0 or not _same(reports.ids[first:], young.legs.ids):
            return reports
        state = reports.state[first:]
        if 0 not in (state >= _CANCELLED).tobytes():
            self._young, self.working = None, young.before
            self._forget(young.legs.ids)
        elif np.count_nonzero(state) or not _same(young.legs.left, reports.left[first:]):
            return reports
        ids, symbol = reports.ids[:first], reports.symbol[:first]
        return Reports(ts=reports.ts, ids=ids, symbol=symbol, state=reports.state[:first], left=reports.left[:first])

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
        self._legs = msgspec.structs.replace(self.legs, limit=limit, stop=stop, left=left)
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
        if not mine.size or self._numbers().keys().isdisjoint(ids.tolist()):
            return np.zeros(len(ids), np.intp), np.zeros(len(ids), bool)
        numbers = self._numbers()
        wanted = np.array([numbers.get(order, -1) for order in ids.tolist()], np.int64)
        found = wanted >= 0
        rows: NDArray[np.intp] = np.searchsorted(self._number, np.maximum(wanted, 0))
        return np.where(found, rows, 0), found

    def _keep(self, keep: NDArray[np.bool_]) -> None:
        count = int(np.count_nonzero(keep))
        if not count:
            self._clear()
            return
        if count < len(keep):
            youngest = np.count_nonzero(keep[:count]) == count
            rows: Any = slice(count) if youngest else keep
            self._forget(self.legs.ids[count:] if youngest else self.legs.ids[~keep])
            self._legs = _picked(self.legs, rows)
            self._triggered = self._triggered[rows]
            if self._by_id is not None:
                self._number = self._number[rows]
        self._sum()

    def _forget(self, ids: Ids) -> None:
        if self._by_id is not None:
            for order in ids.tolist():
                self._by_id.pop(order, None)

    def _clear(self) -> None:
        self._legs, self.working, self._triggered = self._none, self._zero, self._triggered[:0]
        self._by_id = None

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
        self._legs = OpenOrders(**(fields | {"symbol": moved}))
        self._by_id = None
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
