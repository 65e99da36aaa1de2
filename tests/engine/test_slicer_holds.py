"""What holds of a slicer whatever arrives, drawn: nothing is lost, nothing depends on the order."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cuts import Bar, Counts, Cut
from engine.events import Bars, Late, Watermark
from engine.slicer import Slicer
from tests.conformance.streams import same
from tests.engine.slicing import FRESH, MIN, MISSING, N, bar, fed, slicer


@st.composite
def arrivals(draw: st.DrawFn, *, in_time: bool) -> list[tuple[Bar, int]]:
    """Bars of a few slices with holes and copies, each with the instant at which it arrives, in that order."""
    found: list[tuple[int, int, Bar]] = []
    for ts in range(60, 60 * draw(st.integers(2, 6)), 60):
        for symbol in range(N):
            if draw(st.integers(0, 9)) == 0:
                continue
            for version in range(1 if in_time else draw(st.integers(1, 2))):
                each = bar(symbol, ts, float(draw(st.integers(5, 20))), version=version)
                for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
                    delay = draw(st.integers(0, 9 if in_time else 150))
                    found.append((ts + delay, draw(st.integers(0, 99)), each))
    found.sort(key=lambda row: row[:2])
    return [(each, now) for now, _, each in found]


def run_of(into: Slicer, stream: Sequence[tuple[Bar, int]], end: int = 1000) -> list[Any]:
    """All events, with the timer that a live process would set at `due`."""
    out: list[Any] = []
    for each, now in stream:
        while into.due <= now:
            out += into.advance(into.due)
        out += into.offer(each, now)
    while into.due <= end:
        out += into.advance(into.due)
    return out


@given(stream=arrivals(in_time=True), order=st.randoms(use_true_random=False), deadline=st.sampled_from([10, 70, 200]))
@settings(max_examples=150, deadline=None)
def test_any_interleaving_in_time_gives_the_same_slices(stream: Any, order: Any, deadline: int) -> None:
    bars = [each for each, _ in stream]
    order.shuffle(bars)
    other = sorted(((each, each.ts + order.randrange(deadline)) for each in bars), key=lambda row: row[1])
    one, two = (
        [e for e in run_of(slicer(deadline_ns=deadline, absent_after=0), rows) if isinstance(e, Bars)]
        for rows in (stream, other)
    )
    assert same(one, two)
    assert sum(int((e.status == FRESH).sum()) for e in one) == len({(each.symbol, each.ts) for each in bars})


@given(stream=arrivals(in_time=False), absent=st.integers(0, 2), quorum=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost(stream: Any, absent: int, quorum: float) -> None:
    s = slicer(absent_after=absent, quorum=quorum, patience_ns=30)
    events = run_of(s, stream)
    assert all(e.ts <= 1000 for e in events)
    flushed = fed(s, (bar(0, 6000), 6000)) + s.advance(7000)
    placed = sum(int((e.status != MISSING).sum()) for e in [*events, *flushed] if isinstance(e, Bars))
    late = sum(len(e.symbol) for e in [*events, *flushed] if isinstance(e, Late))
    counts = s.counts
    assert (counts.placed, counts.late, s.held) == (placed, late, 0)
    dropped = counts.duplicates + counts.revised + counts.conflicts + counts.unfit + counts.outside + counts.ahead
    assert placed + late + dropped == len(stream) + 1


@given(stream=arrivals(in_time=False), quorum=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=100, deadline=None)
def test_events_are_in_order_and_of_each_end_there_is_one_slice(stream: Any, quorum: float) -> None:
    s = slicer(intervals=(MIN, 120), quorum=quorum, patience_ns=30)
    double = [(msgspec.structs.replace(each, interval_ns=120), now) for each, now in stream if each.ts % 120 == 0]
    events = run_of(s, sorted(stream + double, key=lambda row: row[1]))
    rank = {Late: 0, Bars: 1, Watermark: 2}
    assert [e.ts for e in events] == sorted(e.ts for e in events)
    keys = [(e.ts, e.interval_ns) for e in events if isinstance(e, Bars)]
    assert keys == sorted(set(keys))
    ends = [(e.ts, rank[type(e)] == 2) for e in events]
    assert ends == sorted(ends)  # a watermark stands last of its instant


@given(stream=arrivals(in_time=False), cut=st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_prefix_what_comes_later_changes_nothing_before(stream: Any, cut: int) -> None:
    whole, part = slicer(), slicer()
    told = [whole.offer(each, now) for each, now in stream]
    assert same(told[:cut], [part.offer(each, now) for each, now in stream[:cut]])


@given(stream=arrivals(in_time=False), late_max=st.integers(1, 4), quorum=st.sampled_from([0.0, 1.0]))
@settings(max_examples=60, deadline=None)
def test_state_saved_and_loaded_at_every_point_goes_on_the_same(stream: Any, late_max: int, quorum: float) -> None:
    def fresh() -> Slicer:
        return slicer(intervals=(MIN, 120), late_max=late_max, quorum=quorum, absent_after=1, patience_ns=30)

    straight, broken = fresh(), fresh()
    straight.expect(np.array([True, True, False]), since=180)
    broken.expect(np.array([True, True, False]), since=180)
    for each, now in stream:
        again = fresh()
        again.load(broken.save())
        assert again.save() == broken.save()
        broken = again
        assert same(broken.offer(each, now), straight.offer(each, now))
        assert broken.due == straight.due
        assert same(broken.cuts, straight.cuts)
        assert broken.counts.__class__ is Counts
        assert msgspec.structs.astuple(broken.counts) == msgspec.structs.astuple(straight.counts)


@given(stream=arrivals(in_time=False), late_max=st.integers(2, 4))
@settings(max_examples=100, deadline=None)
def test_recorded_cuts_give_the_same_events_without_a_clock(stream: Any, late_max: int) -> None:
    """What a restart does: bars up to each recorded cut, then the cut."""
    rules: dict[str, Any] = {"intervals": (MIN, 120), "quorum": 0.5, "patience_ns": 30, "late_max": late_max}
    live, again = slicer(**rules), slicer(**rules)
    told: list[Any] = []
    cuts: list[Cut] = []
    for each, now in stream:
        while live.due <= now:
            told += live.advance(live.due)
            cuts += live.cuts
        told += live.offer(each, now)
        cuts += live.cuts
    repeated: list[Any] = []
    for before, cut in zip([0, *(cut.taken for cut in cuts)], cuts, strict=False):
        repeated += again.follow(cut, stream[before : cut.taken])
        assert msgspec.structs.astuple(again.cuts[0].counts) == msgspec.structs.astuple(cut.counts)
    last = max((k + 1 for k, e in enumerate(told) if isinstance(e, Bars)), default=0)
    assert same(*([e for e in each if isinstance(e, Bars | Late)] for each in (repeated, told[:last])))
    marks = [{e.ts for e in each if isinstance(e, Watermark)} for each in (told[:last], repeated)]
    assert marks[0] <= marks[1]


def test_names_appended_at_a_restart_are_members_without_a_bar() -> None:
    s = slicer(2, (MIN,))
    fed(s, (bar(0, 60), 61))
    s.advance(70)
    fed(s, (bar(0, 120), 121))
    longer = slicer(3, (MIN,))
    longer.load(s.save())
    (bars, _) = fed(longer, (bar(2, 120), 122), (bar(1, 120), 123))
    assert bars.status.tolist() == [FRESH] * 3
    assert bars.member.tolist() == [True] * 3


def test_memory_stays_what_it_is_however_long_it_runs() -> None:
    s, rng = slicer(quorum=0.9, patience_ns=200, late_max=50), np.random.default_rng(0)
    sizes = []
    for k in range(1, 3000):
        symbol, back = int(rng.integers(N)), int(rng.integers(0, 8))
        s.offer(bar(symbol, 60 * max(1, k - back), version=int(rng.integers(0, 3))), 60 * k)
        sizes.append(len(s.save()))
    assert max(sizes[1500:]) <= 1.1 * max(sizes[:1500])
