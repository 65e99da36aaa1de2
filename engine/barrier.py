"""The two barriers of a slice: strategies wait for book and signals, the optimizer waits for the strategies."""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import numpy as np

from engine.bus import Calls
from engine.errors import ComponentError, failure_of
from engine.events import ActionKind, Actions, Bars, Book, OpenOrders, Signal, Target, TargetKind, Vector
from engine.protocols import Optimizer, Strategy
from engine.sealing import handed, sealed, users_own
from engine.state import encode_hook, ext_hook, pack, unpack
from engine.worked import with_intent, with_parents

_VERSION = 1
_FLOAT = np.dtype(np.float64)


class DueModel(msgspec.Struct, frozen=True, kw_only=True):
    """What the barrier must know of a model."""

    name: str
    interval_ns: int  # of the slices it answers
    waited: bool = True  # False: its signals come later and join as the latest known
    ttl_ns: int = 0  # how long an answer counts after its ts, 0 = for ever


class Named(msgspec.Struct, frozen=True):
    """A component with its name in the wiring."""

    name: str
    component: Any

    @property
    def own(self) -> bool:
        """Whether its class is the user's own."""
        return users_own(self.component)

    def slow(self, method: str) -> bool:
        return method in getattr(self.component, "slow_handlers", ())


class Barrier:
    """Calls each strategy exactly once per slice of its interval, then the optimizer once.

    A strategy's turn has come when the book of the slice and the signal of every model due in it are in. It gets one
    signal a model, in the order of the wiring: the answer of this slice, or of a model that is slower or late the
    latest one; NaN throughout where there is none or its time to live has passed. The optimizer's turn has come when
    all due strategies have returned; it gets the latest target of each that ever had one. `parents`, what an execution
    policy works, are working shares in the book of a strategy, and stand among the open orders of the optimizer's.
    """

    def __init__(  # noqa: PLR0913 - the wiring alone builds it
        self,
        *,
        models: tuple[DueModel, ...],
        strategies: tuple[Named, ...],
        optimizer: Named,
        broker: str,
        finest: int,
        n: int,
        parents: Callable[[], OpenOrders] | None = None,
    ) -> None:
        self._broker, self._parents = broker, parents
        self._models = models
        self._optimizer: Optimizer = optimizer.component
        self._optimizer_name, self._slow_optimizer = optimizer.name, optimizer.slow("on_targets")
        self._own_optimizer, self._own = optimizer.own, tuple(named.own for named in strategies)
        self._slow = any(s.slow("on_signals") for s in strategies)
        self._finest, self._n = finest, n
        self._by_interval: dict[int, tuple[tuple[int, Named], ...]] = {}
        for place, named in enumerate(strategies):
            strategy: Strategy = named.component
            interval = getattr(strategy, "interval_ns", 0) or finest
            self._by_interval[interval] = (*self._by_interval.get(interval, ()), (place, named))
        self._waited = tuple(model.waited for model in models)
        self._intervals = tuple(model.interval_ns for model in models)
        self._count = {i: sum(m.waited and m.interval_ns == i for m in models) for i in self._by_interval}
        self._place = {model.name: i for i, model in enumerate(models)}
        self._latest: list[Signal | None] = [None] * len(models)
        self._targets: list[Target | None] = [None] * len(strategies)
        self._book: Book | None = None
        self._book_ts = 0
        self._ts = 0
        self._bookless = False  # the open slice has no book yet
        self._missing: dict[int, int] = {}  # open interval -> models that have not answered yet
        self._unreturned = 0
        self._only = next(iter(self._by_interval)) if len(self._by_interval) == 1 else None
        self._plain = len(models) == 1 and not models[0].ttl_ns
        self.waits = self._slow or self._slow_optimizer

    def on_bars(self, bars: Bars, /) -> None:
        """Opens the decision of this interval."""
        if bars.ts != self._ts:
            self.check()
            self._ts = bars.ts
        if bars.interval_ns == self._finest:
            self._bookless = True
        count = self._count.get(bars.interval_ns)
        if count is not None:
            self._missing[bars.interval_ns] = count

    def check(self) -> None:
        """Raises ComponentError when the slice that is over lacks its fills or the answer of a model."""
        if self._bookless:
            cause = "it answered without a Fills; each slice needs exactly one, possibly empty"
            raise ComponentError(self._broker, "Bars", self._ts, cause)
        for interval in self._missing:
            for model, latest in zip(self._models, self._latest, strict=True):
                answered = latest is not None and latest.ts == self._ts
                if model.waited and model.interval_ns == interval and not answered:
                    cause = "it did not answer; a model answers every slice, NaN where it has no opinion"
                    raise ComponentError(model.name, "Bars", self._ts, cause)
        self._missing.clear()

    def on_actions(self, actions: Actions, /) -> None:
        """Targets that are kept follow splits, delistings and changes of symbol, as positions do."""
        for place, target in enumerate(self._targets):
            if target is not None:
                self._targets[place] = followed(target, actions)

    def on_bars_seen(self, bars: Bars, /) -> Any:
        """After all have seen the bars: a slower interval's book came with the finer bars, before its own.

        Where no finer bars ended with them, the latest book still stands: it is the book of this instant too.
        """
        book = self._book
        if bars.interval_ns != self._finest and book is not None and book.ts < bars.ts and not self._bookless:
            self._book, self._book_ts = msgspec.structs.replace(book, ts=bars.ts), bars.ts
        return self._decide() if self._missing and self._book_ts == bars.ts else None

    def on_signal(self, signal: Signal, /) -> Any:
        place = self._place[signal.source]  # the bus lets nobody else say one
        if len(signal.value) != self._n:
            cause = f"its signal has {len(signal.value)} values, not {self._n}"
            raise ComponentError(signal.source, "Bars", signal.ts, cause)
        if getattr(signal.value, "dtype", None) is not _FLOAT or signal.value.ndim != 1:
            check_values(signal)
        before, self._latest[place] = self._latest[place], signal
        if not self._waited[place] or (before is not None and before.ts == signal.ts):
            return None
        if signal.ts != self._ts:
            cause = f"its signal has ts {signal.ts}; a model answers each slice with the ts of that slice"
            raise ComponentError(signal.source, "Bars", self._ts, cause)
        interval = self._intervals[place]
        missing = self._missing.get(interval)
        if missing is None:
            return None
        self._missing[interval] = missing - 1
        return self._decide() if missing == 1 and self._book_ts == self._ts else None

    def on_book(self, book: Book, /) -> Any:
        self._book = book
        if book.ts != self._ts:
            return None
        self._book_ts, self._bookless = book.ts, False
        return self._decide() if self._missing else None

    def _decide(self) -> Any:
        book, missing = self._book, self._missing
        if book is None:
            return None
        if self._only is not None:
            if missing[self._only]:
                return None
            missing.clear()
            due = self._by_interval[self._only]
        else:
            ready = [interval for interval, count in missing.items() if not count]
            for interval in ready:
                del missing[interval]
            due = tuple(named for interval in ready for named in self._by_interval[interval])
            if not due:
                return None
        signals = self._signals()
        if self._parents is not None:
            book = with_intent(book, self._parents())
        if self._slow:
            calls = tuple((named.name, partial(self._ask, place, named, signals, book)) for place, named in due)
            return Calls(calls, self._returned)
        targets = tuple([t for place, named in due if (t := self._ask(place, named, signals, book)) is not None])
        self._unreturned = len(targets)
        return targets or self._optimise()

    def _ask(self, place: int, named: Named, signals: tuple[Signal, ...], book: Book) -> Target | None:
        target: Target | None
        own = self._own[place]
        try:
            if own:
                signals, book = tuple(handed(signal) for signal in signals), handed(book)
            target = named.component.on_signals(signals, book)
        except (Exception, SystemExit) as error:
            raise failure_of(named.name, "Signal", self._ts, error) from error
        if target is not None:
            fits = target.__class__ is Target and target.kind.__class__ is TargetKind
            if fits and own:  # it reaches the bus by the barrier, as the optimizer's
                target = sealed(named.name, target, self._ts)
            if not fits or len(target.value) != self._n:
                kind = f" of kind {target.kind!r}" if target.__class__ is Target else ""
                cause = (
                    f"it answered {target.__class__.__name__}{kind}, not a Target of {self._n} values and a TargetKind"
                )
                raise ComponentError(named.name, "Signal", self._ts, cause)
            self._targets[place] = target
        return target

    def _returned(self, answers: tuple[Target | None, ...]) -> Any:
        """The targets are on the bus by now; the last of them to be seen there wakes the optimizer."""
        self._unreturned = sum(answer is not None for answer in answers)
        return None if self._unreturned else self._optimise()

    def on_target(self, target: Target, /) -> Any:
        if self._unreturned <= 0:
            cause = "it said a target that nobody asked for; return targets from on_signals alone"
            raise ComponentError(target.source, "Target", target.ts, cause)
        self._unreturned -= 1
        return self._optimise() if self._unreturned == 0 else None

    def _optimise(self) -> Any:
        targets, book = tuple([target for target in self._targets if target is not None]), self._book
        if not targets or book is None:
            return None
        if self._parents is not None:
            book = with_parents(book, self._parents())
        if self._own_optimizer:
            targets, book = tuple([handed(target) for target in targets]), handed(book)
        if self._slow_optimizer:
            return Calls(((self._optimizer_name, partial(self._optimizer.on_targets, targets, book)),))
        return self._optimizer.on_targets(targets, book) or None  # nothing to append, at once

    def _signals(self) -> tuple[Signal, ...]:
        if self._plain and self._latest[0] is not None:
            return (self._latest[0],)
        return tuple(self._current(model, latest) for model, latest in zip(self._models, self._latest, strict=True))

    def _current(self, model: DueModel, latest: Signal | None) -> Signal:
        if latest is None:
            return Signal(ts=self._ts, asof=0, source=model.name, value=np.full(self._n, np.nan), horizon_ns=0)
        if model.ttl_ns and self._ts - latest.ts > model.ttl_ns:
            return msgspec.structs.replace(latest, value=np.full(self._n, np.nan))
        return latest

    def save(self) -> bytes:
        def kept(events: list[Any]) -> list[bytes]:
            return [b"" if event is None else _encoder.encode(event) for event in events]

        latest = dict(zip((m.name for m in self._models), kept(self._latest), strict=True))
        return pack(
            "barrier", _VERSION, ts=self._ts, latest=latest, targets=kept(self._targets), book=kept([self._book])[0]
        )

    def load(self, state: bytes, /) -> None:
        """Between two inputs only: no decision is open then."""
        fields = unpack(state, "barrier", _VERSION)
        self._ts = self._book_ts = fields["ts"]
        for name, signal in fields["latest"].items():
            self._latest[self._place[name]] = grown(_signals.decode(signal), self._n) if signal else None
        self._targets = [grown(_targets.decode(target), self._n) if target else None for target in fields["targets"]]
        book = _books.decode(fields["book"]) if fields["book"] else None
        self._book = book if book is not None and len(book.qty) == self._n else None  # the next slice brings another
        self._missing.clear()


