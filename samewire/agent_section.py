"""The key `agent` of the section `training:` read from a run file."""

from typing import Any

from pydantic import BaseModel

from components.rl.trainer_budget import WEIGHTS_MAX, weights_of
from samewire.agent_spec import KINDS, PLAIN, AgentSpec, AgentTraining
from samewire.chosen import chosen
from samewire.reading import Owner, Reader
from samewire.yaml_text import Entries, described

PATH = "training.agent"
OF_MODELS = ("split", "grid", "leaks", "online", "horizons")  # keys of the section that say nothing of an agent


def read_agent(section: Entries, reader: Reader) -> AgentTraining | None:
    """The key; None after a problem."""
    node, before = section.values["agent"], len(reader.problems)
    if not isinstance(node, Entries):
        reader.add("E107", node.where, PATH, described(node), "a mapping with " + ", ".join(_keys()))
        return None
    for key in [key for key in OF_MODELS if key in section.values]:
        expected = f"no {key} beside agent: its own dates are {PATH}.split" if key == "split" else f"no {key}"
        reader.add("E113", section.keys[key], f"training.{key}", f"{key} beside agent", expected)
    own = Entries({k: v for k, v in node.values.items() if k not in (*KINDS, *PLAIN)}, node.keys, node.where)
    plan = reader.validated(AgentSpec, own, AgentSpec, PATH, Owner(f'"{PATH}"', _keys()))
    parts = {name: chosen(reader, node, f"{PATH}.{name}", kinds, next(iter(kinds))) for name, kinds in KINDS.items()}
    plain = {name: _mapping(reader, node, name, kind) for name, kind in PLAIN.items()}
    made = parts | plain
    if plan is None or None in made.values() or len(reader.problems) > before:
        return None
    agent = AgentTraining(plan=plan, **made)
    for key, got, expected in (*_contradictions(agent), *_budget(agent)):
        reader.add("E113", _where(node, key), f"{PATH}.{key}", got, expected)
    _each_start_once(agent.orders.start, node, reader)
    return agent if len(reader.problems) == before else None


def _keys() -> tuple[str, ...]:
    return (*KINDS, *PLAIN, *AgentSpec.model_fields)


def _mapping(reader: Reader, node: Entries, name: str, kind: type[BaseModel]) -> Any:
    found = node.values.get(name, Entries({}, {}, node.where))
    if not isinstance(found, Entries):
        reader.add(
            "E107", found.where, f"{PATH}.{name}", described(found), "a mapping with " + ", ".join(kind.model_fields)
        )
        return None
    return reader.validated(kind, found, kind, f"{PATH}.{name}")


def _each_start_once(starts: list[int], node: Entries, reader: Reader) -> None:
    """A problem for each bar that stands there again: its orders would be learned and judged twice."""
    for k, bar in enumerate(starts):
        first = starts.index(bar)
        if first < k:
            items: Any = node.values["orders"]
            where = items.values["start"].items[k].where
            expected = (
                f"each bar once: {bar} stands at start[{first}] too, and its orders would count twice; remove one"
            )
            reader.add("E108", where, f"{PATH}.orders.start[{k}]", f"{bar} again", expected)


def _contradictions(agent: AgentTraining) -> list[tuple[str, str, str]]:
    """What of the parts does not fit together: the key, what was said, what is expected."""
    found = []
    if agent.algorithm.use == "dqn" and agent.action.use != "categorical":
        found.append(("action", f"{agent.action.use} with dqn", "categorical: dqn chooses among a few actions"))
    if agent.network.use == "recurrent" and agent.observation.use != "full_history":
        said = f"{agent.observation.use} for a recurrent network"
        found.append(("observation", said, "full_history, or network: mlp"))
    if agent.teacher.use != "none":
        needs = [("algorithm", "ppo"), ("action", "categorical")]
        needs += [("reward", "pa_penalty")] if agent.teacher.use == "hindsight" else []
        odd = [(key, getattr(agent, key).use, use) for key, use in needs if getattr(agent, key).use != use]
        found += [(key, f"{said} with a teacher", f"{use}, or teacher: none") for key, said, use in odd]
    if agent.split.test_from <= agent.split.validation_from:
        got = f"validation_from {agent.split.validation_from}, test_from {agent.split.test_from}"
        found.append(("split", got, "a test_from after validation_from"))
    if agent.plan.bars_per_step > agent.plan.horizon:
        got = f"{agent.plan.bars_per_step} bars of a horizon of {agent.plan.horizon}"
        found.append(("bars_per_step", got, "at most the horizon"))
    return found


def _budget(agent: AgentTraining) -> list[tuple[str, str, str]]:
    """What no days could make a training of; what these days do not is told once they are known."""
    plan, found = agent.plan, []
    if plan.steps < plan.rows * plan.rounds:
        got = f"{plan.steps:,} for {plan.rows:,} rows x {plan.rounds:,} rounds"
        found.append(("steps", got, "at least one collection: rows x rounds x the decisions of an order"))
    if agent.teacher.use == "trained" and agent.teacher.steps < plan.rows * plan.rounds:
        got = f"{agent.teacher.steps:,} for {plan.rows:,} rows x {plan.rounds:,} rounds"
        found.append(("teacher.steps", got, "at least one collection: rows x rounds x the decisions of an order"))
    if agent.algorithm.use == "dqn" and agent.algorithm.learning_starts >= plan.steps:
        got = f"{agent.algorithm.learning_starts:,} of {plan.steps:,} steps"
        found.append(("algorithm.learning_starts", got, "less than steps, or it never learns"))
    if agent.algorithm.use == "ppo" and plan.rows * plan.rounds * -(-plan.horizon // plan.bars_per_step) < 2:
        found.append(("rows", "1 row, 1 round and orders of 1 decision", "at least 2 order-steps in a collection"))
    weights = weights_of(agent.course(0).network)
    if weights > WEIGHTS_MAX:
        found.append(("network.hidden", f"{weights:,} weights between these layers", f"at most {WEIGHTS_MAX:,}"))
    return found


def _where(node: Entries, key: str) -> Any:
    """The place of a key, or of the nearest above it that is written."""
    where, below = node.where, node
    for name in key.split("."):
        found = below.values.get(name)
        if found is None:
            break
        where = found.where
        if not isinstance(found, Entries):
            break
        below = found
    return where
