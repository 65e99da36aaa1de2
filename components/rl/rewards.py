"""What a step of an execution episode is worth: pure functions of arrays, each with its formula."""

from typing import Literal, Protocol

import msgspec
import numpy as np

from engine.events import Codes, Mask, Vector

BPS = 1e4
Rest = Literal["close", "ignored"]


class Step(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What a step brought each order, as columns (W,). Shares and money are unsigned.

    `value` is what was paid or received, all costs included: sum of quantity * price, plus fees of a purchase, less
    fees of a sale. `squares` is the sum over the bars of the step of (shares of the bar / Q)^2.
    """

    side: Codes  # 1 buys, -1 sells
    quantity: Vector  # Q, of the whole order
    amount: Vector  # shares that traded in the step
    value: Vector
    squares: Vector
    filled: Vector  # shares that have traded in all
    spent: Vector  # value of those
    done: Mask  # the episode ended with this step
    rest: Vector  # shares that it ended without having traded, 0 before the end
    rest_value: Vector  # value of these at the end, all costs included, see `Remainder`; NaN where they have no price
    twap: Vector  # mean market price of the order's bars, NaN where none traded
    arrival: Vector  # the latest close when the order was decided


class Reward(Protocol):
    def of(self, step: Step, /) -> Vector:
        """(W,) float64."""
        ...


def advantage(side: Codes, value: Vector, amount: Vector, benchmark: Vector) -> Vector:
    """Price advantage in basis points; 0 where nothing traded or there is no benchmark. (W,), or (B, W) of B at once.

        purchase: (1 - p / benchmark) 1e4      sale: (p / benchmark - 1) 1e4       p = value / amount

    >>> one = np.ones(2)
    >>> advantage(np.array([1, -1]), one * 99.0, one, one * 100.0)
    array([ 100., -100.])
    """
    price = np.divide(value, amount, out=np.full(value.shape, np.nan), where=amount > 0)
    better = -side * (price / benchmark - 1.0) * BPS
    return np.where(np.isfinite(better), better, 0.0)


def pa_penalty(step: Step, *, scale: float, penalty: float, benchmark: Vector) -> Vector:
    """scale (PA_step amount_step / Q - penalty sum_bars (amount_bar / Q)^2), with PA in basis points of a benchmark."""
    pa = advantage(step.side, step.value, step.amount, benchmark)
    reward: Vector = scale * (pa * step.amount / step.quantity - penalty * step.squares)
    return reward


def pa_rest(step: Step, *, scale: float, penalty: float, benchmark: Vector) -> Vector:
    """scale (PA_rest rest / Q - penalty (rest / Q)^2) at the end: what is left counts as traded in one bar more.

    0 where none is left, and of orders that nobody could have traded.
    """
    some = (step.rest > 0) & np.isfinite(step.rest_value) & np.isfinite(step.twap)
    share = np.where(some, step.rest / step.quantity, 0.0)
    pa = advantage(step.side, step.rest_value, step.rest, benchmark)
    reward: Vector = scale * (pa * share - penalty * share**2)
    return reward


def end_ratio(step: Step, *, whole: bool) -> Vector:
    """0 before the end; then -1, 0 or 1 by how the order's price compares with the mean price of its bars.

        ratio = p / TWAP of a sale, TWAP / p of a purchase;    -1 where ratio < 1, 0 where < 1.1, else 1

    Once an episode, at its end; p is the price of what traded, or of the `whole` order with its rest. 0 where there is
    no price.
    """
    amount, value = step.filled, step.spent
    if whole:
        amount, value = amount + step.rest, value + step.rest_value
    price = np.divide(value, amount, out=np.full(len(value), np.nan), where=amount > 0)
    ratio = np.where(step.side > 0, step.twap / price, price / step.twap)
    reward = np.where(ratio < 1.0, -1.0, np.where(ratio < 1.1, 0.0, 1.0))
    return np.where(step.done & np.isfinite(ratio), reward, 0.0)


def _check_rest(rest: str) -> None:
    if rest not in ("close", "ignored"):
        raise ValueError(f"rest must be close or ignored, got {rest!r}")


class PAPenalty(msgspec.Struct, frozen=True, tag=True):
    """Price advantage of each step, less a penalty for what was traded at once, see `pa_penalty`.

    `against` is the benchmark: `twap`, the mean market price of the order's bars, or `arrival`, the price when it was
    decided: for filled orders the sum over an episode differs by the drift from the one to the other, which no action
    changes, up to a factor of the order's price over that at its decision.

    `rest` is how what an order leaves undone counts: `close`, as traded at the end, see `pa_rest`, so that rewards add
    up to the advantage of the whole order; `ignored`, as published: leaving it undone then spares its costs.

    Source: Qlib 0.9.7, rl/order_execution/reward.py, PAPenaltyReward; its example takes scale 0.01 and penalty 4.
    """

    penalty: float = 100.0
    scale: float = 1.0
    against: Literal["twap", "arrival"] = "twap"
    rest: Rest = "close"

    def __post_init__(self) -> None:
        for name in ("penalty", "scale"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name} must be finite and at least 0, got {getattr(self, name)}")
        if self.against not in ("twap", "arrival"):
            raise ValueError(f"against must be twap or arrival, got {self.against!r}")
        _check_rest(self.rest)

    def of(self, step: Step, /) -> Vector:
        benchmark = step.twap if self.against == "twap" else step.arrival
        reward = pa_penalty(step, scale=self.scale, penalty=self.penalty, benchmark=benchmark)
        if self.rest == "close" and step.done.any():
            reward = reward + pa_rest(step, scale=self.scale, penalty=self.penalty, benchmark=benchmark)
        return reward


class EndRatio(msgspec.Struct, frozen=True, tag=True):
    """The sparse reward at the end of an episode, see `end_ratio`; `rest` as for `PAPenalty`, `ignored` is published,
    but for the mean: here it is over the order's own bars, there the day's TWAP without costs.

    Source: Lin and Beling (2020), An end-to-end optimal trade execution framework based on proximal policy
    optimization, IJCAI; Qlib 0.9.7, PPOReward, which gives it a second time to an order that lasts to its final step.
    """

    rest: Rest = "close"

    def __post_init__(self) -> None:
        _check_rest(self.rest)

    def of(self, step: Step, /) -> Vector:
        return end_ratio(step, whole=self.rest == "close")
