"""The slicer cuts the slices that a feed from files hands out, whatever the order of the bars within an instant."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.files.parquet import ParquetFeed
from adapters.kafka.faults import bars_within
from adapters.operators.aggregate import Aggregate
from engine.clock import Timers
from engine.course import Course
from engine.cuts import Bar, CutRules
from engine.event_columns import PLANS
from engine.events import Actions, Bars, Event
from engine.journal import content_of
from engine.slicer import Slicer
from samewire.live.expected import ends_of, membership_of
from tests.samewire.live.markets import beside, days, members, quarters


def by_quarters(folder: Path) -> Any:
    return ParquetFeed(path=quarters(folder), stamped="close", calendar="XNYS", extra=["bid"])


def by_hours_and_days(folder: Path) -> Any:
    of = ParquetFeed(path=quarters(folder), stamped="close", close="16:00 America/New_York")
    return Aggregate(of=of, to=["1h", "1d", "1w"])


def by_days(folder: Path) -> Any:
    life = beside(folder, dates=("2018-03-28", "2018-04-03", "2018-03-05"))
    return ParquetFeed(path=days(folder), close="16:00 America/New_York", actions=Path(life["actions"]))


def by_members(folder: Path) -> Any:
    named = members(folder, "2018-03-22", "2018-04-04")
    return ParquetFeed(path=days(folder), calendar="XNYS", members=Path(named["members"]))


@pytest.mark.parametrize("made", [by_quarters, by_hours_and_days, by_days, by_members])
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_bars_of_files_cut_by_the_slicer_are_the_slices_of_the_feed(tmp_path: Path, made: Any, seed: int) -> None:
    feed = made(tmp_path)
    events = list(feed.events())
    expected = [event for event in events if isinstance(event, Bars)]
    start = expected[0].ts - 1
    intervals = (feed.interval_ns, *getattr(feed, "intervals", ()))
    slicer = Slicer(
        universe=feed.universe,
        ends={each: ends_of(feed, each) for each in intervals},
        start=start,
        rules=CutRules(deadline_ns=1, skew_ns=1 << 62),
    )
    course = Course(slicer, Timers(), known=lambda since: iter(()), start=start, members=membership_of(feed, start))
    rng = np.random.default_rng(seed)
    cut = [event for event in through(course, events, rng) if isinstance(event, Bars)]
    assert [(bars.ts, bars.interval_ns) for bars in cut] == [(bars.ts, bars.interval_ns) for bars in expected]
    for ours, theirs in zip(cut, expected, strict=True):
        for name in Bars.__struct_fields__:
            assert_same(getattr(ours, name), getattr(theirs, name), f"{name} of {theirs.ts}")
        assert content_of(PLANS[Bars], ours) == content_of(PLANS[Bars], theirs)


def assert_same(ours: Any, theirs: Any, what: str) -> None:
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs), err_msg=what)


def through(course: Course, events: list[Event], rng: np.random.Generator) -> list[Event]:
    """The bars of these slices in another order, all of an instant at once; one in ten twice."""
    out: list[Event] = []
    for event in events:
        if isinstance(event, Actions):
            course.act(event)
        if not isinstance(event, Bars):
            continue
        found: list[Bar] = bars_within(event)
        found += [each for each in found if rng.random() < 0.1]
        rng.shuffle(found)
        course.arrive(found[0], event.ts, *found[1:])
        while (given_ := course.next(event.ts)) is not None:
            out.append(given_.event)
    course.promise(events[-1].ts + 1, events[-1].ts + 1)
    while (given_ := course.next(events[-1].ts + 1)) is not None:
        out.append(given_.event)
    return out
