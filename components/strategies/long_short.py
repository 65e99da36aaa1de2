"""Long the names of the best scores, short those of the worst."""

from typing import Literal

import numpy as np

from components.strategies.allocation import Allocation, Leavers, Rebalance
from components.strategies.signals import pick
from components.strategies.volatility import Volatility
from components.strategies.weights import alike, checked_cap, checked_gross, scaled, spread_over, two_legs
from engine.events import Actions, Bars, Book, Signal, Target, Vector
from engine.state import pack, unpack
from engine.universe import Universe

_KIND, _VERSION = "long_short", 1


class LongShort:
    """The best k names share (gross + net) / 2 of equity, the worst k are sold short for (gross - net) / 2.

        k = count, or floor(quantile * n) and at least 1, and never more than half of n

    of the n names that have a finite score, are members and FRESH at t. Within a leg, `weights` are

        equal         1
        score         |s_i - median s|
        inverse_vol   1 / sigma_i, of the log returns of the last `window` slices; a name without sigma is left out

    in proportion, none above `max_weight` of equity; what that cuts goes to the others of the leg, and where it leaves
    a leg short of its sum the other shrinks with it. At equal scores a name that is held on that side comes first, then
    the order of the universe decides. The names between the legs are closed. `leavers` says what becomes of holdings
    without a score or out of the index (`hold`, `close`); a halted name keeps its shares and its leg shares the rest.
    `rebalance: changes` trades a name only when its wanted weight changes.

    Where all scores are the same, or fewer than two names have one, there is no ranking: the last target stands. Net
    equal to gross is long only. With equity of zero or less all is closed. `lookback` is window + 1 for `inverse_vol`.

    >>> from engine.universe import universe_of
    >>> pair = LongShort(universe=universe_of(("A", "B", "C")), name="pair", count=1)
    >>> pair.on_bars(bars(ts=1, close=[10.0, 20.0, 50.0]))
    >>> pair.on_signals((signal(1, [0.1, 0.3, 0.2]),), book(1, [10.0, 20.0, 50.0], cash=1000.0)).value
    array([-50.,  25.,   0.])
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        universe: Universe,
        name: str,
        quantile: float | None = None,
        count: int | None = None,
        gross: float = 1.0,
        net: float = 0.0,
        weights: Literal["equal", "score", "inverse_vol"] = "equal",
        window: int = 20,
        max_weight: float | None = None,
        leavers: Leavers = "hold",
        rebalance: Rebalance = "always",
        signal: str | None = None,
        interval_ns: int = 0,
    ) -> None:
        if (quantile is None) == (count is None):
            raise ValueError("quantile or count must say how many names a leg has, one of the two")
        if quantile is not None and not 0 < quantile <= 0.5:
            raise ValueError(f"quantile must be above 0 and at most 0.5 (a share of the names), got {quantile}")
        if count is not None and count < 1:
            raise ValueError(f"count must be at least 1 name, got {count}")
        if weights not in ("equal", "score", "inverse_vol"):
            raise ValueError(f"weights must be one of equal, score, inverse_vol, got {weights!r}")
        if interval_ns < 0:
            raise ValueError(f"interval_ns must be at least 0, got {interval_ns}")
        checked_gross(gross, net)
        self.interval_ns = interval_ns
        self._quantile, self._count, self._weights, self._signal, self._name = quantile, count, weights, signal, name
        self._long, self._short, self._cap = (gross + net) / 2, (gross - net) / 2, checked_cap(max_weight)
        self._allocation = Allocation(universe=universe, name=name, leavers=leavers, rebalance=rebalance)
        volatility = Volatility(universe, window)
        self._volatility = volatility if weights == "inverse_vol" else None
        self.lookback = window + 1 if self._volatility is not None else 0

    def on_bars(self, bars: Bars, /) -> None:
        self._allocation.on_bars(bars)
        if self._volatility is not None:
            self._volatility.on_bars(bars)

    def on_actions(self, actions: Actions, /) -> None:
        if self._volatility is not None:
            self._volatility.on_actions(actions)

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        score = pick(signals, self._signal, self._name).value
        ranked = self._allocation.able(book) & np.isfinite(score)
        sigma = None if self._volatility is None else self._volatility.value()
        if sigma is not None:
            ranked &= np.isfinite(sigma)
        rows = np.flatnonzero(ranked)
        if alike(score[rows]):
            return None
        sides = self._sides(score[rows], (book.qty + book.working)[rows])
        raw = sides * self._within(score[rows], None if sigma is None else sigma[rows], sides)
        weight = two_legs(raw, self._long, self._short, self._cap)
        return self._allocation.target(book, spread_over(weight, ranked), score)

    def _sides(self, score: Vector, position: Vector) -> Vector:
        """(K,) 1 for the names of the long leg, -1 for those of the short one, 0 between."""
        n = len(score)
        k = self._count if self._count is not None else int(np.floor((self._quantile or 0.0) * n + 1e-9))
        k = min(max(k, 1), n // 2)
        sides = np.zeros(n)
        sides[np.lexsort((np.arange(n), -np.sign(position), -score))[:k]] = 1.0
        worst = np.lexsort((np.arange(n), np.sign(position), score))
        sides[worst[sides[worst] == 0.0][:k]] = -1.0
        return sides

    def _within(self, score: Vector, sigma: Vector | None, sides: Vector) -> Vector:
        """(K,) proportions within the two_legs, zero or more."""
        if sigma is not None:
            return 1.0 / sigma
        if self._weights == "equal":
            return np.ones(len(score))
        same = scaled(score)
        far = np.abs(same - np.median(same))
        for side in (1.0, -1.0):
            if not far[sides == side].any():  # all of a leg at the median: nothing tells its names apart
                far[sides == side] = 1.0
        return far

    def save(self) -> bytes:
        moved = None if self._volatility is None else self._volatility.fields()
        return pack(_KIND, _VERSION, **self._allocation.fields(), volatility=moved)

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since have no bar yet."""
        fields = unpack(state, _KIND, _VERSION)
        self._allocation.restore(fields)
        if self._volatility is not None:
            self._volatility.restore(fields["volatility"], fields["symbols"])
