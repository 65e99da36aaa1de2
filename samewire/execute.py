"""Runs a checked run file to its end, and writes the session directory whole or not at all."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engine.calendar import Sessions
from engine.clock import Clock
from engine.errors import ComponentError, DataError, SamewireError, StateError, is_full, unwritten
from engine.events import Event
from engine.journal import runs_that_wait
from engine.protocols import Bookkeeping, Table
from engine.session import merge
from samewire.decided import write_decisions
from samewire.hiding import hider
from samewire.keeping import Keeping, names_of, write_json
from samewire.pacing import AT_ONCE, Manner, Paced
from samewire.prepare import Prepared, Progress, prepare
from samewire.provenance import named
from samewire.result import Result
from samewire.run_file import RunFile
from samewire.scrubbing import raise_scrubbed, scrub
from samewire.summary import Run, summarise
from samewire.trade_tables import Traded, derive

_TABLES = ("orders", "fills", "refusals", "signals", "targets", "charges", "actions", "trades", "pnl")


async def execute(
    run: RunFile,
    *,
    out: Path | None,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    clock: Clock,
    manner: Manner = AT_ONCE,
) -> Result:
    """Runs it to its end. With `out` the session directory appears there, whole, or not at all.

    Where a component or the data failed while it ran, what was recorded until then is kept beside `out` as
    `NAME.failed`; after any other error nothing is left.
    """
    wall, cpu = clock.monotonic_ns(), clock.cpu_ns()
    kept = (
        None if out is None else Keeping(out, overwrite, names_of(run, clock, manner.run_id), at_once=manner.pace > 0)
    )
    scratch = Path(tempfile.mkdtemp(prefix="samewire-"))
    try:
        folder = scratch if kept is None else kept.folder
        write, recorders = (None, ()) if kept is None else (kept.journal.write, (kept.audit,))
        prepared = prepare(run, folder, write, on_progress, recorders=recorders)
        if not manner.pace:  # else somebody follows it, who sees each run at once
            prepared.journal.waits = _waits(prepared)
        if kept is not None:
            kept.begin(prepared)
        await _run(prepared, kept, manner, clock)
        prepared.journal.end()
        took = (clock.monotonic_ns() - wall) / 1e9, (clock.cpu_ns() - cpu) / 1e9
        result = concluded(prepared, folder, kept, took)
        return result if kept is None else Result(out, result.summary)
    except BaseException as error:  # noqa: BLE001 - raised again without secrets
        if kept is not None:
            kept.discard()
        raise_scrubbed(_of_place(error, scratch if kept is None else kept.folder, out), hider())
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def concluded(
    prepared: Prepared, folder: Path, kept: Keeping | None, took: tuple[float, float], *, ended: bool = True
) -> Result:
    """What a session came to: its summary, its tables, and the rest of its directory, which appears.

    `took` is wall and CPU time; not `ended` = it was stopped, or it still runs.
    """
    if kept is not None:
        kept.journal.close()
    ran = Run(digest=prepared.journal.digest, wall_s=took[0], cpu_s=took[1])
    bookkeeping = getattr(prepared.session.wiring.parts.broker.component, "bookkeeping", Bookkeeping())
    prepared.fold.finish()
    traded = derive(folder, prepared.fold, prepared.feed.universe, bookkeeping)
    summary = _summary(prepared, ran, traded)
    if kept is None:
        return Result(None, summary, _curves(prepared) | _tables(folder))
    _finish(kept, prepared, summary, ended=ended)
    return Result(None, summary)


def _of_place(error: BaseException, folder: Path, out: Path | None) -> BaseException:
    """The error itself; that there is no room is told of the place that was named."""
    cause = error.__cause__ if isinstance(error, StateError) and str(folder) in str(error) else error
    if not isinstance(cause, OSError) or not is_full(cause):
        return error
    place, hint = (folder.parent, ", or set TMPDIR") if out is None else (out, ", or name another place")
    told = unwritten(place, cause, hint)
    told.__cause__ = cause
    return told


async def _run(prepared: Prepared, kept: Keeping | None, manner: Manner, clock: Clock) -> None:
    try:
        await prepared.run(*_at_pace(prepared, manner, clock))
    except (ComponentError, DataError) as error:
        prepared.journal.settle()  # what waited was recorded before it
        if kept is not None and (isinstance(error, ComponentError) or prepared.journal.events):
            told = scrub(error, hider())  # before anything of it is written
            if isinstance(told, SamewireError):
                kept.fail(prepared, told)
        raise
    if not prepared.fold.counts().slices:
        run = prepared.run_file
        raise DataError(f"{run.feed.where}: the feed has no bars between {run.session.start} and {run.session.end}")


def _waits(prepared: Prepared) -> int:
    """How many runs may wait for the journal: one where any class is of the user's own, nested ones included.

    Such a class may write into its arrays again, and may say what cannot be written: that has to be told at its slice.
    """
    if any(":" in component.use for _, component in named(prepared.run_file)):
        return 1
    return runs_that_wait(len(prepared.feed.universe))


def _at_pace(prepared: Prepared, manner: Manner, clock: Clock) -> tuple[Paced[Event], ...]:
    return (Paced(merge(prepared.sources), pace=manner.pace, clock=clock),) if manner.pace else ()


def _tables(folder: Path) -> dict[str, Any]:
    """The tables of a session without a directory, in memory."""
    import pyarrow.parquet as pq

    paths = {name: folder / f"{name}.parquet" for name in _TABLES}
    return {name: pq.read_table(path) for name, path in paths.items() if path.is_file()}


def _curves(prepared: Prepared) -> dict[str, Any]:
    import pyarrow as pa

    from adapters.files.session_dir import column_of

    curves = {"equity": prepared.fold.columns(), "ic": prepared.fold.coefficients()} | _worked(prepared)
    tables = {name: {each: column_of(values) for each, values in columns.items()} for name, columns in curves.items()}
    return {name: pa.table(columns) for name, columns in tables.items()}


def _worked(prepared: Prepared) -> dict[str, Any]:
    """The tables of parent orders, where a policy works them."""
    fold = prepared.executed
    if fold is None:
        return {}
    return {"execution": fold.table(), "execution_decisions": fold.decisions(), "execution_slices": fold.slices()}


# ---- the session directory -------------------------------------------------------------------------------------------


def _finish(kept: Keeping, prepared: Prepared, summary: dict[str, Any], *, ended: bool) -> None:
    """The tables that are folded in memory, summary, manifest and report; then the directory appears."""
    from adapters.files.session_dir import write_columns, write_equity
    from samewire.reporting import render_report

    write_equity(kept.folder / "equity.parquet", prepared.fold.columns())
    write_columns(kept.folder / "ic.parquet", prepared.fold.coefficients())
    for name, columns in _worked(prepared).items():
        write_columns(kept.folder / f"{name}.parquet", columns)
    write_json(kept.folder / "summary.json", summary)
    write_decisions(kept.folder, prepared.deciding)
    kept.end(prepared, ended=ended)
    render_report(kept.folder)
    kept.finish()


def _summary(prepared: Prepared, ran: Run, traded: Traded | None) -> dict[str, Any]:
    issues = (*prepared.feed.issues(), *prepared.table_issues)
    warnings = (*prepared.warnings, *(said for table in prepared.tables if (said := _unmet(table, prepared))))
    sessions: Sessions | None = getattr(prepared.feed, "sessions", None)
    summary = summarise(prepared.fold, run=ran, traded=traded, issues=issues, warnings=warnings, sessions=sessions)
    if prepared.executed is not None:
        summary["execution"] = prepared.executed.figures()
    hidden: dict[str, Any] = hider().inside(summary)
    return hidden


def _unmet(table: Table, prepared: Prepared) -> str:
    """A user's rows within the session whose instant is no slice: nothing ever asked for them."""
    slices = np.asarray(prepared.fold.rows.ts)
    if not len(slices):
        return ""
    slices = np.union1d(slices, np.array(prepared.slower, np.int64))
    inside = (table.ts >= slices[0]) & (table.ts <= slices[-1])
    count = int(np.count_nonzero(inside & ~np.isin(table.ts, slices)))
    if not count:
        return ""
    rows = "1 row" if count == 1 else f"{count} rows"
    return f"{rows} of {Path(table.path).name} not used: of instants that are no slice of the session."
