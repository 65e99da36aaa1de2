"""Whether an agent was better than an even pace on the orders that it was chosen by, or only luckier."""

import math
from typing import Any, Literal

import msgspec
import numpy as np

from components.rl.acting import TwapRelative
from components.rl.env import OrderEnv
from components.rl.observing import CurrentStep
from components.rl.trainer_evaluate import Figures, over_all
from components.rl.trainer_rest import Rest
from engine.events import Vector

SURE = 0.95
Works = Literal["agent", "even_pace"]  # how orders of a session are worked


def even_pace(env: OrderEnv) -> Figures:
    """What the pace `twap` of a desk makes of the orders of an environment that has each once, its rest priced: a
    decision in every bar, whatever choices the agent has and how often."""
    observation: Any = CurrentStep()
    desk = env.for_others(observation, TwapRelative(), bars_per_step=1)
    even = np.ones(desk.width)
    return Rest(desk).counted(over_all(desk, lambda seen: even))


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """How much more an agent made of orders than an even pace, and where that lies with `SURE` chances."""

    gain: float  # mean over orders, in the unit of the figure
    low: float  # nan of a single day
    high: float
    days: int
    looks: int  # of how many candidates it is the best

    @property
    def better(self) -> bool:
        """Beyond noise: not where the interval holds 0, or one day alone has orders."""
        return self.low > 0.0

    def figures(self) -> dict[str, float]:
        """For the record; what is unknown is left out."""
        found = {"val/gain": self.gain, "val/gain_low": self.low, "val/gain_high": self.high}
        return {name: value for name, value in found.items() if math.isfinite(value)}


def beside(own: Vector, even: Vector, day: Any, *, looks: int = 1) -> Beside:
    """Compares figures (E,) of the same orders, the day of each (E,).

        mean(own - even)  from  - t error  to  + t error,    t = quantile of Student's t at 1 - (1 - SURE) / (2 looks)

    `error` is `error_of`, with as many degrees of freedom as days less one. The best of several candidates on the very
    same orders is better there than anywhere: its interval is one that would hold of all of them at once (Bonferroni).

    >>> found = beside(np.array([1.0, 3.0, 2.0]), np.zeros(3), np.arange(3))
    >>> round(found.gain, 3), round(found.low, 3), round(found.high, 3), found.better
    (2.0, -0.484, 4.484, False)
    """
    if looks < 1:
        raise ValueError(f"looks must be at least 1, got {looks}")
    from scipy.special import stdtrit

    gain, days = own - even, len(np.unique(day))
    mean, error = float(gain.mean()), error_of(gain, day)
    reach = error * float(stdtrit(max(days - 1, 1), 1.0 - (1.0 - SURE) / (2.0 * looks)))
    return Beside(gain=mean, low=mean - reach, high=mean + reach, days=days, looks=looks)


def error_of(value: Vector, day: Any) -> float:
    """Standard error of a mean over orders, those of one day counted as one: they share its prices. NaN of one day.

    >>> error_of(np.array([1.0, 3.0]), np.array([4, 5])), error_of(np.array([1.0, 3.0]), np.array([4, 4]))
    (1.0, nan)
    """
    _, of = np.unique(day, return_inverse=True)
    off = np.bincount(of, weights=value - value.mean())
    count = len(off)
    return float(np.sqrt((off * off).sum() * count / (count - 1)) / len(value)) if count > 1 else float("nan")
