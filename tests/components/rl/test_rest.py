"""What an order left undone is priced, in figures and rewards alike, so that leaving it is no way to a better one."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from components.brokers.beside import Beside
from components.costs.bps import Bps
from components.costs.half_spread import HalfSpread
from components.costs.quadratic_impact import QuadraticImpact
from components.costs.together import Together
from components.models.bundle import tensors_of
from components.rl.acting import Categorical
from components.rl.days import days_of
from components.rl.env import OrderEnv, twap_action
from components.rl.episodes import generated
from components.rl.generated import GeneratedDays
from components.rl.gym_env import GymEnv
from components.rl.observing import Compact
from components.rl.policy import Policy
from components.rl.rewards import EndRatio, PAPenalty
from components.rl.teacher import hindsight
from components.rl.trainer import Arena, teach
from components.rl.trainer_evaluate import Figures, over_all
from components.rl.trainer_options import Course, Mlp, Ppo
from components.rl.trainer_rest import Rest
from engine.errors import StateError
from engine.events import Bars
from tests.components.rl.made import Minutes

FEED = GeneratedDays(days=30, symbols=3, seed=5, pattern="none")


def played(feed: Any, costs: Any, participation: float | None, **options: Any) -> OrderEnv:
    days = days_of(feed)
    fill = options.pop("fill", "next_open")
    market = Beside(universe=feed.universe, costs=costs, fill=fill, participation=participation)
    given: dict[str, Any] = {"reward": PAPenalty(), "width": 16, "observation": Compact(), "action": Categorical(4)}
    orders = generated(days, share=options.pop("share", 0.05), horizon=options.pop("horizon", 7), window=5)
    return OrderEnv(days=days, orders=orders, market=market, **(given | options))


def figures(choice: int, participation: float | None) -> tuple[OrderEnv, Figures, Figures]:
    env = played(FEED, Bps(commission_bps=20), participation)
    found = over_all(env, lambda seen: np.full(env.width, choice))
    return env, found, Rest(env).counted(found)


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


# ---- in rewards ------------------------------------------------------------------------------------------------------

HOLED = Minutes(
    symbols=3, lengths=(12, 9, 12, 12, 12), calendar=(12,) * 5, seed=2, holes=0.2, idle=(2,), unseen={3: (3, 9, 11)}
)
COSTLY = Together(parts=(Bps(commission_bps=10, slippage_bps=2), QuadraticImpact(impact=0.1)))


def anyhow(env: OrderEnv) -> Figures:
    rng = np.random.default_rng(3)
    return over_all(env, lambda seen: rng.integers(0, 5, env.width))


@pytest.mark.parametrize("bars", [1, 2])
@pytest.mark.parametrize("feed", [FEED, HOLED])
def test_the_rewards_of_an_order_add_up_to_the_figure_of_all_of_it(feed: Any, bars: int) -> None:
    env = played(feed, COSTLY, 0.05, reward=PAPenalty(penalty=0.0, scale=0.01), bars_per_step=bars)
    found = anyhow(env)
    assert (found.ffr < 1).mean() > 0.2
    np.testing.assert_allclose(found.reward, 0.01 * Rest(env).counted(found).net, rtol=1e-9, atol=1e-9)
    left = played(feed, COSTLY, 0.05, reward=PAPenalty(penalty=0.0, scale=0.01, rest="ignored"), bars_per_step=bars)
    found = anyhow(left)
    np.testing.assert_allclose(found.reward, 0.01 * found.ffr * found.net, rtol=1e-9, atol=1e-9)


def test_against_the_arrival_they_add_up_to_the_slippage_of_all_of_it() -> None:
    env = played(FEED, Bps(slippage_bps=10), 0.02, reward=PAPenalty(penalty=0.0, against="arrival"))
    found = anyhow(env)
    assert (found.ffr < 1).any()
    np.testing.assert_allclose(found.reward, -Rest(env).counted(found).slippage, rtol=1e-9, atol=1e-9)


def test_the_rest_is_penalised_as_one_trade() -> None:
    plain, dear = (played(FEED, COSTLY, 0.02, reward=PAPenalty(penalty=p), share=0.05) for p in (0.0, 100.0))
    first, second = (over_all(env, lambda seen: np.zeros(16, int)) for env in (plain, dear))
    assert ((first.ffr > 0) & (first.ffr < 1)).all()
    once = first.ffr**2 + (1 - first.ffr) ** 2  # it waited: one bar traded, and then the rest
    np.testing.assert_allclose(first.reward - second.reward, 100.0 * once, rtol=1e-9)


def test_an_order_that_was_filled_keeps_its_bits_whatever_is_said_of_the_rest() -> None:
    env, left = (played(FEED, COSTLY, None, reward=PAPenalty(penalty=4.0, rest=rest)) for rest in ("close", "ignored"))  # type: ignore[arg-type]
    assert anyhow(env).reward.tobytes() == anyhow(left).reward.tobytes()


def test_gymnasium_has_it_too() -> None:
    env = GymEnv(played(FEED, COSTLY, 0.02, reward=PAPenalty(penalty=0.0), width=1))
    known = Rest(env._game).counted(over_all(env._game, lambda seen: np.ones(1, int)))
    for e in (0, 7, 40):
        env.reset(options={"episode": e})
        total, done = 0.0, False
        while not done:
            _, reward, done, _, _ = env.step(1)
            total += reward
        assert total == pytest.approx(known.net[known.episode == e].item())


def test_the_end_ratio_is_that_of_the_whole_order() -> None:
    fees = Bps(commission_bps=1500)  # no price is as good as the mean
    env, left = (played(FEED, fees, 1e-7, reward=EndRatio(rest=rest)) for rest in ("close", "ignored"))  # type: ignore[arg-type]
    whole, filled = (over_all(each, lambda seen: np.zeros(16, int)) for each in (env, left))
    assert (whole.ffr == 0).all()
    assert (filled.reward == 0).all()  # nothing was sold badly
    assert (whole.reward == -1).all()


def test_the_teacher_knows_what_the_rest_costs() -> None:
    env = played(FEED, COSTLY, 0.02, reward=PAPenalty(penalty=0.0), share=0.02, horizon=3, width=9)
    known = hindsight(env)
    found = over_all(env, lambda seen: known.choose(env.episode, env.own))
    np.testing.assert_allclose(found.reward, known.best, rtol=1e-9)
    np.testing.assert_allclose(known.best, Rest(env).counted(found).net, rtol=1e-9, atol=1e-9)
    assert (found.ffr < 1).any()


# ---- quotes ----------------------------------------------------------------------------------------------------------


class Quoted(Minutes):
    """The same bars, always quoted, half the spread 20 basis points."""

    def _bar(self, day: int, t: int, before: Any, rng: np.random.Generator) -> Bars:
        bar = super()._bar(day, t, before, rng)
        extra = (bar.close * 0.998, bar.close * 1.002, bar.open * 0.998, bar.open * 1.002)
        return msgspec.structs.replace(bar, extra=extra)


QUOTED: dict[str, Any] = {"symbols": 3, "lengths": (12,) * 12, "seed": 2, "quotes": True}


@pytest.mark.parametrize("fill", ["next_open", "next_close"])
def test_the_rest_pays_the_spread_that_is_quoted(fill: str) -> None:
    feed = Quoted(**QUOTED, holes=0.2)

    def worked(costs: HalfSpread) -> tuple[Figures, Figures]:
        env = played(feed, costs, 0.02, reward=PAPenalty(penalty=0.0), fill=fill)
        found = over_all(env, lambda seen: np.zeros(16, int))
        return found, Rest(env).counted(found)

    quoted, known = worked(HalfSpread()), worked(HalfSpread(bps=20, quotes=False))
    assert quoted[0].ffr.mean() < 0.5
    for ours, theirs in zip(quoted, known, strict=True):
        for name in ("net", "pa", "pa_vwap", "slippage", "reward"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-6, atol=1e-6)


def test_gymnasium_pays_it_too() -> None:
    game = played(Quoted(**QUOTED), HalfSpread(), 0.02, reward=PAPenalty(penalty=0.0), width=1)
    flat = played(Quoted(**QUOTED), HalfSpread(bps=20, quotes=False), 0.02, reward=PAPenalty(penalty=0.0), width=1)
    earned = []
    for env in (GymEnv(game), GymEnv(flat)):
        env.reset(options={"episode": 7})
        total, done = 0.0, False
        while not done:
            _, reward, done, _, _ = env.step(0)
            total += reward
        earned.append(total)
    assert earned[0] == pytest.approx(earned[1])


def test_the_quotes_of_the_rest_are_those_of_the_bar_of_the_latest_close() -> None:
    """Quotes of a close are met as they are; those of an open keep their distance; where there are none, `bps`."""
    feed = Minutes(**QUOTED, holes=0.3)
    days = days_of(feed)
    for fill, at in (("next_close", "close"), ("next_open", "open")):
        env = played(feed, HalfSpread(bps=7), 0.02, fill=fill)
        e = np.arange(len(env.orders))
        side, end = env.orders.side, env.floor.end
        price, fees = env.floor.remainder.priced(e, side, np.ones(len(e)))
        unquoted = earlier = 0
        for k in e:
            row, tick = int(env.floor.row[k]), int(end[k])
            while not days.close[row, tick] > 0:
                tick, earlier = tick - 1, earlier + 1
            close, market = days.close[row, tick], getattr(days, at)[row, tick]
            bid, ask = (days.extra[place][row, tick] for place in ((0, 1) if at == "close" else (2, 3)))
            expected = close * (ask if side[k] > 0 else bid) / market
            if np.isnan(ask):
                expected, unquoted = close * (1 + side[k] * 7e-4), unquoted + 1
            assert price[k] == pytest.approx(expected, rel=1e-12)
        assert earlier > 5
        assert not fees.any()
        assert (unquoted > 5) == (at == "open")


# ---- what is learned from it -----------------------------------------------------------------------------------------

CALM = GeneratedDays(days=60, symbols=4, seed=5, pattern="none", volatility_bps=4)


def calm(rest: Any, rng: np.random.Generator | None = None) -> OrderEnv:
    """Trading costs 10 basis points and more, and prices tell nothing: what is left undone would cost most."""
    reward = PAPenalty(penalty=0.0, against="arrival", rest=rest)
    costs = Together(parts=(Bps(commission_bps=10), QuadraticImpact(impact=0.1)))
    return played(CALM, costs, 0.05, reward=reward, share=0.03, horizon=8, width=64, rng=rng)


def learnt(rest: Any, folder: Path | None = None, steps: int = 12_000) -> tuple[OrderEnv, Figures]:
    algorithm = Ppo(lr=3e-3, gae_lambda=0.95, batch=256, clip=0.2, value_clip=False, grad_norm=0.5)
    course = Course(
        algorithm=algorithm,
        network=Mlp((32,)),
        steps=steps,
        rows=64,
        rounds=2,
        normalise_rewards=False,
        reward_scale=0.05,
        validate_every=20,
        monitor="val/reward",
    )
    env = calm(rest)
    found = teach(course, Arena(training=calm(rest, np.random.default_rng(0)), validation=env), checkpoints=folder)
    weights = tensors_of({name: each.numpy() for name, each in found.best.items()})
    return env, over_all(env, Policy(course.network, env.observation_shapes, env.action_count, weights).act)


def test_an_agent_fills_its_orders_where_the_rest_counts_and_leaves_them_where_it_does_not() -> None:
    env, left = learnt("ignored")
    twap = over_all(env, lambda seen: twap_action(env.action, env.own))
    assert (twap.ffr == 1).all()
    assert left.reward.mean() > twap.reward.mean() + 5  # basis points: not to trade pays
    assert left.ffr.mean() < 0.5
    assert Rest(env).counted(left).net.mean() < twap.net.mean() - 20
    env, whole = learnt("close")
    assert whole.ffr.mean() > 0.95
    assert abs(Rest(env).counted(whole).net.mean() - twap.net.mean()) < 1


def test_a_checkpoint_of_before_the_rest_counted_is_refused_by_name(tmp_path: Path) -> None:
    learnt("ignored", tmp_path, 1024)
    with pytest.raises(StateError, match=r"order_env: reward was .* when the state was saved and is .* now"):
        learnt("close", tmp_path, 1024)
