"""What a checkpoint of an agent says beside its tensors, as it must be: a file is not believed."""

from typing import Annotated, Any

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0)]


class Learned(msgspec.Struct, frozen=True):
    """Of a `Learner`; those of DQN are left out by PPO."""

    seen: Count
    updates: Count
    orders: Count
    actions: dict[str, Any]  # a generator's state
    calls: Count = 0
    place: Count = 0
    full: bool = False
    deep: dict[str, Any] = {}  # a generator's state


class Said(msgspec.Struct, frozen=True):
    """Of a training."""

    learner: Learned
    waited: Count
    best_iteration: Annotated[int, msgspec.Meta(ge=-1)]
    figures: dict[str, float]


def check_said(said: dict[str, Any], iteration: int, steps: int, monitor: str) -> None:
    """ValueError for what no training says that has run so many iterations and order-steps.

    >>> none = {"seen": 9, "updates": 0, "orders": 0, "actions": {}}
    >>> check_said({"learner": none, "waited": 0, "best_iteration": -1, "figures": {}}, 1, 8, "val/net")
    Traceback (most recent call last):
    ...
    ValueError: learner.seen is 9 order-steps, and 1 iterations are 8
    """
    try:
        found = msgspec.convert(said, Said)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    if found.learner.seen != steps:
        raise ValueError(f"learner.seen is {found.learner.seen} order-steps, and {iteration} iterations are {steps}")
    if found.best_iteration >= iteration or found.waited > iteration:
        raise ValueError(f"best_iteration is {found.best_iteration} and waited {found.waited} of {iteration}")
    if found.best_iteration >= 0 and monitor not in found.figures:
        raise ValueError(f"figures hold no {monitor}")
