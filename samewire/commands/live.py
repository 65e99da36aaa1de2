"""`samewire live`: the daemon."""

import asyncio
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from samewire.commands.common import AS_IT_STANDS, NO_OUTPUT, Output, Taken, allowed, say_json

if TYPE_CHECKING:
    from adapters.kafka.settings import Kafka
    from engine.clock import Clock
    from samewire.live.daemon import Manner
    from samewire.run_file import RunFile


Tell = Callable[..., None]


@Parameter(name="*")
@dataclass(frozen=True)
class Asked:
    """How it begins."""

    shadow: Annotated[
        bool, Parameter(help="Decide and publish to topics of its own (<env>.shadow), send no orders.", negative="")
    ] = False
    new: Annotated[
        bool, Parameter(help="Begin a new session, whatever the journal holds of one of this name.", negative="")
    ] = False
    changed_code: Annotated[
        bool,
        Parameter(help="Go on with other code than the session ran with, if it decides the same.", negative=""),
    ] = False


AS_USUAL = Asked()


def live(
    run_file: Path,
    /,
    *,
    asked: Asked = AS_USUAL,
    taken: Taken = AS_IT_STANDS,
    output: Output = NO_OUTPUT,
) -> int:
    """Runs the wiring of a run file on bars from Kafka, exactly once, until SIGTERM or the session's last day.

    Started again it goes on where it stood, once everything that it decided since its last snapshot came out the same.

    Parameters
    ----------
    run_file
        The YAML file; its section `live` names the broker.
    """
    asked_to_end: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):  # from here on a signal interrupts nothing: it is looked at
        signal.signal(number, lambda number, frame: asked_to_end.append(number))
    from engine.clock import SystemClock
    from samewire.connection import settings_of
    from samewire.live.daemon import Manner
    from samewire.logs import configure

    run, clock = taken.load(run_file, live=True), SystemClock()
    configure(output.log_format, clock=clock, level="warning" if output.quiet else "info")
    manner = Manner(allow=allowed(taken.allow), new=asked.new, changed_code=asked.changed_code, shadow=asked.shadow)
    words = output.log_format == "console" or (output.log_format == "auto" and sys.stderr.isatty())
    through = (clock, _teller(run.session.name, words=words), asked_to_end)
    said = asyncio.run(_lived(run, settings_of(run), manner, through))
    if output.json:
        say_json({"ok": True, **said})
    return 0


def _teller(session: str, *, words: bool) -> Tell:
    """Writes the lines of the log: all fields for machines, and for people the sentence where there is one."""
    import structlog

    log: Any = structlog.get_logger("samewire.live")
    if words:
        return lambda what, **more: log.info(more["said"]) if "said" in more else log.info(what, **more)
    tell: Tell = log.bind(session=session).info
    return tell


async def _lived(
    run: "RunFile", settings: "Kafka", manner: "Manner", through: tuple["Clock", Tell, list[int]]
) -> dict[str, Any]:
    from adapters.kafka.checks import check
    from adapters.kafka.layout import kept_ms
    from adapters.kafka.transport import Producer, Reader
    from samewire.connection import start_of
    from samewire.live.daemon import Daemon
    from samewire.prepare import feed_of

    clock, tell, asked_to_end = through
    feed = feed_of(run)
    start = start_of(run, feed, settings, shadow=manner.shadow)
    cluster = await check(settings, start)
    options = settings.client_options()
    name = settings.transaction_name(run.session.name, shadow=manner.shadow)
    journal = next(each.topic for each in start.wanted if each.kind == "journal")
    manner = msgspec.structs.replace(
        manner, writer=name, cluster=cluster.id, journal_ms=kept_ms(journal, cluster)
    )  # fmt: skip
    outbox, reader = Producer(options, name), Reader(options)
    daemon = Daemon(
        run, settings, outbox=outbox, reader=reader, clock=clock, feed=feed, manner=manner, tell=tell
    )  # fmt: skip
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, daemon.stop)
    if asked_to_end:  # before anybody listened
        daemon.stop()
    await daemon.run()
    return daemon.summary()
