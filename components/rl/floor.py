"""Where orders of days meet the market: what a step trades of them, whoever asks and however often."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.brokers.beside import Beside, Met, Traded
from components.rl.acting import Working, children, cut_short
from components.rl.benchmarks import Benchmarks, benchmarks_of
from components.rl.days import Days
from components.rl.episodes import Orders
from components.rl.remainder import Remainder
from components.rl.rewards import Step
from components.rl.tape import Tape
from engine.events import Mask, Status, Vector

_FRESH = int(Status.FRESH)
Places = NDArray[np.intp]


class Dealt(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What a step of L orders traded: columns (L,)."""

    remaining: Vector  # shares left after it
    amount: Vector  # shares that traded
    money: Vector  # paid or received, all costs included
    squares: Vector  # sum over its bars of (shares of the bar / Q)^2
    fees: Vector
    until: Places  # the bar at whose close the next decision is
    bars: tuple[Traded, ...]  # what each bar traded


def last_bars(days: Days, orders: Orders) -> Places:
    """(E,) the last bar of each order, as its schedule has it at the decision."""
    slots = days.slots[orders.day, orders.start]
    end: Places = np.minimum(orders.start + np.minimum(orders.horizon, slots), days.bars - 1)
    return end


def decisions(days: Days, orders: Orders, bars_per_step: int) -> Places:
    """(E,) decisions of each order at most."""
    count: Places = -(-(last_bars(days, orders) - orders.start) // bars_per_step)
    return count


class Floor:
    """The bars of days, the orders that are worked on them, and their market. Nothing here changes.

    `e` (L,) are numbers of orders, any of them any number of times; `own` is their state, which need not be one that
    the orders ever had.
    """

    def __init__(self, *, days: Days, orders: Orders, market: Beside, tape: Tape, bars_per_step: int) -> None:
        self._days, self._orders, self._market, self.bars_per_step = days, orders, market, bars_per_step
        self.row: Places = orders.day * len(days.universe) + orders.symbol  # of the columns of days
        self.end: Places = last_bars(days, orders)
        self.over: Places = days.length[orders.day] - 1  # behind it nothing comes, which nobody knows before
        self.steps: Places = decisions(days, orders, bars_per_step)
        self._lot = days.universe.lot[orders.symbol]
        self.known: Benchmarks = benchmarks_of(
            days, market, tape, self.row, orders.start, np.minimum(self.end, self.over)
        )
        self.remainder = Remainder(days=days, orders=orders, market=market, tape=tape, end=self.end)
        columns = (getattr(days, market.column), days.volume, days.status)
        self._price, self._volume, self._status = (np.ravel(column) for column in columns)
        self.quotes = None if market.quotes is None else tuple(np.ravel(days.extra[k]) for k in market.quotes)

    def begun(self, e: Places) -> dict[str, Any]:
        """Columns of `Working` at the first decision, without the history; an order of 1 with nothing left for -1."""
        some, orders = e >= 0, self._orders
        quantity = np.where(some, orders.quantity[e], 1.0)
        start, end = orders.start[e], self.end[e]
        return {
            "side": orders.side[e],
            "quantity": quantity,
            "remaining": np.where(some, quantity, 0.0),
            "lot": self._lot[e],
            "start": start,
            "now": start,
            "next": np.minimum(start + self.bars_per_step, end),
            "end": end,
            "step": 0,
            "steps": self.steps[e],
        }

    def trade(self, e: Places, own: Working, amount: Vector) -> Dealt:
        """What the bars until the next decision trade of these amounts."""
        orders, days = self._orders, self._days
        symbol, at, day = orders.symbol[e], self.row[e] * days.bars, orders.day[e] * days.bars
        own = Working(**{name: getattr(own, name) for name in own.__struct_fields__})  # what is given stays as it is
        remaining, sums, told = own.remaining, np.zeros((4, len(e))), []
        for bar in range(self.bars_per_step):
            self.cut_short(e, own, bar)
            tick = np.minimum(own.now + 1 + bar, own.end)
            child = children(amount, own, remaining, bar)
            sendable = (self._status[at + tick - 1] == _FRESH) | (tick >= own.end)
            child = np.where(sendable, child, 0.0)
            traded = self._market.trade(self._met(at + tick, day + tick), symbol, own.side * child)
            told.append(traded)
            filled, fees = np.abs(traded.qty), traded.fees.sum(axis=1)
            money = np.where(filled > 0, filled * traded.price * days.universe.multiplier[symbol], 0.0)
            money += own.side * fees
            remaining = np.rint((remaining - filled) / own.lot) * own.lot
            sums[0] += filled
            sums[1] += money
            sums[2] += (filled / own.quantity) ** 2
            sums[3] += fees
        traded_in_all, money, squares, fees = sums
        sums_of: dict[str, Any] = {"amount": traded_in_all, "money": money, "squares": squares, "fees": fees}
        return Dealt(remaining=remaining, until=own.next, bars=tuple(told), **sums_of)

    def advance(self, e: Places, own: Working, dealt: Dealt, some: Mask) -> Mask:
        """Takes these orders to their next decision, behind what was dealt; (L,) whose end that is."""
        own.remaining = dealt.remaining
        own.step += some
        own.now = np.where(some, dealt.until, own.now)
        done: Mask = some & ((own.remaining <= 0.0) | (own.now >= np.minimum(own.end, self.over[e])))
        own.next = np.minimum(own.now + self.bars_per_step, own.end)
        self.cut_short(e, own)
        return done

    def cut_short(self, e: Places, own: Working, bar: int = 0) -> None:
        """What the clock says `bar` bars after the decision of how long these may go on, see `acting.cut_short`."""
        tick = np.minimum(own.now + bar, own.end)
        cut_short(own, self._days.latest[self._orders.day[e], tick], self.bars_per_step)

    def _met(self, at: Places, day: Places) -> Met:
        bid, ask = (None, None) if self.quotes is None else (column[at] for column in self.quotes)
        return Met(
            ts=np.ravel(self._days.ts)[day],
            price=self._price[at],
            volume=self._volume[at],
            status=self._status[at],
            bid=bid,
            ask=ask,
        )

    def step(self, e: Places, own: Working, dealt: Dealt, done: Mask, so_far: tuple[Vector, Vector]) -> Step:
        """What a reward looks at; `so_far` is what traded in all and its money, this step among it."""
        filled, money = so_far
        multiplier, known = self._days.universe.multiplier[self._orders.symbol[e]], self.known
        rest = np.where(done, np.maximum(dealt.remaining, 0.0), 0.0)
        return Step(
            side=own.side,
            quantity=own.quantity,
            amount=dealt.amount,
            value=dealt.money / multiplier,
            squares=dealt.squares,
            filled=filled,
            spent=money / multiplier,
            done=done,
            rest=rest,
            rest_value=self._worth_of(e, own, rest),
            twap=known.twap[e],
            arrival=known.arrival[e],
        )

    def _worth_of(self, e: Places, own: Working, rest: Vector) -> Vector:
        """What the rest of each is paid or received for, all costs included; NaN where it has no price."""
        value = np.zeros(len(e))
        at = np.flatnonzero(rest > 0)
        if at.size:
            price, fees = self.remainder.priced(e[at], own.side[at], rest[at])
            value[at] = rest[at] * (price + own.side[at] * fees)
        return value
