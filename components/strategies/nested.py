"""Strategies inside a strategy: events handed on to them, what they say checked, their states kept."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from engine.errors import ComponentError, ConfigError, SamewireError, StateError, failure_of
from engine.events import Book, Note, Signal, Target, TargetKind
from engine.protocols import Stateful, Strategy
from engine.sealing import sealed, users_own

# What a strategy may define beside on_signals: the wiring routes by name what it knows of these.
_HANDLERS = (
    *("on_control", "on_reference", "on_late", "on_bars", "on_timer", "on_actions", "on_charges", "on_fills"),
    *("on_reports", "on_refusals", "on_book", "on_target"),
)


def answered(name: str, strategy: Strategy, signals: tuple[Signal, ...], book: Book) -> Target | None:
    """What a strategy inside answers: a Target of a value for each symbol, copied where its class is the user's own.

    Raises ComponentError under this name for anything else, and for whatever a class of the user's own raises.
    """
    own, n = users_own(strategy), len(book.qty)
    try:
        target = strategy.on_signals(signals, book)
    except (Exception, SystemExit) as error:
        if not own:
            raise
        raise failure_of(name, "Signal", book.ts, error) from error
    if target is None:
        return None
    fits = target.__class__ is Target and target.kind.__class__ is TargetKind
    if fits and own:
        target = sealed(name, target, book.ts)
    if not fits or len(target.value) != n:
        cause = f"it answered {target.__class__.__name__}, not a Target of {n} values and a TargetKind, or None"
        raise ComponentError(name, "Signal", book.ts, cause)
    return target


def saved_by(name: str, part: Any, ts: int) -> bytes:
    """The state of a part, empty where it remembers nothing. Raises ComponentError under its name where it has none."""
    if not isinstance(part, Stateful):
        return b""
    try:
        state: Any = part.save()
    except Exception as error:
        raise failure_of(name, "save", ts, error) from error
    if not isinstance(state, bytes):
        raise ComponentError(
            name, "save", ts, f"it answered a {type(state).__name__}, not bytes; see engine.state.pack"
        )
    return state


def load_into(name: str, part: Any, state: bytes) -> None:
    """Raises StateError under its name for whatever a part raises; of what is said by us there is enough said."""
    if not isinstance(part, Stateful):
        return
    try:
        part.load(state)
    except SamewireError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise StateError(f"{name}: it cannot load what it saved: {said}; mend its load(), or start without") from error


class Nested:
    """The strategies in the order in which they are asked, each under its name.

    The outer strategy has the interval, the longest lookback and the slow handlers of those inside. They answer in its
    name: a Note of an inner strategy is said by the outer one, as `KIND@INNER` and with the inner name in its text.
    """

    def __init__(self, name: str, strategies: tuple[Strategy, ...], names: tuple[str, ...]) -> None:
        self._name, self._names, self.strategies = name, names, strategies
        self._called = tuple(f"{name}.{inner}" for inner in names)
        self._ts = 0  # of the book that was decided on last
        for called, each in zip(self._called, strategies, strict=True):
            waits = next((m for m in ("on_signals", *_HANDLERS) if _is_coroutine(each, m)), "")
            if waits:
                raise ValueError(f"{called}: {waits} is a coroutine; within another strategy it must answer at once")
        asked = [int(getattr(each, "interval_ns", 0)) for each in strategies]
        if len(set(filter(None, asked))) > 1:
            said = ", ".join(f"{inner} {interval / 1e9:g} s" for inner, interval in zip(names, asked, strict=True))
            raise ValueError(f"{name}: its strategies work on bars of several intervals ({said}); give all of them one")
        self.interval_ns = max(asked, default=0)
        self.lookback = max((int(getattr(each, "lookback", 0)) for each in strategies), default=0)
        self.slow_handlers = tuple(
            sorted({method for each in strategies for method in getattr(each, "slow_handlers", ())})
        )

    def __len__(self) -> int:
        return len(self.strategies)

    def paced(self, interval_ns: int) -> int:
        """The interval that the outer strategy is given. Raises ConfigError where those inside have another."""
        if self.interval_ns not in (0, interval_ns):
            said = f"its interval is {interval_ns / 1e9:g} s and that of what is inside {self.interval_ns / 1e9:g} s"
            raise ConfigError(f"{self._name}: {said}; say one of the two")
        return interval_ns

    def handlers(self, own: type[Any]) -> dict[str, Callable[[Any], Any]]:
        """Handlers that a strategy inside defines and the class of the outer one does not."""
        taken = [m for m in _HANDLERS if any(hasattr(each, m) for each in self.strategies) and not hasattr(own, m)]
        return {method: partial(self.tell, method) for method in taken}

    def tell(self, method: str, event: Any, /) -> tuple[Any, ...] | None:
        """Hands an event to those that take it; what they say, in order, or None."""
        return tuple(said for k in range(len(self)) for said in self.tell_one(k, method, event)) or None

    def tell_one(self, k: int, method: str, event: Any, /) -> tuple[Any, ...]:
        """Hands an event to the k-th strategy, if it takes it; what it says."""
        handler = getattr(self.strategies[k], method, None)
        answer = None if handler is None else handler(event)
        if answer is None:
            return ()
        return tuple(self._said(self._names[k], each) for each in (answer if isinstance(answer, tuple) else (answer,)))

    def _said(self, inner: str, event: Any) -> Any:
        if event.__class__ is not Note:
            return event  # a strategy may say nothing else by itself, and the bus refuses it
        text = f"{inner}: {event.text}" if event.text else inner
        return msgspec.structs.replace(event, source=self._name, kind=f"{event.kind}@{inner}", text=text)

    def ask(self, k: int, signals: tuple[Signal, ...], book: Book) -> Target | None:
        """The target of the k-th strategy, checked as `answered` says."""
        self._ts = book.ts
        return answered(self._called[k], self.strategies[k], signals, book)

    def save(self) -> list[bytes]:
        """Empty for those that remember nothing."""
        return [saved_by(called, each, self._ts) for called, each in zip(self._called, self.strategies, strict=True)]

    def load(self, states: list[bytes]) -> None:
        if len(states) != len(self.strategies):
            said = f"{len(states)} strategies were saved and there are {len(self.strategies)} now"
            raise StateError(f"{self._name}: {said}; load it into the same ones")
        for called, each, state in zip(self._called, self.strategies, states, strict=True):
            load_into(called, each, state)


def _is_coroutine(component: Any, method: str) -> bool:
    return inspect.iscoroutinefunction(getattr(component, method, None))
