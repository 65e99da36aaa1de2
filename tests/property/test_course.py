"""The course of a live session against a replay of the same events, and the clock and the merge in front of it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.kafka.merging import Merging
from engine.clock import Timers
from engine.course import Course
from engine.cuts import Bar, CutRules
from engine.events import (
    INPUT_ORDER,
    ActionKind,
    Actions,
    Bars,
    Control,
    ControlAction,
    Event,
    Reference,
    Timer,
    Watermark,
)
from engine.membership import Membership
from engine.session import merge
from engine.slice_ends import Clock
from engine.slicer import Slicer
from engine.stream_clock import StreamClock
from engine.universe import universe_of

N, STEP = 2, 10
RANK = {kind: rank for rank, kind in enumerate(INPUT_ORDER)}


def bar(symbol: int, ts: int) -> Bar:
    return Bar(symbol=symbol, ts=ts, interval_ns=STEP, open=1.0, high=1.0, low=1.0, close=1.0, volume=1.0)


def reference(ts: int, name: str) -> Reference:
    return Reference(ts=ts, name=name, rows="symbol", value=np.zeros((N, 1)), columns=("value",))


def actions(ts: int) -> Actions:
    none = np.zeros(0)
    codes, stamps = none.astype(np.int32), none.astype(np.int64)
    return Actions(ts=ts, kind=codes, symbol=codes, ratio=none, amount=none, pay_at=stamps, successor=codes)


def in_order(events: Sequence[Event]) -> list[Event]:
    return sorted(events, key=lambda event: (event.ts, RANK[type(event)]))


known_events = st.lists(
    st.one_of(
        st.builds(reference, st.integers(1, 60), st.sampled_from("ab")),
        st.builds(actions, st.integers(1, 60)),
        st.builds(lambda ts: Timer(ts=ts, name="session_closed", due=ts), st.integers(1, 60)),
    ),
    max_size=6,
).map(in_order)
ends = st.sets(st.integers(1, 6), min_size=1).map(lambda found: [STEP * k for k in sorted(found)])
timers = st.lists(st.tuples(st.integers(1, 65), st.sampled_from("xyz")), max_size=5, unique=True)


def course_of(known: list[Event], asked: list[tuple[int, str]], members: Membership | None = None) -> Course:
    slicer = Slicer(
        universe=universe_of(("A", "B")),
        ends={STEP: Clock(STEP)},
        start=0,
        rules=CutRules(deadline_ns=1, skew_ns=1 << 63),
    )
    heap = Timers()
    for due, name in asked:
        heap.at(due, name)
    known_from = lambda since: (event for event in known if event.ts >= since)  # noqa: E731
    return Course(slicer, heap, known=known_from, start=1, members=members)


def driven(course: Course, slices: list[int], until: int, stop: int | None = None) -> list[Event]:
    """What enters when the bars of these slices arrive in order; stops behind so many inputs."""
    out: list[Event] = []

    def drain(now: int) -> bool:
        while (given_ := course.next(now)) is not None:
            out.append(given_.event)
            if stop is not None and len(out) == stop:
                return True
        return False

    for end in slices:
        for symbol in range(N):
            course.arrive(bar(symbol, end), end)
            if drain(end):
                return out
    course.advance(until)
    drain(until)
    return out


def said(event: Event) -> tuple[Any, ...]:
    return type(event).__name__, event.ts, getattr(event, "name", "")


async def replayed(known: list[Event], slices: list[int], asked: list[tuple[int, str]]) -> list[tuple[Any, ...]]:
    """The same by the rules of a replay: one source of slices, one of what is known, timers before what is later."""

    async def source(events: list[Event]) -> AsyncIterator[Event]:
        for event in events:
            yield event

    none = np.zeros(N)
    bars = [
        Bars(ts=ts, interval_ns=STEP, opened=ts - STEP, open=none, high=none, low=none, close=none, volume=none,
             vwap=none, status=none.astype(np.int32), member=none.astype(bool))
        for ts in slices
    ]  # fmt: skip
    marks: list[Event] = [Watermark(ts=ts) for ts in slices]
    heap, out = Timers(), list[tuple[Any, ...]]()
    for due, name in asked:
        heap.at(due, name)
    async for event in merge([source(in_order([*bars, *marks])), source(known)]):
        while (timer := heap.due(event.ts, after_bars=RANK[type(event)] > RANK[Timer])) is not None:
            out.append(said(timer))
        out.append(said(event))
    return out


@given(known=known_events, slices=ends, asked=timers)
def test_what_enters_live_is_in_the_order_of_a_replay(
    known: list[Event], slices: list[int], asked: list[tuple[int, str]]
) -> None:
    live = [said(event) for event in driven(course_of(known, asked), slices, 10_000)]
    expected = asyncio.run(replayed(known, slices, asked))
    assert [each for each in live if each in expected] == expected
    assert {each[0] for each in live if each not in expected} <= {"Timer"}  # those behind everything else
    assert [ts for _, ts, _ in live] == sorted(ts for _, ts, _ in live)


@given(known=known_events, slices=ends, asked=timers, stop=st.integers(1, 12))
def test_taken_up_in_the_middle_the_rest_is_the_same(
    known: list[Event], slices: list[int], asked: list[tuple[int, str]], stop: int
) -> None:
    whole = [said(event) for event in driven(course_of(known, asked), slices, 10_000)]
    first = course_of(known, asked)
    begun = driven(first, slices, 10_000, stop)
    state, position, heap = first.save(), first.position, first._timers.save()
    again = course_of(known, [])
    again._timers.load(heap)
    again.load(state)
    again.resume(position)
    again._cut = deque(first._cut)  # slices that were cut and had not entered: a restart cuts them again
    rest = driven(again, [end for end in slices if end >= first.slicer.next], 10_000)
    assert [said(event) for event in (*begun, *rest)] == whole


@given(slices=ends, places=st.lists(st.integers(0, 12), min_size=1, max_size=4))
def test_a_command_enters_before_the_next_slice_and_never_goes_back(slices: list[int], places: list[int]) -> None:
    course, out = course_of([], []), list[Event]()
    for k, end in enumerate(slices):
        if k in places:
            course.command(Control(ts=0, action=ControlAction.HALT, actor="jo"))
        for symbol in range(N):
            course.arrive(bar(symbol, end), end)
        while (given_ := course.next(end)) is not None:
            out.append(given_.event)
    stamps = [event.ts for event in out]
    assert stamps == sorted(stamps)
    for k, end in enumerate(slices):
        if k in places:
            at = next(i for i, event in enumerate(out) if isinstance(event, Bars) and event.ts == end)
            assert isinstance(out[at - 1], Control)


# ---- members ---------------------------------------------------------------------------------------------------------


def test_a_symbol_is_a_member_from_its_first_bar_on_and_until_it_has_gone() -> None:
    course = course_of([], [], Membership(np.array([True, False])))
    assert course.arrive(bar(0, 10), 10)  # nobody waits for the one that is not listed
    assert course.arrive(bar(0, 20), 20, bar(1, 20))  # it came with the others
    gone = np.array([1], np.int32)
    none, stamps = np.full(1, np.nan), np.zeros(1, np.int64)
    course.act(
        Actions(
            ts=20,
            kind=np.array([ActionKind.DELISTING], np.int32),
            symbol=gone,
            ratio=none,
            amount=none,
            pay_at=stamps,
            successor=gone,
        )
    )
    saved, again = course.save(), course_of([], [], Membership(np.array([True, False])))
    again.load(saved)
    for each in (course, again):
        each.arrive(bar(0, 30), 30)
        found = [i.event for i in iter(lambda: each.next(30), None) if isinstance(i.event, Bars)]  # noqa: B023
        assert [tuple(b.member.tolist()) for b in found][-1] == (True, False)
    assert again.slicer.next == course.slicer.next


# ---- the clock of the stream -----------------------------------------------------------------------------------------

ticks = st.lists(st.tuples(st.sampled_from(["saw", "hold", "now"]), st.integers(0, 50), st.integers(1, 9)), max_size=40)


@given(ticks=ticks)
def test_the_clock_never_goes_back(ticks: list[tuple[str, int, int]]) -> None:
    clock, mono, end, last = StreamClock(), 0, 10, -(1 << 62)
    for what, value, passed in ticks:
        mono += passed
        if what == "saw":
            clock.saw(value, mono)
        elif what == "hold":
            clock.hold(mono)
        now = clock.now(end, mono)
        assert now >= last
        last = now
        if now >= end + 5:
            end += 10


@given(speed=st.integers(1, 1000), deadline=st.integers(1, 50))
def test_a_deadline_takes_as_long_at_any_speed_of_the_stream(speed: int, deadline: int) -> None:
    clock = StreamClock()
    for k in range(1, 5):
        shown = k * 1000 // speed
        clock.saw(100 * k, shown)
        wait = clock.wait_ns(100 * k + deadline, 100 * k, shown)
        assert wait == deadline
    held = shown + 7
    clock.hold(held)
    assert clock.wait_ns(400 + deadline, 400, held) == deadline  # none of it passed while history was caught up with


# ---- partitions as one stream ----------------------------------------------------------------------------------------

partitions = st.lists(st.lists(st.integers(0, 30), max_size=12), min_size=1, max_size=4)


@settings(max_examples=100)
@given(parts=partitions, data=st.data())
def test_partitions_lose_nothing_keep_their_order_and_promise_nothing_that_is_broken(
    parts: list[list[int]], data: st.DataObject
) -> None:
    merging: Merging[int, int] = Merging(range(len(parts)))
    ordered = data.draw(st.booleans())
    parts = [sorted(rows) for rows in parts] if ordered else parts
    left = {key: deque(enumerate(rows)) for key, rows in enumerate(parts)}
    out: list[tuple[int, int, int]] = []
    for _ in range(200):
        key = data.draw(st.integers(0, len(parts) - 1))
        take = data.draw(st.integers(0, 4))
        rows = [left[key].popleft() for _ in range(min(take, len(left[key])))]
        merging.add(key, [(offset, ts, ts) for offset, ts in rows])
        merging.at_end(key, not left[key])
        limit = data.draw(st.integers(0, 40))
        while (arrival := merging.take(limit)) is not None:
            assert arrival.ts <= limit
            out.append((arrival.key, arrival.offset, arrival.ts))
        if ordered and (promise := merging.promise) is not None:
            assert all(ts >= promise for rows_ in left.values() for _, ts in rows_)
        if not any(left.values()) and not merging.behind:
            break
    for key in left:
        merging.add(key, [(offset, ts, ts) for offset, ts in left[key]])
        merging.at_end(key, True)
    while (arrival := merging.take(1 << 40)) is not None:
        out.append((arrival.key, arrival.offset, arrival.ts))
    for key, rows_ in enumerate(parts):
        assert [(offset, ts) for k, offset, ts in out if k == key] == list(enumerate(rows_))
    assert not merging.behind


def test_a_partition_that_waits_behind_the_limit_is_no_backlog_unless_it_is_still_read() -> None:
    merging: Merging[str, str] = Merging(["p", "q"])
    merging.add("p", [(0, 50, "far")])
    assert merging.catching_up(10)  # q may hold more
    merging.at_end("p", True)
    merging.at_end("q", True)
    assert not merging.catching_up(10)
    assert merging.behind
    assert merging.catching_up(50)
    assert merging.take(10) is None


async def test_a_source_is_asked_for_its_next_event_once_the_one_before_was_run() -> None:
    log: list[str] = []

    async def source(name: str, stamps: list[int]) -> AsyncIterator[Event]:
        for ts in stamps:
            log.append(f"{name} gives {ts}")
            yield Watermark(ts=ts)

    async for event in merge([source("a", [1, 3]), source("b", [2])]):
        log.append(f"run {event.ts}")
    assert log == ["a gives 1", "b gives 2", "run 1", "a gives 3", "run 2", "run 3"]
