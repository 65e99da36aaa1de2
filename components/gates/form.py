"""Whether legs are well formed, before anything is judged: as many values in every column, ids that stand once."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.errors import ComponentError
from engine.events import Approved, Book, Children, LegAction, Legs, OrderKind, TimeInForce

Why = tuple[str, float, float]  # rule, value, threshold
Pending = Sequence[tuple[Any, Any, Any]]  # ids of orders, symbols, quantities approved since the book

LEGS = tuple(name for name in Legs.__struct_fields__ if name != "ts")
_ACTION, _KIND, _TIF = max(LegAction), max(OrderKind), max(TimeInForce)
_REPLACE = int(LegAction.REPLACE)


def approved(o: Legs, rows: Any = None) -> Approved:
    """The legs of these rows; all legs, sharing the arrays of the orders, where none are named.

    Nobody writes into either: those of orders are read-only when they come here.
    """
    if rows is not None:
        picked = {name: getattr(o, name)[rows] for name in LEGS}
        for column in picked.values():
            column.setflags(write=False)
        return Approved(ts=o.ts, **picked)
    return Approved(  # spelled out, for every batch comes by: a dict of columns would cost several times as much
        ts=o.ts,
        action=o.action,
        ids=o.ids,
        ref=o.ref,
        symbol=o.symbol,
        qty=o.qty,
        kind=o.kind,
        limit=o.limit,
        stop=o.stop,
        tif=o.tif,
        expires=o.expires,
        trail=o.trail,
    )


def check_columns(orders: Legs, gate: str) -> None:
    """Raises ComponentError unless every column has one value a leg: no row says then which order was meant."""
    names = [name for name in orders.__struct_fields__ if name != "ts"]
    lengths = {name: len(getattr(orders, name)) for name in names}
    if len(set(lengths.values())) == 1:
        return
    told = ", ".join(f"{name} {length}" for name, length in lengths.items())
    kind = orders.__class__.__name__
    cause = f"columns of {kind} differ in length ({told}); whoever says {kind} has to give each column one value a leg"
    raise ComponentError(gate, kind, orders.ts, cause)


def zeros(codes: Any) -> bool:
    """Whether all are 0, for a handful at a third of what np.count_nonzero costs."""
    raw = codes.tobytes()
    return bool(raw == bytes(len(raw)))


def all_new(o: Legs, book: Book, pending: Pending) -> bool:
    """Whether these are as many in each column, of new orders of known kinds with ids that stand once."""
    n = len(o.ids)
    if not (n == len(o.action) == len(o.ref) == len(o.symbol) == len(o.qty) == len(o.kind) == len(o.limit)):
        return False
    if not (n == len(o.stop) == len(o.tif) == len(o.expires) == len(o.trail)):
        return False
    if not zeros(o.action) or (o.__class__ is Children and len(o.parent) != n):
        return False
    if not (zeros(o.ref) or (o.__class__ is Children and np.array_equal(o.ref, o.parent))):
        return False
    if not ((zeros(o.kind) or _within(o.kind, _KIND)) and (zeros(o.tif) or _within(o.tif, _TIF))):
        return False
    mine = set(o.ids.tolist())
    if len(mine) != n or 0 in mine or not mine.isdisjoint(book.open_orders.ids.tolist()):
        return False
    return not pending or all(mine.isdisjoint(known.tolist()) for known, _, _ in pending)


def _within(codes: Any, largest: int) -> bool:
    return bool(codes.min() >= 0 and codes.max() <= largest)


def live(book: Book, pending: Pending) -> dict[int, int]:
    """Symbols of all orders that are open, or will be, by id."""
    rows = [(ids, symbol) for ids, symbol, _ in pending]
    rows.append((book.open_orders.ids, book.open_orders.symbol))  # last: what the ledger says of an order counts
    return {order: s for ids, symbol in rows for order, s in zip(ids.tolist(), symbol.tolist(), strict=True)}


def malformed(orders: Legs, i: int, symbols: dict[int, int], before: set[int]) -> Why | None:
    """What is wrong with a new or replacing leg i: rule, value, threshold.

    `symbols` of the orders that work, by id; `before` are the ids of the legs ahead of it.
    """
    own, action, symbol = int(orders.ids[i]), int(orders.action[i]), int(orders.symbol[i])
    if not own:  # 0 = none: nobody could name it
        return "no_id", 0.0, 1.0
    if own in symbols or own in before:
        return "duplicate", 2.0, 1.0
    if not 0 <= action <= _ACTION:
        return "action", float(action), float(_ACTION)
    if action == _REPLACE:
        meant = symbols.get(int(orders.ref[i]), symbol)  # not open: the broker says so
        return None if meant == symbol else ("replace_symbol", float(symbol), float(meant))
    if not 0 <= orders.kind[i] <= _KIND:
        return "order_kind", float(orders.kind[i]), float(_KIND)
    if not 0 <= orders.tif[i] <= _TIF:
        return "time_in_force", float(orders.tif[i]), float(_TIF)
    return None
