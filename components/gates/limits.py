"""The risk gate: every order passes here last, after rounding, and only what passes reaches a broker."""

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from components.gates.rules import LIMITS, Check, exits
from engine.events import (
    Approved,
    Book,
    Children,
    Control,
    ControlAction,
    LegAction,
    Legs,
    Mask,
    Mode,
    OpenOrders,
    Orders,
    Refusals,
    Vector,
)
from engine.ids import OrderIds
from engine.state import check_appended, pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "limits", 2
_SLACK = 1.0 + 1e-9  # a value within rounding of its limit is at the limit
_MODES = {
    ControlAction.HALT: Mode.HALTED,
    ControlAction.FLATTEN: Mode.HALTED,
    ControlAction.REDUCE_ONLY: Mode.REDUCE_ONLY,
    ControlAction.RESUME: Mode.ACTIVE,
}
_ACTIVE = Mode.ACTIVE
_ORDERS = OpenOrders.__struct_fields__
_BOOK = tuple(name for name in Book.__struct_fields__ if name not in ("open_orders", "mode"))
# Columns of a book by symbol, with what a name has that was never in one.
_COLD = dict.fromkeys(("qty", "working", "opened", "realised", "fees", "income"), 0.0) | dict.fromkeys(
    ("mark", "entry", "best"), np.nan
)


