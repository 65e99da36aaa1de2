"""What an order left undone is priced, so that leaving it is no way to a better figure."""

import numpy as np

from components.brokers.beside import Beside
from components.costs.bps import Bps
from components.rl.acting import Categorical
from components.rl.days import days_of
from components.rl.env import OrderEnv
from components.rl.episodes import generated
from components.rl.generated import GeneratedDays
from components.rl.observing import Compact
from components.rl.rewards import PAPenalty
from components.rl.trainer_evaluate import Figures, over_all
from components.rl.trainer_rest import Rest

FEED = GeneratedDays(days=30, symbols=3, seed=5, pattern="none")


def figures(choice: int, participation: float | None) -> tuple[OrderEnv, Figures, Figures]:
    days = days_of(FEED)
    market = Beside(universe=FEED.universe, costs=Bps(commission_bps=20), fill="next_open", participation=participation)
    env = OrderEnv(
        days=days,
        orders=generated(days, share=0.05, horizon=7, start=0),
        market=market,
        observation=Compact(),
        action=Categorical(4),
        reward=PAPenalty(),
        width=16,
    )
    found = over_all(env, lambda seen: np.full(env.width, choice))
    return env, found, Rest(env, market).counted(found)


def test_what_was_never_tried_trades_at_the_last_price_with_its_costs() -> None:
    env, found, whole = figures(0, 0.02)  # waits to the end, where 2 % of a bar is a part of the order
    assert found.ffr.mean() < 0.5
    k = int(np.argmin(found.ffr))
    e = int(found.episode[k])
    day, symbol, side = (int(getattr(env.orders, name)[e]) for name in ("day", "symbol", "side"))
    end = int(env.floor.end[e])
    price = env.days.by_day("close")[day, symbol, end] * (1 + side * 20e-4)
    rest = -side * (price / env.floor.known.twap[e] - 1) * 1e4
    share = float(found.ffr[k])
    np.testing.assert_allclose(whole.net[k], share * found.net[k] + (1 - share) * rest, rtol=1e-9)
    assert whole.ffr is found.ffr


def test_waiting_no_longer_spares_the_costs() -> None:
    _, left, counted = figures(0, 0.001)
    assert left.net.mean() > -21  # 20 bp of costs on what traded
    assert abs(counted.net.mean() + 20) < 15
    _, found, whole = figures(4, None)
    assert whole is found  # all was filled
