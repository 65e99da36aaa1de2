"""Agents of a run file trained and recorded: a job for each seed, what ended before taken from the store."""

import hashlib
import json
import platform
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from adapters.tracking.code_version import code_version
from adapters.tracking.delivery import Delivered
from adapters.tracking.store import FAILED, RunStore, run_id
from adapters.tracking.whole import write_whole
from components.rl.trainer_budget import Bill
from engine.errors import ConfigError
from engine.learning import Job
from samewire.agent_cautions import market_words
from samewire.agent_guard import no_better
from samewire.agent_job import Assignment
from samewire.agent_progress import phases_of, told_how_far
from samewire.agent_spec import AgentTraining
from samewire.agent_starts import shorter, unheard
from samewire.agent_world import World, agent_of, billed, world_of
from samewire.build import libraries
from samewire.hiding import hider
from samewire.plain import run_in_words
from samewire.provenance import code_hash, code_of, machine, own_code, with_nested
from samewire.run_file import Component, RunFile
from samewire.schema import VERSION
from samewire.training import How, closing_outcomes, executor_of, told_of
from samewire.training_job import ARTEFACTS, ended_whole
from samewire.training_plan import section_of

_LIBRARIES = ("torch", "stable-baselines3", "gymnasium")


_LARGE_MB = 200
_LESS = 1e-3  # of the shares: what counts as less
_LEGEND = (
    "  net: advantage of its own choices over the mean price, all costs in, what was left undone priced at the end;",
    "  TWAP: that of an even pace on the same orders; ±: standard error of a mean over days, - where there is but one",
)
_MARKED = "  *: it fills less than that pace, so part of the difference is of shares that nobody traded"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One agent to train."""

    column: str
    seed: int
    key: str
    run: str  # its id in the store


class AgentResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one."""

    column: str
    seed: int
    run: str
    status: str
    reused: bool = False
    error: str = ""
    artefact: str = ""
    place: str = ""
    outcome: dict[str, Any] = {}


class AgentResults(msgspec.Struct, frozen=True, kw_only=True):
    """All of them."""

    name: str
    folder: str
    agents: tuple[AgentResult, ...]
    rest: str = "close"  # of the reward: how what is left undone counts
    penalty: float = 0.0  # and what trading at once costs in it
    told: tuple[Delivered, ...] = ()
    warnings: tuple[str, ...] = ()  # of all of them

    @property
    def ok(self) -> bool:
        return all(agent.status == "end" for agent in self.agents)


def train_agents(run: RunFile, how: How, *, out: Path | None = None) -> AgentResults:
    """Carries out `training.agent`. One that fails is told in the results and stops no other."""
    from components.rl.trainer import libraries_here

    libraries_here()
    place = how.store or section_of(run).plan.store
    with told_of(run, how) as told, closing(RunStore(place, clock=how.clock)) as runs:
        world = world_of(run)
        code = _code(run)
        asked, facts = planned(run, world, code), _facts(run, world, code)
        done = {each.run for each in asked if ended_whole(runs, each.run) is not None}
        if how.watcher is not None:
            how.watcher.begun(len(asked), len(done))
        waiting = [each for each in asked if each.run not in done]
        phases = phases_of(billed(world, agent_of(run)))
        tell = (lambda said: None) if how.watcher is None else how.watcher.going
        with told_how_far(runs.folder, {each.run: each.column for each in waiting}, phases, tell):
            errors = _carry_out(run, waiting, runs, how, facts)
        made = [_result(runs, each, errors.get(each.run, ""), each.run in done) for each in asked]
        folder = out or runs.folder / "results" / run.session.name
        warnings = tuple(unheard(agent_of(run).orders.start, world.orders))
        reward = agent_of(run).rewarded()
        results = AgentResults(
            name=run.session.name,
            folder=str(folder),
            agents=tuple(made),
            rest=reward.rest,
            penalty=getattr(reward, "penalty", 0.0),
            warnings=warnings,
        )
        content = msgspec.json.format(msgspec.json.encode(as_words(results)), indent=1)
        write_whole(folder / "results.json", content + b"\n")
    return msgspec.structs.replace(results, told=told.places)


def planned(run: RunFile, world: World, code: str) -> list[Asked]:
    """An agent for each seed, by this code. ConfigError for a budget that trains none."""
    agent, section = agent_of(run), section_of(run)
    billed(world, agent)
    found = []
    for k in range(section.plan.seeds):
        seed = run.session.seed + k
        said = {"agent": agent.words(), "seed": seed, "market": market_words(run), "inputs": world.inputs}
        key = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]
        column = f"{agent.plan.name}-s{seed}" if section.plan.seeds > 1 else agent.plan.name
        found.append(Asked(column=column, seed=seed, key=key, run=run_id(key, code)))
    return found


