"""Agents whose weights were drawn: nothing was learned, and all choices come up."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from components.rl.agent_artefact import AgentCard, agent_artefact
from components.rl.extractor import extractor_of
from components.rl.observing import schema_of
from components.rl.trainer_options import Mlp, Recurrent
from engine.protocols import Artefact


def weights_of(card: AgentCard) -> dict[str, NDArray[Any]]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        body = extractor_of(card.shapes, card.network)
        head = torch.nn.Linear(body.features_dim, max(card.action.count, 1))
        for each in (*body.parameters(), head.weight):  # so that choices differ
            each.data *= 4
    parts = {"network": body, "head": head}
    return {f"{p}.{name}": each.numpy() for p, part in parts.items() for name, each in part.state_dict().items()}


def card_of(
    observation: Any,
    action: Any,
    network: Mlp | Recurrent,
    *,
    interval_ns: int,
    bars: int,
    horizon: int = 7,
    bars_per_step: int = 1,
    sessions: bool = True,
) -> AgentCard:
    steps = -(-horizon // bars_per_step)
    shapes = observation.shapes(bars, steps)
    return AgentCard(
        schema=schema_of(observation, action, shapes, 1e-3, bars_per_step),
        observation=observation,
        action=action,
        network=network,
        shapes=shapes,
        interval_ns=interval_ns,
        horizon=horizon,
        bars_per_step=bars_per_step,
        bars=bars,
        steps=steps,
        unit_bps=10.0,
        window=20,
        sessions=sessions,
        until_ns=0,
        trained={"market": {"fill": "next_open"}},
        figures={},
    )


def drawn(card: AgentCard) -> Artefact:
    rows = {name: np.random.default_rng(0).random((8, *shape), np.float32) for name, shape in card.shapes.items()}
    if "own" in rows:  # the numbers of a bar and of a step
        rows["now"] = np.floor(rows["now"])
    return agent_artefact(card, weights_of(card), rows)
