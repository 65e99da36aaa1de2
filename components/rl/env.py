"""Thousands of orders worked side by side, each an episode of its own: one array operation a step."""

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.brokers.beside import Beside, Traded
from components.rl.acting import TwapRelative, Working
from components.rl.days import Days
from components.rl.episodes import Orders, check_orders
from components.rl.floor import Floor
from components.rl.identity import game_hashes
from components.rl.observing import Market, Observation, Seen, schema_of
from components.rl.queue import Queue
from components.rl.rewards import BPS, Reward, advantage
from components.rl.tape import Tape, tape_of
from engine.errors import DataError, StateError
from engine.events import Mask, Vector
from engine.state import mutable, pack, unpack

_KIND, _VERSION = "order_env", 2
Places = NDArray[np.intp]


class Finished(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Figures of the F episodes that ended with a step: columns (F,), as `components.metrics.execution` has them of a
    session: prices include slippage and not fees. What is not defined there is 0."""

    row: Places  # of the W
    episode: Places  # of the orders
    pa_bps: Vector  # price advantage over the mean market price of its bars (TWAP)
    pa_vwap_bps: Vector  # and over their volume-weighted mean
    slippage_bps: Vector  # paid against the latest close at the decision; above 0 is worse
    fees_bps: Vector  # fees in basis points of the traded value
    net_bps: Vector  # `pa_bps` with the fees in the price: what rewards are made of
    fill_ratio: Vector
    reward: Vector  # sum over the episode
    steps: Places  # decisions it took


class Transition(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What a step of W rows brought."""

    observation: Seen  # (W, ...) float32; of a row whose episode ended, the first of its next
    reward: Vector  # (W,)
    done: Mask  # (W,) whose episode ended with this step
    acted: Mask  # (W,) rows that had an episode, so that their action counted
    finished: Finished


class OrderEnv:
    """A vectorised environment: `width` orders of days and symbols of their own, one decision each a step.

    A decision at the close of a bar trades in the next `bars_per_step` bars, see `acting.children`, by the functions of
    the simulated broker (`market`), and as the desk of a session would: at the close of a bar that was not FRESH
    nothing is sent, except at the last one before the order's end. An episode ends when nothing is left of the order,
    or with its last bar; what that left unfilled shows in its fill ratio. The last bar of an order is `start + horizon`
    or the last that the schedule of the day has (`Days.slots`, `Days.latest`), whether or not it comes.

    With a generator `rng` episodes are drawn without end, in rounds over all orders; without one each comes once, and
    rows without an episode are no longer `active`: their actions are passed over, their rewards 0.

    `tape` is what `tape_of(days)` makes; environments of the same days may share one.
    """

    def __init__(  # noqa: PLR0913 - the parts of a game
        self,
        *,
        days: Days,
        orders: Orders,
        market: Beside,
        observation: Observation,
        action: Any,
        reward: Reward,
        width: int,
        bars_per_step: int = 1,
        rng: np.random.Generator | None = None,
        tape: Tape | None = None,
    ) -> None:
        if width < 1:
            raise ValueError(f"width must be at least 1 order, got {width}")
        if bars_per_step < 1:
            raise ValueError(f"bars_per_step must be at least 1, got {bars_per_step}")
        check_orders(orders, days)
        self._queue = Queue(len(orders), rng)
        self.days, self.orders, self.width, self.bars_per_step = days, orders, width, bars_per_step
        self.market, self._observation, self.action, self.reward = market, observation, action, reward
        self.tape = tape_of(days, features=observation.features) if tape is None else tape
        self.floor = Floor(days=days, orders=orders, market=market, tape=self.tape, bars_per_step=bars_per_step)
        self._before: Places = np.where(
            orders.day > 0, self.floor.row - len(days.universe), -1
        )  # rows of the day before
        self.steps = int(self.floor.steps.max())
        self.action_count: int = action.count
        self.action_most: float = getattr(action, "most", 0.0)  # of continuous actions
        self.observation_shapes = observation.shapes(days.bars, self.steps)
        self.schema = schema_of(observation, action, self.observation_shapes, self.tape.unit, bars_per_step)
        self._hashes: dict[str, str] = {}  # made once they are asked for
        self._episode: Places = np.full(width, -1, np.intp)
        self._own = _nothing(width, self.steps)
        self._sums = np.zeros((4, width))  # filled, value with all costs, fees, reward
        self.traded: tuple[Traded, ...] = ()  # what each bar of the latest step traded

    def for_others(
        self,
        observation: Observation,
        action: Any = None,
        rng: np.random.Generator | None = None,
        *,
        bars_per_step: int | None = None,
    ) -> "OrderEnv":
        """The same orders, days, market and rewards for one who sees other things; action and bars a step are the same
        if left out. It has a queue of its own, endless with `rng`."""
        return OrderEnv(
            days=self.days,
            orders=self.orders,
            market=self.market,
            observation=observation,
            action=self.action if action is None else action,
            reward=self.reward,
            width=self.width,
            bars_per_step=self.bars_per_step if bars_per_step is None else bars_per_step,
            rng=rng,
            tape=self.tape,
        )

    @property
    def active(self) -> Mask:
        """(W,) rows that have an episode."""
        mask: Mask = self._episode >= 0
        return mask

    @property
    def episode(self) -> Places:
        """(W,) the order that each row works, -1 = none."""
        return self._episode.copy()

    @property
    def own(self) -> Working:
        """The orders as their desk sees them. To be read, not written."""
        return self._own

    @property
    def so_far(self) -> NDArray[np.float64]:
        """(2, W) what was filled of each order, and what that was paid or received for, all costs included."""
        both: NDArray[np.float64] = self._sums[:2]
        return both

    def reset(self, episodes: Places | None = None) -> Seen:
        """Begins anew: each once from the first order, or the next `width` of the endless queue.

        With `episodes` (W,) the rows begin with these orders, -1 = none, and the queue stays where it is.
        """
        self._queue.restart()
        rows = np.arange(self.width)
        self._begin(rows, self._queue.take(self.width) if episodes is None else self._checked(episodes))
        self.traded = ()
        return self._observe()

    def _checked(self, episodes: Places) -> Places:
        chosen = np.asarray(episodes)
        fits = chosen.shape == (self.width,) and chosen.dtype.kind in "iu"
        if not fits or not ((chosen >= -1) & (chosen < len(self.orders))).all():
            got = f"{chosen.ravel()[:9].tolist()} of {chosen.dtype}"
            raise DataError(f"episodes: give {self.width} whole numbers of -1 to {len(self.orders) - 1}, got {got}")
        return chosen.astype(np.intp)

    def _begin(self, rows: Places, e: Places) -> None:
        """These episodes for these rows."""
        own = self._own
        self._episode[rows] = e
        for name, column in self.floor.begun(e).items():
            getattr(own, name)[rows] = column
        own.history[rows] = 0.0
        own.history[rows, 0] = own.remaining[rows]
        self._sums[:, rows] = 0.0

    # ---- a step ------------------------------------------------------------------------------------------------------

    def step(self, action: NDArray[Any], *, refill: bool = True) -> Transition:
        """Trades what each row chose, in the bars until its next decision.

        Without `refill` a row whose episode ended takes no other, and its observation is the last of the one it had.
        DataError for an action of another shape, or one that is no choice (NaN, outside the range).
        """
        active = self.active
        if not active.any():
            raise DataError("order_env: no row has an episode; reset begins, and ends after each order came once")
        own = self._own
        e, amount = self._episode, np.where(active, self.action.amounts(action, own), 0.0)
        dealt = self.floor.trade(e, own, amount)
        self._sums[:3] += (dealt.amount, dealt.money, dealt.fees)
        self.traded = dealt.bars
        done = self.floor.advance(e, own, dealt, active)
        own.history[np.arange(self.width), np.minimum(own.step, self.steps)] = own.remaining
        step = self.floor.step(e, own, dealt, done, (self._sums[0], self._sums[1]))
        reward = np.where(active, self.reward.of(step), 0.0)
        self._sums[3] += reward
        rows = np.flatnonzero(done)
        finished = self._finished(rows)
        if rows.size and refill:
            self._begin(rows, self._queue.take(len(rows)))
        seen = self._observe()
        if not refill:
            self._episode[rows] = -1
        return Transition(observation=seen, reward=reward, done=done, acted=active, finished=finished)

    def _finished(self, rows: Places) -> Finished:
        e = self._episode[rows]
        side, quantity, known = self.orders.side[e], self.orders.quantity[e], self.floor.known
        filled, money, fees, reward = self._sums[:, rows]
        multiplier = self.days.universe.multiplier[self.orders.symbol[e]]
        traded = money - side * fees
        value = traded / multiplier
        paid = np.stack([value, value, value, money / multiplier])
        twap = known.twap[e]
        pa, pa_vwap, slippage, net = advantage(
            side, paid, filled, np.stack([twap, known.vwap[e], known.arrival[e], twap])
        )
        return Finished(
            row=rows,
            episode=e,
            pa_bps=pa,
            pa_vwap_bps=pa_vwap,
            slippage_bps=-slippage,
            fees_bps=np.divide(fees * BPS, traded, out=np.zeros(len(rows)), where=traded > 0),
            net_bps=net,
            fill_ratio=filled / quantity,
            reward=reward,
            steps=self._own.step[rows],
        )

    def _observe(self) -> Seen:
        e = self._episode
        market = Market(today=self.tape, row=self.floor.row[e], before=self.tape, before_row=self._before[e])
        seen = self._observation.observe(market, self._own)
        if not self.active.all():
            idle = ~self.active
            for values in seen.values():
                values[idle] = 0.0
        return seen

    # ---- state -------------------------------------------------------------------------------------------------------

    def save(self) -> bytes:
        own = {name: getattr(self._own, name) for name in Working.__struct_fields__}
        return pack(
            _KIND,
            _VERSION,
            game=self._game(),
            queue=self._queue.save(),
            episode=self._episode,
            own=own,
            sums=self._sums,
        )

    def _game(self) -> dict[str, Any]:
        """What has to be the same for a state to go on."""
        made: dict[str, Any] = {"schema": self.schema, "count": len(self.orders), "width": self.width}
        made["generator"] = "one" if self._queue.endless else "none"
        if not self._hashes:
            parts: dict[str, Any] = {"days": self.days, "tape": self.tape, "orders": self.orders}
            self._hashes = game_hashes(**parts, market=self.market, reward=self.reward)
        return made | self._hashes

    def load(self, state: bytes, /) -> None:
        """Goes on exactly where `save` was. StateError for the state of another game."""
        fields = unpack(state, _KIND, _VERSION)
        for name, now in self._game().items():
            if fields["game"][name] != now:
                raise StateError(
                    f"order_env: {name} was {fields['game'][name]} when the state was saved and is {now} now; make the "
                    "environment of the same days, orders, market, reward, observation, action, width and queue, or "
                    "start without the state"
                )
        self._queue.load(fields["queue"])
        self._episode, self._sums = mutable(fields["episode"]), mutable(fields["sums"])
        self._own = Working(**{name: mutable(column) for name, column in fields["own"].items()})

    def observation(self) -> Seen:
        """What each row sees now: after `load`, what the step before `save` returned."""
        return self._observe()


def _nothing(width: int, steps: int) -> Working:
    whole, none = np.ones(width), np.zeros(width, np.intp)
    return Working(
        side=np.ones(width, np.int32),
        quantity=whole.copy(),
        remaining=np.zeros(width),
        lot=whole.copy(),
        start=none.copy(),
        now=none.copy(),
        next=none.copy(),
        end=none.copy(),
        step=none.copy(),
        steps=none + 1,
        history=np.zeros((width, steps + 1)),
    )


def twap_action(action: Any, own: Working) -> NDArray[Any]:
    """(W,) the choice that comes nearest to TWAP: what every policy is measured against."""
    even = np.ones(len(own.side))
    if not action.count:
        return even
    share = TwapRelative().amounts(even, own) / own.quantity
    gap = np.abs(np.array(action.fractions)[None, :] - share[:, None])
    nearest: NDArray[Any] = np.argmin(gap, axis=1)
    return nearest
