"""Top-k with dropout: the best names by score, a few replaced each slice."""

from collections import deque
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from components.strategies.signals import pick
from engine.events import Bars, Book, Codes, Mask, Signal, Status, Target, TargetKind, Vector
from engine.state import pack, placed, unpack
from engine.universe import Universe

Rows: TypeAlias = NDArray[Any]  # positions in the universe
_KIND, _VERSION = "topk_dropout", 2


class TopkDropout:
    """Holds about `topk` names and replaces at most `n_drop` of them a slice; new names get equal budgets.

    With H the names held (filled or working), decided on what is known at t and nothing later:

    1. Candidates C: the best topk + n_drop - |H| names not held that have a finite score, are members and FRESH at t.
    2. H and C are ranked together by score. A holding without a finite score stands last; at equal scores a holding
       stands before a candidate, then the order of the universe decides.
    3. Planned sales: the holdings among the last n_drop ranks, but never those within the first topk. So a holding
       is dropped only for a better candidate, or where more than topk names are held. n_drop = 0 replaces nothing.
    4. A planned sale is made only if the name is FRESH at t and has been held for `hold_thresh` slices; others stay
       and free no slot.
    5. Purchases: the first topk - |H| + |sales| of C, each for

           min(risk_degree * equity / topk, (risk_degree * equity - value of names kept) / number of purchases)

       Names that cannot be bought never were candidates, so the next best one takes their budget.

    Where all finite scores are the same and more names could be bought than there is room for, there is no ranking:
    nothing new is bought, and nothing is sold to make room.

    The target is in shares: a name kept has exactly its present quantity, and so no order. Leaving the index or
    going missing sells nothing. Without any finite score all is kept; before the first score there is no target.

    Source: the TopkDropout strategy of Qlib, made causal: sizes come from marks and equity at t instead of the next
    deal price, and purchases are decided after the sales that can be made.

    >>> from engine.universe import universe_of
    >>> best = TopkDropout(topk=1, n_drop=1, universe=universe_of(("A", "B")), name="best")
    >>> best.on_bars(bars(ts=1, close=[10.0, 20.0]))
    >>> best.on_signals((signal(1, [0.1, 0.2]),), book(1, [10.0, 20.0], cash=1000.0)).value
    array([ 0. , 47.5])
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        topk: int,
        n_drop: int,
        universe: Universe,
        name: str,
        risk_degree: float = 0.95,
        hold_thresh: int = 1,
        signal: str | None = None,
        interval_ns: int = 0,
    ) -> None:
        if topk < 1:
            raise ValueError(f"topk must be at least 1, got {topk}")
        if n_drop < 0:
            raise ValueError(f"n_drop must be at least 0, got {n_drop}")
        if not 0 < risk_degree <= 10:
            raise ValueError(f"risk_degree must be above 0 and at most 10 (a share of equity), got {risk_degree}")
        if hold_thresh < 0:
            raise ValueError(f"hold_thresh must be at least 0 slices, got {hold_thresh}")
        if interval_ns < 0:
            raise ValueError(f"interval_ns must be at least 0, got {interval_ns}")
        n = len(universe)
        self.interval_ns = interval_ns
        self._topk, self._n_drop, self._risk_degree = topk, n_drop, risk_degree
        self._hold_thresh, self._signal, self._name, self._universe = hold_thresh, signal, name, universe
        self._none = np.full(n, np.nan)
        self._none.flags.writeable = False
        self._status: Codes = np.full(n, Status.MISSING, np.int32)  # no bar yet: nothing can be bought
        self._member: Mask = np.ones(n, bool)
        self._recent: deque[int] = deque(maxlen=max(hold_thresh, 1))
        self._decided = False

    def on_bars(self, bars: Bars, /) -> None:
        self._status, self._member = bars.status, bars.member
        self._recent.append(bars.ts)

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        signal = signals[0] if self._signal is None and len(signals) == 1 else pick(signals, self._signal, self._name)
        score = signal.value
        position = book.qty + book.working
        finite = np.isfinite(score)
        self._decided = self._decided or bool(finite.any())
        if not self._decided:
            return None
        held = position.nonzero()[0]
        today = self._candidates(score, finite, held)
        sold = self._sales(score, finite, held, today, book)
        count = self._topk - len(held) + len(sold)
        if self._undecided(score, finite, held, today, count):
            today = held[:0]
            sold = self._sales(score, finite, held, today, book)
        value = position
        value[sold] = 0.0
        if count > 0 and today.size:
            bought = today[:count]
            value[bought] = self._budget(book, value, held, len(bought)) / self._unit(book, bought)
        return Target(
            ts=book.ts,
            source=self._name,
            kind=TargetKind.QUANTITY,
            value=value,
            alpha=score,
            limit=self._none,
            stop=self._none,
        )

    def _candidates(self, score: Vector, finite: Mask, held: Rows) -> Rows:
        """The best names that may be bought, best first; ties in the order of the universe."""
        wanted = min(self._n_drop + self._topk - len(held), len(score))
        if wanted <= 0:
            return held[:0]
        able = finite & self._member
        if np.count_nonzero(self._status):
            able &= self._status == 0
        value = score.copy() if np.count_nonzero(able) == len(able) else np.where(able, score, -np.inf)
        value[held] = -np.inf
        ranked = value.copy()
        ranked.partition(len(value) - wanted)
        least = ranked.item(len(value) - wanted)
        best = (value >= least if least > -np.inf else value > -np.inf).nonzero()[0]
        result: Rows = best[(-value[best]).argsort(kind="stable")[:wanted]]
        return result

    def _undecided(self, score: Vector, finite: Mask, held: Rows, today: Rows, slots: int) -> bool:
        """Whether all finite scores are one and the same, with more names to buy than there is room for."""
        if not today.size or np.count_nonzero(score == score[today[0]]) < np.count_nonzero(finite):
            return False
        able = finite & self._member & (self._status == 0)
        able[held] = False
        return bool(np.count_nonzero(able) > slots)

    def _sales(self, score: Vector, finite: Mask, held: Rows, today: Rows, book: Book) -> Rows:
        """The holdings to be sold: outranked, FRESH and held for long enough."""
        ranks = len(held) + len(today)
        first = max(self._topk, ranks - self._n_drop)
        if first >= ranks or not held.size:
            return held[:0]
        both = np.concatenate([held, today])
        key = np.where(finite[both], -score[both], np.inf)
        last = key.argsort(kind="stable")[first:]
        last.sort()
        planned: Rows = held[last[: last.searchsorted(len(held))]]
        planned = planned[self._status[planned] == 0]
        if self._hold_thresh > 1 and planned.size:
            long_ago = self._recent[0] if len(self._recent) == self._hold_thresh else 0
            planned = planned[(book.opened[planned] > 0) & (book.opened[planned] <= long_ago)]
        return planned

    def _unit(self, book: Book, rows: Rows) -> Vector:
        """Base money for one share."""
        universe = self._universe
        unit: Vector = book.mark[rows] * universe.multiplier[rows]
        return unit if len(book.rate) == 1 else unit * book.rate[universe.currency[rows]]

    def _budget(self, book: Book, value: Vector, held: Rows, count: int) -> float:
        """Base money for one new name, never negative."""
        invest = self._risk_degree * book.equity
        kept = float(value[held].dot(self._unit(book, held))) if held.size else 0.0
        return max(min(invest / self._topk, (invest - kept) / count), 0.0)

    def save(self) -> bytes:
        return pack(
            _KIND,
            _VERSION,
            symbols=self._universe.symbols,
            status=self._status,
            member=self._member,
            recent=list(self._recent),
            decided=self._decided,
        )

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since have no bar yet."""
        fields = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._universe.symbols
        self._status = placed(fields["status"], before, now, Status.MISSING)
        self._member = placed(fields["member"], before, now, True)
        self._recent = deque(fields["recent"], maxlen=max(self._hold_thresh, 1))
        self._decided = fields["decided"]
