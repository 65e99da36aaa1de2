"""Fills and actions of two names, and the fold of them."""

from typing import Any

import numpy as np

from components.metrics.fold import SessionFold
from engine.events import Actions, Fills
from engine.universe import Universe, universe_of
from tests.make import bars, book, day

TWO = universe_of(("AAA", "BBB"))
NAN = float("nan")


def fills(ts: int, symbol: list[int], qty: list[float], price: list[float], **columns: Any) -> Fills:
    n = len(symbol)
    ids = np.arange(1, n + 1, dtype=np.uint64)
    fees = columns.pop("fees", np.zeros((n, 3)))
    reference = np.array(columns.pop("reference", price), float)
    return Fills(
        ts=ts,
        exec_ids=ids,
        order_ids=ids,
        symbol=np.array(symbol, np.int32),
        qty=np.array(qty, float),
        price=np.array(price, float),
        reference=reference,
        fees=fees,
        at=np.full(n, ts),
    )


def actions(ts: int, *rows: tuple[int, int, float, float]) -> Actions:
    """Rows of (kind, symbol, ratio, amount)."""
    kind, symbol, ratio, amount = zip(*rows, strict=True)
    zero = np.zeros(len(rows), np.int64)
    return Actions(
        ts=ts,
        kind=np.array(kind, np.int32),
        symbol=np.array(symbol, np.int32),
        ratio=np.array(ratio, float),
        amount=np.array(amount, float),
        pay_at=zero,
        successor=zero.astype(np.int32),
    )


SPLIT, DIVIDEND, DELISTING, RENAMED = 0, 1, 2, 3


def folded(
    *events: Any, universe: Universe = TWO, cash: float = 1000.0, benchmark: str = "equal_weight"
) -> SessionFold:
    fold = SessionFold(universe=universe, cash=cash, benchmark=benchmark)
    fold.append([""] * len(events), events)
    fold.finish()
    return fold


def closes(*rows: list[float], between: dict[int, Any] | None = None, **columns: Any) -> list[Any]:
    events: list[Any] = []
    for k, row in enumerate(rows):
        events += [bars(day(k), row, **columns), book(day(k), row)]
        if between and k in between:
            events.append(between[k])
    return events
