"""What a course comes to, known before anything is trained: collections, validations, memory. Or why it cannot be."""

import math

import msgspec

from components.rl.trainer_options import Course, Dqn
from engine.errors import ConfigError


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What a budget pays for."""

    collection: int  # order-steps of one
    collections: int
    validations: int  # at most; patience may end it sooner

    @property
    def steps(self) -> int:
        """Order-steps in all: the budget down to whole collections."""
        return self.collection * self.collections


def bill_of(course: Course, steps: int) -> Bill:
    """Of orders of up to so many decisions. ConfigError for a course that would train nothing.

    >>> bill_of(Course(steps=6_000, rows=64), 8)
    Bill(collection=512, collections=11, validations=3)
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
    bill = Bill(
        collection=collection, collections=collections, validations=math.ceil(collections / course.validate_every)
    )
    if isinstance(course.algorithm, Dqn) and course.algorithm.learning_starts >= bill.steps:
        raise ConfigError(
            f"training: algorithm.learning_starts is {course.algorithm.learning_starts:,}, and {bill.steps:,} "
            "order-steps are all that is run: it would never learn; lower it, or raise steps"
        )
    return bill
