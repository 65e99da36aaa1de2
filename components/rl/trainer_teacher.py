"""A teacher that learns, before its student does, from what the student will not see: the bars to come."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from components.models.bundle import tensors_of
from components.rl.acting import Working
from components.rl.env import OrderEnv
from components.rl.floor import Places
from components.rl.foresight import Foreseeing, Foresight
from components.rl.policy import Policy
from components.rl.trainer_options import Course, Mlp, TrainedTeacher
from engine.errors import ConfigError
from engine.events import Matrix
from engine.learning import Metric

if TYPE_CHECKING:
    from components.rl.trainer import Arena, Taught, Told

FOLDER, HEAD = "teacher", "teacher/"  # of its checkpoints beside the student's; of the names of its figures


class Guide:
    """What a trained teacher chooses for the orders of an environment."""

    def __init__(self, env: OrderEnv, policy: Policy) -> None:
        self.policy, self._foresight, self._choices = policy, Foresight(env), env.action_count

    def worths(self, episode: Places, own: Working) -> Matrix:
        """(W, A) 1 for its choice and 0 for others; at the last decision, which is none, 1 for all."""
        chosen = self.policy.act(self._foresight.of(episode, own))
        found: Matrix = np.equal(np.arange(self._choices), chosen[:, None]).astype(np.float64)
        found[own.last] = 1.0
        return found


def course_of(course: Course) -> Course:
    """How the teacher of a student learns: as the student does, but for network, budget, and what is judged."""
    teacher = course.teacher
    assert isinstance(teacher, TrainedTeacher)
    changed: dict[str, Any] = {"network": Mlp(teacher.hidden), "steps": teacher.steps, "monitor": "val/reward"}
    return msgspec.structs.replace(course, teacher=None, patience=0, baseline="none", **changed)


def guide_of(course: Course, arena: "Arena", checkpoints: Path | None, told: "Told") -> Guide:
    """Trains the teacher, or goes on with it where it was; one that is done is only read.

    Its checkpoints are in a folder `teacher` beside those of the student, which so goes on exactly wherever it was
    stopped: before that, the teacher does. Its figures have names of their own. ConfigError for an environment that
    does not know its future, and for continuous actions.
    """
    from components.rl.trainer import Arena, Told

    env, validation = arena.training, arena.validation
    if not (isinstance(env, OrderEnv) and isinstance(validation, OrderEnv)):
        raise ConfigError("teacher trained: it sees bars to come, and this environment has none; take teacher: none")
    if not env.action_count:
        raise ConfigError(
            "teacher trained: it teaches a few choices, and these actions are continuous; use categorical"
        )
    folder = None if checkpoints is None else checkpoints / FOLDER
    if folder is not None:
        folder.mkdir(exist_ok=True)

    def heard(metrics: Sequence[Metric]) -> None:
        told.on_metrics([Metric(HEAD + metric.name, metric.step, metric.value) for metric in metrics])

    own, rng = course_of(course), np.random.default_rng([course.seed, 2])
    game = Foreseeing(env, rng)
    taught = _learned(
        own,
        Arena(training=game, validation=Foreseeing(validation), inputs=arena.inputs, counted=arena.counted),
        checkpoints=folder,
        told=Told(on_metrics=heard, cpu_ns=told.cpu_ns, warn=lambda text: told.warn(f"teacher: {text}")),
    )
    weights = tensors_of({name: each.numpy() for name, each in taught.best.items()})
    return Guide(env, Policy(own.network, game.observation_shapes, env.action_count, weights))


def _learned(course: Course, arena: "Arena", *, checkpoints: Path | None, told: "Told") -> "Taught":
    """As `teach`; whatever is wrong says that it is the teacher, whose iterations are others than the student's."""
    from components.rl.trainer import teach

    try:
        return teach(course, arena, checkpoints=checkpoints, told=told)
    except ConfigError as error:
        raise ConfigError(f"teacher: {error}") from error
