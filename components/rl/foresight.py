"""What one sees who knows the bars to come: for a teacher to learn from, never for an agent that is put to use."""

import hashlib
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.brokers.fill_rules import Point, offered
from components.rl.acting import Working
from components.rl.env import OrderEnv, Transition
from components.rl.floor import Places
from components.rl.observing import CurrentStep, Seen
from components.rl.tape import zeroed
from engine.events import Matrix, Vector

OWN = ("remaining", "left", "bars", "buys", "arrival", "rest")
AHEAD = ("price", "volume", "trades")  # of each bar to come
QUOTES = ("near", "far")  # of each bar to come and of the rest, where the market has quotes


class Foresight:
    """`now` (6 + 3 H,) of orders of up to H bars: the order, named by OWN, and each bar that it has left, by AHEAD.

        remaining  share of the order, left  share of its decisions that lie ahead, bars  of the next step of all
        price      at which the bar trades against the mean of all bars of the order (TWAP), which knows the future
                   too: logarithms in the tape's unit, above 0 is good for the order
        arrival    the price at the decision, rest  that at which what is left undone trades: both against the TWAP
        volume     v / (v + Q), Q the order's quantity
        trades     1 where somebody can trade

    With quotes there are 2 H + 2 more, by QUOTES of each bar and at last of the rest, against its price:

        near       the ask of a purchase, the bid of a sale, far  the other

    That is all of the future that an order's rewards hang on: behind its last bar nothing is worth anything. What is
    unknown, and what lies behind the last bar, is 0.
    """

    def __init__(self, env: OrderEnv) -> None:
        self._env, days, market = env, env.days, env.market
        self.bars = int((env.floor.end - env.orders.start).max())
        quotes = 0 if env.floor.quotes is None else len(QUOTES) * (self.bars + 1)
        self.shapes: dict[str, tuple[int, ...]] = {"now": (len(OWN) + len(AHEAD) * self.bars + quotes,)}
        self._price, self._volume = np.ravel(getattr(days, market.column)), np.ravel(days.volume)
        self._status = np.ravel(days.status)

    def of(self, episode: Places, own: Working) -> Seen:
        """(W, ...) what the teacher sees of these orders; zeros for -1."""
        env = self._env
        e, some = np.maximum(episode, 0), episode >= 0
        tick = own.now[:, None] + 1 + np.arange(self.bars)
        inside = some[:, None] & (tick <= np.minimum(own.end, env.floor.over[e])[:, None])
        at = (env.floor.row[e][:, None] * env.days.bars + np.minimum(tick, env.days.bars - 1)).ravel()
        price = self._offered(at).reshape(inside.shape)
        trades = inside & (price > 0)
        better, twap = -own.side[:, None] / env.tape.unit, env.floor.known.twap[e][:, None]
        volume = np.where(trades, np.nan_to_num(self._volume[at]).reshape(inside.shape), 0.0)
        columns = [better * _log(price, twap), volume / (volume + own.quantity[:, None]), trades]
        ahead = [np.where(trades, column, 0.0) for column in columns]
        rest = env.floor.remainder.price[e][:, None]
        known = [
            _own(own, self.bars),
            better * _log(env.floor.known.arrival[e][:, None], twap),
            better * _log(rest, twap),
        ]
        if env.floor.quotes is not None:
            price = np.concatenate([np.where(trades, price, np.nan), rest], axis=1)
            ahead += [better * _log(quote, price) for quote in self._quotes(e, own, at, inside.shape)]
        seen = np.concatenate([*known, *ahead], axis=1)
        return {"now": zeroed(np.where(some[:, None], seen, 0.0))}

    def _quotes(self, e: Places, own: Working, at: Places, shape: tuple[int, ...]) -> tuple[Matrix, Matrix]:
        """(W, H + 1) near and far quotes of each bar to come, and of the rest."""
        floor = self._env.floor
        assert floor.quotes is not None
        assert floor.remainder.quotes is not None
        bid, ask = (
            np.concatenate([bars[at].reshape(shape), rest[e][:, None]], axis=1)
            for bars, rest in zip(floor.quotes, floor.remainder.quotes, strict=True)
        )
        buys = own.side[:, None] > 0
        return np.where(buys, ask, bid), np.where(buys, bid, ask)

    def _offered(self, at: Places) -> Vector:
        """The price of each of these bars as the broker offers it, NaN where there is none."""
        point = Point(price=self._price, volume=self._volume, at=0, by=0)
        return offered(point, self._status, at)


def _log(price: Matrix, beside: Matrix) -> Matrix:
    """Of price / beside, NaN where either is unknown."""
    log: Matrix = np.log(np.where(price > 0, price, np.nan) / np.where(beside > 0, beside, np.nan))
    return log


def _own(own: Working, bars: int) -> NDArray[np.float64]:
    columns = (own.remaining / own.quantity, 1.0 - own.step / own.steps, (own.next - own.now) / bars, own.side > 0)
    return np.stack(columns, axis=1)


class Foreseeing:
    """The orders, days, market, actions and rewards of an environment for one who knows what comes: as wide as it, and
    with a queue of its own, endless with `rng`."""

    def __init__(self, env: OrderEnv, rng: np.random.Generator | None = None) -> None:
        own: Any = CurrentStep()  # one of several kinds
        self._env = env.for_others(own, rng=rng)
        self.foresight = Foresight(self._env)
        self.width, self.steps, self.action_count = env.width, self._env.steps, env.action_count
        self.observation_shapes = self.foresight.shapes
        said = msgspec.json.encode(["foresight", 2, OWN, AHEAD, QUOTES, self.foresight.bars, self._env.schema])
        self.schema = hashlib.blake2b(said, digest_size=16).hexdigest()

    @property
    def active(self) -> NDArray[np.bool_]:
        return self._env.active

    def reset(self) -> Seen:
        self._env.reset()
        return self._seen()

    def step(self, action: NDArray[Any], /) -> Transition:
        found = self._env.step(action)
        return msgspec.structs.replace(found, observation=self._seen())

    def _seen(self) -> Seen:
        return self.foresight.of(self._env.episode, self._env.own)

    def save(self) -> bytes:
        return self._env.save()

    def load(self, state: bytes, /) -> None:
        self._env.load(state)
