"""A live session on its bars as they are now: late ones in their slices, corrected ones corrected, no deadline."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import msgspec
import numpy as np

from adapters.kafka.transport import Reader
from engine.clock import Clock
from engine.cuts import Bar, CutRules
from engine.errors import StateError
from engine.event_columns import PLANS
from engine.events import INPUT_ORDER, SESSION_CLOSED, SESSION_OPENED, Bars, Event, Late, Status, Timer
from engine.instants import instant_text
from engine.journal import content_of
from samewire.live.again import Cutting
from samewire.live.decided import Beside, Decided, apart, field_of, of_run
from samewire.live.following import act
from samewire.live.past import Past
from samewire.live.run_again import Again, Place, run_again
from samewire.prepare import Prepared
from samewire.result import Result

_RANK = {kind: rank for rank, kind in enumerate(INPUT_ORDER)}
_CHUNK = 20_000  # records that are read at once of each partition
_RULES = CutRules(deadline_ns=1 << 61, absent_after=0)  # every slice is cut once all that there is was seen
_COLUMNS = ("open", "high", "low", "close", "volume", "vwap")


class Changed(msgspec.Struct, kw_only=True):
    """What of the bars is otherwise than the session saw it, in bars of one symbol and slice, and in slices."""

    late: int = 0  # came after their slice was cut
    corrected: int = 0  # of another value by now
    missing: int = 0  # of a member, and never came
    gone: int = 0  # seen, and not there any more
    slices: int = 0  # in which anything changed
    new_slices: int = 0  # that the session did not have, since none of their bars had come


class Final:
    """Cleans the bars of a past session and runs it on them."""

    def __init__(self, past: Past, bars: Reader) -> None:
        self._past, self._reader = past, bars
        self._seen = Decided()
        self._last: dict[int, int] = {}  # interval -> end of its last slice so far
        self._begin: dict[str, dict[int, int]] = {}
        self.changed = Changed()

    async def run(self, place: Place, clock: Clock) -> tuple[Result, dict[str, Any]]:
        """The session on these bars, and what that changed."""
        cutting = Cutting(self._past, _RULES)
        await self._look(cutting)
        cleaned = await self._cleaned(cutting)
        beside = Beside(self._seen)
        how = Again(drive=self._drive(cleaned), recorders=(beside,))
        result = await run_again(self._past, how, place, clock)
        return result, await self._told(beside)

    async def _look(self, cutting: Cutting) -> None:
        """What the session decided, where its bars begin, and how far it is."""
        async for step in self._past.steps():
            self._begin = self._begin or step.offsets
            for cut in step.cuts:
                self._last[cut.interval_ns] = cut.ts
        async for run in self._past.runs():
            of_run(self._seen, run)
            act(cutting.course, (run,))

    # ---- bars --------------------------------------------------------------------------------------------------------

    async def _cleaned(self, cutting: Cutting) -> dict[tuple[int, int], Bars]:
        """Slices by (end, interval), of the highest version of each bar; of the same version the first."""
        best: dict[tuple[int, int], dict[int, Bar]] = {}
        left_out = {place async for step in self._past.steps() for place in step.left_out}
        for topic in cutting.topics:
            for part in self._begin.get(topic, {}):
                async for bar in self._bars_of(topic, part, cutting, left_out):
                    if bar.ts <= self._last.get(bar.interval_ns, -1):
                        rows = best.setdefault((bar.ts, bar.interval_ns), {})
                        known = rows.get(bar.symbol)
                        if known is None or bar.version > known.version:
                            rows[bar.symbol] = bar
        return {
            (bars.ts, bars.interval_ns): bars for bars in _slices(cutting, best, max(self._last.values(), default=0))
        }

    async def _bars_of(
        self, topic: str, part: int, cutting: Cutting, left_out: set[tuple[str, int, int]]
    ) -> AsyncIterator[Bar]:
        place, begin = (topic, part), self._begin[topic][part]
        first, end = (await self._reader.bounds([place]))[place]
        if first > begin:
            raise StateError(
                f"topic {topic}, partition {part}: it begins at {first} by now, and the session began at {begin}: some "
                "of its bars are gone, so it cannot be run on what they are; --as-seen can, from the journal"
            )
        for low in range(begin, end, _CHUNK):
            for record in (await self._reader.read_all({place: (low, min(end, low + _CHUNK))}))[place]:
                bar = None if (topic, part, record.offset) in left_out else cutting.sorter(place, record)
                if isinstance(bar, Bar):
                    yield bar

    # ---- the session -------------------------------------------------------------------------------------------------

    def _drive(self, cleaned: dict[tuple[int, int], Bars]) -> Callable[..., Any]:
        async def drive(prepared: Prepared) -> None:
            await prepared.run(self._inputs(cleaned))

        return drive

    async def _inputs(self, cleaned: dict[tuple[int, int], Bars]) -> AsyncIterator[Event]:
        """The recorded inputs with other slices: what operators, files and the calendar said stays where it was."""
        left = dict(sorted(cleaned.items()))
        async for run in self._past.runs():
            event = run.records[0].event
            if event is None:
                raise StateError(f"journal: the input of record {run.records[0].seq} was not kept by value")
            if isinstance(event, Late) or (
                isinstance(event, Timer) and event.name not in (SESSION_OPENED, SESSION_CLOSED)
            ):
                continue  # late bars are in time now; what the wiring asks for, it asks for again
            for key in _before(event, left):
                self.changed.new_slices += 1
                yield self._other(None, left.pop(key))
            if isinstance(event, Bars):
                event = self._other(event, left.pop((event.ts, event.interval_ns), None))
            yield event
        for bars in left.values():
            self.changed.new_slices += 1
            yield self._other(None, bars)

    def _other(self, was: Bars | None, now: Bars | None) -> Bars:
        """A slice as it is now, and counts what changed."""
        if now is None:
            if was is None:
                raise StateError("as final: a slice of nothing")
            now = _empty(was)
        counted = _compared(was, now)
        for name, count in counted.items():
            setattr(self.changed, name, getattr(self.changed, name) + count)
        if was is None or any(count for name, count in counted.items() if name != "missing"):
            self.changed.slices += 1
        return now

    async def _told(self, beside: Beside) -> dict[str, Any]:
        now = beside.now
        said: dict[str, Any] = {
            "bars": msgspec.structs.asdict(self.changed),
            "orders": apart(self._seen.orders, now.orders),
            "fills": apart(self._seen.fills, now.fills),
            "equity": {"as_seen": self._seen.equity, "as_final": now.equity},
            "first": None,
        }
        key, event = beside.first or (None, None)
        if (gone := beside.first_gone) is not None:
            key, event = gone, None
        if key is not None:
            ts, origin, kind, _ = key
            first = {"ts": ts, "at": instant_text(ts), "component": origin, "event": kind}
            value = {"field": "", "symbol": "", "as_seen": kind, "as_final": None} if event is None else field_of(
                [each async for each in self._recorded(key)], event, self._symbols
            )  # fmt: skip
            said["first"] = first | value
        return said

    @property
    def _symbols(self) -> tuple[str, ...]:
        return tuple(self._past.manifest["universe"]["symbols"])

    async def _recorded(self, key: tuple[int, str, str, int]) -> AsyncIterator[Event]:
        """The decision of this key, as it was recorded."""
        decided = Decided()
        async for run in self._past.runs():
            for record in run.records[1:]:
                event = record.event
                if event is not None and decided.add(record.origin, event) == key:
                    yield event
                    return


def _before(event: Event, left: dict[tuple[int, int], Bars]) -> list[tuple[int, int]]:
    """The slices that enter before this input and were not there then."""
    rank = _RANK[event.__class__]
    if isinstance(event, Bars):
        mark = (event.ts, event.interval_ns)
        return [key for key in left if key < mark]
    limit = event.ts + (rank > _RANK[Bars])
    return [key for key in left if key[0] < limit]


def _slices(cutting: Cutting, best: dict[tuple[int, int], dict[int, Bar]], last: int) -> Iterator[Bars]:
    """Cuts these bars, nothing of them late."""
    course = cutting.course
    for ts, interval in sorted(best):
        course.promise(ts, ts)
        for _, bar in sorted(best[ts, interval].items()):
            course.arrive(bar, ts)
    course.promise(last + 1, last)
    while (given := course.next(last)) is not None:
        if isinstance(given.event, Bars) and given.event.ts <= last:
            yield given.event


def _empty(was: Bars) -> Bars:
    """A slice none of whose bars is there any more."""
    nothing = np.full(len(was.close), np.nan)
    nothing.flags.writeable = False
    status = np.full(len(was.close), Status.MISSING, np.int32)
    status.flags.writeable = False
    columns = dict.fromkeys(_COLUMNS, nothing)
    return msgspec.structs.replace(was, **columns, status=status, extra=tuple(nothing for _ in was.extra))


def _compared(was: Bars | None, now: Bars) -> dict[str, int]:
    """Bars of a slice by what became of them."""
    there = now.status != Status.MISSING
    missing = int(np.count_nonzero(~there & now.member))
    if was is None:
        return {"late": int(np.count_nonzero(there)), "corrected": 0, "missing": missing, "gone": 0}
    before = was.status != Status.MISSING
    both = there & before
    if content_of(PLANS[Bars], was) == content_of(PLANS[Bars], now):
        return {"late": 0, "corrected": 0, "missing": missing, "gone": 0}
    other = was.status != now.status
    for one, two in zip(
        (*(getattr(was, name) for name in _COLUMNS), *was.extra),
        (*(getattr(now, name) for name in _COLUMNS), *now.extra),
        strict=True,
    ):
        other = other | ~((one == two) | (np.isnan(one) & np.isnan(two)))
    return {
        "late": int(np.count_nonzero(there & ~before)),
        "corrected": int(np.count_nonzero(both & other)),
        "missing": missing,
        "gone": int(np.count_nonzero(before & ~there)),
    }
