"""Trainings planned, carried out and recorded: what ended before is taken from the store, the rest runs.

Nothing of it enters a session: what it leaves are artefacts, and scores of slices that no model had learned from.
"""

import json
import platform
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from adapters.runs.code_version import code_version
from adapters.runs.panel_file import held
from adapters.runs.store import END, FAILED, RunRow, RunStore
from adapters.runs.whole import write_whole
from adapters.scaleout.pool import Pool
from adapters.scaleout.serial import Serial
from components.metrics.error_bars import mean_of
from components.metrics.signal import both
from components.training.fitting import Panel
from components.training.plan import tested
from engine.clock import Clock
from engine.events import Matrix, Stamps
from engine.learning import Executor, Job, Outcome
from samewire.build import libraries
from samewire.hiding import hider
from samewire.plain import run_in_words
from samewire.provenance import machine
from samewire.run_file import RunFile
from samewire.schema import VERSION
from samewire.training_job import PREDICTIONS, Assignment, ended_whole, scores_of
from samewire.training_plan import Plan, Planned, day_text, plan_of, section_of, variant_of
from samewire.training_spec import PoolSpec, Training
from samewire.universes import universe_words

SCORES, RESULTS = "scores.parquet", "results.json"


class TaskResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one task. Coefficients are means over the slices of its test part whose outcome is known."""

    run: str
    column: str
    model: str
    horizon: int
    seed: int
    fold: int
    train: tuple[str, str]  # first and last day
    test: tuple[str, str] | None
    status: str  # end or failed
    reused: bool  # it had ended before this call
    artefact: str = ""
    ic: float | None = None
    rank_ic: float | None = None
    slices: int = 0
    error: str = ""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A column of scores over all of its test parts: mean of the slices' coefficients, and the error of that mean."""

    column: str
    tasks: int
    slices: int
    ic: float | None
    ic_error: float | None
    rank_ic: float | None
    rank_ic_error: float | None


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """All that came out."""

    name: str
    folder: Path  # of scores.parquet and results.json
    store: Path
    tasks: tuple[TaskResult, ...]
    columns: tuple[Summary, ...]

    @property
    def failed(self) -> tuple[TaskResult, ...]:
        return tuple(task for task in self.tasks if task.status != END)


class Watcher(Protocol):
    """Whom to tell: of the plan and how many of its tasks are done already, and of each one that ends."""

    def planned(self, plan: Plan, done: int) -> None: ...
    def ended(self, planned: Planned, error: str) -> None: ...


def train(
    run: RunFile,
    *,
    store: Path | None = None,
    out: Path | None = None,
    clock: Clock,
    watcher: Watcher | None = None,
    allow: tuple[str, ...] | None = None,
) -> Results:
    """Carries out the section `training:` of a run file. Tasks that ended before, under the same code and over the same
    history, are taken from the store. A task that fails is told in the results and stops no other.

    Scores and results are written into `out`, else into `results/NAME` of the store; one that was there is replaced.
    """
    training = section_of(run)
    place = store or training.plan.store
    with closing(RunStore(place, clock=clock)) as runs, held(place / "panels"):
        plan = plan_of(run, place / "panels")
        done = {planned.run: row for planned in plan.tasks if (row := ended_whole(runs, planned.run)) is not None}
        if watcher is not None:
            watcher.planned(plan, len(done))
        errors = _carry_out(run, training, plan, runs, done, _Telling(watcher, allow))
        return _results(run, plan, runs, errors, frozenset(done), out or place / "results" / run.session.name)


def planned_only(run: RunFile, store: Path | None = None) -> tuple[Plan, int]:
    """The plan, and how many of its tasks are done already; nothing is recorded.

    Its panels are gone when this returns: their arrays stay mapped, and nothing else may read them.
    """
    place = store or section_of(run).plan.store
    there = (place / "runs.sqlite").is_file()
    with tempfile.TemporaryDirectory(prefix="samewire-") as scratch:
        plan = plan_of(run, Path(scratch))
        if not there:
            return plan, 0
        with closing(RunStore(place)) as runs:
            return plan, sum(ended_whole(runs, planned.run) is not None for planned in plan.tasks)


class _Telling(msgspec.Struct, frozen=True):
    """What carrying out a plan needs beside the plan."""

    watcher: Watcher | None
    allow: tuple[str, ...] | None


