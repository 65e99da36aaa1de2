"""Generated days keep their law, and the optimum is the optimum: by brute force and in the environment."""

from typing import Any

import numpy as np
import pytest

from components.brokers.beside import Beside
from components.costs.bps import Bps
from components.costs.quadratic_impact import QuadraticImpact
from components.rl.acting import Categorical, TwapRelative
from components.rl.days import days_of
from components.rl.env import OrderEnv
from components.rl.episodes import Orders, generated
from components.rl.generated import GeneratedDays, Law, drawn
from components.rl.observing import Compact
from components.rl.optimum import Optimum, Task, best_actions, optimum
from components.rl.rewards import PAPenalty
from engine.errors import ConfigError
from engine.universe import universe_of

ONE = universe_of(("A",))
IMPACT = Beside(universe=ONE, costs=QuadraticImpact(impact=0.05))


def test_days_follow_their_law() -> None:
    law = Law()
    x = drawn(law, 40_000, np.random.default_rng(1))
    assert (x[:, 0] == 0).all()
    for t in (1, 4, 9):
        expected = law.chances[np.abs(x[:, t, None] - law.lattice).argmin(axis=1)] @ law.lattice
        error = x[:, t + 1] - expected
        assert abs(error.mean()) < 4 * error.std() / np.sqrt(len(error))
    slope = np.polyfit(x[:, 4], x[:, 5], 1)[0]
    assert slope == pytest.approx(1 - law.reversion, abs=0.02)
    assert law.volumes.sum() == pytest.approx(law.volume)
    assert law.volumes[0] == law.volumes[-1] == law.volumes.max()
    assert law.volumes[0] / law.volumes[4] == pytest.approx(3, rel=0.05)


def test_without_a_pattern_prices_are_a_martingale_and_bars_are_alike() -> None:
    law = Law(pattern="none")
    price = np.exp(drawn(law, 40_000, np.random.default_rng(1)))
    ratio = price[:, 1:] / price[:, :-1]
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(ratio.size)
    assert np.corrcoef(ratio[:, 3], ratio[:, 4])[0, 1] == pytest.approx(0, abs=0.02)
    assert np.ptp(law.volumes) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bars": 7}, "bars must be a divisor of 390"),
        ({"states": 4}, "states must be an odd number"),
        ({"reversion": 1.0}, "reversion must be above 0 and below 1"),
        ({"pattern": "magic"}, "pattern must be mean_reverting or none"),
    ],
)
def test_a_law_that_is_none_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Law(**options)


def test_a_seed_is_a_market() -> None:
    one, same, other = (GeneratedDays(days=3, seed=seed).hashes() for seed in (1, 1, 2))
    assert one == same != other


# ---- the optimum -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, -1])
def test_it_is_what_trying_every_choice_on_every_path_finds(side: int) -> None:
    law = Law(bars=5, states=3, volatility_bps=30.0, reversion=0.3)
    task = Task(side=side, quantity=40_000.0, start=0, horizon=3)
    found = optimum(law, task, IMPACT, Categorical(2))
    assert found.best_bps == pytest.approx(every_path(law, task, (0.0, 0.5, 1.0)), abs=1e-9)


def every_path(law: Law, task: Task, fractions: tuple[float, ...]) -> float:
    """The best by brute force: every choice on every path, with prices and impact written out."""
    price, impact = 100 * np.exp(law.lattice), 0.05

    def paid(qty: float, state: int, tick: int) -> float:
        share = qty / law.volumes[tick]
        return float(qty * price[state] * (1 + task.side * impact * share * share))

    def value(step: int, left: float, state: int) -> float:
        tick = task.start + 1 + step
        if step == task.horizon - 1:
            return -task.side * paid(left, state, tick)
        worth = []
        for fraction in fractions:
            qty = min(left, fraction * task.quantity)
            ahead = sum(
                chance * value(step + 1, left - qty, after) for after, chance in enumerate(law.chances[state].tolist())
            )
            worth.append(-task.side * paid(qty, state, tick) + ahead)
        return max(worth)

    reached = np.linalg.matrix_power(law.chances, task.start + 1)[len(price) // 2]
    whole = task.quantity * price
    figures = [(value(0, task.quantity, s) + task.side * whole[s]) / whole[s] * 1e4 for s in range(len(price))]
    return float(reached @ figures)


def in_the_environment(feed: GeneratedDays, of: Orders, found: dict[int, Optimum] | None, **options: Any) -> Any:
    """(E,) advantage over the price at the decision of the optimum, or of TWAP."""
    days = days_of(feed)
    action = Categorical(8) if found else TwapRelative()
    game = OrderEnv(
        days=days,
        orders=of,
        market=Beside(universe=feed.universe, costs=QuadraticImpact(impact=0.05)),
        observation=Compact(),
        action=action,
        reward=PAPenalty(penalty=0.0, against="arrival"),
        width=min(len(of), 2000),
        **options,
    )
    got = np.zeros(len(of))
    game.reset()
    while game.active.any():
        chosen = np.ones(game.width) if found is None else best_actions(game, found)
        finished = game.step(chosen).finished
        got[finished.episode] = finished.reward
    return got


@pytest.mark.parametrize("bars_per_step", [1, 2])
def test_the_environment_agrees_on_the_optimum_and_on_twap(bars_per_step: int) -> None:
    feed = GeneratedDays(days=1500, seed=5)
    of = generated(days_of(feed), share=0.032, horizon=8, of="day")
    assert len(of) == 3000
    size, known = float(of.quantity[0]), {}
    for side in (1, -1):
        task = Task(side=side, quantity=size, start=0, horizon=8, bars_per_step=bars_per_step)
        known[side] = optimum(feed.law, task, IMPACT, Categorical(8))
    for found, name in ((known, "best_bps"), (None, "twap_bps")):
        got = in_the_environment(feed, of, found, bars_per_step=bars_per_step)
        for side, each in known.items():
            part = got[of.side == side]
            assert abs(part.mean() - getattr(each, name)) < 4 * part.std() / np.sqrt(len(part))
    assert all(each.gain_bps > 2 for each in known.values())


def test_without_a_pattern_nothing_beats_twap() -> None:
    law = Law(pattern="none")
    for side in (1, -1):
        found = optimum(law, Task(side=side, quantity=32_000.0, start=0, horizon=8), IMPACT, Categorical(8))
        assert found.gain_bps == pytest.approx(0, abs=1e-9)


def test_what_it_does_not_know_is_refused() -> None:
    task = Task(side=1, quantity=1000.0, start=0, horizon=8)
    for market in (
        Beside(universe=ONE, costs=Bps(), participation=0.1),
        Beside(universe=ONE, costs=Bps(), fill="next_close"),
    ):
        with pytest.raises(ConfigError, match="optimum: it is known where orders fill whole at the next open"):
            optimum(Law(), task, market, Categorical(4))
    with pytest.raises(ValueError, match="start 0 and horizon 8"):
        optimum(Law(bars=5), task, IMPACT, Categorical(4))