class Limits:
    """Approves or refuses each order leg against the latest book, in the order the legs come.

        max_order_value   |qty| * unit, base money
        max_weight        |position after the order| * unit / equity
        max_gross         sum over symbols of |position| * unit / equity, after the order and those before it
        max_net           |sum over symbols of position * unit| / equity, likewise

    Position is the worst case: filled shares and every working order of the order's own side. Sales that are working
    already free no room until they fill; those approved earlier in the same batch do. `None` sets no limit. A value at
    its limit passes. An order that only reduces a position passes all of these, so that a position can always be left.

    Without a book, without a finite positive mark of the symbol, or (when it would add risk) without positive equity,
    an order is refused: the gate fails closed. A refused leg says nothing about the others. Cancels always pass.

    Control `halt` refuses all orders but cancels, `reduce_only` all that do not reduce; `flatten` cancels every order,
    closes every position and halts, closing again after each book what did not fill; all hold until `resume`.
    Memory: one book and the orders approved since.

    >>> from engine.universe import universe_of
    >>> from engine.ids import OrderIds
    >>> gate = Limits(universe=universe_of(("A",)), ids=OrderIds("s", "risk"), name="risk", max_weight=0.5)
    >>> gate.on_book(book(1, [10.0], cash=1000.0))
    >>> [type(e).__name__ for e in gate.on_orders(legs(ts=1, symbol=[0, 0], qty=[50, 1]))]
    ['Approved', 'Refusals']
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        ids: OrderIds,
        name: str,
        max_order_value: float | None = None,
        max_weight: float | None = None,
        max_gross: float | None = None,
        max_net: float | None = None,
    ) -> None:
        given = {
            "max_order_value": max_order_value,
            "max_weight": max_weight,
            "max_gross": max_gross,
            "max_net": max_net,
        }
        for key, value in given.items():
            if value is not None and not 0 < value < np.inf:
                raise ValueError(f"{key} must be above 0, got {value}; leave it out for no limit")
        self._limits = tuple((limit, value) for limit in LIMITS if (value := given[limit.name]) is not None)
        self._whole = max_gross is not None or max_net is not None
        self._universe, self._ids, self._name = universe, ids, name
        self._book: Book | None = None
        self._mode = Mode.ACTIVE
        self._flatten = False
        self._pending: list[tuple[Any, Any, Any]] = []  # ids, symbols, quantities approved since the book
        self._sent = (0, 0)  # slice, own legs sent in it

    def on_book(self, book: Book, /) -> Approved | None:
        self._book = book
        if self._pending:
            self._pending = []
        return self._close(book) if self._flatten and book.qty.any() else None

    def on_control(self, control: Control, /) -> Approved | None:
        if control.action not in _MODES:
            return None
        self._mode = _MODES[control.action]
        if control.action is ControlAction.RESUME:
            self._flatten = False
        if control.action is not ControlAction.FLATTEN:
            return None
        self._flatten = True
        return None if self._book is None else self._leave(control.ts, self._book)

    def on_orders(self, orders: Orders | Children, /) -> tuple[Approved | Refusals, ...]:
        book = self._book
        if book is None or self._mode is not _ACTIVE or np.count_nonzero(orders.action):
            return self._one_by_one(orders)
        if not _distinct(orders.symbol.tolist(), len(book.qty)):
            return self._one_by_one(orders)
        if self._whole and not isfinite(np.add.reduce(orders.qty)):
            return self._one_by_one(orders)
        symbols = orders.symbol.astype(np.intp)  # indexing by it is several times as fast
        high, low = self._sides(book)
        before = book.qty[symbols] if high is low else np.where(orders.qty > 0, high[symbols], low[symbols])
        check = self._check(book, symbols, orders.qty, before, self._totals(book, high, low))
        # Values are not negative, so that their sum is finite only where each is.
        if not (isfinite(np.add.reduce(check.value)) and _every(check.unit > 0.0) and book.equity > 0):
            return self._one_by_one(orders)
        for limit, threshold in self._limits:
            if not _every(limit.formula(check) <= threshold * _SLACK):  # so that NaN is refused
                return self._one_by_one(orders)
        return (self._approve(orders),)

    def _totals(self, book: Book, high: Vector, low: Vector) -> tuple[float, float]:
        """Gross (worst case) and net value of the whole book, worked out only for the limits that need them."""
        if not self._whole:
            return 0.0, 0.0
        if high is low and not np.count_nonzero(book.working):
            rows = high.nonzero()[0]
            value = high[rows] * self._unit(book, rows)
            return float(np.abs(value).sum()), float(value.sum())
        rows = np.flatnonzero((high != 0) | (low != 0))
        unit = self._unit(book, rows)
        net = book.qty[rows] + book.working[rows]
        return float(np.maximum(np.abs(high[rows]), np.abs(low[rows])) @ unit), float(net @ unit)

    def _unit(self, book: Book, rows: Any) -> Vector:
        """Base money for one share."""
        universe = self._universe
        unit: Vector = book.mark[rows] * universe.multiplier[rows]
        return unit if len(book.rate) == 1 else unit * book.rate[universe.currency[rows]]

    def _sides(self, book: Book) -> tuple[Vector, Vector]:
        """(N,) position if all working purchases fill, and if all working sales do; the same array if none work."""
        waiting = [(book.open_orders.symbol, book.open_orders.left)] if book.open_orders.ids.size else []
        waiting += [(symbol, qty) for _, symbol, qty in self._pending]
        if not waiting:
            return book.qty, book.qty
        high, low = book.qty, book.qty
        for symbol, left in waiting:  # sums by symbol: orders that rest may be many
            high = high + np.bincount(symbol, weights=np.maximum(left, 0.0), minlength=len(high))
            low = low + np.bincount(symbol, weights=np.minimum(left, 0.0), minlength=len(low))
        return high, low

    def _check(self, book: Book, symbols: Any, qty: Vector, before: Vector, totals: tuple[float, float]) -> Check:
        unit = self._unit(book, symbols)
        after = before + qty
        gross = net = unit
        if self._whole:
            gross = totals[0] + np.cumsum((np.abs(after) - np.abs(before)) * unit)
            net = totals[1] + np.cumsum(qty * unit)
        return Check(np.abs(qty) * unit, unit, before, after, gross, net, book.equity)

    def _approve(self, orders: Legs, rows: Any = None) -> Approved:
        """The legs of these rows; all legs, sharing the arrays of the orders, where none are named."""
        columns = {name: getattr(orders, name) for name in _LEGS}
        if rows is not None:
            columns = {name: column[rows] for name, column in columns.items()}
        self._remember(columns["ids"], columns["symbol"], columns["qty"])
        return Approved(ts=orders.ts, **columns)

    def _remember(self, ids: Any, symbol: Any, qty: Any) -> None:
        if np.count_nonzero(qty) == len(qty):
            self._pending.append((ids, symbol, qty))
        else:  # cancels ask for nothing
            live = qty != 0
            self._pending.append((ids[live], symbol[live], qty[live]))

    def _one_by_one(self, orders: Legs) -> tuple[Approved | Refusals, ...]:
        """The same rules leg by leg, each seeing what was approved before it."""
        passed: list[int] = []
        refused: list[tuple[int, str, float, float]] = []
        book = self._book
        run = None if book is None else self._start(book)
        for i in range(len(orders.ids)):
            if orders.action[i] == LegAction.CANCEL:
                passed.append(i)
                continue
            why = ("no_book", np.nan, 0.0) if run is None else self._refusal(run, orders, i)
            if why is None:
                passed.append(i)
            else:
                refused.append((i, *why))
        answer: list[Approved | Refusals] = []
        if passed:
            answer.append(self._approve(orders, np.array(passed) if refused else None))
            ids, symbol, qty = self._pending[-1]
            known = ~np.isnan(qty)  # a replace that keeps its quantity asks for nothing more
            self._pending[-1] = (ids[known], symbol[known], qty[known])
        if refused:
            answer.append(_refusals(orders, refused, self._name))
        return tuple(answer)

    def _start(self, book: Book) -> "_Run":
        high, low = self._sides(book)
        gross, net = self._totals(book, high, low)
        return _Run(book, np.array(high), np.array(low), gross, net)

    def _refusal(self, run: "_Run", orders: Legs, i: int) -> tuple[str, float, float] | None:
        """Rule, value and threshold that refuse leg i; None when it passes, and then it counts for later legs."""
        symbol, qty = orders.symbol[i : i + 1], orders.qty[i : i + 1]
        if not 0 <= symbol[0] < len(run.book.qty):
            return "unknown_symbol", float(symbol[0]), len(run.book.qty) - 1.0
        if orders.action[i] == LegAction.REPLACE and np.isnan(qty[0]):  # the quantity stays as it is
            qty = np.array([self._left(run.book, int(orders.ref[i]))])
            if not qty[0]:
                return None  # not open: the broker says so
        if not np.isfinite(qty[0]):
            return "quantity", float(qty[0]), 0.0
        side = run.high if qty[0] > 0 else run.low
        before = side[symbol]
        if orders.action[i] == LegAction.REPLACE:
            before = before - self._replaced(run.book, int(orders.ref[i]), float(qty[0]))
        leaves = bool(exits(before, qty)[0])
        check = self._check(run.book, symbol, qty, before, (run.gross, run.net))
        why = self._mode_refuses(leaves) or _unsound(check, leaves)
        if why is not None:
            return why
        for limit, threshold in self._limits:
            value = float(limit.formula(check)[0])
            if not (value <= threshold * _SLACK or (leaves and limit.spares_exits)):
                return limit.name, value, threshold
        side[symbol] = check.after
        run.gross, run.net = float(check.gross[0]), float(check.net[0])
        return None

    def _mode_refuses(self, leaves: bool) -> tuple[str, float, float] | None:
        if self._mode is Mode.HALTED:
            return "halted", float(self._mode), 0.0
        if self._mode is Mode.REDUCE_ONLY and not leaves:
            return "reduce_only", float(self._mode), 0.0
        return None

    def _replaced(self, book: Book, ref: int, qty: float) -> float:
        """Working shares of the order to be replaced where it is of the same side; unknown orders take up nothing."""
        left = self._left(book, ref)
        return left if left * qty > 0 else 0.0

    def _left(self, book: Book, ref: int) -> float:
        """Signed shares that an open or just approved order may still trade; 0 = there is none."""
        rows = [(book.open_orders.ids, book.open_orders.left), *((ids, left) for ids, _, left in self._pending)]
        for ids, left in rows:
            found = np.flatnonzero(ids == np.uint64(ref))
            if found.size:
                return float(left[found[0]])
        return 0.0

    def _leave(self, ts: int, book: Book) -> Approved | None:
        """Cancels of all open orders, then legs that close each position: sales first."""
        ids = np.concatenate([book.open_orders.ids, *(ids for ids, _, _ in self._pending)])
        symbol = np.concatenate([book.open_orders.symbol, *(symbol for _, symbol, _ in self._pending)])
        return self._closing(ts, ids, symbol, book.qty)

    def _close(self, book: Book) -> Approved | None:
        """Closing legs for what no working order closes already."""
        high, low = self._sides(book)
        left = np.where(book.qty > 0, np.maximum(low, 0.0), np.minimum(high, 0.0))
        return self._closing(book.ts, _NO_IDS, _NO_SYMBOLS, left)

    def _closing(self, ts: int, ref: Any, cancelled: Any, position: Vector) -> Approved | None:
        rows = np.flatnonzero(position)
        rows = rows[np.argsort(-position[rows] > 0, kind="stable")]
        gone, new = len(ref), len(rows)
        if not gone + new:
            return None
        first = self._sent[1] if self._sent[0] == ts else 0
        self._sent = (ts, first + gone + new)
        none, zero = np.full(gone + new, np.nan), np.zeros(gone + new, np.int32)
        legs = Approved(
            ts=ts,
            action=np.repeat(np.array([LegAction.CANCEL, LegAction.NEW], np.int32), [gone, new]),
            ids=self._ids(ts=ts, count=gone + new, first=first),
            ref=np.concatenate([ref, np.zeros(new, np.uint64)]),
            symbol=np.concatenate([cancelled, rows]).astype(np.int32),
            qty=np.concatenate([np.zeros(gone), -position[rows]]),
            kind=zero,  # OrderKind.MARKET
            limit=none,
            stop=none,
            trail=none,
            tif=zero,  # TimeInForce.DAY
            expires=np.zeros(gone + new, np.int64),
        )
        self._remember(legs.ids, legs.symbol, legs.qty)
        return legs

    def save(self) -> bytes:
        book = self._book
        columns = None if book is None else {name: getattr(book, name) for name in _BOOK}
        orders = None if book is None else {name: getattr(book.open_orders, name) for name in _ORDERS}
        return pack(
            _KIND,
            _VERSION,
            symbols=self._universe.symbols,
            book=columns,
            orders=orders,
            book_mode=0 if book is None else int(book.mode),
            mode=int(self._mode),
            flatten=self._flatten,
            pending=self._pending,
            sent=self._sent,
        )

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since are flat and without a price."""
        fields = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._universe.symbols
        check_appended(before, now)
        self._book = None
        if fields["book"] is not None:
            cold = {name: placed(fields["book"][name], before, now, fill) for name, fill in _COLD.items()}
            orders = OpenOrders(**fields["orders"])
            self._book = Book(**(fields["book"] | cold), open_orders=orders, mode=Mode(fields["book_mode"]))
        self._mode, self._flatten = Mode(fields["mode"]), fields["flatten"]
        self._pending = [(ids, symbol, qty) for ids, symbol, qty in fields["pending"]]
        self._sent = (fields["sent"][0], fields["sent"][1])


