"""A broker and its ledger, with events routed between them in the order of the wiring."""

from typing import Any

import numpy as np

from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from engine.events import (
    Actions,
    Approved,
    Bars,
    Book,
    Charges,
    Event,
    Fills,
    Note,
    Reference,
    Refusals,
    Reports,
    Timer,
)
from engine.ledger import Ledger
from engine.universe import Universe
from tests.make import legs


class Routed:
    """Feeds one event at a time and keeps all that was said: `out` is the answer to the latest, `said` all of them."""

    def __init__(self, universe: Universe, *, cash: float, **options: Any) -> None:
        costs = options.pop("costs", None) or Bps()
        self.broker = Simulated(universe=universe, costs=costs, name="b", **({"fill": "next_open"} | options))
        self.ledger = Ledger(universe=universe, cash=cash)
        self.out: list[Event] = []
        self.said: list[Event] = []
        self.before: list[tuple[Any, Any, Book]] = []  # what the broker makes of its fills, and the book of the ledger
        self._next = 1
        self.broker.on_book(self.ledger.book(0))

    def feed(self, event: Event) -> Book:
        self.out = []
        if isinstance(event, Reference):
            self._answer(self.broker.on_reference(event))
            self.ledger.on_reference(event)
        elif isinstance(event, Bars):
            out = self.broker.on_bars(event)
            before = self.ledger.book(event.ts).cash
            self.ledger.on_bars(event)
            self._answer(out, paid=self.ledger.book(event.ts).cash - before)
        elif isinstance(event, Actions):
            out = self.broker.on_actions(event)
            self.broker.on_book(self.ledger.on_actions(event))
            self._answer(out)
        elif isinstance(event, Approved):
            self.ledger.on_approved(event)
            self._answer(self.broker.on_orders(event))
        elif isinstance(event, Timer):
            self._answer(self.broker.on_timer(event))
        return self.ledger.book(event.ts)

    def send(self, ts: int, symbol: list[int], qty: list[float], **columns: Any) -> Book:
        """Sends orders under ids of their own, 1, 2, ..."""
        ids = np.arange(self._next, self._next + len(symbol), dtype=np.uint64)
        self._next += len(symbol)
        return self.feed(legs(Approved, ts, symbol=symbol, qty=qty, **({"ids": ids} | columns)))

    def _answer(self, out: Any, paid: Any = 0.0) -> None:
        for event in out if isinstance(out, tuple) else () if out is None else (out,):
            self.out.append(event)
            self.said.append(event)
            if isinstance(event, Fills):
                account, now = self.broker._account, self.ledger.on_fills(event)
                self.before.append((account.cash + paid, account.qty, now))
                self.broker.on_book(now)
            elif isinstance(event, Reports):
                self.ledger.on_reports(event)
            elif isinstance(event, Refusals):
                self.ledger.on_refusals(event)
            elif isinstance(event, Charges):
                self.ledger.on_charges(event)

    def notes(self, kind: str = "") -> list[Note]:
        return [event for event in self.said if isinstance(event, Note) and (not kind or event.kind == kind)]

    def rules(self) -> list[str]:
        """The rules under which the latest event was refused."""
        return [rule for event in self.out if isinstance(event, Refusals) for rule in event.rule]

    def traded(self) -> list[tuple[int, float, float]]:
        """Symbol, quantity and price of the latest fills."""
        return [
            row
            for event in self.out
            if isinstance(event, Fills)
            for row in zip(event.symbol.tolist(), event.qty.tolist(), event.price.tolist(), strict=True)
        ]

    def charged(self) -> float:
        """The sum of the latest charges, in their own currencies."""
        return float(sum(event.amount.sum() for event in self.out if isinstance(event, Charges)))


def rates(ts: int, values: list[float]) -> Reference:
    return Reference(ts=ts, name="rates", rows="currency", value=np.array(values)[:, None])


def shortable(ts: int, values: list[float]) -> Reference:
    return Reference(ts=ts, name="shortable", rows="symbol", value=np.array(values)[:, None])


def mixed(extra: tuple[str, ...] = ()) -> Universe:
    """Two stocks of the base currency, a stock and a future of others."""
    return Universe(
        symbols=("A", "B", "E", "F"),
        currencies=("USD", "EUR", "JPY"),
        currency=np.array([0, 0, 1, 2], np.int32),
        multiplier=np.array([1.0, 1.0, 1.0, 10.0]),
        lot=np.array([1.0, 5.0, 1.0, 1.0]),
        tick=np.zeros(4),
        extra=extra,
    )
