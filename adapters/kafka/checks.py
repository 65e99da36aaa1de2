"""What a live session refuses to start on: a cluster, topics, a way of speaking or a process that it could not trust.

Every check is a function of what was described, and says all that is wrong at once. Source: the reference on Kafka,
section 8; PostgreSQL's rule for files of secrets.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from adapters.kafka.address import KafkaError
from adapters.kafka.layout import Cluster, Wanted, wrong_with
from adapters.kafka.security import open_to
from adapters.kafka.settings import Kafka


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """A start that is asked for."""

    session: str
    wanted: tuple[Wanted, ...]
    orders: bool = True  # it sends orders, and is no shadow
    secrets: tuple[Path, ...] = ()  # files that its run file refers to
    partitions: Mapping[str, int] = {}  # by topic, as the session's journal recorded them
    cluster: str = ""  # id of the cluster that the session's journal lies in, empty = a new session
    create: str = "samewire topics RUN.yaml --create"  # what makes missing topics


async def check(settings: Kafka, start: Start) -> Cluster:
    """The cluster, where nothing speaks against the start; else KafkaError with everything that does.

    A broker is not spoken to before the connection is one to be trusted.
    """
    refuse((*of_process(sys.flags.optimize), *of_connection(settings, start)))
    from adapters.kafka.admin import describe

    cluster = await describe(settings, [each.topic for each in start.wanted])
    refuse(tuple(of_cluster(settings, start, cluster)))
    return cluster


def refuse(problems: Sequence[str]) -> None:
    """Raises KafkaError with all of these."""
    if problems:
        shown = "\n".join(f"  {each}" for each in problems)
        count = f"{len(problems)} things are" if len(problems) > 1 else "1 thing is"
        raise KafkaError(f"kafka: {count} wrong, nothing was started\n{shown}")


def of_process(optimize: int) -> Iterator[str]:
    if optimize:
        said = "python runs with -O: checks of libraries are left out, and what they would have stopped goes on"
        yield f"{said}; run without -O, and unset PYTHONOPTIMIZE"


def of_connection(settings: Kafka, start: Start) -> Iterator[str]:
    """What can be told from the settings alone. That `dev` is said lifts none of it."""
    if start.orders and not settings.encrypted and not settings.loopback:
        said = f"live.security is {settings.security} and {settings.where().address} is another machine: whoever is "
        said += "between them can read orders and write some"
        yield f"{said}; say security: ssl or sasl_ssl"
    if not settings.transaction_name(start.session):
        yield "live.transactional_id is empty: nobody would be shut out; say one that is the same at every start"
    own = (settings.key_file, settings.token_file)
    for path in dict.fromkeys(path for path in (*own, *start.secrets) if path is not None):
        if wrong := open_to(path):
            yield f"secrets: {wrong}"


def of_cluster(settings: Kafka, start: Start, cluster: Cluster) -> Iterator[str]:
    """What the broker says against it."""
    if start.cluster and start.cluster != cluster.id:
        said = f"cluster {cluster.id}: the session's journal is of {start.cluster}, whose offsets mean nothing here"
        yield f"{said}; look at live.servers, or begin a new session"
    if cluster.auto_create and not settings.dev:
        said = (
            "auto.create.topics.enable is true: a topic that is missing would be made with one copy and one partition"
        )
        yield f"{said}; set it to false on the brokers"
    for each in start.wanted:
        found = cluster.topics.get(each.topic)
        yield from wrong_with(each, found, dev=settings.dev, create=start.create)
        known = start.partitions.get(each.topic)
        if found is not None and known is not None and found.partitions != known:
            said = f"topic {each.topic}: it has {found.partitions} partitions, and {known} when the session wrote its "
            yield f"{said}journal: symbols may have moved; bring it back, or begin a new session on a topic of its own"


def missing(wanted: Iterable[Wanted], cluster: Cluster) -> tuple[Wanted, ...]:
    """Those that are not there."""
    return tuple(each for each in wanted if each.topic not in cluster.topics)
