"""An execution agent learns on generated days whose optimum is known. Goal: 80 % of it, three seeds of three.

Days of ten bars whose price reverts to the open and whose volume forms a U; an order is 3 % of the volume, bought or
sold over eight bars with quadratic impact. PPO learns from 900 of the days in at most 0.6 million order-steps and is
judged on days that it has not seen: its price advantage over TWAP with the impact in it, as a share of the best
policy's, which dynamic programming finds, both of them playing the very same orders. The figure is the worst of three
seeds; its interval is that of the mean over days, by 2,000 draws of days. `detail` has each seed, where CPU seconds
went, the price advantage on days without a pattern, that of agents which are shown there what nobody can know, and how
often the environment is stepped a CPU second. Figures are those of the agent's own choices; `guarded` is what sessions
trade where an agent that was no better than an even pace on the validation orders works at one.
"""

import argparse
import contextlib
import datetime as dt
import math
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import msgspec
import numpy as np
from measure import Outcome, conclude, parser, versions

from components.brokers.beside import Beside as Market
from components.costs.bps import Bps
from components.costs.quadratic_impact import QuadraticImpact
from components.rl.acting import Categorical, TwapRelative, Working
from components.rl.days import Days, days_of
from components.rl.env import OrderEnv, twap_action
from components.rl.episodes import Orders, Split, generated, split
from components.rl.generated import GeneratedDays
from components.rl.observing import Compact, FullHistory, Seen
from components.rl.observing import Market as Known
from components.rl.optimum import Optimum, Task, optimum
from components.rl.rewards import PAPenalty
from components.rl.tape import Tape, tape_of
from components.rl.trainer import Arena, Told, teach
from components.rl.trainer_beside import Beside, beside, even_pace
from components.rl.trainer_evaluate import Figures, over_all
from components.rl.trainer_options import Course, Dqn, Mlp, Ppo, Recurrent
from engine.events import DAY_NS
from engine.learning import Metric

GOAL, STEPS, SMALL, SEEDS, ACTION, IMPACT = 0.80, 600_000, 200_000, (0, 1, 2), Categorical(8), 0.05
ALGORITHMS: dict[str, Ppo | Dqn] = {
    "ppo": Ppo(lr=3e-3, anneal=True, gae_lambda=0.95, epochs=10, batch=512, clip=0.2, value_clip=False, grad_norm=0.5),
    "dqn": Dqn(updates=64),
}
BESIDE = msgspec.structs.replace(ALGORITHMS["ppo"], value_weight=0.2, entropy=0.01)  # with a baseline
SLOWER = msgspec.structs.replace(ALGORITHMS["ppo"], lr=1e-3)
NETWORKS: dict[str, tuple[Mlp | Recurrent, Compact | FullHistory]] = {
    "mlp": (Mlp((64, 64)), Compact()),
    "recurrent": (Recurrent(), FullHistory()),
}


ACTIONS: dict[str, Categorical | TwapRelative] = {"categorical": ACTION, "twap_relative": TwapRelative()}


def course_of(algorithm: str, network: str, baseline: str = "") -> Course:
    """`baseline` is the even pace for the small network of PPO where it is left out."""
    own = baseline or ("even_pace" if (algorithm, network) == ("ppo", "mlp") else "none")
    said = BESIDE if algorithm == "ppo" and own == "even_pace" else ALGORITHMS[algorithm]
    slower = (algorithm, network) == ("ppo", "recurrent")
    return Course(
        algorithm=SLOWER if slower else said,
        network=NETWORKS[network][0],
        steps=STEPS,
        rows=512,
        baseline=own,  # type: ignore[arg-type]
        normalise_rewards=False,
        reward_scale=0.1,
        validate_every=10,
    )


COURSE = course_of("ppo", "mlp")


class Foreseeing(msgspec.Struct, frozen=True, tag=True):
    """A planted leak: what `Compact` shows, and the return of the bar that follows, which nobody can know, in `noise`
    times as much noise. A measure that finds nothing with it would find nothing at all."""

    noise: float = 0.0
    features: bool = False

    def shapes(self, bars: int, steps: int, /) -> dict[str, tuple[int, ...]]:
        return {"now": (Compact().shapes(bars, steps)["now"][0] + 1,)}

    def observe(self, market: Known, own: Working, /) -> Seen:
        log, row, now = market.today.log, market.row, own.now
        coming = log[row, np.minimum(now + 1, log.shape[1] - 1)] - log[row, now]
        noise = np.random.default_rng(0).normal(0.0, self.noise * np.diff(log, axis=1).std(), log.shape)[row, now]
        leak = (own.side * (coming + noise) / market.today.unit).astype(np.float32)
        return {"now": np.concatenate([Compact().observe(market, own)["now"], leak[:, None]], axis=1)}


