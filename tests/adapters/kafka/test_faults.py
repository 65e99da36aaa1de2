"""What a faulty feed publishes: the same by the same seed, and nothing that was not recorded but what it says."""

import itertools
from collections import Counter

import msgspec
import numpy as np
import pytest

from adapters.files.sample import SampleFeed
from adapters.kafka.faults import NO_FAULTS, Faults, Sending, Tally, bars_within, preliminary, schedule
from engine.cuts import Bar, fit
from engine.events import DAY_NS, Bars, Status

SLICES = [
    e for e in itertools.islice(SampleFeed(symbols=20, years=1).events(), 160) if isinstance(e, Bars)
]  # some missing, one halted for days
ALL = Faults(delay=0.1, reorder=0.3, duplicate=0.1, correct=0.1, drop=0.05, seed=3)


def key(bar: Bar) -> tuple[object, ...]:
    return tuple(np.nan_to_num(value, nan=-1.0) if isinstance(value, float) else value for value in plain(bar))


def plain(bar: Bar) -> tuple[object, ...]:
    return msgspec.structs.astuple(bar)


def sent(faults: Faults, slices: list[Bars] = SLICES) -> tuple[list[Sending], Tally]:
    tally = Tally()
    return list(schedule(slices, faults, tally)), tally


def test_without_faults_every_bar_goes_out_at_its_instant_in_order() -> None:
    found, tally = sent(NO_FAULTS)
    recorded = [bar for bars in SLICES for bar in bars_within(bars)]
    assert [key(each.bar) for each in found] == [key(bar) for bar in recorded]
    assert all(each.ts == each.bar.ts for each in found)
    assert tally == Tally(slices=len(SLICES), bars=len(recorded), sent=len(recorded))


def test_bars_that_are_missing_are_not_published_and_halts_are() -> None:
    states = Counter(int(status) for bars in SLICES for status in bars.status)
    assert states[Status.MISSING] > 0
    assert states[Status.HALTED] > 0
    found, tally = sent(NO_FAULTS)
    assert tally.bars == states[Status.FRESH] + states[Status.HALTED]
    assert sum(each.bar.halted for each in found) == states[Status.HALTED]
    assert all(each.bar.halted or fit(each.bar) for each in found)


def test_the_same_seed_does_the_same_and_another_does_not() -> None:
    one, two, other = sent(ALL)[0], sent(ALL)[0], sent(msgspec.structs.replace(ALL, seed=4))[0]

    def said(found: list[Sending]) -> list[object]:
        return [(each.ts, key(each.bar)) for each in found]

    assert said(one) == said(two)
    assert said(one) != said(other)


def test_what_happens_to_a_slice_does_not_depend_on_those_before_it() -> None:
    whole = [(e.ts, key(e.bar)) for e in sent(ALL)[0] if e.bar.ts >= SLICES[50].ts]
    part = [(e.ts, key(e.bar)) for e in sent(ALL, SLICES[50:])[0]]
    assert whole == part


def test_publication_never_goes_back_in_time_nor_ahead_of_the_bar() -> None:
    found, _ = sent(ALL)
    assert all(one.ts <= two.ts for one, two in itertools.pairwise(found))
    assert all(each.ts >= each.bar.ts for each in found)


def test_what_is_last_of_every_bar_is_what_was_recorded() -> None:
    """So that a replay of the cleaned bars is a replay of the recorded ones, but for what was dropped."""
    found, tally = sent(ALL)
    final: dict[tuple[int, int], Bar] = {}
    for each in found:
        place = (each.bar.ts, each.bar.symbol)
        if place not in final or each.bar.version >= final[place].version:
            final[place] = each.bar
    recorded = {(bar.ts, bar.symbol): bar for bars in SLICES for bar in bars_within(bars)}
    assert len(recorded) - len(final) == tally.dropped > 0
    for place, bar in final.items():
        assert key(msgspec.structs.replace(bar, version=0)) == key(recorded[place])


def test_each_fault_comes_as_often_as_it_was_asked_for() -> None:
    found, tally = sent(ALL)
    n = tally.bars
    assert tally.sent == len(found) == n - tally.dropped + tally.duplicated + tally.corrected
    for name, share in (("dropped", 0.05), ("delayed", 0.095), ("reordered", 0.3 * 0.855), ("duplicated", 0.095)):
        count = getattr(tally, name)
        assert abs(count - share * n) < 5 * np.sqrt(share * n), name
    late = [each for each in sent(Faults(delay=1.0, delay_ns=100))[0]]
    assert {50 <= each.ts - each.bar.ts <= 150 for each in late} == {True}
    twice = Counter(key(each.bar) for each in sent(Faults(duplicate=1.0))[0])
    assert set(twice.values()) == {2}
    assert sent(Faults(drop=1.0))[0] == []


def test_reordering_moves_bars_within_their_slice_only() -> None:
    found, _ = sent(Faults(reorder=1.0))
    assert all(each.ts == each.bar.ts for each in found)
    orders = [[e.bar.symbol for e in group] for _, group in itertools.groupby(found, key=lambda e: e.ts)]
    assert sum(order != sorted(order) for order in orders) > 0.99 * len(orders)
    assert all(sorted(order) == sorted(set(order)) for order in orders)


def test_a_correction_comes_after_a_bar_that_could_have_been() -> None:
    found, tally = sent(Faults(correct=1.0))
    by_bar: dict[tuple[int, int], list[Bar]] = {}
    for each in found:
        by_bar.setdefault((each.bar.ts, each.bar.symbol), []).append(each.bar)
    halted = [bars for bars in by_bar.values() if bars[0].halted]
    others = [bars for bars in by_bar.values() if not bars[0].halted]
    assert tally.corrected == len(others)
    assert all(len(bars) == 1 for bars in halted)
    for first, second in others:
        assert (first.version, second.version) == (0, 1)
        assert fit(first)
        assert key(first) == key(msgspec.structs.replace(preliminary(second), version=0))
        assert first.volume < second.volume or second.volume == 0


@pytest.mark.parametrize("wrong", [{"drop": 1.1}, {"delay": -0.1}, {"correct": float("nan")}, {"seed": -1}])
def test_shares_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Faults(**wrong)  # type: ignore[arg-type]


def test_default_delay_is_two_intervals() -> None:
    late = [each.ts - each.bar.ts for each in sent(Faults(delay=1.0))[0]]
    assert DAY_NS <= min(late) < max(late) <= 3 * DAY_NS
