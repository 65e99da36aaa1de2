"""A desk, a simulated broker and a ledger, without a gate and a bus: what one slice after the other does to parents."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from components.execution.desk import Desk
from engine.calendar import Sessions
from engine.events import (
    MINUTE_NS,
    SLICE_DECIDED,
    Approved,
    Bars,
    Children,
    Fills,
    Note,
    Orders,
    OrderState,
    Refusals,
    Reports,
    Timer,
)
from engine.ids import OrderIds
from engine.ledger import Ledger
from engine.universe import Universe, universe_of
from tests.make import START_NS, bars, legs

ONE, TWO = universe_of(("A",)), universe_of(("A", "B"))
OPEN_NS = START_NS - 390 * MINUTE_NS  # 09:30 in New York


def minute(k: int) -> int:
    """The ts of the bar that ends k minutes after the open."""
    return OPEN_NS + k * MINUTE_NS


def minutes(k: int, close: Sequence[float], **columns: Any) -> Bars:
    """The k-th minute bar of the day, k from 1."""
    return bars(minute(k), close, interval_ns=MINUTE_NS, opened=minute(k - 1), **columns)


def orders(k: int, qty: Sequence[float], *, first: int = 1, **columns: Any) -> Orders:
    """Market orders of symbols 0, 1, ... with ids from `first`."""
    ids = np.arange(first, first + len(qty), dtype=np.uint64)
    columns = {"ids": ids, "symbol": list(range(len(qty)))} | columns
    made: Orders = legs(Orders, minute(k), qty=qty, **columns)
    return made


class Floor:
    """`said` is all that was said, in order."""

    def __init__(
        self,
        pace: Any,
        universe: Universe,
        *,
        sessions: Sessions | None = None,
        participation: float | None = None,
        cash: float = 1e12,
        fill: Any = "next_open",
    ) -> None:
        self.desk = Desk(
            universe=universe,
            ids=OrderIds("t", "execution"),
            name="execution",
            pace=pace,
            sessions=sessions,
            at_once=fill == "same_close",
        )
        options: dict[str, Any] = {"short": True, "leverage": 100.0, "participation": participation}
        self.broker = Simulated(universe=universe, costs=Bps(), name="broker", fill=fill, **options)
        self.ledger = Ledger(universe=universe, cash=cash)
        self.broker.on_book(self.ledger.book(0))
        self.said: list[Any] = []
        self._wakes: set[int] = set()  # timers to come
        self._n = len(universe)

    def slice(self, event: Bars, *given: Orders) -> list[Any]:
        """One slice with the orders decided in it. Returns what was said."""
        before = len(self.said)
        self._wake(event.ts)
        answers = self.broker.on_bars(event)
        self.ledger.on_bars(event)
        self.desk.on_bars(event)
        self.take(answers)
        for one in given:
            self.take(self.desk.on_orders(one))
        self._timer(event.ts)
        return self.said[before:]

    def between(self, ts: int, *given: Orders) -> list[Any]:
        """Orders decided at an instant of no slice, by a strategy of a slower interval. Returns what was said."""
        before = len(self.said)
        self._wake(ts)
        for one in given:
            self.take(self.desk.on_orders(one))
        self._timer(ts)
        return self.said[before:]

    def _wake(self, ts: int) -> None:
        """The instants before a bar at which the desk asked to be woken."""
        for due in sorted(each for each in self._wakes if each < ts):
            self.take(self.desk.on_timer(Timer(ts=due, name=SLICE_DECIDED, due=due)))
        self._wakes = {each for each in self._wakes if each >= ts}

    def _timer(self, ts: int) -> None:
        """The end of a slice: what the wiring asks for when it has parents, and once more where that was asked for."""
        if self.desk.working:
            self._wakes |= set(self.desk.wakes(ts))
        if self.desk.working or ts in self._wakes:
            self.take(self.desk.on_timer(Timer(ts=ts, name=SLICE_DECIDED, due=ts)))
        self._wakes.discard(ts)

    def take(self, out: Any) -> None:
        for event in () if out is None else out if isinstance(out, tuple | list) else (out,):
            self.said.append(event)
            if isinstance(event, Children):
                self._approve(event)
            elif isinstance(event, Fills):
                self.broker.on_book(self.ledger.on_fills(event))
                self.take(self.desk.on_fills(event))
            elif isinstance(event, Reports):
                self.ledger.on_reports(event)
                self.take(self.desk.on_reports(event))
            elif isinstance(event, Refusals):
                self.ledger.on_refusals(event)
                self.take(self.desk.on_refusals(event))

    def _approve(self, children: Children) -> None:
        columns = {name: getattr(children, name) for name in children.__struct_fields__ if name != "parent"}
        approved = Approved(**columns)
        self.ledger.on_approved(approved)
        self.take(self.broker.on_orders(approved))

    def hold(self, qty: Sequence[float], price: float) -> None:
        """Positions from before."""
        rows = np.flatnonzero(qty)
        n, ids = len(rows), rows.astype(np.uint64)
        at, price_ = np.zeros(n, np.int64), np.full(n, price)
        names = {"exec_ids": ids, "order_ids": ids, "symbol": rows.astype(np.int32)}
        traded = {"qty": np.array(qty)[rows], "price": price_, "reference": price_, "fees": np.zeros((n, 3)), "at": at}
        self.broker.on_book(self.ledger.on_fills(Fills(ts=0, **names, **traded)))

    # ---- what was said -----------------------------------------------------------------------------------------------

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.said if isinstance(event, kind)]

    def sent(self) -> dict[int, list[float]]:
        """Shares of the children of each parent, in order."""
        found: dict[int, list[float]] = {}
        for event in self.of(Children):
            new = event.action == 0
            for parent, qty in zip(event.parent[new].tolist(), event.qty[new].tolist(), strict=True):
                found.setdefault(parent, []).append(qty)
        return found

    def filled(self) -> dict[int, float]:
        """Shares that each parent filled."""
        parent = {
            int(own): int(of) for event in self.of(Children) for own, of in zip(event.ids, event.parent, strict=True)
        }
        found: dict[int, float] = {}
        for event in self.of(Fills):
            for own, qty in zip(event.order_ids.tolist(), event.qty.tolist(), strict=True):
                found[parent[own]] = found.get(parent[own], 0.0) + qty
        return found

    def ends(self, ids: Sequence[int]) -> dict[int, list[str]]:
        """The final reports of these parents."""
        found: dict[int, list[str]] = {order: [] for order in ids}
        for event in self.of(Reports):
            for order, state in zip(event.ids.tolist(), event.state.tolist(), strict=True):
                if order in found and state >= OrderState.CANCELLED:
                    found[order].append(OrderState(state).name)
        return found

    def notes(self) -> list[str]:
        return [note.kind for note in self.of(Note)]
