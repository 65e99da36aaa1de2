"""Strategies inside a strategy: events handed on to them, what they say checked, their states kept."""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from engine.errors import ConfigError, StateError
from engine.events import Book, Note, Signal, Target, TargetKind
from engine.protocols import Stateful, Strategy
from engine.sealing import sealed, users_own

# What a strategy may define beside on_signals: the wiring routes by name what it knows of these.
_HANDLERS = (
    *("on_control", "on_reference", "on_late", "on_bars", "on_timer", "on_actions", "on_charges", "on_fills"),
    *("on_reports", "on_refusals", "on_book", "on_target"),
)


class Nested:
    """The strategies in the order in which they are asked, each under its name.

    The outer strategy has the interval, the longest lookback and the slow handlers of those inside. They answer in its
    name: a Note of an inner strategy is said by the outer one, with the inner name in its text.
    """

    def __init__(self, name: str, strategies: tuple[Strategy, ...], names: tuple[str, ...]) -> None:
        self._name, self._names, self.strategies = name, names, strategies
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
        return msgspec.structs.replace(event, source=self._name, text=f"{inner}: {event.text}" if event.text else inner)

    def ask(self, k: int, signals: tuple[Signal, ...], book: Book) -> Target | None:
        """The target of the k-th strategy, checked: a Target of N values, copied where its class is the user's own."""
        strategy, n = self.strategies[k], len(book.qty)
        target = strategy.on_signals(signals, book)
        if target is None:
            return None
        if target.__class__ is not Target or target.kind.__class__ is not TargetKind or len(target.value) != n:
            said = f"{self._name}: {self._names[k]} answered {target.__class__.__name__}"
            raise ValueError(f"{said}, not a Target of {n} values and a TargetKind, or None")
        return sealed(self._name, target, book.ts) if users_own(strategy) else target

    def save(self) -> list[bytes]:
        """Empty for those that remember nothing."""
        return [each.save() if isinstance(each, Stateful) else b"" for each in self.strategies]

    def load(self, states: list[bytes]) -> None:
        if len(states) != len(self.strategies):
            said = f"{len(states)} strategies were saved and there are {len(self.strategies)} now"
            raise StateError(f"{self._name}: {said}; load it into the same ones")
        for each, state in zip(self.strategies, states, strict=True):
            if isinstance(each, Stateful):
                each.load(state)
