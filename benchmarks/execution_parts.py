"""What the benchmark of execution agents is made of: a part of history, policies that work its orders, intervals."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from execution_desk import Span, Trades, at_the_desk, figures_of, played
from numpy.typing import NDArray

from components.brokers.beside import Beside
from components.execution.almgren_chriss import AlmgrenChriss
from components.execution.pace import Pace
from components.execution.rl import Rl
from components.execution.twap import Twap
from components.execution.vwap import Vwap
from components.models.bundle import tensors_of
from components.rl.acting import Categorical, TwapRelative
from components.rl.agent_artefact import AgentCard, agent_artefact
from components.rl.days import Days
from components.rl.env import OrderEnv
from components.rl.episodes import Orders, Split
from components.rl.observing import Compact
from components.rl.policy import Policy
from components.rl.rewards import PAPenalty
from components.rl.tape import Tape
from components.rl.teacher import Hindsight, hindsight
from components.rl.trainer import Arena, Taught, teach
from components.rl.trainer_evaluate import Figures
from components.rl.trainer_options import Course

ROWS, WIDTH = 256, 4096
WARM_UP_DAYS = 11  # before the days that are judged: ten of them are the profile of VWAP
Choose = Callable[[OrderEnv, dict[str, Any]], NDArray[Any]]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Days, their market, and orders to learn from, choose by and judge by."""

    feed: Any
    days: Days
    orders: Split
    costs: Any
    tape: Tape
    bars_per_step: int
    action: Categorical  # of agents
    reward: PAPenalty

    def env(self, orders: Orders, *, width: int = WIDTH, even: bool = False, seed: int | None = None) -> OrderEnv:
        """For an agent, who decides once a step; or for an even pace of every bar."""
        action: Any = TwapRelative() if even else self.action
        return OrderEnv(
            days=self.days,
            orders=orders,
            market=self.market,
            observation=Compact(),
            action=action,
            reward=self.reward,
            width=min(width, len(orders)) if seed is None else width,
            bars_per_step=1 if even else self.bars_per_step,
            rng=None if seed is None else np.random.default_rng(seed),
            tape=self.tape,
        )

    @property
    def market(self) -> Beside:
        return Beside(universe=self.feed.universe, costs=self.costs)

    def judged(self, trades: Trades) -> Figures:
        """Figures of the orders of the test, whoever worked them."""
        return figures_of(self.env(self.orders.test), self.market, trades)

    def by_desk(self, pace: Callable[[], Pace]) -> Figures:
        """The orders of the test in a session of their days; the pace knows some days before them."""
        of, first = self.orders.test, int(self.orders.test.day.min())
        warms, begins = (
            self.feed.bounds(self.days.date(max(day, 0)), None)[0] for day in (first - WARM_UP_DAYS, first)
        )
        broker = {"costs": self.costs, "fill": "next_open"}
        return self.judged(at_the_desk(self.feed, self.days, of, span=Span(warms, begins), broker=broker, pace=pace))


# ---- who works them --------------------------------------------------------------------------------------------------


def even(part: Part) -> Figures:
    """TWAP through the environment, which trades as the desk does: on generated days."""
    return part.judged(played(part.env(part.orders.test, even=True), lambda env, seen: np.ones(env.width)))


def in_hindsight(part: Part) -> Figures:
    """The best choices of an agent who knows what comes, by its rewards."""
    game = part.env(part.orders.test)
    known: Hindsight = hindsight(game)
    return part.judged(played(game, lambda env, seen: known.choose(env.episode, env.own)))


def paces(part: Part) -> dict[str, Figures]:
    """TWAP, VWAP and Almgren-Chriss of a session, with their defaults."""
    horizon, universe = int(part.orders.test.horizon.max()), part.feed.universe
    sessions = getattr(part.feed, "sessions", None)
    return {
        "TWAP": part.by_desk(lambda: Twap(horizon=horizon)),
        "VWAP": part.by_desk(lambda: Vwap(universe=universe, sessions=sessions, horizon=horizon)),
        "Almgren-Chriss": part.by_desk(lambda: AlmgrenChriss(universe=universe, horizon=horizon)),
    }


# ---- agents ----------------------------------------------------------------------------------------------------------


def trained(part: Part, course: Course) -> Taught:
    arena = Arena(
        training=part.env(part.orders.train, width=ROWS, seed=course.seed + 1),
        validation=part.env(part.orders.validation),
    )
    return teach(course, arena)


def by_agent(part: Part, found: Taught) -> Figures:
    """What its likeliest choices make of the orders of the test: through the environment, which is the cheaper way."""
    policy = Policy(Course().network, {"now": (10,)}, part.action.count, _weights(found))
    return part.judged(played(part.env(part.orders.test), lambda env, seen: policy.act(seen)))


def by_agent_at_the_desk(part: Part, found: Taught) -> Figures:
    """The same orders, worked by the same agent as the pace `rl` of a session."""
    game, sessions = part.env(part.orders.test), getattr(part.feed, "sessions", None)
    horizon = int(part.orders.test.horizon.max())
    card = AgentCard(
        schema=game.schema,
        observation=Compact(),
        action=part.action,
        network=Course().network,
        shapes=game.observation_shapes,
        interval_ns=part.days.interval_ns,
        horizon=horizon,
        bars_per_step=part.bars_per_step,
        bars=part.days.bars,
        steps=game.steps,
        unit_bps=10.0,
        window=20,
        sessions=sessions is not None,
        until_ns=0,
        trained={},
        figures={},
    )
    weights = {name: each.numpy() for name, each in found.best.items()}
    artefact = agent_artefact(card, weights, game.reset())
    return part.by_desk(lambda: Rl(universe=part.feed.universe, artefact=artefact, horizon=horizon, sessions=sessions))


def _weights(found: Taught) -> bytes:
    return tensors_of({name: each.numpy() for name, each in found.best.items()})


# ---- intervals -------------------------------------------------------------------------------------------------------


def interval(values: NDArray[np.float64], cluster: NDArray[Any]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval by Student's t, over means of clusters weighted by their size.

    Orders of one day move together, whatever their symbol and side: a day is one observation.
    """
    from scipy.stats import t

    _, of, count = np.unique(cluster, return_inverse=True, return_counts=True)
    mean, g = float(values.mean()), len(count)
    if g < 2:
        return mean, float("nan")
    apart = np.bincount(of, values - mean)
    spread = np.sqrt(g / (g - 1) * (apart**2).sum()) / len(values)
    return mean, float(spread * t.ppf(0.975, g - 1))
