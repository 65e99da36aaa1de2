"""`samewire fetch`: a live session, read back from its topics into a session directory."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from samewire.commands.common import AS_IT_STANDS, NO_OUTPUT, Output, Taken, say, say_json

if TYPE_CHECKING:
    from engine.clock import Clock
    from samewire.result import Result
    from samewire.run_file import RunFile


def fetch(
    run_file: Path,
    /,
    *,
    out: Path,
    overwrite: bool = False,
    shadow: Annotated[bool, Parameter(help="The session that ran with --shadow.", negative="")] = False,
    taken: Taken = AS_IT_STANDS,
    output: Output = NO_OUTPUT,
) -> int:
    """Reads a live session back from Kafka: the directory that a replay writes, of one that runs as far as it is.

    Everything that it was given is run again, and what follows is compared with what it decided; at a difference what
    was recorded is kept as NAME.failed. The journal is the session's own: `samewire verify` proves it once more.

    Parameters
    ----------
    run_file
        The YAML file that it runs with.
    out
        Session directory to write: tables, journal, models, report.
    overwrite
        Replace the session directory that is there.
    """
    from engine.clock import SystemClock

    run = taken.load(run_file, live=True)
    result, said = asyncio.run(_fetched(run, out, overwrite, shadow, SystemClock()))
    if output.json:
        say_json({"ok": True, **said, "directory": str(out), "summary": result.summary})
        return 0
    say(repr(result))
    say(f"  session {said['session']}, run {said['run_id']}: {said['inputs']:,} inputs, {said['events']:,} events")
    say(f"  identical to what it decided, digest {said['digest']}" + ("" if said["ended"] else ", so far: it goes on"))
    return 0


async def _fetched(
    run: "RunFile", out: Path, overwrite: bool, shadow: bool, clock: "Clock"
) -> tuple["Result", dict[str, Any]]:
    from samewire.live.again import facts, past_of, reading
    from samewire.live.run_again import Place, Seen

    async with reading(run) as reader:
        past = await past_of(run, reader, shadow=shadow)
        seen = Seen(past)
        result = await seen.run(Place(out, overwrite), clock)
        return result, facts(past, seen.inputs)
