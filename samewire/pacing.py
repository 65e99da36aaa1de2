"""Lets recorded history pass at a pace that can be followed, for demonstrations and taps. It changes no event."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Generic, Protocol, TypeVar

import msgspec

from engine.clock import Clock
from engine.events import SECOND_NS

WAIT_MAX_S = 2.0  # between two events: nights and weekends are not sat out


class Manner(msgspec.Struct, frozen=True):
    """How a session is run: nothing of it changes what is decided."""

    run_id: str = ""  # stands in the manifest; one is made when none is given
    pace: float = 0.0  # seconds of history that pass in one second, 0 = as fast as possible


AT_ONCE = Manner()


class Dated(Protocol):
    """What has an instant of history: an event, or a bar that is to be published."""

    @property
    def ts(self) -> int: ...


D = TypeVar("D", bound=Dated)


class Paced(Generic[D]):
    """A source that waits before an event until as much wall time has passed as history has, by the pace.

    It waits at most WAIT_MAX_S at a time; time that was not waited for is not made up, nor is time that was lost.
    """

    def __init__(
        self,
        source: AsyncIterable[D],
        *,
        pace: float,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if not 0 < pace < float("inf"):
            raise ValueError(f"pace must be above 0 and finite, in seconds of history a second, got {pace}")
        self._source, self._pace, self._clock, self._sleep = source, pace, clock, sleep

    async def __aiter__(self) -> AsyncIterator[D]:
        begun: tuple[int, int] | None = None  # an instant of history and of the clock that stand for each other
        async for event in self._source:
            now = self._clock.monotonic_ns()
            if begun is None:
                begun = (event.ts, now)
            left_s = ((event.ts - begun[0]) / self._pace - (now - begun[1])) / SECOND_NS
            if left_s > 0:
                await self._sleep(min(left_s, WAIT_MAX_S))
            if left_s > WAIT_MAX_S or left_s < -WAIT_MAX_S:
                begun = (event.ts, self._clock.monotonic_ns())
            yield event
