"""What orders are worth at an even pace on days that are known: a baseline of rewards that no action can change.

Nothing of it is in what an agent sees: it takes noise out of what it learns from, see `Regret`.
"""

from typing import Any

import numpy as np

from components.rl.acting import TwapRelative, Working
from components.rl.env import OrderEnv
from engine.events import Mask, Vector

_EVEN = TwapRelative()


def even_pace_ahead(env: OrderEnv, gamma: float = 1.0) -> Vector:
    """(W,) what the orders of an environment would still earn at an even pace from where they stand; 0 without one.

        sum_k gamma^k r_(t+k),    by the market, costs and reward of the environment itself, on the bars that will come

    Exact, what is left undone priced as in rewards. The environment stays as it is.
    """
    worth, at = np.zeros(env.width), np.flatnonzero(env.active)
    floor, e, own = env.floor, env.episode[at], _copied(env.own, at)
    so_far, weight = env.so_far[:, at], 1.0
    while at.size:
        dealt = floor.trade(e, own, _EVEN.amounts(np.ones(len(at)), own))
        so_far = so_far + (dealt.amount, dealt.money)
        done = floor.advance(e, own, dealt, np.ones(len(at), bool))
        step = floor.step(e, own, dealt, done, (so_far[0], so_far[1]))
        worth[at] += weight * env.reward.of(step)
        weight *= gamma
        if done.any():
            on = np.flatnonzero(~done)
            at, e, own, so_far = at[on], e[on], _copied(own, on), so_far[:, on]
    return worth


def _copied(own: Working, at: Any) -> Working:
    """These orders without their history, which no trade looks at."""
    columns = {name: getattr(own, name)[at] for name in own.__struct_fields__ if name != "history"}
    return Working(**columns, history=np.zeros((len(at), 0)))


class Regret:
    """Rewards as the difference that a step makes to an even pace of what is left, over the day as it came:

        r_t + gamma W(s_(t+1)) - W(s_t),    W(s) = `even_pace_ahead`, 0 behind the end of an order

    Such a difference of a potential changes no policy's place among others: over an order it adds up to the rewards
    less W(s_0), which no action has a part in. What the day's prices did to any order of its side is in both and falls
    out; a step at an even pace has 0. W looks ahead, and may: the prices of a day do not hang on what is traded here.

    There is nothing to save: W(s_t) is a function of where the environment stands.

    Source: Ng, Harada, Russell (1999), Policy invariance under reward transformations, ICML; Mao, Venkatakrishnan,
    Schwarzkopf, Alizadeh (2019), Variance reduction for reinforcement learning in input-driven environments, ICLR.
    """

    def __init__(self, env: OrderEnv, gamma: float) -> None:
        self._env, self._gamma = env, gamma
        self._worth: Vector | None = None

    def before_step(self) -> None:
        """To be called before each step."""
        if self._worth is None:  # it begins, or goes on
            self._worth = even_pace_ahead(self._env, self._gamma)

    def of(self, reward: Vector, done: Mask) -> Vector:
        """(W,) rewards of the step that was taken, and whether each order ended with it."""
        before, after = self._worth, even_pace_ahead(self._env, self._gamma)
        assert before is not None, "before_step comes first"
        self._worth = after
        found: Vector = reward - before + np.where(done, 0.0, self._gamma * after)
        return found
