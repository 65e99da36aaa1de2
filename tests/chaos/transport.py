"""What happens to bars on their way, and a source that makes slices of what arrives."""

from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import numpy as np

from engine.cuts import Bar, Cut
from engine.events import INPUT_ORDER, MINUTE_NS, SECOND_NS, Event
from engine.slicer import Slicer
from engine.state import encode_hook, ext_hook, pack, unpack
from tests.chaos.worlds import World

_RANK = {kind: rank for rank, kind in enumerate(INPUT_ORDER)}
_encoder = msgspec.msgpack.Encoder(enc_hook=encode_hook)
_events = msgspec.msgpack.Decoder(Event, ext_hook=ext_hook, dec_hook=lambda _, value: value)


def arrivals(world: World) -> tuple[tuple[Bar, int], ...]:
    """Every bar with the instant at which it arrives: delayed, twice, corrected, damaged, lost, or cut off for a while.

    After a disconnection what was missed comes at once, with some of what came before it, or never.
    """
    rng = np.random.default_rng([world.seed, 1])
    worst = float(rng.choice([0.0, 0.3, 1.0]))  # how bad the line is
    drop, late = 0.05 * worst, 0.05 * worst
    found: list[tuple[int, int, Bar]] = []
    for bar in world.bars:
        fate = rng.random(5)
        if fate[0] < drop:
            continue
        delay = int(rng.integers(1, 1_900_000_000)) if fate[1] > late else int(rng.integers(2, 200)) * SECOND_NS
        found.append((bar.ts + delay, len(found), bar))
        if fate[2] < 0.1 * worst:  # twice
            found.append((bar.ts + delay + int(rng.integers(0, 5 * SECOND_NS)), len(found), bar))
        if fate[3] < 0.1 * worst:  # corrected
            again = msgspec.structs.replace(bar, close=(bar.high + bar.low) / 2, version=1)
            found.append((bar.ts + delay + int(rng.integers(-SECOND_NS, 3 * SECOND_NS)), len(found), again))
        if fate[4] < 0.03 * worst:  # damaged, from another market, from the future
            odd = ({"close": float("nan")}, {"ts": bar.ts + 1}, {"ts": bar.ts + 10**15}, {"close": bar.close * 1.0001})
            broken = msgspec.structs.replace(bar, **odd[int(rng.integers(len(odd)))])
            found.append((bar.ts + delay, len(found), broken))
    found.sort(key=lambda row: row[:2])
    for _ in range(int(rng.integers(0, 3)) if worst else 0):
        found = _disconnected(rng, found)
    return tuple((bar, now) for now, _, bar in found)


def _disconnected(rng: np.random.Generator, rows: list[tuple[int, int, Bar]]) -> list[tuple[int, int, Bar]]:
    first = int(rng.integers(0, max(1, len(rows))))
    last = min(len(rows) - 1, first + int(rng.integers(1, 40)))
    if last < 0:
        return rows
    back, again, lost = rows[last][0] + MINUTE_NS, max(0, first - int(rng.integers(0, 6))), rng.random() < 0.3
    burst = [] if lost else [(back, order, bar) for _, order, bar in rows[again : last + 1]]
    rest = [(max(now, back), order, bar) for now, order, bar in rows[last + 1 :]]
    return [*rows[:first], *burst, *rest]


def expected(world: World) -> list[tuple[int, Any]]:
    """Who is a member since when: everybody at first, some not from some instants on."""
    rng, n = np.random.default_rng([world.seed, 3]), len(world.universe)
    found = [(world.start, np.ones(n, bool))]
    stamps = sorted({bar.ts for bar in world.bars})
    if rng.random() < 0.4 and len(stamps) > 4:
        since = sorted(rng.choice(stamps[1:], 2, replace=False).tolist())
        found += [(since[0], rng.random(n) < 0.8), (since[1], np.ones(n, bool))]
    return found


def slicer_of(world: World) -> Slicer:
    slicer = Slicer(universe=world.universe, ends=world.ends, start=world.start, rules=world.rules)
    for since, member in expected(world)[1:]:
        slicer.expect(member, since)
    return slicer


class LiveSource:
    """Slices of what arrives, and the world's other inputs between them, in bus order.

    Of every fourth world nobody looks when a slice is due: it is cut when the next bar comes, whenever that is.
    `snapshot` stands behind the last event handed out, wherever that is.
    """

    def __init__(self, world: World, rows: tuple[tuple[Bar, int], ...]) -> None:
        self._world, self._rows = world, rows
        self.slicer = slicer_of(world)
        self._punctual = world.seed % 4 != 3
        self._at = self._other = 0
        self._ended = False
        self._pending: deque[Any] = deque()
        self.cuts: list[Cut] = []

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := self._next()) is not None:
            yield event

    def _next(self) -> Any:
        others = self._world.others
        while not self._pending and not self._ended:
            self._step()
        first = self._pending[0] if self._pending else None
        if self._other < len(others):
            other = others[self._other]
            if first is None or (other.ts, _RANK[type(other)]) < (first.ts, _RANK[type(first)]):
                self._other += 1
                return other
        return self._pending.popleft() if self._pending else None

    def _step(self) -> None:
        """One arrival, or the time at which a slice is due before it; at the end a promise that nothing follows."""
        slicer = self.slicer
        if self._at == len(self._rows):
            self._ended = True
            latest = max((bar.ts for bar in self._world.bars), default=0)
            self._pending.extend(slicer.promised(latest + 1, latest + 10 * SECOND_NS))
        elif self._punctual and slicer.due <= self._rows[self._at][1]:
            self._pending.extend(slicer.advance(slicer.due))
        else:
            self._pending.extend(slicer.offer(*self._rows[self._at]))
            self._at += 1
        self.cuts += slicer.cuts

    def snapshot(self) -> bytes:
        pending = [_encoder.encode(event) for event in self._pending]
        return pack(
            "live",
            1,
            slicer=self.slicer.save(),
            at=self._at,
            other=self._other,
            ended=self._ended,
            pending=pending,
        )

    def resume(self, state: bytes, /) -> None:
        fields = unpack(state, "live", 1)
        self.slicer.load(fields["slicer"])
        self._at, self._other, self._ended = fields["at"], fields["other"], fields["ended"]
        self._pending = deque(_events.decode(event) for event in fields["pending"])


def bytes_of(event: Any) -> bytes:
    """An event bit for bit."""
    return _encoder.encode(event)