_LEGS = tuple(name for name in Legs.__struct_fields__ if name != "ts")
_NO_IDS, _NO_SYMBOLS = np.empty(0, np.uint64), np.empty(0, np.int32)


@dataclass
class _Run:
    """What one batch has used up so far."""

    book: Book
    high: Vector
    low: Vector
    gross: float
    net: float


def _unsound(check: Check, leaves: bool) -> tuple[str, float, float] | None:
    """What is wrong with the figures themselves: the gate fails closed."""
    unit = float(check.unit[0])
    if not (np.isfinite(check.value[0]) and unit > 0):
        return "price", unit, 0.0
    if not (leaves or (np.isfinite(check.equity) and check.equity > 0)):
        return "equity", check.equity, 0.0
    return None


def _every(mask: Mask) -> bool:
    """mask.all(), for a handful of legs at a tenth of its cost."""
    return 0 not in mask.tobytes()


def _distinct(symbols: list[int], n: int) -> bool:
    """Whether each is one of n symbols, and stands once."""
    return not symbols or (len(set(symbols)) == len(symbols) and min(symbols) >= 0 and max(symbols) < n)


def _refusals(orders: Legs, refused: list[tuple[int, str, float, float]], name: str) -> Refusals:
    rows = np.array([row for row, _, _, _ in refused])
    return Refusals(
        ts=orders.ts,
        by=name,
        ids=orders.ids[rows],
        symbol=orders.symbol[rows],
        qty=orders.qty[rows],
        rule=tuple(rule for _, rule, _, _ in refused),
        value=np.array([value for _, _, value, _ in refused]),
        threshold=np.array([threshold for _, _, _, threshold in refused]),
    )
