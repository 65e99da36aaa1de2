"""One agent as a job: its world built, taught, judged, recorded. It runs here, or in the process of a worker."""

import io
import math
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from adapters.tracking.store import RunStore
from components.models.artefact import restore_artefact
from components.rl.agent_artefact import AgentCard, agent_artefact, opened_agent
from components.rl.env import OrderEnv
from components.rl.trainer import Arena, Taught, Told, teach
from components.rl.trainer_beside import Beside, Works, beside, error_of, even_pace
from components.rl.trainer_evaluate import FIGURES, Figures, over_all
from components.rl.trainer_rest import Rest
from engine.clock import SystemClock
from engine.protocols import Artefact
from samewire.agent_cautions import market_words
from samewire.agent_spec import AgentTraining
from samewire.agent_world import World, agent_of, environment, world_of
from samewire.hiding import hider, hiding
from samewire.run_file import RunFile
from samewire.scrubbing import raise_scrubbed
from samewire.training_job import ARTEFACTS, alone, ended_whole

ORDERS = "test_orders.parquet"
_WINDOW, _UNIT_BPS = 20, 10.0  # of the tape that `world_of` makes


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told. `run` is a run file in plain words; secrets stand in it by reference only."""

    run: dict[str, Any]
    seed: int
    run_id: str
    key: str
    facts: dict[str, Any]
    store: str
    allow: tuple[str, ...] | None = None


def carry_out(argument: bytes) -> bytes:
    """Teaches as assigned; returns the artefact's hash. What another process has done meanwhile is not done again."""
    with hiding():
        try:
            return _carried_out(msgspec.json.decode(argument, type=Assignment)).encode()
        except Exception as error:  # noqa: BLE001 - raised again without secrets
            raise_scrubbed(error, hider())


def _carried_out(told: Assignment) -> str:
    from samewire.schema import load_run

    folder = Path(told.store)
    with closing(RunStore(folder)) as store, alone(folder / "work", told.run_id) as checkpoints:
        ended = ended_whole(store, told.run_id)
        if ended is not None:
            return str(ended.outcome["artefact"])
        run = store.begin(told.key, told.facts)
        file = load_run(told.run, allow=told.allow)
        agent, world = agent_of(file), world_of(file)
        passed: list[str] = []
        listening = Told(
            on_metrics=lambda metrics: store.log(run, metrics), cpu_ns=SystemClock().cpu_ns, warn=passed.append
        )
        rng = np.random.default_rng([told.seed, 1])
        validation = environment(world, agent, world.orders.validation)
        arena = Arena(
            training=environment(world, agent, world.orders.train, rng),
            validation=validation,
            inputs=world.inputs,
            counted=Rest(validation).counted,
        )
        taught = teach(agent.course(told.seed), arena, checkpoints=checkpoints, told=listening)
        test = environment(world, agent, world.orders.test)
        artefact, found, card = judged(file, world, taught, (validation, test), told.seed)
        restore_artefact(artefact, folder / ARTEFACTS / artefact.hash)
        store.keep(run, ORDERS, orders_table(world, found))
        said = {"steps": taught.steps, "iterations": taught.iterations, "best_iteration": taught.best_iteration}
        more: dict[str, Any] = {"passed_over": passed} if passed else {}
        more |= {"works": card.works, "monitor": agent.plan.monitor}
        store.end(run, "end", {"artefact": artefact.hash} | said | card.figures | more)
        return artefact.hash


def judged(
    run: RunFile, world: World, taught: Taught, parts: tuple[OrderEnv, OrderEnv], seed: int
) -> tuple[Artefact, Figures, AgentCard]:
    """The artefact of the best weights, and what these made of the orders of the test part: by the policy that sessions
    will have. How sessions work is decided by the orders of validation alone; `parts` are the two."""
    validation, test = parts
    card = _card(run, world, test, seed)
    weights = {name: each.numpy() for name, each in taught.best.items()}
    rows = test.reset()
    _, policy = opened_agent(agent_artefact(card, weights, rows), "training.agent")
    own, even = Rest(validation).counted(over_all(validation, policy.act)), even_pace(validation)
    found = Rest(test).counted(over_all(test, policy.act))
    figures = taught.figures | {"val/twap_net": float(even.net.mean()), "val/twap_ffr": float(even.ffr.mean())}
    agent = agent_of(run)
    compared = beside_even_pace(own, even, taught, world, agent)
    figures |= compared.figures() | found.means("test/") | beside_twap(found, even_pace(test), world)
    works: Works = "agent" if compared.better else agent.plan.unless_better
    kept = msgspec.structs.replace(card, figures=figures, works=works)
    return agent_artefact(kept, weights, rows), found, kept


def beside_even_pace(own: Figures, even: Figures, taught: Taught, world: World, agent: AgentTraining) -> Beside:
    """The best of all validations beside an even pace, by the figure that it is the best by, on the same orders."""
    figure = agent.plan.monitor.removeprefix("val/")
    looks = math.ceil(taught.iterations / agent.plan.validate_every)
    day = world.orders.validation.day[own.episode]
    return beside(getattr(own, figure), getattr(even, figure), day, looks=looks)


def _card(run: RunFile, world: World, test: OrderEnv, seed: int) -> AgentCard:
    """Without figures."""
    agent = agent_of(run)
    return AgentCard(
        schema=test.schema,
        observation=agent.seen(),
        action=agent.acted(),
        network=agent.course(seed).network,
        shapes=test.observation_shapes,
        interval_ns=world.days.interval_ns,
        horizon=agent.plan.horizon,
        bars_per_step=agent.plan.bars_per_step,
        bars=world.days.bars,
        steps=test.steps,
        unit_bps=_UNIT_BPS,
        window=_WINDOW,
        sessions=getattr(world.feed, "sessions", None) is not None,
        until_ns=int(world.days.ts[: world.orders.test.day.min()].max()),
        trained=_trained(run, agent, world, seed),
        figures={},
    )


def _trained(run: RunFile, agent: AgentTraining, world: World, seed: int) -> dict[str, Any]:
    return {
        "market": market_words(run),
        "agent": agent.words(),
        "seed": seed,
        "inputs": world.inputs,
        "symbols": list(world.feed.universe.symbols),
    }


def beside_twap(found: Figures, twap: Figures, world: World) -> dict[str, float]:
    """Errors of the means, TWAP's figures of the same orders, and how much better it was, order by order."""
    day, gain = world.orders.test.day[found.episode], found.net - twap.net
    said = {
        "test/net_error": error_of(found.net, day),
        "test/twap_net": float(twap.net.mean()),
        "test/twap_ffr": float(twap.ffr.mean()),
        "test/gain": float(gain.mean()),
        "test/gain_error": error_of(gain, day),
    }
    return {name: value for name, value in said.items() if np.isfinite(value)}


def orders_table(world: World, found: Figures) -> bytes:
    """Each order of the test part and its figures, as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    orders, days = world.orders.test.rows(found.episode), world.days
    symbols = np.asarray(days.universe.symbols)[orders.symbol]
    columns: dict[str, Any] = {
        "date": pa.array((days.label[orders.day] // 86_400_000_000_000).astype(np.int32), pa.int32()).cast(pa.date32()),
        "symbol": pa.array(symbols, pa.string()),
        "qty": orders.side * orders.quantity,
    }
    columns |= {name: getattr(found, name) for name in FIGURES}
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, compression="zstd")
    return out.getvalue()
