"""What a topic has to be before a session trusts it, and what it is. Pure: nothing here speaks to a broker."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import msgspec

from adapters.kafka.topics import KINDS, parse_topic
from engine.events import DAY_NS

REQUIRED_BYTES = 8 * 1024 * 1024  # of a record of these kinds: a whole state in few pieces
_LARGE = ("journal", "snapshots")
REPLICAS, IN_SYNC = 3, 2  # copies of a record, and how many must have it before it counts as written
_DAY_MS = 86_400_000
_SLACK_NS = 5 * DAY_NS  # a long weekend: bars from before it are what a session on Monday begins with
# Settings of a topic that are asked for, with what Kafka has where a broker does not say.
ASKED: MappingProxyType[str, str] = MappingProxyType(
    {
        "cleanup.policy": "delete",
        "retention.ms": "604800000",
        "min.insync.replicas": "1",
        "max.message.bytes": "1048588",
        "message.timestamp.type": "CreateTime",
        "unclean.leader.election.enable": "false",
    }
)
_WHY: MappingProxyType[str, str] = MappingProxyType(
    {
        "delete": "compaction keeps the last record of each key alone, and a session needs them all",
        "compact": "what it holds must not go with age: a session begins from it",
    }
)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A topic of a session: what is made where it is missing, and the least that is accepted."""

    topic: str
    kind: str
    partitions: int  # to make; where the kind has one, it must have one
    retention_ms: int  # to make, -1 = for ever
    least_ms: int = 0  # of retention, 0 = any

    @property
    def cleanup(self) -> str:
        return KINDS[self.kind].cleanup

    @property
    def single(self) -> bool:
        """Whether the order of all its records matters, so that they lie in one partition."""
        return KINDS[self.kind].partitions == 1

    @property
    def bytes(self) -> int:
        """Least size of a record that it must take, 0 = as Kafka has it."""
        return REQUIRED_BYTES if self.kind in _LARGE else 0


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as the broker describes it."""

    partitions: int
    replicas: int  # of the partition that has fewest
    settings: Mapping[str, str] = {}
    unreadable: str = ""  # why its settings are not known


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """What a broker says of its cluster and of the topics that were asked for, as far as they are there."""

    id: str
    brokers: int
    topics: Mapping[str, Described] = {}
    auto_create: bool | None = None  # None = not known


def wanted(topic: str, *, snapshot_ns: int = 0, past: bool = False) -> Wanted:
    """The layout of a topic by its kind.

    `snapshot_ns` is the time from one snapshot to the next: bars and the journal must be kept for twice that and a long
    weekend. `past`: what it will hold may be of long ago, and is never deleted, since Kafka counts age from a record's
    own timestamp.

    >>> wanted("dev.bars.1d.v1", snapshot_ns=100 * DAY_NS).retention_ms // _DAY_MS
    205
    """
    name = parse_topic(topic).kind
    kind = KINDS[name]
    least = (2 * snapshot_ns + _SLACK_NS) // 1_000_000 if name in ("bars", "journal") and snapshot_ns else 0
    kept = -1 if past or kind.retention_ms < 0 else max(kind.retention_ms, least)
    return Wanted(topic=topic, kind=name, partitions=kind.partitions, retention_ms=kept, least_ms=least)


def settings_of(each: Wanted, *, dev: bool) -> dict[str, str]:
    """What a topic is made with."""
    said = {"cleanup.policy": each.cleanup, "message.timestamp.type": "CreateTime"}
    if each.cleanup != "compact":
        said["retention.ms"] = str(each.retention_ms)
    said["min.insync.replicas"] = "1" if dev else str(IN_SYNC)
    if each.bytes:
        said["max.message.bytes"] = str(each.bytes)
    return said


def wrong_with(each: Wanted, found: Described | None, *, dev: bool, create: str) -> Iterator[str]:
    """What a session may not trust in a topic, each with the rule and the next step. `create` makes missing ones."""
    topic = f"topic {each.topic}"
    if found is None:
        yield f"{topic}: it is missing; make it: {create}"
        return
    if each.single and found.partitions != 1:
        said = f"{topic}: it has {found.partitions} partitions, and the order of all its records matters"
        yield f"{said}; make it anew with one: {create}"
    if found.unreadable:
        said = f"{topic}: its settings cannot be read ({found.unreadable})"
        yield f"{said}; grant DescribeConfigs on it"
        return
    settings = {**ASKED, **found.settings}
    yield from _of_policy(topic, each, settings)
    if not dev and each.kind != "bars":
        yield from _of_copies(each, found, settings)
    if (stamped := settings["message.timestamp.type"]) != "CreateTime":
        said = f"{topic}: message.timestamp.type is {stamped}, and the time of a record is that of its slice"
        yield f"{said}; {_alter(each, 'message.timestamp.type', 'CreateTime')}"
    size = int(settings["max.message.bytes"])
    if size < each.bytes:
        said = f"{topic}: max.message.bytes is {size:,}, and a record of it may need {each.bytes:,}"
        yield f"{said}; {_alter(each, 'max.message.bytes', str(each.bytes))}"


def kept_ms(topic: str, cluster: Cluster) -> int:
    """How long a topic of clean-up delete keeps a record, -1 = for ever, or nobody knows."""
    found = cluster.topics.get(topic)
    if found is None or found.unreadable or "delete" not in found.settings.get("cleanup.policy", "delete"):
        return -1
    return int(found.settings.get("retention.ms", ASKED["retention.ms"]))


def keep_for_ever(topic: str) -> str:
    """The command that makes a topic keep everything."""
    return _alter(wanted(topic), "retention.ms", "-1")


def _of_policy(topic: str, each: Wanted, settings: Mapping[str, str]) -> Iterator[str]:
    policy = settings["cleanup.policy"]
    if policy != each.cleanup:
        said = f"{topic}: cleanup.policy is {policy}, needed is {each.cleanup}: {_WHY[each.cleanup]}"
        yield f"{said}; {_alter(each, 'cleanup.policy', each.cleanup)}"
    kept = int(settings["retention.ms"])
    if "delete" in policy and 0 <= kept < each.least_ms:
        said = f"{topic}: retention.ms is {kept:,}, {kept / _DAY_MS:.3g} days, and a session that is taken up may need "
        said += f"{each.least_ms / _DAY_MS:.3g}: twice live.snapshot_every slices, and a long weekend"
        yield f"{said}; take snapshots more often, or {_alter(each, 'retention.ms', str(each.least_ms))}"


def _of_copies(each: Wanted, found: Described, settings: Mapping[str, str]) -> Iterator[str]:
    """What a record survives: only of topics that nobody could write again."""
    topic = f"topic {each.topic}"
    if found.replicas < REPLICAS:
        said = f"{topic}: it has a replication factor of {found.replicas}, needed are {REPLICAS}"
        yield f"{said}; reassign it to more brokers, or say live.dev: true where nothing may be lost by it"
    least = int(settings["min.insync.replicas"])
    if least < IN_SYNC:
        said = f"{topic}: min.insync.replicas is {least}, needed are {IN_SYNC}: a write that one broker has can be lost"
        yield f"{said}; {_alter(each, 'min.insync.replicas', str(IN_SYNC))}"
    if settings["unclean.leader.election.enable"] != "false":
        said = f"{topic}: unclean.leader.election.enable is true: what was written can be taken back"
        yield f"{said}; {_alter(each, 'unclean.leader.election.enable', 'false')}"


def _alter(each: Wanted, setting: str, value: str) -> str:
    """The command of Kafka's own tools that changes a setting."""
    named = f"--entity-type topics --entity-name {each.topic}"
    return f"kafka-configs.sh --bootstrap-server HOST:PORT {named} --alter --add-config {setting}={value}"
