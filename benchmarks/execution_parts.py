"""What the benchmark of execution agents is made of: a part of history, policies that work its orders, intervals."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.brokers.beside import Beside
from components.execution.almgren_chriss import schedule
from components.execution.pace import Parents, full_lots, on_pace
from components.execution.twap import Twap
from components.rl.acting import Categorical, Working
from components.rl.days import Days
from components.rl.env import OrderEnv
from components.rl.episodes import Orders, Split
from components.rl.observing import Compact
from components.rl.rewards import PAPenalty
from components.rl.tape import Tape
from components.rl.teacher import Hindsight, hindsight
from components.rl.trainer import Arena, Taught, teach
from components.rl.trainer_options import Course

ROWS, WIDTH = 256, 4096
FIGURES = ("net_bps", "fill_ratio")
AC = {"risk_aversion": 1e-6, "eta": 2.5e-6, "window": 20}  # the defaults of `almgren_chriss`
_RATIO = AC["risk_aversion"] / AC["eta"]
Choose = Callable[[OrderEnv, dict[str, Any]], NDArray[Any]]
Columns = dict[str, NDArray[np.float64]]


class Shares(msgspec.Struct, frozen=True, tag=True):
    """An action that is the shares themselves; at the last step it is all the rest."""

    @property
    def count(self) -> int:
        return 0

    def amounts(self, action: NDArray[Any], own: Working) -> NDArray[np.float64]:
        return np.where(own.last, own.remaining, np.minimum(action, own.remaining))


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Days, their market, and orders to learn from, choose by and judge by."""

    days: Days
    orders: Split
    market: Beside
    tape: Tape
    bars_per_step: int
    action: Categorical  # of agents
    reward: PAPenalty

    def env(self, orders: Orders, *, width: int = WIDTH, agent: bool = True, seed: int | None = None) -> OrderEnv:
        """For an agent, who decides once a step; or for a policy, which decides every bar."""
        action: Any = self.action if agent else Shares()
        return OrderEnv(
            days=self.days,
            orders=orders,
            market=self.market,
            observation=Compact(),
            action=action,
            reward=self.reward,
            width=min(width, len(orders)) if seed is None else width,
            bars_per_step=self.bars_per_step if agent else 1,
            rng=None if seed is None else np.random.default_rng(seed),
            tape=self.tape,
        )


def played(env: OrderEnv, choose: Choose) -> Columns:
    """Figures of all orders, (E,) each."""
    found = {name: np.full(len(env.orders), np.nan) for name in FIGURES}
    seen = env.reset()
    while env.active.any():
        done = env.step(choose(env, seen))
        for name, column in found.items():
            column[done.finished.episode] = getattr(done.finished, name)
        seen = done.observation
    return found


# ---- policies of every bar, by the arithmetic of `components.execution` ----------------------------------------------


def parents_of(own: Working) -> Parents:
    """The orders as an execution desk has them."""
    side, count = own.side, len(own.side)
    return Parents(
        ids=np.arange(count).astype(np.uint64),
        symbol=np.zeros(count, np.int32),
        total=side * own.quantity,
        left=side * own.remaining,
        step=own.step,
        steps=own.steps,
        lot=own.lot,
        arrival=np.full(count, np.nan),
    )


def twap(env: OrderEnv, seen: Any) -> NDArray[Any]:
    """The class itself; it looks at nothing but the orders."""
    del seen
    nothing: Any = None
    due = Twap(horizon=env.steps).due(parents_of(env.own), nothing)
    return np.abs(due)


def vwap(tape: Tape, env: OrderEnv, seen: Any) -> NDArray[Any]:
    """`Vwap.due` with the profile of the environment: mean volumes of up to 20 days before."""
    del seen
    own, row = env.own, env.floor.row[env.episode]
    begun = tape.expected_so_far[row, own.start]
    whole = tape.expected_so_far[row, own.end] - begun
    by_next = tape.expected_so_far[row, own.next] - begun
    share = np.divide(by_next, whole, out=(own.step + 1) / own.steps, where=whole > 0)
    return on_pace(parents_of(own), share)


def almgren_chriss(tape: Tape, env: OrderEnv, seen: Any) -> NDArray[Any]:
    """`AlmgrenChriss.due` with the defaults of its options; sigma is that of the last returns of the day."""
    del seen
    own, row = env.own, env.floor.row[env.episode]
    at = own.now[:, None] - np.arange(AC["window"] + 1)
    log = np.where(at >= 0, tape.log[row[:, None], np.maximum(at, 0)], np.nan)
    sigma = np.diff(log, axis=1).std(axis=1, ddof=1)
    parents = parents_of(own)
    kappa = np.arccosh(_RATIO * np.where(sigma > 0, sigma, 0.0) ** 2 / 2 + 1)
    share = schedule(np.maximum(kappa, 1e-12), own.step.astype(float), own.steps.astype(float))
    straight = ~(kappa * own.steps > 1e-9)
    shares = np.where(straight, np.ceil(parents.rest / parents.remaining), full_lots(parents.size * share, parents.lot))
    return np.minimum(shares, parents.rest)


def policies(part: Part, orders: Orders) -> dict[str, Columns]:
    """The policies of `components.execution`, and the best choices in hindsight, which no one can make."""
    named: dict[str, Choose] = {
        "TWAP": twap,
        "VWAP": lambda env, seen: vwap(part.tape, env, seen),
        "Almgren-Chriss": lambda env, seen: almgren_chriss(part.tape, env, seen),
    }
    found = {name: played(part.env(orders, agent=False), choose) for name, choose in named.items()}
    game = part.env(orders)
    known: Hindsight = hindsight(game)
    return found | {"in hindsight": played(game, lambda env, seen: known.choose(env.episode, env.own))}


# ---- agents ----------------------------------------------------------------------------------------------------------


def trained(part: Part, course: Course) -> Taught:
    arena = Arena(
        training=part.env(part.orders.train, width=ROWS, seed=course.seed + 1),
        validation=part.env(part.orders.validation),
    )
    return teach(course, arena)


def chooser(part: Part, found: Taught) -> Choose:
    """The network of the best validation, its likeliest choice."""
    import torch

    from components.rl.extractor import extractor_of

    network = extractor_of({"now": (10,)}, Course().network)
    network.load_state_dict(_under("network.", found.best))
    head = torch.nn.Linear(network.features_dim, part.action.count)
    head.load_state_dict(_under("head.", found.best))

    def choose(env: OrderEnv, seen: dict[str, Any]) -> NDArray[Any]:
        del env
        with torch.no_grad():
            scores = head(network({name: torch.from_numpy(each) for name, each in seen.items()}))
        chosen: NDArray[Any] = scores.argmax(dim=1).numpy()
        return chosen

    return choose


def _under(prefix: str, tensors: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}


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
