"""Orders that rest at a broker, as columns in the order of acceptance, and the ids it has seen."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.brokers.fill_rules import Terms
from components.brokers.kinds import TAKES
from engine.events import FEE_KINDS, Approved, Codes, Ids, Mask, Matrix, OrderState, Stamps, TimeInForce, Vector


class Spent(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What orders have traded so far: a minimum commission is charged once an order, not once a fill."""

    filled: Vector  # shares, unsigned
    paid: Matrix  # (L, K) fees
    memo: Matrix  # (L, M) what the cost model asks to be remembered, M = 0 where it asks for nothing


class Resting(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Columns of L open orders in the order of acceptance, replaced and never changed in place."""

    ids: Ids
    symbol: Codes
    left: Vector  # signed shares
    state: Codes
    tif: Codes
    until: Stamps  # no bar that begins later fills it
    accepted: Stamps  # or replaced
    number: Stamps  # counts acceptances
    count: Codes  # fills so far
    seen: Mask  # a session in which it could trade has begun
    terms: Terms | None = None  # None = all are market orders
    spent: Spent | None = None  # None = none has traded


_HANDFUL = 1024


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


_CODES, _STAMPS = _frozen(np.empty(0, np.int32)), _frozen(np.empty(0, np.int64))
_NONE = Resting(
    ids=_frozen(np.empty(0, np.uint64)),
    symbol=_CODES,
    left=_frozen(np.empty(0)),
    state=_CODES,
    tif=_CODES,
    until=_STAMPS,
    accepted=_STAMPS,
    number=_STAMPS,
    count=_CODES,
    seen=_frozen(np.empty(0, bool)),
)


def no_orders() -> Resting:
    """No open order: the same empty columns each time."""
    return _NONE


def constant(length: int, value: int, dtype: type[np.int32] | type[np.int64]) -> NDArray[Any]:
    """np.full for a handful of legs, at half its cost."""
    column: NDArray[Any] = np.empty(length, dtype)
    column.fill(value)
    return column


class Same:
    """One value for every row: a read-only column in the length that is asked for, shared by the handfuls of legs."""

    def __init__(self, value: float, dtype: type[Any]) -> None:
        self._column = _frozen(np.full(_HANDFUL, value, dtype))

    def __call__(self, length: int) -> NDArray[Any]:
        column = self._column
        return column[:length] if length <= _HANDFUL else np.full(length, column[0], column.dtype)


FOREVER = 2**63 - 1  # the `until` of an order without a date
_ZERO, _FOREVER, _UNSEEN = Same(0, np.int32), Same(FOREVER, np.int64), Same(False, np.bool_)


def resting_of(orders: Approved, number: int, rows: Any = None) -> Resting:
    """These legs, as just accepted; all legs, sharing the arrays of the orders, where no rows are named."""
    columns = (orders.ids, orders.symbol, orders.qty, orders.tif, orders.expires)
    if rows is not None:
        columns = tuple(column[rows] for column in columns)
    ids, symbol, qty, tif, expires = columns
    count = len(ids)
    zero, until = _ZERO(count), _FOREVER(count)
    if np.count_nonzero(tif):
        until = np.where(tif == TimeInForce.GOOD_TILL_DATE, expires, until)
    return Resting(
        ids=ids,
        symbol=symbol,
        left=qty,
        state=zero,  # OrderState.ACCEPTED
        tif=tif,
        until=until,
        accepted=constant(count, orders.ts, np.int64),
        number=np.arange(number, number + count),
        count=zero,
        seen=_UNSEEN(count),
        terms=_terms_of(orders, rows) if np.count_nonzero(orders.kind) else None,
    )


def _terms_of(orders: Approved, rows: Any) -> Terms:
    """Kind and prices of these legs; a price that its kind does not use is left out."""
    at = slice(None) if rows is None else rows
    kind = orders.kind[at]
    none = np.full(len(kind), np.nan)
    return Terms(
        kind=kind,
        limit=np.where(TAKES["limit"][kind], orders.limit[at], none),
        stop=np.where(TAKES["stop"][kind], orders.stop[at], none),
        trail=np.where(TAKES["trail"][kind], orders.trail[at], none),
        best=none,
        triggered=np.zeros(len(kind), bool),
    )


def terms_of(orders: Resting) -> Terms:
    """Their terms, written out where all are market orders."""
    if orders.terms is not None:
        return orders.terms
    count = len(orders.ids)
    none = np.full(count, np.nan)
    kind, triggered = np.zeros(count, np.int32), np.zeros(count, bool)
    return Terms(kind=kind, limit=none, stop=none, trail=none, best=none, triggered=triggered)


def spent_of(orders: Resting, width: int = 0) -> Spent:
    """What they have traded, written out where none has, with a memo of this width."""
    count = len(orders.ids)
    if orders.spent is not None:
        return orders.spent
    return Spent(filled=np.zeros(count), paid=np.zeros((count, len(FEE_KINDS))), memo=np.zeros((count, width)))


def joined(*orders: Resting) -> Resting:
    """All of these, one after the other."""
    parts = [part for part in orders if part.ids.size]
    if len(parts) < 2:
        return parts[0] if parts else _NONE
    columns = _stacked(parts, COLUMNS)
    if any(part.terms is not None for part in parts):
        terms = [terms_of(part) for part in parts]
        columns["terms"] = Terms(**_stacked(terms, Terms.__struct_fields__))
    width = max((part.spent.memo.shape[1] for part in parts if part.spent is not None), default=-1)
    if width >= 0:
        spent = [spent_of(part, width) for part in parts]
        columns["spent"] = Spent(**_stacked(spent, Spent.__struct_fields__))
    return Resting(**columns)


def _stacked(parts: Sequence[Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}


def rows_of(columns: Any, rows: Any) -> Any:
    """These rows of a struct of columns."""
    return type(columns)(**{name: getattr(columns, name)[rows] for name in columns.__struct_fields__})


def taken(orders: Resting, rows: NDArray[Any]) -> Resting:
    """These rows, by mask or by index."""
    columns: dict[str, Any] = {name: getattr(orders, name)[rows] for name in COLUMNS}
    if orders.terms is not None:
        columns["terms"] = rows_of(orders.terms, rows)
    if orders.spent is not None:
        columns["spent"] = rows_of(orders.spent, rows)
    return Resting(**columns)


def in_order(orders: Resting) -> Resting:
    """By acceptance; most often they stand so."""
    number = orders.number
    if 0 not in (number[:-1] <= number[1:]).tobytes():
        return orders
    return taken(orders, np.argsort(number, kind="stable"))


def packed(orders: Resting) -> dict[str, Any]:
    """Columns as a saved state holds them."""
    nested = {"terms": orders.terms, "spent": orders.spent}
    columns: dict[str, Any] = {name: getattr(orders, name) for name in COLUMNS}
    for name, part in nested.items():
        columns[name] = None if part is None else {field: getattr(part, field) for field in part.__struct_fields__}
    return columns


def unpacked(columns: dict[str, Any]) -> Resting:
    """The orders that `packed` wrote."""
    terms, spent = columns["terms"], columns["spent"]
    nested = {"terms": None if terms is None else Terms(**terms), "spent": None if spent is None else Spent(**spent)}
    return Resting(**(columns | nested)) if len(columns["ids"]) else _NONE


def row_of(orders: Resting, order_id: int) -> int:
    """The row of an open order, -1 when there is none of that id."""
    rows = np.flatnonzero(orders.ids == np.uint64(order_id))
    return int(rows[0]) if rows.size else -1


COLUMNS = tuple(name for name in Resting.__struct_fields__ if name not in ("terms", "spent"))


def _by_tif(ends: dict[TimeInForce, OrderState]) -> Codes:
    table = np.array([ends.get(tif, -1) for tif in TimeInForce], np.int32)
    table.flags.writeable = False
    return table


_SLICE_ENDS = _by_tif(
    {TimeInForce.IMMEDIATE_OR_CANCEL: OrderState.CANCELLED, TimeInForce.FILL_OR_KILL: OrderState.CANCELLED}
)
_SESSION_ENDS = np.where(np.arange(len(TimeInForce)) == TimeInForce.DAY, np.int32(OrderState.EXPIRED), _SLICE_ENDS)
_CUT = np.where(np.arange(len(TimeInForce)) == TimeInForce.DAY, np.int32(OrderState.CANCELLED), _SLICE_ENDS)


def after_bar(tif: Codes, *, session_ends: bool) -> Codes:
    """The state in which an order ends that did not trade at a bar it could have traded at; -1 = it rests.

    >>> after_bar(np.array([TimeInForce.DAY, TimeInForce.GOOD_TILL_CANCELLED]), session_ends=True).tolist()
    [4, -1]
    """
    ends: Codes = (_SESSION_ENDS if session_ends else _SLICE_ENDS)[tif]
    return ends


def after_cut(tif: Codes) -> Codes:
    """The state in which an order ends that traded less than whole for want of money; -1 = the rest rests.

    >>> after_cut(np.array([TimeInForce.DAY, TimeInForce.GOOD_TILL_CANCELLED])).tolist()
    [3, -1]
    """
    ends: Codes = _CUT[tif]
    return ends


class SeenIds:
    """The latest ids that were accepted, at least `size` of them: an order sent twice is one order."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._seen: set[int] = set()
        self._batches: deque[list[int]] = deque(maxlen=size)

    def among(self, ids: list[int]) -> set[int]:
        """Which of these were seen."""
        return self._seen.intersection(ids)

    def add(self, ids: list[int]) -> None:
        """Takes in a batch; the oldest batches go once `size` ids would remain without them."""
        batches = self._batches
        if len(batches) == batches.maxlen:
            self._seen.difference_update(batches.popleft())
        batches.append(ids)
        self._seen.update(ids)
        while len(self._seen) - len(batches[0]) >= self._size:
            self._seen.difference_update(batches.popleft())

    def save(self) -> list[list[int]]:
        return [list(batch) for batch in self._batches]

    def load(self, batches: list[list[int]]) -> None:
        self._batches.clear()
        self._seen.clear()
        for batch in batches:
            self.add(list(batch))
