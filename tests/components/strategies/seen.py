"""Slices and books for tests of what stands around a strategy."""

from typing import Any

import msgspec
import numpy as np

from components.strategies.guards import View, view_of
from engine.events import ActionKind, Actions, Book, Signal, Target
from engine.universe import universe_of
from tests.make import bars, book, day


def view(mark: Any, *, k: int = 0, close: Any = None, slices: int = 0, decided: int = 0, **columns: Any) -> View:
    """Slice k of symbols S0, S1, ..., with a book of these marks; `close` differs from them where a bar is missing."""
    of_bars = {name: columns.pop(name) for name in ("status", "volume", "member") if name in columns}
    seen = bars(day(k), mark if close is None else close, **of_bars)
    wanted = columns.pop("wanted", None)
    universe = universe_of(tuple(f"S{i}" for i in range(len(mark))))
    found = view_of(universe, seen, book(day(k), mark, **columns))
    return msgspec.structs.replace(found, slices=slices, decided=decided, wanted=wanted)


def actions(
    kind: ActionKind, symbol: int = 0, *, ratio: float = 1.0, amount: float = 0.0, successor: int = -1
) -> Actions:
    column = {"ratio": ratio, "amount": amount}
    return Actions(
        ts=day(0) + 1,
        kind=np.array([kind], np.int32),
        symbol=np.array([symbol], np.int32),
        pay_at=np.array([0]),
        successor=np.array([successor], np.int32),
        **{name: np.array([value]) for name, value in column.items()},
    )


class Scripted:
    """Answers with these targets in turn, the last one for ever; None keeps. Remembers what it was shown."""

    interval_ns = 0

    def __init__(self, *answers: Target | None) -> None:
        self.answers = answers
        self.shown: list[tuple[tuple[Signal, ...], Book]] = []

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        answer = self.answers[min(len(self.shown), len(self.answers) - 1)]
        self.shown.append((signals, book))
        return None if answer is None else msgspec.structs.replace(answer, ts=book.ts)
