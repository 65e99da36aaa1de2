"""When each bar of a recorded history is published: in order, or delayed, reordered, twice, wrong at first, or never.

Pure and seeded: what happens to a slice depends on the seed and its instant alone, not on the slices before.
"""

import heapq
from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from engine.cuts import Bar
from engine.events import Bars, Status

_MASK = 2**64 - 1
_RESERVED = 6  # draws a bar: one for each fault, and one for how late


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of bars, 0 to 1, to which something happens; all of them 0 = a feed without a fault."""

    delay: float = 0.0  # published 0.5 to 1.5 times `delay_ns` late
    reorder: float = 0.0  # published at another place among the bars of its slice
    duplicate: float = 0.0  # published again up to `delay_ns` later
    correct: float = 0.0  # another close and volume first, and up to twice `delay_ns` later the true ones as revision 1
    drop: float = 0.0  # never published
    delay_ns: int = 0  # 0 = two intervals of the bar
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("delay", "reorder", "duplicate", "correct", "drop"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        if self.delay_ns < 0 or self.seed < 0:
            raise ValueError(f"delay_ns and seed must be at least 0, got {self.delay_ns} and {self.seed}")


class Sending(msgspec.Struct, frozen=True, eq=False):
    """A bar, and the instant of history at which it is published."""

    ts: int
    bar: Bar


class Tally(msgspec.Struct):
    """What happened so far, in bars."""

    slices: int = 0
    bars: int = 0  # recorded ones
    sent: int = 0
    delayed: int = 0
    reordered: int = 0
    duplicated: int = 0
    corrected: int = 0
    dropped: int = 0


NO_FAULTS = Faults()


def bars_within(bars: Bars) -> list[Bar]:
    """The bars of a slice that are there, a halt included, in the order of the universe."""
    columns = [column.tolist() for column in (bars.open, bars.high, bars.low, bars.close, bars.volume, bars.vwap)]
    extra = [column.tolist() for column in bars.extra]
    return [
        Bar(
            symbol=k,
            ts=bars.ts,
            interval_ns=bars.interval_ns,
            open=columns[0][k],
            high=columns[1][k],
            low=columns[2][k],
            close=columns[3][k],
            volume=columns[4][k],
            vwap=columns[5][k],
            extra=tuple(column[k] for column in extra),
            halted=status == Status.HALTED,
        )
        for k, status in enumerate(bars.status.tolist())
        if status != Status.MISSING
    ]


def schedule(slices: Iterable[Bars], faults: Faults, tally: Tally) -> Iterator[Sending]:
    """Every bar with the instant of its publication, in the order of publication. Adds up what happens in `tally`.

    Memory: the bars that wait for a later instant.
    """
    waiting: list[tuple[int, int, Bar]] = []
    count = 0
    for bars in slices:
        while waiting and waiting[0][0] < bars.ts:
            yield _sent(waiting, tally)
        tally.slices += 1
        for due, bar in _of_slice(bars, faults, tally):
            heapq.heappush(waiting, (due, count, bar))
            count += 1
    while waiting:
        yield _sent(waiting, tally)


def _sent(waiting: list[tuple[int, int, Bar]], tally: Tally) -> Sending:
    due, _, bar = heapq.heappop(waiting)
    tally.sent += 1
    return Sending(due, bar)


def _of_slice(bars: Bars, faults: Faults, tally: Tally) -> list[tuple[int, Bar]]:
    """What is published of a slice, each with its instant; equal instants in this order."""
    there = bars_within(bars)
    tally.bars += len(there)
    rng = np.random.Generator(np.random.Philox(key=[faults.seed & _MASK, bars.ts & _MASK]))
    draws = rng.random((len(bars.status), _RESERVED))
    places = rng.random(len(bars.status)) * len(there)
    late = faults.delay_ns or 2 * bars.interval_ns
    found: list[tuple[float, int, Bar]] = []  # by place
    for k, bar in enumerate(there):
        drop, delay, reorder, duplicate, correct, how = draws[bar.symbol].tolist()
        if drop < faults.drop:
            tally.dropped += 1
            continue
        due, place = bars.ts, float(k)
        if delay < faults.delay:
            tally.delayed += 1
            due += round(late * (0.5 + how))
        elif reorder < faults.reorder:
            tally.reordered += 1
            place = places[bar.symbol]
        if correct < faults.correct and not bar.halted:
            tally.corrected += 1
            found.append((place, due, preliminary(bar)))
            bar, due = msgspec.structs.replace(bar, version=1), due + round(2 * late * how)
        found.append((place, due, bar))
        if duplicate < faults.duplicate:
            tally.duplicated += 1
            found.append((place, due + round(late * how), bar))
    found.sort(key=lambda each: each[0])
    return [(due, bar) for _, due, bar in found]


def preliminary(bar: Bar) -> Bar:
    """A bar that could have been: its close in the middle of its range, and nine tenths of its volume."""
    return msgspec.structs.replace(bar, close=bar.low + 0.5 * (bar.high - bar.low), volume=0.9 * bar.volume)
