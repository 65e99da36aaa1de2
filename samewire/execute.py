"""Runs a checked run file: builds, trains what must be trained, replays, and writes the session directory whole."""

import datetime as dt
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from components.metrics.fold import SessionFold
from engine.clock import Clock
from engine.errors import ConfigError, DataError
from engine.events import DAY_NS, Bars, Control, ControlAction, Event
from engine.journal import Journal
from engine.protocols import Artefact, Feed, Issue, Table
from engine.session import Replay, Session
from engine.wiring import Parts, Wiring
from samewire.build import Given, construct, libraries, parts_of, sinks_of
from samewire.result import Result
from samewire.run_file import ModelSpec, RunFile
from samewire.schema import config_hash, dump_run, resolved
from samewire.summary import Run, summarise

_EPOCH = dt.date(1970, 1, 1)


class Progress(msgspec.Struct, frozen=True):
    """How far a session is. `share` (0 to 1) is of its span of time, None where the feed does not know its end."""

    ts: int
    slices: int
    share: float | None
    equity: float


class Prepared(msgspec.Struct, frozen=True):
    """A session that is ready to run; its bus may still be tapped."""

    run: RunFile
    feed: Feed
    session: Session
    journal: Journal
    fold: SessionFold
    sources: tuple[Replay, ...]
    artefacts: Mapping[str, Artefact]
    tables: list[Table]  # the user's own
    table_issues: list[Issue]
    warnings: tuple[str, ...]


def midnight(day: dt.date) -> int:
    """UTC ns of the day's beginning."""
    return (day - _EPOCH).days * DAY_NS


def _after(day: dt.date) -> int:
    """UTC ns of the end of the day."""
    return midnight(day + dt.timedelta(days=1))


def bounds(run: RunFile) -> tuple[int | None, int | None]:
    """The session as start <= ts < end; both days count."""
    start, end = run.session.start, run.session.end
    return (
        None if start is None else midnight(start),
        None if end is None else _after(end),
    )


async def execute(
    run: RunFile,
    *,
    out: Path | None,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    clock: Clock,
    run_id: str = "",
) -> Result:
    """Runs it to its end. With `out` the session directory appears there, whole; after an error nothing does.

    `run_id` stands in the manifest; one is made when none is given.
    """
    wall, cpu = clock.monotonic_ns(), clock.cpu_ns()
    directory = None if out is None else _begin(out, overwrite)
    journal_file: Any = None
    try:
        if directory is not None:
            from adapters.files.journal_file import JournalFile

            journal_file = JournalFile(directory / "journal")
        prepared = prepare(run, directory, None if journal_file is None else journal_file.write, on_progress)
        await prepared.session.run(*prepared.sources)
        if not prepared.fold.counts().slices:
            raise DataError(f"{run.feed.where}: the feed has no bars between {run.session.start} and {run.session.end}")
        if journal_file is not None:
            journal_file.close()
        ran = Run(
            digest=prepared.journal.digest,
            wall_s=(clock.monotonic_ns() - wall) / 1e9,
            cpu_s=(clock.cpu_ns() - cpu) / 1e9,
        )
        result = _conclude(prepared, directory, ran, _named(prepared.run, clock, run_id))
        return result if directory is None or out is None else _finish(result, directory, out)
    except BaseException:
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)
        raise
    finally:
        if journal_file is not None:
            journal_file.close()


