"""What a subscriber is handed: what was committed, once, from where it stopped, and never a gap without a word."""

import asyncio
import json
import os
import signal as signals_of_unix
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from adapters.kafka.address import KafkaError
from adapters.kafka.codec import Record
from adapters.kafka.subscribe import Reading, Subscription, subscribe
from adapters.kafka.topics import KINDS
from engine.errors import ConfigError, DataError
from tests.adapters.kafka.test_codec import one_of_each
from tests.adapters.kafka.wire import administered, made, signal, written
from tests.test_docs import blocks
from tools.kafka.broker import Broker

ROOT = Path(__file__).parents[3]
WHOLE = Reading(follow=False)


async def stamps(subscription: Subscription, count: int = 10**9) -> list[int]:
    """`ts` of what it hands out, at most so many."""
    found: list[int] = []
    async with subscription:
        async for message in subscription:
            found.append(message.ts)
            if len(found) == count:
                break
    return found


async def topic_of(kafka: str, env: str, *transactions: tuple[bool, list[int]]) -> str:
    topic = f"{env}.signals.m.v1"
    await made(kafka, topic)
    await written(kafka, *((done, [signal(env, ts) for ts in said]) for done, said in transactions))
    return topic


async def test_what_was_committed_comes_once_and_what_was_aborted_never(kafka: str, topic_prefix: str) -> None:
    said = [(True, [1, 2, 3]), (False, [4, 5]), (True, [3, 6, 6, 2]), (False, [7])]
    topic = await topic_of(kafka, topic_prefix, *said)
    async with subscribe(topic, address=kafka, since="earliest", reading=WHOLE) as said_again:
        found = [(message.ts, message.values) async for message in said_again]
    assert found == [(ts, [ts / 7, ts / 7]) for ts in (1, 2, 3, 6)]
    assert (said_again.counts.messages, said_again.counts.doubles) == (4, 3)
    about = said_again.about
    assert about is not None
    assert (about.key, about.headers["ce_type"], about.headers["run-id"]) == ("m", "samewire.signals.slice.v1", "r")
    # Behind the last mark: 3 + mark + 2 + mark + 4 + mark + 1 + mark.
    assert said_again.position() == {0: 14}
    assert await stamps(subscribe(topic, address=kafka, since=said_again.position(), reading=WHOLE)) == []


async def test_an_open_transaction_is_waited_for_and_comes_when_it_is_committed(kafka: str, topic_prefix: str) -> None:
    topic = await topic_of(kafka, topic_prefix, (True, [1]))
    async with subscribe(topic, address=kafka, since="latest") as following:
        next_one = asyncio.ensure_future(anext(aiter(following)))
        await asyncio.sleep(0.3)
        assert not next_one.done()
        await written(kafka, (False, [signal(topic_prefix, 2)]), (True, [signal(topic_prefix, 3)]))
        assert (await asyncio.wait_for(next_one, 10)).ts == 3


async def test_reading_begins_where_it_was_asked_to(kafka: str, topic_prefix: str) -> None:
    ms = 1_000_000
    topic = await topic_of(kafka, topic_prefix, (True, [5 * ms, 6 * ms, 7 * ms]))
    assert await stamps(subscribe(topic, address=kafka, since=6 * ms, reading=WHOLE)) == [6 * ms, 7 * ms]
    assert await stamps(subscribe(topic, address=kafka, since=6 * ms + 1, reading=WHOLE)) == [6 * ms, 7 * ms]
    assert await stamps(subscribe(topic, address=kafka, since=8 * ms, reading=WHOLE)) == []
    assert await stamps(subscribe(topic, address=kafka, since="latest", reading=WHOLE)) == []
    kept = json.loads(json.dumps({0: 1}))  # as a file would hand it back
    assert await stamps(subscribe(topic, address=kafka, since=kept, reading=WHOLE)) == [6 * ms, 7 * ms]


async def test_reading_that_ends_ends_where_the_topic_did_and_goes_on_there(kafka: str, topic_prefix: str) -> None:
    topic, found = await topic_of(kafka, topic_prefix, (True, [1, 2])), []
    for since in ("earliest", "latest"):
        async with subscribe(topic, address=kafka, since=since, reading=WHOLE) as ending:
            async for message in ending:
                found.append(message.ts)
                await written(kafka, (True, [signal(topic_prefix, 3), signal(topic_prefix, 4)]))
            assert (found, ending.position()) == ([1, 2], {0: 3 if since == "earliest" else 9})
    assert await stamps(subscribe(topic, address=kafka, since={0: 3}, reading=WHOLE)) == [3, 4]


