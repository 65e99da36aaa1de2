"""Qlib's equal weights by its default order generator, as a user writes a strategy here."""

import numpy as np

from samewire import Bars, Book, Mask, Signal, Target, Universe, Vector
from tests.oracles.parts import opinion, shares


class Score:
    """A model that answers with the column `score` of the bars."""

    lookback = 1

    def __init__(self, *, universe: Universe, name: str) -> None:
        self._name, self._place = name, universe.extra.index("score")

    def on_bars(self, bars: Bars, /) -> Signal:
        return opinion(bars, self._name, bars.extra[self._place])


class Tradable:
    """Which names can be traded in the latest slice and the one before: quoted, their change within the limit."""

    def __init__(self, n: int, limit: float | None) -> None:
        self._limit = np.inf if limit is None else limit
        self._close = np.full(n, np.nan)  # the last one seen
        self.now: Mask = np.zeros(n, bool)
        self.before: Mask = np.zeros(n, bool)

    def on_bars(self, bars: Bars) -> None:
        change = np.nan_to_num(bars.close / self._close - 1)
        self.before = self.now
        self.now = (bars.status == 0) & (np.abs(change) < self._limit)
        self._close = np.where(bars.status == 0, bars.close, self._close)


def down(names: list[int], score: Vector) -> list[int]:
    """From the best score to the worst; without a score last."""
    return sorted(names, key=lambda s: -score[s] if np.isfinite(score[s]) else np.inf)


class EqualWeight:
    """The best `topk` names in equal weights of a share of equity, sized at the closes of the slice before."""

    interval_ns = 0

    def __init__(
        self, *, universe: Universe, name: str, topk: int, risk_degree: float = 0.95, limit: float | None = None
    ) -> None:
        self._lot, self._name, self._topk, self._risk_degree = universe.lot, name, topk, risk_degree
        self._tradable = Tradable(len(universe), limit)
        self._begun = False
        self._mark, self._last = np.full(len(universe), np.nan), np.full(len(universe), np.nan)

    def on_bars(self, bars: Bars, /) -> None:
        self._mark, self._last = self._last, np.where(bars.status == 0, bars.close, self._last)
        self._tradable.on_bars(bars)

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target:
        able, before, score = self._tradable.now, self._tradable.before, signals[0].value
        if not self._begun:  # nothing is known of a slice before the first
            self._begun = True
            return shares(book.ts, self._name, book.qty)
        top = [s for s in down(range(len(score)), score) if np.isfinite(score[s])][: self._topk]
        # What it was worth at the closes before: cash has not moved since.
        held = book.qty != 0
        value = self._risk_degree * float(book.cash[0] + book.qty[held] @ self._mark[held])
        wanted = np.zeros(len(score))
        for s in top:
            if book.qty[s] or (able[s] and before[s]):
                wanted[s] = value / self._topk / self._mark[s]
        change = wanted - book.qty
        whole = np.where(wanted == 0, change, np.sign(change) * lots(np.abs(change), self._lot))
        return shares(book.ts, self._name, book.qty + np.where(able, whole, 0.0))


def lots(amount: float | Vector, lot: float | Vector) -> Vector:
    """Whole lots of this many shares, with the tenth of a share that Qlib adds for rounding errors."""
    return np.floor((amount + 0.1) / lot) * lot
