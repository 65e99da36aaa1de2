"""The places of `training.sinks`, told of runs while these are trained, or later."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec

from adapters.tracking.delivery import Delivered, Delivery, RunSink
from adapters.tracking.telling import Told, told_meanwhile
from engine.clock import Clock
from engine.errors import ConfigError
from samewire.build import Given, construct
from samewire.hiding import hider
from samewire.run_file import RunFile
from samewire.training_plan import section_of


def telling(run: RunFile, folder: Path, warn: Callable[[str], None], clock: Clock) -> AbstractContextManager[Told]:
    """Within it the runs of this session in the store at `folder` are told as they are recorded."""
    hide = hider()
    return told_meanwhile(folder, run.session.name, sinks_of(run), warn=lambda text: warn(hide(text)), clock=clock)


def push(run: RunFile, folder: Path) -> tuple[Delivered, ...]:
    """Tells each place what is missing there of the runs of this session in the store at `folder`; waits for them."""
    sinks = sinks_of(run)
    if not sinks:
        raise ConfigError(
            "training.sinks names no place to tell; write one, such as [{use: mlflow, uri: https://HOST}]"
        )
    places = []
    for sink in sinks:
        delivery = Delivery(folder, sink)
        sent, error = delivery.deliver(run.session.name)
        places.append(delivery.state(run.session.name, sent=sent, error=error))
    return tuple(places)


def sinks_of(run: RunFile) -> tuple[RunSink, ...]:
    """The places, built; their secrets are read here. ConfigError for two that are one."""
    given = Given(session=run.session.name, seed=run.session.seed)
    made: list[RunSink] = [construct(sink, given) for sink in section_of(run).sinks]
    if len({sink.address for sink in made}) < len(made):
        raise ConfigError("training.sinks names one place twice; leave one of them out")
    return tuple(made)


def told_lines(places: Sequence[Delivered]) -> list[str]:
    """A line for each place."""
    hide, lines = hider(), []
    for place in places:
        if place.missing or place.error:
            of = f"{place.missing} of {place.runs + place.missing} runs are not there"
            why = f": {hide(place.error)}" if place.error else ""
            lines.append(f"  NOT TOLD  {place.address}: {of}{why}; `samewire runs push` tells them later")
        else:
            lines.append(f"  told    {place.address}: {place.runs} run{'s' * (place.runs != 1)}")
    return lines


def told_words(places: Sequence[Delivered]) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = hider().inside(msgspec.to_builtins(list(places)))
    return said
