"""Daemons to be killed: `python -m tests.chaos.live.victim`, told line by line what to start.

The process imports everything once and forks a daemon for each line, so that a start costs what the daemon's start
costs and not what the interpreter's does. Each fork is a process of its own: kill -9 ends it as it would any other.

In: one JSON object a line, an Order. Out: {"pid": ...} when it has begun, later {"ended": pid, "code": ...}; a code
below 0 is a signal.
"""

import asyncio
import gc
import json
import os
import select
import signal
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tests.chaos.live.points import (
    Crash,
    CrashingOutbox,
    CrashingReader,
    Spoil,
    Trigger,
    WithoutTransactions,
    commit_first,
    read_uncommitted,
)

if TYPE_CHECKING:
    from samewire.run_file import RunFile


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One daemon: its run file, where it says what became of it, and what is to befall it."""

    run: str
    said: str  # a file: lines of JSON of what it told
    live: dict[str, Any] = {}  # instead of what the run file says under `live`
    crash: Crash | None = None
    spoil: Spoil | None = None
    broken: str = ""  # commit_first, read_uncommitted, without_transactions
    manner: dict[str, bool | str] = {}


async def lived(order: Order, run: "RunFile") -> dict[str, Any]:
    """As samewire/commands/live.py builds it, with the wrappers between."""
    from adapters.kafka.transport import Producer, Reader
    from engine.clock import SystemClock
    from samewire.build import Given, construct
    from samewire.live import writing
    from samewire.live.daemon import Daemon, Manner

    assert run.live is not None
    settings = replace(construct(run.live, Given(session=run.session.name, seed=run.session.seed)), **order.live)
    options = settings.client_options()
    if order.broken == "commit_first":
        writing.transact = commit_first
    elif order.broken == "read_uncommitted":
        read_uncommitted()
    name = settings.transaction_name(run.session.name)
    own: Any = WithoutTransactions(options) if order.broken == "without_transactions" else Producer(options, name)
    with Path(order.said).open("a", buffering=1) as file:  # noqa: ASYNC230 - a line now and then

        def tell(what: str, **more: Any) -> None:
            file.write(json.dumps({"what": what, **more}, default=str) + "\n")

        trigger = Trigger(order.crash, tell)
        reader: Any = CrashingReader(Reader(options), trigger)
        daemon = Daemon(
            run,
            settings,
            outbox=CrashingOutbox(own, trigger, order.spoil),
            reader=reader,
            clock=SystemClock(),
            manner=Manner(**({"writer": name} | order.manner)),
            tell=tell,
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, daemon.stop)
        await daemon.run()
        tell("over", **daemon.summary())
    return daemon.summary()


def child(order: Order, run: "RunFile") -> int:
    """Exit code, as the command line would have it."""
    from engine.errors import SamewireError

    try:
        asyncio.run(lived(order, run))
    except SamewireError as error:
        _note(order, what="failed", kind=type(error).__name__, text=str(error))
        return error.exit_code
    except BaseException:  # noqa: BLE001 - whatever it is, the test must see it
        _note(order, what="crashed", text=traceback.format_exc())
        return 70
    return 0


def _note(order: Order, **words: str) -> None:
    with Path(order.said).open("a") as file:
        file.write(json.dumps(words) + "\n")


def warm() -> None:
    """Imports what a daemon would import late."""
    import aiokafka.admin  # noqa: F401
    import lightgbm  # noqa: F401
    import piqp  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    import components.features.rolling_kernel
    import components.models.tree_walker_kernel  # noqa: F401
    import samewire.commands.live
    import samewire.live.daemon
    import samewire.schema  # noqa: F401


def prepared(path: str) -> "RunFile":
    """Reads a run file and imports what it names, so that no daemon needs to; nothing of it has run."""
    from samewire.live import daemon
    from samewire.prepare import feed_of
    from samewire.provenance import own_code
    from samewire.schema import load_run

    run, code = load_run(Path(path)), own_code()
    daemon.own_code = lambda: code
    feed_of(run)
    if run.execution is not None and run.execution.use == "rl":
        import torch  # noqa: F401
    gc.collect()
    gc.freeze()
    return run


def say(words: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def main() -> None:
    warm()
    say({"ready": os.getpid()})
    running: set[int] = set()
    known: dict[str, Any] = {}  # path of a run file -> what it says
    decode = msgspec.json.Decoder(Order).decode
    stdin = os.fdopen(0, "rb", buffering=0)
    while True:
        found, _, _ = select.select([stdin], [], [], 0.005 if running else None)
        if found:
            line = stdin.readline()
            if not line:
                break
            order = decode(line)
            if order.run not in known:
                known[order.run] = prepared(order.run)
            pid = os.fork()
            if pid == 0:
                os._exit(child(order, known[order.run]))
            running.add(pid)
            say({"pid": pid})
        for pid in sorted(running):
            ended, status, used = os.wait4(pid, os.WNOHANG)
            if ended:
                running.discard(pid)
                cpu_s = used.ru_utime + used.ru_stime
                say({"ended": pid, "code": os.waitstatus_to_exitcode(status), "cpu_s": cpu_s})
    for pid in running:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
