"""Tells other places of runs while they are recorded: a thread for each place, which no training ever waits for."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from adapters.tracking.delivery import Delivered, Delivery, RunSink
from engine.clock import Clock, SystemClock
from engine.errors import ConfigError, SamewireError

LINGER_S = 10.0  # after the last training, for what is still to be told
_EVERY_S, _PATIENCE_S = 2.0, 60.0  # between looks at the store; at most, once a place was not heard


class Told(msgspec.Struct):
    """What each place has, once the block of `told_meanwhile` was left."""

    places: tuple[Delivered, ...] = ()


@contextlib.contextmanager
def told_meanwhile(
    folder: Path,
    name: str,
    sinks: Sequence[RunSink],
    *,
    warn: Callable[[str], None],
    clock: Clock | None = None,
    linger_s: float = LINGER_S,
) -> Iterator[Told]:
    """Within it runs of this name are told to all places as they are recorded in the store at `folder`.

    A place that does not hear is tried again, less and less often; `warn` hears of each place at most once. Leaving
    waits no longer than `linger_s` in all, and not at all where an error ends the block: what is missing then stays in
    the store, and a later call tells it.
    """
    told, tellers = Told(), [_Teller(folder, name, sink, warn) for sink in sinks]
    for teller in tellers:
        teller.start()
    try:
        yield told
        until = (clock or SystemClock()).monotonic_ns() + round(linger_s * 1e9)
        for teller in tellers:
            teller.finish()
        for teller in tellers:
            left = (until - (clock or SystemClock()).monotonic_ns()) / 1e9
            teller.join(max(0.0, left))
        told.places = tuple(teller.state() for teller in tellers)
    finally:
        for teller in tellers:
            teller.stop()


class _Teller:
    """One place, and the thread that tells it. The thread ends with the process: what it is at is told again."""

    def __init__(self, folder: Path, name: str, sink: RunSink, warn: Callable[[str], None]) -> None:
        self._folder, self._name, self._sink, self._warn = folder, name, sink, warn
        self._wake, self._last, self._stopped = threading.Event(), threading.Event(), threading.Event()
        self._error, self._sent, self._warned = "", 0, False
        self._thread = threading.Thread(target=self._tell, name=sink.address, daemon=True)
        self.start, self.join = self._thread.start, self._thread.join

    def finish(self) -> None:
        """All is recorded: one more time, then no more."""
        self._last.set()
        self._wake.set()

    def stop(self) -> None:
        self._stopped.set()
        self._wake.set()

    def state(self) -> Delivered:
        slow = "it did not take all in time" if self._thread.is_alive() else ""
        error = self._error or slow
        try:
            return Delivery(self._folder, self._sink).state(self._name, sent=self._sent, error=error)
        except SamewireError as wrong:
            return Delivered(address=self._sink.address, runs=0, missing=0, sent=self._sent, error=error or str(wrong))

    def _tell(self) -> None:
        delivery, pause = Delivery(self._folder, self._sink), _EVERY_S
        while not self._stopped.is_set():
            self._wake.wait(pause)
            last = self._last.is_set()
            failed = self._once(delivery, last)
            pause = min(2 * pause, _PATIENCE_S) if failed else _EVERY_S
            if last:
                return

    def _once(self, delivery: Delivery, last: bool) -> bool:
        """Whether it was not heard."""
        if self._stopped.is_set():
            return False
        try:
            sent, self._error = delivery.deliver(self._name, ended=self._stopped.is_set, all_of_it=last)
            self._sent += sent
        except ConfigError:  # no store yet
            return False
        except SamewireError as error:
            self._error = str(error)
        except Exception as error:  # noqa: BLE001 - a class of the user's own may raise anything
            self._error = f"{type(error).__name__}: {error}"
        if self._error and not self._warned:
            self._warned = True
            self._warn(f"{self._sink.address} was not told: {self._error}; trainings go on and are recorded")
        return bool(self._error)
