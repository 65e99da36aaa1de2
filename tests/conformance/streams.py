"""Sessions for the conformance batteries: bars with holes, books that move, signals with gaps, all seeded."""

from typing import Any

import msgspec
import numpy as np

from engine.events import Bars, Book, OpenOrders, Signal
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
