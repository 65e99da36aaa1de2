"""The one file that may read the wall clock, and the timers that simulated and live time share."""

import heapq
import time
from typing import Protocol

from engine.events import Timer
from engine.state import pack, unpack


class Clock(Protocol):
    """Reading time. Deciding code never takes one: its time comes from events."""

    def now_ns(self) -> int:
        """Wall time, UTC ns."""
        ...

    def cpu_ns(self) -> int:
        """CPU time of this process, all threads."""
        ...

    def monotonic_ns(self) -> int:
        """Time for timeouts and durations; its zero means nothing."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        return time.time_ns()

    def cpu_ns(self) -> int:
        return time.process_time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


class Timers:
    """Instants asked for by the wiring, in the order (time, priority, name). A timer at T runs after bars of T."""

    def __init__(self) -> None:
        self.heap: list[tuple[int, int, str]] = []  # (due, priority, name)

    def at(self, due: int, name: str, *, priority: int = 0) -> None:
        """Asks for `Timer(name)` at `due`; the same name and instant twice is one timer."""
        if (due, priority, name) not in self.heap:
            heapq.heappush(self.heap, (due, priority, name))

    def due(self, ts: int, *, after_bars: bool) -> Timer | None:
        """The next timer that enters before an input of `ts`, taken off; None when there is none.

        A timer of the very same instant enters first only if that input comes after the bars of the instant.
        """
        if not self.heap or self.heap[0][0] > ts or (self.heap[0][0] == ts and not after_bars):
            return None
        due, _, name = heapq.heappop(self.heap)
        return Timer(ts=due, name=name, due=due)

    def entered(self, name: str, due: int) -> bool:
        """Takes the next timer off if it is this one, which has entered by itself: a recorded input."""
        mine = bool(self.heap) and (self.heap[0][0], self.heap[0][2]) == (due, name)
        if mine:
            heapq.heappop(self.heap)
        return mine

    def save(self) -> bytes:
        return pack("timers", 1, heap=sorted(self.heap))

    def load(self, state: bytes, /) -> None:
        self.heap[:] = [(due, priority, name) for due, priority, name in unpack(state, "timers", 1)["heap"]]
