"""What a course comes to, known before anything is trained: collections, validations, memory. Or why it cannot be."""

import math
from collections.abc import Mapping

import msgspec

from components.rl.trainer_options import Course, Dqn, Mlp, Ppo, Recurrent, Teacher, TrainedTeacher, read_by
from engine.errors import ConfigError

WEIGHTS_MAX = 100_000_000  # behind the first layer of a network
MEMORY_MAX_MB = 16_384
CELLS_MAX = 40_000_000  # of a teacher's tables that are kept, 8 bytes each
_SAID = (
    22  # bytes of a choice: its chance as it is heard, in order and as the network takes it, and if it is a best one
)
Shapes = Mapping[str, tuple[int, ...]]


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What a budget pays for, in whole collections."""

    collection: int  # order-steps of one
    collections: int
    teacher_collections: int = 0  # that a trained teacher learns from before
    validations: int  # at most; patience may end it sooner
    memory_mb: float  # of what is remembered: a collection, or a replay buffer
    teacher_mb: float = 0.0  # at most, of what a teacher who knows the future keeps and says

    @property
    def steps(self) -> int:
        """Order-steps in all."""
        return self.collection * self.collections

    @property
    def teacher_steps(self) -> int:
        """Order-steps that a trained teacher learns from before."""
        return self.collection * self.teacher_collections


def bill_of(course: Course, steps: int, shapes: Shapes, choices: int = 0) -> Bill:
    """Of orders of up to so many decisions among so many choices, and observations of these shapes. ConfigError for a
    course that cannot be.

    >>> bill_of(Course(steps=6_000, rows=64), 8, {"now": (10,)})
    Bill(collection=512, collections=11, teacher_collections=0, validations=3, memory_mb=0.0390625, teacher_mb=0.0)
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
        teacher_mb=_known(course, steps, choices) / 2**20,
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


def _known(course: Course, steps: int, choices: int) -> float:
    """Bytes of what a teacher says of a collection, and in hindsight of its tables: as large as they may be together,
    or those of all orders that are worked at once; to the worth of each choice comes the remainder that it is of."""
    teacher = course.teacher
    if teacher is None or not choices:
        return 0.0
    said = _SAID * course.rows * course.rounds * steps * choices
    if not isinstance(teacher, Teacher):
        return said
    cells = max(CELLS_MAX, course.rows * cells_of(choices, steps, teacher.states_max))
    return said + 8.0 * cells * (1 + 1 / choices)


def cells_of(choices: int, steps: int, states_max: int) -> int:
    """Of the tables of an order, at most.

    >>> cells_of(11, 8, 128)  # 1 + 11 + 121 + 5 * 128 remainders
    8503
    """
    remainders, total = 1, 0
    for _ in range(steps):
        total += remainders
        remainders = min(remainders * choices, states_max)
    return total * choices


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
    if bill.teacher_mb > MEMORY_MAX_MB:
        raise ConfigError(
            f"training: {bill.teacher_mb:,.0f} MiB of what a teacher knows would be held at once, and at most "
            f"{MEMORY_MAX_MB:,} are; lower rows, rounds, teacher.states_max, or the choices of action"
        )


def weights_of(network: Mlp | Recurrent) -> int:
    """Weights of a network behind its first layer, about.

    >>> weights_of(Mlp((64, 64))), weights_of(Recurrent(hidden=64, out=32))
    (4096, 67584)
    """
    if isinstance(network, Mlp):
        return sum(a * b for a, b in zip(network.hidden, network.hidden[1:], strict=False))
    return network.hidden * (16 * network.hidden + network.out)
