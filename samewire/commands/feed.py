"""`samewire feed`: recorded bars, published as a live feed would publish them."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from engine.errors import ConfigError
from samewire.commands.common import AS_IT_STANDS, NO_OUTPUT, Output, Taken, say, say_json, table

if TYPE_CHECKING:
    from adapters.kafka.faults import Faults, Sending, Tally
    from adapters.kafka.settings import Kafka
    from engine.clock import Clock
    from engine.events import Event
    from samewire.run_file import RunFile

Share = Annotated[float, Parameter(show_default=True)]


@Parameter(name="*")
@dataclass(frozen=True)
class To:
    """Where bars are published: as the run file's section live says, unless it is said here."""

    kafka: Annotated[
        str, Parameter(help="HOST:PORT of a broker, else of live, else of SAMEWIRE_KAFKA.", show_default=False)
    ] = ""
    env: Annotated[
        str, Parameter(help="First part of the names of topics, else of live, else dev.", show_default=False)
    ] = ""
    partitions: Annotated[int, Parameter(help="Of a topic that is made.")] = 4

    def settings(self, run: "RunFile") -> "Kafka":
        """The run file's, with what is said here in their place."""
        from adapters.kafka.address import servers
        from adapters.kafka.settings import Kafka
        from adapters.kafka.topics import Topic
        from samewire.connection import settings_of

        if self.env:
            Topic(self.env, "bars", "1d")  # an environment that cannot be is told before anything is opened
        if self.kafka:
            servers(self.kafka)
        known = Kafka() if run.live is None else settings_of(run)
        return replace(known, servers=self.kafka or known.servers, env=self.env or known.env)


@Parameter(name="*")
@dataclass(frozen=True)
class Wrong:
    """What goes wrong, as shares of bars from 0 to 1."""

    delay: Annotated[float, Parameter(help="Published late.")] = 0.0
    reorder: Annotated[float, Parameter(help="Published out of order within their slice.")] = 0.0
    duplicate: Annotated[float, Parameter(help="Published twice.")] = 0.0
    correct: Annotated[float, Parameter(help="Published wrong first, then corrected.")] = 0.0
    drop: Annotated[float, Parameter(help="Never published.")] = 0.0
    delay_s: Annotated[float, Parameter(help="How late, in seconds of history; 0 = two intervals.")] = 0.0
    seed: Annotated[int, Parameter(help="The same seed, the same faults.")] = 0

    def faults(self) -> "Faults":
        from adapters.kafka.faults import Faults

        try:
            return Faults(
                delay=self.delay,
                reorder=self.reorder,
                duplicate=self.duplicate,
                correct=self.correct,
                drop=self.drop,
                delay_ns=round(self.delay_s * 1e9),
                seed=self.seed,
            )
        except (ValueError, OverflowError) as error:
            raise ConfigError(f"feed: {error}") from None


def feed(
    run_file: Path,
    /,
    *,
    speed: str = "max",
    to: To = To(),
    wrong: Wrong = Wrong(),
    taken: Taken = AS_IT_STANDS,
    output: Output = NO_OUTPUT,
) -> int:
    """Publishes the bars of a run file's feed, over the days of its session, one record a symbol and bar.

    Parameters
    ----------
    run_file
        The YAML file.
    speed
        How fast history passes: 60x is a minute a second, 1x as it was, max as fast as possible.
    """
    from samewire.logs import configure

    run, pace, faults = taken.load(run_file), pace_of(speed), wrong.faults()
    from engine.clock import SystemClock

    clock = SystemClock()
    configure(output.log_format, clock=clock)
    begun = clock.monotonic_ns()
    said = asyncio.run(_published(run, pace, to, faults, clock))
    said["wall_s"] = round((clock.monotonic_ns() - begun) / 1e9, 3)
    if output.json:
        say_json({"ok": True, **said})
        return 0
    for topic, count in said.pop("topics").items():
        say(f"{topic}: {count} records")
    say(table([(name.replace("_", " "), str(value)) for name, value in said.items()]))
    return 0


def pace_of(speed: str) -> float:
    """Seconds of history that pass in one second, 0 = as fast as possible.

    >>> pace_of("60x"), pace_of("0.5x"), pace_of("max")
    (60.0, 0.5, 0.0)
    """
    if speed == "max":
        return 0.0
    try:
        pace = float(speed.removesuffix("x"))
    except ValueError:
        pace = 0.0
    if not 0.0 < pace < float("inf"):
        raise ConfigError(f"--speed {speed!r}: expected a factor above 0 such as 60x, or max")
    return pace


async def _published(run: "RunFile", pace: float, to: To, faults: "Faults", clock: "Clock") -> dict[str, Any]:
    from adapters.kafka.codec import Codec, Origin
    from adapters.kafka.faults import Tally
    from adapters.kafka.publish import Publisher, publish
    from samewire.pacing import Paced
    from samewire.prepare import feed_of, walk_of
    from samewire.schema import config_hash

    settings = to.settings(run)
    settings.where()
    universe = feed_of(run).universe
    origin = Origin(daemon=run.session.name, config_hash=config_hash(run))
    tally, others = Tally(), [0]
    sendings = _sendings(walk_of(run)(), faults, tally, others)
    source = Paced(sendings, pace=pace, clock=clock) if pace else sendings
    if to.partitions < 1:
        raise ConfigError(f"--partitions {to.partitions}: a topic has at least one")
    async with Publisher(settings, partitions=to.partitions, clock=clock) as publisher:
        await publish(source, Codec(settings.env, universe, origin), publisher, in_step=pace > 0)
    shown = {name: getattr(tally, name) for name in tally.__struct_fields__}
    return {"topics": publisher.topics, **shown, "other_events": others[0]}


async def _sendings(
    events: Iterable["Event"], faults: "Faults", tally: "Tally", others: list[int]
) -> AsyncIterator["Sending"]:
    from adapters.kafka.faults import schedule
    from engine.events import Bars

    def slices() -> Iterator[Bars]:
        for event in events:
            if isinstance(event, Bars):
                yield event
            else:
                others[0] += 1  # actions, references, timers: not of this topic

    for sending in schedule(slices(), faults, tally):
        yield sending
