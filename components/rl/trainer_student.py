"""A student's lessons: what a teacher who knows the future says of each observation, learned beside PPO.

The teacher is asked where the orders of training stand, and answers chances of choices. Nothing of it is in what the
student sees, and nothing of it is kept. It imports PyTorch: import it where it is used.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from components.rl.teacher import Hindsight, as_good, hindsight, targets
from components.rl.trainer_options import Course, Teacher, TrainedTeacher, weighs
from components.rl.trainer_teacher import Guide
from engine.events import Mask, Matrix


class Lessons:
    """What was heard of a collection, learned with its update.

    PPO takes a step of its optimizer for each part of what it collected. Before each of them the gradient of

        weight_now mean(-sum_a chance_a log pi(a | observation))

    with chances of 0 where every choice is as good as any, over as large a part, drawn without replacement from the
    same collection, is added to that of PPO; `grad_norm` cuts their sum. Which parts is drawn from the seed and the
    order-steps so far, so that there is nothing to keep of it.
    """

    def __init__(self, env: Any, teacher: Teacher | TrainedTeacher, guide: Guide | None, course: Course) -> None:
        """`guide` is a teacher that was trained, None = the best choices in hindsight are found here."""
        self._env, self._teacher, self._batch, self._seed = env, teacher, course.algorithm.batch, course.seed
        self._known: Guide | Hindsight
        if isinstance(teacher, Teacher):
            self._known, self._temperature = hindsight(env, states_max=teacher.states_max), teacher.temperature
        else:
            assert guide is not None
            self._known, self._temperature = guide, 0.0
        self._chances: list[Matrix] = []  # (W, A) of each step of the collection
        self._good: list[Mask] = []
        self._weight = 0.0

    def begin(self, left: float) -> None:
        """Before a collection; `left` is the share of the budget. Nothing is asked once the weight has fallen to 0."""
        self._weight = weighs(self._teacher, left)

    def hear(self) -> None:
        """What the teacher says of the orders as they stand: nothing where all choices are alike."""
        if not self._weight:
            return
        worths = self._known.worths(self._env.episode, self._env.own)
        good = as_good(worths)
        self._chances.append(np.where(good.all(axis=1, keepdims=True), 0.0, targets(worths, self._temperature)))
        self._good.append(good)

    @contextlib.contextmanager
    def beside(self, algorithm: Any) -> Iterator[None]:
        """Within it each step of the optimizer learns from the teacher too."""
        if not self._weight:
            yield
            return
        policy, seen = algorithm.policy, algorithm.rollout_buffer
        chances = torch.from_numpy(in_order(self._chances).astype(np.float32))
        rng = np.random.default_rng([self._seed, algorithm.num_timesteps])
        parts = _parts(len(chances), self._batch, rng)

        optimizer = policy.optimizer
        empty = optimizer.zero_grad

        def begun_with_ours() -> None:
            """Where a step begins without slopes: what the library adds comes on top, and is cut with it."""
            empty()
            rows = next(parts)
            with torch.enable_grad():
                loss = -(chances[rows] * _log_chances(policy, seen.observations, rows)).sum(dim=1).mean()
                torch.autograd.backward(self._weight * loss)

        optimizer.zero_grad = begun_with_ours
        try:
            yield
        finally:
            optimizer.zero_grad = empty

    def over(self, algorithm: Any) -> dict[str, float]:
        """Figures of the student after an update over all of its collection, which is then forgotten.

        Of the observations at which not all choices are as good, `teacher_kl` is the mean of
        sum_a chance_a log(chance_a / pi(a)), and `teacher_agreement` the share at which its likeliest choice is one of
        the best in hindsight. Where there are none, or nothing is taught any more, it has neither. The network goes
        over as many rows at once as in an update.
        """
        if not self._weight:
            return {"teacher_weight": 0.0}
        chances, good = in_order(self._chances), in_order(self._good)
        self._chances, self._good = [], []
        with torch.no_grad():
            seen, each = algorithm.rollout_buffer.observations, self._batch
            parts = [slice(first, first + each) for first in range(0, len(good), each)]
            log = np.concatenate([_log_chances(algorithm.policy, seen, part).numpy() for part in parts])
        found = {"teacher_weight": self._weight}
        matters = ~good.all(axis=1)
        if matters.any():
            chances, good, log = chances[matters], good[matters], log[matters]
            known = np.log(np.where(chances > 0, chances, 1.0))
            found["teacher_kl"] = float((chances * (known - log)).sum(axis=1).mean())
            found["teacher_agreement"] = float(good[np.arange(len(good)), log.argmax(axis=1)].mean())
        return {name: value for name, value in found.items() if np.isfinite(value)}


def in_order(steps: list[Any]) -> Any:
    """Rows of (W, A) steps as a collection has them after an update: all steps of one row, then of the next."""
    found = np.stack(steps, axis=1)
    return found.reshape(-1, found.shape[2])


def _log_chances(policy: Any, observations: dict[str, Any], rows: Any) -> torch.Tensor:
    """(rows, A) logarithms of the student's chances."""
    seen = {name: torch.from_numpy(each[rows]) for name, each in observations.items()}
    found: torch.Tensor = policy.get_distribution(seen).distribution.logits
    return found


def _parts(count: int, batch: int, rng: np.random.Generator) -> Iterator[Any]:
    """Parts of `batch` rows without end, each row once a round."""
    while True:
        order = rng.permutation(count)
        for first in range(0, count, batch):
            yield order[first : first + batch]
