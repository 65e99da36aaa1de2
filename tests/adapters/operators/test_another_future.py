"""A feed with another future: the same up to the instant, valid and different after it, the same in every walk."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from adapters.files.sample import SampleFeed
from adapters.operators.another_future import AnotherFuture
from engine.events import (
    DAY_NS,
    ActionKind,
    Actions,
    Bars,
    Event,
    Late,
    Reference,
    Status,
    Timer,
    Watermark,
)
from engine.protocols import Issue
from engine.universe import universe_of
from tests.adapters.files.made import plains
from tests.make import bars, day, market, vector

SAMPLE = SampleFeed(symbols=8, years=1)
CUT = SAMPLE.span[0] + 120 * DAY_NS
N = 4


class Listed:
    """A user's own feed: it has no days of its own, no calendar and no span."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events, self.interval_ns, self.sectors = events, DAY_NS, ()
        self.universe = universe_of(tuple(f"S{k}" for k in range(N)))

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        return (e for e in self._events if (start is None or e.ts >= start) and (end is None or e.ts < end))

    def issues(self) -> tuple[Issue, ...]:
        return (Issue(kind="odd", count=1, rule="left"),)

    def hashes(self) -> dict[str, str]:
        return {"list": "00"}


def split(events: Any, cut: int) -> tuple[list[Event], list[Event]]:
    kept = list(events)
    return [event for event in kept if event.ts <= cut], [event for event in kept if event.ts > cut]


@pytest.mark.parametrize("gone", [False, True])
def test_up_to_the_instant_nothing_is_changed(gone: bool) -> None:
    before, after = split(SAMPLE.events(), CUT)
    own_before, own_after = split(AnotherFuture(of=SAMPLE, after=CUT, gone=gone).events(), CUT)
    assert plains(own_before) == plains(before)
    assert (len(own_after) == 0) == gone
    assert len(after) > 50


def test_without_an_instant_nothing_is_changed_at_all() -> None:
    assert plains(AnotherFuture(of=SAMPLE).events()) == plains(SAMPLE.events())


def test_every_later_bar_is_another_and_still_a_bar() -> None:
    rows = market(N, 200, seed=5, holes=0.05)
    quoted = [
        bars(b.ts, b.close, open=b.open, high=b.high, low=b.low, vwap=b.close, extra=(b.low, b.high)) for b in rows
    ]
    _, was = split(quoted, day(50))
    _, now = split(AnotherFuture(of=Listed(quoted), after=day(50)).events(), day(50))
    assert len(was) == len(now) == 149
    lost = turned = 0
    for one, two in zip(was, now, strict=True):
        assert isinstance(one, Bars)
        assert isinstance(two, Bars)
        assert (one.ts, one.opened, one.interval_ns) == (two.ts, two.opened, two.interval_ns)
        fresh = two.status == Status.FRESH
        assert not (fresh & (one.status != Status.FRESH)).any()
        lost += int(((one.status == Status.FRESH) & ~fresh).sum())
        turned += int((one.member != two.member).sum())
        for name in ("open", "high", "low", "close", "volume", "vwap"):
            values = getattr(two, name)
            assert np.isnan(values[~fresh]).all()
            assert (values[fresh] > 0).all()
            assert (values[fresh] != getattr(one, name)[fresh]).all()
        top, bottom = np.fmax(two.open, two.close)[fresh], np.fmin(two.open, two.close)[fresh]
        assert (two.high[fresh] >= top).all()
        assert (two.low[fresh] <= bottom).all()
        assert ((two.vwap >= two.low) & (two.vwap <= two.high))[fresh].all()
        bid, ask = two.extra
        assert (bid[fresh] <= ask[fresh]).all()
        assert (bid[fresh] != one.extra[0][fresh]).all()
    assert 0.4 < lost / (149 * N) < 0.6
    assert 0.4 < turned / (149 * N) < 0.6


def test_another_cut_makes_another_future_of_the_same_instant() -> None:
    last = [
        [e for e in AnotherFuture(of=SAMPLE, after=cut, seed=3).events() if isinstance(e, Bars)][-1]
        for cut in (CUT, CUT + DAY_NS, CUT + 2 * DAY_NS)
    ]
    both = [np.isfinite(one.close) & np.isfinite(two.close) for one, two in zip(last, last[1:], strict=False)]
    assert all(known.any() for known in both)
    for known, one, two in zip(both, last, last[1:], strict=False):
        assert (one.close[known] != two.close[known]).all()
    assert len({e.status.tobytes() for e in last}) == 3


def test_of_two_futures_that_go_together_one_loses_each_bar_and_turns_each_membership() -> None:
    was = [e for e in SAMPLE.events() if isinstance(e, Bars)]
    for pair in (0, 1):
        futures = [
            [
                e
                for e in AnotherFuture(of=SAMPLE, after=CUT + k * DAY_NS, nth=2 * pair + k).events()
                if isinstance(e, Bars)
            ]
            for k in (0, 1)
        ]
        for bar, one, two in zip(was, *futures, strict=True):
            if bar.ts > CUT + DAY_NS:
                fresh = bar.status == Status.FRESH
                assert ((one.status == Status.FRESH) ^ (two.status == Status.FRESH))[fresh].all()
                assert (one.member ^ two.member).all()


