"""What the commands that look back at a live session share: its topics, its slices, what is said of it."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from adapters.kafka.codec import Codec, Origin
from adapters.kafka.source import BarRules, Sorter
from adapters.kafka.topics import Topic, interval_name
from adapters.kafka.transport import Reader
from engine.clock import Timers
from engine.course import Course
from engine.cuts import CutRules
from samewire.connection import settings_of
from samewire.live.core import all_ends, intervals_of, slicer_of, start_of
from samewire.live.expected import membership_of
from samewire.live.past import Past
from samewire.prepare import Wired, wired
from samewire.run_file import RunFile

NEVER = 1 << 61  # ns


@contextlib.asynccontextmanager
async def reading(run: RunFile) -> AsyncIterator[Reader]:
    """A reader of the cluster that the run file names."""
    reader = Reader(settings_of(run).client_options())
    try:
        await reader.start()
        yield reader
    finally:
        await reader.close()


async def past_of(run: RunFile, reader: Reader, *, shadow: bool = False) -> Past:
    return await Past(reader, settings_of(run).environment(shadow=shadow), run).open()


def facts(past: Past, inputs: int) -> dict[str, Any]:
    """What is said of a past session: its last event so far, and whether it came to its end."""
    last = past.last
    said = {"session": last.session, "run_id": last.run_id, "inputs": inputs, "events": last.events}
    return said | {"digest": last.digest.hex(), "ended": last.ended}


class Cutting:
    """A slicer as the session had it, before its first bar, and what tells bars from other records."""

    def __init__(self, past: Past, rules: CutRules) -> None:
        run = past.run
        self.built: Wired = wired(run, None, past.artefacts)  # its wiring is not used
        feed, start = self.built.feed, start_of(self.built)
        slicer = slicer_of(self.built, all_ends(self.built), rules)
        self.course = Course(
            slicer, Timers(), known=lambda since: iter(()), start=start + 1, members=membership_of(feed, start)
        )
        env = settings_of(run).env
        self.topics = {str(Topic(env, "bars", interval_name(each))): each for each in intervals_of(self.built)}
        codec = Codec(env, feed.universe, Origin(daemon=run.session.name))
        rules_of = BarRules(since=start, intervals=self.topics, skew_ns=NEVER, ahead_ns=NEVER)
        self.sorter = Sorter(codec.bar_of, rules_of)
