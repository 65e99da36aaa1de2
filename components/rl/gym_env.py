"""One order of one day as an environment of gymnasium: a thin view of an `OrderEnv` that is one order wide."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from components.rl.env import OrderEnv
from components.rl.observing import Seen
from engine.errors import DataError


class GymEnv(gymnasium.Env[Seen, Any]):
    """Every episode works one of the orders of `game`, drawn by the seed of `reset` or named by its options.

    What it sees, does and is rewarded is that of the `OrderEnv`; `info` of the last step holds the figures of the
    episode, see `Finished`. An episode always terminates, at the latest with the last bar of its order.
    """

    metadata = {"render_modes": []}

    def __init__(self, game: OrderEnv) -> None:
        if game.width != 1:
            raise ValueError(f"game must be 1 order wide, got width {game.width}")
        self._game = game
        shapes = game.observation_shapes.items()
        self.observation_space: Any = spaces.Dict(
            {name: spaces.Box(-np.inf, np.inf, shape, np.float32) for name, shape in shapes}
        )
        self.action_space: Any = (
            spaces.Discrete(game.action_count)
            if game.action_count
            else spaces.Box(0.0, game.action_most, (1,), np.float32)
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Seen, dict[str, Any]]:
        """The first observation; `options={"episode": 3}` names the order. DataError for any other options."""
        named = _options(options).get("episode")
        super().reset(seed=seed)
        episode = self.np_random.integers(len(self._game.orders)) if named is None else self._checked(named)
        return _one(self._game.reset(np.array([episode]))), {"episode": int(episode)}

    def _checked(self, episode: Any) -> int:
        """DataError for what is no number of an order."""
        count, whole = len(self._game.orders), isinstance(episode, int | np.integer) and not isinstance(episode, bool)
        if not whole or not 0 <= episode < count:
            raise DataError(f"options: episode must be a whole number from 0 to {count - 1}, got {episode!r}")
        return int(episode)

    def step(self, action: Any) -> tuple[Seen, float, bool, bool, dict[str, Any]]:
        """DataError for an action that is not one number, or no choice."""
        try:
            chosen: NDArray[Any] = np.asarray(action).reshape(1)
        except ValueError as error:
            raise DataError(f"action: give one number, got {action!r}") from error
        made = self._game.step(chosen, refill=False)
        info: dict[str, Any] = {}
        if made.done[0]:
            names = [name for name in made.finished.__struct_fields__ if name != "row"]
            info = {name: getattr(made.finished, name)[0].item() for name in names}
        return _one(made.observation), float(made.reward[0]), bool(made.done[0]), False, info


def _options(given: Any) -> Mapping[str, Any]:
    """DataError for what is no mapping, and for a key that is not known."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise DataError(f'options: give a mapping such as {{"episode": 3}}, got {given!r}')
    odd = [key for key in given if key != "episode"]
    if odd:
        raise DataError(f"options: {odd[0]!r} is not known; the one key is episode, the number of an order")
    return given


def _one(seen: Seen) -> Seen:
    return {name: values[0] for name, values in seen.items()}
