"""An `OrderEnv` as a `VecEnv` of stable-baselines3. It imports that library: import it where it is used."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from components.rl.baseline import Regret
from components.rl.policy import REACH, checked_rows
from components.rl.trainer_evaluate import Ended, Finished
from components.rl.trainer_rewards import Rewards
from engine.errors import ConfigError

Observation = dict[str, NDArray[np.float32]]


class Transition(Protocol):
    """What a step of an environment answers."""

    @property
    def observation(self) -> Observation: ...
    @property
    def reward(self) -> NDArray[np.float64]: ...
    @property
    def done(self) -> NDArray[np.bool_]: ...
    @property
    def finished(self) -> Finished: ...


class Environment(Protocol):
    """`width` orders side by side: what `components.rl.env.OrderEnv` is."""

    width: int
    steps: int
    action_count: int
    observation_shapes: dict[str, tuple[int, ...]]
    schema: str

    @property
    def active(self) -> NDArray[np.bool_]: ...
    def reset(self) -> Observation: ...
    def step(self, action: NDArray[Any], /) -> Transition: ...
    def save(self) -> bytes: ...
    def load(self, state: bytes, /) -> None: ...


class OrderRows:
    """The rows of an environment as a `VecEnv`, with rewards scaled. Figures of orders that ended wait to be taken.

    Of observations it shows the parts that are named in `read`, or all of them. A continuous action a from -1 on stands
    for 1 + a, so that an untrained mean of 0 is an even pace.
    """

    def __init__(
        self, env: Environment, rewards: Rewards, cpu_ns: Callable[[], int], read: Iterable[str] | None = None
    ) -> None:
        self.env, self.rewards, self._cpu_ns = env, rewards, cpu_ns
        self.shapes = {name: env.observation_shapes[name] for name in read or env.observation_shapes}
        self.ended, self.spent_ns = Ended(), 0
        self.before_step: Callable[[], None] | None = None  # is called before each
        self.baseline: Regret | None = None  # what rewards are the difference to
        observed = spaces.Dict(
            {name: spaces.Box(-np.inf, np.inf, shape, np.float32) for name, shape in self.shapes.items()}
        )
        acted = spaces.Discrete(env.action_count) if env.action_count else spaces.Box(-1.0, REACH - 1.0, (1,))
        self.num_envs, self.observation_space, self.action_space = env.width, observed, acted
        self._nothing: list[dict[str, Any]] = [{}] * env.width

    def reset(self) -> Observation:
        return self.read(checked_rows(self.env.reset()))

    def read(self, observation: Observation) -> Observation:
        """The parts of an observation that are shown."""
        return {name: observation[name] for name in self.shapes}

    def step(self, actions: NDArray[Any]) -> tuple[Observation, NDArray[Any], NDArray[Any], list[dict[str, Any]]]:
        before = self._cpu_ns()
        if self.before_step is not None:
            self.before_step()
        if self.baseline is not None:
            self.baseline.before_step()
        found = self.env.step(self.meant(actions))
        self.ended.add(found.finished)
        if not np.isfinite(found.reward).all():
            row = int(np.argmin(np.isfinite(found.reward)))
            raise ConfigError(
                f"environment: the reward of row {row} is {found.reward[row]}; look at the bars of its day"
            )
        earned = found.reward if self.baseline is None else self.baseline.of(found.reward, found.done)
        reward = self.rewards.scaled(earned, found.done)
        observation = self.read(checked_rows(found.observation))
        self.spent_ns += self._cpu_ns() - before
        return observation, reward, found.done, self._nothing

    def meant(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Actions of the library as those of the environment."""
        return actions if self.env.action_count else 1.0 + actions[:, 0].astype(np.float64)

    def seed(self, seed: int | None = None) -> None:
        """What it draws comes out of the generator of its queue, which whoever made it has seeded."""


VecEnv.register(OrderRows)  # it fits; of what others need beside that (rendering, wrappers) it has nothing


def registered(rows: OrderRows) -> VecEnv:
    """The same, as its type."""
    same: Any = rows
    found: VecEnv = same
    return found
