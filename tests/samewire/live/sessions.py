"""Live sessions for tests: fed, decided, stopped and taken up again over a real broker, in this process."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from adapters.kafka.codec import Codec, Origin
from adapters.kafka.messages import ControlMessage
from adapters.kafka.transport import Producer, Reader, transact
from engine.clock import SystemClock
from engine.event_columns import PLANS
from engine.events import Watermark
from engine.journal import content_of
from engine.state import encode_hook
from samewire import load_run
from samewire.cli import main
from samewire.connection import settings_of
from samewire.live.daemon import AS_USUAL, Daemon, Manner
from samewire.prepare import feed_of
from samewire.recorded import open_recorded
from samewire.run_file import RunFile

_encoder = msgspec.msgpack.Encoder(enc_hook=encode_hook)
QUICK = ("live.dev=true", "live.batch_ms=0")


class Ground:
    """A run file in an environment of its own, its topics made."""

    def __init__(self, run_file: Path, address: str, env: str, *settings: str) -> None:
        self.path, self.env = str(run_file), env
        said = (f"live.env={env}", f"live.servers={address}", *QUICK, *settings)
        self._set = [part for each in said for part in ("--set", each)]
        self._settings, self._address = said, address

    @property
    def run(self) -> RunFile:
        return load_run(self.path, self._settings, live=True)

    async def command(self, name: str, *arguments: str) -> int:
        """A command of samewire, in a thread: it has a loop of its own."""
        return await asyncio.to_thread(main, [name, self.path, *self._set, *arguments])

    def process(self, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """The same in a process of its own, for those that listen to signals."""
        said = [sys.executable, "-m", "samewire", name, self.path, *self._set, *arguments]
        return subprocess.run(said, capture_output=True, text=True, check=False, timeout=120)

    async def feed(self, *wrong: str, partitions: int = 3) -> None:
        assert await self.command("topics", "--create", "--partitions", str(partitions)) == 0
        shared = ("--kafka", self._address, "--env", self.env, "--partitions", str(partitions))
        assert await asyncio.to_thread(main, ["feed", self.path, *self._set, *shared, *wrong]) == 0

    async def live(self, *, until: int | None = None, kill: bool = False, manner: Manner = AS_USUAL) -> dict[str, Any]:
        """Decides until the session ends, or so many slices are done; then it is stopped in order, or cut off."""
        run = self.run
        settings = settings_of(run)
        options, name = settings.client_options(), settings.transaction_name(run.session.name)
        clock = SystemClock()
        outbox, reader = Producer(options, name), Reader(options)
        daemon = Daemon(run, settings, outbox=outbox, reader=reader, clock=clock, manner=manner)
        running = asyncio.create_task(daemon.run())
        async with asyncio.timeout(300):
            if until is not None:
                await asyncio.wait((running, daemon.ready), return_when=asyncio.FIRST_COMPLETED)
                while not running.done() and daemon.summary().get("slices", 0) < until:  # noqa: ASYNC110 - it says so to nobody
                    await asyncio.sleep(0)
                running.cancel() if kill else daemon.stop()
            await asyncio.gather(running, return_exceptions=kill)
        return daemon.summary()

    async def ask(self, action: str, **said: str) -> None:
        """What an operator asks of the session."""
        run = self.run
        codec = Codec(self.env, feed_of(run).universe, Origin(daemon=run.session.name))
        asked = ControlMessage(id="", ts=SystemClock().now_ns(), action=action, by="test", **said)
        outbox = Producer(settings_of(run).client_options(), f"ask-{self.env}")
        await outbox.start()
        await transact(outbox, [codec.control(asked)])
        await outbox.close()


def events_of(directory: Path) -> Iterator[tuple[str, str, bytes, bytes]]:
    """Every event of a session directory but watermarks: who said it, its kind, plain values and columns."""
    for entry in open_recorded(directory).entries():
        if entry.kind == Watermark.__name__:
            continue
        event = entry.event
        if event is None:  # features: the digest of a run covers them
            yield entry.origin, entry.kind, _encoder.encode(entry.plain), b""
        else:
            plan = PLANS[event.__class__]
            yield entry.origin, entry.kind, _encoder.encode(plan.values(event)), content_of(plan, event)


def first_apart(one: Sequence[Any], other: Sequence[Any]) -> str:
    """Where two sessions differ first; empty where they do not."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return f"event {place}: {a[:2]} {_decoded(a[2])} and {b[:2]} {_decoded(b[2])}"
    return "" if len(one) == len(other) else f"{len(one)} and {len(other)} events"


def _decoded(plain: bytes) -> Any:
    return msgspec.msgpack.decode(plain)
