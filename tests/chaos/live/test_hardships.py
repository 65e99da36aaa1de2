"""What a live session meets besides its own death: poison among its bars, a twin, a broker that dies, topics that are
no longer what they were."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tests.chaos.live.campaign import Plan, kill_again_and_again, told
from tests.chaos.live.conftest import Calm, Grounds
from tests.chaos.live.ground import (
    NO_DIFFERENCE,
    SESSION,
    Ground,
    bars_topic,
    compare,
    publish_now,
    records_of,
)
from tests.chaos.live.market import Market, bars
from tests.chaos.live.points import COMMIT_PATH, Crash
from tests.chaos.live.poison import poison

SHORT = Market(slices=60)


def await_said(ground: Ground, what: str, count: int = 1) -> None:
    """Until daemons of this ground have told something that often."""
    for _ in range(3_000):
        if len(ground.said(what)) >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"{what} was not told {count} times: {ground.said()}")


def test_poison_is_dead_lettered_once_each_and_changes_nothing(calm: Calm, grounds: Grounds) -> None:
    undisturbed, ground = calm(SHORT), grounds(SHORT)
    found = bars(SHORT)
    records, wanted = records_of(SHORT, found, ground.env), Counter[str]()
    for place in (700, 1_500, 2_100):
        bad = poison(SHORT, ground.env, found[place])
        wanted.update(why for _, why in bad)
        records[place:place] = [record for record, _ in bad]
    publish_now(ground, records)
    tally = kill_again_and_again(ground, Plan(kills=6, seed=5, longest=6, points=COMMIT_PATH), published=True)
    left = ground.left()
    letters = left.records.pop(f"deadletter.{SESSION}")
    said = [json.loads(body or b"") for _, body, _ in letters]
    assert Counter(each["reason"] for each in said) == wanted
    assert len({(each["topic"], each["partition"], each["offset"]) for each in said}) == len(said)
    # Each stands in the very step that went into the transaction of its slice.
    noted = [tuple(place) for step in left.steps for place in step.left_out]
    assert sorted(place[1:] for place in noted) == sorted((each["partition"], each["offset"]) for each in said)
    left.records[f"deadletter.{SESSION}"] = []
    assert (compare(undisturbed, left), told(ground)) == (NO_DIFFERENCE, [])
    assert tally.kills >= 6


def test_more_poison_than_the_run_file_allows_stops_the_session(grounds: Grounds) -> None:
    ground = grounds(SHORT, poison_max=3)
    found = bars(SHORT)[:500]
    records = records_of(SHORT, found, ground.env)
    records[200:200] = [record for record, _ in poison(SHORT, ground.env, found[200])]
    publish_now(ground, records)
    assert ground.victims.run(ground.order()) == 3
    assert "live.poison_max: 3" in told(ground)[-1]["text"]


def test_of_two_daemons_with_one_id_the_older_is_fenced(calm: Calm, grounds: Grounds) -> None:
    undisturbed, ground = calm(SHORT), grounds(SHORT)
    found = bars(SHORT)
    ground.publish(found[:1_500])
    older = ground.victims.start(ground.order())
    await_said(ground, "session.ready")
    younger = ground.victims.start(ground.order())
    await_said(ground, "session.ready", 2)
    ground.publish(found[1_500:])
    assert (ground.victims.code(older), ground.victims.code(younger)) == (6, 0)
    assert compare(undisturbed, ground.left()) == NO_DIFFERENCE
    assert "do not restart it" in told(ground)[0]["text"]


@pytest.mark.slow
def test_one_that_was_held_up_within_a_transaction_tells_a_successor_from_a_broker_that_gave_it_up(
    calm: Calm, grounds: Grounds
) -> None:
    """Both were told the same: the broker ended its transaction, and let nobody go on with it."""
    undisturbed, market = calm(SHORT), SHORT
    held = Crash(point="ack:after", transaction=5, held_up=True)
    taken_over, given_up, resumed = grounds(market), grounds(market), grounds(market)
    pids = []
    for ground in (taken_over, given_up, resumed):
        ground.publish()
        pids.append(ground.victims.start(ground.order(crash=held)))
        await_said(ground, "held_up")
    younger = taken_over.victims.start(taken_over.order())
    assert taken_over.victims.code(younger) == 0
    time.sleep(21.0)  # what a transaction may take, and the time from one look of the broker to the next
    assert resumed.victims.run(resumed.order()) == 0, "its successor began when the broker had given it up already"
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    assert [taken_over.victims.code(pid) for pid in pids] == [6, 5, 6]
    assert "do not restart it" in told(taken_over)[-1]["text"]
    assert "start again" in told(given_up)[-1]["text"]
    assert given_up.victims.run(given_up.order()) == 0
    for ground in (taken_over, given_up, resumed):
        assert compare(undisturbed, ground.left()) == NO_DIFFERENCE


def test_an_ordered_stop_in_the_middle_of_a_slice_changes_nothing(calm: Calm, grounds: Grounds) -> None:
    undisturbed, ground = calm(SHORT), grounds(SHORT)
    found = bars(SHORT)
    for begin, end, after_s in ((0, 730, 0.3), (730, 1_777, 1.5), (1_777, 1_790, 1.0)):
        ground.publish(found[begin:end])
        pid = ground.victims.start(ground.order())
        time.sleep(after_s)
        ground.victims.stop(pid)
        assert ground.victims.code(pid) in (0, -signal.SIGTERM)  # the latter before it had begun to listen
    ground.publish(found[1_790:])
    assert ground.victims.run(ground.order()) == 0
    left = ground.left()
    assert compare(undisturbed, left) == NO_DIFFERENCE
    assert sum(cut.counts[2] for step in left.steps for cut in step.cuts) == sum(
        cut.counts[2] for step in undisturbed.steps for cut in step.cuts
    ), "bars were read twice"


def test_topics_that_are_not_what_they_were_are_refused(grounds: Grounds) -> None:
    """One session, killed behind its snapshot; from refusal to refusal each stands earlier on the way of a start."""
    ground = grounds(SHORT)
    found = bars(SHORT)[:1_900]
    ground.publish(found)
    assert ground.victims.run(ground.order(crash=Crash(point="commit:after", transaction=26))) == -9
    topic, journal = bars_topic(ground.env), f"{ground.env}.journal.{SESSION}.v1"

    def refused(kind: str, *texts: str) -> None:
        assert ground.victims.run(ground.order()) == {"KafkaError": 5, "DamagedError": 3, "ConfigError": 2}[kind]
        line = told(ground)[-1]
        assert line["kind"] == kind
        assert all(text in line["text"] for text in texts), line["text"]

    ground.remake(topic)
    ground.publish(found[:300])
    refused("DamagedError", f"topic {topic}", "made anew", "--new")

    ground.remake(topic)  # with other bars at the same offsets
    ground.publish([msgspec.structs.replace(bar, volume=2e5) for bar in found])
    refused("DamagedError", f"topic {topic}", "another one", "--new")

    ground.cut(topic, 4, share=1.0)
    refused("DamagedError", f"topic {topic}", "gone", "--new")

    ground.cut(journal, 1, share=0.9)
    refused("DamagedError", f"topic {journal}", "some of it is gone", "--new")

    ground.widen(topic, 6)
    refused("KafkaError", f"topic {topic}", "6 partitions", "had 4", "--new")

    ground.cut(journal, 1, share=1.0)
    refused("DamagedError", f"topic {journal}", "no step", "--new")


def test_what_others_write_into_the_journal_hides_no_step(calm: Calm, grounds: Grounds) -> None:
    """Nothing that is committed behind an open transaction is seen by who reads what is committed."""
    from aiokafka import AIOKafkaProducer

    undisturbed, ground = calm(SHORT), grounds(SHORT)
    ground.publish(bars(SHORT))
    journal = f"{ground.env}.journal.{SESSION}.v1"

    async def begun() -> AIOKafkaProducer:
        other = AIOKafkaProducer(bootstrap_servers=ground.address, transactional_id=f"other.{ground.env}")
        await other.start()
        await other.begin_transaction()
        await other.send_and_wait(journal, b"not a step")
        return other

    with asyncio.Runner() as runner:
        assert ground.victims.run(ground.order(crash=Crash(point="commit:after", transaction=3))) == -9
        other = runner.run(begun())
        pid = ground.victims.start(ground.order(crash=Crash(point="commit:after", transaction=12)))
        time.sleep(2.0)
        assert not ground.said("session.recovering"), "it waits"
        runner.run(other.commit_transaction())
        assert ground.victims.code(pid) == -9
        runner.run(other.stop())
    assert ground.victims.run(ground.order()) == 0
    assert compare(undisturbed, ground.left()) == NO_DIFFERENCE


def test_another_transactional_id_is_refused_since_it_shuts_nobody_out(grounds: Grounds) -> None:
    ground = grounds(SHORT)
    ground.publish(bars(SHORT)[:500])
    assert ground.victims.run(ground.order(crash=Crash(point="commit:after", transaction=4))) == -9
    assert ground.victims.run(ground.order(manner={"writer": "another"})) == 2
    assert "live.transactional_id was" in told(ground)[-1]["text"]


@pytest.mark.long
@pytest.mark.usefixtures("java")
def test_a_broker_that_is_killed_under_load_loses_and_doubles_nothing(
    calm: Calm, grounds: Grounds, tmp_path: Path
) -> None:
    import threading

    from tools.kafka.broker import Broker

    market = Market(slices=200)
    undisturbed, broker = calm(market), Broker(tmp_path / "k")
    try:
        address = broker.start()
        there = grounds(market)
        ground = Ground(address, there.env, market, tmp_path, there.victims).prepare(batch_ms=0, servers=address)
        feeding = threading.Thread(target=ground.publish, kwargs={"rate": 1_000.0})
        feeding.start()
        pid, codes = ground.victims.start(ground.order()), []
        await_said(ground, "session.ready")
        for _ in range(2):
            time.sleep(1.5)
            broker.kill()
            broker.start()
        while (code := ground.victims.code(pid)) == 5 and len(codes) < 5:
            codes.append(code)
            pid = ground.victims.start(ground.order())
        feeding.join()
        assert code == 0, told(ground)
        assert compare(undisturbed, ground.left()) == NO_DIFFERENCE
    finally:
        broker.destroy()
