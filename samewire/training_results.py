"""What trainings came to: figures of each, one table of scores, and a page of each column."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from adapters.tracking.delivery import Delivered
from adapters.tracking.store import END, FAILED, RunRow, RunStore
from adapters.tracking.whole import write_whole
from components.metrics.error_bars import mean_of
from components.metrics.evaluation import coverage, evaluation
from components.metrics.signal import both
from components.training.fitting import Panel
from components.training.plan import tested_parts, tested_rows
from engine.errors import writing
from engine.events import Mask, Matrix
from engine.instants import day_text
from engine.learning import Metric
from samewire.leaks import Leaks
from samewire.run_file import RunFile
from samewire.training_job import PREDICTIONS, ended_whole, scores_of
from samewire.training_leaks import verdict_words
from samewire.training_plan import Plan, Planned, section_of
from samewire.training_scores import ScoredPart, by_column, origin_of_scores, scores_table
from samewire.training_spec import split_text
from samewire.training_trials import Trial, deflated, long_short

# Metrics of each run, of its test part by what is known of it at the latest call.
JUDGED = ("test_ic", "test_rank_ic", "test_rank_ic_t", "test_slices", "test_coverage")
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
    blocks: tuple[tuple[str, str], ...]  # the parts of `test` that are predicted
    status: str  # end or failed
    reused: bool  # it had ended before this call
    artefact: str = ""
    ic: float | None = None
    rank_ic: float | None = None
    slices: int = 0
    uncovered: int = 0  # slices of its test part whose outcome is known, and that are in no figure
    error: str = ""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A column of scores over all of its test parts: figures of `components.metrics.evaluation`, None = unknown."""

    column: str
    tasks: int
    slices: int
    uncovered: int  # slices of its test parts whose outcome is known, and that are in no figure
    failed: int  # trainings without scores
    ic: float | None
    ic_error: float | None
    icir: float | None
    rank_ic: float | None
    rank_ic_error: float | None
    rank_ic_t: float | None
    rank_icir: float | None
    coverage: float | None
    turnover: float | None  # of the top bucket
    deflated_sharpe: float | None  # probability: see `samewire.training_trials.deflated`


