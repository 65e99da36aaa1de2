"""Deep Q-learning's targets against sums by hand and against the library's, and rows that explore by themselves."""

import tracemalloc
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import NStepReplayBuffer

from components.rl.trainer_dqn import DeepQ, ahead, worths
from components.rl.trainer_options import Course, Dqn, Mlp
from components.rl.trainer_rewards import Rewards
from components.rl.trainer_rows import OrderRows
from components.rl.trainer_sb3 import Learner
from tests.components.rl.toy import ACTIONS, STEPS, Toy

W, T = 3, 8
DQN = Dqn(lr=1e-2, buffer=T * W, learning_starts=0, updates=1, batch=5, gamma=0.9, n_steps=3)


def ring(pos: int, full: bool, seed: int = 0) -> Any:
    """What the rows of a buffer saw, of which orders end at their own steps."""
    chance = np.random.default_rng(seed)
    found = NStepReplayBuffer(T * W, spaces.Box(-9, 9, (2,)), spaces.Discrete(4), n_envs=W, n_steps=3, gamma=0.9)
    for _ in range(T + pos if full else pos):
        seen, following = chance.normal(size=(2, W, 2))
        over = chance.random(W) < 0.3
        found.add(seen, following, chance.integers(0, 4, W), chance.normal(size=W), over, [{}] * W)
    assert (found.pos, found.full) == (pos, full)
    return found


def followed(buffer: Any, at: int, row: int, steps: int, gamma: float) -> tuple[float, float, int]:
    """Step by step: the sum, what the estimate behind it is weighed with, and where it stands."""
    total, weight = 0.0, 1.0
    for k in range(steps):
        place = (at + k) % T
        total += gamma**k * float(buffer.rewards[place, row])
        weight *= gamma
        if buffer.dones[place, row]:
            return total, 0.0, place
        if place == (buffer.pos - 1) % T:
            break
    return total, weight, place


@pytest.mark.parametrize(("pos", "full"), [(5, False), (0, True), (3, True)])
@pytest.mark.parametrize("steps", [1, 2, 3, 20])
def test_rewards_are_summed_to_the_end_of_an_order_and_no_further(pos: int, full: bool, steps: int) -> None:
    buffer = ring(pos, full)
    at, row = (each.ravel() for each in np.mgrid[: buffer.size(), :W])
    found = ahead(buffer, at, row, steps=steps, gamma=0.9)
    wanted = [followed(buffer, a, r, steps, 0.9) for a, r in zip(at, row, strict=True)]
    np.testing.assert_allclose(found.reward, [w[0] for w in wanted], rtol=1e-12)
    np.testing.assert_allclose(found.weight, [w[1] for w in wanted], rtol=1e-12)
    assert found.last.tolist() == [w[2] for w in wanted]
    assert (found.weight == 0).any()
    assert (found.weight > 0).any()


