"""A teacher that knows the future of its orders: the best choices in hindsight, by dynamic programming."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.rl.acting import Working
from components.rl.env import OrderEnv
from components.rl.floor import Places
from components.rl.rewards import PAPenalty
from components.rl.trainer_budget import CELLS_MAX
from engine.errors import ConfigError
from engine.events import Mask, Matrix, Vector

_AT_ONCE, _ORDERS_AT_ONCE = 200_000, 500  # choices that are tried at a time, and of at most so many orders
_SAME = 1e-9  # of the best worth: choices within it are as good


class Tables(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What each choice of E orders is worth to one who knows all bars of their days.

    Of the k-th decision `remaining[k]` (E, R_k) are the shares that may be left then, ascending, the last repeated
    where an order has fewer; `worth[k]` (E, R_k, A) is the sum of rewards from there on, of each choice now and the
    best ones after it. Where `exact` (E,) is False, a decision had more than `states_max` remainders, and some stand
    for their neighbours: the worths are then near the true ones, no bounds.
    """

    episode: Places
    remaining: tuple[Matrix, ...]
    worth: tuple[NDArray[np.float64], ...]
    exact: Mask

    @property
    def best(self) -> Vector:
        """(E,) the most that an order can earn."""
        most: Vector = self.worth[0][:, 0].max(axis=1)
        return most


