"""Order-steps of the vectorised execution environment. Goal: 200,000 a CPU second, with the broker's fills and costs.

Orders of 20 symbols on 250 generated days of 78 bars, bought and sold from three instants of the day over 24 bars,
with a share of the volume, slippage and commissions; actions are drawn beforehand. An order-step is one decision of one
order: its bars filled and priced, its reward, the next observation, and the next episode where one ends. The figure is
that of 4,096 orders side by side with the compact observation and a bar a step; `detail` has other widths, observations
and steps, one order at a time through gymnasium, and `compact` with rewards as the difference to an even pace, which
is worked out to the end of every order at each of its steps: over 24 decisions and over 8.
"""

from typing import Any

import numpy as np
from measure import Outcome, arguments, best_and_median, conclude, peak_mb

from components.brokers.beside import Beside
from components.costs.bps import Bps
from components.rl.acting import Categorical
from components.rl.baseline import Regret
from components.rl.days import Days, days_of
from components.rl.env import OrderEnv
from components.rl.episodes import Orders, generated
from components.rl.generated import GeneratedDays
from components.rl.gym_env import GymEnv
from components.rl.observing import Compact, CurrentStep, FullHistory
from components.rl.rewards import PAPenalty
from components.rl.tape import tape_of

GOAL, WIDTH = 200_000.0, 4096
CASES: dict[str, dict[str, Any]] = {
    "compact": {"observation": Compact(), "width": WIDTH},
    "compact_256": {"observation": Compact(), "width": 256},
    "compact_64": {"observation": Compact(), "width": 64},
    "compact_6_bars_a_step": {"observation": Compact(), "width": WIDTH, "bars_per_step": 6},
    "current_step": {"observation": CurrentStep(), "width": WIDTH},
    "full_history_512": {"observation": FullHistory(), "width": 512},
    "full_history_512_6_bars_a_step": {"observation": FullHistory(), "width": 512, "bars_per_step": 6},
}


def speed(game: OrderEnv, order_steps: int, rounds: int, beside: bool = False) -> tuple[float, float]:
    """Order-steps per CPU second of the best and of the median round; `beside` an even pace or not."""
    steps = max(order_steps // game.width, 10)
    actions = np.random.default_rng(1).integers(0, game.action_count, (steps, game.width))
    game.reset()

    def work() -> None:
        regret = Regret(game, 1.0) if beside else None
        for action in actions:
            if regret is not None:
                regret.before_step()
            found = game.step(action)
            if regret is not None:
                regret.of(found.reward, found.done)

    best, median = best_and_median(work, rounds)
    return steps * game.width / best, steps * game.width / median


def one_at_a_time(days: Days, orders: Orders, made: dict[str, Any], steps: int) -> float:
    env = GymEnv(OrderEnv(days=days, orders=orders, width=1, observation=Compact(), **made))
    env.reset(seed=1)

    def work() -> None:
        for _ in range(steps):
            if env.step(1)[2]:
                env.reset()

    return steps / best_and_median(work, 3)[0]


def main() -> None:
    args = arguments(__doc__ or "")
    feed = GeneratedDays(days=50 if args.quick else 250, symbols=20, bars=78)
    days = days_of(feed)
    orders = generated(days, share=0.02, horizon=24, start=(0, 20, 40))
    tape = tape_of(days, features=True)
    costs = Bps(commission_bps=1, slippage_bps=1, min_commission=1.0)
    made: dict[str, Any] = {
        "market": Beside(universe=feed.universe, costs=costs, participation=0.1),
        "action": Categorical(4),
        "reward": PAPenalty(),
        "tape": tape,
    }
    found = {}
    for name, case in CASES.items():
        game = OrderEnv(days=days, orders=orders, rng=np.random.default_rng(7), **made, **case)
        found[name] = speed(game, 60_000 if args.quick else 400_000, 3 if args.quick else 7)
    for horizon in (24, 8):
        own = generated(days, share=0.02, horizon=horizon, start=(0, 20, 40))
        game = OrderEnv(days=days, orders=own, rng=np.random.default_rng(7), **made, **CASES["compact"])
        found[f"compact_beside_an_even_pace_{horizon}"] = speed(game, 60_000 if args.quick else 400_000, 3, beside=True)
    alone = one_at_a_time(days, orders, made, 300 if args.quick else 2000)
    outcome = Outcome(
        work=f"{WIDTH:,} orders side by side, {len(orders):,} orders of {len(days)} days x 20 symbols x 78 bars",
        value=found["compact"][0],
        unit="order-steps a CPU second",
        goal=GOAL,
        met=found["compact"][0] >= GOAL,
        detail={
            "best": {name: round(best) for name, (best, _) in found.items()},
            "median": {name: round(median) for name, (_, median) in found.items()},
            "gymnasium_one_order": round(alone),
            "peak_mb": round(peak_mb()),
        },
    )
    conclude(args, "execution_env", outcome)


if __name__ == "__main__":
    main()
