"""`samewire train`: the trainings of a run file, planned, run and recorded."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from samewire.commands.common import AS_IT_STANDS, NO_OUTPUT, Output, Taken, allowed, say, say_json

if TYPE_CHECKING:
    from engine.learning import Task
    from samewire.training_plan import Plan
    from samewire.training_results import Results, Summary, TaskResult

Only = Annotated[bool, Parameter(name="--plan", help="Show the plan and train nothing.", negative="")]


def train(
    run_file: Path,
    /,
    *,
    taken: Taken = AS_IT_STANDS,
    store: Path | None = None,
    out: Path | None = None,
    only: Only = False,
    output: Output = NO_OUTPUT,
) -> int:
    """Carries out the section `training:` of a run file. What ended before is not done again.

    The exit code is 1 when a training failed; the others are recorded all the same.

    Parameters
    ----------
    run_file
        The YAML file.
    store
        Folder in which trainings are recorded, in place of `training.store`.
    out
        Folder of the scores and results; `results/NAME` of the store when left out.
    """
    from engine.clock import SystemClock
    from samewire.training import planned_only
    from samewire.training import train as carried_out
    from samewire.training_progress import watching
    from samewire.training_results import as_words

    run = taken.load(run_file)
    clock = SystemClock()
    if only:
        plan, done = planned_only(run, store)
        if output.json:
            say_json(plan_words(plan, done))
        else:
            say(plan_text(run.session.name, plan, done))
        return 0
    with watching(quiet=output.quiet) as watcher:
        try:
            results = carried_out(run, store=store, out=out, clock=clock, watcher=watcher, allow=allowed(taken.allow))
        except KeyboardInterrupt:
            sys.stderr.write(f"ended after {watcher.count}; the same command goes on from here\n")
            raise
    if output.json:
        say_json(as_words(results))
    else:
        say(as_text(results))
    return 1 if results.failed else 0


# ---- the plan --------------------------------------------------------------------------------------------------------


def plan_text(name: str, plan: "Plan", done: int) -> str:
    from samewire.training_plan import day_text

    folds: dict[tuple[str, str], int] = {}
    for planned in plan.tasks:
        folds[_spans(planned.task)] = folds.get(_spans(planned.task), 0) + 1
    lines = [f"{name}: {len(plan.tasks)} trainings planned, {done} of them done before"]
    for panel in plan.panels.values():
        span = f"{day_text(int(panel.ts[0]))} to {day_text(int(panel.ts[-1]))}"
        lines.append(
            f"  history  {len(panel.ts):,} slices, {span}; {len(panel.symbols):,} symbols, {len(panel.names)} features"
        )
    lines += ["", "  " + "  ".join((f"{'learns from':<24}", f"{'predicts':<24}", "trainings"))]
    lines += [f"  {train:<24}  {test:<24}  {count:>9}" for (train, test), count in folds.items()]
    return "\n".join(lines)


def _spans(task: "Task") -> tuple[str, str]:
    from samewire.training_plan import day_text

    first, last = day_text(task.train.since), day_text(task.train.until - 1)
    test = task.test
    return f"{first} to {last}", "-" if test is None else f"{day_text(test.since)} to {day_text(test.until - 1)}"


def plan_words(plan: "Plan", done: int) -> dict[str, object]:
    import msgspec

    tasks = [
        {"run": planned.run, "column": planned.column, "task": msgspec.to_builtins(planned.task)}
        for planned in plan.tasks
    ]
    return {"ok": True, "tasks": tasks, "done": done}


# ---- the results -----------------------------------------------------------------------------------------------------


def as_text(results: "Results") -> str:
    reused = sum(task.reused for task in results.tasks)
    trained = len(results.tasks) - reused - len(results.failed)
    counts = [f"{trained} trained", *([f"{reused} done before"] if reused else [])]
    counts += [f"{len(results.failed)} failed"] if results.failed else []
    lines = [f"{results.name}: {', '.join(counts)}"]
    width = max(10, *(len(task.column) for task in results.tasks))
    if results.columns:
        lines += ["", f"  {'trained as':<{width}}  {'predicts':<24}  slices       IC  rank IC  artefact"]
        lines += [_task_line(task, width) for task in results.tasks if task.status == "end"]
        lines += ["", f"  {'all parts':<{width}}  {'trainings':<24}  slices  {'IC':>15}  {'rank IC':>15}"]
        lines += [_column_line(column, width) for column in results.columns]
    lines += [f"  {task.column} until {task.train[1]}: failed, {task.error}" for task in results.failed]
    if results.columns:
        lines += ["", f"  scores  {results.folder / 'scores.parquet'}", f"  pages   {results.folder / 'pages'}"]
    return "\n".join(lines)


def _task_line(task: "TaskResult", width: int) -> str:
    test = "-" if task.test is None else " to ".join(task.test)
    figures = f"{task.slices:>6}  {_figure(task.ic):>7}  {_figure(task.rank_ic):>7}"
    return f"  {task.column:<{width}}  {test:<24}  {figures}  {task.artefact[:12]}"


def _column_line(column: "Summary", width: int) -> str:
    ic, rank = _with_error(column.ic, column.ic_error), _with_error(column.rank_ic, column.rank_ic_error)
    return f"  {column.column:<{width}}  {column.tasks:<24}  {column.slices:>6}  {ic:>15}  {rank:>15}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _with_error(value: float | None, error: float | None) -> str:
    return _figure(value) if error is None else f"{_figure(value)} ± {error:.4f}"
