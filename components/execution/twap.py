"""Time-weighted average price."""

from dataclasses import dataclass
from typing import ClassVar

from components.execution.pace import Market, Parents, checked_horizon, on_pace
from engine.events import Vector


@dataclass(frozen=True, kw_only=True)
class Twap:
    """The same share of the order in every slice of the horizon.

        a_k = min(round((Q (k + 1) / T - done) / lot) lot, rest),   a_{T-1} = rest

    What a slice did not fill is caught up with in the next one. Lots are rounded to the nearest, halves to the even
    one; a step of less than half a lot waits until it is a lot together with later ones.

    Source: Qlib, TWAPStrategy.
    """

    horizon: int
    span_days: bool = False
    completes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checked_horizon(self.horizon)

    def due(self, parents: Parents, market: Market, /) -> Vector:
        return parents.side * on_pace(parents, (parents.step + 1) / parents.steps)