def others() -> list[Event]:
    """What may stand between bars."""
    one, none = np.array([1, 0], np.int32), np.full(2, -1, np.int32)
    kinds = np.array([ActionKind.SPLIT, ActionKind.CASH_DIVIDEND], np.int32)
    found: list[Event] = []
    for k in range(40):
        ts = day(k)
        split_ = Actions(
            ts=ts + 1,
            kind=kinds,
            symbol=one,
            ratio=vector([2.0, 1.0]),
            amount=vector([0.0, 0.3]),
            pay_at=np.array([0, ts]),
            successor=none,
        )
        sector = Reference(
            ts=ts, name="sectors", rows="symbol", value=np.arange(float(N))[:, None], columns=("sector",)
        )
        rates = Reference(ts=ts, name="rates", rows="currency", value=np.array([[1.0], [1.2]]))
        cov = Reference(ts=ts, name="factors", rows="factor", value=np.eye(2))
        column = vector([5.0])
        late = Late(
            ts=ts,
            interval_ns=DAY_NS,
            slice_ts=ts - DAY_NS,
            symbol=np.zeros(1, np.int32),
            open=column,
            high=column,
            low=column,
            close=column,
            volume=column,
        )
        found += [
            sector,
            rates,
            cov,
            late,
            bars(ts, np.full(N, 10.0)),
            Timer(ts=ts, name="session_closed", due=ts),
            split_,
            Watermark(ts=ts + 2),
        ]
    return found


def test_actions_matrices_and_late_bars_are_others_of_their_kind() -> None:
    _, now = split(AnotherFuture(of=Listed(others()), after=day(9)).events(), day(9) + 2)
    by_name = {
        name: [e for e in now if isinstance(e, Reference) and e.name == name]
        for name in ("sectors", "rates", "factors")
    }
    assert all(sorted(e.value[:, 0]) == [0, 1, 2, 3] for e in by_name["sectors"])
    assert any((e.value[:, 0] != np.arange(N)).any() for e in by_name["sectors"])
    assert all(e.value[0, 0] == 1.0 and e.value[1, 0] > 0 for e in by_name["rates"])
    assert all(e.value[1, 0] != 1.2 for e in by_name["rates"])
    assert all(e.value[0, 0] == e.value[1, 1] != 1.0 and e.value[0, 1] == 0 for e in by_name["factors"])
    assert all(e.close[0] != 5.0 for e in now if isinstance(e, Late))
    actions = [e for e in now if isinstance(e, Actions)]
    assert {len(e.kind) for e in actions} == {0, 1, 2}
    assert {float(r) for e in actions for r in e.ratio[e.kind == ActionKind.SPLIT]} == {0.5, 2.0, 3.0}
    assert all(0.15 <= a <= 0.6 for e in actions for a in e.amount[e.kind == ActionKind.CASH_DIVIDEND])
    assert [e.ts for e in now if isinstance(e, Timer)] == [day(k) for k in range(10, 40)]


def test_two_walks_agree_wherever_they_begin_and_seeds_do_not() -> None:
    feed = AnotherFuture(of=SAMPLE, after=CUT, seed=1)
    whole = [event for event in feed.events() if isinstance(event, Bars)]
    late = [event for event in feed.events(whole[150].ts) if isinstance(event, Bars)]
    assert plains(late) == plains(whole[150:])
    other = [event for event in AnotherFuture(of=SAMPLE, after=CUT, seed=2).events() if isinstance(event, Bars)]
    assert plains(other)[-1] != plains(whole)[-1]


def test_what_lies_behind_a_slice_is_of_the_same_future() -> None:
    for gone in (False, True):
        feed = AnotherFuture(of=SAMPLE, after=CUT, gone=gone)
        kept = [event for event in feed.events() if isinstance(event, Bars)]
        k = next(i for i, event in enumerate(kept) if event.ts == max(e.ts for e in kept if e.ts <= CUT))
        whole: Any = kept[k].close.base
        same = next(i for i, row in enumerate(whole) if np.array_equal(row, kept[k].close, equal_nan=True))
        if gone:
            assert same == len(whole) - 1
        else:
            np.testing.assert_array_equal(whole[same + 1], kept[k + 1].close)
        with pytest.raises(ValueError, match="read-only"):
            kept[k].close[0] = 1.0


def test_a_range_that_begins_after_the_end_is_empty_and_the_span_ends_there() -> None:
    feed = AnotherFuture(of=SAMPLE, after=CUT, gone=True)
    assert list(feed.events(CUT + 1)) == []
    assert feed.span == (SAMPLE.span[0], CUT)
    assert AnotherFuture(of=SAMPLE, after=CUT).span == SAMPLE.span


def test_it_has_what_its_feed_has_and_days_of_utc_where_that_has_none() -> None:
    feed = AnotherFuture(of=SAMPLE, after=CUT)
    assert (feed.universe, feed.sectors, feed.close) == (SAMPLE.universe, SAMPLE.sectors, SAMPLE.close)
    assert feed.bounds(dt.date(2018, 3, 1), None) == SAMPLE.bounds(dt.date(2018, 3, 1), None)
    assert (feed.hashes(), feed.issues()) == (SAMPLE.hashes(), ())
    plain = AnotherFuture(of=Listed([]))
    assert plain.bounds(dt.date(1970, 1, 2), dt.date(1970, 1, 2)) == (DAY_NS, 2 * DAY_NS)
    assert plain.bounds(None, None) == (None, None)
    assert (plain.span, plain.sessions, plain.intervals) == (None, None, ())
    with pytest.raises(ValueError, match="seed must be at least 0"):
        AnotherFuture(of=SAMPLE, seed=-1)
