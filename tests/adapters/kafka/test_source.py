"""Bars from partitions: what is handed out, what is known of it, and what is remembered by the next process."""

import asyncio
from collections.abc import Mapping

import numpy as np
import pytest

from adapters.kafka.address import KafkaError
from adapters.kafka.codec import Codec, Origin
from adapters.kafka.live_record import LastBar
from adapters.kafka.source import BarRules, Sorter, Source, Unusable, check_same
from adapters.kafka.transport import Place, Received
from engine.clock import SystemClock
from engine.cuts import Bar
from engine.events import MINUTE_NS
from engine.universe import universe_of

TOPIC, CONTROL = "t.bars.1m.v1", "t.control.s.v1"
CODEC = Codec("t", universe_of(("A", "B")), Origin(daemon="s"))
FAR = 1 << 62


def record(offset: int, minute: int, symbol: int = 0, close: float = 1.0) -> Received:
    bar = Bar(
        symbol=symbol, ts=minute * MINUTE_NS, interval_ns=MINUTE_NS, open=1, high=2, low=0.5, close=close, volume=1
    )
    made = CODEC.bar(bar)
    return Received(offset, made.timestamp_ms, made.key, made.value)


class Reading:
    """A Feeding that hands out what it was given, one batch a poll, and is at its end."""

    def __init__(self, *batches: dict[Place, list[Received]], end: int = 0) -> None:
        self.batches, self.end = list(batches), end

    async def assign(self, offsets: Mapping[Place, int], /) -> None: ...

    async def poll(self) -> dict[Place, list[Received]]:
        await asyncio.sleep(0)
        if not self.batches:
            await asyncio.sleep(10)
        return self.batches.pop(0)

    async def end_of(self, place: Place, /) -> int | None:
        return None if self.batches else self.end

    def pause(self, places: list[Place], /) -> None: ...


async def source(reading: Reading, last: dict[str, dict[int, LastBar]] | None = None, upto: int = 0) -> Source:
    rules = BarRules(since=0, intervals={TOPIC: MINUTE_NS}, skew_ns=MINUTE_NS, ahead_ns=FAR)
    made = Source(reading, Sorter(CODEC.bar_of, rules), CONTROL, SystemClock())
    await made.start({TOPIC: {0: 0, 1: 0}}, 0, last or {}, upto)
    for _ in range(20):
        await asyncio.sleep(0)
    return made


async def test_the_last_record_that_was_handed_out_is_known_in_the_middle_of_a_batch() -> None:
    rows = [record(k, k + 1) for k in range(5)]
    made = await source(Reading({(TOPIC, 0): rows}))
    assert made.last == {}
    for k in range(3):
        bar = made.take(FAR)
        assert bar is not None
        assert bar.ts == (k + 1) * MINUTE_NS
    known = made.last[TOPIC][0]
    assert (known.offset, made.taken[TOPIC][0]) == (2, 3)
    check_same((TOPIC, 0), known, rows[2])
    with pytest.raises(KafkaError, match="another one"):
        check_same((TOPIC, 0), known, record(2, 3, close=1.5))
    await made.close()


async def test_a_partition_that_showed_bars_before_a_restart_is_waited_for_after_it() -> None:
    """Else its symbols would be missing in a slice only because the process is new."""
    rows = {(TOPIC, 0): [record(7, 8), record(8, 9)]}
    fresh = await source(Reading(dict(rows)))
    assert fresh.promise == 8 * MINUTE_NS
    before = {TOPIC: {0: LastBar(6, 0, 0, 7 * MINUTE_NS), 1: LastBar(9, 0, 0, 8 * MINUTE_NS)}}
    again = await source(Reading(dict(rows)), before, 7 * MINUTE_NS)
    assert again.promise == 7 * MINUTE_NS
    assert again.last == before
    await fresh.close()
    await again.close()


async def test_the_position_is_behind_the_marks_of_transactions_once_all_before_them_was_handed_out() -> None:
    made = await source(Reading({(TOPIC, 0): [record(0, 1), record(1, 2)]}, end=4))
    assert made.position() == {TOPIC: {0: 0, 1: 4}}
    assert made.take(FAR) is not None
    assert made.position()[TOPIC][0] == 1
    assert made.take(FAR) is not None
    assert made.position()[TOPIC][0] == 4
    await made.close()


RUBBISH = Received(0, 10**12, b"x", b"rubbish")
SPEAKS_FOR_NOBODY = [RUBBISH, record(0, -5), Received(0, 10**12, None, None)]


@pytest.mark.parametrize("other", SPEAKS_FOR_NOBODY, ids=["unusable", "before_the_start", "no_body"])
async def test_what_is_no_bar_of_the_session_says_nothing_of_its_partition(other: Received) -> None:
    """Else the promise of all partitions would stay at it for ever, in this process or in the next."""
    rows = {(TOPIC, 0): [record(k, k + 1) for k in range(3)], (TOPIC, 1): [other]}
    made = await source(Reading(dict(rows)))
    assert len(made.take_all(FAR)) == 3
    assert made.promise == 3 * MINUTE_NS
    assert made.may_lack(MINUTE_NS, np.array([True, True]))
    assert not made.may_lack(MINUTE_NS, np.array([True, False]))
    left = {topic: dict(parts) for topic, parts in made.last.items()}
    await made.close()
    again = await source(Reading({(TOPIC, 0): [record(3, 4)]}), left, 3 * MINUTE_NS)
    assert again.promise == 4 * MINUTE_NS
    assert again.may_lack(MINUTE_NS, np.array([True, True]))
    await again.close()


async def test_what_is_no_bar_behind_a_bar_takes_nothing_back() -> None:
    """In the batch of the bar, in one of its own, and in the process after."""
    batches = [{(TOPIC, 0): [record(0, 1)], (TOPIC, 1): [record(0, 2)]}, {(TOPIC, 1): [RUBBISH]}]
    made = await source(Reading(*batches))
    assert len(made.take_all(FAR)) == 2
    assert (len(made.unusable), made.promise) == (1, MINUTE_NS)
    assert [made.last[TOPIC][part].shown for part in (0, 1)] == [MINUTE_NS, 2 * MINUTE_NS]
    await made.close()


async def test_what_a_dead_letter_says_does_not_depend_on_when_it_was_read() -> None:
    said = []
    for _ in range(2):
        made = await source(Reading({(TOPIC, 0): [record(0, 1), record(1, 60 * 24 * 365 * 130)]}))
        assert made.take(FAR) is not None
        assert made.take(FAR) is None
        said.append(made.unusable.popleft())
        await made.close()
    assert said[0].reason == "future"
    assert isinstance(said[0], Unusable)
    assert said[0].text == said[1].text


async def test_who_reads_in_vain_is_not_woken() -> None:
    made = await source(Reading({}, {}, {}, {}))
    made.news.clear()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not made.news.is_set()
    await made.close()
