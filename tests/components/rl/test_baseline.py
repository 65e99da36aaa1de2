"""Rewards as the difference to an even pace: exact, blind to what it cannot change, and unseen by whoever acts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from components.brokers.beside import Beside
from components.costs.bps import Bps
from components.costs.quadratic_impact import QuadraticImpact
from components.costs.together import Together
from components.models.bundle import tensors_of
from components.rl.acting import Categorical, TwapRelative
from components.rl.baseline import Regret, even_pace_ahead
from components.rl.days import days_of
from components.rl.env import OrderEnv
from components.rl.episodes import generated
from components.rl.generated import GeneratedDays
from components.rl.observing import Compact
from components.rl.policy import Policy
from components.rl.rewards import EndRatio, PAPenalty
from components.rl.trainer import Arena, Taught, Told, teach
from components.rl.trainer_options import Course, Dqn, Mlp, Ppo
from engine.errors import ConfigError
from engine.learning import Metric
from tests.components.rl.made import Minutes
from tests.components.rl.toy import arena

FEED = GeneratedDays(days=30, symbols=3, seed=5, pattern="none")
HOLED = Minutes(
    symbols=3, lengths=(12, 9, 12, 12, 12), calendar=(12,) * 5, seed=2, holes=0.2, idle=(2,), unseen={3: (3, 9, 11)}
)
COSTLY = Together(parts=(Bps(commission_bps=10, slippage_bps=2), QuadraticImpact(impact=0.1)))
WIDTH = 16


def played(feed: Any, participation: float | None = 0.05, **options: Any) -> OrderEnv:
    days = days_of(feed)
    market = Beside(universe=feed.universe, costs=COSTLY, fill="next_open", participation=participation)
    orders = generated(days, share=0.05, horizon=7, window=5)
    given: dict[str, Any] = {"reward": PAPenalty(), "width": WIDTH, "observation": Compact(), "action": Categorical(4)}
    return OrderEnv(days=days, orders=orders, market=market, **(given | options))


def anyhow(env: OrderEnv, rng: np.random.Generator) -> Any:
    return rng.integers(0, 5, env.width) if env.action_count else rng.uniform(0.0, 3.0, env.width)


@pytest.mark.parametrize("reward", [PAPenalty(), EndRatio(), PAPenalty(against="arrival", rest="ignored")])
@pytest.mark.parametrize("bars", [1, 2])
@pytest.mark.parametrize("feed", [FEED, HOLED])
def test_it_is_what_the_environment_itself_pays_an_even_pace_from_any_state(feed: Any, bars: int, reward: Any) -> None:
    """Whatever was done before: orders behind and ahead, halted bars, bars that never came, orders left undone."""
    env = played(feed, action=TwapRelative(), reward=reward, bars_per_step=bars)
    env.reset()
    rng = np.random.default_rng(1)
    for _ in range(3):
        before = env.save()
        ahead, some = even_pace_ahead(env, 0.9), env.active
        assert env.save() == before  # it only looks
        paid, weight, over = np.zeros(WIDTH), 1.0, ~some
        while not over.all():
            found = env.step(np.ones(WIDTH))
            paid += np.where(over, 0.0, weight * found.reward)
            weight, over = weight * 0.9, over | found.done
        np.testing.assert_allclose(ahead, paid, rtol=1e-9, atol=1e-9)
        env.load(before)
        env.step(anyhow(env, rng))


@pytest.mark.parametrize("reward", [PAPenalty(penalty=4.0), EndRatio()])
@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_over_an_order_it_takes_away_what_no_action_changes(gamma: float, reward: Any) -> None:
    """The sum of the differences is that of the rewards less what the order was worth when it was given."""
    env = played(HOLED, rng=np.random.default_rng(2), reward=reward)
    env.reset()
    regret, rng = Regret(env, gamma), np.random.default_rng(3)
    begun, paid, less, weight = even_pace_ahead(env, gamma), np.zeros(WIDTH), np.zeros(WIDTH), np.ones(WIDTH)
    ended = 0
    for _ in range(40):
        regret.before_step()
        found = env.step(anyhow(env, rng))
        differs = regret.of(found.reward, found.done)
        paid, less = paid + weight * found.reward, less + weight * differs
        weight = weight * gamma
        np.testing.assert_allclose(less[found.done], (paid - begun)[found.done], rtol=1e-9, atol=1e-8)
        ended += int(found.done.sum())
        begun = np.where(found.done, even_pace_ahead(env, gamma), begun)
        paid, less, weight = (np.where(found.done, one, each) for one, each in ((0, paid), (0, less), (1, weight)))
    assert ended >= 80


def test_a_step_at_an_even_pace_has_none() -> None:
    env = played(HOLED, action=TwapRelative(), rng=np.random.default_rng(2))
    env.reset()
    regret = Regret(env, 1.0)
    for _ in range(20):
        regret.before_step()
        found = env.step(np.ones(WIDTH))
        np.testing.assert_allclose(regret.of(found.reward, found.done), 0.0, atol=1e-9)


def test_it_takes_most_of_the_noise_of_prices_away() -> None:
    """Of orders that are worked nearly evenly: the spread over orders of what their steps add up to."""
    feed, reward = GeneratedDays(days=200, symbols=2, pattern="none"), PAPenalty(against="arrival")
    env = played(feed, None, rng=np.random.default_rng(1), width=256, reward=reward)
    env = env.for_others(Compact(), TwapRelative(), np.random.default_rng(1))
    env.reset()
    regret, rng = Regret(env, 1.0), np.random.default_rng(0)
    plain, less = np.zeros(256), np.zeros(256)
    for _ in range(7):
        regret.before_step()
        found = env.step(rng.uniform(0.8, 1.2, 256))
        plain, less = plain + found.reward, less + regret.of(found.reward, found.done)
    assert found.done.all()
    assert less.std() < plain.std() / 5


# ---- in a training ---------------------------------------------------------------------------------------------------

PPO = Ppo(lr=3e-3, epochs=2, batch=32)
DQN = Dqn(lr=3e-3, buffer=640, learning_starts=64, updates=4, batch=32, target_every=128)


def course_of(algorithm: Ppo | Dqn, baseline: Any = "even_pace") -> Course:
    fixed: dict[str, Any] = {"network": Mlp((16,)), "rows": WIDTH, "validate_every": 3, "seed": 5}
    return Course(algorithm=algorithm, baseline=baseline, steps=6 * WIDTH * 7, **fixed)


def learned(course: Course, feed: Any = FEED, folder: Path | None = None, told: Told | None = None) -> Taught:
    made = Arena(training=played(feed, rng=np.random.default_rng(1)), validation=played(feed))
    return teach(course, made, checkpoints=folder, told=told or Told())


class EnoughError(Exception):
    pass


@pytest.mark.parametrize("algorithm", [PPO, DQN])
def test_a_training_goes_on_bit_for_bit(tmp_path: Path, algorithm: Ppo | Dqn) -> None:
    figures: list[Metric] = []
    whole = learned(course_of(algorithm), told=Told(on_metrics=figures.extend))
    rest: list[Metric] = []

    def stop(metrics: Sequence[Metric]) -> None:
        rest.extend(metrics)
        if metrics[0].step == 3:
            raise EnoughError

    with pytest.raises(EnoughError):
        learned(course_of(algorithm), folder=tmp_path, told=Told(on_metrics=stop))
    rest = [metric for metric in rest if metric.step < 3]
    again = learned(course_of(algorithm), folder=tmp_path, told=Told(on_metrics=rest.extend))
    assert all(torch.equal(whole.latest[name], again.latest[name]) for name in whole.latest)
    shown = [[m for m in each if "cpu" not in m.name] for each in (figures, rest)]
    assert shown[0] == shown[1]
    other = learned(course_of(algorithm, "none"))
    assert other.latest.keys() == whole.latest.keys()
    assert any(not torch.equal(whole.latest[name], other.latest[name]) for name in whole.latest)


def test_the_figures_of_orders_stay_those_of_the_environment() -> None:
    """Rewards that are learned from change, what is told of orders does not: the first collection acts alike."""
    said = []
    for baseline in ("even_pace", "none"):
        heard: list[Metric] = []
        learned(course_of(PPO, baseline), told=Told(on_metrics=heard.extend))
        names = ("pa", "net", "reward", "slippage", "ffr")
        said.append([metric for metric in heard if metric.step == 0 and metric.name in names])
    assert said[0] == said[1]
    assert len(said[0]) == 5


def test_who_acts_knows_nothing_of_what_comes() -> None:
    """An agent that learned from such rewards chooses the same on days that differ behind a decision, up to it."""
    taught, at = learned(course_of(PPO)), 4
    days = days_of(FEED)
    columns = {name: getattr(days, name).copy() for name in ("open", "high", "low", "close", "vwap")}
    for column in columns.values():
        column[:, at + 1 :] *= 1.5
    chosen = []
    for each in (days, msgspec.structs.replace(days, **columns)):
        orders = generated(each, share=0.05, horizon=7, window=5).rows(np.arange(60, 60 + WIDTH))
        env = played(FEED).for_others(Compact())
        env = OrderEnv(
            days=each, orders=orders, market=env.market, observation=Compact(), action=Categorical(4),
            reward=PAPenalty(), width=WIDTH,
        )  # fmt: skip
        weights = tensors_of({name: tensor.numpy() for name, tensor in taught.best.items()})
        policy = Policy(Mlp((16,)), env.observation_shapes, env.action_count, weights)
        seen, said = env.reset(), []
        while env.active.all():
            said.append(policy.act(seen))
            seen = env.step(said[-1]).observation
        chosen.append(said)
    same = [bool((one == other).all()) for one, other in zip(*chosen, strict=False)]
    assert all(same[: at + 1])  # decisions at the closes of bars 0 to 4
    assert env.schema == played(FEED).schema


def test_an_environment_without_bars_to_come_is_refused() -> None:
    course = Course(algorithm=PPO, rows=WIDTH, steps=WIDTH * 4, baseline="even_pace")
    with pytest.raises(ConfigError, match="baseline even_pace looks at the bars to come.*take baseline: none"):
        teach(course, arena(WIDTH))
