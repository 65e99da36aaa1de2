"""Whether the slices of a run are those that the rules ask for, and whether its recorded cuts bring them again."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.cuts import Bar
from engine.events import SECOND_NS, Bars, Late, Watermark
from engine.slicer import Slicer
from tests.chaos.auditor import check
from tests.chaos.plain_slicer import COUNTED, Plain, Slice, Told, columns_of
from tests.chaos.transport import LiveSource, bytes_of, expected, slicer_of
from tests.chaos.worlds import World

Rows = Sequence[tuple[Bar, int]]


def check_slices(world: World, rows: Rows, inputs: Sequence[Any], source: LiveSource) -> None:
    """Every slice, Late and watermark in order, how each slice was cut, and what became of each bar that arrived."""
    plain = Plain(n=len(world.universe), ends=world.ends, start=world.start, rules=world.rules, members=expected(world))
    for bar, now in rows:
        plain.arrives(bar, now)
    latest = max((bar.ts for bar in world.bars), default=0)
    plain.ends(latest + 1, latest + 10 * SECOND_NS)
    found = [each for event in inputs if isinstance(event, Bars | Late | Watermark) for each in _rows(event)]
    cuts = iter(source.cuts)
    for k, wanted in enumerate(plain.out):
        check(k < len(found), f"{wanted} should have come behind {len(found)} others")
        if isinstance(wanted, Slice):
            _check_slice(wanted, found[k], next(cuts))
        elif isinstance(wanted, Told):
            _check_told(wanted, found[k])
        else:
            said = found[k]
            check(isinstance(said, Watermark) and said.ts == wanted.ts, f"not the watermark {wanted.ts} but {said}")
    check(len(found) == len(plain.out), f"after {len(plain.out)} came {found[len(plain.out) :][:1]} more")
    check(next(cuts, None) is None, "a cut was told that no slice belongs to")
    counts, untold = source.slicer.counts, plain.untold
    totals = {name: sum(each.counts[name] for each in plain.out if isinstance(each, Slice)) for name in COUNTED}
    placed, late = totals["placed"], sum(isinstance(each, Told) for each in plain.out) + untold
    check((counts.placed, counts.late) == (placed, late), f"{placed} placed, {late} late, but {counts}")
    known = placed + sum(getattr(counts, name) for name in COUNTED if name != "placed") + source.slicer.held
    check(known == len(rows), f"of {len(rows)} bars {counts}, {source.slicer.held} held")
    check(source.slicer.held == plain.held, f"{source.slicer.held} bars are held, not {plain.held}")


def _rows(event: Any) -> Sequence[Any]:
    """A Late is told row by row."""
    return [(event, i) for i in range(len(event.symbol))] if isinstance(event, Late) else [event]


def _check_slice(wanted: Slice, bars: Any, cut: Any) -> None:
    where = f"the slice of {wanted.interval_ns} ns at {wanted.ts}"
    check(isinstance(bars, Bars), f"{where} should have come, and {bars} did")
    head = (bars.ts, bars.interval_ns, bars.opened)
    check(head == (wanted.ts, wanted.interval_ns, wanted.opened), f"{where} is said to be {head}")
    check(tuple(bars.member.tolist()) == wanted.member, f"{where} has members {bars.member}, not {wanted.member}")
    for s, (status, prices) in enumerate(columns_of(wanted, len(wanted.member))):
        check(bars.status[s] == status, f"{where} has status {bars.status[s]} of {s}, not {status.name}")
        found = tuple(float(getattr(bars, n)[s]) for n in ("open", "high", "low", "close", "volume", "vwap"))
        check(repr(found) == repr(prices), f"{where} has {found} of {s}, not {prices}")
    told = (cut.ts, cut.interval_ns, cut.rule, cut.taken, cut.missing.tolist(), cut.absent)
    due = (wanted.ts, wanted.interval_ns, wanted.rule, wanted.taken, wanted.missing, wanted.absent)
    check(told == due, f"{where} was cut as {told}, not {due}")
    counts = {name: getattr(cut.counts, name) for name in COUNTED}
    check(counts == wanted.counts, f"{where} counts {counts}, not {wanted.counts}")


def _check_told(wanted: Told, found: Any) -> None:
    bar = wanted.bar
    check(isinstance(found, tuple), f"a Late of {bar} should have come at {wanted.ts}, and {found} did")
    late, i = found
    said = (late.ts, late.slice_ts, late.interval_ns, int(late.symbol[i]))
    check(said == (wanted.ts, bar.ts, bar.interval_ns, bar.symbol), f"not the late {bar} of {wanted.ts} but {said}")
    values = tuple(float(getattr(late, name)[i]) for name in ("open", "high", "low", "close", "volume"))
    check(repr(values) == repr((bar.open, bar.high, bar.low, bar.close, bar.volume)), f"{bar} came late as {values}")


def follow_cuts(world: World, rows: Rows, inputs: Sequence[Any], source: LiveSource, rng: np.random.Generator) -> None:
    """The recorded cuts alone bring Bars and Late again, and the watermarks; saved and loaded somewhere on the way."""
    slicer: Slicer = slicer_of(world)
    again, taken, stop = list[Any](), 0, int(rng.integers(0, len(source.cuts) + 1))
    for k, cut in enumerate(source.cuts):
        if k == stop:
            state, slicer = slicer.save(), slicer_of(world)
            slicer.load(state)
        again += slicer.follow(cut, rows[taken : cut.taken])
        taken = cut.taken
    straight = [event for event in inputs if isinstance(event, Bars | Late | Watermark)]
    one, two = ([bytes_of(e) for e in events if not isinstance(e, Watermark)] for events in (straight, again))
    check(two == one[: len(two)], "what followed the recorded cuts is not what was cut")
    check(sum(isinstance(e, Bars) for e in again) == len(source.cuts), "a cut was followed and brought no slice")
    marks = [[e.ts for e in events if isinstance(e, Watermark)] for events in (straight, again)]
    check(marks[1] == marks[0][: len(marks[1])] and len(marks[0]) - len(marks[1]) < 2, f"watermarks {marks}")
