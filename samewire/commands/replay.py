"""`samewire replay`: a backtest."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from engine.errors import ConfigError
from samewire.commands.common import AS_IT_STANDS, NO_OUTPUT, Output, Taken, say, say_json

if TYPE_CHECKING:
    from samewire.result import Result
    from samewire.run_file import RunFile


@Parameter(name="*")
@dataclass(frozen=True)
class Over:
    """Which history, and how it passes."""

    pace: Annotated[
        float | None,
        Parameter(
            help="Seconds of history that pass in one second, e.g. 86400: a day a second; as fast as possible without."
        ),
    ] = None
    as_seen: Annotated[
        bool,
        Parameter(
            help="What the live session of this run file saw, bar by bar as it was cut; 1 where it decides otherwise.",
            negative="",
        ),
    ] = False
    as_final: Annotated[
        bool,
        Parameter(
            help="The bars of its live session as they are now: late ones in their slices, corrected ones corrected.",
            negative="",
        ),
    ] = False
    shadow: Annotated[
        bool,
        Parameter(help="With --as-seen or --as-final: of the session that ran with --shadow.", negative=""),
    ] = False


FILES = Over()


def replay(
    run_file: Path,
    /,
    *,
    taken: Taken = AS_IT_STANDS,
    out: Path | None = None,
    overwrite: bool = False,
    over: Over = FILES,
    output: Output = NO_OUTPUT,
) -> int:
    """Runs a run file over history and prints the figures.

    Parameters
    ----------
    run_file
        The YAML file.
    out
        Session directory to write: tables, journal, report. Nothing is written when left out.
    overwrite
        Replace the session directory that is there.
    """
    pace = over.pace
    if pace is not None and not 0 < pace < float("inf"):
        raise ConfigError(f"--pace {pace}: pace must be above 0 and finite, in seconds of history a second")
    run = taken.load(run_file, live=over.as_seen or over.as_final)
    if over.as_seen or over.as_final:
        from samewire.commands.looking_back import look_back
        from samewire.live.run_again import Place

        if over.as_seen and over.as_final:
            raise ConfigError("--as-seen and --as-final: name one of the two")
        if pace is not None:
            raise ConfigError("--pace is for history from files; leave it out")
        return look_back(run, Place(out, overwrite), output, final=over.as_final, shadow=over.shadow)
    if over.shadow:
        raise ConfigError("--shadow is of a live session; say --as-seen or --as-final too, or leave it out")
    result = run_with_progress(run, out, overwrite, output, pace or 0.0)
    if output.json:
        say_json(as_json(result))
        return 0
    say(repr(result))
    if out is None:
        say(f"  nothing was written; --out runs/{run.session.name} keeps tables, journal and report")
    else:
        say(f"  report {out / 'report.html'}")
    return 0


def as_json(result: "Result") -> dict[str, Any]:
    directory = None if result.directory is None else str(result.directory)
    return {"ok": True, "directory": directory, "summary": result.summary}


def run_with_progress(run: "RunFile", out: Path | None, overwrite: bool, output: Output, pace: float = 0.0) -> "Result":
    """Runs to the end with logs and progress on stderr."""
    import structlog

    from engine.clock import SystemClock
    from samewire.execute import execute
    from samewire.logs import bound_run, configure
    from samewire.pacing import Manner
    from samewire.progress import showing
    from samewire.schema import config_hash

    clock = SystemClock()
    configure(output.log_format, clock=clock)
    log = structlog.get_logger("samewire.replay")
    with bound_run(config_hash(run), clock) as run_id, showing(clock, quiet=output.quiet) as show:
        log.info("session.started", name=run.session.name)
        work = execute(run, out=out, overwrite=overwrite, on_progress=show, clock=clock, manner=Manner(run_id, pace))
        result = asyncio.run(work)
        log.info("session.finished", digest=result.summary.get("digest"), slices=result.summary.get("slices"))
    return result
