"""Trainings planned, carried out and recorded: what ended before is taken from the store, the rest runs.

Nothing of it enters a session: what it leaves are artefacts, and scores of slices that no model had learned from.
"""

import json
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from adapters.scaleout.pool import Pool
from adapters.scaleout.serial import Serial
from adapters.tracking.code_version import code_version
from adapters.tracking.panel_file import held
from adapters.tracking.store import FAILED, RunStore
from adapters.tracking.telling import Told
from engine.clock import Clock
from engine.instants import day_text
from engine.learning import Executor, Job, Outcome
from samewire.build import libraries
from samewire.hiding import hider
from samewire.plain import run_in_words
from samewire.provenance import machine
from samewire.run_file import RunFile
from samewire.schema import VERSION
from samewire.training_job import Assignment, Came, ended_whole
from samewire.training_leaks import looked, verdict_words, with_answers
from samewire.training_plan import Plan, Planned, Windows, plan_of, rolled, section_of, variant_of
from samewire.training_results import Ready, Results, results_of
from samewire.training_spec import PoolSpec, Training
from samewire.training_telling import telling
from samewire.universes import universe_words


class Watcher(Protocol):
    """Whom to tell: of the plan and how many of its tasks are done already, of each one that ends, and of what went
    wrong that stops none of them; of that from another thread. Where tasks are none of a plan: how many there are and
    are done, a line of each that ends, and lines of how far they are."""

    def begun(self, total: int, done: int) -> None: ...
    def told(self, said: str) -> None: ...
    def going(self, said: str) -> None: ...
    def planned(self, plan: Plan, done: int) -> None: ...
    def ended(self, planned: Planned, error: str) -> None: ...
    def warned(self, text: str) -> None: ...


class How(msgspec.Struct, frozen=True, kw_only=True):
    """What the run file does not say."""

    clock: Clock
    store: Path | None = None  # in place of that of the section
    watcher: Watcher | None = None
    allow: tuple[str, ...] | None = None
    permutations: int | None = None  # trainings on permuted labels, in place of what the section says


def train(run: RunFile, how: How, *, out: Path | None = None) -> Results:
    """Carries out the section `training:` of a run file. Tasks that ended before, under the same code and over the same
    history, are taken from the store. A task that fails is told in the results and stops no other.

    Scores and results are written into `out`, else into `results/NAME` of the store; one that was there is replaced.
    """
    with told_of(run, how) as told, carried_out(run, how) as ready:
        results = results_of(run, ready, out or ready.runs.folder / "results" / run.session.name)
    return msgspec.structs.replace(results, told=told.places)


def told_of(run: RunFile, how: How) -> AbstractContextManager[Told]:
    """Within it the places of `training.sinks` are told of the runs; they have as long as it takes to leave it."""
    warn = (lambda text: None) if how.watcher is None else how.watcher.warned
    return telling(run, how.store or section_of(run).plan.store, warn, how.clock)


@contextmanager
def carried_out(
    run: RunFile, how: How, windows: Windows = rolled, more: Mapping[str, Any] | None = None
) -> Iterator[Ready]:
    """The plan over these windows, looked at for leaks and then carried out; its panels stay for as long as this lasts.

    `more` is what is recorded with each of its runs beside what always is.
    """
    training = section_of(run)
    place = how.store or training.plan.store
    with closing(RunStore(place, clock=how.clock)) as runs, held(place / "panels"):
        plan = plan_of(run, place / "panels", windows)
        done = frozenset(planned.run for planned in plan.tasks if ended_whole(runs, planned.run) is not None)
        if how.watcher is not None:
            how.watcher.planned(plan, len(done))
        verdict = looked(run, training, plan, how.permutations)
        facts = _facts(run, plan) | {"leaks": verdict_words(verdict)} | dict(more or {})
        ready = Ready(plan=plan, runs=runs, verdict=verdict, errors={}, reused=done, facts=facts)
        errors, seen = _carry_out(run, training, ready, how)
        yield msgspec.structs.replace(ready, errors=errors, refused=seen, verdict=with_answers(verdict, seen))


def planned_only(run: RunFile, store: Path | None = None, windows: Windows = rolled) -> tuple[Plan, int]:
    """The plan, and how many of its tasks are done already; nothing is recorded.

    Its panels are gone when this returns: their arrays stay mapped, and nothing else may read them.
    """
    place = store or section_of(run).plan.store
    there = (place / "runs.sqlite").is_file()
    with tempfile.TemporaryDirectory(prefix="samewire-") as scratch:
        plan = plan_of(run, Path(scratch), windows)
        if not there:
            return plan, 0
        with closing(RunStore(place)) as runs:
            return plan, sum(ended_whole(runs, planned.run) is not None for planned in plan.tasks)


def _carry_out(
    run: RunFile, training: Training, ready: Ready, how: How
) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
    """Runs what has not ended yet: the errors of those that failed, by run; and by column what it was that saw later
    slices, and how."""
    waiting = {planned.run: planned for planned in ready.plan.tasks if planned.run not in ready.reused}
    jobs = [_job(run, planned, ready, how.allow) for planned in waiting.values()]
    errors: dict[str, str] = {}
    seen: dict[str, tuple[str, str]] = {}
    with closing_outcomes(executor_of(training).run(jobs)) as outcomes:
        for outcome in outcomes:
            planned = waiting[outcome.key]
            came = Came() if outcome.value is None else msgspec.json.decode(outcome.value, type=Came)
            if came.look_ahead:
                seen.setdefault(planned.column, (day_text(planned.task.train.until - 1), came.look_ahead))
            if not came.artefact:
                errors[outcome.key] = came.look_ahead or hider()(outcome.error)
                ready.runs.begin(planned.task.key, _facts_of(planned, ready.facts))
                told = {"error": errors[outcome.key], "attempts": outcome.attempts}
                ready.runs.end(outcome.key, FAILED, told | ({"leak": "prediction"} if came.look_ahead else {}))
            if how.watcher is not None:
                how.watcher.ended(planned, errors.get(outcome.key, ""))
    return errors, seen


@contextmanager
def closing_outcomes(outcomes: Iterator[Outcome]) -> Iterator[Iterator[Outcome]]:
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


def _job(run: RunFile, planned: Planned, ready: Ready, allow: tuple[str, ...] | None) -> Job:
    told = Assignment(
        run=run_in_words(variant_of(run, planned.model), VERSION, lambda path: str(path.absolute())),
        task=planned.task,
        run_id=planned.run,
        facts=_facts_of(planned, ready.facts),
        universe=universe_words(ready.plan.feed.universe),
        panel=str(planned.panel.absolute()),
        store=str(ready.runs.folder.absolute()),
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
    training = section_of(run)
    return {
        "name": run.session.name,
        "version": code_version(run.folder),
        "libraries": libraries(),
        "python": platform.python_version(),
        "machine": machine(),
        "data": plan.feed.hashes(),
        "split": training.split.model_dump(mode="json"),
        "since": None if training.plan.since is None else str(training.plan.since),
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
