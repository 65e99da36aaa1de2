"""The generators of the whole process that stable-baselines3 and PyTorch draw from: lent to a training, then put back.

Everything of ours draws from generators that are handed in; these libraries cannot be told to.
"""

import contextlib
import random  # noqa: TID251 - its state is kept and put back, nothing is drawn
from collections.abc import Iterator
from typing import Any

import numpy as np

from engine.errors import StateError


def chance_tensors() -> dict[str, Any]:
    """The states of all of them, as tensors."""
    import torch

    version, state, spare = random.getstate()
    name, keys, place, has_spare, normal = np.random.get_state(legacy=True)
    return {
        "python": torch.tensor([version, *state], dtype=torch.int64),
        "python_spare": torch.tensor([float("nan") if spare is None else spare], dtype=torch.float64),
        "numpy": torch.from_numpy(np.asarray(keys, np.int64)),
        "numpy_place": torch.tensor([place, has_spare], dtype=torch.int64),
        "numpy_spare": torch.tensor([normal], dtype=torch.float64),
        "torch": torch.get_rng_state(),
    }


def put_back(tensors: dict[str, Any]) -> None:
    """Puts the states in their places. StateError where one is none."""
    import torch

    try:
        version, *state = tensors["python"].tolist()
        spare = float(tensors["python_spare"][0])
        random.setstate((version, tuple(state), None if spare != spare else spare))
        place, has_spare = tensors["numpy_place"].tolist()
        keys = tensors["numpy"].numpy().astype(np.uint32)
        np.random.set_state(("MT19937", keys, place, has_spare, float(tensors["numpy_spare"][0])))
        torch.set_rng_state(tensors["torch"])
    except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
        raise StateError(f"checkpoint: its generators cannot be put back ({error})") from error


@contextlib.contextmanager
def own_chance() -> Iterator[None]:
    """Whatever is drawn within it, the generators of the process are afterwards as they were."""
    before = chance_tensors()
    try:
        yield
    finally:
        put_back(before)