def _carry_out(run: RunFile, waiting: list[Asked], runs: RunStore, how: How, facts: dict[str, Any]) -> dict[str, str]:
    """The errors of those that failed, by run."""
    by_run = {each.run: each for each in waiting}
    words = run_in_words(run, VERSION, lambda path: str(path.absolute()))
    jobs = [_job(words, each, runs, how, _facts_of(each, facts)) for each in waiting]
    errors: dict[str, str] = {}
    with closing_outcomes(executor_of(section_of(run)).run(jobs)) as outcomes:
        for outcome in outcomes:
            each = by_run[outcome.key]
            if outcome.value is None:
                errors[each.run] = hider()(outcome.error)
                runs.begin(each.key, _facts_of(each, facts))
                runs.end(each.run, FAILED, {"error": errors[each.run], "attempts": outcome.attempts})
            if how.watcher is not None:
                how.watcher.told(each.column + (f": failed, {errors[each.run]}" if each.run in errors else ""))
    return errors


def _job(words: dict[str, Any], each: Asked, runs: RunStore, how: How, facts: dict[str, Any]) -> Job:
    told = Assignment(
        run=words,
        seed=each.seed,
        run_id=each.run,
        key=each.key,
        facts=facts,
        store=str(runs.folder.absolute()),
        allow=how.allow,
    )
    return Job(key=each.run, call="samewire.agent_job:carry_out", argument=msgspec.json.encode(told))


def _result(runs: RunStore, each: Asked, error: str, reused: bool) -> AgentResult:
    row = runs.run(each.run)
    artefact = str(row.outcome.get("artefact", ""))
    return AgentResult(
        column=each.column,
        seed=each.seed,
        run=each.run,
        status=row.status,
        reused=reused,
        error=error,
        artefact=artefact,
        place=str(runs.folder / ARTEFACTS / artefact) if artefact else "",
        outcome=row.outcome,
    )


# ---- what is recorded ------------------------------------------------------------------------------------------------


def _code(run: RunFile) -> str:
    """Hash of what trains, and of the market's costs. What a feed reads is known by the bars that it gives."""
    costs = run.broker.options.get("costs")
    parts = dict(with_nested("costs", costs)) if isinstance(costs, Component) else {}
    feed = {name: code_of(part) for name, part in with_nested("feed", run.feed)}
    return code_hash(parts, {"own": own_code(), "libraries": _versions(), "feed": feed})


def _versions() -> dict[str, str]:
    from importlib import metadata

    try:
        return libraries() | {name: metadata.version(name) for name in _LIBRARIES}
    except metadata.PackageNotFoundError as error:
        raise ConfigError(
            f"training of agents: it needs stable-baselines3, gymnasium and PyTorch, and {error.name} is not "
            "installed; pip install 'samewire[rl]'"
        ) from error


def _facts(run: RunFile, world: World, code: str) -> dict[str, Any]:
    """What all agents of a run file have in common. Names no machine and holds no secret."""
    days, dates = world.days, agent_of(run).split
    last = str(days.date(len(days) - 1))
    return {
        "name": run.session.name,
        "code": code,
        "version": code_version(run.folder),
        "libraries": _versions(),
        "python": platform.python_version(),
        "machine": machine(),
        "threads": 1,
        "data": world.feed.hashes(),
        "train": [str(days.date(0)), str(dates.validation_from)],
        "valid": [str(dates.validation_from), str(dates.test_from)],
        "test": [str(dates.test_from), last],
        "orders": {name: len(getattr(world.orders, name)) for name in ("train", "validation", "test")},
        "task": {"use": "agent", "options": agent_of(run).words(), "market": market_words(run)},
    }


def _facts_of(each: Asked, common: dict[str, Any]) -> dict[str, Any]:
    task = common["task"] | {"seed": each.seed}
    hidden: dict[str, Any] = hider().inside(common | {"column": each.column, "task": task})
    return hidden


# ---- the results -----------------------------------------------------------------------------------------------------


def as_words(results: AgentResults) -> dict[str, Any]:
    agents = [msgspec.to_builtins(agent) for agent in results.agents]
    said = {"warnings": list(results.warnings)} if results.warnings else {}
    return {"ok": results.ok, "name": results.name, "agents": agents} | said


def as_text(results: AgentResults) -> str:
    ended = [agent for agent in results.agents if agent.status == "end"]
    failed = [agent for agent in results.agents if agent.status != "end"]
    reused = sum(agent.reused for agent in ended)
    counts = [f"{len(ended) - reused} trained", *([f"{reused} done before"] if reused else [])]
    counts += [f"{len(failed)} failed"] if failed else []
    lines = [f"{results.name}: {', '.join(counts)}"]
    if ended:
        width = max(10, *(len(agent.column) for agent in ended))
        heads = f"{'steps':>9}  {'val net':>8}  {'test net, bp':>17}  {'TWAP':>8}  {'better by':>17}"
        heads += f"  {'vs VWAP':>8}  filled  artefact"
        lines += ["", f"  {'trained as':<{width}}  {heads}"]
        lines += [_line(agent, width) for agent in ended]
        marked = any(_fills_less(agent.outcome, "test") for agent in ended)
        lines += ["", *_LEGEND, *([_MARKED] if marked else []), *(f"  warning  {text}" for text in results.warnings)]
        for agent in ended:
            texts = (
                *no_better(agent.outcome),
                *undone(agent.outcome, results.rest, results.penalty),
                *agent.outcome.get("passed_over", ()),
            )
            lines += [f"  warning  {agent.column}: {text}" for text in texts]
    lines += [f"  {agent.column}: failed, {agent.error}" for agent in failed]
    return "\n".join([*lines, *(f"  {agent.column}  {agent.place}" for agent in ended)])


