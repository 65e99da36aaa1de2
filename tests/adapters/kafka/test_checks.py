"""Each thing that a live session refuses, by a cluster that was described; nothing here speaks to one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.kafka.address import KafkaError
from adapters.kafka.checks import Start, missing, of_cluster, of_connection, of_process, refuse
from adapters.kafka.layout import REQUIRED_BYTES, Cluster, Described, Wanted, settings_of, wanted
from adapters.kafka.settings import Kafka
from adapters.kafka.topics import KINDS, Topic
from engine.events import DAY_NS, MINUTE_NS

EVERY = tuple(wanted(str(Topic("prod", kind, "x")), snapshot_ns=DAY_NS) for kind in KINDS)
LIVE = Kafka(env="prod", servers="kafka-1:9093", security="ssl")
START = Start(session="quick", wanted=EVERY, create="samewire topics run.yaml --create")


def as_made(each: Wanted, **changes: str) -> Described:
    """A topic as `make` makes it on three brokers; `_` stands for `.` in names of settings."""
    settings = settings_of(each, dev=False) | {key.replace("_", "."): value for key, value in changes.items()}
    return Described(partitions=each.partitions, replicas=3, settings=settings)


def cluster(**changes: Described | None) -> Cluster:
    """Everything as it must be, but for topics of these kinds; None = missing."""
    found = {each.topic: changes.get(each.kind, as_made(each)) for each in EVERY}
    return Cluster(id="C1", brokers=3, topics={name: made for name, made in found.items() if made is not None})


def of(kind: str) -> Wanted:
    return next(each for each in EVERY if each.kind == kind)


def test_a_cluster_as_it_must_be_is_not_refused() -> None:
    assert list(of_cluster(LIVE, START, cluster())) == []
    assert list(of_connection(LIVE, START)) == []
    assert list(of_process(0)) == []
    refuse(())


WRONG: list[tuple[str, Described | None, str, str]] = [
    ("orders", None, "it is missing", "make it: samewire topics run.yaml --create"),
    ("orders", as_made(of("orders"), cleanup_policy="compact"), "cleanup.policy is compact", "cleanup.policy=delete"),
    ("journal", as_made(of("journal"), cleanup_policy="compact,delete"), "cleanup.policy is", "cleanup.policy=delete"),
    ("snapshots", as_made(of("snapshots"), cleanup_policy="delete"), "cleanup.policy is delete", "=compact"),
    ("orders", as_made(of("orders"), min_insync_replicas="1"), "min.insync.replicas is 1, needed are 2", "replicas=2"),
    ("fills", as_made(of("fills"), unclean_leader_election_enable="true"), "unclean", "enable=false"),
    ("bars", as_made(of("bars"), retention_ms=str(86_400_000)), "retention.ms is 86,400,000, 1 days", "snapshots more"),
    ("journal", as_made(of("journal"), retention_ms="1000"), "retention.ms is 1,000", "retention.ms=604800000"),
    ("bars", as_made(of("bars"), message_timestamp_type="LogAppendTime"), "LogAppendTime", "type=CreateTime"),
    ("journal", as_made(of("journal"), max_message_bytes="1048588"), "1,048,588", f"={REQUIRED_BYTES}"),
    ("snapshots", as_made(of("snapshots"), max_message_bytes="8388607"), "8,388,607", f"={REQUIRED_BYTES}"),
]


@pytest.mark.parametrize(("kind", "found", "rule", "step"), WRONG)
def test_a_topic_that_is_not_as_it_must_be_is_named_with_rule_and_step(
    kind: str, found: Described | None, rule: str, step: str
) -> None:
    (said,) = of_cluster(LIVE, START, cluster(**{kind: found}))
    assert said.startswith(f"topic prod.{kind}.x.v1: ")
    assert rule in said
    assert step in said.rpartition("; ")[2]


def test_too_few_copies_are_refused_but_of_bars_and_for_dev() -> None:
    few: dict[str, Described] = {
        each.kind: msgspec.structs.replace(as_made(each, min_insync_replicas="1"), replicas=1) for each in EVERY
    }
    said = list(of_cluster(LIVE, START, cluster(**few)))
    assert len(said) == 2 * (len(EVERY) - 1)
    assert not any("prod.bars" in each for each in said)
    assert list(of_cluster(replace(LIVE, dev=True), START, cluster(**few))) == []


def test_dev_lifts_nothing_else() -> None:
    dev = replace(LIVE, dev=True)
    for kind, found, rule, _ in WRONG:
        if "insync" not in rule and "unclean" not in rule:
            assert len(list(of_cluster(dev, START, cluster(**{kind: found})))) == 1
    far = Kafka(servers="kafka-1:9092", dev=True)
    assert len(list(of_connection(far, START))) == 1


def test_where_the_order_of_all_records_matters_there_is_one_partition() -> None:
    several = {each.kind: msgspec.structs.replace(as_made(each), partitions=2) for each in EVERY}
    said = list(of_cluster(LIVE, START, cluster(**several)))
    assert [each.split(":")[0] for each in said] == [f"topic {each.topic}" for each in EVERY if each.kind != "bars"]


def test_another_number_of_partitions_than_the_journal_says_is_refused() -> None:
    known = msgspec.structs.replace(START, partitions={of("bars").topic: 6})
    (said,) = of_cluster(LIVE, known, cluster())
    assert "it has 4 partitions, and 6 when the session wrote its journal" in said
    same = msgspec.structs.replace(START, partitions={of("bars").topic: 4, "prod.bars.1h.v1": 9})
    assert list(of_cluster(LIVE, same, cluster())) == []


def test_settings_that_may_not_be_read_are_not_taken_for_good() -> None:
    found = Described(partitions=1, replicas=3, unreadable="TopicAuthorizationFailedError")
    (said,) = of_cluster(LIVE, START, cluster(orders=found))
    assert "TopicAuthorizationFailedError" in said
    assert said.endswith("grant DescribeConfigs on it")


def test_another_cluster_and_topics_that_make_themselves_are_refused() -> None:
    elsewhere = msgspec.structs.replace(START, cluster="C0")
    (said,) = of_cluster(LIVE, elsewhere, cluster())
    assert said.startswith("cluster C1: the session's journal is of C0")
    (said,) = of_cluster(LIVE, START, msgspec.structs.replace(cluster(), auto_create=True))
    assert said.startswith("auto.create.topics.enable is true")


@pytest.mark.parametrize(
    ("options", "orders", "refused"),
    [
        ({"servers": "kafka-1:9092"}, True, True),
        ({"servers": "127.0.0.1:9092,kafka-1:9092"}, True, True),
        ({"servers": "127.0.0.1:9092"}, True, False),
        ({"servers": "kafka-1:9092"}, False, False),
        ({"servers": "kafka-1:9092", "security": "ssl"}, True, False),
    ],
)
def test_orders_do_not_go_over_the_network_in_clear(options: dict[str, Any], orders: bool, refused: bool) -> None:
    start = msgspec.structs.replace(START, orders=orders)
    said = list(of_connection(Kafka(**options), start))
    assert [each.startswith("live.security is plaintext") for each in said] == [True] * refused


def test_files_of_secrets_that_others_may_read_are_refused(tmp_path: Path) -> None:
    for name, mode in (("key.pem", 0o604), ("password", 0o666), ("other", 0o600)):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(mode)
    settings = Kafka(servers="a:1", security="ssl", cert_file=tmp_path / "cert.pem", key_file=tmp_path / "key.pem")
    start = msgspec.structs.replace(START, secrets=(tmp_path / "password", tmp_path / "other"))
    said = list(of_connection(settings, start))
    assert [
        each.endswith(f"chmod 600 {tmp_path / name}") for each, name in zip(said, ("key.pem", "password"), strict=True)
    ]


def test_python_without_assertions_is_refused() -> None:
    (said,) = of_process(1)
    assert "-O" in said


def test_everything_is_told_at_once_with_the_exit_code_of_kafka() -> None:
    said = list(of_cluster(LIVE, START, Cluster(id="C1", brokers=3)))
    assert len(said) == len(missing(EVERY, Cluster(id="C1", brokers=3))) == len(EVERY)
    with pytest.raises(KafkaError, match=rf"^kafka: {len(EVERY)} things are wrong, nothing was started\n") as caught:
        refuse(said)
    assert caught.value.exit_code == 5
    assert all(each.topic in str(caught.value) for each in EVERY)


def test_bars_are_kept_as_long_as_a_session_may_need_them() -> None:
    assert wanted("dev.bars.1m.v1", snapshot_ns=100 * MINUTE_NS).least_ms == 5 * 86_400_000 + 200 * 60_000
    assert wanted("dev.bars.1m.v1", snapshot_ns=100 * MINUTE_NS).retention_ms == 30 * 86_400_000
    assert wanted("dev.bars.1d.v1", snapshot_ns=100 * DAY_NS).retention_ms == 205 * 86_400_000
    assert wanted("dev.bars.1d.v1", past=True).retention_ms == -1
    assert wanted("dev.orders.x.v1", snapshot_ns=DAY_NS).least_ms == 0
