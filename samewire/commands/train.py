"""`samewire train`: the trainings of a run file, planned, run and recorded."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from samewire.commands.common import AS_IT_STANDS, NO_OUTPUT, Output, Taken, allowed, say, say_json

if TYPE_CHECKING:
    from engine.learning import Task
    from samewire.leaks import Leaks
    from samewire.run_file import RunFile
    from samewire.training import How
    from samewire.training_plan import Plan
    from samewire.training_results import Results, Summary, TaskResult


@Parameter(name="*")
@dataclass(frozen=True)
class Mode:
    """What is done with the section."""

    only: Annotated[bool, Parameter(name="--plan", help="Show the plan and train nothing.", negative="")] = False
    update: Annotated[
        bool, Parameter(help="Train the newest window and promote it by the rule of training.online.", negative="")
    ] = False
    actor: Annotated[str, Parameter(help="Who promotes, in the history of the registry.")] = "samewire train"
    permutations: Annotated[
        int | None,
        Parameter(help="Trainings of each model on permuted labels, to look for leaks.", show_default=False),
    ] = None


AS_PLANNED = Mode()


def train(
    run_file: Path,
    /,
    *,
    taken: Taken = AS_IT_STANDS,
    store: Path | None = None,
    out: Path | None = None,
    mode: Mode = AS_PLANNED,
    output: Output = NO_OUTPUT,
) -> int:
    """Carries out the section `training:` of a run file. What ended before is not done again.

    The exit code is 1 when a training failed or a leak was found; all that came out is recorded all the same.

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
    from engine.errors import ConfigError
    from samewire.training import How
    from samewire.training_progress import watching

    run = taken.load(run_file)
    if mode.update and out is not None:
        raise ConfigError("--out is a folder of scores, of which --update makes none; leave it out")
    if _of_agent(run) and (mode.update or mode.permutations is not None):
        raise ConfigError("--update and --permutations are for models, not for training.agent; leave it out")
    if mode.only:
        return _planned_agents(run, store, output) if _of_agent(run) else _planned(run, store, mode, output)
    with watching(quiet=output.quiet) as watcher:
        how = How(
            clock=SystemClock(),
            store=store,
            watcher=watcher,
            allow=allowed(taken.allow),
            permutations=mode.permutations,
        )
        try:
            ok, text, words = _carried_out(run, how, mode, out)
        except KeyboardInterrupt:
            sys.stderr.write(f"ended after {watcher.count}; the same command goes on from here\n")
            raise
    _tell(text, words, output)
    return 0 if ok else 1


def _of_agent(run: "RunFile") -> bool:
    return run.training is not None and run.training.agent is not None


def _carried_out(run: "RunFile", how: "How", mode: Mode, out: Path | None) -> tuple[bool, str, dict[str, Any]]:
    if _of_agent(run):
        return _taught(run, how, out)
    return _updated(run, how, mode) if mode.update else _trained(run, how, out)


def _tell(text: str, words: dict[str, Any], output: Output) -> None:
    if output.json:
        say_json(words)
    else:
        say(text)


def _planned(run: "RunFile", store: Path | None, mode: Mode, output: Output) -> int:
    from samewire.training import planned_only
    from samewire.training_plan import rolled
    from samewire.training_update import newest

    plan, done = planned_only(run, store, newest if mode.update else rolled)
    _tell(plan_text(run.session.name, plan, done), plan_words(plan, done), output)
    return 0


def _trained(run: "RunFile", how: "How", out: Path | None) -> tuple[bool, str, dict[str, Any]]:
    from samewire.training import train as carried_out
    from samewire.training_results import as_words
    from samewire.training_telling import told_lines, told_words

    results = carried_out(run, how, out=out)
    told = {"sinks": told_words(results.told)} if results.told else {}
    return results.ok, "\n".join([as_text(results), *told_lines(results.told)]), as_words(results) | told


def _taught(run: "RunFile", how: "How", out: Path | None) -> tuple[bool, str, dict[str, Any]]:
    from samewire.agent_training import as_text as agents_text
    from samewire.agent_training import as_words, train_agents
    from samewire.training_telling import told_lines, told_words

    results = train_agents(run, how, out=out)
    told = {"sinks": told_words(results.told)} if results.told else {}
    return results.ok, "\n".join([agents_text(results), *told_lines(results.told)]), as_words(results) | told


def _planned_agents(run: "RunFile", store: Path | None, output: Output) -> int:
    import msgspec

    from samewire.agent_starts import unheard
    from samewire.agent_training import plan_text as agents_plan
    from samewire.agent_training import planned_agents
    from samewire.agent_world import agent_of, billed

    world, asked, done = planned_agents(run, store)
    bill = billed(world, agent_of(run))
    words = {"ok": True, "agents": msgspec.to_builtins(asked), "done": done}
    words |= msgspec.to_builtins(bill) | {"steps": bill.steps}
    words["warnings"] = unheard(agent_of(run).orders.start, world.orders)
    _tell(agents_plan(run, world, asked, done), words, output)
    return 0


