"""A session: inputs merged into one order, run through the wiring, one at a time."""

import contextlib
import heapq
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from itertools import islice

from engine.bus import Bus, Recorder
from engine.errors import DataError, SamewireError, failure_of
from engine.events import INPUT_ORDER, Event, Timer
from engine.protocols import Sink
from engine.saying import FROM_OUTSIDE
from engine.state import pack, unpack
from engine.wiring import Wiring

_RANK = {kind: rank for rank, kind in enumerate(INPUT_ORDER)}
_TIMER_RANK = _RANK[Timer]


class Replay:
    """A source over recorded history: events from a function that makes the same iterator each time."""

    def __init__(self, events: Callable[[], Iterator[Event]]) -> None:
        self._events, self._handed, self._skip = events, 0, 0

    async def __aiter__(self) -> AsyncIterator[Event]:
        for event in self.events():
            yield event

    def events(self) -> Iterator[Event]:
        """The same without waiting: recorded history never has to."""
        for event in islice(self._events(), self._skip, None):
            self._handed += 1
            yield event

    def snapshot(self) -> bytes:
        return pack("replay", 1, handed=self._handed)

    def resume(self, state: bytes, /) -> None:
        """Starts behind the last event handed out when the snapshot was taken."""
        self._skip = self._handed = unpack(state, "replay", 1)["handed"]


async def merge(sources: Sequence[AsyncIterable[Event]]) -> AsyncIterator[Event]:
    """All events in the order (ts, kind of input, place of the source). Each source must be in that order itself."""
    iterators = [aiter(source) for source in sources]
    heap: list[tuple[int, int, int, Event]] = []

    async def pull(place: int) -> None:
        event = await anext(iterators[place], None)
        if event is not None:
            heapq.heappush(heap, (event.ts, _RANK.get(event.__class__, len(_RANK)), place, event))

    for place in range(len(iterators)):
        await pull(place)
    while heap:
        _, _, place, event = heapq.heappop(heap)
        yield event
        await pull(place)


class Session:
    """One run of a wiring from its first input to the end of its sources.

    `bus` may be tapped before `run`. `recorders` see each completed run at once, `sinks` every event.
    """

    def __init__(self, wiring: Wiring, *, recorders: Sequence[Recorder] = (), sinks: Sequence[Sink] = ()) -> None:
        self.wiring = wiring
        self.bus = Bus(wiring.routes, recorders=recorders, sinks=sinks, takes=FROM_OUTSIDE)
        self._last = -(1 << 63)  # ts of the latest input; bars may be older than 1970

    async def run(self, *sources: AsyncIterable[Event]) -> int:
        """Runs all inputs of the sources, timers included. Returns how many there were; closes taps and sinks."""
        try:
            count = await self.bus.run(self._inputs(sources))
            self.wiring.barrier.check()
        except BaseException:
            with contextlib.suppress(Exception):  # what failed first is what the user must hear of
                await self.bus.aclose()
            raise
        await self.bus.aclose()
        return count

    async def _inputs(self, sources: Sequence[AsyncIterable[Event]]) -> AsyncIterator[Event]:
        """The events of all sources with the timers between them. One Replay is iterated without a second hop."""
        pending = self.wiring.timers.heap
        try:
            if len(sources) == 1 and isinstance(sources[0], Replay):
                for event in sources[0].events():
                    self._follow(event)
                    while pending and (timer := self._due(event)) is not None:
                        yield timer
                    yield event
            else:
                async for event in sources[0] if len(sources) == 1 else merge(sources):
                    self._follow(event)
                    while pending and (timer := self._due(event)) is not None:
                        yield timer
                    yield event
            while pending and (last := self.wiring.timers.due(self._last, after_bars=True)) is not None:
                yield last  # of the last instant itself: nothing of it comes any more
        except SamewireError:
            raise
        except Exception as error:
            raise failure_of("feed", "the input after the one", self._last, error) from error

    def _follow(self, event: Event) -> None:
        """Raises DataError when an input is older than the one before it."""
        ts, last = event.ts, self._last
        if ts < last:
            kind = event.__class__.__name__
            raise DataError(
                f"session: {kind} at {ts} is {last - ts} ns older than the input before it; sort its source"
            )
        self._last = ts

    def _due(self, event: Event) -> Timer | None:
        """The next timer that enters before this input; what it sets off may ask for another."""
        after_bars = _RANK.get(event.__class__, len(_RANK)) > _TIMER_RANK
        return self.wiring.timers.due(event.ts, after_bars=after_bars)
