"""Names of the topics, what a topic of each kind holds, and how it is laid out."""

import re
from types import MappingProxyType
from typing import Any

import msgspec

from adapters.files.when import interval_text
from adapters.kafka.messages import (
    BarMessage,
    ControlMessage,
    DeadLetterMessage,
    FillMessage,
    LateMessage,
    OrderMessage,
    RefusalMessage,
    SignalMessage,
    StatusMessage,
    TargetMessage,
)
from engine.errors import ConfigError

VERSION = 1
_SHADOW = ".shadow"  # a name holds no dot: no session can have what a shadow has
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # a dot parts names, and Kafka reports `.` and `_` as the same
_DAY_MS = 86_400_000
FOR_EVER = -1


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """Topics of one kind: `<env>.<kind>.<name>.v1`."""

    message: type[Any]
    holds: str  # what one record is
    named_by: str  # what the name is
    key: str
    ce_type: str
    direction: str  # send or receive, as a session does
    partitions: int  # what `create` makes; fixed from then on
    cleanup: str = "delete"
    retention_ms: int = 30 * _DAY_MS
    public: bool = True  # others may rely on what stands in it


KINDS: MappingProxyType[str, Kind] = MappingProxyType(
    {
        "bars": Kind(
            message=BarMessage,
            holds="one bar of one instrument",
            named_by="interval",
            key="instrument",
            ce_type="samewire.bars.bar.v1",
            direction="receive",
            partitions=4,
        ),
        "signals": Kind(
            message=SignalMessage,
            holds="what one model says of all instruments at the end of one slice",
            named_by="source",
            key="source",
            ce_type="samewire.signals.slice.v1",
            direction="send",
            partitions=1,
        ),
        "targets": Kind(
            message=TargetMessage,
            holds="what one strategy wants of all instruments at the end of one slice",
            named_by="source",
            key="source",
            ce_type="samewire.targets.slice.v1",
            direction="send",
            partitions=1,
        ),
        "orders": Kind(
            message=OrderMessage,
            holds="one approved order, cancellation or replacement",
            named_by="account",
            key="order id",
            ce_type="samewire.orders.leg.v1",
            direction="send",
            partitions=1,
            retention_ms=366 * _DAY_MS,
        ),
        "fills": Kind(
            message=FillMessage,
            holds="one execution",
            named_by="account",
            key="order id",
            ce_type="samewire.fills.fill.v1",
            direction="receive",
            partitions=1,
            retention_ms=366 * _DAY_MS,
        ),
        "refusals": Kind(
            message=RefusalMessage,
            holds="one order, cancellation or replacement that was refused",
            named_by="account",
            key="order id",
            ce_type="samewire.refusals.leg.v1",
            direction="send",
            partitions=1,
            retention_ms=366 * _DAY_MS,
        ),
        "late": Kind(
            message=LateMessage,
            holds="one bar that came after its slice was cut",
            named_by="interval",
            key="instrument",
            ce_type="samewire.late.bar.v1",
            direction="send",
            partitions=1,
        ),
        "deadletter": Kind(
            message=DeadLetterMessage,
            holds="one record that could not be used",
            named_by="session",
            key="topic it lies in",
            ce_type="samewire.deadletter.record.v1",
            direction="send",
            partitions=1,
        ),
        "control": Kind(
            message=ControlMessage,
            holds="what an operator asks",
            named_by="session",
            key="session",
            ce_type="samewire.control.request.v1",
            direction="receive",
            partitions=1,
            retention_ms=366 * _DAY_MS,
        ),
        "status": Kind(
            message=StatusMessage,
            holds="how a session is",
            named_by="session",
            key="session",
            ce_type="samewire.status.session.v1",
            direction="send",
            partitions=1,
            cleanup="compact",
            retention_ms=FOR_EVER,
        ),
        "journal": Kind(
            message=bytes,
            holds="where a session is, and what it decided, after one slice",
            named_by="session",
            key="session",
            ce_type="samewire.journal.slice.v1",
            direction="send",
            partitions=1,
            retention_ms=366 * _DAY_MS,
            public=False,
        ),
        "snapshots": Kind(
            message=bytes,
            holds="a piece of a session's whole state",
            named_by="session",
            key="session and piece",
            ce_type="samewire.snapshots.piece.v1",
            direction="send",
            partitions=1,
            cleanup="compact",
            retention_ms=FOR_EVER,
            public=False,
        ),
    }
)
# Those that readers who know nothing of the engine may rely on; the others are a session's own.
PUBLIC: MappingProxyType[str, Kind] = MappingProxyType({name: kind for name, kind in KINDS.items() if kind.public})


class Topic(msgspec.Struct, frozen=True, order=True):
    """A topic by the parts of its name."""

    env: str  # e.g. prod; prod.shadow is that of the shadows of prod
    kind: str
    name: str
    version: int = VERSION

    def __post_init__(self) -> None:
        for part, said in (("environment", self.env), ("name", self.name)):
            if not _NAME.fullmatch(said.removesuffix(_SHADOW) if part == "environment" else said):
                rule = "letters, digits, _ and -, at most 64, with a letter or digit first"
                raise ConfigError(f"topic: {said!r} cannot be its {part}; take {rule}")
        if self.kind not in KINDS:
            raise ConfigError(f"topic: no kind is called {self.kind!r}; expected one of: {', '.join(KINDS)}")

    def __str__(self) -> str:
        return f"{self.env}.{self.kind}.{self.name}.v{self.version}"


def parse_topic(text: str) -> Topic:
    """The parts of a name.

    >>> parse_topic("prod.signals.gbdt.v1")
    Topic(env='prod', kind='signals', name='gbdt', version=1)
    >>> str(parse_topic("prod.signals.gbdt.v1"))
    'prod.signals.gbdt.v1'
    """
    match = re.fullmatch(rf"([^.]+(?:{re.escape(_SHADOW)})?)\.([^.]+)\.([^.]+)\.v([1-9][0-9]{{0,3}})", text)
    if match is None:
        raise ConfigError(f"topic: {text!r} is no topic of a session; they are named ENV.KIND.NAME.v1")
    env, kind, name, version = match.groups()
    return Topic(env, kind, name, int(version))


def shadow_of(name: str) -> str:
    """The environment, or the transactional id, that a shadow has in the place of this one.

    >>> str(Topic(shadow_of("prod"), "journal", "quick"))
    'prod.shadow.journal.quick.v1'
    """
    return name + _SHADOW


def of_shadow(name: str) -> bool:
    return name.endswith(_SHADOW)


def interval_name(interval_ns: int) -> str:
    """How bars of an interval are called in the name of their topic.

    >>> interval_name(60 * 10**9), interval_name(86_400 * 10**9), interval_name(90 * 10**9), interval_name(5)
    ('1m', '1d', '90s', '5ns')
    """
    return interval_text(interval_ns).replace(" ", "")
