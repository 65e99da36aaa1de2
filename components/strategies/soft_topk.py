"""Soft top-k: toward equal weights of the best names, no faster than their markets bear."""

import numpy as np

from components.optimizers.paying import unit_value
from components.strategies.allocation import Allocation
from components.strategies.signals import pick
from components.strategies.weights import alike
from engine.events import Bars, Book, Mask, Signal, Target, Vector
from engine.state import pack, unpack
from engine.universe import Universe

_KIND, _VERSION = "soft_topk", 1


class SoftTopk:
    """Moves weights toward risk_degree / topk in each of the best `topk` names, by at most `impact_limit` a slice each.

    With w the weights now (filled and working shares at the marks of t, over equity), i = risk_degree / topk, l =
    impact_limit:

    1. A name that is held and not among the best is reduced by min(|w|, l), one among the best that is above i by
       min(w - i, l). What that gives is released.
    2. The budget is what was released and risk_degree - sum w.
    3. Names among the best that are below i share the budget in proportion to what they lack, none getting more than
       it lacks or than l; together never more than they lack.

    The best are members with a finite score, FRESH or held; at equal scores a holding comes first, then the order of
    the universe decides. A name that is not FRESH is neither reduced nor bought. A name that does not move keeps its
    exact shares, and so has no order. Where all scores are the same and more names have one than `topk`, there is no
    ranking: the last target stands, as without any score. With equity of zero or less all that is FRESH is closed.

    Source: the SoftTopk strategy of Qlib, made causal: its weights are shares of the value in stocks, these are shares
    of equity; it looks at the next deal price and at what can be traded then.

    >>> from engine.universe import universe_of
    >>> soft = SoftTopk(topk=1, impact_limit=0.5, universe=universe_of(("A", "B")), name="soft")
    >>> soft.on_bars(bars(ts=1, close=[10.0, 10.0]))
    >>> soft.on_signals((signal(1, [0.1, 0.2]),), book(1, [10.0, 10.0], cash=0.0, qty=[100.0, 0.0])).value
    array([50., 45.])
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        topk: int,
        universe: Universe,
        name: str,
        risk_degree: float = 0.95,
        impact_limit: float = 1.0,
        signal: str | None = None,
        interval_ns: int = 0,
    ) -> None:
        if topk < 1:
            raise ValueError(f"topk must be at least 1, got {topk}")
        if not 0 < risk_degree <= 10:
            raise ValueError(f"risk_degree must be above 0 and at most 10 (a share of equity), got {risk_degree}")
        if not 0 < impact_limit <= 10:
            raise ValueError(f"impact_limit must be above 0 and at most 10 (a share of equity), got {impact_limit}")
        if interval_ns < 0:
            raise ValueError(f"interval_ns must be at least 0, got {interval_ns}")
        self.interval_ns = interval_ns
        self._topk, self._risk_degree, self._limit = topk, risk_degree, impact_limit
        self._universe, self._name, self._signal = universe, name, signal
        self._allocation = Allocation(universe=universe, name=name)

    def on_bars(self, bars: Bars, /) -> None:
        self._allocation.on_bars(bars)

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        score = pick(signals, self._signal, self._name).value
        position: Vector = book.qty + book.working
        fresh = self._allocation.fresh
        able = self._allocation.able(book)
        rated = np.isfinite(score) & (able | ((position > 0.0) & self._allocation.member))
        if not rated.any() or (alike(score[rated]) and np.count_nonzero(rated) > self._topk):
            return None
        value = position
        if book.equity <= 0:
            value[fresh] = 0.0
            return self._allocation.shares(book, value, score)
        money = np.where(position != 0.0, position * unit_value(self._universe, book, slice(None)), 0.0)
        weight = np.nan_to_num(money) / book.equity
        best = self._best(score, rated, position)
        change = self._changes(weight, best, fresh, able)
        moved = change.nonzero()[0]
        unit = unit_value(self._universe, book, moved)
        gone = moved[np.abs(change[moved] + weight[moved]) <= 1e-12]
        value[moved] += change[moved] * book.equity / unit
        value[gone] = 0.0
        return self._allocation.shares(book, value, score)

    def _best(self, score: Vector, rated: Mask, position: Vector) -> Mask:
        rows = np.flatnonzero(rated)
        order = np.lexsort((rows, position[rows] == 0.0, -score[rows]))
        best = np.zeros(len(score), bool)
        best[rows[order[: self._topk]]] = True
        return best

    def _changes(self, weight: Vector, best: Mask, fresh: Mask, able: Mask) -> Vector:
        """(N,) by how much each weight moves."""
        ideal, limit = self._risk_degree / self._topk, self._limit
        out = np.where(best, -np.minimum(np.maximum(weight - ideal, 0.0), limit), 0.0)
        out = np.where(best, out, -np.sign(weight) * np.minimum(np.abs(weight), limit))
        out[~fresh] = 0.0
        budget = self._risk_degree - float(weight.sum() + out.sum())
        lacks = np.where(best & able, np.maximum(ideal - weight, 0.0), 0.0)
        total = float(lacks.sum())
        if budget > 0.0 and total > 0.0:
            out += np.minimum(lacks * min(budget / total, 1.0), limit)
        return out

    def save(self) -> bytes:
        return pack(_KIND, _VERSION, **self._allocation.fields())

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since have no bar yet."""
        self._allocation.restore(unpack(state, _KIND, _VERSION))
