"""What is there of the topics of a session, held against what they must be; and those that are missing, made."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from adapters.kafka.address import KafkaError
from adapters.kafka.admin import administration, create, described
from adapters.kafka.checks import Start, of_cluster
from adapters.kafka.layout import REPLICAS, Cluster
from adapters.kafka.settings import Kafka
from adapters.kafka.topics import KINDS


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One topic."""

    topic: str
    kind: str
    state: Literal["ok", "made", "missing", "wrong"]
    partitions: int  # 0 = it is not there
    replicas: int
    cleanup: str  # as it is, or as it would be
    wanted_partitions: int
    settings: dict[str, str]
    problems: tuple[str, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All topics of a session, and what is wrong with the cluster itself."""

    cluster: str
    brokers: int
    topics: tuple[Row, ...]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems and all(row.state in ("ok", "made") for row in self.topics)

    def as_json(self) -> dict[str, Any]:
        return {"ok": self.ok, **msgspec.to_builtins(self)}


async def looked_at(settings: Kafka, start: Start, *, make: bool, partitions: int = 0) -> Report:
    """The report; with `make`, after those that are missing were made. KafkaError where no broker answers.

    `partitions` are asked of topics that may have several, 0 = whatever they have.
    """
    if partitions:
        asked = (each if each.single else replace(each, partitions=partitions) for each in start.wanted)
        start = replace(start, wanted=tuple(asked))
    names = [each.topic for each in start.wanted]
    async with administration(settings.client_options()) as admin:
        cluster = await described(admin, names)
        missing = [each for each in start.wanted if each.topic not in cluster.topics]
        made: tuple[str, ...] = ()
        if make and missing:
            _refuse_few(cluster, settings)
            made = await create(admin, missing, brokers=cluster.brokers, dev=settings.dev)
            cluster = await described(admin, names)
    report = report_of(settings, start, cluster, made)
    return report if not partitions else replace(report, topics=tuple(_as_asked(each) for each in report.topics))


def _as_asked(row: Row) -> Row:
    """With a problem more where its number of partitions is not the one that was asked for."""
    if row.partitions in (0, row.wanted_partitions) or KINDS[row.kind].partitions == 1:
        return row
    said = f"topic {row.topic}: it has {row.partitions} partitions, asked were {row.wanted_partitions}"
    told = f"{said}; it keeps them, since symbols would move: make it under another live.env"
    return replace(row, state="wrong", problems=(*row.problems, told))


def _refuse_few(cluster: Cluster, settings: Kafka) -> None:
    if not settings.dev and cluster.brokers < REPLICAS:
        said = (
            f"the cluster has {cluster.brokers} of the {REPLICAS} brokers that orders need to survive the loss of one"
        )
        raise KafkaError(f"kafka: {said}; say live.dev: true where nothing may be lost by it, or bring up the others")


def report_of(settings: Kafka, start: Start, cluster: Cluster, made: Sequence[str] = ()) -> Report:
    """The same from a cluster that was described."""
    rows, told = [], set[str]()
    everything = tuple(of_cluster(settings, start, cluster))
    for each in start.wanted:
        found = cluster.topics.get(each.topic)
        problems = tuple(said for said in everything if said.startswith(f"topic {each.topic}: "))
        told.update(problems)
        state: Literal["ok", "made", "missing", "wrong"] = (
            "missing" if found is None else "wrong" if problems else "made" if each.topic in made else "ok"
        )
        rows.append(
            Row(
                topic=each.topic,
                kind=each.kind,
                state=state,
                partitions=0 if found is None else found.partitions,
                replicas=0 if found is None else found.replicas,
                cleanup=each.cleanup if found is None else found.settings.get("cleanup.policy", "unknown"),
                wanted_partitions=each.partitions,
                settings={} if found is None else dict(found.settings),
                problems=problems,
            )
        )
    left = tuple(said for said in everything if said not in told)
    return Report(cluster=cluster.id, brokers=cluster.brokers, topics=tuple(rows), problems=left)
