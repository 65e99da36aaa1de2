"""Progress on stderr: a bar on a terminal, a line every 10 % elsewhere, never anything on stdout."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from engine.clock import Clock
from samewire.logs import SIM_TS, iso

if TYPE_CHECKING:
    from samewire.prepare import Progress

Show = Callable[["Progress"], None]
_REFRESH_NS = 100_000_000
_LINE_NS = 30_000_000_000  # between lines where the end is unknown


@contextlib.contextmanager
def showing(
    clock: Clock, *, quiet: bool = False, stream: TextIO | None = None, environ: Mapping[str, str] | None = None
) -> Iterator[Show]:
    """What to call with each Progress of a session."""
    out, env = stream or sys.stderr, os.environ if environ is None else environ
    display: Any = _Silent()
    if not quiet:
        plain = not out.isatty() or bool(env.get("CI")) or env.get("TERM") == "dumb"
        display = _Lines(out, clock) if plain else _Bar(out, clock)

    def show(progress: "Progress") -> None:
        SIM_TS.set(progress.ts)
        display.show(progress)

    try:
        yield show
    finally:
        display.close()
        SIM_TS.set(0)


class _Silent:
    def show(self, progress: "Progress") -> None:
        pass

    def close(self) -> None:
        pass


class _Lines:
    """One line each tenth of the way, or every 30 s where the length is unknown."""

    def __init__(self, out: TextIO, clock: Clock) -> None:
        self._out, self._clock = out, clock
        self._tenth, self._last_ns = 0, clock.monotonic_ns()

    def show(self, progress: "Progress") -> None:
        if progress.share is not None:
            tenth = int(10 * progress.share + 1e-9)
            if tenth == self._tenth:
                return
            self._tenth = tenth
            head = f"{10 * tenth:>3} %"
        else:
            now = self._clock.monotonic_ns()
            if now - self._last_ns < _LINE_NS:
                return
            self._last_ns, head = now, "     "
        self._out.write(f"{head}  {iso(progress.ts)[:10]}  {progress.slices:,} slices  {_money(progress.equity)}\n")
        self._out.flush()

    def close(self) -> None:
        pass


class _Bar:
    """A rich bar: date, slices a second, equity, time left."""

    def __init__(self, out: TextIO, clock: Clock) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = ("{task.description}", BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rate]}"))
        self._bar = Progress(
            *columns,
            TextColumn("{task.fields[equity]}"),
            TimeRemainingColumn(),
            console=Console(file=out, force_terminal=True),
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=None, rate="", equity="")
        self._clock, self._begin_ns, self._last_ns = clock, clock.monotonic_ns(), 0
        self._bar.start()

    def show(self, progress: "Progress") -> None:
        now = self._clock.monotonic_ns()
        if now - self._last_ns < _REFRESH_NS and progress.share != 1.0:
            return
        self._last_ns = now
        rate = progress.slices / max((now - self._begin_ns) / 1e9, 1e-9)
        self._bar.update(
            self._task,
            description=iso(progress.ts)[:10],
            completed=progress.share or 0.0,
            total=None if progress.share is None else 1.0,
            rate=f"{rate:,.0f}/s",
            equity=_money(progress.equity),
        )

    def close(self) -> None:
        self._bar.stop()


def _money(equity: float) -> str:
    return f"equity {equity:,.0f}" if equity else ""
