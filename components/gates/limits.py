"""The risk gate: every order passes here last, after rounding, and only what passes reaches a broker."""

from collections.abc import Callable
from math import inf, isfinite
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np

from components.gates.batch import Batch, every, known, refusals, unsound
from components.gates.exposure import in_turn, sector_codes, sides, unit_of, whole_of
from components.gates.form import Why, all_new, approved, check_columns, live, malformed, zeros
from components.gates.halting import Halting
from components.gates.losses import Losses
from components.gates.options import checked, chosen, listed, seconds, trip
from components.gates.parents import Parents
from components.gates.rules import Check, exits, price_gap
from components.gates.seen import LastMinute, Seen
from engine.calendar import Sessions
from engine.events import (
    Actions,
    Approved,
    Bars,
    Book,
    Children,
    Codes,
    Control,
    Event,
    LegAction,
    Legs,
    Mode,
    OpenOrders,
    Orders,
    Out,
    Reference,
    Refusals,
    Reports,
    Timer,
    Vector,
)
from engine.ids import OrderIds
from engine.state import check_appended, pack, placed, unpack
from engine.universe import Universe

Trip: TypeAlias = Literal["reduce_only", "halt", "flatten"]

_KIND, _VERSION = "limits", 3
_SLACK = 1.0 + 1e-9  # a value within rounding of its limit is at the limit
_ACTIVE = Mode.ACTIVE
_ALL = slice(None)
_NO_BOOK: Why = ("no_book", np.nan, 0.0)
_ORDERS = OpenOrders.__struct_fields__
_BOOK = tuple(name for name in Book.__struct_fields__ if name not in ("open_orders", "mode"))
# Columns of a book by symbol, with what a name has that was never in one.
_COLD = dict.fromkeys(("qty", "working", "opened", "realised", "fees", "income"), 0.0) | dict.fromkeys(
    ("mark", "entry", "best"), np.nan
)


