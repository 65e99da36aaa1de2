"""What a course comes to, known before anything is trained: collections, validations, memory. Or why it cannot be."""

import math
from collections.abc import Mapping

import msgspec

from components.rl.trainer_options import Course, Dqn, Mlp, Ppo, Recurrent, TrainedTeacher, read_by
from engine.errors import ConfigError

WEIGHTS_MAX = 100_000_000  # behind the first layer of a network
MEMORY_MAX_MB = 16_384
Shapes = Mapping[str, tuple[int, ...]]


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What a budget pays for, in whole collections."""

    collection: int  # order-steps of one
    collections: int
    teacher_collections: int = 0  # that a trained teacher learns from before
    validations: int  # at most; patience may end it sooner
    memory_mb: float  # of what is remembered: a collection, or a replay buffer

    @property
    def steps(self) -> int:
        """Order-steps in all."""
        return self.collection * self.collections

    @property
    def teacher_steps(self) -> int:
        """Order-steps that a trained teacher learns from before."""
        return self.collection * self.teacher_collections


def bill_of(course: Course, steps: int, shapes: Shapes) -> Bill:
    """Of orders of up to so many decisions, and observations of these shapes. ConfigError for a course that cannot be.

    >>> bill_of(Course(steps=6_000, rows=64), 8, {"now": (10,)})
    Bill(collection=512, collections=11, teacher_collections=0, validations=3, memory_mb=0.0390625)
    """
    for name in ("steps", "rows", "rounds", "validate_every"):
        if getattr(course, name) < 1:
            raise ConfigError(f"training: {name} must be at least 1, got {getattr(course, name)}")
    collection = course.rows * course.rounds * steps
    if course.steps < collection:
        raise ConfigError(
            f"training: steps is {course.steps:,}, which is less than one collection: {course.rows:,} rows x "
            f"{course.rounds:,} rounds x {steps:,} decisions of an order are {collection:,}; set steps: {collection} "
            "or more, or lower rows or rounds"
        )
    collections = course.iterations(steps)
    taught = course.teacher.steps // collection if isinstance(course.teacher, TrainedTeacher) else 0
    numbers = sum(math.prod(shape) for shape in read_by(course.network, dict(shapes)).values())
    bill = Bill(
        collection=collection,
        collections=collections,
        teacher_collections=taught,
        validations=math.ceil(collections / course.validate_every),
        memory_mb=_remembered(course, collection, numbers) / 2**20,
    )
    _check(course, bill)
    return bill


def _remembered(course: Course, collection: int, numbers: int) -> int:
    """Bytes of the order-steps that are held, of which the network reads so many numbers: PPO has each once by row and
    once in the order of its batches, DQN once with 16 bytes of what was done."""
    algorithm = course.algorithm
    if isinstance(algorithm, Dqn):
        return max(algorithm.buffer // course.rows, 1) * course.rows * (4 * numbers + 16)
    return collection * 8 * numbers


def _check(course: Course, bill: Bill) -> None:
    algorithm = course.algorithm
    if isinstance(algorithm, Dqn) and algorithm.learning_starts >= bill.steps:
        raise ConfigError(
            f"training: algorithm.learning_starts is {algorithm.learning_starts:,}, and {bill.steps:,} order-steps are "
            "all that is run: it would never learn; lower it, or raise steps"
        )
    if isinstance(algorithm, Ppo) and bill.collection < 2:
        raise ConfigError(
            "training: a collection is 1 order-step (rows 1, rounds 1, orders of 1 decision), and ppo compares those "
            "of a collection; raise rows or rounds"
        )
    if isinstance(course.teacher, TrainedTeacher) and not bill.teacher_collections:
        raise ConfigError(
            f"training: teacher.steps is {course.teacher.steps:,}, which is less than one collection, "
            f"{bill.collection:,}: its teacher would learn nothing; raise it"
        )
    if bill.memory_mb > MEMORY_MAX_MB:
        what = "algorithm.buffer" if isinstance(algorithm, Dqn) else "rows or rounds"
        raise ConfigError(
            f"training: observations of {bill.memory_mb:,.0f} MiB would be held at once, and at most "
            f"{MEMORY_MAX_MB:,} are; lower {what}, or take observation: compact"
        )


def weights_of(network: Mlp | Recurrent) -> int:
    """Weights of a network behind its first layer, about.

    >>> weights_of(Mlp((64, 64))), weights_of(Recurrent(hidden=64, out=32))
    (4096, 67584)
    """
    if isinstance(network, Mlp):
        return sum(a * b for a, b in zip(network.hidden, network.hidden[1:], strict=False))
    return network.hidden * (16 * network.hidden + network.out)
