"""Whether an agent is better than an even pace: by days, beyond noise, and not for having looked often."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from components.brokers.beside import Beside as Market
from components.costs.quadratic_impact import QuadraticImpact
from components.rl.acting import Categorical, TwapRelative
from components.rl.days import days_of
from components.rl.env import OrderEnv, twap_action
from components.rl.episodes import generated
from components.rl.generated import GeneratedDays
from components.rl.observing import Compact
from components.rl.rewards import PAPenalty
from components.rl.trainer_beside import beside, even_pace
from components.rl.trainer_evaluate import over_all
from components.rl.trainer_rest import Rest

FEED = GeneratedDays(days=30, symbols=3, seed=5, pattern="none")


def test_the_interval_is_that_of_the_days() -> None:
    """Orders of a day go together: ten on each say no more than one. As many on each, so it is a plain t interval."""
    rng = np.random.default_rng(0)
    by_day = rng.normal(0.3, 1.0, 25)
    day = np.repeat(np.arange(25) * 7, 10)
    shared = rng.normal(0.0, 9.0, 250)  # is in both
    found = beside(np.repeat(by_day, 10) + shared, shared, day)
    low, high = stats.t.interval(0.95, 24, by_day.mean(), stats.sem(by_day))
    assert (found.gain, found.low, found.high) == pytest.approx((by_day.mean(), low, high))
    assert found.days == 25


def test_the_best_of_many_that_are_no_better_is_seldom_found_to_be_better() -> None:
    """Twelve candidates without an edge on the same 60 days, and the best of them: 2.5 % at most are found better."""
    rng, wrong, naive = np.random.default_rng(1), 0, 0
    for _ in range(1000):
        tried = rng.normal(0.0, 1.0, (12, 60))
        best = tried[tried.mean(axis=1).argmax()]
        wrong += beside(best, np.zeros(60), np.arange(60), looks=12).better
        naive += beside(best, np.zeros(60), np.arange(60)).better
    assert wrong <= 40
    assert naive > 150  # what one would believe who forgets that he looked twelve times


def test_a_real_edge_is_seen_and_nothing_is_no_edge() -> None:
    rng, day = np.random.default_rng(2), np.repeat(np.arange(200), 4)
    noise = rng.normal(0.0, 3.0, 800)
    assert beside(noise + 1.0, np.zeros(800), day, looks=12).better
    assert not beside(noise - 1.0, np.zeros(800), day, looks=12).better
    same = beside(noise, noise, day)
    assert (same.gain, same.low, same.high, same.better) == (0.0, 0.0, 0.0, False)


def test_a_single_day_tells_nothing() -> None:
    found = beside(np.array([5.0, 6.0]), np.zeros(2), np.array([3, 3]))
    assert not found.better
    assert found.figures() == {"val/gain": 5.5}
    with pytest.raises(ValueError, match="looks must be at least 1, got 0"):
        beside(np.zeros(2), np.zeros(2), np.arange(2), looks=0)


def played(values: int, participation: float | None) -> OrderEnv:
    days = days_of(FEED)
    market = Market(universe=FEED.universe, costs=QuadraticImpact(impact=0.1), participation=participation)
    given: dict[str, Any] = {"observation": Compact(), "action": Categorical(values), "reward": PAPenalty()}
    return OrderEnv(days=days, orders=generated(days, share=0.05, horizon=8, window=5), market=market, width=9, **given)


def test_the_even_pace_is_one_whatever_choices_the_agent_has() -> None:
    """With eighths an agent can choose it, with quarters it cannot: what it is measured against is the same."""
    env = played(8, None)
    chosen = over_all(env, lambda seen: twap_action(env.action, env.own))
    found, coarse = even_pace(env), even_pace(played(4, None))
    np.testing.assert_allclose(found.net, chosen.net, atol=1e-3)  # but for lots
    assert found.net.tobytes() == coarse.net.tobytes()
    assert found.episode.tolist() == list(range(len(env.orders)))


def test_what_it_leaves_is_priced_as_for_agents() -> None:
    env = played(8, 1e-3)
    other = env.for_others(Compact(), TwapRelative())
    filled = over_all(other, lambda seen: np.ones(9))
    found = even_pace(env)
    assert found.ffr.max() < 1
    assert found.net.tobytes() == Rest(other).counted(filled).net.tobytes()
