"""What orders left undone, priced: an agent is not judged by the cheap part of its orders alone."""

from typing import Any

import numpy as np

from components.brokers.beside import Beside, Met
from components.rl.env import OrderEnv
from components.rl.rewards import advantage
from components.rl.trainer_evaluate import Figures
from engine.events import Status, Vector

_AGAINST = (("pa", "twap", 1), ("pa_vwap", "vwap", 1), ("slippage", "arrival", -1), ("net", "twap", 1))
_LEFT = 1e-9  # of an order: what divisions may leave


class Rest:
    """The orders of an environment, and the market in which what they left has to trade in the end.

    The rest of an order trades at the latest close of its last bar, with the costs of an order of that size in a bar of
    the mean volume of its window, whatever `participation` says. So the advantage of the whole order is

        PA = f PA_filled + (1 - f) PA_rest,    f = share filled

    against each benchmark: a mean of prices, weighted with shares; fees are in `net` alone. An order that was filled
    keeps its bits.
    """

    def __init__(self, env: OrderEnv, market: Beside) -> None:
        self._env, self._market = env, market.unlimited()

    def counted(self, found: Figures) -> Figures:
        """The figures with all of each order executed; what was filled of it stays as it is."""
        at = np.flatnonzero(found.ffr < 1.0 - _LEFT)
        if not at.size:
            return found
        e = found.episode[at]
        side, known, filled = self._env.orders.side[e], self._env.floor.known, found.ffr[at]
        price, fees = self._price(e, (1.0 - filled) * self._env.orders.quantity[e])
        whole: dict[str, Any] = {}
        for name, benchmark, sign in _AGAINST:
            paid = price + side * fees if name == "net" else price
            rest = sign * advantage(side, paid, np.ones(len(e)), getattr(known, benchmark)[e])
            whole[name] = column = getattr(found, name).copy()
            column[at] = filled * column[at] + (1.0 - filled) * rest
        return Figures(**{name: getattr(found, name) for name in found.__struct_fields__} | whole)

    def _price(self, e: Any, shares: Vector) -> tuple[Vector, Vector]:
        """(E,) the price of the rest, slippage included, NaN where there never was one; and fees of a share of it."""
        env, days = self._env, self._env.days
        orders, row, end = env.orders, env.floor.row[e], env.floor.end[e]
        side, symbol = orders.side[e], orders.symbol[e]
        tick = np.arange(days.bars)
        window = (tick > orders.start[e, None]) & (tick <= end[:, None])
        volume = np.where(window, np.nan_to_num(days.volume[row]), 0.0)
        bars = (volume > 0).sum(axis=1)
        mean = np.divide(volume.sum(axis=1), bars, out=np.full(len(e), np.nan), where=bars > 0)
        met = Met(
            ts=days.ts[orders.day[e], end],
            price=env.tape.last[row, end],
            volume=mean,
            status=np.full(len(e), Status.FRESH, days.status.dtype),
        )
        traded = self._market.trade(met, symbol, side * shares)
        fees = traded.fees.sum(axis=1) / (shares * days.universe.multiplier[symbol])
        return traded.price, fees
