"""`samewire verify`: whether a recorded session would be decided the same again."""

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from samewire.commands.common import NO_OUTPUT, Allow, Output, allowed, say, say_json

IDENTICAL, DIFFERENT = 0, 1


def verify(
    directory: Path,
    /,
    *,
    since: Annotated[str, Parameter(name="--from")] = "",
    allow: Allow = (),
    output: Output = NO_OUTPUT,
) -> int:
    """Feeds the recorded inputs of a session alone through its wiring and compares every event.

    Says that all are identical, or shows the first that differs and what is likely to have made it differ. The exit
    code is 1 then.

    Parameters
    ----------
    directory
        The session directory.
    since
        Begin behind the last snapshot: `last`, or the last before this day or instant in UTC, of those that are not
        damaged. All of it when left out.
    """
    from samewire.commands.tap import instant
    from samewire.event_rows import stamp
    from samewire.recorded import open_recorded
    from samewire.snapshots import latest
    from samewire.verifying import as_json, lines
    from samewire.verifying import verify as check

    recorded = open_recorded(directory, allowed(allow))
    snapshot, passed = None, list[str]()
    if since:
        snapshot = latest(directory / "journal", None if since == "last" else instant(since), passed)
    verdict = asyncio.run(check(recorded, snapshot=snapshot))
    if output.json:
        say_json(as_json(verdict) | {"passed_over": passed})
    else:
        for line in lines(verdict, stamp):
            say(line)
        for each in passed:
            say(f"  passed over: {each}")
    return IDENTICAL if verdict.identical else DIFFERENT
