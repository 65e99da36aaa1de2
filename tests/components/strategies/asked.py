"""Asking one strategy for one slice."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.events import Book, Target, Vector
from engine.universe import Universe, universe_of
from tests.make import bars, signal


def names(n: int) -> Universe:
    return universe_of(tuple(f"S{i}" for i in range(n)))


def ask(strategy: Any, score: Sequence[float] | Vector, where: Book, **columns: Any) -> Target | None:
    """The answer to this score and book, after bars at its marks."""
    close = columns.pop("close", np.where(np.isnan(where.mark), 1.0, where.mark))
    strategy.on_bars(bars(where.ts, close, **columns))
    answer: Target | None = strategy.on_signals((signal(where.ts, score),), where)
    return answer


def weights(strategy: Any, score: Sequence[float] | Vector, where: Book, **columns: Any) -> list[float]:
    """What it wants as shares of equity, rounded."""
    target = ask(strategy, score, where, **columns)
    assert target is not None
    worth = np.where(target.value == 0, 0.0, target.value * where.mark) / where.equity
    return [float(w) for w in np.round(worth, 9)]
