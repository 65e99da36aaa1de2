"""A market of a few lines that fits `OrderEnv`: prices revert to where they began, and each step trades at one."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from components.rl.observing import HISTORY_NOW
from components.rl.trainer import Arena
from engine.state import mutable, pack, unpack

STEPS, ACTIONS, NEVER = 4, 3, -1


class Finished(msgspec.Struct, frozen=True, eq=False):
    episode: Any
    pa_bps: Any
    pa_vwap_bps: Any
    fill_ratio: Any
    reward: Any
    slippage_bps: Any
    net_bps: Any


class Transition(msgspec.Struct, frozen=True, eq=False):
    observation: dict[str, Any]
    reward: Any
    done: Any
    finished: Finished


class Toy:
    """Orders to sell; an action k trades k / 2 of what is left, the last step all of it."""

    def __init__(
        self, width: int, *, orders: int = 64, seed: int = 0, forever: bool = True, whole: bool = False
    ) -> None:
        chance = np.random.default_rng(seed)
        steps = chance.normal(0.0, 10.0, (max(orders, 1), STEPS))
        self._orders, self.offset = (
            orders,
            np.zeros((max(orders, 1), STEPS)),
        )  # basis points from the price at the beginning
        for k in range(1, STEPS):
            self.offset[:, k] = 0.3 * self.offset[:, k - 1] + steps[:, k]
        self.width, self.steps, self.action_count, self.schema = width, STEPS, ACTIONS, f"toy{int(whole)}"
        self._whole, self._forever, self._chance = whole, forever, np.random.default_rng(seed + 1)
        self.observation_shapes: dict[str, tuple[int, ...]] = {"now": (3,)}
        if whole:
            self.observation_shapes = {"market": (STEPS + 1, 1), "own": (STEPS + 1, 2), "now": (len(HISTORY_NOW),)}
        self._queue = np.zeros(0, np.int64)
        self.active = np.zeros(width, bool)

    def reset(self) -> dict[str, Any]:
        w = self.width
        self._episode, self._step, self._left = np.full(w, NEVER), np.zeros(w, np.int64), np.ones(w)
        self._own = np.zeros((w, STEPS + 1, 2))
        self._gain = np.zeros(w)
        self._queue = np.zeros(0, np.int64) if self._forever else np.arange(self._orders)
        self._take(np.arange(w))
        return self._seen()

    def _take(self, rows: Any) -> None:
        for row in rows:
            if not len(self._queue) and self._forever:
                self._queue = self._chance.permutation(self._orders)
            self._episode[row] = self._queue[0] if len(self._queue) else NEVER
            self._queue = self._queue[1:]
        self._step[rows], self._left[rows], self._gain[rows], self._own[rows] = 0, 1.0, 0.0, 0.0
        self.active = self._episode != NEVER

    def _seen(self) -> dict[str, Any]:
        rows = np.arange(self.width)
        price = self.offset[self._episode, self._step] / 10
        self._own[rows, self._step] = np.stack([self._left, self._step / STEPS], axis=1)
        found = {"now": np.stack([price, self._left, self._step / STEPS], axis=1).astype(np.float32)}
        if self._whole:
            past = np.arange(STEPS) <= self._step[:, None]
            market = np.zeros((self.width, STEPS + 1, 1), np.float32)
            market[:, 1:, 0] = np.where(past, self.offset[self._episode], 0.0) / 10
            zero = np.zeros(self.width)
            now = [zero, zero + 1, self._step + 1, self._step, zero + STEPS, zero, self._left]  # as HISTORY_NOW says
            found = {"now": np.stack(now, axis=1).astype(np.float32), "market": market, "own": self._own.astype("f4")}
        return found

    def step(self, action: Any) -> Transition:
        last = self._step == STEPS - 1
        amount = np.where(last, self._left, self._left * action / (ACTIONS - 1))
        reward = amount * self.offset[self._episode, self._step] * self.active
        self._gain += reward
        self._left -= amount
        self._step = np.minimum(self._step + 1, STEPS - 1)
        done = (last | (self._left <= 0)) & self.active
        rows = np.nonzero(done)[0]
        gain, zero = self._gain[rows], np.zeros(len(rows))
        pa = gain - self.offset[self._episode[rows]].mean(axis=1)
        finished = Finished(self._episode[rows], pa, pa, zero + 1.0, gain, zero, pa)
        self._take(rows)
        return Transition(self._seen(), reward, done, finished)

    def save(self) -> bytes:
        state = self._chance.bit_generator.state
        fields = {name: getattr(self, f"_{name}") for name in ("episode", "step", "left", "own", "gain", "queue")}
        numbers = {name: str(value) for name, value in state["state"].items()}
        return pack("toy", 1, chance=numbers, spare=[state["has_uint32"], state["uinteger"]], **fields)

    def load(self, state: bytes) -> None:
        found = unpack(state, "toy", 1)
        for name in ("episode", "step", "left", "own", "gain", "queue"):
            setattr(self, f"_{name}", mutable(found[name]))
        self.active = self._episode != NEVER
        numbers = {name: int(value) for name, value in found["chance"].items()}
        has, value = found["spare"]
        self._chance.bit_generator.state = {
            "bit_generator": "PCG64",
            "state": numbers,
            "has_uint32": has,
            "uinteger": value,
        }


def arena(width: int, *, whole: bool = False, change: Callable[[Toy], Any] = lambda toy: toy) -> Arena:
    return Arena(
        training=change(Toy(width, whole=whole)),
        validation=Toy(width, orders=50, seed=9, forever=False, whole=whole),
        inputs="toy",
    )