def _updated(run: "RunFile", how: "How", mode: Mode) -> tuple[bool, str, dict[str, Any]]:
    from samewire import update_words
    from samewire.training_update import update

    updates = update(run, how, actor=mode.actor)
    return updates.ok, update_words.as_text(updates), update_words.as_words(updates)


# ---- the plan --------------------------------------------------------------------------------------------------------


def plan_text(name: str, plan: "Plan", done: int) -> str:
    from engine.instants import day_text

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
    from engine.instants import day_text

    first, last = day_text(task.train.since), day_text(task.train.until - 1)
    test = task.test
    spans = [block.span for block in task.blocks] or ([] if test is None else [test])
    predicts = ", ".join(f"{day_text(span.since)} to {day_text(span.until - 1)}" for span in spans) or "-"
    return ("all but what touches it" if task.left_out else f"{first} to {last}"), predicts


def plan_words(plan: "Plan", done: int) -> dict[str, object]:
    import msgspec

    tasks = [
        {"run": planned.run, "column": planned.column, "task": msgspec.to_builtins(planned.task)}
        for planned in plan.tasks
    ]
    return {"ok": True, "tasks": tasks, "done": done}


# ---- the results -----------------------------------------------------------------------------------------------------


def as_text(results: "Results") -> str:
    reused = sum(task.reused and task.status == "end" for task in results.tasks)
    trained = len(results.tasks) - reused - len(results.failed)
    counts = [f"{trained} trained", *([f"{reused} done before"] if reused else [])]
    counts += [f"{len(results.failed)} failed"] if results.failed else []
    lines = [f"{results.name}: {', '.join(counts)}", _leaks(results.verdict)]
    lines += [f"  split   {results.split}"] if results.split else []
    width = max(10, *(len(task.column) for task in results.tasks))
    if results.columns:
        lines += ["", f"  {'trained as':<{width}}  {'predicts':<24}  slices       IC  rank IC  artefact"]
        lines += [_task_line(task, width) for task in results.tasks if task.status == "end"]
        heads = f"{'IC':>15}  {'ICIR':>6}  {'rank IC':>15}  {'t':>5}  coverage  turnover  deflated"
        lines += ["", f"  {'all parts':<{width}}  trainings  slices  {heads}"]
        lines += [_column_line(column, width) for column in results.columns]
        lines += [_gap_line(column) for column in results.columns if column.uncovered]
        some = "1 trial" if results.trials == 1 else f"{results.trials} trials"
        lines += ["", f"  deflated: how likely long-short has a Sharpe ratio above 0, the best of {some} so far"]
    lines += [f"  {task.column} until {task.train[1]}: failed, {task.error}" for task in results.failed]
    if results.columns:
        lines += [f"  scores  {results.folder / 'scores.parquet'}", f"  pages   {results.folder / 'pages'}"]
    return "\n".join(lines)


def _leaks(verdict: "Leaks | None") -> str:
    from samewire.training_leaks import sentence_of

    return f"  {'LEAK' if verdict and verdict.found else 'leaks'}   {sentence_of(verdict)}"


def _task_line(task: "TaskResult", width: int) -> str:
    blocks = task.blocks or (() if task.test is None else (task.test,))
    test = ", ".join(" to ".join(block) for block in blocks) or "-"
    figures = f"{task.slices:>6}  {_figure(task.ic):>7}  {_figure(task.rank_ic):>7}"
    gap = f"  {task.uncovered:,} slices not predicted" if task.uncovered else ""
    return f"  {task.column:<{width}}  {test:<24}  {figures}  {task.artefact[:12]}{gap}"


def _column_line(column: "Summary", width: int) -> str:
    ic, rank = _with_error(column.ic, column.ic_error), _with_error(column.rank_ic, column.rank_ic_error)
    shares = [_share(value) for value in (column.coverage, column.turnover, column.deflated_sharpe)]
    means = f"{ic:>15}  {_figure(column.icir, 3):>6}  {rank:>15}  {_figure(column.rank_ic_t, 1):>5}"
    ends = "  ".join(f"{share:>8}" for share in shares)
    return f"  {column.column:<{width}}  {column.tasks:>9}  {column.slices:>6}  {means}  {ends}"


def _gap_line(column: "Summary") -> str:
    """What the figures of a column leave out, and so are no figures of."""
    failed = f", {column.failed:,} training{'s' * (column.failed > 1)} failed" if column.failed else ""
    return (
        f"  {column.column}: {column.uncovered:,} of {column.slices + column.uncovered:,} slices are in no figure: "
        f"without scores that tell names apart{failed}"
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.1f} %"


def _figure(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _with_error(value: float | None, error: float | None) -> str:
    return _figure(value) if error is None else f"{_figure(value)} ± {error:.4f}"