class Limits:
    """Approves or refuses each order leg against the latest book, in the order the legs come.

    Each limit is a line of the table in `rules.py`; the page on risk has them all with formula and unit. `None` sets
    none and costs nothing. A value at its limit passes. Position is the worst case: filled shares and every working
    order of the order's own side. Sales that are working already free no room until they fill; those approved earlier
    in the same batch do. An order that only reduces a position passes all limits but `price_collar` (the price is
    wrong whoever sends it) and `banned`, so that a position can always be left.

    Without a book, without a finite positive mark of the symbol, or (when it would add risk) without positive equity,
    an order is refused: the gate fails closed. So is a leg that is not well formed (`form.py`); columns of different
    lengths end the session. A refused leg says nothing about the others. Cancels always pass.

    `max_daily_loss` and `max_drawdown` trip: the gate says a Control that sets the latch of that name to what
    `on_daily_loss` or `on_drawdown` asks for. `halt` refuses all orders but cancels, `reduce_only` all that do not
    reduce, and both cancel working orders that could add to a position; `flatten` cancels every order, closes every
    position but those of banned symbols (a Note tells them) and halts, closing again after each book what did not
    fill. The strictest latch holds until a `resume`
    names it and who asks, somebody other than this gate. What of a control could not be done is told by a Note `latch`.
    Memory: one book, the orders approved since, those of a minute, and `volume_slices` rows of N volumes.

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
        sessions: Sessions | None = None,
        max_order_value: float | None = None,
        max_order_qty: float | None = None,
        price_collar: float | None = None,
        max_position: float | None = None,
        max_weight: float | None = None,
        max_gross: float | None = None,
        max_net: float | None = None,
        max_sector_gross: float | None = None,
        max_sector_net: float | None = None,
        max_participation: float | None = None,
        volume_slices: int = 20,
        max_orders_per_minute: int | None = None,
        max_open_orders: int | None = None,
        max_bar_age: str | None = None,
        max_daily_loss: float | None = None,
        on_daily_loss: Trip = "reduce_only",
        max_drawdown: float | None = None,
        on_drawdown: Trip = "reduce_only",
        restricted: tuple[str, ...] = (),
        banned: tuple[str, ...] = (),
    ) -> None:
        given = {"max_order_value": max_order_value, "max_order_qty": max_order_qty, "price_collar": price_collar}
        given |= {"max_position": max_position, "max_weight": max_weight, "max_gross": max_gross, "max_net": max_net}
        given |= {"max_sector_gross": max_sector_gross, "max_sector_net": max_sector_net}
        given |= {"max_participation": max_participation, "max_bar_age": seconds("max_bar_age", max_bar_age)}
        given |= {"max_orders_per_minute": max_orders_per_minute, "max_open_orders": max_open_orders}
        losses = {"max_daily_loss": max_daily_loss, "max_drawdown": max_drawdown}
        checked(given | losses | {"volume_slices": volume_slices})
        self._universe, self._name, self._sessions = universe, name, sessions
        asked = {
            "max_daily_loss": trip("on_daily_loss", on_daily_loss),
            "max_drawdown": trip("on_drawdown", on_drawdown),
        }
        self._lists = {"restricted": listed(universe, "restricted", restricted)}
        self._lists["banned"] = listed(universe, "banned", banned)
        self._limits = chosen(given, self._lists)
        watched = Losses(**losses) if any(value is not None for value in losses.values()) else None
        self._halting = Halting(ids=ids, name=name, losses=watched, asked=asked, banned=self._lists["banned"])
        if watched is not None:
            self.on_timer: Callable[[Timer], None] = watched.on_timer
        self._remember_for(frozenset(limit.needs for limit, _ in self._limits if limit.needs), volume_slices)

    def _remember_for(self, needs: frozenset[str], slices: int) -> None:
        """What these limits have to know. The handlers of what none of them needs are not there to be routed to."""
        self._needs, self._whole = needs, bool(needs & {"whole", "sectors"})
        self._counts = bool(needs & {"sent", "open"})
        self._book: Book | None = None
        self._pending: list[tuple[Any, Any, Any]] = []  # ids, symbols, quantities approved since the book
        self._opened = 0  # new orders among them
        self._sectors: Vector | None = None  # (N,) as the feed gives them
        self._codes: Codes | None = None
        self._minute = LastMinute()
        self._parents = Parents()
        self.lookback = slices if "volume" in needs else 0
        self._seen: Seen | None = None
        if needs & {"volume", "age"}:
            kept = slices if "volume" in needs else 1
            self._seen = Seen(n=len(self._universe), slices=kept, sessions=self._sessions)
            self.on_bars: Callable[[Bars], None] = self._seen.on_bars
            self.on_actions: Callable[[Actions], None] = self._seen.on_actions
        if "sectors" in needs:
            self.on_reference: Callable[[Reference], None] = self._take_sectors

    def _take_sectors(self, reference: Reference) -> None:
        if reference.name == "sectors":
            self._sectors = np.array(reference.value[:, 0])
            self._codes = sector_codes(self._sectors)

    # ---- books and controls ------------------------------------------------------------------------------------------

    def on_book(self, book: Book, /) -> Out:
        self._book = book
        if self._pending:
            self._pending, self._opened = [], 0
        if not self._halting.watches:
            return None
        return self._say(self._halting.on_book(book, self._pending))

    def on_parents(self, orders: Orders, /) -> None:
        """Orders that go to an execution policy, whose children come to `on_orders`."""
        self._parents.on_orders(orders)

    def on_parent_reports(self, reports: Reports, /) -> None:
        """What became of orders: parents that ended need not be known for ever."""
        self._parents.on_reports(reports)

    def on_control(self, control: Control, /) -> Out:
        return self._say(self._halting.on_control(control, self._book, self._pending))

    def _say(self, events: list[Event]) -> Out:
        for event in events:
            if event.__class__ is Approved:
                self._remember(event)
        return None if not events else events[0] if len(events) == 1 else tuple(events)

    # ---- orders ------------------------------------------------------------------------------------------------------

    def on_orders(self, orders: Orders | Children, /) -> tuple[Approved | Refusals, ...]:
        book = self._book
        if book is None or self._halting.latches.mode is not _ACTIVE or not all_new(orders, book, self._pending):
            return self._one_by_one(orders)
        places = orders.symbol.tolist()
        if not known(places, len(book.qty)) or (orders.__class__ is Children and not self._parents.know(orders)):
            return self._one_by_one(orders)
        if self._whole and not isfinite(np.add.reduce(orders.qty)):
            return self._one_by_one(orders)
        symbols = orders.symbol.astype(np.intp)  # indexing by it is several times as fast
        high, low = sides(book, self._pending)
        if len(set(places)) < len(places):
            before = in_turn((high, low), symbols, orders.qty)
        else:
            before = book.qty[symbols] if high is low else np.where(orders.qty > 0, high[symbols], low[symbols])
        check = self._plain_check(book, symbols, orders.qty, before)
        if self._needs:
            check = self._with_needs(check, self._run(book, high, low, orders.ts), orders, _ALL, symbols)
        # A sum of squares is finite only where each value is; where it is too large for a number, leg by leg says.
        if not (isfinite(check.value.dot(check.value)) and every(check.unit > 0.0) and 0 < book.equity < inf):
            return self._one_by_one(orders)
        for limit, threshold in self._limits:
            if not every(limit.formula(check) <= threshold * _SLACK):  # so that NaN is refused
                return self._one_by_one(orders)
        return (self._approve(orders),)

    def _run(self, book: Book, high: Vector, low: Vector, ts: int) -> Batch:
        """What is used up before the first order of a batch."""
        whole = None
        if self._whole:
            sectors = "sectors" in self._needs
            whole = whole_of(self._universe, book, (high, low), self._codes, sectors=sectors)
        sent = self._minute.at(ts) if self._counts else 0
        return Batch(book, high, low, whole, sent, book.open_orders.ids.size + self._opened)

    def _plain_check(self, book: Book, symbols: Any, qty: Vector, before: Vector) -> Check:
        unit = unit_of(self._universe, book, symbols)
        return Check(np.abs(qty) * unit, unit, before, before + qty, book.equity, qty)

    def _with_needs(self, check: Check, run: Batch, orders: Legs, rows: slice, symbols: Any) -> Check:
        """The check with what else the limits have to know of these rows of the orders."""
        needs, qty = self._needs, check.qty
        more: dict[str, Any] = {}
        if run.whole is not None:
            more |= run.whole.after(symbols, qty, check.before, check.unit)
        if "gap" in needs:
            mark, prices = run.book.mark[symbols], (orders.limit[rows], orders.stop[rows])
            more["gap"] = price_gap(prices, mark, orders.kind[rows], orders.action[rows])
        if self._seen is not None:
            if "volume" in needs:
                more["volume"] = self._seen.mean(symbols)
            if "age" in needs:
                more["age"] = self._seen.age(orders, symbols)
        if self._counts:
            place = np.arange(1.0, len(qty) + 1.0)
            opens = orders.action[rows] == LegAction.NEW
            more["sent"], more["open"] = run.sent + place, np.where(opens, run.open + place, 0.0)
        if "lists" in needs:
            none = np.zeros(len(qty))
            more |= {name: none if mask is None else mask[symbols] for name, mask in self._lists.items()}
        return msgspec.structs.replace(check, **more)

    def _approve(self, orders: Legs, rows: Any = None) -> Approved:
        """The legs of these rows; all of them where none are named."""
        legs = approved(orders, rows)
        self._remember(legs)
        if self._counts:
            self._opened += int(np.count_nonzero(legs.action == LegAction.NEW))
            self._minute.add(legs.ts, int(np.count_nonzero(legs.action != LegAction.CANCEL)))
        return legs

    def _remember(self, legs: Approved) -> None:
        if zeros(legs.action):
            self._pending.append((legs.ids, legs.symbol, legs.qty))
            return
        live = (legs.action != LegAction.CANCEL) & ~np.isnan(legs.qty)  # a replace of prices asks for no more shares
        ids = np.where(legs.action == LegAction.NEW, legs.ids, legs.ref)  # a replace is no order of its own
        self._pending.append((ids[live], legs.symbol[live], legs.qty[live]))

    def _one_by_one(self, orders: Legs) -> tuple[Approved | Refusals, ...]:
        """The same rules leg by leg, each seeing what was approved before it."""
        check_columns(orders, self._name)
        passed: list[int] = []
        refused: list[tuple[int, Why]] = []
        run = None
        if self._book is not None:
            high, low = sides(self._book, self._pending)
            run = self._run(self._book, np.array(high), np.array(low), orders.ts)
            run.symbols = live(self._book, self._pending)
        for i in range(len(orders.ids)):
            why = self._judged(run, orders, i)
            if why is None:
                passed.append(i)
            else:
                refused.append((i, why))
        answer: list[Approved | Refusals] = []
        if passed:
            answer.append(self._approve(orders, np.array(passed) if refused else None))
        if refused:
            answer.append(refusals(orders, refused, self._name))
        return tuple(answer)

    def _judged(self, run: Batch | None, orders: Legs, i: int) -> Why | None:
        """What refuses leg i, its form before its figures; its id, and its symbol if it works, later legs are told."""
        cancels = orders.action[i] == LegAction.CANCEL
        if run is None:
            return None if cancels else _NO_BOOK
        why = self._halting.stands(orders, i)
        if why is None and not cancels:
            formed = malformed(orders, i, run.symbols, run.ids) or self._parents.orphan(orders, i)
            why = formed or self._refusal(run, orders, i)
        run.ids.add(int(orders.ids[i]))
        if why is None and orders.action[i] == LegAction.NEW:
            run.symbols[int(orders.ids[i])] = int(orders.symbol[i])
        return why

    def _refusal(self, run: Batch, orders: Legs, i: int) -> Why | None:
        """Rule, value and threshold that refuse leg i; None when it passes, and then it counts for later legs."""
        symbol, qty = orders.symbol[i : i + 1], orders.qty[i : i + 1]
        if not 0 <= symbol[0] < len(run.book.qty):
            return "unknown_symbol", float(symbol[0]), len(run.book.qty) - 1.0
        replaced = 0.0
        if orders.action[i] == LegAction.REPLACE:
            replaced = self._left(run.book, int(orders.ref[i]))
            if np.isnan(qty[0]):  # the quantity stays as it is; 0 = not open: the broker says so
                qty = np.array([replaced])
        if not np.isfinite(qty[0]):
            return "quantity", float(qty[0]), 0.0
        side = run.high if qty[0] > 0 else run.low
        before = side[symbol] - (replaced if replaced * qty[0] > 0 else 0.0)
        leaves = bool(exits(before, qty)[0])
        check = self._plain_check(run.book, symbol, qty, before)
        why = self._mode_refuses(leaves) or unsound(check, leaves)
        if why is not None:
            return why
        if self._needs:
            check = self._with_needs(check, run, orders, slice(i, i + 1), symbol)
        for limit, threshold in self._limits:
            if leaves and limit.spares_exits:
                continue
            value = float(limit.formula(check)[0])
            if not value <= threshold * _SLACK:
                return limit.name, value, threshold
        run.take(int(symbol[0]), float(qty[0]), check, opens=orders.action[i] == LegAction.NEW)
        return None

    def _mode_refuses(self, leaves: bool) -> Why | None:
        mode = self._halting.latches.mode
        if mode is Mode.HALTED:
            return "halted", float(mode), 0.0
        if mode is Mode.REDUCE_ONLY and not leaves:
            return "reduce_only", float(mode), 0.0
        return None

    def _left(self, book: Book, ref: int) -> float:
        """Signed shares that an open or just approved order may still trade; 0 = there is none."""
        rows = [(book.open_orders.ids, book.open_orders.left), *((ids, left) for ids, _, left in self._pending)]
        for ids, left in rows:
            found = np.flatnonzero(ids == np.uint64(ref))
            if found.size:
                return float(left[found[0]])
        return 0.0

    # ---- state -------------------------------------------------------------------------------------------------------

    def save(self) -> bytes:
        book = self._book
        return pack(
            _KIND,
            _VERSION,
            symbols=self._universe.symbols,
            book=None if book is None else {name: getattr(book, name) for name in _BOOK},
            orders=None if book is None else {name: getattr(book.open_orders, name) for name in _ORDERS},
            book_mode=0 if book is None else int(book.mode),
            halting=self._halting.save(),
            pending=self._pending,
            opened=self._opened,
            minute=self._minute.save(),
            parents=self._parents.save(),
            sectors=self._sectors,
            seen=None if self._seen is None else self._seen.save(),
        )

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since are flat and without a price.

        A limit that was not set when the state was saved begins anew.
        """
        fields = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._universe.symbols
        check_appended(before, now)
        self._book = None
        if fields["book"] is not None:
            cold = {name: placed(fields["book"][name], before, now, fill) for name, fill in _COLD.items()}
            orders = OpenOrders(**fields["orders"])
            self._book = Book(**(fields["book"] | cold), open_orders=orders, mode=Mode(fields["book_mode"]))
        self._halting.load(fields["halting"])
        self._pending = [(ids, symbol, qty) for ids, symbol, qty in fields["pending"]]
        self._opened = fields["opened"]
        self._minute.load(fields["minute"])
        self._parents.load(fields.get("parents", ()))  # older states have none
        if fields["sectors"] is not None:
            self._sectors = placed(fields["sectors"], before, now, np.nan)
            self._codes = sector_codes(self._sectors)
        if self._seen is not None and fields["seen"] is not None:
            self._seen.load(fields["seen"], before, now)
