"""PPO and DQN of stable-baselines3, driven from outside: collect, update, and all that they know as tensors.

The one place that knows how that library works inside. Import it where it is used.
"""

import warnings
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit

from components.rl.extractor import extractor_of
from components.rl.trainer_dqn import DeepQ
from components.rl.trainer_options import Course, Dqn, Mlp, Ppo, Recurrent
from components.rl.trainer_replay import put_back, remember_once, remembered
from components.rl.trainer_rollout import orders_together
from components.rl.trainer_rows import OrderRows, registered
from components.rl.trainer_student import Lessons
from components.training.checkpoints import spelled, under, unspelled
from engine.errors import ConfigError

_LOSSES = {
    "train/policy_gradient_loss": "loss_policy",
    "train/value_loss": "loss_value",
    "train/entropy_loss": "loss_entropy",
    "train/approx_kl": "kl",
    "train/clip_fraction": "clipped",
    "train/explained_variance": "explained",
    "train/loss": "loss",
    "train/q": "q",
    "train/exploring": "exploring",
}
_HEADS = {"ppo": "action_net.", "dqn": "q_net.q_net.0."}  # of a policy's weights; what precedes actions
_EXTRACTORS = {"ppo": "features_extractor.", "dqn": "q_net.features_extractor."}


class _Unheard:
    """Takes the place of the library's callbacks: nothing happens within a collection."""

    def on_rollout_start(self) -> None:
        pass

    def update_locals(self, found: dict[str, Any]) -> None:
        pass

    def on_step(self) -> bool:
        return True

    def on_rollout_end(self) -> None:
        pass


class Learner:
    """An algorithm over the rows of an environment, between two collections."""

    def __init__(self, rows: OrderRows, course: Course, lessons: Lessons | None = None) -> None:
        self._rows, self._course, self._lessons = rows, course, lessons
        self.kind = "ppo" if isinstance(course.algorithm, Ppo) else "dqn"
        self._collected = rows.env.steps * course.rounds
        self._budget = course.iterations(rows.env.steps) * self._collected * rows.num_envs
        self._left = 1.0  # share of the budget
        made = _ppo if isinstance(course.algorithm, Ppo) else _dqn
        with warnings.catch_warnings():  # a last part of a collection that is smaller than the others is learned too
            warnings.filterwarnings("ignore", message="You have specified a mini-batch size")
            self.algorithm: Any = made(rows, course, self._collected, self._rate)
        self._deep: DeepQ | None = None
        if isinstance(course.algorithm, Dqn):
            most = min(course.algorithm.n_steps, rows.env.steps)  # rewards end with the order
            said = msgspec.structs.replace(course.algorithm, n_steps=most)
            self._deep = DeepQ(self.algorithm, said, course.seed)
        self.algorithm.set_logger(Logger(None, []))
        self.algorithm.ep_info_buffer, self.algorithm.ep_success_buffer = deque(maxlen=1), deque(maxlen=1)
        self.algorithm._total_timesteps = self._budget
        self._unheard: Any = _Unheard()

    def begin(self) -> None:
        self.algorithm._last_obs = self._rows.reset()
        self.algorithm._last_episode_starts = np.ones(self._rows.num_envs, bool)

    @property
    def seen(self) -> int:
        """Order-steps so far."""
        return int(self.algorithm.num_timesteps)

    @property
    def rate(self) -> float:
        """Of learning, now."""
        return self._rate(0.0)

    def _rate(self, _: float) -> float:
        algorithm = self._course.algorithm
        return algorithm.lr * (self._left if algorithm.anneal else 1.0)

    # ---- an iteration ------------------------------------------------------------------------------------------------

    def collect(self) -> None:
        one, course = self.algorithm, self._course.algorithm
        self._left = 1.0 - one.num_timesteps / self._budget
        if self._lessons is not None:
            self._lessons.begin(self._left)
        if isinstance(course, Ppo):
            one.collect_rollouts(self._rows, self._unheard, one.rollout_buffer, self._collected)
        else:
            often = TrainFreq(self._collected, TrainFrequencyUnit.STEP)
            one.collect_rollouts(
                self._rows,
                callback=self._unheard,
                train_freq=often,
                replay_buffer=one.replay_buffer,
            )

    def update(self) -> dict[str, float]:
        """Learns from what was collected; what was measured meanwhile, by name. FloatingPointError for a loss or
        weights that are none."""
        one, course = self.algorithm, self._course.algorithm
        taught: dict[str, float] = {}
        if isinstance(course, Ppo) and self._lessons is not None:
            with self._lessons.beside(one):
                one.train()
            taught = self._lessons.over(one)
        elif isinstance(course, Ppo):
            one.train()
        elif self._deep is not None and one.num_timesteps > course.learning_starts:
            self._deep.update()
        told = one.logger.name_to_value
        found = taught | {name: float(told[key]) for key, name in _LOSSES.items() if key in told}
        one.logger.dump()  # to nowhere: the next ones begin anew
        odd = next((name for name, value in found.items() if name != "explained" and not np.isfinite(value)), None)
        if odd is not None:
            raise FloatingPointError(f"{odd} is {found[odd]}")
        if not all(bool(each.isfinite().all()) for each in one.policy.parameters()):
            raise FloatingPointError("the weights of its network are no numbers")
        return {name: value for name, value in found.items() if np.isfinite(value)}

    def act(self, observation: dict[str, Any]) -> Any:
        """The best actions as the policy sees it now."""
        actions, _ = self.algorithm.policy.predict(self._rows.read(observation), deterministic=True)
        return self._rows.meant(actions)

    # ---- all that it knows -------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, torch.Tensor]:
        """Copies of those that decide: the network, and the layer from it to actions."""
        state = self.algorithm.policy.state_dict()
        extractor, head = under(_EXTRACTORS[self.kind], state), under(_HEADS[self.kind], state)
        found = {f"network.{name}": each for name, each in extractor.items()}
        found |= {f"head.{name}": each for name, each in head.items()}
        return {name: each.detach().clone() for name, each in found.items()}

    def tensors(self) -> dict[str, torch.Tensor]:
        one = self.algorithm
        found = {f"policy.{name}": each for name, each in one.policy.state_dict().items()}
        for k, state in one.policy.optimizer.state_dict()["state"].items():
            found |= {f"adam.{k}.{name}": each for name, each in state.items()}
        found |= {f"last.{name}": torch.from_numpy(each.copy()) for name, each in one._last_obs.items()}
        found["starts"] = torch.from_numpy(np.array(one._last_episode_starts))
        found |= {f"rewards.{name}": each for name, each in self._rows.rewards.tensors().items()}
        if self.kind == "dqn":
            found |= {f"replay.{name}": torch.from_numpy(each) for name, each in remembered(one.replay_buffer)}
        return {name: each.clone() for name, each in found.items()}

    def said(self) -> dict[str, Any]:
        one = self.algorithm
        found: dict[str, Any] = {
            "seen": one.num_timesteps,
            "updates": one._n_updates,
            "orders": one._episode_num,
            "actions": spelled(one.action_space.np_random.bit_generator.state),
        }
        if self._deep is not None:
            replay = one.replay_buffer
            found |= {"calls": one._n_calls, "place": replay.pos, "full": bool(replay.full), "deep": self._deep.save()}
        return found

    def put_back(self, tensors: dict[str, torch.Tensor], said: dict[str, Any]) -> None:
        one = self.algorithm
        one.policy.load_state_dict(under("policy.", tensors))
        optimizer = one.policy.optimizer
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, each in under("adam.", tensors).items():
            k, _, what = name.partition(".")
            moments.setdefault(int(k), {})[what] = each
        for place, each in enumerate(optimizer.param_groups[0]["params"]):
            for what in ("exp_avg", "exp_avg_sq") if moments else ():
                if moments[place][what].shape != each.shape:
                    raise ValueError(f"adam.{place}.{what} is of another shape")
        last = {name: each.shape for name, each in under("last.", tensors).items()}
        rows = {name: torch.Size((self._rows.num_envs, *each)) for name, each in self._rows.shapes.items()}
        if last != rows or len(tensors["starts"]) != self._rows.num_envs:
            raise ValueError("its last observations are of another shape")
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
        one._last_obs = {name: each.numpy() for name, each in under("last.", tensors).items()}
        one._last_episode_starts = tensors["starts"].numpy()
        self._rows.rewards.put_back(under("rewards.", tensors))
        one.num_timesteps, one._n_updates, one._episode_num = said["seen"], said["updates"], said["orders"]
        one._current_progress_remaining = 1.0 - one.num_timesteps / self._budget
        one.action_space.np_random.bit_generator.state = unspelled(said["actions"])
        if self._deep is not None:
            self._deep.load(said["deep"])
            one._n_calls = said["calls"]
            if said["place"] >= one.replay_buffer.buffer_size:
                raise ValueError(f"learner.place is {said['place']} of {one.replay_buffer.buffer_size} rows")
            one.replay_buffer.pos, one.replay_buffer.full = said["place"], said["full"]
            put_back(one.replay_buffer, under("replay.", tensors), one._last_obs)