class Game(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Days, orders and market, and what is seen of them."""

    feed: GeneratedDays
    days: Days
    tape: Tape
    orders: Split
    market: Market
    course: Course
    observation: Any
    action: Categorical | TwapRelative = ACTION

    def played(self, orders: Orders, rng: np.random.Generator | None = None) -> OrderEnv:
        return OrderEnv(
            days=self.days,
            orders=orders,
            market=self.market,
            observation=self.observation,
            action=self.action,
            reward=PAPenalty(penalty=0.0, against="arrival"),
            width=self.course.rows,
            rng=rng,
            tape=self.tape,
        )


def game_of(
    pattern: str, days: int = 1500, costs: Any = None, course: Course = COURSE, observation: Any = None
) -> Game:
    """`observation` is that of the network where it is left out."""
    feed = GeneratedDays(days=days, symbols=4, seed=7, pattern=pattern)  # type: ignore[arg-type]
    made = days_of(feed)
    orders = generated(made, share=0.03, horizon=8)
    dates = [_date(made, share) for share in (0.6, 0.75)]
    parts = split(orders, made, validation_from=dates[0], test_from=dates[1])
    market = Market(universe=feed.universe, costs=costs or QuadraticImpact(impact=IMPACT))
    seen = observation or next(seen for network, seen in NETWORKS.values() if network == course.network)
    tape = tape_of(made, features=seen.features)
    return Game(feed=feed, days=made, tape=tape, orders=parts, market=market, course=course, observation=seen)


def _date(days: Days, share: float) -> dt.date:
    return dt.date(1970, 1, 1) + dt.timedelta(days=int(days.label[int(len(days) * share)]) // DAY_NS)


def by_optimum(game: Game, orders: Orders) -> Figures:
    """What the best policy makes of these orders: they differ in side and size, so it is found for each of them."""
    env = game.played(orders)
    found: dict[tuple[int, float], Optimum] = {}

    def act(observation: dict[str, Any]) -> Any:
        own, row = env.own, env.floor.row[env.episode]
        deviation = game.tape.log[row, own.now] - game.tape.first[row]
        chosen = np.zeros(env.width, np.intp)
        kinds = np.stack([own.side.astype(float), own.quantity], axis=1)
        for side, quantity in np.unique(kinds[env.active], axis=0).tolist():
            key = (int(side), quantity)
            if key not in found:
                task = Task(side=key[0], quantity=quantity, start=0, horizon=8)
                found[key] = optimum(game.feed.law, task, game.market, ACTION)
            at = np.flatnonzero(env.active & (own.side == side) & (own.quantity == quantity))
            some = Working(**{name: getattr(own, name)[at] for name in Working.__struct_fields__})
            chosen[at] = found[key].choose(some, deviation[at])
        return chosen

    return over_all(env, act)


def by_twap(game: Game, orders: Orders) -> Figures:
    env = game.played(orders)
    return over_all(env, lambda observation: twap_action(game.action, env.own))


def shares(gain: np.ndarray, best: np.ndarray, day: np.ndarray, draws: int = 2000) -> tuple[float, float, float]:
    """sum(gain) / sum(best) over orders, and the middle 95 % of it over days drawn with replacement."""
    _, of = np.unique(day, return_inverse=True)
    parts = np.stack([np.bincount(of, weights=gain), np.bincount(of, weights=best)])
    drawn = np.random.default_rng(0).integers(0, parts.shape[1], (draws, parts.shape[1]))
    top, bottom = parts[:, drawn].sum(axis=2)
    low, high = np.percentile(top / bottom, [2.5, 97.5])
    return float(parts[0].sum() / parts[1].sum()), float(low), float(high)


def taught(game: Game, seed: int, steps: int = STEPS) -> tuple[Figures, dict[str, float], Beside]:
    """What an agent of this seed makes of the orders of the test part, where its CPU seconds went, and how it stands
    beside an even pace on those of validation."""
    spent = {"cpu_collect_s": 0.0, "cpu_environment_s": 0.0, "cpu_update_s": 0.0, "val/cpu_s": 0.0}

    def hear(metrics: Any) -> None:
        for metric in metrics:
            assert isinstance(metric, Metric)
            if metric.name in spent:
                spent[metric.name] += metric.value

    rng = np.random.default_rng([seed, 1])
    arena = Arena(training=game.played(game.orders.train, rng), validation=game.played(game.orders.validation))
    course = msgspec.structs.replace(game.course, seed=seed, steps=steps)
    result = teach(course, arena, told=Told(on_metrics=hear, cpu_ns=time.process_time_ns))
    from components.models.bundle import tensors_of
    from components.rl.policy import Policy

    env, chosen_by = game.played(game.orders.test), game.played(game.orders.validation)
    weights = tensors_of({name: each.numpy() for name, each in result.best.items()})
    policy = Policy(course.network, env.observation_shapes, env.action_count, weights)
    own, even = over_all(chosen_by, policy.act), even_pace(chosen_by)
    looks = math.ceil(result.iterations / course.validate_every)
    compared = beside(own.net, even.net, game.orders.validation.day[own.episode], looks=looks)
    return over_all(env, policy.act), spent | {"steps": float(result.steps)}, compared


def guard(compared: Beside, figure: str, own: tuple[float, float, float]) -> dict[str, Any]:
    """The comparison on validation orders, and a figure with its interval as sessions have it: an even pace has 0."""
    kept, *interval = own if compared.better else (0.0, 0.0, 0.0)
    return {
        "validation_gain_bps": round(compared.gain, 3),
        "validation_interval": [round(compared.low, 3), round(compared.high, 3)],
        "works": "agent" if compared.better else "even_pace",
        "guarded": {figure: round(kept, 4), "interval": [round(each, 4) for each in interval]},
    }


def one_seed(game: Game, seed: int, steps: int, known: tuple[Figures, Figures]) -> dict[str, Any]:
    """Share of the optimum's price advantage over TWAP, both of them over the same orders."""
    best, twap = known
    found, spent, compared = taught(game, seed, steps)
    day = game.orders.test.day[found.episode]
    share, low, high = shares(found.net - twap.net, best.net - twap.net, day)
    network = spent["cpu_update_s"] + spent["cpu_collect_s"] - spent["cpu_environment_s"]
    return {
        "seed": seed,
        "share": round(share, 4),
        "interval": [round(low, 4), round(high, 4)],
        "pa_bps": round(float(found.net.mean()), 3),
        "optimum_bps": round(float(best.net.mean()), 3),
        "twap_bps": round(float(twap.net.mean()), 3),
        "order_steps": int(spent["steps"]),
        "cpu_collect_s": round(spent["cpu_collect_s"], 2),
        "cpu_of_it_environment_s": round(spent["cpu_environment_s"], 2),
        "cpu_update_s": round(spent["cpu_update_s"], 2),
        "cpu_validation_s": round(spent["val/cpu_s"], 2),
        "environment_share": round(spent["cpu_environment_s"] / (spent["cpu_environment_s"] + network), 4),
        "environment_steps_per_cpu_s": round(spent["steps"] / spent["cpu_environment_s"]),
    } | guard(compared, "share", (share, low, high))


def gained(game: Game, seed: int, steps: int) -> dict[str, Any]:
    """Advantage of an agent over TWAP on the orders of the test part, paired order by order, and its 95 % interval."""
    found, _, compared = taught(game, seed, steps)
    twap = by_twap(game, game.orders.test)
    day = game.orders.test.day[found.episode]
    gain, low, high = shares(found.net - twap.net, np.ones(len(day)), day)
    own = {"gain_bps": round(gain, 3), "interval": [round(low, 3), round(high, 3)]}
    return own | guard(compared, "gain_bps", (gain, low, high))


def without_pattern(
    seed: int, steps: int, action: Categorical | TwapRelative = ACTION, course: Course = COURSE, paid: int = 0
) -> dict[str, Any]:
    """Price advantage over TWAP where there is nothing to find, paired order by order, and its 95 % interval: without
    costs, where no policy is better or worse on average, and with impact, where an even pace is best: there after
    `paid` order-steps, 0 = as many."""
    said: dict[str, Any] = {"seed": seed}
    for name, costs, budget in (("without_costs", Bps(), steps), ("with_impact", None, paid or steps)):
        said[name] = gained(
            msgspec.structs.replace(game_of("none", costs=costs, course=course), action=action), seed, budget
        )
    return said


def controls(seed: int, steps: int) -> dict[str, Any]:
    """The same measure without costs where it has to find something that is not there for others: with a leak, with
    one under noise, and of an agent that is judged by the very orders it learned, of few days."""
    leaks = {"leak": Foreseeing(), "leak_in_noise": Foreseeing(noise=5.0)}
    said = {name: gained(game_of("none", costs=Bps(), observation=leak), seed, steps) for name, leak in leaks.items()}
    return said | {"seed": seed, "own_orders": gained(own_orders(game_of("none", 40, Bps())), seed, steps // 2)}


def own_orders(game: Game) -> Game:
    """The same, chosen and judged by the orders that are learned from."""
    train = game.orders.train
    return msgspec.structs.replace(game, orders=Split(train=train, validation=train, test=train))


def asked() -> argparse.Namespace:
    made = parser(__doc__.split("\n")[0])
    made.add_argument("--algorithm", choices=[*ALGORITHMS], default="ppo")
    made.add_argument("--network", choices=[*NETWORKS], default="mlp", help="recurrent: five times the CPU seconds")
    made.add_argument("--action", choices=[*ACTIONS], default="categorical", help="twap_relative: PPO only")
    made.add_argument("--baseline", choices=["even_pace", "none"], help="of rewards; default: even_pace for this agent")
    made.add_argument("--jobs", type=int, default=1, help="processes side by side")
    made.add_argument("--seeds", type=int, default=len(SEEDS), help="from 0 on; 1 with --quick")
    return made.parse_args()


def with_pattern(seed: int, steps: int, action: Categorical | TwapRelative, course: Course) -> dict[str, Any]:
    """Share of the optimum, of `categorical` actions, where there is one."""
    game = game_of("mean_reverting", course=course)
    known = by_optimum(game, game.orders.test), by_twap(game, game.orders.test)
    return one_seed(msgspec.structs.replace(game, action=action), seed, steps, known)


@contextlib.contextmanager
def side_by_side(jobs: int) -> Iterator[Any]:
    """Calls in so many processes; what each answers is asked for by calling what it gave. With 1 it is called here."""
    if jobs == 1:
        yield lambda what, *given: lambda: what(*given)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield lambda what, *given: pool.submit(what, *given).result


def main() -> None:
    args = asked()
    steps, less = (40_000, 20_000) if args.quick else (STEPS, SMALL)
    chosen = SEEDS[:1] if args.quick else tuple(range(args.seeds))
    kind = "_".join([args.algorithm, args.network, args.action, *([args.baseline] if args.baseline else [])])
    standing, small = kind == "ppo_mlp_categorical", args.network == "mlp" and args.algorithm == "ppo"
    baseline = args.baseline or ("even_pace" if standing else "none")
    course = course_of(args.algorithm, args.network, baseline)
    action = ACTIONS[args.action]
    with side_by_side(args.jobs) as call:
        seeds = [call(with_pattern, seed, steps, action, course) for seed in chosen]
        nothing = [call(without_pattern, seed, less, action, course, steps) for seed in chosen if small]
        control = call(controls, 0, less) if standing else None
        seeds, nothing = ([each() for each in part] for part in (seeds, nothing))
        control = None if control is None else control()
    print(*seeds, *(f"without a pattern {each}" for each in nothing), f"controls {control}", sep="\n", flush=True)
    worst = min(each["share"] for each in seeds)
    detail = {
        "seeds": seeds,
        "without_a_pattern": nothing,
        "controls": control,
        "course": msgspec.to_builtins(course),
    }
    agent = f"{args.algorithm.upper()}, {args.network} network, {args.action} actions,"
    outcome = Outcome(
        work=f"{agent} on generated days, {steps:,} order-steps, worst of {len(seeds)} seeds",
        value=worst,
        unit="of the optimum",
        goal=GOAL,
        met=worst >= GOAL and all(each["environment_share"] < 0.5 for each in seeds),
        detail=detail | {"libraries": versions("torch", "stable-baselines3", "gymnasium")},
    )
    conclude(args, "execution_agent" if standing else f"execution_agent_{kind.removesuffix('_categorical')}", outcome)


if __name__ == "__main__":
    main()
