"""Runs a checked run file to its end, and writes the session directory whole or not at all."""

import datetime as dt
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.calendar import Sessions
from engine.clock import Clock
from engine.errors import ConfigError, DataError
from engine.protocols import Bookkeeping, Issue, Table
from engine.session import merge
from samewire.auditing import begin_audit, end_audit, open_audit
from samewire.hiding import hider
from samewire.instruments import facts_of
from samewire.pacing import AT_ONCE, Manner, Paced
from samewire.places import relative_text
from samewire.prepare import Prepared, Progress, prepare
from samewire.provenance import provenance
from samewire.result import Result
from samewire.run_file import RunFile
from samewire.schema import config_hash, dump_run, resolved
from samewire.scrubbing import raise_scrubbed
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
    """Runs it to its end. With `out` the session directory appears there, whole; after an error nothing does."""
    wall, cpu = clock.monotonic_ns(), clock.cpu_ns()
    directory = None if out is None else _begin(out, overwrite)
    scratch = Path(tempfile.mkdtemp(prefix="samewire-"))
    journal_file: Any = None
    named, audit = _named(run, clock, manner.run_id), open_audit(directory)
    try:
        journal_file = None if directory is None else _journal_file(directory)
        folder = directory or scratch
        write = None if journal_file is None else journal_file.write
        prepared = prepare(run, folder, write, on_progress, recorders=() if audit is None else (audit,))
        begin_audit(audit, prepared, named)
        await prepared.run(*_at_pace(prepared, manner, clock))
        if not prepared.fold.counts().slices:
            raise DataError(f"{run.feed.where}: the feed has no bars between {run.session.start} and {run.session.end}")
        prepared.journal.end()
        if journal_file is not None:
            journal_file.close()
        took = (clock.monotonic_ns() - wall) / 1e9, (clock.cpu_ns() - cpu) / 1e9
        ran = Run(digest=prepared.journal.digest, wall_s=took[0], cpu_s=took[1])
        bookkeeping = getattr(prepared.session.wiring.parts.broker.component, "bookkeeping", Bookkeeping())
        prepared.fold.finish()
        traded = derive(folder, prepared.fold, prepared.feed.universe, bookkeeping)
        result = _conclude(prepared, directory, (ran, traded), named | end_audit(audit, prepared))
        if directory is None or out is None:
            return Result(None, result.summary, result.tables | _tables(folder))
        return _finish(result, directory, out, overwrite)
    except BaseException as error:  # noqa: BLE001 - raised again without secrets
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)
        raise_scrubbed(error, hider())
    finally:
        for file in filter(None, (journal_file, audit)):
            file.close()
        shutil.rmtree(scratch, ignore_errors=True)


def _at_pace(prepared: Prepared, manner: Manner, clock: Clock) -> tuple[Paced, ...]:
    return (Paced(merge(prepared.sources), pace=manner.pace, clock=clock),) if manner.pace else ()


def _journal_file(directory: Path) -> Any:
    from adapters.files.journal_file import JournalFile

    return JournalFile(directory / "journal", at_once=False)


def _tables(folder: Path) -> dict[str, Any]:
    """The tables of a session without a directory, in memory."""
    import pyarrow.parquet as pq

    paths = {name: folder / f"{name}.parquet" for name in _TABLES}
    return {name: pq.read_table(path) for name, path in paths.items() if path.is_file()}


# ---- the session directory -------------------------------------------------------------------------------------------


def _refuse_what_is_there(out: Path, overwrite: bool) -> None:
    if out.is_symlink():
        raise ConfigError(f"{out}: it is a link, so it is not replaced; name the folder itself with --out")
    if out.exists() and not overwrite:
        raise ConfigError(f"{out}: it is there already; choose another --out, or say --overwrite to replace it")


