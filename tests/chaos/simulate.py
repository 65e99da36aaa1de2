"""One seed of the whole system: live over a bad line, again, from its record, through kills, and with a failure.

`python -m tests.chaos.simulate SEED [SEED ...]` runs only these and says what it found.
"""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.bus import Bus
from engine.errors import ComponentError
from engine.events import Bars, Fills
from engine.journal import Journal
from engine.journal_reading import Reader, entries, read_runs
from engine.session import Session
from tests.chaos.auditor import Auditor, ViolationError, check
from tests.chaos.restarts import Kept, killed
from tests.chaos.slices import check_slices, follow_cuts
from tests.chaos.transport import LiveSource, arrivals, bytes_of
from tests.chaos.worlds import World, world


class Tape:
    """A recorder that keeps every run bit for bit, its inputs, and the blocks of a journal."""

    def __init__(self) -> None:
        self.runs: list[tuple[tuple[str, ...], tuple[bytes, ...]]] = []
        self.inputs: list[Any] = []
        self.events: list[Any] = []
        self.blocks: list[bytes] = []

    def append(self, origins: Sequence[str], events: Sequence[Any], /) -> None:
        # What the journal takes for the origin: a decision's own source, whoever handed it on.
        said = [
            getattr(event, "source", origin) if i else origin
            for i, (origin, event) in enumerate(zip(origins, events, strict=True))
        ]
        self.runs.append((tuple(said), tuple(map(bytes_of, events))))
        self.inputs.append(events[0])
        self.events += events


class SlowSink:
    """Takes every event, slowly."""

    def __init__(self, seed: int) -> None:
        self.events: list[bytes] = []
        self._rng = np.random.default_rng(seed)

    async def write(self, event: Any, /) -> None:
        if self._rng.random() < 0.05:
            await asyncio.sleep(0)
        self.events.append(bytes_of(event))

    async def aclose(self) -> None:
        return None


async def simulate(seed: int) -> dict[str, Any]:
    """Everything that must hold of this seed; ViolationError, naming the seed, at the first thing that does not."""
    return await examine(world(seed))


async def examine(drawn: World) -> dict[str, Any]:
    """The same of a world that may have been changed."""
    try:
        return await _checked(drawn)
    except Exception as error:
        again = f"python -m tests.chaos.simulate {drawn.seed}"
        said = f"seed {drawn.seed}: {type(error).__name__}: {error}"
        raise ViolationError(f"{said}\nonly this one: {again}\nit drew {drawn.facts}") from error


async def _checked(drawn: World) -> dict[str, Any]:
    rows = arrivals(drawn)
    rng = np.random.default_rng([drawn.seed, 2])
    tape, auditor, source = await _live(drawn, rows)
    check_slices(drawn, rows, tape.inputs, source)
    follow_cuts(drawn, rows, tape.inputs, source, rng)
    await _again(drawn, rows, tape)
    digest = await _from_the_record(drawn, tape)
    with tempfile.TemporaryDirectory() as folder:
        kills = await killed(drawn, rows, Kept(tape.runs, digest), Path(folder), rng)
    failed = await _failed(drawn, rows, tape, rng)
    filled = sum(len(event.symbol) for event in tape.events if isinstance(event, Fills))
    return {"inputs": len(tape.inputs), "kills": kills, "failed": failed, "fills": filled} | auditor.checked


async def _live(drawn: World, rows: Any) -> tuple[Tape, Auditor, LiveSource]:
    wiring, source, tape = drawn.wiring(), LiveSource(drawn, rows), Tape()
    journal = Journal(tape.blocks.append)
    auditor = Auditor(drawn, fractions=drawn.facts["broker"]["fractions"])
    await Session(wiring, recorders=(auditor, tape, journal)).run(source)
    journal.end()
    return tape, auditor, source


async def _again(drawn: World, rows: Any, tape: Tape) -> None:
    """Two runs of one seed are identical, whoever watches and whatever runs in threads."""
    second, sink = Tape(), SlowSink(drawn.seed)
    wiring = drawn.wiring(slow=drawn.seed % 3 == 0)
    session = Session(wiring, recorders=(second,), sinks=(sink,))
    tap = session.bus.tap(size=5)
    await session.run(LiveSource(drawn, rows))
    _same(tape.runs, second.runs, "the second run")
    check(sink.events == [event for _, run in tape.runs for event in run], "the slow sink lost or reordered events")
    seen = [event async for event in tap]
    check(len(seen) + tap.lost == len(sink.events), f"the tap saw {len(seen)}, lost {tap.lost} of {len(sink.events)}")


async def _from_the_record(drawn: World, tape: Tape) -> bytes:
    """The inputs that the journal holds alone, in a fresh wiring, bring every event and the same digest again: this."""
    again, journal, reader = Tape(), Journal(), Reader()
    bus = Bus(drawn.wiring().routes, recorders=(again, journal))
    read = 0
    for entry in entries(read_runs(tape.blocks, reader)):
        read += 1
        if entry.input and entry.event is not None:
            await bus.feed(entry.event)
    await bus.aclose()
    _same(tape.runs, again.runs, "the run from its recorded inputs")
    check(reader.ended and read == len(tape.events), f"the journal has {read} records, not {len(tape.events)}")
    check(journal.position == reader.digest, "the digest of the run from its recorded inputs is another one")
    return reader.digest


async def _failed(drawn: World, rows: Any, tape: Tape, rng: np.random.Generator) -> str:
    """A component that raises ends the session with its name and slice; of the failed run nothing leaves."""
    methods = {"broker": "on_bars", "gate": "on_book", "optimizer": "on_targets", "trend": "on_bars"}
    methods |= dict.fromkeys(drawn.facts["deciding"]["strategies"], "on_signals")
    name = sorted(methods)[int(rng.integers(len(methods)))]
    stamps = [event.ts for event in tape.inputs if isinstance(event, Bars)]
    since = int(rng.choice(stamps))
    part, sink = Tape(), SlowSink(drawn.seed)
    wiring = drawn.wiring(failing=(name, methods[name], since))
    try:
        await Session(wiring, recorders=(part,), sinks=(sink,)).run(LiveSource(drawn, rows))
    except ComponentError as error:
        said = f"{name} was to fail from {since}, and {error.component} did at {error.ts}"
        check(error.component == name and error.ts >= since and "planted" in error.cause, said)
        _same(tape.runs[: len(part.runs)], part.runs, "the run that failed")
        check(len(part.runs) < len(tape.runs), "the run that failed is in the record")
        check(sink.events == [event for _, run in part.runs for event in run], "of a failed run something left")
        return name
    _same(tape.runs, part.runs, "the run in which nothing failed")
    return ""


def _same(straight: Sequence[Any], other: Sequence[Any], which: str) -> None:
    for k, (one, two) in enumerate(zip(straight, other, strict=False)):
        if one == two:
            continue
        rows = zip(one[0], one[1], strict=True), zip(two[0], two[1], strict=True)
        for i, (a, b) in enumerate(zip(*rows, strict=False)):
            check(a == b, f"{which} differs at input {k}, event {i}, said by {a[0]} and {b[0]}: {a[1]!r} and {b[1]!r}")
        check(False, f"{which} differs at input {k}: {one[0][len(two[0]) :]} or {two[0][len(one[0]) :]} more")
    check(len(straight) == len(other), f"{which} has {len(other)} inputs, not {len(straight)}")


def main() -> int:
    failed = 0
    for text in sys.argv[1:]:
        try:
            print(text, asyncio.run(simulate(int(text))))  # noqa: T201
        except ViolationError as error:
            failed += 1
            print(str(error)[:3000])  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
