"""The teacher that knows the future: its worths are those of every way to work an order, and no student sees them."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.rl.acting import Categorical, TwapRelative
from components.rl.env import OrderEnv, twap_action
from components.rl.episodes import Orders, generated
from components.rl.rewards import EndRatio, PAPenalty
from components.rl.teacher import as_good, hindsight, targets
from engine.errors import ConfigError
from tests.components.rl.made import env, market, minutes, orders

DAYS = minutes(lengths=(12, 9, 12, 12), holes=0.1, idle=(2,), halted=((1, 0),), seed=3)
CUT = minutes(lengths=(12,) * 3, calendar=(12,) * 3, unseen={1: (4, 9), 2: (2, 3, 8, 11)}, holes=0.1, seed=3)
PA = PAPenalty(penalty=0.0)


def played(game: OrderEnv, choose: Any) -> dict[str, Any]:
    """Rewards and advantages by order of a pass over all; `choose` answers (W,) choices."""
    found = {name: np.full(len(game.orders), np.nan) for name in ("reward", "net_bps", "fill_ratio")}
    game.reset()
    while game.active.any():
        ended = game.step(choose(game)).finished
        for name, column in found.items():
            column[ended.episode] = getattr(ended, name)
    assert not any(np.isnan(column).any() for column in found.values())
    return found


def best_of_all(make: Callable[[Orders], OrderEnv], of: Orders) -> Any:
    """(E,) the best sum of rewards among all sequences of choices, all played through the environment side by side."""
    one = make(of)
    paths = np.array(list(itertools.product(range(one.action_count), repeat=one.steps)))
    game = make(of.rows(np.repeat(np.arange(len(of)), len(paths))))
    found = played(game, lambda game: paths[game.episode % len(paths), game.own.step])["reward"]
    return found.reshape(len(of), len(paths)).max(axis=1)


@pytest.mark.parametrize("bars", [1, 2])
def test_the_same_where_the_clock_cuts_orders_whose_slices_did_not_come(bars: int) -> None:
    of = generated(CUT, share=0.02, horizon=5 * bars, start=(1, 4), of="trailing")

    def game(of: Orders) -> OrderEnv:
        at = market(CUT, participation=0.2)
        return env(CUT, of, action=Categorical(2), market=at, reward=PA, bars_per_step=bars)

    np.testing.assert_allclose(hindsight(game(of)).best, best_of_all(game, of), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("penalty", [0.0, 4.0])
@pytest.mark.parametrize(("bars", "participation"), [(1, None), (1, 0.1), (2, None), (2, 0.05)])
def test_it_finds_the_best_of_all_sequences_of_choices(penalty: float, bars: int, participation: float | None) -> None:
    """By brute force: missing and halted bars, days without volume, horizons past the close, limits of volume."""
    of = generated(DAYS, share=0.02, horizon=4 * bars, start=(0, 3, 7), of="trailing")
    at = market(DAYS, participation=participation)
    given = {"action": Categorical(3), "market": at, "reward": PAPenalty(penalty=penalty), "bars_per_step": bars}
    game = env(DAYS, of, width=17, **given)
    known = hindsight(game)
    assert known.exact.all()
    best = best_of_all(lambda of: env(DAYS, of, **given), of)
    np.testing.assert_allclose(known.best, best, rtol=1e-9, atol=1e-9)
    itself = played(game, lambda game: known.choose(game.episode, game.own))
    np.testing.assert_allclose(itself["reward"], best, rtol=1e-9, atol=1e-9)
    if not (penalty or participation):  # filled whole, its reward is its price advantage
        full = itself["fill_ratio"] == 1.0
        assert full.sum() > 10
        np.testing.assert_allclose(itself["net_bps"][full], best[full], rtol=1e-9, atol=1e-9)


def test_no_policy_earns_more_and_the_known_worths_are_what_the_rest_earns() -> None:
    of = generated(DAYS, share=0.05, horizon=8, start=(0, 2), of="trailing")
    game = env(DAYS, of, market=market(DAYS, participation=0.3), width=8)
    known, rng = hindsight(game), np.random.default_rng(1)
    twap = played(game, lambda game: twap_action(game.action, game.own))["reward"]
    for _ in range(20):
        anyhow = played(game, lambda game: rng.integers(0, 5, game.width))["reward"]
        assert (anyhow <= known.best + 1e-9).all()
    assert (twap <= known.best + 1e-9).all()
    assert (twap < known.best - 1e-4).mean() > 0.5

    game.reset()
    earned, promised = np.zeros(len(of)), np.full(len(of), np.nan)
    for step in range(60):  # anyhow at first, then as the teacher says: from any state what it promised comes true
        e, own = game.episode, game.own
        if not game.active.any():
            break
        worths = known.worths(e, own)
        free = own.step >= 2
        action = np.where(free, known.choose(e, own), rng.integers(0, 5, game.width))
        first = game.active & free & np.isnan(promised[np.maximum(e, 0)])
        promised[e[first]] = worths[first].max(axis=1)
        found = game.step(action)
        counts = (e >= 0) & free
        earned[e[counts]] += found.reward[counts]
        assert step < 59
    some = ~np.isnan(promised)
    assert some.sum() > len(of) / 2
    np.testing.assert_allclose(earned[some], promised[some], rtol=1e-9, atol=1e-9)


def test_where_remainders_are_too_many_it_says_so_and_stays_near() -> None:
    of = generated(DAYS, share=0.05, horizon=8, start=(0, 2), of="trailing")
    game = env(DAYS, of, market=market(DAYS, participation=0.02), reward=PA, width=16)
    whole, thin = hindsight(game, states_max=4000), hindsight(game, states_max=64)
    assert whole.exact.all()
    assert 0 < thin.exact.sum() < len(of)
    np.testing.assert_array_equal(thin.best[thin.exact], whole.best[thin.exact])
    earned = played(game, lambda game: thin.choose(game.episode, game.own))["reward"]
    assert (earned <= whole.best + 1e-9).all()
    twap = played(game, lambda game: twap_action(game.action, game.own))["reward"]
    assert (earned - twap).mean() > 0.9 * (whole.best - twap).mean()


def test_ties_are_shared_and_the_last_decision_is_one() -> None:
    days = minutes(idle=(0, 1, 2, 3))  # nobody trades: all choices are alike
    game = env(days, orders((0, 0, 1, 100, 0, 4)), market=market(days, participation=0.1), reward=PA)
    known = hindsight(game)
    game.reset()
    assert known.worths(game.episode, game.own).tolist() == [[0.0] * 5]
    assert targets(known.worths(game.episode, game.own), 0.0).tolist() == [[0.2] * 5]
    game = env(DAYS, orders((0, 0, 1, 100, 0, 2)), reward=PA)
    known = hindsight(game)
    game.reset()
    game.step(np.array([1]))
    assert as_good(known.worths(game.episode, game.own)).all()  # all that is left trades whatever is chosen


@pytest.mark.filterwarnings("error")
def test_a_temperature_near_0_is_that_of_the_best_choices() -> None:
    assert targets(np.array([[0.0, 1.0, 1.0]]), 1e-320).tolist() == [[0.0, 0.5, 0.5]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3), min_size=1), st.floats(0.01, 100))
def test_targets_are_chances_that_prefer_what_is_worth_more(worths: list[list[float]], temperature: float) -> None:
    given_worths = np.array(worths)
    for chances in (targets(given_worths, temperature), targets(given_worths, 0.0)):
        np.testing.assert_allclose(chances.sum(axis=1), 1.0)
        up = np.take_along_axis(chances, given_worths.argsort(axis=1), axis=1)
        assert (np.diff(up, axis=1) >= -1e-12).all()


def test_what_cannot_be_taught_is_refused_by_name() -> None:
    of = orders((0, 0, 1, 100, 0, 4))
    with pytest.raises(ConfigError, match="these actions are continuous; take categorical"):
        hindsight(env(DAYS, of, action=TwapRelative()))
    with pytest.raises(ConfigError, match="EndRatio looks at the whole order"):
        hindsight(env(DAYS, of, reward=EndRatio()))
    with pytest.raises(ValueError, match="states_max must be at least 2"):
        hindsight(env(DAYS, of), states_max=1)


def test_a_padded_table_answers_orders_of_fewer_decisions() -> None:
    game = env(DAYS, orders((0, 0, 1, 100, 0, 8), (0, 1, -1, 7, 5, 2), (1, 0, 1, 30, 6, 8)), reward=PA)
    known = hindsight(game)
    np.testing.assert_allclose(played(game, lambda game: known.choose(game.episode, game.own))["reward"], known.best)
