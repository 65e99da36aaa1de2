"""What a run leaves behind in its process: the session once more, in a fresh process, after one over another future.

All other runs of a check share one process, and with it what a component keeps on its class or its module. Whoever
fills such a cache from the whole history at the first run answers out of it ever after, whatever future it is given.
Here the first run is one over another future; then the session is run as it is, and has to be the same to the byte.
"""

import asyncio
import contextlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import ConfigError, SamewireError
from engine.event_columns import BY_NAME, PLANS
from engine.events import Event
from engine.state import pack, unpack
from samewire.again import Again, drive
from samewire.altered import Alteration, Cut, altered
from samewire.first_moved import Follower, Moved, Trail
from samewire.prepare import prepare
from samewire.run_file import RunFile, untaught
from samewire.schema import dump_run, load_run

# The modules of a user are looked for where this process looks for them, in the same order.
_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from samewire.fresh import answer; answer(sys.argv[1])"
_RUN, _ASKED, _ANSWER = "run.yaml", "asked", "answer"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a fresh process is to do."""

    cut: Cut  # `ts` says also how far is compared
    close: str | None  # when rows of files with dates become known
    first: bool  # whether another future is run first; without it only chance can differ
    inputs: list[int]  # the trail of the session as it is, up to the cut
    runs: list[tuple[bytes, ...]]


async def left_behind(again: Again, trail: Trail, cut: Cut, *, first: bool = True) -> Moved | None:
    """Where the session leaves its trail up to the cut after a run over another future; None where it does not."""
    count = sum(ts <= (cut.ts or 0) for ts in trail.inputs)
    close: str | None = getattr(again.first.feed, "close", None)
    asked = Asked(cut=cut, close=close, first=first, inputs=trail.inputs[:count], runs=trail.runs[:count])
    with tempfile.TemporaryDirectory(prefix="samewire-") as name:
        folder = Path(name)
        (folder / _RUN).write_text(dump_run(again.run_file))
        (folder / _ASKED).write_bytes(msgspec.msgpack.encode(asked))
        await _started(folder)
        return _read((folder / _ANSWER).read_bytes())


async def _started(folder: Path) -> None:
    """Runs a fresh interpreter to its end. Raises ConfigError with the words of one that failed."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", _PROGRAM, str(folder), *sys.path),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        told = said.decode(errors="replace").strip() or f"exit code {child.returncode}"
        raise ConfigError(f"--fresh: the run in a fresh process failed; leave --fresh out, or mend it: {told}")


# ---- in the fresh process --------------------------------------------------------------------------------------------


def answer(folder: str) -> None:
    """Does what is asked in a folder, and writes there what came of it."""
    from samewire.hiding import hider, hiding

    place = Path(folder)
    asked = msgspec.msgpack.decode((place / _ASKED).read_bytes(), type=Asked)
    with hiding():
        try:
            moved = asyncio.run(_followed(load_run(place / _RUN), asked, place))
        except Exception as error:  # noqa: BLE001 - a user's class may raise anything; the other process tells it
            kind = "" if isinstance(error, SamewireError) else f"{error.__class__.__name__}: "
            sys.exit(hider()(f"{kind}{error}"))
    (place / _ANSWER).write_bytes(_written(moved))


async def _followed(run: RunFile, asked: Asked, folder: Path) -> Moved | None:
    until = asked.cut.ts or 0
    if asked.first:
        with contextlib.suppress(Exception):  # only what it leaves behind counts here
            await _over_another(run, asked, folder / "first")
    trail = Trail()
    trail.inputs, trail.runs = asked.inputs, asked.runs
    follower = Follower(trail)
    prepared = Again(run, folder / "again").prepared([follower])
    await prepared.warm_up()
    await drive(prepared, lambda event: event.ts <= until and follower.moved is None)
    if follower.moved is None and follower.count < len(trail.inputs):
        return Moved(follower.count, 0, "", None)
    return follower.moved


async def _over_another(run: RunFile, asked: Asked, folder: Path) -> None:
    """The session up to the cut, with another future after it. Its models have learned nothing: that comes later."""
    how = Alteration(cut=asked.cut, tables={}, folder=folder, close=asked.close)
    prepared = prepare(altered(untaught(run), how))
    await prepared.warm_up()
    await drive(prepared, lambda event: event.ts <= (asked.cut.ts or 0))


# ---- from one to the other -------------------------------------------------------------------------------------------


def _written(moved: Moved | None) -> bytes:
    if moved is None:
        return pack("moved", 1, at=None)
    return pack("moved", 1, at=[moved.place, moved.event, moved.origin], now=_taken_apart(moved.now))


def _taken_apart(event: Event | None) -> Any:
    if event is None:
        return None
    plan = PLANS[event.__class__]
    arrays = list(plan.arrays(event))
    names = plan.columns[: len(arrays)]
    values = dict(zip(plan.plain, plan.values(event), strict=True))
    return [plan.name, values, dict(zip(names, arrays, strict=False)), arrays[len(names) :]]


def _read(written: bytes) -> Moved | None:
    fields = unpack(written, "moved", 1)
    if fields["at"] is None:
        return None
    place, event, origin = fields["at"]
    if fields["now"] is None:
        return Moved(place, event, origin, None)
    name, values, arrays, tail = fields["now"]
    return Moved(place, event, origin, BY_NAME[name].event(values, arrays, tuple(tail)))