@pytest.mark.parametrize(("pos", "full"), [(5, False), (3, True)])
def test_they_are_those_of_the_library_where_it_can_make_them(pos: int, full: bool) -> None:
    """Its buffer knows observations of one array alone; what it draws is drawn here by the same generator."""
    buffer = ring(pos, full)
    np.random.seed(3)  # noqa: TID251
    theirs = buffer.sample(200)
    np.random.seed(3)  # noqa: TID251
    at = np.random.randint(0, buffer.size(), 200)
    row = np.random.randint(0, W, 200)
    found = ahead(buffer, at, row, steps=3, gamma=0.9)
    np.testing.assert_allclose(theirs.rewards[:, 0], found.reward, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose((theirs.discounts * (1 - theirs.dones))[:, 0], found.weight, rtol=1e-6)
    np.testing.assert_array_equal(theirs.next_observations, buffer.next_observations[found.last, row])


def test_the_other_network_judges_the_choice_of_the_first() -> None:
    online, target = np.array([[1.0, 5.0, 2.0], [4.0, 0.0, 3.0]]), np.array([[7.0, -1.0, 0.0], [2.0, 9.0, 8.0]])

    def says(worth: Any) -> Any:
        return lambda seen: torch.from_numpy(worth)[seen["row"]]

    seen = {"row": torch.tensor([0, 1])}
    assert worths(says(online), says(target), seen, double=False).tolist() == [7.0, 9.0]
    assert worths(says(online), says(target), seen, double=True).tolist() == [-1.0, 2.0]


# ---- an update -------------------------------------------------------------------------------------------------------


def learner(said: Dqn, *, rows: int = W, env: Any = None) -> Learner:
    course = Course(algorithm=said, network=Mlp((6,)), steps=60 * rows, rows=rows, seed=4)
    env = Toy(rows) if env is None else env
    made = Learner(OrderRows(env, Rewards(rows, scale=0.1, gamma=1.0, normalised=False), lambda: 0), course)
    made.begin()
    return made


def by_hand(net: Any, seen: Any) -> Any:
    """Values of actions by numpy, from the weights of a network of one layer."""
    weights = [each.detach().numpy().astype(float) for each in net.parameters()]
    inner = np.maximum(seen["now"] @ weights[0].T + weights[1], 0.0)
    return inner @ weights[2].T + weights[3]


@pytest.mark.parametrize("change", [{}, {"double": False}, {"n_steps": 1}, {"target_every": 0}])
def test_the_loss_of_a_batch_is_that_of_targets_by_hand(change: dict[str, Any]) -> None:
    said = msgspec.structs.replace(DQN, **change)
    made = learner(said)
    for _ in range(3):
        made.collect()
    one = made.algorithm
    with torch.no_grad():
        for each in one.q_net_target.parameters():
            each += torch.linspace(-0.5, 0.5, each.numel()).view(each.shape)
    chance = np.random.default_rng(8)
    made._deep._rng = np.random.default_rng(8)  # type: ignore[union-attr]
    buffer, losses = one.replay_buffer, []
    for at, row in np.stack([chance.integers(0, T, 5), chance.integers(0, W, 5)], axis=1).tolist():
        total, weight, last = followed(buffer, at, row, said.n_steps, said.gamma)
        following = {"now": buffer.next_observations["now"][np.array([last]), np.array([row])][0].astype(float)}
        online, target = by_hand(one.q_net, following), by_hand(one.q_net_target, following)
        target = online if said.target_every == 0 else target
        total += weight * (target[online.argmax()] if said.double else target.max())
        own = by_hand(one.q_net, {"now": buffer.observations["now"][at, row]})[int(buffer.actions[at, row, 0])]
        gap = abs(own - total)
        losses.append(0.5 * gap**2 if gap < 1 else gap - 0.5)
    loss, _ = made._deep._loss()  # type: ignore[union-attr]
    assert float(loss.detach()) == pytest.approx(np.mean(losses), rel=1e-5)


def test_a_target_of_more_steps_than_an_order_has_is_one_of_all_its_steps() -> None:
    """The same loss to the bit, and no arrays of what cannot come: a batch of 10,000 steps would be 5 MB a column."""
    losses = []
    for steps in (STEPS, 10_000):
        made = learner(msgspec.structs.replace(DQN, n_steps=steps, batch=64))
        for _ in range(3):
            made.collect()
        tracemalloc.start()
        loss, _ = made._deep._loss()  # type: ignore[union-attr]
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        losses.append(float(loss.detach()))
        assert most < 1e6
    assert losses[0] == losses[1]


def test_sums_hold_rewards_of_one_order_where_rows_end_at_their_own_steps() -> None:
    """Orders of the environment end whenever all is sold; what each step belongs to is written down beside."""
    told: list[tuple[Any, Any]] = []

    class Heard(Toy):
        def step(self, action: Any) -> Any:
            before = self._taken.copy()
            found = super().step(action)
            told.append((before, found.reward.copy()))
            return found

        def _take(self, rows: Any) -> None:
            super()._take(rows)
            self._taken = getattr(self, "_taken", np.zeros(self.width, int))
            self._taken[rows] += 1

    made = learner(msgspec.structs.replace(DQN, buffer=12 * W), env=Heard(W))
    for _ in range(3):
        made.collect()
    order, reward = (np.array(each) for each in zip(*told, strict=True))
    assert not (order == order[:, :1]).all()  # rows end at their own steps
    buffer = made.algorithm.replay_buffer
    at, row = (each.ravel() for each in np.mgrid[: buffer.size(), :W])
    found = ahead(buffer, at, row, steps=STEPS, gamma=1.0)
    for a, r, total in zip(at, row, found.reward, strict=True):
        same = order[a:, r] == order[a, r]
        assert total == pytest.approx(0.1 * reward[a:, r][same].sum(), rel=1e-5, abs=1e-6)


# ---- exploring -------------------------------------------------------------------------------------------------------


def exploring(rows: int, left: float, seen: int = 10**6, **said: Any) -> tuple[DeepQ, Any]:
    policy = SimpleNamespace(predict=lambda observation, deterministic: (np.zeros(rows, np.int64), None))
    from stable_baselines3.common.utils import LinearSchedule

    one = SimpleNamespace(
        policy=policy,
        num_timesteps=seen,
        action_space=spaces.Discrete(ACTIONS),
        exploration_schedule=LinearSchedule(1.0, 0.1, 0.5),
        _current_progress_remaining=left,
    )
    return DeepQ(one, Dqn(**said), seed=1), one


def test_each_row_explores_for_itself() -> None:
    """Half of the way to its last chance: 0.55 of the rows take one of three actions, whatever the others do."""
    deep, _ = exploring(20_000, 0.75)
    assert deep.exploring == pytest.approx(0.55)
    other = deep.explored({})[0] != 0
    assert other.mean() == pytest.approx(0.55 * 2 / 3, abs=0.015)
    pairs = other.reshape(2, -1)
    assert abs(np.corrcoef(pairs)[0, 1]) < 0.03
    assert not deep.explored({}, deterministic=True)[0].any()


def test_before_the_first_update_all_is_chance_and_at_the_end_the_last_share() -> None:
    assert exploring(1, 1.0, seen=1_999)[0].exploring == 1.0
    assert exploring(1, 1.0, seen=2_000)[0].exploring == 1.0  # where the schedule begins
    assert exploring(1, 0.2, seen=1_999)[0].exploring == 1.0
    assert exploring(1, 0.2)[0].exploring == pytest.approx(0.1)


def test_its_generator_goes_on_where_it_was() -> None:
    deep, _ = exploring(50, 0.75)
    deep.explored({})
    kept = msgspec.json.decode(msgspec.json.encode(deep.save()))
    then = [deep.explored({})[0].tolist() for _ in range(3)]
    again, _ = exploring(50, 0.75)
    again.load(kept)
    assert [again.explored({})[0].tolist() for _ in range(3)] == then
