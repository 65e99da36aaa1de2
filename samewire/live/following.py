"""The slices of a live session once more, from its topics of bars, as its journal says that they were cut."""

from collections.abc import Iterable, Sequence

from adapters.kafka.address import KafkaError
from adapters.kafka.live_record import Offsets, Step, cut_of
from adapters.kafka.source import Sorter, check_same
from adapters.kafka.transport import Place, Reader, Received
from engine.course import Course
from engine.cuts import Bar
from engine.errors import StateError
from engine.event_columns import PLANS
from engine.events import Actions, Bars, Event, Late
from engine.instants import instant_text
from engine.journal import content_of
from engine.journal_reading import Run

_TOGETHER = 256  # steps whose bars are read at once
Slice = tuple[str, int, bytes]  # kind, instant and columns


def of_bars(runs: Iterable[Run]) -> list[Slice]:
    """What of these inputs was cut from bars."""
    events = (run.records[0].event for run in runs if run.records[0].kind in ("Bars", "Late"))
    return [sliced(event) for event in events if isinstance(event, Bars | Late)]


def act(course: Course, runs: Iterable[Run]) -> None:
    """Tells of the actions among these inputs: who is delisted is a member no more."""
    for run in runs:
        event = run.records[0].event if run.records[0].kind == "Actions" else None
        if isinstance(event, Actions):
            course.act(event)


def sliced(event: Bars | Late) -> Slice:
    return event.__class__.__name__, event.ts, content_of(PLANS[event.__class__], event)


def heard(found: Sequence[Slice], recorded: Sequence[Slice]) -> list[Slice]:
    """What was cut, without late bars where none were recorded: `live.late` was ignore, and nothing heard of them."""
    ignored = not any(kind == Late.__name__ for kind, _, _ in recorded)
    return [each for each in found if not (ignored and each[0] == Late.__name__)]


class Following:
    """Cuts the bars of the topics as they were cut, and compares each slice with the recorded one.

    `course` has a fresh slicer. Memory: the bars of 256 steps.
    """

    def __init__(self, reader: Reader, course: Course, sorter: Sorter) -> None:
        self._reader, self._course, self._sorter = reader, course, sorter
        self._before: Offsets | None = None
        self._waiting: list[tuple[Step, list[Slice]]] = []
        self._first: dict[Place, int] | None = None  # where each partition begins that was asked for
        self.gone = False  # bars are not there any more: nothing is compared then
        self.slices = 0  # that were compared

    async def add(self, step: Step, runs: Sequence[Run]) -> None:
        """The next step with its inputs. StateError where the bars of its slices are not those that were recorded."""
        if self._before is None:
            self._before = step.offsets
        act(self._course, runs)
        if step.cuts and not self.gone:
            self._waiting.append((step, of_bars(runs)))
            if len(self._waiting) == _TOGETHER:
                await self.settle()

    async def settle(self) -> None:
        """Compares what waits."""
        waiting, self._waiting = self._waiting, []
        if not waiting or self._before is None:
            return
        last = waiting[-1][0]
        ranges = {
            (topic, part): (self._before.get(topic, {}).get(part, 0), end)
            for topic, parts in last.offsets.items()
            for part, end in parts.items()
        }
        if await self._lost(ranges):
            self.gone = True
            return
        found = await self._reader.read_all(ranges)
        for place, records in found.items():
            known = last.last.get(place[0], {}).get(place[1])
            if known is not None and records and records[0].offset <= known.offset < ranges[place][1]:
                check_same(place, known, next((r for r in records if r.offset == known.offset), None))
        for step, slices in waiting:
            self._compare(step, slices, list(self._arrived(step, found)))
            self._before = step.offsets

    async def _lost(self, ranges: dict[Place, tuple[int, int]]) -> bool:
        bounds = await self._reader.bounds(list(ranges))
        for place, (begin, end) in ranges.items():
            if end > bounds[place][1]:
                raise KafkaError(
                    f"topic {place[0]}, partition {place[1]}: the session read it up to {end}, and it ends at "
                    f"{bounds[place][1]}: it was made anew, or this is another cluster"
                )
            if begin < end and bounds[place][0] > begin:
                return True
        return False

    def _arrived(self, step: Step, found: dict[Place, list[Received]]) -> Iterable[tuple[Bar, int]]:
        left_out, before = set(step.left_out), self._before or {}
        for place, records in found.items():
            topic, part = place
            begin, end = before.get(topic, {}).get(part, 0), step.offsets[topic][part]
            for record in records:
                if begin <= record.offset < end and (*place, record.offset) not in left_out:
                    bar = self._sorter(place, record)
                    if isinstance(bar, Bar):
                        yield bar, bar.ts

    def _compare(self, step: Step, slices: Sequence[Slice], arrived: list[tuple[Bar, int]]) -> None:
        events: list[Event] = []
        for k, words in enumerate(step.cuts):
            events += self._course.follow(cut_of(words), arrived if k == 0 else ())
        found = heard([sliced(event) for event in events if isinstance(event, Bars | Late)], slices)
        self.slices += len(step.cuts)
        if found != slices:
            wrong = next((a for a, b in zip(slices, found, strict=False) if a != b), (slices or found)[-1])
            raise StateError(
                f"bars: the {wrong[0]} of {instant_text(wrong[1])} (step {step.seq}) is not cut from the topics as it "
                "was recorded: bars were changed there, or the calendar or universe is another one"
            )