class Hindsight:
    """What each choice of the orders of an environment is worth to one who knows all bars of their days, see `Tables`.

    The tables of an order are made when it is first asked about; of all of them at once where they have room together.
    What is kept has at most `cells_max` cells (8 bytes each, and as many again divided by the choices), or what the
    orders take that are asked about together: others are let go, and made again once they are asked about again. What
    is said of an order hangs on none of that.
    """

    def __init__(self, env: OrderEnv, states_max: int, cells_max: int) -> None:
        self._env, self._states_max, self._cells_max = env, states_max, cells_max
        self._at_once = 32  # orders whose tables are made together
        self._place: Places = np.full(len(env.orders), -1, np.intp)  # among those that are kept
        self._kept, self._together = 0, True
        self._remaining = [np.zeros((0, 1)) for _ in range(env.steps)]
        self._worth = [np.zeros((0, 1, env.action_count)) for _ in range(env.steps)]

    @property
    def best(self) -> Vector:
        """(E,) the most that each order can earn: of all of them, which takes as long as to make their tables."""
        return self._of_all[0]

    @property
    def exact(self) -> Mask:
        """(E,) whether no decision had more than `states_max` remainders."""
        return self._of_all[1]

    @cached_property
    def _of_all(self) -> tuple[Vector, Mask]:
        parts = [(part.best, part.exact) for part in self._made(np.arange(len(self._place)))]
        return np.concatenate([best for best, _ in parts]), np.concatenate([exact for _, exact in parts])

    @property
    def cells(self) -> int:
        """Of the tables that are kept."""
        return sum(worth.size for worth in self._worth)

    def worths(self, episode: Places, own: Working) -> Matrix:
        """(W, A) what each choice is worth to these orders as they stand now; zeros for -1."""
        out, some = np.zeros((len(episode), self._env.action_count)), np.flatnonzero(episode >= 0)
        self._know(np.unique(episode[some]))
        for k in np.unique(own.step[some]).tolist():
            at = some[own.step[some] == k]
            place = self._place[episode[at]]
            nearest = np.abs(self._remaining[k][place] - own.remaining[at, None]).argmin(axis=1)
            out[at] = self._worth[k][place, nearest]
        return out

    def choose(self, episode: Places, own: Working) -> NDArray[np.intp]:
        """(W,) the best choice of each; of several the smallest."""
        chosen: NDArray[np.intp] = as_good(self.worths(episode, own)).argmax(axis=1)
        return chosen

    def _know(self, e: Places) -> None:
        """Makes what these orders lack."""
        if self._together:
            for part in self._made(np.flatnonzero(self._place < 0)):
                if not self._keep(part, e):
                    break
        for part in self._made(e[self._place[e] < 0]):
            self._keep(part, e)

    def _made(self, e: Places) -> Iterator[Tables]:
        done = 0
        while done < len(e):
            part = _Part(self._env, e[done : done + self._at_once], self._states_max)
            yield part.solved()
            count = min(self._at_once, len(e) - done)
            done += count
            self._at_once = min(max(1, count * _AT_ONCE // max(part.most, 1)), _ORDERS_AT_ONCE)

    def _keep(self, part: Tables, e: Places) -> bool:
        """Beside those that are kept; without room those go that are not of `e`. Whether all would have room."""
        at = [min(k, len(part.worth) - 1) for k in range(len(self._worth))]  # behind its last decision nobody asks
        sizes = [max(ours.shape[1], part.worth[k].shape[1]) for ours, k in zip(self._worth, at, strict=True)]
        room = max(self._cells_max // (sum(sizes) * self._env.action_count), len(e), len(part.episode))
        self._together = self._together and len(self._place) <= room
        if self._kept + len(part.episode) > room:
            self._let_go(e)
        first, until = self._kept, self._kept + len(part.episode)
        capacity = min(max(len(self._worth[0]), 2 * until if until > len(self._worth[0]) else 0), max(room, until))
        for tables, new in ((self._remaining, part.remaining), (self._worth, part.worth)):
            for k, (size, of) in enumerate(zip(sizes, at, strict=True)):
                tables[k] = _room_for(tables[k], first, capacity, size)
                tables[k][first:until] = _padded(new[of], size)
        self._place[part.episode], self._kept = np.arange(first, until), until
        return self._together

    def _let_go(self, e: Places) -> None:
        """Of all but these."""
        stay = e[self._place[e] >= 0]
        places, self._kept = self._place[stay], len(stay)
        for tables in (self._remaining, self._worth):
            tables[:] = [table[places] for table in tables]
        self._place[:] = -1
        self._place[stay] = np.arange(len(stay))


def _room_for(table: NDArray[np.float64], kept: int, capacity: int, size: int) -> NDArray[np.float64]:
    """The same with room for so many orders of so many remainders, of which the first `kept` are."""
    if table.shape[:2] == (capacity, size):
        return table
    made = np.empty((capacity, size, *table.shape[2:]))
    made[:kept] = _padded(table[:kept], size)
    return made


def _padded(table: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """With so many remainders, the last repeated."""
    more = ((0, 0), (0, size - table.shape[1]), *((0, 0) for _ in table.shape[2:]))
    return np.pad(table, more, mode="edge") if size > table.shape[1] else table


def as_good(worths: Matrix) -> Mask:
    """(W, A) which choices are the best, up to rounding."""
    most = worths.max(axis=1, keepdims=True)
    mask: Mask = worths >= most - _SAME * np.maximum(np.abs(most), 1.0)
    return mask


def targets(worths: Matrix, temperature: float) -> Matrix:
    """(W, A) chances that a student learns: softmax of the advantage in hindsight.

        chance_a  proportional to  exp((worth_a - max worth) / temperature);    0 = equal among the best, none else

    >>> targets(np.array([[0.0, 1.0, 1.0]]), 0.0)
    array([[0. , 0.5, 0.5]])
    >>> targets(np.array([[0.0, 1.0]]), 1.0).round(4)
    array([[0.2689, 0.7311]])
    """
    if temperature > 0:
        with np.errstate(over="ignore"):  # of a temperature near 0: no chance at all
            weight = np.exp((worths - worths.max(axis=1, keepdims=True)) / temperature)
    else:
        weight = as_good(worths).astype(np.float64)
    chances: Matrix = weight / weight.sum(axis=1, keepdims=True)
    return chances


def hindsight(env: OrderEnv, *, states_max: int = 128, cells_max: int = CELLS_MAX) -> Hindsight:
    """The tables of the orders of an environment, by its own trades, costs and rewards.

        W_k(r, a) = reward(r, a, bars of the k-th step) + max_b W_{k+1}(r', b),    r' what the step leaves of r

    Remainders are those that choices can lead to, no grid of ours: whatever a student did, it stands at one of them.
    Without `participation` they are few; with it a bar may leave any number of shares. CPU and memory are those of
    orders x decisions x remainders x choices.

    ConfigError for continuous actions, and for a reward that is not the sum of what each step earns.
    """
    if not env.action_count:
        raise ConfigError("teacher: it weighs a few choices, and these actions are continuous; take categorical")
    if not isinstance(env.reward, PAPenalty):
        raise ConfigError(
            f"teacher: {type(env.reward).__name__} looks at the whole order, and hindsight adds up what each step "
            "earns; take PAPenalty"
        )
    if states_max < 2:
        raise ValueError(f"states_max must be at least 2, got {states_max}")
    return Hindsight(env, states_max, cells_max)


class _Part:
    """The tables of some orders."""

    def __init__(self, env: OrderEnv, e: Places, states_max: int) -> None:
        self._env, self._e, self._states_max = env, e, states_max
        self._remaining: list[Matrix] = []
        self._earned: list[NDArray[np.float64]] = []  # (E, R, A) of each decision
        self._leads_to: list[NDArray[np.intp]] = []  # (E, R, A) places in the remainders of the next decision
        self.exact = np.ones(len(e), bool)
        self.most = 0

    def solved(self) -> Tables:
        floor, left = self._env.floor, self._env.orders.quantity[self._e][:, None]
        own = Working(**floor.begun(self._e), history=np.zeros((len(self._e), 0)))
        for k in range(int(floor.steps[self._e].max())):
            own.step = np.full(len(self._e), k)
            own.next = np.minimum(own.now + floor.bars_per_step, own.end)
            floor.cut_short(self._e, own)
            columns = {name: getattr(own, name) for name in own.__struct_fields__ if name != "history"}
            after, own.now = self._tried(k, left, columns)
            self._remaining.append(left)
            left = self._reached(after)
        remaining, worth = tuple(self._remaining), tuple(self._backwards())
        return Tables(episode=self._e, remaining=remaining, worth=worth, exact=self.exact)

    def _tried(self, k: int, left: Matrix, columns: dict[str, Any]) -> tuple[NDArray[np.float64], Places]:
        """(E, R, A) what each choice leaves of each remainder, and the bar (E,) at which that is. Orders that are over
        earn nothing."""
        env, shape = self._env, (*left.shape, self._env.action_count)
        size = left.shape[1] * env.action_count
        self.most = max(self.most, len(left) * size)
        e = np.repeat(self._e, size)
        wide = {name: np.repeat(column, size) for name, column in columns.items() if name not in ("remaining", "step")}
        ends = env.floor.over[e]
        running = (k < wide["steps"]) & (wide["now"] < ends) & (np.repeat(left, env.action_count) > 0)
        remaining = np.where(running, np.repeat(left, env.action_count), 0.0)
        step = np.minimum(k, wide["steps"] - 1)
        own = Working(**wide, remaining=remaining, step=step, history=np.zeros((len(e), 0)))
        choice = np.tile(np.arange(env.action_count), left.size)
        dealt = env.floor.trade(e, own, env.action.amounts(choice, own))
        over = (dealt.remaining <= 0.0) | (dealt.until >= np.minimum(own.end, ends))
        earned = env.reward.of(env.floor.step(e, own, dealt, over, (dealt.amount, dealt.money)))
        self._earned.append(np.where(running, earned, 0.0).reshape(shape))
        return dealt.remaining.reshape(shape), dealt.until.reshape(shape)[:, 0, 0]

    def _reached(self, after: NDArray[np.float64]) -> Matrix:
        """(E, R') the remainders of the next decision, and where each choice leads among them is kept."""
        flat = after.reshape(len(after), -1)
        order = flat.argsort(axis=1, kind="stable")
        ascending = np.take_along_axis(flat, order, axis=1)
        place = np.zeros(flat.shape, np.intp)
        place[:, 1:] = np.cumsum(ascending[:, 1:] > ascending[:, :-1], axis=1)
        last = place[:, -1:]
        if last.max(initial=0) >= self._states_max:  # of too many, some stand for their neighbours
            many = last >= self._states_max
            thinned = np.rint(place * (self._states_max - 1) / np.maximum(last, 1)).astype(np.intp)
            place, self.exact = np.where(many, thinned, place), self.exact & ~many[:, 0]
        left = np.repeat(ascending[:, -1:], int(place.max(initial=0)) + 1, axis=1)
        np.put_along_axis(left, place[:, ::-1], ascending[:, ::-1], axis=1)
        leads_to = np.empty_like(place)
        np.put_along_axis(leads_to, order, place, axis=1)
        self._leads_to.append(leads_to.reshape(after.shape))
        return left

    def _backwards(self) -> list[NDArray[np.float64]]:
        worths: list[NDArray[np.float64]] = []
        for earned, leads_to in zip(reversed(self._earned), reversed(self._leads_to), strict=True):
            worth = earned
            if worths:
                best = worths[0].max(axis=2)
                ahead = np.take_along_axis(best, leads_to.reshape(len(best), -1), axis=1)
                worth = earned + ahead.reshape(earned.shape)
            worths.insert(0, worth)
        return worths
