"""The vectorised environment: what it trades, at which prices, and how that is rewarded."""

from typing import Any

import numpy as np
import pytest

from components.costs.bps import Bps
from components.costs.dated import Dated, DatedFee
from components.costs.per_share import PerShare
from components.costs.square_root import SquareRoot
from components.costs.tiered import Tiered
from components.costs.together import Together
from components.rl.acting import TwapRelative
from components.rl.episodes import generated
from components.rl.rewards import EndRatio, PAPenalty
from components.rl.trainer_evaluate import over_all
from components.rl.trainer_rest import Rest
from engine.errors import ConfigError
from tests.components.rl.made import env, market, minutes, orders, whole

DAYS = minutes()
OF = generated(DAYS, share=0.02, horizon=5, of="day")


def test_an_order_trades_at_the_open_of_the_bar_after_its_decision_with_the_brokers_slippage_and_fees() -> None:
    game = env(DAYS, orders((1, 1, 1, 100, 3, 4)))
    game.reset()
    done = game.step(np.array([4]))
    (bar,) = game.traded
    price = DAYS.by_day("open")[1, 1, 4] * (1 + 2e-4)
    assert (bar.qty.tolist(), bar.price.tolist()) == ([100.0], [price])
    assert bar.fees[0, 0] == 100 * price * 1e-4
    assert done.done.tolist() == [True]
    twap = DAYS.by_day("open")[1, 1, 4:8].mean()
    paid = price * (1 + 1e-4)
    assert done.finished.pa_bps[0] == pytest.approx((1 - price / twap) * 1e4)
    assert done.finished.net_bps[0] == pytest.approx((1 - paid / twap) * 1e4)
    assert done.finished.slippage_bps[0] == pytest.approx((price / DAYS.by_day("close")[1, 1, 3] - 1) * 1e4)
    assert done.finished.fees_bps[0] == pytest.approx(1.0)
    assert done.finished.fill_ratio.tolist() == [1.0]
    volume, opens = (DAYS.by_day(name)[1, 1, 4:8] for name in ("volume", "open"))
    vwap = (volume * opens).sum() / volume.sum()
    assert done.finished.pa_vwap_bps[0] == pytest.approx((1 - price / vwap) * 1e4)


@pytest.mark.parametrize(("fill", "column"), [("next_close", "close"), ("next_vwap", "vwap")])
def test_other_timings_trade_at_their_own_price(fill: str, column: str) -> None:
    game = env(DAYS, orders((0, 0, -1, 10, 2, 3)), market=market(DAYS, fill=fill))
    game.reset()
    game.step(np.array([4]))
    assert game.traded[0].price[0] == DAYS.by_day(column)[0, 0, 3] * (1 - 2e-4)


def test_the_last_step_sends_all_that_is_left() -> None:
    game = env(DAYS, orders((0, 0, 1, 100, 0, 3), (0, 0, 1, 100, 0, 3)))
    steps = whole(game, 0)
    assert [step.done.tolist() for step in steps] == [[False, False], [False, False], [True, True]]
    assert steps[-1].finished.fill_ratio.tolist() == [1.0, 1.0]
    assert game.traded[0].qty.tolist() == [100.0, 100.0]


def test_a_step_of_several_bars_spreads_its_amount_over_them_in_whole_lots() -> None:
    game = env(DAYS, orders((0, 0, -1, 101, 0, 6)), bars_per_step=3)
    game.reset()
    game.step(np.array([2]))  # half of it: 50
    assert [bar.qty[0] for bar in game.traded] == [-16.0, -17.0, -17.0]
    game.step(np.array([0]))  # the last step
    assert [bar.qty[0] for bar in game.traded] == [-17.0, -17.0, -17.0]


def test_lots_are_whole_and_what_does_not_fit_is_in_the_last_child() -> None:
    days = minutes(lot=100.0)
    game = env(days, orders((0, 0, 1, 1300, 0, 4)))
    game.reset()
    traded = []
    while game.active.any():
        game.step(np.array([1]))
        traded.append(game.traded[0].qty[0])
    assert traded == [300.0, 300.0, 300.0, 400.0]


def test_participation_leaves_a_rest_that_goes_back_to_the_order() -> None:
    volume = DAYS.by_day("volume")[0, 0]
    share = np.floor(volume * 0.1 + 1e-9)
    quantity = float(share[1:4].sum() + 5)
    game = env(DAYS, orders((0, 0, 1, quantity, 0, 3)), market=market(DAYS, participation=0.1))
    steps = whole(game, 4)
    assert steps[-1].finished.fill_ratio[0] == (quantity - 5) / quantity
    assert [step.done[0] for step in steps] == [False, False, True]