async def test_a_group_is_a_name_for_a_position_and_nothing_else(kafka: str, topic_prefix: str) -> None:
    topic = await topic_of(kafka, topic_prefix, (True, [1, 2, 3]))
    asked: dict[str, Any] = {"address": kafka, "since": "committed", "group": f"{topic_prefix}-desk"}
    async with subscribe(topic, **asked) as first:
        async for message in first:
            if message.ts == 2:
                await first.commit()
                break
    at_once = await asyncio.gather(*(stamps(subscribe(topic, reading=WHOLE, **asked)) for _ in range(2)))
    assert at_once == [[3], [3]]  # nobody takes partitions from anybody
    assert await stamps(subscribe(topic, reading=WHOLE, **asked)) == []  # it was committed on the way


async def test_it_goes_on_where_it_stopped_in_the_same_process(kafka: str, topic_prefix: str) -> None:
    topic = await topic_of(kafka, topic_prefix, (True, [1, 1, 2, 2, 3, 3]))
    subscription = subscribe(topic, address=kafka, since="earliest", reading=WHOLE)
    assert await stamps(subscription, 2) == [1, 2]
    assert await stamps(subscription) == [3]
    assert subscription.counts.doubles == 3


async def test_a_double_just_behind_the_position_is_known_by_what_is_read_again(kafka: str, topic_prefix: str) -> None:
    topic = await topic_of(kafka, topic_prefix, (True, [1, 2, 2, 3]))
    first = subscribe(topic, address=kafka, since="earliest")
    assert await stamps(first, 2) == [1, 2]
    again = subscribe(topic, address=kafka, since=first.position(), reading=WHOLE)
    assert await stamps(again) == [3]
    assert again.counts.doubles == 1
    forgetful = subscribe(topic, address=kafka, since=first.position(), reading=Reading(follow=False, again=0))
    assert await stamps(forgetful) == [2, 3]
    short = subscribe(topic, address=kafka, since="earliest", reading=Reading(follow=False, remembered=1))
    assert await stamps(short) == [1, 2, 3]