class Ready(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A plan of which all that could be is carried out."""

    plan: Plan
    runs: RunStore
    verdict: Leaks | None
    errors: dict[str, str]  # of those that failed, by run
    reused: frozenset[str]  # runs that had ended before
    refused: Mapping[
        str, tuple[str, str]
    ] = {}  # columns of which an answer saw later slices: until when it learned, how
    facts: dict[str, Any]  # that all of them have in common


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """All that came out."""

    name: str
    folder: Path  # of scores.parquet and results.json
    store: Path
    tasks: tuple[TaskResult, ...]
    columns: tuple[Summary, ...]
    split: str  # what is to be known of scores that came out of no walk through time
    trials: int  # recorded under this name
    verdict: Leaks | None  # None = nothing was looked for
    told: tuple[Delivered, ...] = ()  # places of `training.sinks`: no result depends on them

    @property
    def ok(self) -> bool:
        return not self.failed and not (self.verdict and self.verdict.found)

    @property
    def failed(self) -> tuple[TaskResult, ...]:
        return tuple(task for task in self.tasks if task.status != END)


class _Gap(msgspec.Struct, frozen=True):
    """What the figures of a column leave out."""

    uncovered: int = 0
    failed: int = 0


def results_of(run: RunFile, ready: Ready, folder: Path) -> Results:
    """Judges what is in the store by what is known of it today, and writes it into the folder."""
    tasks: list[TaskResult] = []
    scored: list[ScoredPart] = []
    gaps: dict[str, _Gap] = {}
    several = any(block.path for planned in ready.plan.tasks for block in planned.task.blocks)
    for planned in ready.plan.tasks:
        result, found = _judged(planned, ready)
        tasks.append(result)
        for column, judgeable, part in _by_path(planned, ready.plan.panels[planned.panel], found, several):
            scored += [part] if part is not None else []
            covered = 0 if part is None else int(np.isfinite(part.rank_ic).sum())
            gap = gaps.get(column, _Gap())
            gaps[column] = _Gap(gap.uncovered + judgeable - covered, gap.failed + (result.status != END))
    scored.sort(key=lambda part: int(part.ts[0]) if len(part.ts) else 0)
    count, columns = _columns(run.session.name, ready.runs, scored, gaps)
    results = Results(
        name=run.session.name,
        folder=folder,
        store=ready.runs.folder,
        tasks=tuple(tasks),
        columns=columns,
        split=split_text(section_of(run).split),
        trials=count,
        verdict=ready.verdict,
    )
    _clear(folder)
    if scored:
        origin = origin_of_scores(scored, results.split, ready.verdict)
        write_whole(folder / SCORES, scores_table(scored, ready.plan, origin))
        _pages(run, ready, scored, folder / PAGES)
    write_whole(folder / RESULTS, msgspec.json.format(msgspec.json.encode(as_words(results)), indent=1) + b"\n")
    return results


def _clear(folder: Path) -> None:
    """What an earlier call left goes before the first new file is written, `results.json` first: scores of before stand
    beside no results of today, nor pages of columns that are no more. What is not ours stays."""
    with writing(folder):
        for path in (folder / RESULTS, folder / SCORES, *(folder / PAGES).glob("*.html")):
            path.unlink(missing_ok=True)


def _judged(planned: Planned, ready: Ready) -> tuple[TaskResult, ScoredPart | None]:
    result = _task_result(planned, planned.run in ready.reused)
    row = None if _refused(planned, ready) else ended_whole(ready.runs, planned.run)
    if row is None:
        error = _refused(planned, ready) or "its files are not in the store; run the training again"
        label = _tested_label(planned, ready.plan.panels[planned.panel])
        return msgspec.structs.replace(result, error=error, uncovered=int(_judgeable(label).sum())), None
    found = _scored(planned, ready.plan.panels[planned.panel], ready.runs, row)
    ic, rank_ic = (mean_of(each, overlap=planned.task.horizon) for each in (found.ic, found.rank_ic))
    told = msgspec.structs.replace(
        result,
        status=END,
        artefact=str(row.outcome["artefact"]),
        ic=_number(ic.value),
        rank_ic=_number(rank_ic.value),
        slices=rank_ic.slices,
        uncovered=int((_judgeable(found.label) & ~np.isfinite(found.rank_ic)).sum()),
    )
    if planned.task.test is not None:
        covered = coverage(found.scores, found.label, overlap=planned.task.horizon)
        figures = (ic.value, rank_ic.value, rank_ic.t, rank_ic.slices, covered.value)
        ready.runs.log(planned.run, [Metric(name, 0, float(x)) for name, x in zip(JUDGED, figures, strict=True)])
    return told, found


def _refused(planned: Planned, ready: Ready) -> str:
    """Why nothing is said of this training; empty = it may be. One look ahead tells that its model does not ask what
    came when, so no other part of the column is trusted either."""
    seen = ready.refused.get(planned.column)
    other = "" if seen is None else f"the training until {seen[0]} sees later slices, so no part of the column counts"
    return ready.errors.get(planned.run, other)


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
        blocks=tuple((day_text(each.span.since), day_text(each.span.until - 1)) for each in task.blocks),
        status=FAILED,
        reused=reused,
    )


def _scored(planned: Planned, panel: Panel, runs: RunStore, row: RunRow) -> ScoredPart:
    """The scores of a run and how well they ordered what followed, by what is known of it today."""
    at, _ = tested_rows(planned.task, panel.ts)
    kept = next(file for file in row.files if file.name == PREDICTIONS)
    scores = scores_of(runs.read(kept), panel.ts[at], panel.symbols)
    label = _tested_label(planned, panel)
    ic, rank_ic, _ = both(scores, label)
    return ScoredPart(planned, planned.column, panel.ts[at], scores, label, ic, rank_ic)


def _by_path(
    planned: Planned, panel: Panel, found: ScoredPart | None, several: bool
) -> list[tuple[str, int, ScoredPart | None]]:
    """What a task says on each backtest path: its column, slices by which it could be judged, and its scores.

    Where there are several paths each is a column of its own: `NAME-p0` is the first. A stretch of each block is kept
    for itself, so that those of a path can be put in order of time.
    """
    judgeable = _judgeable(_tested_label(planned, panel))
    paths = [block.path for block in planned.task.blocks] or [0]
    parts: list[tuple[str, int, ScoredPart | None]] = []
    begin = 0
    for (low, high), path in zip(tested_parts(planned.task, panel.ts) or ((0, 0),), paths, strict=True):
        at = slice(begin, begin + high - low)
        begin = at.stop
        column, part = f"{planned.column}-p{path}" if several else planned.column, None
        if found is not None:
            arrays = {name: getattr(found, name)[at] for name in ("ts", "scores", "label", "ic", "rank_ic")}
            part = msgspec.structs.replace(found, column=column, **arrays)
        parts.append((column, int(judgeable[at].sum()), part))
    return parts


def _tested_label(planned: Planned, panel: Panel) -> Matrix:
    at, _ = tested_rows(planned.task, panel.ts)
    label: Matrix = panel.labels[planned.task.horizon].value[at]
    return label


def _judgeable(label: Matrix) -> Mask:
    """(S,) the slices by which some score could be judged: whose outcome is known, and tells names apart."""
    mask: Mask = np.isfinite(both(label, label)[1])
    return mask


def _columns(
    name: str, runs: RunStore, scored: Sequence[ScoredPart], gaps: Mapping[str, _Gap]
) -> tuple[int, tuple[Summary, ...]]:
    """How many trials there are, and the columns."""
    groups = by_column(scored)
    wholes = {column: _whole(group) for column, group in groups.items()}
    trials = [
        Trial(run=_told_of(group[-1]), returns=long_short(*wholes[column]), horizon=group[0].planned.task.horizon)
        for column, group in groups.items()
    ]
    count, sharpes = deflated(runs, name, trials)
    found = zip(groups.items(), sharpes, strict=True)
    summaries = (_summary(column, group, wholes[column], sharpe) for (column, group), sharpe in found)
    return count, tuple(
        # What the figures leave out is said beside them: they are means over the other slices.
        msgspec.structs.replace(each, uncovered=gaps[each.column].uncovered, failed=gaps[each.column].failed)
        for each in summaries
    )


def _told_of(last: ScoredPart) -> str:
    """The run with which the ratio of a column is kept: of several paths that of the first alone."""
    return last.planned.run if last.column in (last.planned.column, f"{last.planned.column}-p0") else ""


def _whole(group: Sequence[ScoredPart]) -> tuple[Matrix, Matrix]:
    """Scores and labels of all test parts."""
    return np.concatenate([each.scores for each in group]), np.concatenate([each.label for each in group])


def _summary(column: str, group: Sequence[ScoredPart], whole: tuple[Matrix, Matrix], sharpe: float) -> Summary:
    table = evaluation(*whole, overlap=group[0].planned.task.horizon)
    return Summary(
        column=column,
        tasks=len(group),
        slices=table["rank_ic"].slices,
        uncovered=0,
        failed=0,
        ic=_number(table["ic"].value),
        ic_error=_number(table["ic"].error),
        icir=_number(table["icir"].value),
        rank_ic=_number(table["rank_ic"].value),
        rank_ic_error=_number(table["rank_ic"].error),
        rank_ic_t=_number(table["rank_ic"].t),
        rank_icir=_number(table["rank_icir"].value),
        coverage=_number(table["coverage"].value),
        turnover=_number(table["turnover_top"].value),
        deflated_sharpe=_number(sharpe),
    )


def _pages(run: RunFile, ready: Ready, scored: Sequence[ScoredPart], folder: Path) -> None:
    """A page of figures of each column; of the first ones where a grid has many."""
    from samewire.evaluation_report import Scored, render_evaluation

    for column, group in list(by_column(scored).items())[:PAGES_MAX]:
        planned = group[0].planned
        panel, task = ready.plan.panels[planned.panel], planned.task
        ts = np.concatenate([each.ts for each in group])
        rows = np.searchsorted(panel.ts, ts)
        labels = {horizon: each.value[rows] for horizon, each in panel.labels.items()}
        trainings = len({each.planned.run for each in group})
        facts = [("Model", f"{task.model} ({task.use})"), ("Trainings", str(trainings)), *planned.changes.items()]
        split = split_text(section_of(run).split)
        facts += [("Split", split)] if split else []
        facts += [("Path", column.rpartition("-p")[2])] if column != planned.column else []
        page = Scored(
            title=f"{run.session.name}: {column}",
            ts=ts,
            scores=np.concatenate([each.scores for each in group]),
            label=labels.pop(task.horizon),
            horizon=task.horizon,
            decay=labels,
            facts=tuple(facts),
            verdict=ready.verdict,
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


def as_words(results: Results) -> dict[str, Any]:
    """The results as JSON values."""
    return {
        "ok": results.ok,
        "name": results.name,
        "folder": str(results.folder),
        "store": str(results.store),
        "scores": str(results.folder / SCORES) if results.columns else None,
        "tasks": msgspec.to_builtins(results.tasks),
        "columns": msgspec.to_builtins(results.columns),
        "split": results.split,
        "trials": results.trials,
        "leaks": verdict_words(results.verdict),
    }
