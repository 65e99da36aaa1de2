"""Running from Python: `run` in scripts and notebooks, `arun` in coroutines, `open_session` to look inside."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.clock import SystemClock
from samewire.execute import execute
from samewire.hiding import hider
from samewire.prepare import Prepared, Progress, prepare
from samewire.result import Result
from samewire.run_file import RunFile
from samewire.schema import load_run
from samewire.scrubbing import raise_scrubbed

RunLike = RunFile | Path | str | Mapping[str, Any]


def _loaded(run_file: RunLike, overrides: Sequence[str]) -> RunFile:
    if isinstance(run_file, RunFile):
        return run_file
    return load_run(dict(run_file) if isinstance(run_file, Mapping) else run_file, overrides)


async def arun(
    run_file: RunLike,
    *,
    overrides: Sequence[str] = (),
    out: Path | str | None = None,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Result:
    """Runs a run file: a path, a mapping of the same shape, or what `load_run` returned.

    `overrides` are `a.b=c` as after --set; with `out` a session directory is written there, whole or not at all: what
    a session recorded before it failed is kept beside it, in the folder that the error's last words name.

    Raises ConfigError with all problems of the run file, DataError for data that cannot be used,
    ComponentError naming what failed.
    """
    run = _loaded(run_file, overrides)
    directory = None if out is None else Path(out)
    return await execute(run, out=directory, overwrite=overwrite, on_progress=progress, clock=SystemClock())


def run(
    run_file: RunLike,
    *,
    overrides: Sequence[str] = (),
    out: Path | str | None = None,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Result:
    """`arun` for code that is no coroutine. Where an event loop runs already (a notebook), a thread has its own."""

    def call() -> Result:
        return asyncio.run(arun(run_file, overrides=overrides, out=out, overwrite=overwrite, progress=progress))

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return call()
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            outcome.append(error)

    thread = threading.Thread(target=work, name="samewire-run")
    thread.start()
    thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    result: Result = outcome[0]
    return result


def open_session(run_file: RunLike, *, overrides: Sequence[str] = ()) -> Prepared:
    """A session that is ready but has not run: tap `.bus`, then `await .run()`."""
    loaded = _loaded(run_file, overrides)
    try:
        return prepare(loaded)
    except BaseException as error:  # noqa: BLE001 - raised again without secrets
        raise_scrubbed(error, hider())