CHILD = """\
import asyncio, json, sys
from adapters.kafka.subscribe import Reading, subscribe

async def main(address, topic, kept):
    lines = open(kept).read().splitlines()
    since = json.loads(lines[-1])["position"] if lines else "earliest"
    with open(kept, "a") as file:
        async with subscribe(topic, address=address, since=since) as signals:
            async for signal in signals:
                file.write(json.dumps({"ts": signal.ts, "position": signals.position()}) + "\\n")
                file.flush()
                await asyncio.sleep(0.001)  # so that it is not done before it is killed

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_reader_that_is_killed_in_the_middle_loses_and_doubles_nothing(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    """It keeps the position together with what it made of each message; each record is there twice."""
    topic, kept = f"{topic_prefix}.signals.m.v1", tmp_path / "kept"
    await made(kafka, topic)
    kept.write_text("")
    count, kills = 600, 0
    pieces = [[signal(topic_prefix, ts) for ts in range(k, k + 40) for _ in range(2)] for k in range(0, count, 40)]
    writing = asyncio.ensure_future(paced(kafka, pieces))
    while not writing.done() or lines_of(kept) < count:
        child = begun(kafka, topic, str(kept))
        before = lines_of(kept)
        while lines_of(kept) < min(before + 140, count):
            assert child.poll() is None
            await asyncio.sleep(0.005)
        child.send_signal(signals_of_unix.SIGKILL)
        child.wait()
        kills += 1
    await writing
    said = [json.loads(line)["ts"] for line in kept.read_text().splitlines()]
    assert said == list(range(count))
    assert kills >= 4


def begun(*arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", CHILD, *arguments], cwd=ROOT)


async def paced(address: str, pieces: list[list[Record]]) -> None:
    for k, piece in enumerate(pieces):
        await written(address, (False, piece[:7]), (True, piece)) if k % 5 == 0 else await written(
            address, (True, piece)
        )


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n")


async def test_the_subscriber_of_the_page_of_topics_runs_as_it_stands(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    """But for the names of topic and broker; it is ended, and goes on behind what it printed."""
    topic, printed = await topic_of(kafka, topic_prefix, (True, [7, 14])), []
    (code,) = [code for code in blocks(ROOT / "docs" / "topics.md", "python") if "asyncio.run" in code]
    code = code.replace("prod.signals.gbdt.v1", topic).replace("127.0.0.1:9092", kafka)
    for count in (2, 1):
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-u", "-c", code),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert child.stdout is not None
        for _ in range(count):
            printed.append((await asyncio.wait_for(child.stdout.readline(), 20)).decode())
        for _ in range(1_000):
            if position_in(tmp_path) >= len(printed):
                break
            await asyncio.sleep(0.01)
        child.kill()
        await child.communicate()
        await written(kafka, (True, [signal(topic_prefix, 21)]))
    assert printed == ["7 1.0\n", "14 2.0\n", "21 3.0\n"]


def position_in(folder: Path) -> int:
    path = folder / "position.json"
    return int(json.loads(path.read_text())["0"]) if path.exists() else -1


async def deleted(address: str, topic: str, before: int) -> None:
    at = {TopicPartition(topic, 0): RecordsToDelete(before_offset=before)}
    await administered(address, lambda admin: admin.delete_records(at))


async def test_records_that_were_deleted_are_told_and_not_passed_over(kafka: str, topic_prefix: str) -> None:
    topic = await topic_of(kafka, topic_prefix, (True, [1, 2, 3, 4]))
    first = subscribe(topic, address=kafka, since="earliest")
    assert await stamps(first, 1) == [1]
    await deleted(kafka, topic, 2)
    gap = r"partition 0: offset 1 was to be read next, the oldest that is kept is 2: .* or a position of 2"
    with pytest.raises(KafkaError, match=gap):
        await stamps(subscribe(topic, address=kafka, since=first.position(), reading=WHOLE))
    assert await stamps(subscribe(topic, address=kafka, since={0: 2}, reading=WHOLE)) == [3, 4]
    with pytest.raises(KafkaError, match="the position is 99, and it ends at 5: it was made anew"):
        await stamps(subscribe(topic, address=kafka, since={0: 99}))
    with pytest.raises(KafkaError, match=r"it has partitions \[0\], the position is of \[0, 1\]"):
        await stamps(subscribe(topic, address=kafka, since={0: 2, 1: 0}))


async def test_a_reader_that_is_too_slow_for_the_retention_is_told(kafka: str, topic_prefix: str) -> None:
    topic = f"{topic_prefix}.signals.m.v1"
    await made(kafka, topic)
    large = [signal(topic_prefix, ts, width=8_000) for ts in range(24)]  # more than is fetched ahead
    await written(kafka, *((True, [each]) for each in large))
    read: list[int] = []
    slow = subscribe(topic, address=kafka, since="earliest", reading=WHOLE)

    async def handled() -> None:
        async for message in slow:
            read.append(message.ts)
            if len(read) == 1:
                await deleted(kafka, topic, 46)

    async with slow:
        with pytest.raises(KafkaError, match=r"was to be read next, the oldest that is kept is 46"):
            await handled()
    assert read == list(range(len(read)))
    assert len(read) < 20
    assert slow.position() == {0: 2 * len(read)}


async def test_a_body_that_is_no_message_stops_or_is_counted(kafka: str, topic_prefix: str) -> None:
    topic, good = f"{topic_prefix}.signals.m.v1", signal(topic_prefix, 1)
    await made(kafka, topic)
    bad = msgspec.structs.replace(good, value=b'{"source": "m"}', headers=(("x", b"\xff"),))
    await written(kafka, (True, [good, bad, signal(topic_prefix, 2)]))
    strict = subscribe(topic, address=kafka, since="earliest", reading=WHOLE)
    for _ in range(2):  # it does not get past it by trying again
        with pytest.raises(DataError, match=r"offset 1: SignalMessage: Object missing required field .*poison='skip'"):
            await stamps(strict)
        assert strict.position() == {0: 1}
    lenient = subscribe(topic, address=kafka, since="earliest", reading=Reading(follow=False, poison="skip"))
    assert await stamps(lenient) == [1, 2]
    assert lenient.counts.poison == 1


async def test_every_kind_of_topic_is_read_as_its_messages(kafka: str, topic_prefix: str) -> None:
    for kind, record in one_of_each().items():
        topic = ".".join([topic_prefix, *record.topic.split(".")[1:]])
        await made(kafka, topic, partitions=2)
        removal = msgspec.structs.replace(record, topic=topic, value=None, headers=())
        compact = KINDS[kind].cleanup == "compact"
        await written(kafka, (True, [msgspec.structs.replace(record, topic=topic), *([removal] if compact else [])]))
        subscription = subscribe(topic, address=kafka, since="earliest", reading=WHOLE)
        async with subscription:
            found = [message async for message in subscription]
        assert [type(message) for message in found] == [KINDS[kind].message]
        assert subscription.counts.removals == compact


# ---- without a broker ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "asked", "why"),
    [
        ("signals", {}, "'signals' is no topic of a session"),
        ("dev.journal.quick.v1", {}, "what stands in journal is no contract; read one of: bars, signals"),
        ("dev.signals.m.v2", {}, "reads v1"),
        ("dev.signals.m.v1", {"since": "soon"}, "since is 'soon'; expected one of: latest, earliest, committed"),
        ("dev.signals.m.v1", {"since": "committed"}, "needs the name of a group"),
    ],
)
def test_what_cannot_be_asked_for_is_told_at_once(topic: str, asked: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        subscribe(topic, address="127.0.0.1:1", **asked)


class Loopback:
    """A connection of the user's own."""

    def client_options(self) -> dict[str, Any]:
        return {"bootstrap_servers": "127.0.0.1:1", "security_protocol": "PLAINTEXT"}


