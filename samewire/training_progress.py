"""How far the trainings are, on stderr: a bar on a terminal, a line for each elsewhere, never anything on stdout."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from engine.instants import day_text
from samewire.training_plan import Plan, Planned


class Counter:
    """Fits `Watcher`: told of the plan and of each task that ends, it counts, and shows what it counted."""

    def __init__(self, display: Any) -> None:
        self._display = display
        self.done = self.total = 0

    @property
    def count(self) -> str:
        return f"{self.done} of {self.total} trainings"

    def planned(self, plan: Plan, done: int) -> None:
        self.begun(len(plan.tasks), done)

    def ended(self, planned: Planned, error: str) -> None:
        self.told(_said(planned, error))

    def begun(self, total: int, done: int) -> None:
        self.done, self.total = done, total
        self._display.begin(self.done, self.total)

    def told(self, said: str) -> None:
        self.done += 1
        self._display.show(self.done, self.total, said)

    def going(self, said: str) -> None:
        self._display.going(said)

    def warned(self, text: str) -> None:
        self._display.warn(text)


@contextlib.contextmanager
def watching(
    *, quiet: bool = False, stream: TextIO | None = None, environ: Mapping[str, str] | None = None
) -> Iterator[Counter]:
    """Whom to hand to `train`."""
    out, env = stream or sys.stderr, os.environ if environ is None else environ
    display: Any
    if quiet:
        display = _Silent(out)
    else:
        plain = not out.isatty() or bool(env.get("CI")) or env.get("TERM") == "dumb"
        display = _Lines(out) if plain else _Bar(out)
    try:
        yield Counter(display)
    finally:
        display.close()


def _said(planned: Planned, error: str) -> str:
    task = planned.task
    until = day_text(task.train.until - 1)
    return f"{planned.column} until {until}" + (f": failed, {error}" if error else "")


class _Silent:
    """Nothing but warnings."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def begin(self, done: int, total: int) -> None:
        pass

    def show(self, done: int, total: int, said: str) -> None:
        pass

    def going(self, said: str) -> None:
        pass

    def warn(self, text: str) -> None:
        self._out.write(f"warning: {text}\n")
        self._out.flush()

    def close(self) -> None:
        pass


class _Lines:
    """A line for each training that ends."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def begin(self, done: int, total: int) -> None:
        self._write(f"{total} trainings, {done} of them done before")

    def show(self, done: int, total: int, said: str) -> None:
        self._write(f"{done:>{len(str(total))}}/{total}  {said}")

    def going(self, said: str) -> None:
        self._write(f"     {said}")

    def warn(self, text: str) -> None:
        self._write(f"warning: {text}")

    def close(self) -> None:
        pass

    def _write(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()


class _Bar:
    """A rich bar over all trainings, failures above it."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(file=out, force_terminal=True),
            transient=True,
        )
        self._task = self._bar.add_task("walking history", total=None)
        self._bar.start()

    def begin(self, done: int, total: int) -> None:
        self._bar.update(self._task, description="training", completed=done, total=total)

    def show(self, done: int, total: int, said: str) -> None:
        if ": failed, " in said:
            self._bar.console.print(said, markup=False, highlight=False, soft_wrap=True)
        self._bar.update(self._task, description=said.partition(": ")[0], completed=done, total=total)

    def going(self, said: str) -> None:
        self._bar.update(self._task, description=said)

    def warn(self, text: str) -> None:
        self._bar.console.print(f"warning: {text}", markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        self._bar.stop()
