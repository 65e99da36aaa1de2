"""Signals with latency: held back by the wiring and released at a later slice or by a timer."""

from collections import deque
from typing import Any

import msgspec
import numpy as np

from engine.barrier import grown
from engine.clock import Timers
from engine.events import Bars, Features, Signal, Timer
from engine.saying import Look, signal_look
from engine.state import encode_hook, ext_hook, pack, unpack

_VERSION = 1
_HELD_MAX = 4096
_LOOK = signal_look()


class Lagged:
    """A model's handler whose answer to slice t is published at the n-th next slice, with that slice's ts.

    It answers every slice all the same: NaN for the first `lag` of them.
    """

    def __init__(self, handler: Any, *, lag: int, name: str, n: int, look: Look = _LOOK) -> None:
        if lag < 1:
            raise ValueError(f"{name}: lag must be at least 1 slice, got {lag}")
        self._handler, self._name, self._n, self._look = handler, name, n, look
        self._held: deque[Signal] = deque(maxlen=lag + 1)

    def on_event(self, event: Bars | Features, /) -> Signal:
        answer = self._look(self._name, self._handler(event), event.ts)
        self._held.append(answer)
        if len(self._held) < (self._held.maxlen or 0):
            nothing = np.full(self._n, np.nan)
            return Signal(ts=event.ts, asof=0, source=self._name, value=nothing, horizon_ns=answer.horizon_ns)
        return msgspec.structs.replace(self._held[0], ts=event.ts)

    def save(self) -> bytes:
        return pack("lagged", _VERSION, held=[_encoder.encode(signal) for signal in self._held])

    def load(self, state: bytes, /) -> None:
        self._held.clear()
        self._held.extend(grown(_decoder.decode(s), self._n) for s in unpack(state, "lagged", _VERSION)["held"])


class Delayed:
    """A model's handler whose answers are published `latency_ns` later, by a timer of the model's name."""

    def __init__(self, handler: Any, *, latency_ns: int, name: str, n: int, timers: Timers, look: Look = _LOOK) -> None:
        if latency_ns < 1:
            raise ValueError(f"{name}: latency must be positive, got {latency_ns} ns")
        self._handler, self._name, self._timers, self._latency_ns = handler, f"signal:{name}", timers, latency_ns
        self._n, self._model, self._look = n, name, look
        self._held: deque[Signal] = deque(maxlen=_HELD_MAX)

    def on_event(self, event: Bars | Features, /) -> None:
        answer = self._look(self._model, self._handler(event), event.ts)
        if len(self._held) == _HELD_MAX:
            raise RuntimeError(
                f"{self._name}: {_HELD_MAX} signals are held back; the latency is too long for this feed"
            )
        self._held.append(msgspec.structs.replace(answer, ts=event.ts + self._latency_ns))
        self._timers.at(event.ts + self._latency_ns, self._name)

    def on_timer(self, timer: Timer, /) -> tuple[Signal, ...] | None:
        """Releases what is due; a signal is published with the timer's ts."""
        if timer.name != self._name:
            return None
        due = []
        while self._held and self._held[0].ts <= timer.due:
            due.append(msgspec.structs.replace(self._held.popleft(), ts=timer.ts))
        return tuple(due)

    def save(self) -> bytes:
        return pack("delayed", _VERSION, held=[_encoder.encode(signal) for signal in self._held])

    def load(self, state: bytes, /) -> None:
        self._held.clear()
        self._held.extend(grown(_decoder.decode(s), self._n) for s in unpack(state, "delayed", _VERSION)["held"])


_encoder = msgspec.msgpack.Encoder(enc_hook=encode_hook)
_decoder = msgspec.msgpack.Decoder(Signal, ext_hook=ext_hook, dec_hook=lambda _, value: value)
