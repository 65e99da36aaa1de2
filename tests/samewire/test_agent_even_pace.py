"""What an agent is measured against is TWAP as a desk works it, not the nearest that the agent's own choices allow."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.rl.env import OrderEnv
from components.rl.trainer_beside import even_pace
from samewire.agent_world import agent_of, environment, world_of
from samewire.schema import load_run
from tests.samewire.test_agent_training import a_run, trained

IMPACT = {"use": "simulated", "fill": "next_open", "costs": {"use": "quadratic_impact", "impact": 0.05}}
CHOICES: dict[str, dict[str, Any]] = {
    "quarters": {"action": {"use": "categorical", "values": 4}},
    "all or nothing": {"action": {"use": "categorical", "values": 1}},
    "three bars a decision": {"action": {"use": "categorical", "values": 4}, "bars_per_step": 3},
    "multiples": {"action": "twap_relative"},
}


def in_eighths(env: OrderEnv) -> np.ndarray:
    """Net advantage (E,) of orders of 8 bars by an eighth in each, to the nearest lot: from bars alone."""
    days, orders = env.days, env.orders
    row = orders.day * len(days.universe) + orders.symbol
    at = orders.start[:, None] + 1 + np.arange(8)
    price, volume = days.open[row[:, None], at], days.volume[row[:, None], at]
    lot = days.universe.lot[orders.symbol][:, None]
    done = np.rint(orders.quantity[:, None] * np.arange(9) / 8 / lot) * lot
    shares = np.diff(done, axis=1)
    share = shares / volume
    paid = price * (1 + orders.side[:, None] * 0.05 * share**2)
    mean = (shares * paid).sum(axis=1) / orders.quantity
    return -orders.side * (mean / price.mean(axis=1) - 1) * 1e4


@pytest.mark.parametrize("kind", CHOICES)
def test_an_even_pace_trades_in_every_bar_whatever_the_agent_may_choose(kind: str, tmp_path: Path) -> None:
    run = load_run(a_run(tmp_path, CHOICES[kind]) | {"broker": IMPACT})
    world = world_of(run)
    env = environment(world, agent_of(run), world.orders.test)
    found = even_pace(env)
    assert (found.ffr == 1.0).all()
    np.testing.assert_allclose(found.net, in_eighths(env), atol=0.02)


def test_the_figures_of_a_training_are_beside_it(tmp_path: Path) -> None:
    """Trading a quarter in every second bar costs more than an eighth in each: no agent is better for that."""
    words = a_run(tmp_path, CHOICES["quarters"]) | {"broker": IMPACT}
    result = trained(words).agents[0]
    assert result.status == "end", result.error
    world = world_of(load_run(words))
    even = in_eighths(environment(world, agent_of(load_run(words)), world.orders.test)).mean()
    said = result.outcome
    assert said["test/twap_net"] == pytest.approx(even, abs=0.005)
    assert said["test/gain"] == pytest.approx(said["test/net"] - even, abs=0.005)
