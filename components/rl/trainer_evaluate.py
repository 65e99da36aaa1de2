"""What became of orders: collected while an environment runs, and over all orders of a part of history once."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError
from engine.events import Vector

FIGURES = ("pa", "pa_vwap", "ffr", "reward", "slippage", "net")


class Finished(Protocol):
    """Figures of the orders that ended with a step, (E,) each."""

    @property
    def episode(self) -> NDArray[Any]: ...
    @property
    def pa_bps(self) -> Vector: ...
    @property
    def pa_vwap_bps(self) -> Vector: ...
    @property
    def fill_ratio(self) -> Vector: ...
    @property
    def reward(self) -> Vector: ...
    @property
    def slippage_bps(self) -> Vector: ...
    @property
    def net_bps(self) -> Vector: ...


class Figures(msgspec.Struct, frozen=True, eq=False):
    """Figures by order, (E,) each, in the order of their numbers: price advantage over TWAP and VWAP and slippage
    against arrival in basis points, share filled, sum of rewards. `net` is the advantage over TWAP with fees in it.

    Prices are those of what was filled, unless what was left has been counted too (`components.rl.trainer_rest`).
    """

    episode: NDArray[Any]
    pa: Vector
    pa_vwap: Vector
    ffr: Vector
    reward: Vector
    slippage: Vector
    net: Vector

    def means(self, head: str = "") -> dict[str, float]:
        """The mean of each figure, by name, without those that no order has."""
        found = {f"{head}{name}": float(getattr(self, name).mean()) for name in FIGURES if len(self.episode)}
        return {name: value for name, value in found.items() if np.isfinite(value)}


class Ended:
    """Collects figures until they are taken."""

    def __init__(self) -> None:
        self._parts: list[Finished] = []

    def add(self, finished: Finished) -> None:
        if len(finished.episode):
            self._parts.append(finished)

    def taken(self) -> Figures:
        parts, self._parts = self._parts, []
        if not parts:
            return Figures(np.zeros(0, np.int64), *(np.zeros(0) for _ in FIGURES))
        episode = np.concatenate([part.episode for part in parts])
        order = np.argsort(episode, kind="stable")
        names = ("pa_bps", "pa_vwap_bps", "fill_ratio", "reward", "slippage_bps", "net_bps")
        return Figures(
            episode[order], *(np.concatenate([getattr(part, name) for part in parts])[order] for name in names)
        )


Act = Callable[[dict[str, NDArray[np.float32]]], NDArray[Any]]  # observations of W rows to W actions


def over_all(env: Any, act: Act) -> Figures:
    """Works every order of an environment that has each of its orders once. ConfigError where it has none."""
    observation, ended = env.reset(), Ended()
    if not env.active.any():
        raise ConfigError("environment: there is no order to judge by; name days that the feed has, or another split")
    while env.active.any():
        found = env.step(act(observation))
        ended.add(found.finished)
        observation = found.observation
    return ended.taken()