def test_rewards_of_an_episode_add_up_to_its_price_advantage_with_fees_in_it() -> None:
    of = generated(DAYS, share=0.05, horizon=6, of="day", start=2)
    game = env(DAYS, of, reward=PAPenalty(penalty=0.0), bars_per_step=2)
    finished = [step.finished for step in whole(game, 1)]
    pa, reward = (np.concatenate([getattr(each, name) for each in finished]) for name in ("net_bps", "reward"))
    assert len(pa) == len(of)
    np.testing.assert_allclose(reward, pa, rtol=1e-9, atol=1e-9)


def test_the_reward_against_the_arrival_adds_up_to_the_slippage() -> None:
    of = generated(DAYS, share=0.05, horizon=6, of="day", start=2)
    costs = Bps(slippage_bps=2)
    game = env(DAYS, of, reward=PAPenalty(penalty=0.0, against="arrival"), market=market(DAYS, costs=costs))
    for step in whole(game, 1):
        np.testing.assert_allclose(step.finished.reward, -step.finished.slippage_bps, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rest", ["close", "ignored"])
def test_between_the_two_benchmarks_lies_the_drift_times_what_counts_and_its_price(rest: Any) -> None:
    of, at = generated(DAYS, share=0.3, horizon=6, of="day", start=2), market(DAYS, participation=0.5)
    sums, found, game = [], None, None
    for against in ("twap", "arrival"):
        reward = PAPenalty(penalty=0.0, against=against, rest=rest)  # type: ignore[arg-type]
        game = env(DAYS, of, reward=reward, market=at)
        found = over_all(game, lambda seen: np.ones(len(of), int))
        sums.append(found.reward)
    assert found is not None
    assert game is not None
    assert (found.ffr < 1).any()
    counted, share = (Rest(game).counted(found), 1.0) if rest == "close" else (found, found.ffr)
    known = game.floor.known
    price = known.twap * (1 - of.side * counted.net / 1e4)
    drift = of.side * share * price * (1 / known.arrival - 1 / known.twap) * 1e4
    np.testing.assert_allclose(sums[0] - sums[1], drift, rtol=1e-6, atol=1e-8)


def test_one_at_every_step_of_twap_relative_is_twap() -> None:
    game = env(DAYS, orders((0, 0, 1, 100, 0, 4)), action=TwapRelative(), width=1)
    game.reset()
    traded = []
    while game.active.any():
        game.step(np.ones((1, 1)))
        traded.append(game.traded[0].qty[0])
    assert traded == [25.0] * 4


def test_costs_that_remember_are_refused_and_dated_ones_know_the_day_of_each_row() -> None:
    first = DAYS.date(1)
    for costs in (
        SquareRoot(universe=DAYS.universe),
        Tiered(),
        Together(parts=(PerShare(rate=0.01), Tiered())),
    ):
        with pytest.raises(ConfigError, match="episodes of many days have no common past"):
            market(DAYS, costs=costs)
    dated = Dated(rates=(DatedFee(first, bps_buy=1), DatedFee(DAYS.date(2), bps_buy=3)))
    game = env(DAYS, orders(*((day, 0, 1, 10.0, 2, 3) for day in range(4))), market=market(DAYS, costs=dated))
    game.reset()
    game.step(np.full(4, 4))
    (bar,) = game.traded
    np.testing.assert_allclose(bar.fees[:, 2] / (bar.qty * bar.price) * 1e4, [0, 1, 3, 3])


@pytest.mark.parametrize("fill", ["same_close", "open_auction", "close_auction", "magic"])
def test_timings_without_a_bar_after_the_decision_are_refused(fill: str) -> None:
    with pytest.raises(ConfigError, match="use one of: next_open, next_close, next_vwap"):
        market(DAYS, fill=fill)


def test_a_multiplier_scales_money_and_no_figure() -> None:
    of = orders((0, 0, 1, 50, 0, 4), (1, 1, -1, 50, 0, 4))
    one, hundred = (whole(env(minutes(multiplier=m), of), 1) for m in (1.0, 100.0))
    for a, b in zip(one, hundred, strict=True):
        np.testing.assert_allclose(a.reward, b.reward)
        for name in a.finished.__struct_fields__:
            np.testing.assert_allclose(getattr(a.finished, name), getattr(b.finished, name))


def test_the_end_reward_comes_once_at_the_end() -> None:
    of = generated(DAYS, share=0.05, horizon=4, of="day", start=1)
    steps = whole(env(DAYS, of, reward=EndRatio()), 1)
    rewards = np.array([step.reward for step in steps])
    assert (rewards[:-1] == 0).all()
    pa = steps[-1].finished.net_bps
    assert set(rewards[-1]) <= {-1.0, 0.0}
    assert (rewards[-1] == np.where(pa < 0, -1.0, 0.0)).all()