def _begin(out: Path, overwrite: bool) -> Path:
    """A folder beside `out` to work in, so that `out` appears whole or not at all."""
    _refuse_what_is_there(out, overwrite)
    if out.exists() and not (out / "manifest.json").is_file() and any(out.iterdir() if out.is_dir() else (out,)):
        raise ConfigError(f"{out}: it is not a session directory, so it is not replaced; choose another --out")
    work = out.with_name(f".{out.name}.{os.getpid()}.part")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    return work


def _finish(result: Result, work: Path, out: Path, overwrite: bool) -> Result:
    from samewire.reporting import render_report

    render_report(work)
    _refuse_what_is_there(out, overwrite)  # another run may have finished there meanwhile
    if out.exists():
        old = out.with_name(f".{out.name}.{os.getpid()}.old")
        out.rename(old)
        work.rename(out)
        shutil.rmtree(old)
    else:
        work.rename(out)
    return Result(out, result.summary)


def _conclude(
    prepared: Prepared, directory: Path | None, ran: tuple[Run, Traded | None], named: dict[str, Any]
) -> Result:
    from adapters.files.session_dir import write_columns, write_equity

    fold = prepared.fold
    issues = (*prepared.feed.issues(), *prepared.table_issues)
    warnings = (*prepared.warnings, *(said for table in prepared.tables if (said := _unmet(table, prepared))))
    sessions: Sessions | None = getattr(prepared.feed, "sessions", None)
    run, traded = ran
    summary = summarise(fold, run=run, traded=traded, issues=issues, warnings=warnings, sessions=sessions)
    summary = hider().inside(summary)
    if directory is None:
        import pyarrow as pa

        return Result(None, summary, {"equity": pa.table(fold.columns()), "ic": pa.table(fold.coefficients())})
    write_equity(directory / "equity.parquet", fold.columns())
    write_columns(directory / "ic.parquet", fold.coefficients())
    _write_json(directory / "summary.json", summary)
    manifest = named | _manifest(prepared, directory, issues, summary["digest"]) | _calendar(prepared, directory)
    _write_json(directory / "manifest.json", hider().inside(manifest))
    (directory / "run.yaml").write_text(dump_run(prepared.run_file, directory))
    return Result(directory, summary)


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


def _named(run: RunFile, clock: Clock, run_id: str) -> dict[str, Any]:
    """What tells this run from another of the same inputs."""
    now = clock.now_ns()
    made = hashlib.blake2b(f"{config_hash(run)}{now}{os.getpid()}".encode(), digest_size=8).hexdigest()
    created = dt.datetime.fromtimestamp(now // 10**9, dt.UTC).isoformat()
    return {"run_id": run_id or made, "name": run.session.name, "created": created}


def _manifest(prepared: Prepared, directory: Path, issues: Sequence[Issue], digest: str) -> dict[str, Any]:
    """What a rerun needs, and what a reader of the report wants to know."""
    run, feed = prepared.run_file, prepared.feed
    return {
        "digest": digest,
        "config_hash": config_hash(run),
        "config": resolved(run),
        "folder": relative_text(run.folder, directory.resolve()),
        "seed": run.session.seed,
        "interval_ns": feed.interval_ns,
        "fill": run.broker.options.get("fill"),
        "universe": facts_of(feed.universe),
        "feed": {
            "use": run.feed.use,
            "hashes": feed.hashes(),
            "issues": [msgspec.to_builtins(issue) for issue in issues],
        },
        "models": {name: artefact.hash for name, artefact in prepared.artefacts.items()},
    } | provenance(run, prepared.tables)


def _calendar(prepared: Prepared, directory: Path) -> dict[str, Any]:
    """The trading days that the session ran by, written beside the manifest; nothing where no calendar names them."""
    from adapters.calendars.record import columns, facts, of_run
    from adapters.files.session_dir import write_columns

    sessions: Sessions | None = getattr(prepared.feed, "sessions", None)
    slices = prepared.fold.rows.ts
    found = None if sessions is None else of_run(sessions, int(slices[0]), int(slices[-1]))
    if found is None:
        return {}
    write_columns(directory / "calendar.parquet", columns(found))
    return {"calendar": facts(found)}


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")
