"""The bus: one total order, whatever is slow; bounded taps; failures that name their culprit."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from engine.bus import Bus, Calls, Lost, Route
from engine.errors import ComponentError, ConfigError, DataError
from engine.events import Event, Note, Signal, Timer, Watermark
from tests.make import signal


def timer(ts: int) -> Timer:
    return Timer(ts=ts, name="t", due=ts)


def note(source: str, ts: int = 0) -> Note:
    return Note(ts=ts, source=source, kind="test")


async def stream(events: Sequence[Event]) -> AsyncIterator[Event]:
    for event in events:
        yield event


def said(log: Sequence[Event]) -> list[str]:
    return [getattr(event, "source", type(event).__name__) for event in log]


async def test_what_handlers_return_is_appended_in_route_order_and_worked_off_from_the_front() -> None:
    bus = Bus(
        [
            Route(Timer, "a", lambda e: (note("a1"), signal(e.ts, [1.0], source="a2"))),
            Route(Timer, "b", lambda e: note("b")),
            Route(Signal, "c", lambda e: note("after a2")),
            Route(Note, "d", lambda e: Watermark(ts=9) if e.source == "a1" else None),
        ]
    )
    assert said(await bus.feed(timer(1))) == ["Timer", "a1", "a2", "b", "Watermark", "after a2"]


async def test_slow_handlers_run_side_by_side_and_are_published_in_route_order() -> None:
    together = threading.Barrier(2, timeout=10)  # passes only when both are inside at once

    def slow(name: str) -> Any:
        def handler(_: Timer) -> Note:
            together.wait()
            return note(name)

        return handler

    async def coroutine(_: Timer) -> Note:
        await asyncio.sleep(0)
        return note("awaited")

    bus = Bus(
        [
            Route(Timer, "first", slow("first"), slow=True),
            Route(Timer, "quick", lambda _: note("quick")),
            Route(Timer, "second", slow("second"), slow=True),
            Route(Timer, "awaited", coroutine),
        ]
    )
    assert said(await bus.feed(timer(1))) == ["Timer", "first", "quick", "second", "awaited"]
    await bus.aclose()


async def test_no_component_runs_beside_itself() -> None:
    inside = 0

    def alone(_: Timer) -> Note:
        nonlocal inside
        inside += 1
        assert inside == 1
        for _ in range(1000):
            pass
        inside -= 1
        return note("x")

    bus = Bus([Route(Timer, "same", alone, slow=True), Route(Timer, "same", alone, slow=True)])
    for k in range(50):
        assert said(await bus.feed(timer(k))) == ["Timer", "x", "x"]
    await bus.aclose()


async def test_calls_are_answered_in_their_order_then_what_follows_from_the_answers() -> None:
    def handler(_: Timer) -> Calls:
        calls = (("a", lambda: note("a")), ("b", lambda: None), ("c", lambda: note("c")))
        return Calls(calls, lambda answers: note(f"{sum(a is not None for a in answers)} answered"))

    bus = Bus([Route(Timer, "x", handler, calls=True), Route(Timer, "y", lambda _: note("y"))])
    assert said(await bus.feed(timer(1))) == ["Timer", "a", "c", "2 answered", "y"]
    await bus.aclose()


async def test_one_input_is_run_to_completion_before_the_next_enters() -> None:
    log: list[str] = []
    bus = Bus(
        [
            Route(Timer, "a", lambda e: note(f"{e.ts}", e.ts)),
            Route(Note, "b", lambda e: log.append(e.source)),
            Route(Timer, "c", lambda e: log.append(f"timer {e.ts}")),
        ]
    )
    assert await bus.run(stream([timer(1), timer(2)])) == 2
    assert log == ["timer 1", "1", "timer 2", "2"]


async def test_a_route_may_take_only_events_with_a_certain_field() -> None:
    bus = Bus([Route(Timer, "x", lambda e: note("x"), where=("name", "mine"))])
    assert len(await bus.feed(timer(1))) == 1
    assert len(await bus.feed(Timer(ts=1, name="mine", due=1))) == 2


async def test_a_condition_holds_for_slow_routes_too() -> None:
    bus = Bus([Route(Timer, "x", lambda e: note("x"), where=("name", "mine"), slow=True)])
    assert len(await bus.feed(timer(1))) == 1
    assert len(await bus.feed(Timer(ts=1, name="mine", due=1))) == 2
    await bus.aclose()


@pytest.mark.parametrize("slow", [False, True])
async def test_a_failure_names_component_slice_and_cause(slow: bool) -> None:
    def broken(_: Timer) -> None:
        raise ZeroDivisionError("no volume")

    bus = Bus([Route(Timer, "fine", lambda _: None), Route(Timer, "gbdt", broken, slow=slow)])
    with pytest.raises(
        ComponentError, match=r"gbdt: failed on Timer of 1970-01-01T00:00:00Z \(7 ns\): ZeroDivisionError: no volume"
    ):
        await bus.feed(timer(7))
    await bus.aclose()


async def test_a_handler_that_returns_something_else_is_named() -> None:
    bus = Bus([Route(Timer, "good", lambda _: note("n")), Route(Timer, "odd", lambda _: 42)])
    with pytest.raises(ComponentError, match=r"odd: failed on int .*which is no event"):
        await bus.feed(timer(1))


async def test_an_endless_chain_of_events_is_stopped_and_named() -> None:
    bus = Bus([Route(Note, "loop", lambda e: e), Route(Timer, "start", lambda _: note("n"))])
    with pytest.raises(ComponentError, match="Note go in a circle"):
        await bus.feed(timer(1))


async def test_nothing_of_a_failed_run_reaches_recorders_sinks_or_taps() -> None:
    class Keep:
        def __init__(self) -> None:
            self.kept: list[Event] = []

        def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
            assert len(origins) == len(events)
            self.kept += events

    class KeepSink:
        def __init__(self) -> None:
            self.kept: list[Event] = []
            self.closed = False

        async def write(self, event: Event, /) -> None:
            self.kept.append(event)

        async def aclose(self) -> None:
            self.closed = True

    keep, sink = Keep(), KeepSink()

    def fails_at_two(event: Note) -> None:
        if event.ts == 2:
            raise ValueError("two")

    bus = Bus(
        [Route(Timer, "a", lambda e: note("a", e.ts)), Route(Note, "b", fails_at_two)], recorders=(keep,), sinks=(sink,)
    )
    tap = bus.tap()
    with pytest.raises(ComponentError):
        await bus.run(stream([timer(1), timer(2)]))
    await bus.aclose()
    assert [type(e) for e in keep.kept] == [Timer, Note] == [type(e) for e in sink.kept]
    assert [type(e) async for e in tap] == [Timer, Note]
    assert sink.closed


async def test_a_tap_sees_its_types_while_the_session_runs() -> None:
    bus = Bus([Route(Timer, "model", lambda e: signal(e.ts, [1.0]))])
    tap = bus.tap(Signal)
    seen = []

    async def read() -> None:
        async for event in tap:
            seen.append(event.ts)

    reader = asyncio.create_task(read())
    await bus.run(stream([timer(k) for k in range(5000)]))
    await bus.aclose()
    await reader
    assert seen == list(range(5000))
    assert tap.lost == 0


async def test_a_slow_tap_loses_the_oldest_is_told_how_many_and_slows_nobody() -> None:
    bus = Bus([])
    silent, told = bus.tap(Timer, size=3), bus.tap(Timer, size=3, gaps=True)
    await bus.run(stream([timer(k) for k in range(10)]))
    await bus.aclose()
    assert [event.ts async for event in silent] == [7, 8, 9]
    assert silent.lost == 7
    stream_told: list[Any] = [event async for event in told]
    assert stream_told[0] == Lost(7)
    assert [event.ts for event in stream_told[1:]] == [7, 8, 9]


def test_a_tap_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 event, got 0"):
        Bus([]).tap(Timer, size=0)


def test_only_events_can_be_routed() -> None:
    with pytest.raises(ConfigError, match="x: int is no event"):
        Bus([Route(int, "x", print)])


async def test_a_coroutine_among_calls_is_awaited() -> None:
    async def later() -> Note:
        await asyncio.sleep(0)
        return note("later")

    bus = Bus([Route(Timer, "x", lambda _: Calls((("a", later),)), calls=True)])
    assert said(await bus.feed(timer(1))) == ["Timer", "later"]


async def test_too_many_events_at_once_are_stopped_too() -> None:
    bus = Bus([Route(Timer, "flood", lambda _: tuple(note("n") for _ in range(100_001)))])
    with pytest.raises(ComponentError, match="flood: .*more than 100000 events follow from one input"):
        await bus.feed(timer(1))


async def test_an_error_of_ours_keeps_its_exit_code_and_its_words() -> None:
    def unusable(_: Timer) -> None:
        raise DataError("rates: one is negative")

    with pytest.raises(ComponentError, match=r"ledger: failed on Timer of .*: rates: one is negative$") as failed:
        await Bus([Route(Timer, "ledger", unusable)]).feed(timer(1))
    assert failed.value.exit_code == DataError.exit_code


@pytest.mark.parametrize("slow", [False, True])
async def test_a_component_that_calls_exit_fails_like_any_other(slow: bool) -> None:
    def leaves(_: Timer) -> None:
        raise SystemExit(0)

    bus = Bus([Route(Timer, "mine", leaves, slow=slow)])
    with pytest.raises(ComponentError, match="mine: failed on Timer of .* SystemExit: 0"):
        await bus.feed(timer(1))
    await bus.aclose()


class Stumbles:
    """A recorder that fails in a way of its own at notes."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        if len(events) > 1:
            raise self.error


async def test_a_recorder_that_fails_is_named_with_the_input_and_with_who_said_what() -> None:
    route = Route(Timer, "a", lambda e: (note("a"), signal(e.ts, [1.0])) if e.ts > 1 else None)
    bus = Bus([route], recorders=(Stumbles(KeyError("fees")),))
    await bus.feed(timer(1))
    with pytest.raises(
        ComponentError, match="Stumbles: failed on Timer .*: KeyError: 'fees'; .* Note of a, Signal of a"
    ):
        await bus.run(stream([timer(2)]))


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), DataError("feed: bad"), KeyboardInterrupt()])
async def test_what_says_by_itself_what_is_wrong_is_left_as_it_is(error: Exception) -> None:
    bus = Bus([Route(Timer, "a", lambda e: note("a"))], recorders=(Stumbles(error),))
    with pytest.raises(type(error)) as raised:
        await bus.feed(timer(1))
    assert raised.value is error
