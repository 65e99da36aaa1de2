"""Feeding components one event at a time, for the batteries of market and model components."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.events import (
    ActionKind,
    Actions,
    Approved,
    Bars,
    Book,
    Features,
    OrderKind,
    TimeInForce,
    Timer,
)
from tests.conformance.streams import SLICES, N
from tests.make import book, day, legs, market

_HANDLERS = {
    Bars: "on_bars",
    Actions: "on_actions",
    Features: "on_features",
    Approved: "on_orders",
    Book: "on_book",
    Timer: "on_timer",
}


def frozen(event: Any) -> Any:
    """The event with arrays that refuse to be written."""
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    return event


def drive(component: Any, events: Sequence[Any]) -> list[Any]:
    """What the component answers to each event it takes; None for those it does not."""
    out = []
    for event in events:
        handler = getattr(component, _HANDLERS[type(event)], None)
        out.append(None if handler is None else handler(event))
    return out


def resumed_everywhere(make: Any, events: Sequence[Any]) -> list[Any]:
    """The answers of a component that is saved and loaded into a fresh copy before each event."""
    component, out = make(), []
    for event in events:
        fresh = make()
        fresh.load(component.save())
        component = fresh
        out += drive(component, [event])
    return out


def first_names(event: Any, n: int) -> Any:
    """Bars or features of the first n names; actions of those alone."""
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    keep = event.symbol < n if isinstance(event, Actions) else slice(n)
    arrays = {name: value[keep] for name, value in fields.items() if isinstance(value, np.ndarray)}
    return frozen(type(event)(**(fields | arrays)))


def action(k: int, kind: ActionKind, symbol: int, *, ratio: float = 1.0, amount: float = 0.0) -> Actions:
    """Effective after slice k."""
    return frozen(
        Actions(
            ts=day(k) + 1,
            kind=np.array([kind], np.int32),
            symbol=np.array([symbol], np.int32),
            ratio=np.array([ratio]),
            amount=np.array([amount]),
            pay_at=np.array([day(k + 3)]),
            successor=np.array([-1], np.int32),
        )
    )


def history(seed: int = 0, n: int = N, slices: int = SLICES) -> list[Any]:
    """Bars with holes and late names, and a split, a dividend and a delisting between them."""
    rows: list[Any] = [frozen(event) for event in market(n, slices, seed=seed, holes=0.1)]
    third = slices // 3
    rows.insert(third, action(third - 1, ActionKind.SPLIT, 0, ratio=2.0))
    rows.insert(2 * third, action(2 * third - 2, ActionKind.CASH_DIVIDEND, n - 1, amount=0.4))
    rows.insert(slices, action(slices - 3, ActionKind.DELISTING, 0, amount=10.0))
    return rows


def trading(seed: int = 0) -> list[Any]:
    """A session at a broker: bars, books, orders of every kind and life, cancels, resubmissions, actions, timers."""
    rng = np.random.default_rng(seed)
    events: list[Any] = []
    mark, used = np.full(N, 50.0), 0
    for event in history(seed):
        events.append(event)
        if not isinstance(event, Bars):
            continue
        mark = np.where(np.isnan(event.close), mark, event.close)
        qty = np.round(rng.uniform(-5, 60, N))
        events.append(frozen(book(event.ts, mark, cash=float(rng.uniform(0, 20_000)), qty=qty)))
        count = int(rng.integers(0, 9))
        ids = np.arange(used + 1, used + count + 1, dtype=np.uint64)
        ids[rng.random(count) < 0.1] = 1
        columns = {
            "ids": ids,
            "action": rng.choice([0, 0, 0, 0, 1, 2], count).astype(np.int32),
            "ref": rng.integers(0, used + 2, count).astype(np.uint64),
            "kind": rng.choice([0, 0, 0, 0, *range(len(OrderKind))], count).astype(np.int32),
            "tif": rng.integers(0, len(TimeInForce), count).astype(np.int32),
            "expires": event.ts + rng.integers(1, 5, count) * 86_400 * 10**9,
        }
        sizes = np.round(rng.uniform(-40, 80, count))
        symbol = rng.integers(0, N, count)
        for name in ("limit", "stop", "trail"):
            away = rng.normal(0.05, 0.01, count) if name == "trail" else rng.normal(1.0, 0.02, count)
            columns[name] = np.where(rng.random(count) < 0.1, np.nan, mark[symbol] * away)
        made: Approved = legs(Approved, event.ts, symbol=symbol.tolist(), qty=sizes, **columns)
        events.append(frozen(made))
        used += count
        if rng.random() < 0.2:
            events.append(Timer(ts=event.ts, name="session_closed", due=event.ts))
    return events
