"""The environment on days without volume, with halts, holes and slices that never come."""

import numpy as np
import pytest

from components.rl.acting import Categorical, TwapRelative
from components.rl.env import twap_action
from components.rl.episodes import generated
from components.rl.observing import Compact, CurrentStep, FullHistory
from tests.components.rl.made import env, market, minutes, orders, whole

DAYS = minutes()
OF = generated(DAYS, share=0.02, horizon=5, of="day")


def test_a_day_without_volume_fills_nothing_and_every_figure_is_a_number() -> None:
    days = minutes(idle=(1,))
    game = env(days, orders((1, 0, 1, 50, 0, 4)))
    steps = whole(game, 2)
    finished = steps[-1].finished
    assert len(steps) == 4
    assert [getattr(finished, name)[0] for name in ("pa_bps", "pa_vwap_bps", "slippage_bps", "fees_bps")] == [0.0] * 4
    assert (finished.fill_ratio[0], finished.reward[0]) == (0.0, 0.0)
    assert not generated(days, share=0.01, horizon=3, of="day").rows(np.arange(0)).quantity.size
    assert 1 not in generated(days, share=0.01, horizon=3, of="day").day


def test_halted_bars_trade_nothing_and_the_rest_is_traded_after_them() -> None:
    days = minutes(halted=((0, 0),))  # bars 4 to 7 of 12
    game = env(days, orders((0, 0, 1, 100, 2, 8)))
    game.reset()
    traded, rewards = [], []
    while game.active.any():
        step = game.step(np.array([1]))
        traded.append(game.traded[0].qty[0])
        rewards.append(step.reward[0])
    assert traded == [25.0, 0.0, 0.0, 0.0, 0.0, 0.0, 25.0, 50.0]  # at the close of a halted bar nothing is sent
    assert np.isfinite(rewards).all()


def test_an_order_larger_than_the_days_volume_is_filled_as_far_as_the_volume_goes() -> None:
    volume = DAYS.by_day("volume")[0, 0]
    much = float(volume.sum() * 2)
    game = env(DAYS, orders((0, 0, -1, much, 0, 99)), market=market(DAYS, participation=1.0))
    steps = whole(game, 4)
    assert steps[-1].finished.fill_ratio[0] == pytest.approx(volume[1:].sum() / much)
    assert len(steps) == 11


def test_a_horizon_past_the_close_ends_with_the_last_bar_of_the_day() -> None:
    days = minutes(lengths=(12, 5, 12), calendar=(12, 5, 12))
    game = env(days, orders((1, 0, 1, 100, 2, 50), (0, 0, 1, 100, 2, 50)))
    steps = whole(game, 0)
    assert np.argmax([step.done[0] for step in steps]) == 1  # bars 3 and 4
    assert np.argmax([step.done[1] for step in steps]) == 8
    assert all(step.finished.fill_ratio.tolist() in ([], [1.0]) for step in steps)


@pytest.mark.parametrize("calendar", [None, (12, 12, 12)])
def test_slices_that_never_come_are_missed_and_nobody_knew(calendar: tuple[int, ...] | None) -> None:
    days = minutes(lengths=(12, 5, 12), calendar=calendar)
    game = env(days, orders((1, 0, 1, 100, 2, 50)))
    game.reset()
    assert (game.own.end.tolist(), game.own.steps.tolist()) == ([11], [9])
    steps = [game.step(np.array([1])), game.step(np.array([0]))]
    assert [step.done.tolist() for step in steps] == [[False], [True]]
    assert steps[-1].finished.fill_ratio.tolist() == [0.25]


def test_the_clock_cuts_an_order_whose_slices_did_not_come() -> None:
    """Of a session of 12 slices the third to sixth are not there: at bar 2, the seventh, five more are left."""
    days = minutes(lengths=(12,), calendar=(12,), unseen={0: (2, 3, 4, 5)})
    assert (days.length.tolist(), days.bars) == ([8], 12)
    game = env(days, orders((0, 0, 1, 100, 0, 11)), action=TwapRelative())
    game.reset()
    ends, traded = [], []
    while game.active.any():
        ends.append((int(game.own.end[0]), int(game.own.steps[0])))
        game.step(np.ones(1))
        traded.append(float(game.traded[0].qty[0]))
    assert ends == [(11, 11), (11, 11), *[(7, 7)] * 5]
    assert traded == [9.0, 9.0, 25.0, 14.0, 14.0, 15.0, 14.0]


def test_the_last_step_is_shorter_where_the_bars_do_not_come_out_even() -> None:
    game = env(DAYS, orders((0, 0, 1, 100, 0, 5)), bars_per_step=2)
    assert game.steps == 3
    steps = whole(game, 0)
    assert len(steps) == 3
    assert [bar.qty[0] for bar in game.traded] == [100.0, 0.0]


def test_missing_bars_and_unknown_prices_make_no_nan() -> None:
    days = minutes(holes=0.5, idle=(2,), halted=((0, 0), (3, 1)), seed=4)
    of = orders(
        *((d, s, side, 500.0, start, 9) for d in range(4) for s in (0, 1) for side in (1, -1) for start in (0, 4))
    )
    for observation in (Compact(), FullHistory(), CurrentStep()):
        game = env(days, of, observation=observation, market=market(days, participation=0.2), bars_per_step=2)
        game.reset()
        while game.active.any():
            step = game.step(twap_action(Categorical(4), game.own))
            assert all(np.isfinite(part).all() for part in step.observation.values())
            assert np.isfinite(step.reward).all()
            for name in step.finished.__struct_fields__:
                assert np.isfinite(getattr(step.finished, name)).all()
