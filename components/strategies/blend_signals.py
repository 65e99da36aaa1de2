"""Several signals as one, handed to a strategy inside."""

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from components.metrics.signal import ranks
from components.strategies.nested import Nested
from components.strategies.signals import pick
from components.strategies.weights import standard
from engine.events import Book, Signal, Target, Vector
from engine.protocols import Strategy
from engine.state import pack, unpack
from engine.universe import Universe

_KIND, _VERSION = "blend_signals", 1


class BlendSignals:
    """Makes one signal of several and asks the strategy inside with it.

        combined_i = sum over m of w_m x_mi / sum over m of w_m,    over the signals m that count for name i

    x_m is, within the slice and over the names with a finite score of m, by `combine`:

        zscore   (s - mean s) / std s, with n - 1; a signal that tells no name from another has no opinion of any
        rank     (r - 0.5) / n - 0.5, from the worst to the best, ties share their mean
        mean     s itself

    `missing: skip` counts, name by name, the signals that have an opinion; `drop` gives a name a combined score only
    where all of them have one. `signals` names those that are read, empty = all that there are; `weights` (zero or
    more, by name, those not named 1) says how much each counts. The combined signal is called after this strategy; its
    asof is the oldest among those read, its horizon theirs where they agree and else 0 (not known).

    Everything else is handed on to the strategy inside, whose interval is that of the whole.

    Source: AverageEnsemble of Qlib, which is `zscore` with equal weights.

    >>> from engine.universe import universe_of
    >>> from components.strategies.topk_dropout import TopkDropout
    >>> two = universe_of(("A", "B"))
    >>> top = TopkDropout(topk=1, n_drop=1, universe=two, name="strategy")
    >>> blend = BlendSignals(strategy=top, universe=two, name="blend", weights={"b": 3.0})
    >>> blend.on_bars(bars(ts=1, close=[10.0, 10.0]))
    >>> said = (signal(1, [2.0, 1.0], source="a"), signal(1, [0.0, 9.0], source="b"))
    >>> blend.on_signals(said, book(1, [10.0, 10.0], cash=1000.0)).value
    array([ 0., 95.])
    """

    def __init__(  # noqa: PLR0913 - the schema of a run file's block
        self,
        *,
        strategy: Strategy,
        universe: Universe,
        name: str,
        signals: tuple[str, ...] = (),
        weights: dict[str, float] | None = None,
        combine: Literal["zscore", "rank", "mean"] = "zscore",
        missing: Literal["skip", "drop"] = "skip",
    ) -> None:
        for option, value, known in (
            ("combine", combine, ("zscore", "rank", "mean")),
            ("missing", missing, ("skip", "drop")),
        ):
            if value not in known:
                raise ValueError(f"{option} must be one of {', '.join(known)}, got {value!r}")
        if len(set(signals)) < len(signals):
            raise ValueError(f"signals must name each signal once, got {', '.join(signals)}")
        for source, weight in (weights or {}).items():
            if not 0 <= weight < np.inf:
                raise ValueError(f"weights: {source} must be finite and at least 0, got {weight}")
            if signals and source not in signals:
                raise ValueError(f"weights names {source!r}, which is not among signals ({', '.join(signals)})")
        self._nested = Nested(name, (strategy,), ("strategy",))
        self._name, self._symbols = name, universe.symbols
        self._sources, self._weights, self._combine, self._drop = signals, weights or {}, combine, missing == "drop"
        self._pace, self.wraps = self._nested.interval_ns, self._nested.strategies
        self.lookback, self.slow_handlers = self._nested.lookback, self._nested.slow_handlers
        vars(self).update(self._nested.handlers(type(self)))

    @property
    def interval_ns(self) -> int:
        return self._pace

    @interval_ns.setter
    def interval_ns(self, value: int) -> None:
        self._pace = self._nested.paced(value)

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        target = self._nested.ask(0, (self._combined(self._read(signals), book.ts),), book)
        return None if target is None else msgspec.structs.replace(target, source=self._name)

    def _read(self, signals: tuple[Signal, ...]) -> tuple[Signal, ...]:
        if self._sources:
            return tuple(pick(signals, source, self._name) for source in self._sources)
        odd = [source for source in self._weights if all(each.source != source for each in signals)]
        if odd or not signals:
            known = ", ".join(each.source for each in signals) or "none"
            said = f"weights names {odd[0]!r}" if odd else "there is no signal to blend"
            raise ValueError(f"{self._name}: {said}; the signals that come: {known}")
        return signals

    def _combined(self, signals: Sequence[Signal], ts: int) -> Signal:
        n = len(self._symbols)
        total, counted, everyone = np.zeros(n), np.zeros(n), np.ones(n, bool)
        for each in signals:
            weight = self._weights.get(each.source, 1.0)
            x = self._comparable(each.value)
            known = np.isfinite(x)
            everyone &= known | (weight == 0.0)
            total += np.where(known, weight * x, 0.0)
            counted += np.where(known, weight, 0.0)
        told = counted > 0.0
        if self._drop:
            told &= everyone
        horizon = signals[0].horizon_ns
        return Signal(
            ts=ts,
            asof=min(each.asof for each in signals),
            source=self._name,
            value=np.divide(total, counted, out=np.full(n, np.nan), where=told),
            horizon_ns=horizon if all(each.horizon_ns == horizon for each in signals) else 0,
        )

    def _comparable(self, score: Vector) -> Vector:
        """(N,) what of a signal is added up; NaN = no opinion."""
        known = np.isfinite(score)
        if self._combine == "mean":
            return np.where(known, score, np.nan)
        own, out = score[known], np.full(len(score), np.nan)
        if len(own):
            x = standard(own) if self._combine == "zscore" else (ranks(own[None])[0] - 0.5) / len(own) - 0.5
            if self._combine == "rank" or x.any():
                out[known] = x
        return out

    def save(self) -> bytes:
        return pack(_KIND, _VERSION, symbols=self._symbols, nested=self._nested.save())

    def load(self, state: bytes, /) -> None:
        self._nested.load(unpack(state, _KIND, _VERSION)["nested"])
