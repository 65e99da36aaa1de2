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
from pathlib import Path
from typing import Any

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


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One daemon: its run file, where it says what became of it, and what is to befall it."""

    run: str
    said: str  # a file: lines of JSON of what it told
    sets: list[str] = []  # as --set
    crash: Crash | None = None
    spoil: Spoil | None = None
    broken: str = ""  # commit_first, read_uncommitted, without_transactions
    manner: dict[str, bool] = {}


async def lived(order: Order) -> dict[str, Any]:
    """As samewire/commands/live.py builds it, with the wrappers between."""
    from adapters.kafka.transport import Producer, Reader
    from engine.clock import SystemClock
    from samewire.commands.live import settings_of
    from samewire.live import writing
    from samewire.live.daemon import Daemon, Manner
    from samewire.schema import load_run

    run = load_run(Path(order.run), order.sets)
    settings = settings_of(run)
    options = settings.client_options()
    if order.broken == "commit_first":
        writing.transact = commit_first
    elif order.broken == "read_uncommitted":
        read_uncommitted()
    name = settings.transaction_name(run.session.name)
    own: Any = WithoutTransactions(options) if order.broken == "without_transactions" else Producer(options, name)
    with open(order.said, "a", buffering=1) as file:

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
            manner=Manner(**order.manner),
            tell=tell,
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, daemon.stop)
        await daemon.run()
        tell("over", **daemon.summary())
    return daemon.summary()


def child(order: Order) -> int:
    """Exit code, as the command line would have it."""
    from engine.errors import SamewireError

    try:
        asyncio.run(lived(order))
    except SamewireError as error:
        with open(order.said, "a") as file:
            file.write(json.dumps({"what": "failed", "kind": type(error).__name__, "text": str(error)}) + "\n")
        return error.exit_code
    except BaseException:
        with open(order.said, "a") as file:
            file.write(json.dumps({"what": "crashed", "text": traceback.format_exc()}) + "\n")
        return 70
    return 0


def warm() -> None:
    """Imports what a daemon would import late."""
    import aiokafka.admin  # noqa: F401
    import lightgbm  # noqa: F401
    import piqp  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    import samewire.live.daemon
    import samewire.schema  # noqa: F401

    gc.collect()
    gc.freeze()


def say(words: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def main() -> None:
    warm()
    say({"ready": os.getpid()})
    running: set[int] = set()
    decode = msgspec.json.Decoder(Order).decode
    stdin = os.fdopen(0, "rb", buffering=0)
    while True:
        found, _, _ = select.select([stdin], [], [], 0.005 if running else None)
        if found:
            line = stdin.readline()
            if not line:
                break
            order = decode(line)
            pid = os.fork()
            if pid == 0:
                os._exit(child(order))
            running.add(pid)
            say({"pid": pid})
        for pid in sorted(running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                running.discard(pid)
                say({"ended": pid, "code": os.waitstatus_to_exitcode(status)})
    for pid in running:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
