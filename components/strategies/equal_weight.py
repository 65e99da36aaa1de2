"""The same weight for every member."""

import numpy as np

from components.strategies.allocation import Allocation, Leavers, Rebalance
from components.strategies.signals import pick
from components.strategies.weights import checked_gross
from engine.events import Bars, Book, Signal, Target
from engine.state import pack, unpack
from engine.universe import Universe

_KIND, _VERSION = "equal_weight", 1


class EqualWeight:
    """gross / n of equity in each of the n members that have a price.

    No score is needed: signals are not looked at, unless `scored_by` names one, and then only names with a finite score
    of it count. A name that is halted or missing at t keeps its shares, and the others share what it leaves of gross.
    `leavers` says what becomes of holdings that left the index or lost their score: `hold` keeps them, `close` sells
    them. With `rebalance: changes` names keep their shares until n changes. None while there is no such member; with
    equity of zero or less all is closed.

    >>> from engine.universe import universe_of
    >>> equal = EqualWeight(universe=universe_of(("A", "B")), name="equal")
    >>> equal.on_bars(bars(ts=1, close=[10.0, 20.0]))
    >>> equal.on_signals((), book(1, [10.0, 20.0], cash=1000.0)).value
    array([50., 25.])
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        name: str,
        gross: float = 1.0,
        leavers: Leavers = "hold",
        rebalance: Rebalance = "always",
        scored_by: str | None = None,
        interval_ns: int = 0,
    ) -> None:
        if interval_ns < 0:
            raise ValueError(f"interval_ns must be at least 0, got {interval_ns}")
        checked_gross(gross)
        self.interval_ns = interval_ns
        self._name, self._gross, self._scored_by = name, gross, scored_by
        self._allocation = Allocation(universe=universe, name=name, leavers=leavers, rebalance=rebalance)

    def on_bars(self, bars: Bars, /) -> None:
        self._allocation.on_bars(bars)

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        members, score = self._allocation.listed(book), None
        if self._scored_by is not None:
            score = pick(signals, self._scored_by, self._name).value
            members &= np.isfinite(score)
        count = np.count_nonzero(members)
        if not count:
            return None
        return self._allocation.target(book, np.where(members, self._gross / count, np.nan), score)

    def save(self) -> bytes:
        return pack(_KIND, _VERSION, **self._allocation.fields())

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since have no bar yet."""
        self._allocation.restore(unpack(state, _KIND, _VERSION))
