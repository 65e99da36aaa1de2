"""A session that begins before its topic holds anything: no slice is cut without a partition that is only slow."""

import asyncio
from pathlib import Path

from aiokafka import AIOKafkaProducer

from adapters.kafka.codec import Codec, Origin
from adapters.kafka.faults import bars_within
from engine.cuts import CutRule
from engine.events import Bars
from samewire.prepare import feed_of
from tests.samewire.livened import Ground

DAYS = ("session.start=2018-03-01", "session.end=2018-03-07")


async def publish(ground: Ground, partitions: tuple[int, ...], skip: tuple[int, ...] = ()) -> None:
    """The bars of five days: symbol k stands in partition k % 2."""
    run = ground.run(*DAYS)
    feed = feed_of(run)
    codec = Codec(ground.env, feed.universe, Origin(daemon="feed"))
    start = 1_519_862_400 * 10**9  # 2018-03-01
    bars = [bar for each in feed.events(start, start + 7 * 86_400 * 10**9) if isinstance(each, Bars)
            for bar in bars_within(each)]  # fmt: skip
    producer = AIOKafkaProducer(bootstrap_servers=ground.kafka)
    await producer.start()
    for bar in bars:
        if bar.symbol % 2 in partitions and bar.symbol not in skip:
            said = codec.bar(bar)
            at = {"partition": bar.symbol % 2, "timestamp_ms": said.timestamp_ms}
            await producer.send(said.topic, key=said.key, value=said.value, **at)
    await producer.stop()


async def test_a_partition_that_has_shown_nothing_yet_is_waited_for(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    ground = Ground(kafka, topic_prefix, tmp_path)
    await ground.topics()
    async with ground.daemon("live.deadline_s=60") as daemon:
        await publish(ground, (0,))
        await asyncio.sleep(0.7)  # what this one shows is no word about the other
        assert daemon.summary()["slices"] == 0
        await publish(ground, (1,))
        await ground.until(5)
        assert daemon.summary()["late"] == 0
    steps = await ground.steps()
    assert [len(cut.missing) for step in steps for cut in step.cuts][:5] == [0] * 5


async def test_one_that_stays_empty_holds_slices_up_until_their_deadline_and_no_longer_once_all_were_heard(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    ground = Ground(kafka, topic_prefix, tmp_path)
    await ground.topics()
    async with ground.daemon("live.deadline_s=0.3"):
        await publish(ground, (0,))
        await ground.until(4)
    cuts = [cut for step in await ground.steps() for cut in step.cuts]
    # the four that nobody has heard of are waited for in three slices, then no longer
    assert [CutRule(cut.rule) for cut in cuts][:4] == [CutRule.DEADLINE] * 3 + [CutRule.COMPLETE]
    assert [len(cut.missing) for cut in cuts][:4] == [4] * 4
