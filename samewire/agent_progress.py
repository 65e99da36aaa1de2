"""How far agents are while they learn: read from the store, where all executors leave it."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import msgspec

from adapters.tracking.store import RunStore
from components.rl.trainer_budget import Bill
from components.rl.trainer_teacher import HEAD
from engine.errors import SamewireError

EVERY_S = 2.0


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a training with figures of its own."""

    head: str = ""  # of their names
    steps: int  # order-steps in all
    figure: str = "val/net"  # which is told
    unit: str = " bp"


def phases_of(bill: Bill) -> tuple[Phase, ...]:
    """A teacher that learns before its student, and the student."""
    before = (Phase(head=HEAD, steps=bill.teacher_steps, figure="val/reward", unit=""),)
    return (*(before if bill.teacher_collections else ()), Phase(steps=bill.steps))


@contextlib.contextmanager
def told_how_far(
    store: Path,
    columns: Mapping[str, str],
    phases: tuple[Phase, ...],
    tell: Callable[[str], None],
    every_s: float = EVERY_S,
) -> Iterator[None]:
    """Within it `tell` hears of each of these runs (id to column) whenever it was validated once more, and at last."""
    ended = threading.Event()
    heard: dict[tuple[str, str], int] = {}

    def watch() -> None:
        while not ended.wait(every_s):
            _look(store, columns, phases, tell, heard)

    thread = threading.Thread(target=watch, name="agents", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _look(store, columns, phases, tell, heard)


def _look(
    store: Path,
    columns: Mapping[str, str],
    phases: tuple[Phase, ...],
    tell: Callable[[str], None],
    heard: dict[tuple[str, str], int],
) -> None:
    """What was not read now is read the next time."""
    with contextlib.suppress(SamewireError), closing(RunStore(store, create=False)) as runs:
        for run in [row.id for row in runs.runs() if row.id in columns]:
            for phase in phases:
                seen, found = (runs.metrics(run, phase.head + name) for name in ("steps", phase.figure))
                if seen and found and found[-1][0] > heard.get((run, phase.head), -1):
                    heard[run, phase.head] = found[-1][0]
                    tell(f"{columns[run]}  {_said(phase, seen[-1][1] or 0, found[-1][1])}")


def _said(phase: Phase, steps: float, value: float | None) -> str:
    whose = f"{phase.head.removesuffix('/')}: " if phase.head else ""
    figure = "-" if value is None else f"{value:.2f}"
    return f"{whose}{steps:,.0f} of {phase.steps:,} order-steps, {phase.figure} {figure}{phase.unit}"
