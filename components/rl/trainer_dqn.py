"""What of deep Q-learning stable-baselines3 has not: rows that explore by themselves, double targets, and targets of
several steps for observations of many parts. It imports PyTorch: import it where it is used.
"""

from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from components.rl.trainer_options import Dqn
from components.training.checkpoints import spelled, unspelled
from engine.events import Vector

Places = NDArray[np.intp]


class Ahead(msgspec.Struct, frozen=True, eq=False):
    """What followed B decisions, (B,) each."""

    reward: Vector  # sum_k gamma^k r_{t+k} over the steps of each
    weight: Vector  # gamma^steps of what the last of them led to, 0 where the order ended with it
    last: Places  # place of the last of them


def ahead(buffer: Any, at: Places, row: Places, *, steps: int, gamma: float) -> Ahead:
    """The rewards of up to `steps` steps from the places `at` (B,) of the rows (B,) of a replay buffer.

    They end with the order, and where nothing later is remembered: its sum then goes on from the newest step, with
    fewer steps than the others. A buffer is a ring, so a step at its end is followed by the one at its beginning.
    """
    newest = (buffer.pos - 1) % buffer.buffer_size
    place = (at[:, None] + np.arange(steps)) % buffer.buffer_size  # (B, steps)
    ended = buffer.dones[place, row[:, None]] > 0
    over = ended | (place == newest)
    before = np.cumsum(over, axis=1) - over  # ends among earlier steps
    taken = before == 0
    count = taken.sum(axis=1)
    discount = gamma ** np.arange(steps, dtype=np.float64)
    reward: Vector = np.where(taken, buffer.rewards[place, row[:, None]] * discount, 0.0).sum(axis=1)
    final = np.arange(len(at)), count - 1
    weight: Vector = np.where(ended[final], 0.0, gamma**count)
    return Ahead(reward, weight, place[final])


def worths(online: Any, target: Any, following: dict[str, torch.Tensor], *, double: bool) -> torch.Tensor:
    """(B,) what the best choice is worth at observations, by the network `target`.

    Double: the best is the one that `online` takes, so that the noise of one network is not both the choice and its
    worth.

    Source: van Hasselt, Guez, Silver (2016), Deep reinforcement learning with double Q-learning, AAAI.
    """
    said: torch.Tensor = target(following)
    if not double:
        return said.max(dim=1).values
    return said.gather(1, online(following).argmax(dim=1, keepdim=True))[:, 0]


class DeepQ:
    """Chooses actions while the library collects, and learns from what it remembers. It draws from one generator.

        y = sum_{k<n} gamma^k r_{t+k} + gamma^n max_a Q_target(s_{t+n}, a)

    of orders that have not ended in between, see `ahead`; the loss is Huber's of Q(s_t, a_t) - y.
    """

    def __init__(self, algorithm: Any, said: Dqn, seed: int) -> None:
        self._one, self._said = algorithm, said
        self._rng = np.random.default_rng([seed, 3])  # a stream of its own
        algorithm.predict = self.explored

    def explored(self, observation: Any, state: Any = None, start: Any = None, deterministic: bool = False) -> Any:
        """Actions (W,): each row for itself takes a random one with the chance of now, else its best. It stands in
        the place of the library's `predict`, which explores in all rows at once or in none.
        """
        del state, start
        best, _ = self._one.policy.predict(observation, deterministic=True)
        if deterministic:
            return best, None
        chance, other = self._rng.random(len(best)), self._rng.integers(0, self._one.action_space.n, len(best))
        return np.where(chance < self.exploring, other, best), None

    @property
    def exploring(self) -> float:
        """The chance of a random action: all of them before the first update, then falling with the budget."""
        if self._one.num_timesteps < self._said.learning_starts:
            return 1.0
        return float(self._one.exploration_schedule(self._one._current_progress_remaining))

    def update(self) -> None:
        """Steps of the optimizer over as many batches, drawn with replacement from what is remembered."""
        one, losses, worth = self._one, [], []
        one.policy.set_training_mode(True)
        one._update_learning_rate(one.policy.optimizer)
        for _ in range(self._said.updates):
            loss, said = self._loss()
            one.policy.optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(one.policy.parameters(), self._said.grad_norm)
            one.policy.optimizer.step()
            losses.append(loss.item())
            worth.append(said)
        one._n_updates += self._said.updates
        one.logger.record("train/loss", float(np.mean(losses)))
        one.logger.record("train/q", float(np.mean(worth)))
        one.logger.record("train/exploring", self.exploring)

    def _loss(self) -> tuple[torch.Tensor, float]:
        """The loss of a batch, and the mean of what it says its actions are worth."""
        one, said, buffer = self._one, self._said, self._one.replay_buffer
        at = self._rng.integers(0, buffer.size(), said.batch)
        row = self._rng.integers(0, buffer.n_envs, said.batch)
        found = ahead(buffer, at, row, steps=said.n_steps, gamma=said.gamma)
        seen, following = (
            {name: torch.from_numpy(each[place, row]) for name, each in parts.items()}
            for parts, place in ((buffer.observations, at), (buffer.next_observations, found.last))
        )
        reward, weight = (torch.from_numpy(each.astype(np.float32)) for each in (found.reward, found.weight))
        with torch.no_grad():
            target = one.q_net_target if said.target_every else one.q_net
            wanted = reward + weight * worths(one.q_net, target, following, double=said.double)
        chosen = torch.from_numpy(buffer.actions[at, row].astype(np.int64))
        own = one.q_net(seen).gather(1, chosen)[:, 0]
        return functional.smooth_l1_loss(own, wanted), float(own.detach().mean())

    def save(self) -> dict[str, Any]:
        return {"chance": spelled(self._rng.bit_generator.state)}

    def load(self, said: dict[str, Any]) -> None:
        self._rng.bit_generator.state = unspelled(said["chance"])
