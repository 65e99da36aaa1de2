"""What PPO of stable-baselines3 learns from, successive steps side by side. Import it where it is used."""

from collections.abc import Iterator
from typing import Any

import torch

_COLUMNS = ("actions", "values", "log_probs", "advantages", "returns")


def orders_together(buffer: Any, steps: int) -> None:
    """Lets batches of a rollout buffer hold `steps` successive steps of a row one behind the other, and draws which
    come first: a network that reads all of an order's past goes over it once for all of these, see `Branches`."""

    def get(batch_size: int | None = None) -> Iterator[Any]:
        assert buffer.full, "batches of a collection that is not complete"
        if not buffer.generator_ready:
            for key, seen in buffer.observations.items():
                buffer.observations[key] = buffer.swap_and_flatten(seen)
            for name in _COLUMNS:
                setattr(buffer, name, buffer.swap_and_flatten(getattr(buffer, name)))
            buffer.generator_ready = True
        count = buffer.buffer_size * buffer.n_envs
        drawn = (torch.randperm(count // steps)[:, None] * steps + torch.arange(steps)).flatten().numpy()
        size = batch_size or count
        for first in range(0, count, size):
            yield buffer._get_samples(drawn[first : first + size])

    buffer.get = get
