"""Sessions for the conformance batteries: bars with holes, books that move, signals with gaps, all seeded."""

from typing import Any

import msgspec
import numpy as np
import pytest

from engine.errors import StateError
from engine.events import Bars, Book, Features, OpenOrders, Signal, Status
from engine.universe import Universe, universe_of
from tests.make import book, market, signal

N, SLICES = 6, 30


def universe(n: int = N, order: Any = None) -> Universe:
    names = [f"S{i}" for i in range(n)]
    return universe_of(tuple(names if order is None else [names[i] for i in order]))


def session(seed: int = 0, slices: int = SLICES) -> list[tuple[Bars, Signal, Book]]:
    """Per slice: the bars, a score for most names, and a book of whole shares marked at the last closes."""
    rng = np.random.default_rng(seed)
    rows = market(N, slices, seed=seed, holes=0.1)
    mark = np.full(N, np.nan)
    result = []
    for bars in rows:
        mark = np.where(np.isnan(bars.close), mark, bars.close)
        held = (rng.random(N) < 0.4) & np.isfinite(mark)
        qty = np.where(held, np.round(rng.uniform(10, 400, N)), 0.0)
        score = np.where(rng.random(N) < 0.15, np.nan, rng.normal(size=N))
        result.append((bars, signal(bars.ts, score), book(bars.ts, mark, cash=1e5, qty=qty)))
    return result


def moved(event: Any, order: Any) -> Any:
    """The same event of the universe in another order."""
    fields = {}
    for name in event.__struct_fields__:
        value = getattr(event, name)
        if isinstance(value, np.ndarray) and value.shape[:1] == (N,):
            value = value[order]
        if isinstance(value, OpenOrders):
            place = np.argsort(order)
            value = msgspec.structs.replace(value, symbol=place[value.symbol].astype(np.int32))
        fields[name] = value
    return type(event)(**fields)


_FLAT = ("qty", "working", "opened", "realised", "fees", "income")


def grown(event: Any, k: int = 2) -> Any:
    """The same event of a universe with k names appended, of which it knows nothing."""
    fields = {}
    for name in event.__struct_fields__:
        value = getattr(event, name)
        symbols = isinstance(value, np.ndarray) and name not in ("cash", "rate", "unsettled", "interest")
        if symbols and isinstance(event, Bars | Signal | Book | Features):
            fill: float = Status.MISSING if name == "status" else 0 if name in _FLAT or name == "member" else np.nan
            value = np.concatenate([value, np.full((k, *value.shape[1:]), fill, value.dtype)])
            value.flags.writeable = False
        fields[name] = value
    return type(event)(**fields)


def grown_after(make: Any, step: Any, rows: Any, cut: int) -> tuple[list[Any], list[Any]]:
    """Answers from `cut` on: of state moved into a universe with two names appended, and as if it always had them.

    `rows` are tuples of events for `step(component, k, row)`.
    """
    short, always = make(universe()), make(universe(N + 2))
    for k, row in enumerate(rows[:cut]):
        step(short, k, row)
        step(always, k, tuple(map(grown, row)))
    longer = make(universe(N + 2))
    longer.load(short.save())
    later = [(k, tuple(map(grown, row))) for k, row in enumerate(rows)][cut:]
    return [step(longer, k, row) for k, row in later], [step(always, k, row) for k, row in later]


def refuses_moved(make: Any) -> None:
    """State of a universe does not load where a symbol is gone or stands elsewhere, and the error names it."""
    state = make(universe(2)).save()
    with pytest.raises(StateError, match="symbol 'S1' was at position 1 .* is not in the universe now"):
        make(universe(1)).load(state)
    with pytest.raises(StateError, match="symbol 'S0' was at position 0 .* is at 1 now"):
        make(universe(order=[1, 0, 2])).load(state)


def arrays(event: Any) -> list[Any]:
    """Copies of all arrays of an event, to see that nothing writes into them."""
    return [np.array(getattr(event, f)) for f in event.__struct_fields__ if isinstance(getattr(event, f), np.ndarray)]


def same(left: Any, right: Any) -> bool:
    """Whether two answers are equal, NaN equal to NaN, field by field."""
    if type(left) is not type(right):
        return False
    if isinstance(left, tuple | list):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    if hasattr(left, "__struct_fields__"):
        return all(same(getattr(left, f), getattr(right, f)) for f in left.__struct_fields__)
    if isinstance(left, np.ndarray):
        return left.shape == right.shape and np.array_equal(left, right, equal_nan=left.dtype.kind == "f")
    return bool(left == right)
