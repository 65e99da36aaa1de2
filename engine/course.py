"""The course of a live session: what the slicer cuts, what is known beforehand, timers and commands, in one order.

It is the order in which a replay of the same events enters: by (ts, kind of input), a timer before whatever is later.
No clock and no wait in it: how late it is, is an argument.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
import numpy as np

from engine.clock import Timers
from engine.cuts import Bar, Cut
from engine.events import INPUT_ORDER, Actions, Bars, Control, Event, Late, Mask, Timer
from engine.membership import Membership
from engine.slicer import Slicer
from engine.state import pack, unpack

_RANK = {kind: rank for rank, kind in enumerate(INPUT_ORDER)}
_TIMER = _RANK[Timer]
_KIND, _VERSION = "course", 1
Known = Callable[[int], Iterator[Event]]  # the events of ts >= since that are known beforehand, in their order


class Input(msgspec.Struct, frozen=True, eq=False):
    """What enters the bus next; `cut` where it is a slice."""

    event: Event
    cut: Cut | None = None


class Course:
    """Hands out one input after the other. Between two calls of `next` the bus has run the one before to its end.

    `known` are corporate actions, references, opens and closes: what files and calendars say beforehand. A command
    enters as soon as it is there, before slices that are cut already: its ts is that of the input before it, or how
    late it is.
    """

    def __init__(
        self, slicer: Slicer, timers: Timers, *, known: Known, start: int, members: Membership | None = None
    ) -> None:
        self.slicer, self._timers, self._known, self._members = slicer, timers, known, members
        self._expected: tuple[int, Mask] | None = None  # since when the slicer waits for whom
        self._expect(start)
        self._last = start  # ts of the input before
        self._cut: deque[Input] = deque()
        self._commands: deque[Control] = deque()
        self._before_bars: deque[Control] = deque()
        self._taken = (start, 0)  # ts of the latest event known beforehand that was taken, and how many of that ts
        self._upcoming = known(start)
        self._following = next(self._upcoming, None)

    def know(self, more: Sequence[Event]) -> None:
        """Adds events that are known beforehand, in their order; before anything has entered."""
        known, rows = self._known, tuple(more)

        def key(event: Event) -> tuple[int, int]:
            return event.ts, _RANK[event.__class__]

        self._known = lambda since: heapq.merge(known(since), (event for event in rows if event.ts >= since), key=key)
        self.resume((self._last, *self._taken))

    # ---- what comes in -----------------------------------------------------------------------------------------------

    def arrive(self, bar: Bar, now: int, *more: Bar) -> bool:
        """Takes one bar, or several that came together: none of them is late for another. Returns whether it cut."""
        return self._take(self.slicer.offer(bar, now, *more))

    def advance(self, now: int) -> bool:
        return self._take(self.slicer.advance(now))

    def promise(self, ts: int, now: int) -> bool:
        return self._take(self.slicer.promised(ts, now))

    def follow(self, cut: Cut, arrived: Iterable[tuple[Bar, int]]) -> list[Event]:
        """Repeats a recorded cut; what follows from it is returned, and enters no more."""
        found = [self._seen(event) for event in self.slicer.follow(cut, arrived)]
        self._expect(self.slicer.next)
        return found

    def command(self, control: Control) -> None:
        self._commands.append(control)

    def before_bars(self, control: Control) -> None:
        """A control that enters before the bars of its own instant; those of several in their order."""
        self._before_bars.append(control)

    @property
    def cut(self) -> int | None:
        """End of the slice that enters next; None where none was cut."""
        return self._cut[0].event.ts if self._cut else None

    def _take(self, events: list[Event]) -> bool:
        cuts = iter(self.slicer.cuts)
        self._cut += [Input(self._seen(each), next(cuts) if each.__class__ is Bars else None) for each in events]
        if events:
            self._expect(self.slicer.next)
        return bool(events)

    # ---- members -----------------------------------------------------------------------------------------------------

    def _seen(self, event: Event) -> Event:
        """What the slicer hands out, with its members."""
        if self._members is None:
            return event
        if isinstance(event, Late):
            self._members.hear(event)
        return self._members.of(event) if isinstance(event, Bars) else event

    def act(self, actions: Actions) -> None:
        """Hears of actions that enter, or entered when they were recorded."""
        if self._members is not None:
            self._members.act(actions)
            self._expect(self.slicer.next)

    def _expect(self, since: int) -> None:
        """Slices from this instant on wait for those who are members then."""
        if self._members is None:
            return
        member, last = self._members.at(since), self._expected
        if last is None and member.all():  # as the slicer begins
            self._expected = (since, member)
        elif last is None or not np.array_equal(member, last[1]):
            since = since if last is None else max(since, last[0])
            self.slicer.expect(member, since)
            self._expected = (since, member)

    # ---- what goes out -----------------------------------------------------------------------------------------------

    @property
    def due(self) -> int:
        """When something follows from the time alone; to be asked for then."""
        dues = [self.slicer.due]
        if self._timers.heap:
            dues.append(self._timers.heap[0][0])
        if self._following is not None:
            dues.append(self._following.ts)
        return min(dues)

    def next(self, now: int) -> Input | None:
        """What enters next, None where nothing does until something comes or time goes on."""
        found = self._next(now)
        if found is not None:
            self._last = found.event.ts
        return found

    def _next(self, now: int) -> Input | None:
        if self._commands and (self._cut or not self.is_due(now)):
            control = self._commands.popleft()
            ts = self._last if self._cut else max(self._last, min(now, self.slicer.next - 1))
            return Input(msgspec.structs.replace(control, ts=ts))
        if self._cut:
            if self._before_bars and self._before_bars[0].ts <= self._cut[0].event.ts:
                return self._before(self._before_bars[0]) or Input(self._before_bars.popleft())
            return self._before(self._cut[0].event) or self._cut.popleft()
        known = self._following
        if known is not None and self._may(known.ts, now):
            return self._before(known) or self._known_one(known)
        heap = self._timers.heap
        if heap and self._may(heap[0][0], now):
            return self._timer(heap[0][0], after_bars=True)
        return None

    def is_due(self, now: int) -> bool:
        """Whether a timer, or something known beforehand, enters now."""
        heap, known = self._timers.heap, self._following
        return bool(heap and self._may(heap[0][0], now)) or (known is not None and self._may(known.ts, now))

    def _may(self, ts: int, now: int) -> bool:
        """Whether no slice can come any more that would enter before something of `ts`."""
        return ts <= now and ts < self.slicer.next

    def _before(self, event: Event) -> Input | None:
        """What enters before this event, if anything does."""
        rank, known = _RANK[event.__class__], self._following
        if known is not None and known is not event and (known.ts, _RANK[known.__class__]) < (event.ts, rank):
            return self._before(known) or self._known_one(known)
        return self._timer(event.ts, after_bars=rank > _TIMER)

    def _timer(self, ts: int, *, after_bars: bool) -> Input | None:
        timer = self._timers.due(ts, after_bars=after_bars)
        return None if timer is None else Input(timer)

    def _known_one(self, event: Event) -> Input:
        ts, count = self._taken
        self._taken = (event.ts, count + 1 if ts == event.ts else 1)
        self._following = next(self._upcoming, None)
        if isinstance(event, Actions):
            self.act(event)
        return Input(event)

    # ---- state -------------------------------------------------------------------------------------------------------

    def save(self) -> bytes:
        """The slicer, and who is a member; where it stands is `position`."""
        members = None if self._members is None else self._members.save()
        return pack(_KIND, _VERSION, slicer=self.slicer.save(), members=members, expected=self._expected)

    def load(self, state: bytes, /) -> None:
        fields = unpack(state, _KIND, _VERSION)
        self.slicer.load(fields["slicer"])
        if self._members is not None and fields["members"] is not None:
            self._members.load(fields["members"])
        self._expected = None if fields["expected"] is None else (fields["expected"][0], fields["expected"][1])

    # ---- after a restart ---------------------------------------------------------------------------------------------

    @property
    def position(self) -> tuple[int, int, int]:
        """Where it stands: ts of the latest input; of the latest event known beforehand, and how many of that ts."""
        return (self._last, *self._taken)

    def resume(self, position: tuple[int, int, int]) -> None:
        """Goes on behind what had entered when `position` was asked for."""
        self._last, ts, count = position
        self._taken = (ts, count)
        self._upcoming = self._known(ts)
        for _ in range(count):
            next(self._upcoming, None)
        self._following = next(self._upcoming, None)
