"""From a run file to its Kafka: the settings of `live`, the topics of its session, what a start has to pass."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adapters.kafka.checks import Start
from adapters.kafka.layout import Wanted, wanted
from adapters.kafka.settings import Kafka
from adapters.kafka.topics import KINDS, Topic, interval_name
from engine.errors import ConfigError
from engine.protocols import Feed
from samewire.build import Given, construct
from samewire.run_file import RunFile
from samewire.secret_text import SecretRef

_OF_ACCOUNT = ("orders", "fills", "refusals")  # which a shadow does not write


def settings_of(run: RunFile) -> Kafka:
    """What the run file says under `live`, its secrets read; without that section the defaults."""
    if run.live is None:
        return Kafka()
    made = construct(run.live, Given(session=run.session.name, seed=run.session.seed))
    if not isinstance(made, Kafka):
        raise ConfigError(
            f"{run.live.where}: live: {run.live.use} is not the settings of a Kafka cluster; say use: kafka"
        )
    return made


def secret_files(run: RunFile) -> tuple[Path, ...]:
    """The files that `live` says its secrets lie in."""
    return () if run.live is None else tuple(_files(run.live.options))


def _files(value: Any) -> Iterator[Path]:
    if isinstance(value, SecretRef) and value.path is not None:
        yield value.path
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for each in inner:
        yield from _files(each)


def topics_of(run: RunFile, feed: Feed, settings: Kafka, *, shadow: bool = False) -> tuple[Wanted, ...]:
    """Every topic that a live session of this run file reads and writes, in the order of their kinds.

    A shadow reads the bars of the environment, writes to one of its own, and sends no orders. A name that cannot stand
    in that of a topic is a ConfigError.
    """
    intervals = sorted({feed.interval_ns, *getattr(feed, "intervals", ())})
    snapshot_ns = settings.snapshot_every * intervals[0]
    names: dict[str, tuple[str, ...]] = {
        "interval": tuple(map(interval_name, intervals)),
        "account": (settings.account,),
        "session": (run.session.name,),
        "signals": tuple(spec.component.name for spec in run.models),
        "targets": tuple(component.name for component in run.strategies),
    }
    found = []
    for kind, known in KINDS.items():
        if shadow and kind in _OF_ACCOUNT:
            continue
        env = settings.environment(shadow=shadow and kind != "bars")
        for name in names[kind] if known.named_by == "source" else names[known.named_by]:
            found.append(wanted(str(Topic(env, kind, name)), snapshot_ns=snapshot_ns, past=settings.dev))
    return tuple(found)


def start_of(run: RunFile, feed: Feed, settings: Kafka, *, shadow: bool = False, create: str = "") -> Start:
    """The start of a session of this run file, as adapters.kafka.checks looks at it.

    What its journal recorded is added by whoever has read it: `msgspec.structs.replace(start, partitions=...)`.
    """
    return Start(
        session=run.session.name,
        wanted=topics_of(run, feed, settings, shadow=shadow),
        orders=not shadow,
        secrets=secret_files(run),
        create=create or f"samewire topics {run.feed.where.origin.name} --create",
    )