def prepare(
    run: RunFile,
    directory: Path | None = None,
    write: Callable[[bytes], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Prepared:
    """Builds a session and trains its models; nothing of it has run yet."""
    given = Given(session=run.session.name, seed=run.session.seed, directory=directory)
    feed: Feed = construct(run.feed, given)
    tables: list[Table] = []
    table_issues: list[Issue] = []

    def table(path: Path) -> Table:
        from adapters.files.table import checked_table

        close = run.feed.options.get("close") or getattr(feed, "close", None)
        found, issues = checked_table(path, feed.universe, close=close)
        tables.append(found)
        table_issues.extend(issues)
        return found

    base = feed.universe.currencies[0]
    if base != run.session.currency:
        clash = f"the feed is in {base}, the session in {run.session.currency}"
        raise ConfigError(f"{run.feed.where}: {clash}; set session.currency or the feed's currency so that they agree")
    given = msgspec.structs.replace(given, universe=feed.universe, table=table)
    parts = parts_of(run, feed, given)
    artefacts, controls, said = _trained(run, feed, parts, given)
    wiring = Wiring(parts, artefacts={artefact.hash: artefact for artefact in artefacts.values()})
    session = run.session
    fold = SessionFold(
        universe=feed.universe, cash=session.cash, interval_ns=feed.interval_ns, benchmark=session.benchmark
    )
    journal = Journal(write)
    recorders: list[Any] = [journal, fold]
    start, end = bounds(run)
    if on_progress is not None:
        recorders.append(_Watch(fold, on_progress, _span(feed, start, end)))
    sinks = sinks_of(run, given) if directory is not None else ()
    sources = [Replay(lambda: feed.events(start, end))]
    if controls:
        sources.append(Replay(lambda: iter(controls)))
    live = Session(wiring, recorders=recorders, sinks=sinks)
    warnings = (*_cautions(run), *said)
    return Prepared(run, feed, live, journal, fold, tuple(sources), artefacts, tables, table_issues, warnings)


def _cautions(run: RunFile) -> tuple[str, ...]:
    """What the reader of the report must know about how the session was run."""
    fill = str(run.broker.options.get("fill", ""))
    if fill.startswith("same_"):
        return (f"Orders filled at {fill}: at a price that was known when they were decided.",)
    return ()


# ---- models ----------------------------------------------------------------------------------------------------------


def _trained(
    run: RunFile, feed: Feed, parts: Parts, given: Given
) -> tuple[dict[str, Artefact], tuple[Control, ...], tuple[str, ...]]:
    """An artefact for each model that trains or names one, the controls that put it to use, and what to warn of.

    A model trained until a day answers from the first slice after it: the control enters at the next midnight.
    """
    from components.models.artefact import read_artefact, write_artefact

    artefacts: dict[str, Artefact] = {}
    controls: list[Control] = []
    said: list[str] = []
    begin = bounds(run)[0] or 0
    for spec, part in zip(run.models, parts.models, strict=True):
        if spec.artefact is not None:
            artefact, at = read_artefact(spec.artefact), begin
        elif spec.train is not None:
            artefact, at = _fit(spec, part.model, feed, _feature_set(run, spec, given)), _after(spec.train.until)
            unused = [f"{issue.count} {issue.kind.replace('_', ' ')}" for issue in feed.issues()]
            if unused:
                said.append(f"The history {part.name} was trained on has rows to look at: {', '.join(unused)}.")
        else:
            continue
        if given.directory is not None:
            write_artefact(artefact, given.directory / "models" / part.name)
        artefacts[part.name] = artefact
        swap = ControlAction.SWAP_MODEL
        controls.append(
            Control(ts=max(at, begin), action=swap, component=part.name, artefact=artefact.hash, actor="run file")
        )
    return artefacts, tuple(sorted(controls, key=lambda control: control.ts)), tuple(said)


def _feature_set(run: RunFile, spec: ModelSpec, given: Given) -> Any:
    """A fresh copy of the feature set that the model reads."""
    component = next((c for c in run.features if c.name == spec.features), None)
    if component is None:
        raise ConfigError(f"{spec.component.where}: a model that trains needs a feature set; name one with `features:`")
    return construct(component, given)


def _fit(spec: ModelSpec, model: Any, feed: Feed, feature_set: Any) -> Artefact:
    """Fits on history up to the last bar of `until`, walked through the very feature set of the wiring."""
    from components.training.panel import walk

    train, where = spec.train, spec.component.where
    if train is None or not hasattr(model, "fit"):
        raise ConfigError(f"{where}: model {spec.component.use!r} has nothing to train; leave `train:` out")
    until = _after(train.until)
    since = None if train.since is None else midnight(train.since)
    dataset = walk(feed.events(None, until), feature_set, train.horizon, until, since)
    if not len(dataset.ts):
        raise DataError(f"{where}: no labelled slice up to {train.until}; the feed begins later or is too short")
    artefact: Artefact = model.fit(dataset)
    return artefact


class _Watch:
    """Tells the caller how far the session is, once a slice."""

    def __init__(self, fold: SessionFold, tell: Callable[[Progress], None], span: tuple[int, int] | None) -> None:
        self._fold, self._tell, self._span, self._slices = fold, tell, span, 0

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        first = events[0]
        if first.__class__ is Bars:
            self._slices += 1
            book, span = self._fold.book, self._span
            share = None if span is None else min(1.0, (first.ts - span[0]) / max(1, span[1] - span[0]))
            self._tell(Progress(first.ts, self._slices, share, book.equity if book else 0.0))


def _span(feed: Feed, start: int | None, end: int | None) -> tuple[int, int] | None:
    """The session's first and last instant, where the feed knows its own."""
    known: tuple[int, int] | None = getattr(feed, "span", None)  # a user's own feed may lack it
    if known is None:
        return None
    return max(known[0], start or known[0]), min(known[1], end or known[1])


# ---- the session directory -------------------------------------------------------------------------------------------


def _begin(out: Path, overwrite: bool) -> Path:
    """A folder beside `out` to work in, so that `out` appears whole or not at all."""
    if out.exists() and not overwrite:
        raise ConfigError(f"{out}: it is there already; choose another --out, or say --overwrite to replace it")
    if out.exists() and not (out / "manifest.json").is_file() and any(out.iterdir() if out.is_dir() else (out,)):
        raise ConfigError(f"{out}: it is not a session directory, so it is not replaced; choose another --out")
    work = out.with_name(f".{out.name}.{os.getpid()}.part")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    return work


def _finish(result: Result, work: Path, out: Path) -> Result:
    from samewire.reporting import render_report

    render_report(work)
    if out.exists():
        old = out.with_name(f".{out.name}.{os.getpid()}.old")
        out.rename(old)
        work.rename(out)
        shutil.rmtree(old)
    else:
        work.rename(out)
    return Result(out, result.summary)


def _conclude(prepared: Prepared, directory: Path | None, ran: Run, named: dict[str, str]) -> Result:
    from adapters.files.session_dir import write_columns, write_equity

    fold = prepared.fold
    fold.finish()
    issues = (*prepared.feed.issues(), *prepared.table_issues)
    warnings = (*prepared.warnings, *(said for table in prepared.tables if (said := _unmet(table, fold))))
    summary = summarise(fold, run=ran, issues=issues, warnings=warnings)
    if directory is None:
        import pyarrow as pa

        return Result(None, summary, {"equity": pa.table(fold.columns()), "ic": pa.table(fold.coefficients())})
    write_equity(directory / "equity.parquet", fold.columns())
    write_columns(directory / "ic.parquet", fold.coefficients())
    _write_json(directory / "summary.json", summary)
    _write_json(directory / "manifest.json", named | _manifest(prepared, issues, summary["digest"]))
    (directory / "run.yaml").write_text(dump_run(prepared.run))
    return Result(directory, summary)


def _unmet(table: Table, fold: SessionFold) -> str:
    """A user's rows within the session whose instant is no slice: nothing ever asked for them."""
    slices = np.asarray(fold.rows.ts)
    if not len(slices):
        return ""
    inside = (table.ts >= slices[0]) & (table.ts <= slices[-1])
    count = int(np.count_nonzero(inside & ~np.isin(table.ts, slices)))
    if not count:
        return ""
    rows = "1 row" if count == 1 else f"{count} rows"
    return f"{rows} of {Path(table.path).name} not used: of instants that are no slice of the session."


def _named(run: RunFile, clock: Clock, run_id: str) -> dict[str, str]:
    """What tells this run from another of the same inputs."""
    now = clock.now_ns()
    made = hashlib.blake2b(f"{config_hash(run)}{now}{os.getpid()}".encode(), digest_size=8).hexdigest()
    created = dt.datetime.fromtimestamp(now // 10**9, dt.UTC).isoformat()
    return {"run_id": run_id or made, "name": run.session.name, "created": created}


def _manifest(prepared: Prepared, issues: Sequence[Issue], digest: str) -> dict[str, Any]:
    """What a rerun needs, and what a reader of the report wants to know."""
    run, feed = prepared.run, prepared.feed
    universe = feed.universe
    return {
        "digest": digest,
        "config_hash": config_hash(run),
        "config": resolved(run),
        "seed": run.session.seed,
        "interval_ns": feed.interval_ns,
        "fill": run.broker.options.get("fill"),
        "universe": {"symbols": list(universe.symbols), "currencies": list(universe.currencies)},
        "feed": {
            "use": run.feed.use,
            "hashes": feed.hashes(),
            "issues": [msgspec.to_builtins(issue) for issue in issues],
        },
        "models": {name: artefact.hash for name, artefact in prepared.artefacts.items()},
        "libraries": libraries(),
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")
