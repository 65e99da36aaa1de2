"""Rewards on a scale that a network can learn from."""

from typing import Any

import numpy as np

from engine.errors import ConfigError
from engine.events import Vector

_EPS = 1e-8


class Rewards:
    """reward * scale, and where wanted divided by the running spread of discounted returns.

        g <- gamma g + r,   r / sqrt(var(g) + 1e-8),   g of a row begins at 0 with its order

    The variance is that of all returns so far, of every row after every step, this one among them. One row alone has
    none at its first step, and begins as if it had seen a 0 of variance 1. Memory: one number a row.

    >>> rewards = Rewards(2, scale=0.1, gamma=1.0, normalised=False)
    >>> rewards.scaled(np.array([10.0, -5.0]), np.array([False, True]))
    array([ 1. , -0.5], dtype=float32)
    """

    def __init__(self, width: int, *, scale: float, gamma: float, normalised: bool) -> None:
        self._scale, self._gamma, self._normalised = scale, gamma, normalised
        self._returns = np.zeros(width)
        before = 1.0 if width == 1 else 0.0
        self._count, self._mean, self._square = before, 0.0, before  # of returns; the last sums squared distances

    def scaled(self, reward: Vector, done: Any) -> Any:
        """(W,) float32 of rewards (W,) of one step, and whether each order ended with it. ConfigError where that is too
        large for one."""
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            scaled = reward * self._scale
            if self._normalised:
                self._returns = self._returns * self._gamma + scaled
                self._seen(self._returns)
                scaled = scaled / np.sqrt(self._square / self._count + _EPS)
                self._returns[done] = 0.0
            scaled = scaled.astype(np.float32)
        if not (np.isfinite(scaled).all() and np.isfinite(self._square)):
            raise ConfigError(
                f"training: rewards of up to {np.abs(reward).max():.3g} are too large once they are scaled; lower "
                f"`reward_scale` (it is {self._scale})"
            )
        return scaled

    def _seen(self, returns: Vector) -> None:
        count, mean = float(len(returns)), float(returns.mean())
        square = float(((returns - mean) ** 2).sum())
        both, apart = self._count + count, mean - self._mean
        self._square += square + apart * apart * self._count * count / both
        self._mean += apart * count / both
        self._count = both

    def tensors(self) -> dict[str, Any]:
        import torch

        return {
            "returns": torch.from_numpy(self._returns.copy()),
            "moments": torch.tensor([self._count, self._mean, self._square], dtype=torch.float64),
        }

    def put_back(self, tensors: dict[str, Any]) -> None:
        self._returns = tensors["returns"].numpy().copy()
        self._count, self._mean, self._square = tensors["moments"].tolist()