async def test_a_connection_may_be_handed_in_instead_of_an_address() -> None:
    with pytest.raises(ConfigError, match="leave one of them out"):
        subscribe("dev.signals.m.v1", address="127.0.0.1:2", connection=Loopback())
    with pytest.raises(KafkaError, match=r"topic dev.signals.m.v1: .*Unable to bootstrap"):
        await stamps(subscribe("dev.signals.m.v1", connection=Loopback()))


async def test_a_topic_that_is_not_there_is_told_and_not_made(kafka: str, topic_prefix: str) -> None:
    for _ in range(2):
        with pytest.raises(KafkaError, match="there is none, or it may not be read"):
            await stamps(subscribe(f"{topic_prefix}.signals.m.v1", address=kafka))


def test_a_subscriber_needs_nothing_of_what_sessions_compute_with() -> None:
    code = "import sys, adapters.kafka.subscribe; print(*sys.modules)"
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    there = {name for name in done.stdout.split() if name.split(".")[0] in ("engine", "components", "samewire")}
    assert there == {
        f"engine{rest}" for rest in ("", ".calendar", ".clock", ".errors", ".events", ".instants", ".state")
    }
    tops = {name.split(".")[0] for name in done.stdout.split()}
    assert {"numpy", "msgspec"} <= tops
    assert tops.isdisjoint({"pandas", "torch", "pyarrow", "scipy", "numba", "lightgbm", "aiokafka"})


# ---- a broker that goes away -----------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.kafka
@pytest.mark.usefixtures("java")
async def test_a_broker_that_comes_back_is_read_on_and_one_that_does_not_is_told(tmp_path: Path) -> None:
    broker, topic = Broker(tmp_path / "k"), "dev.signals.m.v1"
    address = await asyncio.to_thread(broker.start, owner=os.getpid())
    await made(address, topic)
    await written(address, (True, [signal("dev", 1), signal("dev", 1)]))
    impatient = subscribe(topic, address=address, since="earliest", reading=Reading(patience_s=1.0))
    async with impatient, subscribe(topic, address=address, since="earliest") as patient:
        one, other = aiter(patient), aiter(impatient)
        assert [(await anext(one)).ts, (await anext(other)).ts] == [1, 1]
        next_one = asyncio.ensure_future(anext(one))
        broker.kill()
        with pytest.raises(KafkaError, match="no answer for 1 s; the broker is away"):
            await asyncio.wait_for(anext(other), 20)
        assert not next_one.done()
        await asyncio.to_thread(broker.start, owner=os.getpid())
        await written(address, (True, [signal("dev", 2)]))
        assert (await asyncio.wait_for(next_one, 60)).ts == 2
        assert patient.counts.doubles == 1
    assert await stamps(subscribe(topic, address=address, since=impatient.position(), reading=WHOLE)) == [2]
    broker.destroy()