# ---- the algorithms --------------------------------------------------------------------------------------------------


def _policy(network: Mlp | Recurrent) -> dict[str, Any]:
    """What the library is told of the network: one of ours, shared by all that stands behind it."""

    def extractor(observed: spaces.Dict) -> Any:
        return extractor_of({name: each.shape or () for name, each in observed.spaces.items()}, network)

    return {"features_extractor_class": extractor, "net_arch": []}


def _ppo(rows: OrderRows, course: Course, collected: int, rate: Callable[[float], float]) -> PPO:
    said = course.algorithm
    assert isinstance(said, Ppo)
    made = PPO(
        "MultiInputPolicy",
        registered(rows),
        learning_rate=rate,
        n_steps=collected,
        batch_size=min(said.batch, collected * rows.num_envs),
        n_epochs=said.epochs,
        gamma=said.gamma,
        gae_lambda=said.gae_lambda,
        clip_range=said.clip,
        clip_range_vf=said.clip if said.value_clip else None,
        ent_coef=said.entropy,
        vf_coef=said.value_weight,
        max_grad_norm=said.grad_norm,
        policy_kwargs=_policy(course.network),
        seed=course.seed,
        device="cpu",
    )
    if isinstance(course.network, Recurrent):
        orders_together(made.rollout_buffer, rows.env.steps)
    return made


def _dqn(rows: OrderRows, course: Course, collected: int, rate: Callable[[float], float]) -> DQN:
    said = course.algorithm
    assert isinstance(said, Dqn)
    if not rows.env.action_count:
        raise ConfigError("algorithm dqn: it chooses among a few actions, and these are continuous; use ppo")
    made = DQN(
        "MultiInputPolicy",
        registered(rows),
        learning_rate=rate,
        buffer_size=said.buffer,
        batch_size=said.batch,
        gamma=said.gamma,
        train_freq=collected,
        target_update_interval=max(said.target_every, rows.num_envs),
        exploration_initial_eps=said.explore_first,
        exploration_final_eps=said.explore_last,
        exploration_fraction=said.explore_share,
        max_grad_norm=said.grad_norm,
        policy_kwargs=_policy(course.network),
        seed=course.seed,
        device="cpu",
    )
    remember_once(made.replay_buffer)
    return made