def _carry_out(
    run: RunFile, training: Training, plan: Plan, runs: RunStore, done: dict[str, RunRow], telling: _Telling
) -> dict[str, str]:
    """Runs what has not ended yet; the errors of those that failed, by run."""
    waiting = {planned.run: planned for planned in plan.tasks if planned.run not in done}
    facts = _facts(run, plan)
    jobs = [_job(run, planned, plan, runs.folder, facts, telling.allow) for planned in waiting.values()]
    errors: dict[str, str] = {}
    with _closing(executor_of(training).run(jobs)) as outcomes:
        for outcome in outcomes:
            planned = waiting[outcome.key]
            if outcome.value is None:
                errors[outcome.key] = hider()(outcome.error)
                runs.begin(planned.task.key, _facts_of(planned, facts))
                told = {"error": errors[outcome.key], "attempts": outcome.attempts}
                runs.end(outcome.key, FAILED, told)
            if telling.watcher is not None:
                telling.watcher.ended(planned, errors.get(outcome.key, ""))
    return errors


@contextmanager
def _closing(outcomes: Iterator[Outcome]) -> Iterator[Iterator[Outcome]]:
    """Whatever ends the loop, even a signal, ends what still runs."""
    try:
        yield outcomes
    finally:
        close = getattr(outcomes, "close", None)
        if close is not None:
            close()


def executor_of(training: Training) -> Executor:
    spec = training.executor
    if isinstance(spec, PoolSpec):
        return Pool(workers=spec.workers, attempts=spec.attempts, timeout_s=spec.timeout / 1e9, gpus=spec.gpus)
    return Serial(gpus=spec.gpus)


def _job(
    run: RunFile,
    planned: Planned,
    plan: Plan,
    store: Path,
    facts: dict[str, Any],
    allow: tuple[str, ...] | None,
) -> Job:
    told = Assignment(
        run=run_in_words(variant_of(run, planned.model), VERSION, lambda path: str(path.absolute())),
        task=planned.task,
        run_id=planned.run,
        facts=_facts_of(planned, facts),
        universe=universe_words(plan.feed.universe),
        panel=str(planned.panel.absolute()),
        store=str(store.absolute()),
        allow=allow,
    )
    return Job(
        key=planned.run,
        call="samewire.training_job:carry_out",
        argument=msgspec.json.encode(told),
        gpus=section_of(run).plan.gpus,
    )


# ---- what is recorded ------------------------------------------------------------------------------------------------


def _facts(run: RunFile, plan: Plan) -> dict[str, Any]:
    """What all runs of this plan have in common. Names no machine and holds no secret."""
    return {
        "name": run.session.name,
        "version": code_version(run.folder),
        "libraries": libraries(),
        "python": platform.python_version(),
        "machine": machine(),
        "data": plan.feed.hashes(),
    }


def _facts_of(planned: Planned, common: dict[str, Any]) -> dict[str, Any]:
    task = planned.task
    said = common | {
        "code": planned.code,
        "column": planned.column,
        "changes": planned.changes,
        "threads": 1,
        "task": json.loads(msgspec.json.encode(task)),
        "train": [day_text(task.train.since), day_text(task.train.until - 1)],
        "test": None if task.test is None else [day_text(task.test.since), day_text(task.test.until - 1)],
    }
    hidden: dict[str, Any] = hider().inside(said)
    return hidden


# ---- what came out ---------------------------------------------------------------------------------------------------


class _Scored(msgspec.Struct, frozen=True, eq=False):
    """The scores of a task with the coefficients of its slices."""

    planned: Planned
    ts: Stamps  # (S,)
    scores: Matrix  # (S, N)
    ic: Matrix  # (S,)
    rank_ic: Matrix  # (S,)