def _line(agent: AgentResult, width: int) -> str:
    said = agent.outcome
    net, gain = (_with_error(said, name) for name in ("test/net", "test/gain"))
    twap = _shown(said.get("test/twap_net"))
    gain = f"{gain:>17}{'*' if _fills_less(said, 'test') else ' '}"
    figures = f"{said['val/net']:>8.2f}  {net:>17}  {twap:>8}  {gain} {said['test/pa_vwap']:>8.2f}"
    ffr = f"{said['test/ffr'] * 100:>5.1f} %"
    return f"  {agent.column:<{width}}  {said['steps']:>9,}  {figures}  {ffr}  {agent.artefact[:12]}"


def _with_error(said: dict[str, Any], name: str) -> str:
    return f"{_shown(said.get(name))} ± {_shown(said.get(f'{name}_error'))}"


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def undone(said: dict[str, Any], rest: str, penalty: float) -> list[str]:
    """A warning of each part of the split in which the agent leaves more undone than an even pace does, by how its
    reward counts that."""
    why = (
        "what it leaves undone costs it nothing; take reward.rest: close"
        if rest == "ignored"
        else "the rest is priced at the last close whatever broker.participation, and where costs grow no faster than "
        "the shares, that is no dearer than to trade it; raise broker.participation or the horizon"
    )
    why += f", or lower reward.penalty (it is {penalty:g})" if penalty else ""
    return [
        f"it fills {said[f'{part}/ffr'] * 100:.1f} % of the orders of {what}, and an even pace "
        f"{said[f'{part}/twap_ffr'] * 100:.1f} %: {why}"
        for part, what in (("val", "validation"), ("test", "test"))
        if _fills_less(said, part)
    ]


def _fills_less(said: dict[str, Any], part: str) -> bool:
    own, twap = said.get(f"{part}/ffr"), said.get(f"{part}/twap_ffr")
    return own is not None and twap is not None and bool(own < twap - _LESS)


def plan_text(run: RunFile, world: World, asked: list[Asked], done: int) -> str:
    """What would be trained."""
    agent, days = agent_of(run), world.days
    bill = billed(world, agent)
    decisions = bill.collection // (agent.plan.rows * agent.plan.rounds)
    orders = {name: len(getattr(world.orders, name)) for name in ("train", "validation", "test")}
    return "\n".join(
        [
            f"{run.session.name}: {len(asked)} trainings planned, {done} of them done before",
            f"  days    {len(days):,} of up to {days.bars:,} bars, {days.date(0)} to {days.date(len(days) - 1)}; "
            f"{len(days.universe):,} symbols",
            "  orders  " + ", ".join(f"{count:,} {name}" for name, count in orders.items()),
            *(f"  starts  {text}" for text in shorter(agent.orders.start, days)),
            f"  budget  {agent.plan.steps:,} order-steps by {agent.algorithm.use}",
            f"  to run  {bill.steps:,} order-steps in {bill.collections:,} collections of "
            f"{agent.plan.rows * agent.plan.rounds:,} orders x {decisions:,} decisions; "
            f"{'up to ' * bool(agent.plan.patience)}{bill.validations:,} validations",
            *_teacher_text(bill),
            *_replay_text(agent, bill.memory_mb),
            *([f"  teacher  up to {bill.teacher_mb:,.0f} MiB of what it knows"] if bill.teacher_mb else []),
            *(f"  warning  {text}" for text in unheard(agent.orders.start, world.orders)),
        ]
    )


def _teacher_text(bill: Bill) -> list[str]:
    """What a teacher learns before its student does."""
    if not bill.teacher_collections:
        return []
    return [f"  before that  {bill.teacher_steps:,} of its teacher in {bill.teacher_collections:,} collections"]


def _replay_text(agent: AgentTraining, size: float) -> list[str]:
    """How large the checkpoints of a replay buffer become: what the network reads of each order-step."""
    if agent.algorithm.use != "dqn":
        return []
    said = [f"  checkpoint  up to {size:,.0f} MiB after each collection, most of it what algorithm.buffer remembers"]
    if size > _LARGE_MB:
        said += [f"  warning  that is more than {_LARGE_MB} MiB; lower algorithm.buffer, or take observation: compact"]
    return said


def planned_agents(run: RunFile, store: Path | None) -> tuple[World, list[Asked], int]:
    """What would be trained, and how much of it is done already; nothing is recorded."""
    world = world_of(run)
    asked, place = planned(run, world, _code(run)), store or section_of(run).plan.store
    if not (place / "runs.sqlite").is_file():
        return world, asked, 0
    with closing(RunStore(place)) as runs:
        return world, asked, sum(ended_whole(runs, each.run) is not None for each in asked)
