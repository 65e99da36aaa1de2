"""From what a policy chose to shares: pure functions of arrays, the same in training and in a session."""

from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.execution.pace import full_lots, nearest_lots, short_of
from engine.errors import DataError
from engine.events import Mask, Vector


class Working(msgspec.Struct, eq=False, kw_only=True):
    """Parent orders at work as their own desk sees them: columns (W,). Shares are unsigned.

    Ticks count the bars of the day from 0. `now` is the latest bar that has closed, `end` the last one in which the
    order may trade, `next` the last one before the following decision.
    """

    side: NDArray[np.int32]  # 1 buys, -1 sells
    quantity: Vector
    remaining: Vector
    lot: Vector
    start: NDArray[np.intp]  # the bar at whose close the order was decided
    now: NDArray[np.intp]
    next: NDArray[np.intp]
    end: NDArray[np.intp]
    step: NDArray[np.intp]  # decisions before this one
    steps: NDArray[np.intp]  # decisions of this order in all
    history: Vector  # (W, K + 1) what remained at each decision so far, 0 behind this one

    @property
    def last(self) -> Mask:
        """Whose last decision this is."""
        mask: Mask = self.step >= self.steps - 1
        return mask


class Categorical(msgspec.Struct, frozen=True, tag=True):
    """Discrete choices: the share of the whole order to trade in the step. At the last step it is all the rest.

        amount = min(remaining, Q a_k), down to whole lots;     a = 0, 1/n, ..., 1 for a number n, or as listed

    Source: Qlib 0.9.7, rl/order_execution/interpreter.py, CategoricalActionInterpreter.

    >>> Categorical(4).fractions
    (0.0, 0.25, 0.5, 0.75, 1.0)
    """

    values: int | tuple[float, ...]

    def __post_init__(self) -> None:
        if isinstance(self.values, int):
            if self.values < 1:
                raise ValueError(f"values must be at least 1, a number of equal parts, got {self.values}")
        elif len(self.values) < 2 or not all(0 <= share <= 1 for share in self.values):
            raise ValueError(f"values must be two shares of the order from 0 to 1 at least, got {self.values}")

    @property
    def fractions(self) -> tuple[float, ...]:
        return _fractions(self.values)

    @property
    def count(self) -> int:
        return len(self.fractions)

    def amounts(self, action: NDArray[Any], own: Working) -> Vector:
        """(W,) shares to trade in this step. DataError for an action that is no choice."""
        chosen = np.asarray(action)
        if chosen.shape != own.side.shape or chosen.dtype.kind not in "iu":
            raise DataError(f"action: give {own.side.shape} integers, got {chosen.shape} of {chosen.dtype}")
        if chosen.size and not (chosen.min() >= 0 and chosen.max() < self.count):
            raise DataError(f"action: give choices from 0 to {self.count - 1}, got {chosen.min()} to {chosen.max()}")
        wanted = own.quantity * np.array(self.fractions)[chosen]
        return np.where(own.last, own.remaining, full_lots(np.minimum(own.remaining, wanted), own.lot))


@lru_cache
def _fractions(values: int | tuple[float, ...]) -> tuple[float, ...]:
    return tuple(k / values for k in range(values + 1)) if isinstance(values, int) else values


class TwapRelative(msgspec.Struct, frozen=True, tag=True):
    """One number x >= 0: the multiple of what an even pace would trade, see `even_pace`.

        amount = min(remaining, x even_pace), to the nearest lot;    x at most `most`

    1 at every step is TWAP: with a decision in every bar exactly what the pace `twap` of a session sends. At the last
    step it is all the rest.

    Source: Qlib 0.9.7, rl/order_execution/interpreter.py, TwapRelativeActionInterpreter.
    """

    most: float = 10.0

    def __post_init__(self) -> None:
        if not 1 <= self.most < np.inf:
            raise ValueError(f"most must be at least 1 and finite, got {self.most}")

    @property
    def count(self) -> int:
        return 0

    def amounts(self, action: NDArray[Any], own: Working) -> Vector:
        """(W,) shares to trade in this step; (W, 1) actions will do. DataError for NaN and negative ones."""
        try:
            x = np.asarray(action, np.float64).reshape(-1)
        except (TypeError, ValueError) as error:
            raise DataError(f"action: give {own.side.shape} numbers, got {action!r}") from error
        if x.shape != own.side.shape:
            raise DataError(f"action: give {own.side.shape} numbers, got {np.shape(action)}")
        if not (x >= 0).all():
            raise DataError(f"action: give multiples of at least 0, got {x[~(x >= 0)][0]}")
        wanted = nearest_lots(np.minimum(x, self.most) * even_pace(own), own.lot)
        return np.where(own.last, own.remaining, np.minimum(own.remaining, wanted))


def even_pace(own: Working) -> Vector:
    """(W,) shares that TWAP would trade in this step, not rounded.

        Q (k + 1) / K - done,    or remaining / (K - k) where the order is ahead of that by more than a lot

    What the market did not fill is caught up with in the next step, as the pace `twap` does; who has chosen to be ahead
    trades the rest in equal parts.
    """
    due = short_of(own.quantity, own.remaining, (own.step + 1) / own.steps)
    even = own.remaining / np.maximum(own.steps - own.step, 1)
    return np.where(due >= even - own.lot, due, even)


def cut_short(own: Any, latest: NDArray[np.intp], bars_per_step: int) -> None:
    """Orders may trade up to the bar `latest` (W,) at most: as the clock goes on, slices that never came are missed."""
    own.end = np.minimum(own.end, latest)
    own.next = np.minimum(own.next, own.end)
    own.steps = np.minimum(own.steps, own.step + np.maximum(-(-(own.end - own.now) // bars_per_step), 1))


def children(amount: Vector, own: Working, remaining: Vector, bar: int) -> Vector:
    """(W,) shares to send for the `bar`-th bar of a step, counted from 0, of which `amount` is to trade.

    The amount is spread equally over the bars of the step, in whole lots:

        child_j = full_lots(amount (j + 1) / n) - full_lots(amount j / n),    n = next - now

    What a bar left of its child is not made up for within the step, except that the last bar of the last step gets all
    that is left.
    """
    count = np.maximum(own.next - own.now, 1)
    until = full_lots(amount * (bar + 1) / count, own.lot)
    child = np.minimum(until - full_lots(amount * bar / count, own.lot), remaining) if bar else until
    child = np.where(own.last & (bar == count - 1), remaining, child)
    return np.where(bar < count, np.minimum(child, remaining), 0.0)