def _results(
    run: RunFile, plan: Plan, runs: RunStore, errors: dict[str, str], reused: frozenset[str], folder: Path
) -> Results:
    tasks: list[TaskResult] = []
    scored: list[_Scored] = []
    for planned in plan.tasks:
        result = _task_result(planned, planned.run in reused)
        row = None if planned.run in errors else ended_whole(runs, planned.run)
        if row is None:
            error = errors.get(planned.run, "its files are not in the store; run the training again")
            tasks.append(msgspec.structs.replace(result, error=error))
            continue
        found = _scored(planned, plan.panels[planned.panel], runs, row)
        scored.append(found)
        ic, rank_ic = (mean_of(each, overlap=planned.task.horizon) for each in (found.ic, found.rank_ic))
        tasks.append(
            msgspec.structs.replace(
                result,
                status=END,
                artefact=str(row.outcome["artefact"]),
                ic=_number(ic.value),
                rank_ic=_number(rank_ic.value),
                slices=rank_ic.slices,
            )
        )
    columns = tuple(_summary(column, group) for column, group in _by_column(scored).items())
    results = Results(name=run.session.name, folder=folder, store=runs.folder, tasks=tuple(tasks), columns=columns)
    if scored:
        write_whole(folder / SCORES, scores_table(scored, plan))
    write_whole(folder / RESULTS, msgspec.json.format(msgspec.json.encode(as_words(results)), indent=1) + b"\n")
    return results


def _task_result(planned: Planned, reused: bool) -> TaskResult:
    """What is known of a task before its outcome: it counts as failed until there is one."""
    task = planned.task
    return TaskResult(
        run=planned.run,
        column=planned.column,
        model=task.model,
        horizon=task.horizon,
        seed=task.seed,
        fold=task.fold,
        train=(day_text(task.train.since), day_text(task.train.until - 1)),
        test=None if task.test is None else (day_text(task.test.since), day_text(task.test.until - 1)),
        status=FAILED,
        reused=reused,
    )


def _scored(planned: Planned, panel: Panel, runs: RunStore, row: RunRow) -> _Scored:
    """The scores of a run and how well they ordered what followed, by what is known of it today."""
    low, high = tested(planned.task, panel.ts)
    kept = next(file for file in row.files if file.name == PREDICTIONS)
    scores = scores_of(runs.read(kept), panel.ts[low:high], panel.symbols)
    label = panel.labels[planned.task.horizon].value[low:high]
    ic, rank_ic, _ = both(scores, label)
    return _Scored(planned, panel.ts[low:high], scores, ic, rank_ic)


def _by_column(scored: Sequence[_Scored]) -> dict[str, list[_Scored]]:
    found: dict[str, list[_Scored]] = {}
    for each in scored:
        found.setdefault(each.planned.column, []).append(each)
    return found


def _summary(column: str, group: Sequence[_Scored]) -> Summary:
    overlap = group[0].planned.task.horizon
    ic = mean_of(np.concatenate([each.ic for each in group]), overlap=overlap)
    rank_ic = mean_of(np.concatenate([each.rank_ic for each in group]), overlap=overlap)
    return Summary(
        column=column,
        tasks=len(group),
        slices=rank_ic.slices,
        ic=_number(ic.value),
        ic_error=_number(ic.error),
        rank_ic=_number(rank_ic.value),
        rank_ic_error=_number(rank_ic.error),
    )


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def scores_table(scored: Sequence[_Scored], plan: Plan) -> bytes:
    """Parquet of ts, symbol and a column of scores a training; what `models: {use: scores}` replays.

    Test parts lie side by side, so each name of each slice has one score of each column, or none.
    """
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    ts = np.unique(np.concatenate([each.ts for each in scored]))
    symbols = plan.feed.universe.symbols
    columns: dict[str, Any] = {}
    for column, group in _by_column(scored).items():
        value = np.full((len(ts), len(symbols)), np.nan)
        for each in group:
            value[np.searchsorted(ts, each.ts)] = each.scores
        columns[column] = value.reshape(-1)
    some = np.any([np.isfinite(value) for value in columns.values()], axis=0)
    index = np.flatnonzero(some)
    made = {
        "ts": pa.array(ts[index // len(symbols)], pa.int64()).cast(pa.timestamp("ns", "UTC")),
        "symbol": pa.array(np.asarray(symbols)[index % len(symbols)], pa.string()).dictionary_encode(),
        **{column: pa.array(value[index], from_pandas=True) for column, value in columns.items()},
    }
    out = io.BytesIO()
    pq.write_table(pa.table(made), out, compression="zstd")
    return out.getvalue()


def as_words(results: Results) -> dict[str, Any]:
    """The results as JSON values."""
    return {
        "ok": not results.failed,
        "name": results.name,
        "folder": str(results.folder),
        "store": str(results.store),
        "scores": str(results.folder / SCORES) if results.columns else None,
        "tasks": msgspec.to_builtins(results.tasks),
        "columns": msgspec.to_builtins(results.columns),
    }
