"""`samewire topics`: the topics of a live session, what they must be, what is there, and what is missing made."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from engine.errors import ConfigError
from samewire.commands.common import AS_IT_STANDS, NO_OUTPUT, Output, Taken, say, say_json

if TYPE_CHECKING:
    from adapters.kafka.settings import Kafka
    from samewire.topics_report import Report


def topics(
    run_file: Path,
    /,
    *,
    create: Annotated[bool, Parameter(help="Makes those that are missing.", negative="")] = False,
    partitions: Annotated[
        int, Parameter(help="Of a topic of bars that is made, 0 = 4; others have one.", show_default=False)
    ] = 0,
    shadow: Annotated[bool, Parameter(help="Those of a session that sends no orders.", negative="")] = False,
    taken: Taken = AS_IT_STANDS,
    output: Output = NO_OUTPUT,
) -> int:
    """Lists the topics that a live session of a run file reads and writes, with everything that is wrong with them.

    Parameters
    ----------
    run_file
        The YAML file; its section live says which cluster.
    """
    from samewire.connection import settings_of, start_of
    from samewire.prepare import feed_of
    from samewire.topics_report import looked_at

    if partitions < 0:
        raise ConfigError(f"--partitions {partitions}: a topic has at least one")
    run = taken.load(run_file, live=True)
    settings = settings_of(run)
    settings.where()  # told before a feed is opened
    start = start_of(run, feed_of(run), settings, shadow=shadow, create=f"samewire topics {run_file} --create")
    report = asyncio.run(looked_at(settings, start, make=create, partitions=partitions))
    if output.json:
        say_json(report.as_json())
    else:
        _print(report, settings, start.create)
    return 0 if report.ok else 1


def _print(report: "Report", settings: "Kafka", create: str) -> None:
    brokers = "1 broker" if report.brokers == 1 else f"{report.brokers} brokers"
    say(f"cluster {report.cluster} at {settings.where().address}, {brokers}")
    for each in report.topics:
        say(f"{each.state:<8}  {each.topic}  {_laid_out(each)}")
        for problem in each.problems if each.state == "wrong" else ():
            say(f"{'':<10}{problem.removeprefix(f'topic {each.topic}: ')}")
    for problem in report.problems:
        say(problem)
    missing = sum(each.state == "missing" for each in report.topics)
    if missing:
        say(f"{missing} missing; make them: {create}")


def _laid_out(each: Any) -> str:
    if not each.partitions:
        return f"would have {_count(each.wanted_partitions, 'partition')}, {each.cleanup}"
    return f"{_count(each.partitions, 'partition')}, {_count(each.replicas, 'replica')}, {each.cleanup}"


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