def check_values(signal: Signal) -> None:
    """Raises ComponentError, naming the model, where the values of its signal are no float64: only those have a NaN."""
    kind = getattr(signal.value, "dtype", type(signal.value).__name__)
    if kind != _FLOAT:
        cause = f"its signal has values of {kind}, not float64; make them so, e.g. value.astype(np.float64)"
        raise ComponentError(signal.source, "Bars", signal.ts, cause)
    if signal.value.ndim != 1:
        cause = f"its signal has values of shape {signal.value.shape}, not one a symbol"
        raise ComponentError(signal.source, "Bars", signal.ts, cause)


def followed(target: Target, actions: Actions) -> Target:
    """The target as it reads after these corporate actions."""
    columns = {name: getattr(target, name).copy() for name in ("value", "alpha", "limit", "stop")}
    value, shares = columns["value"], target.kind is TargetKind.QUANTITY
    for i, kind in enumerate(actions.kind.tolist()):
        s, ratio = int(actions.symbol[i]), float(actions.ratio[i])
        if kind in (ActionKind.SPLIT, ActionKind.SYMBOL_CHANGE):
            value[s] *= ratio if shares else 1.0
            columns["limit"][s] /= ratio
            columns["stop"][s] /= ratio
        if kind == ActionKind.SYMBOL_CHANGE:
            new = int(actions.successor[i])
            if not np.isnan(value[s]):  # both wishes count; no wish for the one leaves that for the other
                value[new] = value[s] + (0.0 if np.isnan(value[new]) else value[new])
            for name in ("alpha", "limit", "stop"):
                if not np.isnan(columns[name][s]):
                    columns[name][new] = columns[name][s]
        if kind in (ActionKind.DELISTING, ActionKind.SYMBOL_CHANGE):
            value[s] = 0.0
    return msgspec.structs.replace(target, **columns)


def grown(event: Any, n: int) -> Any:
    """A saved signal or target with NaN for the names that were appended to the universe since."""
    if len(event.value) == n:
        return event
    names = [name for name in ("value", "alpha", "limit", "stop") if hasattr(event, name)]
    return msgspec.structs.replace(event, **{name: _padded(getattr(event, name), n) for name in names})


def _padded(values: Vector, n: int) -> Vector:
    return np.concatenate([values, np.full(n - len(values), np.nan)])


def _decoder(kind: type[Any]) -> Any:
    return msgspec.msgpack.Decoder(kind, ext_hook=ext_hook, dec_hook=lambda _, value: value)


_encoder = msgspec.msgpack.Encoder(enc_hook=encode_hook)
_signals, _targets, _books = _decoder(Signal), _decoder(Target), _decoder(Book)
