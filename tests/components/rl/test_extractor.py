"""The recurrent network goes over an order's past once for all of its steps, and finds what it finds step by step."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import DictRolloutBuffer

from components.rl.extractor import Branches
from components.rl.observing import FullHistory
from components.rl.trainer_options import Recurrent
from components.rl.trainer_rollout import orders_together
from tests.components.rl.made import env, minutes, orders

Seen = dict[str, torch.Tensor]
ROWS = 3 * 6 + 2 * 4


@pytest.fixture(scope="module")
def seen() -> Seen:
    """Three orders of six decisions and two of four, the last two alike, one order behind the other."""
    of = orders((1, 0, 1, 100, 2, 6), (1, 0, -1, 100, 2, 6), (1, 1, 1, 50, 1, 6), *[(2, 1, 1, 50, 3, 4)] * 2)
    game = env(minutes(lengths=(12, 12, 12)), of, observation=FullHistory())
    found: list[list[dict[str, Any]]] = [[] for _ in range(len(of))]
    observation = game.reset()
    while game.active.any():
        for k in np.flatnonzero(game.active):
            found[k].append({name: each[k].copy() for name, each in observation.items()})
        observation = game.step(np.where(game.own.step == 0, [1, 0, 1, 0, 1], 0)).observation
    rows = [each for order in found for each in order]
    assert len(rows) == ROWS
    return {name: torch.from_numpy(np.stack([each[name] for each in rows])) for name in rows[0]}


def learned(seen: Seen, order: Any) -> tuple[torch.Tensor, list[torch.Tensor], int]:
    """Features of the rows, which come in this order; slopes; and over how many pasts the network went."""
    torch.manual_seed(3)
    network, widths = Branches(FullHistory().shapes(12, 6), Recurrent(hidden=8, out=8)), []
    network.bars.register_forward_pre_hook(lambda layer, given: widths.append(given[0].shape[1]))
    features = network({name: each[order] for name, each in seen.items()})
    weight = torch.arange(features.numel()).reshape(features.shape).sin()
    (features * weight[order]).sum().backward()
    found = torch.empty_like(features)
    found[order] = features.detach()
    with torch.no_grad():  # as in collections and in sessions: each row for itself
        np.testing.assert_allclose(found, network(seen), atol=1e-6)
    slopes = [each.grad for each in network.parameters() if each.grad is not None]
    assert len(slopes) == len([*network.parameters()])
    return found, slopes, widths[0]


def test_steps_of_an_order_side_by_side_are_gone_over_once_and_give_the_same_slopes(seen: Seen) -> None:
    features, slopes, width = learned(seen, np.arange(ROWS))
    assert width == 5
    for order in (np.arange(ROWS)[::-1].copy(), np.random.default_rng(0).permutation(ROWS)):
        same, others, wide = learned(seen, order)
        assert ROWS - 4 <= wide <= ROWS
        np.testing.assert_allclose(same, features, atol=1e-6)
        for ours, theirs in zip(slopes, others, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("part", ["market", "own"])
def test_a_step_with_another_past_is_gone_over_for_itself(seen: Seen, part: str) -> None:
    other = {name: each.clone() for name, each in seen.items()}
    other[part][3, 1] += 1.0  # bar 0 and decision 1 of the fourth step: the rows before and behind it have another one
    assert learned(other, np.arange(ROWS))[2] == 7


def test_a_single_row_is_learned_from(seen: Seen) -> None:
    one = {name: each[5:6] for name, each in seen.items()}
    assert learned(one, np.array([0]))[2] == 1


def test_batches_have_each_order_step_once_and_successive_steps_in_one_piece() -> None:
    steps, width = 6, 4
    space = spaces.Dict({"now": spaces.Box(-np.inf, np.inf, (1,), np.float32)})
    buffer = DictRolloutBuffer(2 * steps, space, spaces.Discrete(2), n_envs=width)
    for k in range(2 * steps):
        name = np.arange(width, dtype=np.float32)[:, None] * 100 + k
        nothing = torch.zeros(width)
        buffer.add({"now": name}, np.zeros(width), np.zeros(width), np.zeros(width), nothing, nothing)
    orders_together(buffer, steps)
    torch.manual_seed(0)
    rounds = [[batch.observations["now"].flatten().tolist() for batch in buffer.get(15)] for _ in range(2)]
    assert [len(batch) for batch in rounds[0]] == [15, 15, 15, 3]
    every = [100.0 * row + k for row in range(width) for k in range(2 * steps)]
    drawn = [[each for batch in batches for each in batch] for batches in rounds]
    assert drawn[0] != drawn[1] != every
    for found in drawn:
        assert sorted(found) == every
        for first in range(0, len(found), steps):
            begins = found[first]
            assert begins % 100 in (0, steps)
            assert found[first : first + steps] == [begins + k for k in range(steps)]
