"""What trainings came to: figures of each, one table of scores, and a page of each column."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from adapters.tracking.store import END, FAILED, RunRow, RunStore
from adapters.tracking.whole import write_whole
from components.metrics.error_bars import mean_of
from components.metrics.signal import both
from components.training.fitting import Panel
from components.training.plan import tested
from engine.events import Matrix, Stamps
from samewire.run_file import RunFile
from samewire.training_job import PREDICTIONS, ended_whole, scores_of
from samewire.training_plan import Plan, Planned, day_text

SCORES, RESULTS, PAGES = "scores.parquet", "results.json", "pages"
PAGES_MAX = 50


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


class _Scored(msgspec.Struct, frozen=True, eq=False):
    """The scores of a task with the coefficients of its slices."""

    planned: Planned
    ts: Stamps  # (S,)
    scores: Matrix  # (S, N)
    ic: Matrix  # (S,)
    rank_ic: Matrix  # (S,)


def results_of(
    run: RunFile, plan: Plan, runs: RunStore, errors: dict[str, str], reused: frozenset[str], folder: Path
) -> Results:
    """Judges what is in the store by what is known of it today, and writes it into the folder."""
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
        _pages(run, plan, scored, folder / PAGES)
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


def _pages(run: RunFile, plan: Plan, scored: Sequence[_Scored], folder: Path) -> None:
    """A page of figures of each column; of the first ones where a grid has many."""
    from samewire.evaluation_report import Scored, render_evaluation

    for column, group in list(_by_column(scored).items())[:PAGES_MAX]:
        planned = group[0].planned
        panel, task = plan.panels[planned.panel], planned.task
        ts = np.concatenate([each.ts for each in group])
        rows = np.searchsorted(panel.ts, ts)
        labels = {horizon: each.value[rows] for horizon, each in panel.labels.items()}
        facts = (("Model", f"{task.model} ({task.use})"), ("Trainings", str(len(group))), *planned.changes.items())
        page = Scored(
            title=f"{run.session.name}: {column}",
            ts=ts,
            scores=np.concatenate([each.scores for each in group]),
            label=labels.pop(task.horizon),
            horizon=task.horizon,
            decay=labels,
            facts=facts,
        )
        render_evaluation(page, folder / f"{_plain(column)}.html")


def _plain(column: str) -> str:
    """A column as the name of a file.

    >>> _plain("gbdt-h5-windows=[5, 10]")
    'gbdt-h5-windows=_5__10_'
    """
    return "".join(sign if sign.isalnum() or sign in "-_.=" else "_" for sign in column)[:200]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def scores_table(scored: Sequence[_Scored], plan: Plan) -> bytes:
    """Parquet of ts, symbol and a column of scores a training; what `models: {use: scores}` replays.

    Test parts lie side by side, so each name of each slice has one score of each column, or none.
    """
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
