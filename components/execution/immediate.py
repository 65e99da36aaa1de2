"""All at once."""

from dataclasses import dataclass
from typing import ClassVar

from components.execution.pace import Market, Parents, checked_horizon
from engine.events import Vector


@dataclass(frozen=True, kw_only=True)
class Immediate:
    """Sends all that is left, and what a bar did not fill again with the next, until the horizon ends.

        a = rest

    >>> Immediate(horizon=2).completes
    True
    """

    horizon: int = 1
    span_days: bool = False
    completes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checked_horizon(self.horizon)

    def due(self, parents: Parents, market: Market, /) -> Vector:
        return parents.left
