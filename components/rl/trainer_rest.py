"""What orders left undone, priced: an agent is not judged by the cheap part of its orders alone."""

from typing import Any

import numpy as np

from components.rl.env import OrderEnv
from components.rl.rewards import advantage
from components.rl.trainer_evaluate import Figures

_AGAINST = (("pa", "twap", 1), ("pa_vwap", "vwap", 1), ("slippage", "arrival", -1), ("net", "twap", 1))
_LEFT = 1e-9  # of an order: what divisions may leave


class Rest:
    """The orders of an environment, and what they left as `components.rl.remainder` prices it: as rewards have it too.

    The advantage of the whole order is

        PA = f PA_filled + (1 - f) PA_rest,    f = share filled

    against each benchmark: a mean of prices, weighted with shares; fees are in `net` alone. An order that was filled
    keeps its bits.
    """

    def __init__(self, env: OrderEnv) -> None:
        self._env = env

    def counted(self, found: Figures) -> Figures:
        """The figures with all of each order executed; what was filled of it stays as it is."""
        at = np.flatnonzero(found.ffr < 1.0 - _LEFT)
        if not at.size:
            return found
        e = found.episode[at]
        side, known, filled = self._env.orders.side[e], self._env.floor.known, found.ffr[at]
        price, fees = self._env.floor.remainder.priced(e, side, (1.0 - filled) * self._env.orders.quantity[e])
        whole: dict[str, Any] = {}
        for name, benchmark, sign in _AGAINST:
            paid = price + side * fees if name == "net" else price
            rest = sign * advantage(side, paid, np.ones(len(e)), getattr(known, benchmark)[e])
            whole[name] = column = getattr(found, name).copy()
            column[at] = filled * column[at] + (1.0 - filled) * rest
        return Figures(**{name: getattr(found, name) for name in found.__struct_fields__} | whole)
