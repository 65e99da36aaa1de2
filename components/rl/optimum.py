"""The best that can be done on generated days, exactly, by dynamic programming over deviation and remaining shares."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.brokers.beside import Beside, Met
from components.rl.acting import TwapRelative, Working, children
from components.rl.env import OrderEnv
from components.rl.generated import Law
from engine.errors import ConfigError
from engine.events import Matrix, Vector

_LEVEL = 100.0


class Task(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One order of generated days."""

    side: int  # 1 buys, -1 sells
    quantity: float
    start: int  # the bar at whose close it is decided
    horizon: int  # bars after it
    bars_per_step: int = 1

    @property
    def steps(self) -> int:
        return -(-self.horizon // self.bars_per_step)


class Optimum(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What the best policy makes of an order, in basis points against the price at its decision.

        advantage = -side (p / arrival - 1) 1e4,    p the price of the whole order with slippage and fees

    `choices[k]` (R_k, S) is what it chooses at the k-th decision with `remaining[k]` (R_k,) shares left and a
    deviation of `lattice` (S,).
    """

    best_bps: float
    twap_bps: float  # of trading the same at each step
    choices: tuple[NDArray[np.intp], ...]
    remaining: tuple[Vector, ...]
    lattice: Vector

    @property
    def gain_bps(self) -> float:
        """What there is to win over TWAP."""
        return self.best_bps - self.twap_bps

    def choose(self, own: Working, deviation: Vector) -> NDArray[np.intp]:
        """(W,) the best choices at these deviations of the latest close from the day's first open, as logarithms."""
        chosen = np.zeros(len(own.side), np.intp)
        state = np.abs(deviation[:, None] - self.lattice).argmin(axis=1)
        for k, (table, left) in enumerate(zip(self.choices, self.remaining, strict=True)):
            at = np.flatnonzero(own.step == k)
            row = np.abs(own.remaining[at, None] - left).argmin(axis=1)
            chosen[at] = table[row, state[at]]
        return chosen


def optimum(law: Law, task: Task, market: Beside, action: Any) -> Optimum:
    """The best policy among all that know the past, over the same choices as the environment's.

        V_k(r, x) = max_a  sum_j E[money(q_j, level exp(x_j), volume_j) | x]  +  E[V_{k+1}(r - sum_j q_j, x') | x]

    Money is that of the market's own prices and fees; `q` are the children that `acting.children` makes of a choice. It
    is exact for costs that are proportional to the price: the expectation over the chain of `Law` is a finite sum, and
    without a pattern the expected price is the present one.

    ConfigError for a market that may leave orders unfilled or does not trade at the next open.
    """
    if market.limited or market.column != "open":
        raise ConfigError(
            "optimum: it is known where orders fill whole at the next open; take fill: next_open without participation"
        )
    if not 0 <= task.start < task.start + task.horizon < law.bars:
        raise ValueError(
            f"start {task.start} and horizon {task.horizon} do not lie within the {law.bars} bars of a day"
        )
    solved = _Solved(law, task, market)
    grids = [np.array([task.quantity])]
    for k in range(task.steps - 1):
        own, chosen = solved.all_choices(k, grids[-1], action)
        after, _ = solved.shares(own, action.amounts(chosen, own))
        grids.append(np.unique(np.round(after, 9)))
    value: Matrix = np.zeros((1, len(law.lattice)))
    choices: list[NDArray[np.intp]] = []
    following = np.zeros(1)
    for k in reversed(range(task.steps)):
        own, chosen = solved.all_choices(k, grids[k], action)
        after, money = solved.step(own, action.amounts(chosen, own))
        at = np.abs(after[:, None] - following).argmin(axis=1)
        ahead = (value @ solved.until(own).T)[at]
        worth = (money + ahead).reshape(len(grids[k]), action.count, -1)
        choices.insert(0, worth.argmax(axis=1))
        value, following = worth.max(axis=1), grids[k]
    best, twap = solved.score(value[0]), solved.score(_twap(solved, task))
    return Optimum(best_bps=best, twap_bps=twap, choices=tuple(choices), remaining=tuple(grids), lattice=law.lattice)


def best_actions(game: OrderEnv, by_side: Mapping[int, Optimum]) -> NDArray[np.intp]:
    """(W,) what the optimum chooses now for the orders of a game on generated days; `by_side` has 1 and -1."""
    own, e = game.own, np.maximum(game.episode, 0)
    row = game.orders.day[e] * len(game.days.universe) + game.orders.symbol[e]
    deviation = game.tape.log[row, own.now] - game.tape.first[row]
    buys, sells = (by_side[side].choose(own, deviation) for side in (1, -1))
    return np.where(own.side > 0, buys, sells)


def _twap(solved: "_Solved", task: Task) -> Vector:
    """(S,) expected money of TWAP by the deviation at the decision."""
    action, left = TwapRelative(), np.array([task.quantity])
    total, reached = np.zeros(len(solved.law.lattice)), np.eye(len(solved.law.lattice))
    for k in range(task.steps):
        own = solved.working(k, left)
        left, money = solved.step(own, action.amounts(np.ones(1), own))
        total = total + reached @ money[0]
        reached = reached @ solved.until(own)
    return total


class _Solved:
    """What the steps of a task bring."""

    def __init__(self, law: Law, task: Task, market: Beside) -> None:
        self.law, self._task, self._market = law, task, market
        self._price = _LEVEL * np.exp(law.lattice)

    def working(self, k: int, remaining: Vector) -> Working:
        """Orders with these shares left at the k-th decision."""
        task, count = self._task, len(remaining)
        end = task.start + task.horizon
        now = task.start + k * task.bars_per_step
        fixed = {"start": task.start, "now": now, "next": min(now + task.bars_per_step, end), "end": end}
        columns: dict[str, Any] = {name: np.full(count, value) for name, value in fixed.items()}
        return Working(
            **columns,
            side=np.full(count, task.side, np.int32),
            quantity=np.full(count, task.quantity),
            remaining=remaining,
            lot=np.full(count, self._market.universe.lot[0]),
            step=np.full(count, k),
            steps=np.full(count, task.steps),
            history=np.zeros((count, task.steps + 1)),
        )

    def all_choices(self, k: int, remaining: Vector, action: Any) -> tuple[Working, NDArray[np.intp]]:
        """Each remainder with each choice."""
        own = self.working(k, np.repeat(remaining, action.count))
        return own, np.tile(np.arange(action.count), len(remaining))

    def shares(self, own: Working, amount: Vector) -> tuple[Vector, list[Vector]]:
        """What is left after a step, and the shares of each bar of it."""
        left, bars = own.remaining, []
        for bar in range(int(own.next[0] - own.now[0])):
            child = children(amount, own, left, bar)
            left = left - child
            bars.append(child)
        return left, bars

    def step(self, own: Working, amount: Vector) -> tuple[Vector, Matrix]:
        """What is left, and (rows, S) the expected money of a step: received by a sale, less what a purchase paid."""
        left, bars = self.shares(own, amount)
        money, reached = np.zeros((len(left), len(self._price))), np.eye(len(self._price))
        for bar, child in enumerate(bars):
            money = money + self._money(child, int(own.now[0]) + 1 + bar) @ reached.T
            reached = reached @ self.law.chances
        return left, money

    def until(self, own: Working) -> Matrix:
        """(S, S) from the deviation at a decision to the one at the next."""
        return np.linalg.matrix_power(self.law.chances, int(own.next[0] - own.now[0]))

    def _money(self, shares: Vector, tick: int) -> Matrix:
        """(rows, S) what trading these shares in a bar brings, at each price."""
        states, side = len(self._price), self._task.side
        qty = np.repeat(shares, states) * side
        price = np.tile(self._price, len(shares))
        met = Met(
            ts=np.zeros(len(qty), np.int64),
            price=price,
            volume=np.full(len(qty), self.law.volumes[tick]),
            status=np.zeros(len(qty), np.int32),
        )
        traded = self._market.trade(met, np.zeros(len(qty), np.intp), qty)
        paid = np.where(traded.qty != 0, traded.qty * traded.price, 0.0) + traded.fees.sum(axis=1)
        received: Matrix = -paid.reshape(len(shares), states)
        return received

    def score(self, money: Vector) -> float:
        """Basis points against the price at the decision, over where a day may stand by then."""
        reached = np.linalg.matrix_power(self.law.chances, self._task.start + 1)[len(self._price) // 2]
        whole = self._task.quantity * self._price
        return float(reached @ ((money + self._task.side * whole) / whole * 1e4))
